"""What a command is given to write: a text from standard input, a whole message as JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from bough.model import Message


def parse_message(text: str) -> Message:
    """The message of ``--message JSON``; of ``-`` that on standard input. ``UsageError`` where it is none."""
    from bough.codec import decode

    try:
        given = _standard_input() if text == "-" else text
        message = decode(given.encode())
        json.loads(given, object_pairs_hook=_once, parse_int=str, parse_float=str)
        return message
    except ValueError as error:
        raise click.UsageError(f"--message: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    """``ValueError`` for an object that has a key twice: one of the two values would be lost."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} stands there twice")
        seen.add(key)


def text_given() -> str:
    """The text on standard input, less its last newline. ``UsageError`` where there is none."""
    return _standard_input().removesuffix("\n").removesuffix("\r")


def _standard_input() -> str:
    stream = sys.stdin.buffer
    if stream.isatty():
        click.echo("Type the message; Ctrl-D on a line of its own ends it.", err=True)
    data = stream.read()
    if not data:
        raise click.UsageError('Nothing on standard input; an empty TEXT is written "".')
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"Standard input is not UTF-8: {error}") from None
