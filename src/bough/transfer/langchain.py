"""LangChain's messages as LangGraph stores them: a value's bytes → what it says, in the shape of :mod:`.normal`.

:mod:`bough.transfer.langgraph` says what the bytes are and where that was read. No class that they name is imported or
made; nothing here runs anything but the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

import msgspec

from bough.codec import decode, encode_found
from bough.transfer import normal
from bough.transfer.databases import as_bytes

_ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system", "function": "function"}
_ROLES |= {role: role for role in ("user", "assistant", "developer")}
REMOVE = "remove"
MESSAGE = ("Message", "MessageChunk")
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Made:
    """An object of the graph's program: the name of its class and what it was made of."""

    name: str
    value: Any


class Said(NamedTuple):
    """A message: how it is known again, and what :func:`bough.transfer.normal.message` makes it of. The role
    ``remove`` takes away the one of that id."""

    id: str | None
    key: bytes
    role: str
    content: str | list[normal.Part] | None
    more: dict[str, Any]


def loaded(kind: Any, data: Any, known: dict[bytes, Any]) -> Any:
    """A value of the database. ``ValueError`` where it cannot be read."""
    if kind == "null":
        return None
    if kind in ("bytes", "bytearray"):
        return data
    if kind == "json" or (kind is None and isinstance(data, str | bytes)):
        return decode(b'{"":' + as_bytes(data) + b"}").get("")
    if kind != "msgpack":
        raise ValueError(f"values of type {kind!r} are not read")
    return _unpacked(as_bytes(data), 0, known)


def _unpacked(data: bytes, depth: int, known: dict[bytes, Any]) -> Any:
    """``known`` are messages by their bytes: each checkpoint says again what those before it said."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"objects are nested deeper than {_MAX_DEPTH}")

    def made(code: int, inner: memoryview) -> Any:
        if not 0 <= code <= 7:
            return None
        key = bytes(inner)
        if code < 6 and key in known:
            return known[key]
        value = _unpacked(key, depth + 1, known)
        if code == 7:
            return Made("_DeltaSnapshot", value)
        if code == 6:
            return Made("ndarray", value[:2] if isinstance(value, list) else None)
        if not isinstance(value, list) or len(value) < 3:
            raise ValueError("an object is not (module, class, arguments)")
        one = value[2] if isinstance(value[2], str) else Made(str(value[1]), value[2])
        if isinstance(one, Made) and one.name.endswith(MESSAGE):
            known[key] = one
        return one

    try:
        return msgspec.msgpack.decode(data, ext_hook=made)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"broken MessagePack: {error}") from None


def _object(value: Any) -> Any:
    """``value``, an object of the JSON form as one of the other."""
    if isinstance(value, dict) and "lc" in value and isinstance(value.get("id"), list) and value["id"]:
        return Made(str(value["id"][-1]), value.get("kwargs"))
    return value


def is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str) and value[0] in _ROLES


def said_by(found: Any, *, raw: bool) -> Said:
    """A message, in any form that a graph may have it in. ``ValueError`` where it is none."""
    found = _object(found)
    name = found.name if isinstance(found, Made) else ""
    value = found.value if isinstance(found, Made) else found
    if isinstance(value, str):
        value = {"type": "human", "content": value}
    elif is_pair(value):
        value = {"role": value[0], "content": value[1]}
    if isinstance(value, dict) and isinstance(value.get("data"), dict):
        value = {"type": value.get("type"), **value["data"]}
    kind = name
    for key in ("role", "type"):
        if isinstance(value, dict) and isinstance(value.get(key), str):
            kind = value[key]
    kind = kind.removesuffix("Chunk").removesuffix("Message").lower()
    if kind == "chat" or kind not in (*_ROLES, REMOVE):
        kind = normal.fields(value).get("role") or kind
    if not isinstance(value, dict) or not isinstance(kind, str) or not kind or not {"content", "id"} & value.keys():
        raise ValueError(f"not a message but {name or type(value).__name__}")
    value = _plain(value)
    id_ = None if value.get("id") in (None, "") else str(value["id"])
    role = _ROLES.get(kind, kind)
    content, rest = _content(value.get("content")), normal.fields(value.get("response_metadata"))
    calls = [_call(one) for one in normal.objects(value.get("tool_calls"))]
    answers = value.get("tool_call_id")
    said = {"role": role, "content": content, "calls": calls, "answers": answers}
    model = normal.string(rest.get("model_name")) or normal.string(rest.get("model"))
    usage = normal.rest(normal.fields(value.get("usage_metadata")))
    used = ["role", "type", "id", "content", "tool_calls", "tool_call_id", "usage_metadata"]
    extra = normal.rest({key: one for key, one in value.items() if one is not False}, *used)
    more = {
        "model": model,
        "usage": usage,
        "calls": calls,
        "answers": None if answers is None else str(answers),
        "more": None if extra is None else {"extra": extra},
        "raw": value if raw else None,
    }
    digest = blake2b(encode_found(said), digest_size=16).digest()
    return Said(id_, digest, role, None if calls and not content else content, more)


def _call(one: Mapping[str, Any]) -> normal.Part:
    if isinstance(one.get("function"), dict):  # as a program that speaks OpenAI's own form put it there
        return dict(one)
    return normal.call(str(one.get("id") or ""), str(one.get("name") or ""), one.get("args"))


def _content(value: Any) -> str | list[normal.Part]:
    """Blocks as parts. A block of a tool call is left out: the call stands in ``tool_calls``."""
    if not isinstance(value, list):
        return value if isinstance(value, str) else "" if value is None else encode_found({"": value}).decode()[4:-1]
    parts: list[normal.Part] = []
    for one in value:
        if isinstance(one, str):
            parts.append(normal.text(one))
        elif not isinstance(one, dict):
            parts.append(normal.text(str(one)))
        elif one.get("type") not in ("tool_use", "tool_call", "function_call"):
            parts.append(_part(one))
    found = normal.plain(parts)
    return "" if found is None else found


def _part(block: dict[str, Any]) -> normal.Part:
    kind = block.get("type")
    if kind == "text" and isinstance(block.get("text"), str) and block.keys() <= {"type", "text", "index", "id"}:
        return normal.text(block["text"])
    if kind == "thinking" and isinstance(block.get("thinking"), str):
        return normal.thinking(block["thinking"])
    if kind in ("image_url", "image"):
        url = normal.fields(block.get("image_url")).get("url", block.get("image_url"))
        source = normal.fields(block.get("source"))
        url = normal.string(url) or normal.string(block.get("url")) or normal.string(source.get("url"))
        data = normal.string(block.get("base64")) or normal.string({**block, **source}.get("data"))
        if url is None and data is not None:
            url = f"data:;base64,{data}"
        if url is not None:
            return normal.image(normal.by_reference(url))
    return {key: _without_bytes(key, one) for key, one in block.items()}


def _without_bytes(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {inner: _without_bytes(inner, one) for inner, one in value.items()}
    if isinstance(value, str) and (key in ("data", "base64", "file_data") or value.startswith("data:")):
        return f"sha256:{sha256(value.encode(errors='surrogatepass')).hexdigest()}"
    return value


def _plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON can say it: an object as what it was made of, bytes as their digest."""
    value = _object(value)
    if depth > _MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {_MAX_DEPTH}")
    if isinstance(value, Made):
        return _plain(value.value, depth + 1)
    if isinstance(value, dict):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, bytes | bytearray):
        return f"sha256:{sha256(value).hexdigest()}"
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and value - value == 0):
        return value
    return str(value)
