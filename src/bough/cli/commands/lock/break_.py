"""``bough lock break``: remove a lock file that was left behind."""

from __future__ import annotations

import click

from bough.cli.app import App, Command, pass_app
from bough.cli.commands.lock.shown import as_json, lines, lock_path


@click.command("break", cls=Command)
@click.argument("path", type=click.Path(), required=False)
@click.option("--force", is_flag=True, help="Remove a live lock, too.")
@pass_app
def command(app: App, path: str | None, force: bool) -> None:
    """Remove a lock file that was left behind.

    It is not needed for going on: whoever takes the lock next removes a stale one. A
    live lock is left alone without --force. Forced, its holder's next commit is
    refused; other Bough programs still wait until it lets go or ends.

    \b
    bough lock break chat.json
    bough lock break chat.json --force
    """
    from bough.cli.text import plain
    from bough.lock.inspection import break_lock, inspect_lock

    seen = break_lock(lock_path(app, path), force=force)
    is_removed = seen.state != "free"
    done = f"Removed {plain(seen.file)}." if is_removed else "Nothing was removed."
    if seen.state == "live" and inspect_lock(seen.path).state == "live":
        app.warn(f"{seen.path} is not free yet: its holder still has the kernel lock, or another took it just now")
    app.answer({**as_json(seen), "removed": is_removed}, *lines(seen), done)
