"""``bough gc``: give up messages that nothing needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import App, Command, pass_app
from bough.cli.durations import DURATION

if TYPE_CHECKING:
    from bough.retention import GarbageReport

_KEYS = ("messages", "bytes", "unreachable", "in_branches", "for_tags", "for_undo", "undo_to", "operation")


@click.command("gc", cls=Command)
@click.option("--keep", type=DURATION, metavar="AGE", help="Keep what undoing younger operations needs: 12h, 30d, 8w.")
@click.option("--keep-operations", type=click.IntRange(min=0), metavar="N", help="And what the last N of them need.")
@click.option("--unreachable", is_flag=True, help="Also what nothing has or ever had: a killed import leaves it.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@click.option("--all", "everything", is_flag=True, help="All sessions of the store.")
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    keep: timedelta | None,
    keep_operations: int | None,
    unreachable: bool,
    dry_run: bool,
    everything: bool,
) -> None:
    """Give up messages that no branch, tag or undo needs.

    Kept is what stands in a branch or a tag, and what undoing the operations of
    the last 30 days needs (or what `bough describe --whole-session --retention`
    says). Others may read and write meanwhile.

    An import that was killed leaves messages behind that no branch has or ever
    had; `bough fsck` names them, and --unreachable gives them up, too. But a
    copy INTO this session that was interrupted cannot go on afterwards: copy it
    under another id then (`bough copy --as ID`). Everything is read for that,
    and other writers wait.

    \b
    bough gc --dry-run
    bough gc --keep 8w
    bough gc --keep-operations 100
    bough gc --unreachable
    """
    from bough.cli.failures import EXIT_CODES
    from bough.errors import BoughError, StoreUnavailableError
    from bough.manager import DEFAULT_SESSION, ConversationBranchManager

    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    lines: list[str] = []
    code = 0
    with app.store() as store:
        for session_id in store.sessions() if everything else [app.session or DEFAULT_SESSION]:
            try:
                with ConversationBranchManager(session_id, store=store, create=False) as manager:
                    report = manager.gc(
                        keep=keep, keep_operations=keep_operations, unreachable=unreachable, dry_run=dry_run
                    )
            except StoreUnavailableError:
                raise
            except BoughError as error:
                if not everything:
                    raise
                code = code or EXIT_CODES.get(type(error), 1)
                text = {"type": type(error).__name__, "message": str(error), "hint": error.hint}
                failed.append({"session": session_id, **text})
                app.warn(f"session {session_id!r}: {error}")
                continue
            done.append({"session": session_id, **{key: getattr(report, key) for key in _KEYS}})
            lines += _lines(report, session_id if everything else None, dry_run=dry_run)
    app.answer({"sessions": done, "failed": failed, "dry_run": dry_run}, *lines)
    ctx.exit(code)


def _lines(report: GarbageReport, session_id: str | None, *, dry_run: bool) -> list[str]:
    from bough.cli.text import count, plain, size

    of = f"{count(report.messages, 'message')} ({size(report.bytes)})"
    if report.unreachable:
        of += f", {report.unreachable:,} unreachable"
    verb = "Would free" if dry_run else "Freed"
    first = f"{verb} {of}." if report.messages else "Nothing to free."
    undo = f"{report.for_undo:,} for undo"
    if report.undo_to is not None:
        undo += f" back to operation {report.undo_to}"
    kept = f"Kept: {count(report.in_branches, 'message')} in branches, {report.for_tags:,} more for tags, {undo}."
    return [first, kept] if session_id is None else [f"{plain(session_id)}: {first} {kept}"]
