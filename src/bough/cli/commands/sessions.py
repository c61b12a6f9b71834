"""``bough sessions``: the conversations of a store."""

from __future__ import annotations

import click

from bough.cli.app import App, Command, pass_app


@click.command("sessions", cls=Command)
@pass_app
def command(app: App) -> None:
    """List the sessions of the store.

    A session is one conversation with all its branches.

    \b
    bough sessions
    bough --session trip log     look into one of them
    """
    from bough.cli.text import table
    from bough.codec import time_text

    with app.store() as store:
        states = [store.load(session_id) for session_id in store.sessions()]
    found = []
    rows = []
    for state in states:
        app.warn_of(state)
        head = state.branches.get(state.head or "")
        updated = max((record.updated_at for record in state.branches.values()), default=None)
        found.append(
            {
                "id": state.session_id,
                "branches": len(state.branches),
                "head": state.head,
                "length": head and head.length,
                "updated_at": updated and time_text(updated),
            }
        )
        rows.append(
            (state.session_id, len(state.branches), state.head or "", head.length if head else "", updated or "")
        )
    lines = table(("session", "branches", "current", "messages", "changed"), rows) if rows else ["No sessions yet."]
    app.answer({"sessions": found}, *lines)
