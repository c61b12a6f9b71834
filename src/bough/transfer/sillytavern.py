"""SillyTavern's chats: ``chats/<character>/<chat>.jsonl``, each file one conversation.

The first line is ``{user_name, character_name, create_date, chat_metadata{main_chat, …}}``, each other one a message:
``{name, is_user, is_system, send_date, mes, swipes[], swipe_id, swipe_info[], extra}``. A message follows the one
before it. Its ``swipes`` are several wordings of it, which become siblings; the chat goes on behind the one that
``swipe_id`` chose, which is what ``mes`` says. Nodes are named for the number of the message, counted from 0, and of
the wording: ``4-0``, ``4-1``.

A branch or a checkpoint is a file of its own, with a copy of all that was before it, so it is a session of its own;
``extra.branches`` and ``extra.bookmark_link`` name them in the metadata of the message where they begin,
``chat_metadata.main_chat`` names the chat that a branch left. Times are often local and without an offset: such a one
stands in the metadata as it is written (``send_date``).

Source: SillyTavern's own source (``public/script.js``, ``public/scripts/bookmarks.js``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from bough.model import Message
from bough.transfer import normal
from bough.transfer.normal import Part, Result, fields, objects, string
from bough.transfer.records import Reading, Record
from bough.transfer.tree import Conversation, Defect, Entry, grow

NAME = "sillytavern"
_USED = ("mes", "is_user", "is_system", "swipes", "swipe_id", "swipe_info", "extra", "send_date")
_USED_EXTRA = ("reasoning", "model", "image", "image_swipes", "media", "file", "files", "tool_invocations")


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is such a header, or, where that was lost, such a message."""
    return {"user_name", "character_name"} <= value.keys() or {"is_user", "mes"} <= value.keys()


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """The one conversation of a file, behind the defects of its lines."""
    name = reading.source.name
    header: dict[str, Any] = {}
    entries: list[Entry] = []
    tip: str | None = None
    number = 0
    seen = False
    for record in records:
        if isinstance(record, Defect):
            yield record
            continue
        seen = True
        if "mes" not in record.value and ("character_name" in record.value or "chat_metadata" in record.value):
            if header:
                yield Defect(file=name, line=record.line, reason="a second header of a chat")
            header = header or record.value
            continue
        wordings, chosen, reason = _wordings(record.value)
        if reason:
            yield Defect(file=name, line=record.line, reason=reason, kept=bool(wordings))
        for index, wording in wordings.items():
            messages = _messages(record.value, f"{number}-{index}", index, wording, chosen, raw=reading.raw)
            entries.append(Entry(f"{number}-{index}", tip, messages, record.line))
        if wordings:
            tip = f"{number}-{chosen}"
        number += 1
    if not seen:
        return
    nodes, defects = grow(entries, file=name, leaf=tip)
    yield from defects
    yield Conversation(
        session_id=_session_id(name, string(header.get("character_name"))),
        nodes=nodes,
        file=name,
        line=1,
        title=normal.title(PurePath(name).stem),
        created_at=normal.moment(header.get("create_date")),
        metadata={"source": NAME, **(normal.rest(header) or {})},
    )


def _session_id(file: str, character: str | None) -> str:
    """A chat is named by its file, and that is unique for one character only."""
    stem = PurePath(file).stem
    if character and character != "unused" and not stem.startswith(character):
        stem = f"{character}-{stem}"
    return normal.session_name(NAME, stem, {}, file)


def _wordings(value: Mapping[str, Any]) -> tuple[dict[int, str], int, str]:
    """The texts of a message by their number, the chosen one's, and what is wrong."""
    said = value.get("mes")
    swipes = value.get("swipes")
    if not isinstance(swipes, list) or not swipes:
        swipes = [said]
    found = {index: text for index, text in enumerate(swipes) if isinstance(text, str)}
    reason = "" if len(found) == len(swipes) else "a wording that is no text is left out"
    chosen = value.get("swipe_id", 0)
    if not isinstance(chosen, int) or isinstance(chosen, bool) or chosen not in found:
        chosen = next((index for index, text in found.items() if text == said), next(iter(found), 0))
        if len(swipes) > 1:
            reason = reason or "swipe_id names no wording"
    if isinstance(said, str) and found.get(chosen) != said:
        if said in found.values():
            chosen, reason = next(index for index, text in found.items() if text == said), "swipe_id and mes disagree"
        elif chosen in found:  # what was edited by hand stands in mes alone
            found[len(swipes)], chosen = said, len(swipes)
        else:
            found[chosen] = said
    return found, chosen, reason if found else "a line that is no message"


def _messages(value: Mapping[str, Any], id_: str, index: int, wording: str, chosen: int, *, raw: bool) -> list[Message]:
    """What one wording says. ``extra`` and the time stand in the line for the chosen one, else in ``swipe_info``."""
    info = value.get("swipe_info")
    own = fields(info[index]) if isinstance(info, list) and index < len(info) else {}
    about = value if index == chosen else own
    extra = fields(about.get("extra"))
    reasoning = string(extra.get("reasoning"))
    said: list[Part | Result] = [] if reasoning is None else [normal.thinking(reasoning)]
    calls = objects(extra.get("tool_invocations"))
    if wording or not (said or calls):
        said.append(normal.text(wording))
    said += _attached(extra)
    said += [
        normal.call(string(call.get("id")) or "", string(call.get("name")) or "", call.get("parameters") or "")
        for call in calls
    ]
    said += [Result(string(call.get("id")), string(call.get("result")) or "") for call in calls]
    time = normal.moment(about.get("send_date"))
    more = {**(normal.rest(value, *_USED) or {}), **(normal.rest(extra, *_USED_EXTRA) or {})}
    more["send_date"] = about.get("send_date") if time is None else None
    more["hidden"] = True if value.get("is_system") is True and not calls else None
    return normal.turn(
        _role(value, extra),
        said,
        source=NAME,
        place=id_,
        time=time,
        model=string(extra.get("model")),
        more=more,
        raw=dict(value) if raw else None,
    )


def _role(value: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    if value.get("is_user") is True:
        return "user"
    return "system" if extra.get("type") in ("narrator", "comment", "help", "generic") else "assistant"


def _attached(extra: Mapping[str, Any]) -> Iterator[Part]:
    """Images and files, where they lie in the program's folder."""
    swipes = extra.get("image_swipes")
    images = [extra.get("image"), *(swipes if isinstance(swipes, list) else [])]
    images += [media.get("url") for media in objects(extra.get("media")) if media.get("type", "image") == "image"]
    for image in dict.fromkeys(url for url in images if isinstance(url, str) and url):
        yield normal.image(normal.by_reference(image))
    for found in [fields(extra.get("file")), *objects(extra.get("files")), *objects(extra.get("media"))]:
        url = string(found.get("url"))
        if url is not None and found.get("type", "file") != "image":
            yield normal.file(string(found.get("name")) or normal.by_reference(url), url=normal.by_reference(url))
