"""``bough sessions``: the conversations of a store, their names, and those that were deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bough.cli.app import SESSION, App, Command, Group, pass_app

if TYPE_CHECKING:
    from bough.stores.base import Store


@click.group("sessions", cls=Group, invoke_without_command=True)
@click.option("--deleted", is_flag=True, help="Those that were deleted and can be restored.")
@click.option("--label", "labels", multiple=True, metavar="L", help="Those with this label, with all if given again.")
@click.option("--archived", is_flag=True, help="Those that are archived.")
@click.option("--all", "everything", is_flag=True, help="Also those that are archived.")
@click.pass_context
def command(ctx: click.Context, deleted: bool, labels: tuple[str, ...], archived: bool, everything: bool) -> None:
    """List the sessions of the store; rename, delete or restore one.

    A session is one conversation with all its branches. `bough describe
    --whole-session` gives it a title and labels, or archives it.

    \b
    bough sessions
    bough sessions --label travel
    bough --session trip log     look into one of them
    bough sessions rename trip journey
    bough sessions delete journey
    bough sessions --deleted
    bough sessions restore journey
    """
    if ctx.invoked_subcommand is None:
        if deleted and (labels or archived or everything):
            raise click.UsageError("--deleted goes alone")
        if archived and everything:
            raise click.UsageError("--archived and --all exclude each other")
        wanted = None if everything else archived
        _list(ctx.ensure_object(App), deleted=deleted, labels=labels, archived=wanted)
    elif deleted or labels or archived or everything:
        raise click.UsageError("--deleted, --label, --archived and --all are for the list of sessions")


def _list(app: App, *, deleted: bool, labels: tuple[str, ...], archived: bool | None) -> None:
    from bough.attributes import has_labels, is_archived, labels_of, title_of
    from bough.cli.text import plain
    from bough.codec import time_text

    with app.store() as store:
        if deleted:
            kept = store.sessions(deleted=True)
            app.answer({"deleted": kept}, *(map(plain, kept) if kept else ["No deleted sessions."]))
            return
        every = (store.load(session_id) for session_id in store.sessions())
        states = [state for state in every if has_labels(state.attributes, labels)]
    hidden = 0
    found = []
    rows = []
    for state in states:
        app.warn_of(state)
        if archived not in (None, is_archived(state.attributes)):
            hidden += archived is False
            continue
        head = state.branches.get(state.head or "")
        updated = max((record.updated_at for record in state.branches.values()), default=None)
        found.append(
            {
                "id": state.session_id,
                "branches": len(state.branches),
                "head": state.head,
                "length": head and head.length,
                "updated_at": updated and time_text(updated),
                "title": title_of(state.attributes) or None,
                "labels": labels_of(state.attributes),
                "archived": is_archived(state.attributes),
            }
        )
        columns: list[object] = [state.session_id, len(state.branches), state.head or "", head.length if head else ""]
        rows.append([*columns, updated or "", title_of(state.attributes), ", ".join(labels_of(state.attributes))])
    app.answer({"sessions": found, "hidden": hidden}, *_lines(rows, hidden, is_filtered=bool(labels or archived)))


def _lines(rows: list[list[object]], hidden: int, *, is_filtered: bool) -> list[str]:
    """The table, without the columns of title and labels where none has any; what is not in it."""
    from bough.cli.text import count, table

    head = ["session", "branches", "current", "messages", "changed", "title", "labels"]
    while len(head) > 5 and not any(row[len(head) - 1] for row in rows):
        head.pop()
    lines = table(head, [row[: len(head)] for row in rows]) if rows else []
    if hidden:
        lines.append(f"{count(hidden, 'archived session')} not shown: `bough sessions --all`")
    return lines or ["No such sessions." if is_filtered else "No sessions yet."]


@command.command("rename", cls=Command)
@click.argument("id_", type=SESSION, metavar="SESSION")
@click.argument("new_id", metavar="NEW")
@pass_app
def rename(app: App, id_: str, new_id: str) -> None:
    """Give a session another id. Branches and operations stay as they are.

    \b
    bough sessions rename default trip
    """
    from bough.cli.text import plain

    with app.store() as store:
        _check(store, id_)
        store.move(id_, new_id)
        app.answer({"from": id_, "to": new_id}, f"Session {plain(id_)} is {plain(new_id)} now.")


@command.command("delete", cls=Command)
@click.argument("id_", type=SESSION, metavar="SESSION")
@pass_app
def delete(app: App, id_: str) -> None:
    """Delete a session, so that it can be restored.

    It is set aside with all it has; `bough sessions --deleted` lists what is.

    \b
    bough sessions delete trip
    bough sessions restore trip
    """
    from bough.cli.text import plain

    with app.store() as store:
        kept = store.move(id_, None)
        app.answer(
            {"deleted": id_, "kept_as": kept},
            f"Deleted session {plain(id_)}. It is kept as {plain(kept)}: `bough sessions restore ID` brings it back.",
        )


@command.command("restore", cls=Command)
@click.argument("id_", type=SESSION, metavar="SESSION")
@click.option("--as", "new_id", metavar="ID", help="The id that it gets; the one that it had if absent.")
@pass_app
def restore(app: App, id_: str, new_id: str | None) -> None:
    """Bring a deleted session back: by its old id the one deleted last.

    \b
    bough sessions restore trip
    bough sessions restore trip@2026-11-21T05:45:00.123Z --as trip-2
    """
    from bough.cli.text import plain
    from bough.errors import SessionNotFoundError

    with app.store() as store:
        deleted = store.sessions(deleted=True)
        of_that_id = [kept for kept in deleted if kept.rpartition("@")[0] == id_]
        kept = id_ if id_ in deleted else max(of_that_id, default=None)
        if kept is None:
            error = SessionNotFoundError(id_)
            error.hint = "`bough sessions --deleted` lists what can be restored"
            raise error
        restored = store.move(kept, kept.rpartition("@")[0] if new_id is None else new_id)
        app.answer({"from": kept, "restored": restored}, f"Session {plain(restored)} is back.")


def _check(store: Store, session_id: str) -> None:
    """``SessionNotFoundError`` where it is none: :meth:`Store.move` would take the id of a deleted one, too."""
    from bough.errors import SessionNotFoundError

    if session_id not in store.sessions():
        raise SessionNotFoundError(session_id)
