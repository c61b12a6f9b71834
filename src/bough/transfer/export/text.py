"""Text for exports: times, first lines, what is safe to show."""

from __future__ import annotations

import json
import re
from datetime import datetime

from bough.codec import decode_value
from bough.model import Message
from bough.parts import gist
from bough.transfer import normal

DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What could drive a terminal, or show a line in another order than it has: controls, separators, bidi overrides."""


def time_of(message: Message) -> datetime | None:
    """When it was said, as its metadata or the message itself knows."""
    metadata = normal.fields(message.get("metadata"))
    return normal.moment(metadata.get("time")) or normal.moment(message.get("timestamp"))


def first_line(message: Message, size: int) -> str:
    """The first line that is not blank, of at most ``size`` characters, with white space and controls as one space."""
    text = gist(message).lstrip()[: 20 * size]
    line = text.splitlines()[0] if text else ""
    line = " ".join(printable(line).split())
    return line if len(line) <= size else line[: size - 1].rstrip() + "…"


def indented(text: str) -> str:
    """JSON as people read it; what is no JSON stays as it is."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = decode_value(text.encode(errors="surrogatepass"))
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def utf8(text: str) -> bytes:
    """The text encoded; a lone surrogate, which no encoding has, as the replacement character."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text).encode()


def printable(text: str) -> str:
    """The text for a line: controls and what is no character are spaces. What joins signs to one emoji stays."""
    return "".join(char if char.isprintable() or char in "\u200c\u200d" else " " for char in text)


def visible(text: str) -> str:
    """The text with one sort of line ends, and what is ``DRIVING`` as escapes: ``\\x1b``."""
    text = text.replace("\r\n", "\n")
    return DRIVING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
