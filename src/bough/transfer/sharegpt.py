"""ShareGPT, the shape of many data sets: ``{id?, conversations: [{from, value}], …}``, a JSON array of them or one a
line; each is one linear conversation.

``from`` is ``human`` or ``user``, ``gpt`` (``chatgpt``, ``assistant``, ``bing``, ``bard``), ``system``,
``function_call``, and ``tool``, ``function``, ``function_response`` or ``observation`` for a result. There is no
standard; these are the names that the public data sets and the readers of LLaMA-Factory, Axolotl and FastChat have.

- The ``value`` of ``function_call`` is ``{"name", "arguments"}`` as JSON, or a list of those; calls get ids of their
  place. Results answer the calls before them in their order. A value that is no such JSON stays the text that it is.
- ``<image>`` in a value is the next of the pictures named in ``image`` or ``images``; what is left of them stands in
  the metadata.
- The other keys (``system``, ``tools`` …) stand in the metadata of the conversation, as ``extra``.
- ``id`` names the session, as :mod:`.naming` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough.codec import decode_value
from bough.transfer import normal
from bough.transfer.naming import Names, id_of
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Entry, grow

SOURCE = "sharegpt"
ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
}
_IMAGE = "<image>"


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is such a conversation."""
    turns = value.get("conversations")
    if not isinstance(turns, list):
        return False
    return not turns or any("from" in one and "value" in one for one in normal.objects(turns))


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation an object."""
    names = Names(SOURCE, lambda turn: turn.get("from") == "system")
    return read_each(records, lambda record: _read(record, reading, names))


def _read(record: Record, reading: Reading, names: Names) -> Iterator[Conversation | Defect]:
    source = record.value
    turns = source.get("conversations")
    if not isinstance(turns, list):
        raise ValueError("conversations is not a list" if "conversations" in source else "conversations is missing")
    odd: list[tuple[str, bool]] = []
    images = _images(source)
    shown = len(images)
    entries: list[Entry] = []
    waiting: list[str] = []
    for number, one in enumerate(turns):
        if not isinstance(one, dict) or not isinstance(one.get("from"), str) or not isinstance(one.get("value"), str):
            odd.append((f"conversations[{number}] is no {{from, value}} of texts", False))
            continue
        content = _message(one, str(number), images, waiting, reading)
        entries.append(Entry(str(number), entries[-1].id if entries else None, content, record.line))
    nodes, defects = grow(entries, file=record.file, line=record.line)
    own_id = id_of(source.get("id"))
    used = ["conversations", *normal.texts(source, "title"), *(["id"] if own_id is not None else [])]
    used += ["image"] if len(images) < shown else []
    about = {
        "source": SOURCE,
        "id": own_id,
        "extra": normal.rest({**source, "images": images} if len(images) < shown else source, *used),
    }
    yield Conversation(
        session_id=names.name(record, own_id, turns),
        nodes=nodes,
        file=record.file,
        line=record.line,
        title=normal.title(source.get("title")),
        metadata={key: value for key, value in about.items() if value is not None},
    )
    for reason, kept in odd:
        yield Defect(file=record.file, line=record.line, reason=reason, kept=kept)
    yield from defects


def _images(source: Mapping[str, Any]) -> list[str]:
    """The pictures that a conversation names, the next one last."""
    found: list[Any] = []
    for key in ("image", "images"):
        value = source.get(key)
        found += value if isinstance(value, list) else [value]
    return [normal.by_reference(one) for one in reversed(found) if isinstance(one, str) and one]


def _message(
    one: Mapping[str, Any], id_: str, images: list[str], waiting: list[str], reading: Reading
) -> dict[str, Any]:
    """One message. ``waiting`` has the ids of the calls that have no result yet."""
    speaker, value = one["from"], one["value"]
    role = ROLES.get(speaker, speaker)
    calls = _calls(value, id_) if speaker == "function_call" else []
    answers = waiting.pop(0) if role == "tool" and waiting else None
    if role != "tool":
        waiting[:] = [call["id"] for call in calls]
    parts: list[normal.Part] = []
    if not calls:
        first, *others = value.split(_IMAGE)
        said = first
        for other in others:
            if not images:
                said += _IMAGE + other
                continue
            parts += [normal.text(said)] if said else []
            parts.append(normal.image(images.pop()))
            said = other.removeprefix("\n")
        parts += [normal.text(said)] if said or not parts else []
    return normal.message(
        role,
        parts or None,
        source=SOURCE,
        calls=calls,
        answers=answers,
        more={
            "from": None if speaker in ("human", "gpt", role) else speaker,
            "extra": normal.rest(one, "from", "value"),
        },
        raw=one if reading.raw else None,
    )


def _calls(value: str, id_: str) -> list[normal.Part]:
    """The calls that a value says; none where it says something else."""
    if not value.lstrip().startswith(("{", "[")):
        return []
    try:
        said = decode_value(value.encode(errors="surrogatepass"))
    except ValueError:
        return []
    found = said if isinstance(said, list) else [said]
    if not found or not all(isinstance(one, dict) and normal.string(one.get("name")) is not None for one in found):
        return []
    return [
        normal.call(f"call-{id_}-{number}", one["name"], one.get("arguments", {})) for number, one in enumerate(found)
    ]
