"""OpenAI Responses as JSONL: each line one linear conversation of items.

A line is ``{"input": [...] | text, "output": [...]}``, ``{"items": [...]}``, or a response object
(``{"object": "response", "id", "output": [...], …}``), also as the batch interface wraps it: ``{"body": {"input"}}`` on
the way in, ``{"response": {"body": {"output"}}}`` on the way out. (platform.openai.com/docs/api-reference/responses)

Items are kept exactly as they are: :mod:`bough.turns` understands them. An input that is a text alone is what the
interface takes it for, a message of the user. Everything else on the line stands in the conversation's metadata, as
``extra``.

A response is named by its id, everything else for the file and for what the line says, as in :mod:`.openai_chat`.
``previous_response_id`` is kept, not followed: the responses of a chain are sessions of their own, as whole as their
lines are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough.model import Message
from bough.transfer import normal
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Node

SOURCE = "openai-responses"
_LISTS = ("items", "input", "output")


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is such a conversation."""
    body, _ = _body(value)
    if body.get("object") == "response" or ("output" in body and "input" in body) or "items" in body:
        return all(_is_item(one) for key in _LISTS if isinstance(body.get(key), list) for one in body[key]) and any(
            isinstance(body.get(key), list) for key in _LISTS
        )
    return body is not value and "input" in body


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation a line."""
    return read_each(records, lambda record: _read(record))


def _read(record: Record) -> Iterator[Conversation | Defect]:
    body, around = _body(record.value)
    if not any(isinstance(body.get(key), list) for key in _LISTS) and not isinstance(body.get("input"), str):
        raise ValueError("there is no list of items, input or output")
    messages: list[Message] = []
    odd: list[str] = []
    for key in _LISTS:
        found = body.get(key)
        if key == "input" and isinstance(found, str):
            found = [{"role": "user", "content": found}]
        elif found is not None and not isinstance(found, list):
            odd.append(f"{key} is not a list but {type(found).__name__}")
            continue
        for index, item in enumerate(found or ()):
            if isinstance(item, dict):
                messages.append(item)
            else:
                odd.append(f"{key}[{index}] is not an object but {type(item).__name__}")
    own_id = body.get("id") if body.get("object") == "response" else None
    used = [*_LISTS, *normal.texts(body, "model")]
    used += ["object", "id"] if normal.string(own_id) is not None else []
    used += ["usage"] if isinstance(body.get("usage"), dict) else []
    about = {
        "source": SOURCE,
        "id": normal.string(own_id),
        "model": normal.string(body.get("model")),
        "usage": body["usage"] if isinstance(body.get("usage"), dict) else None,
        "extra": normal.rest(body, *used),
        "batch": normal.rest(around),
    }
    yield Conversation(
        session_id=normal.session_name(SOURCE, own_id, record.value, record.file),
        nodes=tuple(
            Node(str(index), str(index - 1) if index else None, message) for index, message in enumerate(messages)
        ),
        file=record.file,
        line=record.line,
        created_at=normal.moment(body.get("created_at")),
        metadata={key: value for key, value in about.items() if value is not None},
    )
    for reason in odd:
        yield Defect(file=record.file, line=record.line, reason=reason)


def _body(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The response or the request of a line, and what the batch interface puts around it."""
    for key, inner in (("body", value.get("body")), ("response", normal.fields(value.get("response")).get("body"))):
        if isinstance(inner, dict) and "custom_id" in value:
            return inner, {name: what for name, what in value.items() if name != key}
    return value, {}


def _is_item(value: Any) -> bool:
    return isinstance(value, dict) and (isinstance(value.get("type"), str) or isinstance(value.get("role"), str))
