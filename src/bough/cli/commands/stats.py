"""``bough stats``: how much a session holds, and what sharing saves."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from bough.cli.app import App, Command, pass_app

_KEYS = ("branches", "archived", "tags", "operations", "messages", "copies", "bytes", "copied_bytes")


@click.command("stats", cls=Command)
@pass_app
def command(app: App) -> None:
    """Count branches, messages, tool calls, and what sharing saves.

    Branches share the messages that they have in common; saved is what they
    would take were each to keep its own.

    \b
    bough stats
    bough --session trip stats
    """
    from bough.cli.text import plain, size

    with app.manager() as manager:
        with _progress(quiet=app.json) as progress:
            stats = manager.stats(progress)
        archived = f" ({stats.archived:,} archived)" if stats.archived else ""
        rows = [
            ("branches", f"{stats.branches:,}{archived}"),
            ("tags", f"{stats.tags:,}"),
            ("operations", f"{stats.operations:,}"),
            ("messages", f"{stats.messages:,} ({size(stats.bytes)})"),
            ("in branches", f"{stats.copies:,}, {stats.shared:.0%} of them shared"),
            ("saved by sharing", size(stats.saved_bytes)),
            ("tool calls", f"{stats.tool_calls:,}"),
            *((f"role {plain(role)}", f"{number:,}") for role, number in stats.roles.items()),
        ]
        width = max(len(name) for name, _ in rows)
        result = {key: getattr(stats, key) for key in _KEYS}
        result |= {
            "saved_bytes": stats.saved_bytes,
            "shared": stats.shared,
            "tool_calls": stats.tool_calls,
            "roles": stats.roles,
        }
        app.answer(result, *(f"{click.style(name.ljust(width), dim=True)}  {value}" for name, value in rows))


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], object]]:
    """Hears how many messages of how many were read; a bar on a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
