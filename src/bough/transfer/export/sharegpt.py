"""ShareGPT: ``{"id", "title", "conversations": [{"from", "value"}], "images"?}`` a line, a line a branch.

``from`` is ``human``, ``gpt``, ``system``, ``function_call`` and ``observation``, as :mod:`bough.transfer.sharegpt`
reads them; any other role stands as it is. A turn is text: a call is JSON, a picture is ``<image>`` and stands in
``images``; thoughts and what else is no text stand in square brackets. Times, models and other metadata have no place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bough.codec import encode_found
from bough.model import Message
from bough.parts import Part, as_json, parts_of, role_of
from bough.transfer.export.talk import Exported
from bough.transfer.export.text import indented

FROM = {"user": "human", "assistant": "gpt", "developer": "system", "tool": "observation", "function": "observation"}


def write(talk: Exported) -> Iterator[bytes]:
    """The file, in parts as they are made."""
    for record in talk.branches:
        images: list[str] = []
        about = encode_found({"id": f"{talk.session_id}/{record.id}", "title": record.name})[:-1]
        before = about + b',"conversations":['
        for message in talk.read(record.history):
            for turn in _turns(message, images):
                yield before + encode_found(turn)
                before = b","
        if record.history:
            yield b"]" + (b',"images":' + as_json(images).encode() if images else b"") + b"}\n"


def _turns(message: Message, images: list[str]) -> Iterator[dict[str, Any]]:
    """The turns of one message: what it says, then what it calls."""
    role = role_of(message)
    calls: list[dict[str, Any]] = []
    said: list[str] = []
    for part in parts_of(message):
        if part.kind == "call":
            calls.append({"name": part.name, "arguments": part.text})
        else:
            said.append(_said(part, images))
    if said or not calls:
        yield {"from": FROM.get(role, role), "value": "\n".join(said)}
    if calls:
        made = [f'{{"name":{as_json(call["name"])},"arguments":{_arguments(call["arguments"])}}}' for call in calls]
        yield {"from": "function_call", "value": made[0] if len(made) == 1 else f"[{','.join(made)}]"}


def _said(part: Part, images: list[str]) -> str:
    if part.kind == "image":
        images.append(part.text)
        return "<image>"
    return part.text if part.kind in ("text", "result") else f"[{part.kind}: {part.text}]"


def _arguments(text: str) -> str:
    """Arguments as the JSON they are; as a string where they are none."""
    return text if indented(text) is not text else as_json(text)
