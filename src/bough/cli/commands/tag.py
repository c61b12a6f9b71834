"""``bough tag``: names for states of a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import REVISION, TAG, App, Command, pass_app

if TYPE_CHECKING:
    from bough.attributes import Tag


@click.command("tag", cls=Command)
@click.argument("name", required=False)
@click.argument("revision", type=REVISION, required=False)
@click.option("-d", "--delete", metavar="NAME", type=TAG, help="Take a tag away; its messages stay.")
@pass_app
def command(app: App, name: str | None, revision: str | None, delete: str | None) -> None:
    """List the tags, or give a state of a conversation a name.

    REVISION is the current branch where none is given. A tag stays what it was,
    whatever becomes of the branch, and `bough gc` keeps its messages.

    \b
    bough tag
    bough tag v1
    bough tag before-the-trip main~3
    bough tag -d v1
    """
    from bough.cli.text import count, plain, table
    from bough.errors import RevisionNotFoundError
    from bough.history import length
    from bough.revisions import short_ids

    if delete is not None and name is not None:
        raise click.UsageError("-d takes the one tag to delete, and nothing else.")
    with app.manager() as manager:
        if delete is not None:
            try:
                manager.untag(delete)
            except RevisionNotFoundError as error:
                error.hint = "`bough tag` lists the tags"
                raise
            app.answer({"deleted": delete}, f"Deleted tag {plain(delete)}. `bough undo` brings it back.")
        elif name is not None:
            tag = manager.tag(name, "HEAD" if revision is None else revision)
            of = "" if tag.branch_id is None else f" of {plain(tag.branch_id)}"
            app.answer(
                {"tag": _as_json(tag)}, f"Tagged {count(length(tag.history), 'message')}{of} as {plain(tag.name)}."
            )
        else:
            tags = manager.tags().values()
            short = short_ids(manager.store.load(manager.session_id).branches.values())
            rows = [
                (
                    tag.name,
                    tag.branch_id or "",
                    length(tag.history),
                    short(tag.history[-1].segment, tag.history[-1].stop - 1) if tag.history else "",
                    tag.at,
                )
                for tag in tags
            ]
            lines = table(("tag", "branch", "messages", "up to", "set"), rows) if rows else ["No tags yet."]
            app.answer({"tags": [_as_json(tag) for tag in tags]}, *lines)


def _as_json(tag: Tag) -> dict[str, Any]:
    from bough.codec import time_text
    from bough.history import length

    return {
        "name": tag.name,
        "branch": tag.branch_id,
        "length": length(tag.history),
        "id": [tag.history[-1].segment, tag.history[-1].stop - 1] if tag.history else None,
        "at": time_text(tag.at),
    }
