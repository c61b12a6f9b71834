"""``bough add``: append a message to the current branch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bough.cli.app import App, Command, branch_json, pass_app

if TYPE_CHECKING:
    from bough.model import Message


@click.command("add", cls=Command)
@click.argument("role", required=False)
@click.argument("text", required=False)
@click.option("--message", metavar="JSON", help="A whole message instead of ROLE and TEXT; - reads it from stdin.")
@pass_app
def command(app: App, role: str | None, text: str | None, message: str | None) -> None:
    """Add a message to the current branch.

    TEXT comes from standard input where it is not given.

    \b
    bough add user "Where shall we go?"
    echo "To the sea." | bough add assistant
    bough add --message '{"role": "tool", "tool_call_id": "c1", "content": "18 °C"}'
    """
    from bough.cli.text import plain

    added = _message(role, text, message)
    with app.manager(create=True) as manager:
        manager.add_message(added)
        branch = manager.get_current_branch()
        line = f"Added message {len(branch.messages)} to {plain(branch.id)}."
        app.answer({"branch": branch_json(branch), "number": len(branch.messages)}, line)


def _message(role: str | None, text: str | None, message: str | None) -> Message:
    from bough.cli.given import parse_message, text_given

    if (role is None) == (message is None):
        raise click.UsageError("Give either ROLE [TEXT] or --message JSON.")
    if message is not None:
        return parse_message(message)
    if role is not None and role.split() != [role]:
        raise click.UsageError(f"{role!r} is no role: write `bough add user TEXT`.")
    return {"role": role, "content": text_given() if text is None else text}
