"""``bough lock status``: who holds it, and why it is judged so."""

from __future__ import annotations

import click

from bough.cli.app import App, Command, pass_app
from bough.cli.commands.lock.shown import as_json, lines, lock_path


@click.command("status", cls=Command)
@click.argument("path", type=click.Path(), required=False)
@pass_app
def command(app: App, path: str | None) -> None:
    """Show who holds the lock, and why it is judged so.

    Without PATH it is the lock of the session. It is live, stale, corrupt, empty or
    free; all but a live one can be taken.

    \b
    bough lock status chat.json
    bough lock status --session trip
    """
    from bough.lock.inspection import inspect_lock

    seen = inspect_lock(lock_path(app, path))
    app.answer(as_json(seen), *lines(seen))
