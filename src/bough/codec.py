"""Exact JSON, and the times that stand in it.

Guarantees:
1. ``decode(encode(message)) == message``, to the last bit: the order of keys, every character including U+0000,
   integers of any size, ``-0.0``, and ``5.0`` stays a float.
2. What JSON cannot say is refused with the path to the place, before anything is written, and nothing is coerced: JSON
   encoders turn NaN into null, tuples into lists and integer keys into strings in silence, so a walk of our own comes
   first. A subclass of str, int, float, dict or list (``class Role(str, Enum)``) is written as its plain value.
3. What ``encode`` has written ``decode`` reads, however deep the caller's stack is: a line must never look broken
   because of where it was read from. Hence ``MAX_DEPTH``, far below the interpreter's recursion limit.
4. A message in bytes is one line: no newline stands in it.
5. An argument is never changed.

What it deliberately does not do: know a role or any other meaning of a key, convert objects (dates, dataclasses), or
notice that another program's object has a key twice (the last one counts, as in JavaScript).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from reprlib import repr as short_repr
from sys import int_info
from time import time_ns
from typing import Any, NoReturn

import msgspec

from bough.errors import InvalidMessageError
from bough.model import Message

MAX_DEPTH = 200
"""How many dicts and lists may stand inside one another, the message itself being the first."""

dumps: Callable[[Any], bytes] = msgspec.json.Encoder().encode
"""Compact JSON of a small record of our own making: plain values only, and nothing is checked."""

_ATOMS = frozenset({str, int, bool, type(None)})
_decode_any: Callable[[bytes], Any] = msgspec.json.Decoder().decode
_decode_message: Callable[[bytes], Message] = msgspec.json.Decoder(dict[str, Any]).decode
_decode_messages: Callable[[bytes], list[Message]] = msgspec.json.Decoder(list[dict[str, Any]]).decode


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as compact UTF-8 JSON. ``InvalidMessageError`` where JSON cannot say it exactly."""
    return _encode(message, found=False)


def encode_found(message: Mapping[str, Any]) -> bytes:
    """Like :func:`encode`, for what ``decode`` took from another program's file: that was JSON already, so lone
    surrogates are written as ``\\uXXXX`` escapes and any depth is kept."""
    return _encode(message, found=True)


def encode_all(messages: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Each message encoded; the error says which one was refused (``index``)."""
    lines: list[bytes] = []
    try:
        for message in messages:
            lines.append(_encode(message, found=False))  # noqa: PERF401  (the error needs to know how many went well)
    except InvalidMessageError as error:
        raise InvalidMessageError(error.path, error.reason, index=len(lines)) from None
    return lines


def _encode(message: Mapping[str, Any], *, found: bool) -> bytes:
    if _is_plain(message):
        try:
            return dumps(message)
        except (ValueError, RecursionError):
            pass  # a lone surrogate, an integer of more than 4300 digits, or hardly any stack left
    if not isinstance(message, dict):
        raise InvalidMessageError("", f"a message is a dict, not {_kind(message)}")
    return _spell(message, found=found)


def _is_plain(message: object) -> bool:
    """Whether msgspec says exactly this, or refuses it loudly. Says no at the first doubt; ``_spell`` then decides.

    The newest container comes first, so that a cycle runs into MAX_DEPTH at once.
    """
    if type(message) is not dict:
        return False
    pending: list[tuple[Any, int]] = [(message, 1)]
    while pending:
        container, depth = pending.pop()
        if depth > MAX_DEPTH:
            return False
        if type(container) is dict:
            for key in container:
                if type(key) is not str:
                    return False
            values: Iterable[Any] = container.values()
        else:
            values = container
        for value in values:
            kind = type(value)
            if kind in _ATOMS:
                continue
            if kind is dict or kind is list:
                pending.append((value, depth + 1))
            elif kind is not float or value - value != 0.0:  # infinite or NaN: the difference is NaN
                return False
    return True


def _spell(message: dict[str, Any], *, found: bool) -> bytes:
    """The slow encoder: knows where it is, takes subclasses, spells what msgspec refuses. It does not recurse, so that
    it works on any stack."""
    out: list[bytes] = []
    pending: list[bytes | tuple[Any, str, tuple[int, ...]]] = [(message, "", ())]
    while pending:
        entry = pending.pop()
        if isinstance(entry, bytes):
            out.append(entry)
            continue
        value, path, above = entry
        if not isinstance(value, dict | list):
            out.append(_spell_atom(value, path, found=found))
            continue
        if id(value) in above:
            raise InvalidMessageError(path, "it contains itself")
        if len(above) >= MAX_DEPTH and not found:
            raise InvalidMessageError(path, f"nested deeper than {MAX_DEPTH} levels")
        above = (*above, id(value))
        todo: list[bytes | tuple[Any, str, tuple[int, ...]]] = []
        if isinstance(value, dict):
            out.append(b"{")
            for key, item in value.items():
                if not isinstance(key, str):
                    raise InvalidMessageError(path, f"the key {short_repr(key)} is {_kind(key)}, not a string")
                place = path + _step(key)
                todo += [b"," if todo else b"", _spell_atom(key, place, found=found), b":", (item, place, above)]
            todo.append(b"}")
        else:
            out.append(b"[")
            for index, item in enumerate(value):
                todo += [b"," if todo else b"", (item, f"{path}[{index}]", above)]
            todo.append(b"]")
        pending += reversed(todo)
    return b"".join(out)


def _spell_atom(value: object, path: str, *, found: bool) -> bytes:
    if value is None or isinstance(value, bool):
        return dumps(value)
    if isinstance(value, str):
        text = str.__str__(value)
        try:
            return dumps(text)
        except UnicodeEncodeError:
            if found:
                return json.dumps(text).encode()
            raise InvalidMessageError(path, "a lone surrogate, which is no character of Unicode") from None
    if isinstance(value, int):
        # Decimal converts integers of any size exactly, and is not subject to the interpreter's limit of digits.
        return str(Decimal(int.__int__(value))).encode()
    if isinstance(value, float):
        number = float.__float__(value)
        if number - number != 0.0:
            raise InvalidMessageError(path, f"JSON has no {number}")
        return dumps(number)
    raise InvalidMessageError(path, f"JSON has no {_kind(value)}")


def _step(key: str) -> str:
    return f".{key}" if key.isidentifier() else f"[{json.dumps(str.__str__(key))}]"


def _kind(value: object) -> str:
    return type(value).__name__


def decode(line: bytes) -> Message:
    """The message of one line. ``ValueError`` where it is not one whole JSON object."""
    try:
        return _decode_message(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = _decode_patiently(line)
    if not isinstance(message, dict):
        raise ValueError(f"not a JSON object but {_kind(message)}")
    return message


def decoder_of(shape: type[Any]) -> Callable[[bytes], dict[str, Any]]:
    """A ``decode`` that gives only the keys of a ``TypedDict``: the others cost no more than passing over them, and
    their texts are not looked at. An object that is not of this shape is decoded whole."""
    decode_part: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder(shape).decode

    def decode_some(line: bytes) -> dict[str, Any]:
        try:
            return decode_part(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return decode(line)

    return decode_some


def decode_block(block: bytes) -> list[Message]:
    """The messages of a block: objects separated by commas and white space, with no bracket around them.

    One call for all, as fast as decoding a whole document. ``ValueError`` where any of them is broken.
    """
    array = b"[%b]" % block
    try:
        return _decode_messages(array)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        messages: list[Message] = _decode_patiently(array)
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise ValueError(f"item {index} is not a JSON object but {_kind(message)}")
    return messages


def decode_value(data: bytes) -> Any:
    """Any JSON value, e.g. a whole document of another program. A byte order mark before it is passed over."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return _decode_any(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_patiently(data)


def _decode_patiently(data: bytes) -> Any:
    """For what msgspec refuses: either it is no JSON, or it is JSON that few programs write (a lone surrogate as an
    escape, an integer of thousands of digits), or too little stack was left, so it gets a thread's fresh one."""
    from concurrent.futures import ThreadPoolExecutor  # here, because it brings logging along and is seldom needed

    try:
        with ThreadPoolExecutor(max_workers=1) as fresh:
            return fresh.submit(_decode_by_standard_library, data).result()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(str(error)) from None


def _decode_by_standard_library(data: bytes) -> Any:
    return json.loads(data.decode(), parse_int=_integer, parse_float=_finite, parse_constant=_refuse)


def _integer(digits: str) -> int:
    """``int(digits)`` without the interpreter's limit, which an application may set as low as 640 digits."""
    if digits.startswith("-"):
        return -_integer(digits[1:])
    if len(digits) <= int_info.str_digits_check_threshold:
        return int(digits)
    half = len(digits) // 2
    shift: int = 10**half
    return _integer(digits[:-half]) * shift + _integer(digits[-half:])


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise ValueError(f"{short_repr(text)} is beyond what a float can hold")
    return number


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def same_in_javascript(left: Any, right: Any) -> bool:
    """Whether two decoded values are equal after JavaScript's ``JSON.parse``: every number is a double there, and the
    order of keys means nothing. Tells whether another program that rewrote a file left a message as it was."""
    pending = [(left, right)]
    while pending:
        a, b = pending.pop()
        if isinstance(a, dict):
            if not isinstance(b, dict) or a.keys() != b.keys():
                return False
            pending += [(a[key], b[key]) for key in a]
        elif isinstance(a, list):
            if not isinstance(b, list) or len(a) != len(b):
                return False
            pending += zip(a, b, strict=True)
        elif _is_number(a) and _is_number(b):
            if _double(a) != _double(b):
                return False
        elif type(a) is not type(b) or a != b:
            return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def now() -> datetime:
    """The present moment, aware, in UTC, cut to milliseconds: what a file gives back."""
    return datetime.fromtimestamp(time_ns() // 1_000_000 / 1000, UTC)


def time_text(moment: datetime) -> str:
    """``2026-11-20T10:00:00.000Z``, as JavaScript's ``toISOString`` prints it. ``ValueError`` for a naive time."""
    if moment.tzinfo is not UTC:
        moment = _in_utc(moment)
    return moment.isoformat("T", "milliseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """An ISO 8601 time with an offset or ``Z``, in UTC, cut to milliseconds. ``ValueError`` for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"{short_repr(text)} is not an ISO 8601 time") from None
    if moment.tzinfo is not UTC:
        moment = _in_utc(moment)
    return moment - timedelta(microseconds=moment.microsecond % 1000)


def _in_utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError(f"{moment} has no offset from UTC")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment} is outside the years 1 to 9999 in UTC") from None
