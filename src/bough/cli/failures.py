"""Errors as people and programs see them: ``error:`` and ``hint:`` lines or one JSON object, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bough.cli.app import App
from bough.cli.text import plain
from bough.errors import BoughError, BranchMovedError, CorruptBranchError, MergeConflictError, SessionLockedError
from bough.model import LockInfo

EXIT_CODES: dict[type[Exception], int] = {BranchMovedError: 3, SessionLockedError: 4, CorruptBranchError: 5}
INTERRUPTED = 130


def report(error: Exception, app: App, args: Sequence[str], *, color: bool | None) -> int | None:
    """Tells of an error and returns the exit code; None where it is nobody's mistake but our own."""
    if isinstance(error, click.Abort):
        return INTERRUPTED
    if isinstance(error, BoughError):
        code, message, hint = EXIT_CODES.get(type(error), 1), str(error), error.hint
    elif isinstance(error, click.ClickException):
        code, message, hint = error.exit_code, error.format_message(), _usage(error)
    elif isinstance(error, OSError):
        code, message, hint = 1, str(error), ""
    else:
        return None
    ours = args[: args.index("--")] if "--" in args else args  # what follows may be another program's
    if app.json or "--json" in ours:
        detail = {"type": type(error).__name__, "message": message, "hint": hint, **_attributes(error)}
        try:
            app.answer_json({"error": detail, "warnings": app.warnings})
            return code
        except OSError as unwritten:  # stdout is what failed, as a rule: then the error can only go to stderr
            message, hint = (message, hint) if isinstance(error, OSError) else (f"{message}; {unwritten}", hint)
            code = 1
    click.echo(click.style("error: ", fg="red", bold=True) + plain(message), err=True, color=color)
    if hint:
        click.echo(click.style("hint: ", fg="cyan") + plain(hint), err=True, color=color)
    return code


def _usage(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"`{error.ctx.command_path} --help` shows how it goes"
    return ""


def _attributes(error: Exception) -> dict[str, Any]:
    """The ids and places that an error of ours carries."""
    found: dict[str, Any] = {}
    for name, value in vars(error).items() if isinstance(error, BoughError) else ():
        if isinstance(value, LockInfo):
            found[name] = {"pid": value.pid, "hostname": value.hostname, "timestamp": value.timestamp}
        elif isinstance(error, MergeConflictError) and name == "conflicts":
            from bough.cli.conflicts import conflict_json

            found[name] = [conflict_json(*each) for each in zip(error.numbers, value, strict=True)]
        elif isinstance(value, str | int | None):
            found[name] = value
    return found
