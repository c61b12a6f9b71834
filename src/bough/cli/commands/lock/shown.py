"""What the commands of ``bough lock`` share: which lock is meant, and how one is shown."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import App, KeepsLocks

if TYPE_CHECKING:
    from bough.lock.inspection import Inspection

SUFFIX = ".lock"


def lock_path(app: App, path: str | None) -> str:
    """The path of a SessionLock: of PATH or PATH.lock, else of the session in the store."""
    from bough.errors import InvalidRequestError

    if path is not None:
        _refuse_both()
        return os.path.join(os.getcwd(), path.removesuffix(SUFFIX))
    with app.manager() as manager:
        if not isinstance(manager.store, KeepsLocks):
            raise InvalidRequestError(f"the store {manager.store.url} keeps no files")
        return manager.store.lock_path(manager.session_id)


def _refuse_both() -> None:
    """A session in the environment is meant for other commands; one that stands next to a PATH is a mistake."""
    ctx: click.Context | None = click.get_current_context()
    while ctx is not None:
        if ctx.get_parameter_source("session") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("name a PATH or a --session, not both")
        ctx = ctx.parent


def _time(milliseconds: int | None) -> datetime | None:
    try:
        return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # whatever another program wrote
        return None


def as_json(seen: Inspection) -> dict[str, Any]:
    from bough.codec import time_text

    holder, since = seen.holder, _time(seen.since)
    return {
        "path": seen.path,
        "file": seen.file,
        "state": seen.state,
        "reason": seen.reason,
        "holder": holder and {"pid": holder.pid, "hostname": holder.hostname, "timestamp": holder.timestamp},
        "since": since and time_text(since),
        "token": seen.token,
    }


def lines(seen: Inspection) -> list[str]:
    from bough.cli.text import plain

    colour = {"live": "red", "free": "green"}.get(seen.state, "yellow")
    shown = [f"{plain(seen.file)}: {click.style(seen.state, fg=colour, bold=True)}, {plain(seen.reason)}"]
    if seen.holder is not None:
        shown.append(f"  holder  process {seen.holder.pid} on {plain(seen.holder.hostname)}")
        since = _time(seen.since)
        shown += [f"  since   {since:%Y-%m-%d %H:%M:%S}"] if since is not None else []
    if seen.token is not None:
        shown.append(f"  token   {seen.token}")
    return shown
