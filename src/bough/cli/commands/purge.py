"""``bough purge``: erase messages for good."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from bough.cli.app import REVISION, App, Command, pass_app

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager
    from bough.retention import PurgeReport

_SHOWN = 20
"""How many messages are shown before they go."""


@click.command("purge", cls=Command)
@click.argument("revisions", nargs=-1, required=True, type=REVISION, metavar="REVISION...")
@click.option("--dry-run", is_flag=True, help="Say what would go, and do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_app
@click.pass_context
def command(ctx: click.Context, app: App, revisions: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Erase messages for good: a password, a name.

    Of each REVISION the last message goes; of a range A..B what B has and A has
    not. It goes from all branches and tags, the log of operations, what was set
    aside, and the search index. No undo brings it back. Copies of the session
    elsewhere are not touched.

    \b
    bough purge main:4 --dry-run
    bough purge main:4
    bough purge main:3..main:7 --yes
    """
    from bough.cli.text import count

    with app.manager() as manager:
        report = manager.purge(*revisions, dry_run=True)
        shown = _shown(manager, report)
        is_asked = not dry_run and not yes and report.messages > 0
        if is_asked:
            if app.json or not sys.stdin.isatty():
                raise click.UsageError("nothing was erased: without a terminal to ask on, --yes is needed")
            for line in shown:
                click.echo(line, err=True)
            if not click.confirm("Erase for good?", err=True):
                click.echo("Nothing was erased.", err=True)
                ctx.exit(1)
        if not dry_run:
            # by identity: a revision could mean another message by now
            report = manager.purge(*report.history)
        done = "Would erase" if dry_run else "Erased"
        lines = [f"{done} {count(report.messages, 'message')}." if report.messages else "Nothing to erase."]
        if report.other_wordings:
            lines.append(f"The session still has {count(report.other_wordings, 'other wording')} of what was edited.")
        app.answer(
            {
                "messages": [f"{segment}.{at}" for segment, start, stop in report.history for at in range(start, stop)],
                "branches": [{"branch": id_, "number": at + 1} for id_, at in report.branches.items()],
                "tags": list(report.tags),
                "other_wordings": report.other_wordings,
                "dry_run": dry_run,
                "operation": report.operation,
            },
            *(() if is_asked else shown),
            *lines,
        )


def _shown(manager: ConversationBranchManager, report: PurgeReport) -> list[str]:
    """The messages, and who holds them."""
    from bough.cli.drawing import fit_after, role_label, style_role
    from bough.cli.text import first_line, plain
    from bough.fsck import readable
    from bough.history import cut
    from bough.parts import gist

    lines = []
    readables = readable(manager.store, manager.session_id, cut(report.history, 0, min(_SHOWN, report.messages)))
    for message in manager.read_messages(readables):
        role = role_label(message)
        start = f"  {style_role(role, role)} "
        lines.append(start + fit_after(start, first_line(gist(message)), 79))
    if report.messages > len(lines):
        lines.append(f"  · · {report.messages - len(lines):,} more")
    where = "{0}:{1}" if report.messages == 1 else "{0} (from {0}:{1} on)"
    held = [where.format(plain(id_), at + 1) for id_, at in report.branches.items()]
    lines.append(f"Held by branches: {', '.join(held) or 'none'}.")
    if report.tags:
        lines.append(f"Held by tags: {', '.join(map(plain, report.tags))}.")
    return lines
