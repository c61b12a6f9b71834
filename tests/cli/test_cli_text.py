"""Text for terminals. Numbers cite the module's docstring."""

from __future__ import annotations

import json

import pytest

from bough.cli.text import count, first_line, fit, json_line, plain, plain_lines, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\x07b\x00c\x7f", r"a\x07b\x00c\x7f"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202eb\u2028c\u200b", r"a\u202eb\u2028c\u200b"),
        ("\ud800", r"\ud800"),
        ("naïve 日本語 👩\u200d💻 a\u00a0b", "naïve 日本語 👩\u200d💻 a\u00a0b"),
    ],
)
def test_unsafe_characters_are_escapes(text: str, shown: str) -> None:
    """1"""
    assert plain(text) == shown


def test_lines_keep_their_breaks_and_nothing_else() -> None:
    """1"""
    assert plain_lines("a\r\n\tb\rc\n\x1b") == ["a", "    b\\rc", "\\x1b"]


def test_the_first_line_is_the_first_that_says_something() -> None:
    assert first_line("\n\n  a \t b\x1b \nc") == "a b\\x1b"
    assert first_line("") == ""


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
    ],
)
def test_text_is_cut_by_cells(text: str, width: int, cut: str) -> None:
    """2"""
    assert fit(text, width) == cut


def test_columns_line_up_by_cells() -> None:
    """2"""
    lines = table(("id", "n", "x"), [("日本", 1234, "é"), ("a\x1b", 5, "")])
    assert lines[1:] == ["日本   1,234  é", "a\\x1b      5"]


def test_counts() -> None:
    assert [count(1, "message"), count(1000, "message"), count(2, "branch")] == [
        "1 message",
        "1,000 messages",
        "2 branches",
    ]


def test_json_is_exact_and_drives_no_terminal() -> None:
    value = {"a": 2**200, "b": 5.0, "c": "\x1b\x9b\u202e\x7f\u2028é", "d": "\ud800"}
    line = json_line(value)
    assert json.loads(line) == value
    assert b"5.0" in line
    assert "é" in line.decode()
    assert not set(line.decode()) & set("\x1b\x9b\u202e\x7f\u2028")
