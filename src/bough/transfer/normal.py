"""Messages of other programs in the shape that Bough's own tools understand: OpenAI's chat completions.

``{"role", "content", "tool_calls"?, "tool_call_id"?, "metadata"}``. Text alone is a string; anything else is a list of
parts: ``text``, ``image_url`` and ``file`` by reference (never their bytes), ``thinking``. ``metadata`` is where it
comes from: ``source`` (the program), ``id`` (the program's own; where it gives none ``place``, such as ``line-17``),
``time`` (ISO 8601), ``model``, ``usage``, and what else the program said; with ``raw`` the whole original.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from pathlib import PurePath
from typing import Any, NamedTuple

from bough.codec import encode_found, parse_time, time_text
from bough.model import Message
from bough.stores.base import MAX_ID_BYTES
from bough.transfer.tree import node_id

Part = dict[str, Any]


def message(
    role: str,
    content: str | Sequence[Part] | None,
    *,
    source: str,
    id: str | None = None,  # noqa: A002  (the key it becomes)
    place: str | None = None,
    time: datetime | None = None,
    model: str | None = None,
    usage: Mapping[str, Any] | None = None,
    calls: Sequence[Part] = (),
    answers: str | None = None,
    more: Mapping[str, Any] | None = None,
    raw: Any = None,
) -> Message:
    """One message. ``calls`` are made by :func:`call`, ``answers`` is the id of the call whose result this is; ``more``
    is what else the program said of it; ``raw`` its original, None unless that is asked for."""
    made: Message = {"role": role, "content": plain(content)}
    if calls:
        made["tool_calls"] = list(calls)
    if answers is not None:
        made["tool_call_id"] = answers
    metadata = {
        "source": source,
        "id": id,
        "place": place,
        "time": None if time is None else time_text(time),
        "model": model,
        "usage": None if usage is None else dict(usage),
        **(more or {}),
        "raw": raw,
    }
    made["metadata"] = {key: value for key, value in metadata.items() if value is not None}
    return made


def plain(content: str | Sequence[Part] | None) -> str | list[Part] | None:
    """Parts as they stand in a message: one text alone is a string, none at all is None."""
    if content is None or isinstance(content, str):
        return content
    parts = list(content)
    if not parts:
        return None
    if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def text(value: str) -> Part:
    return {"type": "text", "text": value}


def thinking(value: str) -> Part:
    return {"type": "thinking", "thinking": value}


def image(url: str, **more: Any) -> Part:
    """An image by reference: a URL, or whatever names it in the export."""
    return {"type": "image_url", "image_url": {"url": url}, **more}


def file(name: str, **more: Any) -> Part:
    """A file by reference."""
    return {"type": "file", "file": {"filename": name}, **more}


def call(id_: str, name: str, arguments: Any) -> Part:
    """A tool call; ``arguments`` as JSON text, or as the value it says."""
    said = arguments if isinstance(arguments, str) else encode_found({"": arguments}).decode()[len('{"":') : -1]
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": said}}


def moment(value: Any) -> datetime | None:
    """A time as other programs write it: ISO 8601, or seconds or milliseconds since 1970. None where it is none."""
    try:
        if isinstance(value, str):
            return parse_time(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e14:
            at = datetime.fromtimestamp(value if value < 1e11 else value / 1000, UTC)
            return at.replace(microsecond=at.microsecond // 1000 * 1000)
    except (ValueError, OverflowError, OSError):
        pass
    return None


class Result(NamedTuple):
    """A tool's result among what a :func:`turn` says. ``answers`` is the id of its call; None is the first call before
    it that has no result yet."""

    answers: str | None
    content: str | Sequence[Part] | None
    more: Mapping[str, Any] | None = None


def turn(
    role: str,
    said: Iterable[Part | Result],
    *,
    source: str,
    id: str | None = None,  # noqa: A002  (as in message)
    place: str | None = None,
    time: datetime | None = None,
    model: str | None = None,
    usage: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    raw: Any = None,
) -> list[Message]:
    """The messages of a turn that its program keeps as one entry: parts, calls (made by :func:`call`) and results in
    their order. What stands behind a result is a message of its own. ``usage``, ``more`` and ``raw`` go to the first;
    a turn that says nothing is one message with an empty text."""
    groups: list[tuple[list[Part], list[Part], list[Result]]] = [([], [], [])]
    for one in said:
        if isinstance(one, Result):
            groups[-1][2].append(one)
            continue
        if groups[-1][2]:
            groups.append(([], [], []))
        parts, calls, _ = groups[-1]
        (calls if one.get("type") == "function" else parts).append(one)
    made: list[Message] = []
    for parts, calls, results in groups:
        if parts or calls or not results:
            content = parts or (None if calls else "")
            first: dict[str, Any] = {} if made else {"usage": usage, "more": more, "raw": raw}
            made.append(
                message(role, content, source=source, id=id, place=place, time=time, model=model, calls=calls, **first)
            )
        waiting = [one["id"] for one in calls if all(one["id"] != result.answers for result in results)]
        for result in results:
            first = {} if made else {"usage": usage, "raw": raw}
            of_result = {key: value for key, value in (result.more or {}).items() if value is not None}
            said_more = of_result if made else {**(more or {}), **of_result}
            answers = result.answers or (waiting.pop(0) if waiting else None)
            answer = "" if result.content in (None, []) else result.content
            made.append(
                message(
                    "tool",
                    answer,
                    source=source,
                    id=id,
                    place=place,
                    time=time,
                    answers=answers,
                    more=said_more,
                    **first,
                )
            )
    return made


def session_name(source: str, id_: Any, value: Mapping[str, Any], file: str) -> str:
    """The id of a session: the source's own behind its name; where there is none, the file's name and what the
    conversation says, as :mod:`bough.transfer.naming` explains it."""
    if isinstance(id_, str) and id_:
        return node_id(f"{source}-{id_}")
    stem = PurePath(file).stem[:100].encode(errors="replace").decode()
    return f"{stem}-{blake2b(encode_found(value), digest_size=8).hexdigest()}"


def title(value: Any) -> str | None:
    """A title as a branch may have it for its name, cut where it is too long; None where there is none."""
    if not isinstance(value, str) or not value:
        return None
    said = value.encode(errors="replace").decode().replace("\0", "\ufffd")
    return said.encode()[:MAX_ID_BYTES].decode(errors="ignore")


def string(value: Any) -> str | None:
    """``value`` where it is a text that says something."""
    return value if isinstance(value, str) and value else None


def fields(value: Any) -> Mapping[str, Any]:
    """``value`` where it is an object, else one without keys."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def texts(source: Mapping[str, Any], *keys: str) -> list[str]:
    """Those of the keys that hold a text: what is taken for one elsewhere is not said twice in :func:`rest`."""
    return [key for key in keys if isinstance(source.get(key), str)]


def lists(source: Mapping[str, Any], *keys: str) -> list[str]:
    """Those of the keys that hold a list of objects and nothing else."""
    return [key for key in keys if isinstance(source.get(key), list) and len(objects(source[key])) == len(source[key])]


def rest(source: Mapping[str, Any], *used: str) -> dict[str, Any] | None:
    """What else is said in ``source``; keys that say nothing (null, empty) are left out. None where that is all."""
    return {key: value for key, value in source.items() if key not in used and value not in (None, "", [], {})} or None


def details(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """What else is said of a part, as it stands in it."""
    return {"details": dict(found)} if found else {}


def by_reference(url: str) -> str:
    """A URL that may stand in a message: one that holds the bytes themselves becomes the digest of itself."""
    if not url.startswith("data:"):
        return url
    return f"sha256:{sha256(url.encode(errors='surrogatepass')).hexdigest()}"


def newest_leaf(parents: Mapping[str, str | None], times: Mapping[str, datetime | None]) -> str | None:
    """The id without replies that is the youngest; of those without a time, or of one time, the last."""
    inner = set(parents.values())
    leaves = [id_ for id_ in parents if id_ not in inner]
    oldest = datetime.min.replace(tzinfo=UTC)
    best: str | None = None
    for id_ in leaves:
        if best is None or (times.get(id_) or oldest) >= (times.get(best) or oldest):
            best = id_
    return best
