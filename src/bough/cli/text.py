"""Text for terminals: safe, measured in cells, cut and lined up.

1. :func:`plain` leaves no character that could drive a terminal or reorder a line: control and format characters,
   line and paragraph separators and lone surrogates are shown as escapes. (The joiners that emoji and Indic scripts
   need are kept: they only act on their neighbours.)
2. Widths are cells, as terminals count them: a wide character is two, a combining one none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
_DRIVING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text: str, *, keep: str = "") -> str:
    """``text`` with unsafe characters as escapes, except those of ``keep``."""
    if text.isprintable():
        return text
    return "".join(_escape(char) if _is_unsafe(char) and char not in keep else char for char in text)


def _is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE and char not in _JOINERS


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def plain_lines(text: str) -> list[str]:
    """The lines of ``text``, each safe, with tabs as spaces."""
    return [plain(line, keep="\t").expandtabs(4) for line in text.replace("\r\n", "\n").split("\n")]


def first_line(text: str) -> str:
    """The first line that is not blank, safe, with runs of white space as one space."""
    beginning = text.lstrip()[:1000]
    return plain(" ".join(beginning.split("\n", 1)[0].split()))


def width_of(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def fit(text: str, width: int) -> str:
    """``text``, cut to ``width`` cells where it is longer."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Columns lined up, two spaces apart, under a dim head; numbers to the right."""
    from click import style

    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(width_of, column)) for column in zip(head, *cells, strict=True)]
    numeric = [all(re.fullmatch(r"[\d,]*", row[at]) for row in cells) for at in range(len(head))]
    lines = [
        "  ".join(
            " " * (width - width_of(cell)) + cell if right else pad(cell, width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in [head, *cells]
    ]
    return [style(lines[0], dim=True), *lines[1:]]


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    return f"{value:,}" if isinstance(value, int) else plain(str(value))


def count(number: int, noun: str) -> str:
    """``1 message``, ``2 messages``, ``3 branches``."""
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def size(number: int) -> str:
    """``512 bytes``, ``3.4 kB``, ``1.2 GB``."""
    from rich.filesize import decimal

    return decimal(number)


def json_line(value: dict[str, Any]) -> bytes:
    """One line of UTF-8 JSON without its newline: values exact, driving characters as escapes."""
    from bough.codec import encode_found

    text = encode_found(value).decode()
    return _DRIVING.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
