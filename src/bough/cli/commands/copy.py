"""``bough copy``: sessions into another store, or under another id; a backup is a copy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import App, Command, pass_app

if TYPE_CHECKING:
    from bough.copying import CopyResult, Progress

_COUNTS = ("operations", "branches", "messages", "verified", "lost")


@click.command("copy", cls=Command)
@click.argument("sessions", nargs=-1, metavar="[SESSION]...")
@click.option("--from", "source", metavar="URL", help="The store to copy from; the one of --store if absent.")
@click.option("--to", "destination", metavar="URL", help="The store to copy to; not needed with --as.")
@click.option("--as", "new_id", metavar="ID", help="The id of the copy, where one session is copied.")
@click.option(
    "--all", "everything", is_flag=True, help="All sessions, also where --session or BOUGH_SESSION names one."
)
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    sessions: tuple[str, ...],
    source: str | None,
    destination: str | None,
    new_id: str | None,
    everything: bool,
) -> None:
    """Copy sessions to another store, or back them up.

    Without SESSION or --session it copies all. Branches, messages, their
    identities, operations and times are kept, and others may write meanwhile.
    Made again, it brings what is new; interrupted, it goes on where it was.
    A session of that name that went its own way since is left as it is.

    \b
    bough copy --to sqlite:talks.db            all sessions
    bough copy --to backup trip                one, to a folder
    bough copy --from sqlite:talks.db --to x   the way back
    bough copy trip --as trip-2                beside it, in the same store
    """
    from bough.cli.failures import EXIT_CODES
    from bough.cli.text import count, plain
    from bough.copying import are_one, copy_session
    from bough.errors import BoughError, InvalidRequestError, StoreUnavailableError

    if destination is None and new_id is None:
        raise click.UsageError("say where to: --to URL, or --as ID for a copy in the same store")
    results: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    code = 0
    with app.store(source) as here, app.store(destination or source) as there:
        chosen = list(sessions) or ([app.session] if app.session is not None else [])
        ids = here.sessions() if everything or not chosen else chosen
        if new_id is not None and len(ids) != 1:
            raise click.UsageError("--as is for one session: name it")
        if new_id in (None, *ids) and are_one(here, there):
            raise InvalidRequestError(
                "a session cannot be copied onto itself", hint="give the copy another id: --as ID"
            )
        if not ids:
            raise InvalidRequestError(f"{here.url} has no sessions to copy", hint="is it the right URL?")
        with _progress(ids, quiet=app.json) as progress:
            for at, session in enumerate(ids):
                try:
                    result = copy_session(here, there, session, new_id=new_id, progress=progress(at))
                except StoreUnavailableError:
                    raise
                except BoughError as error:
                    if len(ids) == 1:
                        raise
                    code = code or EXIT_CODES.get(type(error), 1)
                    text = {"type": type(error).__name__, "message": str(error), "hint": error.hint}
                    failed.append({"session": session, **text})
                else:
                    results.append(_as_json(session, result))
        places = {"from": here.url, "to": there.url}
    total = {name: sum(each[name] for each in results) for name in _COUNTS}
    _warn(app, results, failed)
    new = ", ".join(count(total[f"{noun}s"], noun) for noun in ("operation", "message"))
    lines = [
        f"Copied {count(len(results), 'session')} to {plain(there.url)}.",
        f"New: {new}. Compared: {count(total['verified'], 'message')}.",
    ]
    app.answer({**places, "sessions": results, "failed": failed}, *lines)
    ctx.exit(code)


def _warn(app: App, results: list[dict[str, Any]], failed: list[dict[str, Any]]) -> None:
    from bough.cli.text import count

    for each in failed:
        app.warn(f"{each['message']}; {each['hint']}" if each["hint"] else each["message"])
    for each in results:
        if each["lost"]:
            of = count(each["lost"], "message")
            app.warn(f"session {each['session']!r}: {of} that only its log of operations knows cannot be read any more")


def _as_json(session: str, result: CopyResult) -> dict[str, Any]:
    return {"session": session, "copy": result.session_id, **{name: getattr(result, name) for name in _COUNTS}}


@contextmanager
def _progress(ids: list[str], *, quiet: bool) -> Iterator[Callable[[int], Progress]]:
    """For each session in turn, by its place, who hears of its progress; a bar on a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from bough.cli.text import fit, plain

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Copying", total=len(ids))

        def hearer(at: int) -> Progress:
            bar.update(task, description=f"Copying {fit(plain(ids[at]), 30)}")
            return lambda done, total: bar.update(task, completed=at + (done / total if total else 1))

        yield hearer
