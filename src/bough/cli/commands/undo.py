"""``bough undo``: take the last operation back."""

from __future__ import annotations

import click

from bough.cli.app import App, Command, pass_app


@click.command("undo", cls=Command)
@pass_app
def command(app: App) -> None:
    """Take back the session's last operation.

    Once more takes back the one before it. Operations are create, fork, switch,
    merge, rename, delete, import, and a list of messages that was replaced.
    Added messages are none: what was added since stays.

    \b
    bough undo
    """
    from bough.cli.text import plain
    from bough.codec import time_text

    with app.manager() as manager:
        undone = manager.undo()
        head = manager.get_current_branch_id()
        result = {
            "operation": undone.operation,
            "kind": undone.kind,
            "at": time_text(undone.at),
            "branches": list(undone.branch_ids),
            "head": head,
        }
        of = f" of {', '.join(map(plain, undone.branch_ids))}" if undone.branch_ids else ""
        kind = "switch" if undone.kind == "checkout" else undone.kind
        app.answer(result, f"Undid operation {undone.operation}: the {kind}{of}. On {plain(head)} now.")
