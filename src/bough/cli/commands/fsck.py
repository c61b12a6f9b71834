"""``bough fsck``: whether a session is whole; what can be saved of what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import App, Command, pass_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from bough.manager.upkeep import Checkup
    from bough.model import Finding
    from bough.stores.base import Store

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
_EXIT_CODES = {"error": 5, "warning": 1}


@click.command("fsck", cls=Command)
@click.option("--repair", is_flag=True, help="Put what can be read of what is damaged into new branches.")
@click.option("--all", "everything", is_flag=True, help="All sessions of the store.")
@pass_app
@click.pass_context
def command(ctx: click.Context, app: App, repair: bool, everything: bool) -> None:
    """Check that nothing is damaged or missing.

    Every byte is read: messages against their digests, branches against the log
    of operations, files that do not belong. Nothing is changed; --repair makes
    new branches, salvaged-…, and touches nothing else.

    It ends with 0 where nothing is wrong, with 1 after warnings, with 5 where
    something is damaged (also where a repair could save it).

    \b
    bough fsck
    bough fsck --repair
    bough fsck --all
    """
    from bough.manager import DEFAULT_SESSION

    checked: list[tuple[str, Checkup]] = []
    with app.store() as store:
        for session_id in store.sessions() if everything else [app.session or DEFAULT_SESSION]:
            before = f"{session_id}: " if everything else ""
            checked.append((session_id, _check(app, store, session_id, before, repair=repair)))
    findings = [finding for _, checkup in checked for finding in checkup.findings]
    worst = next((each for each in _COLOURS if any(each == finding.severity for finding in findings)), None)
    answer = {"sessions": [_as_json(session_id, checkup) for session_id, checkup in checked], "worst": worst}
    app.answer(answer, *_summary(checked, findings, repair=repair))
    ctx.exit(_EXIT_CODES.get(worst or "", 0))


def _check(app: App, store: Store, session_id: str, before: str, *, repair: bool) -> Checkup:
    """What is found, told as it is found. Works where no manager can open the session: then nothing is salvaged."""
    from bough import fsck
    from bough.errors import CorruptBranchError
    from bough.manager import ConversationBranchManager
    from bough.manager.upkeep import Checkup

    tell: Callable[[Finding], object] = (lambda _: None) if app.json else (lambda each: _tell(before, each))
    try:
        with ConversationBranchManager(session_id, store=store, create=False) as manager:
            return manager.fsck(repair=repair, tell=tell)
    except CorruptBranchError as error:
        if repair:
            app.warn(f"nothing was salvaged: {error}")
    findings = []
    for finding in fsck.examine(store, session_id):
        findings.append(finding)
        tell(finding)
    return Checkup(findings=tuple(findings))


def _tell(before: str, finding: Finding) -> None:
    from bough.cli.text import plain

    severity = click.style(f"{finding.severity}: ", fg=_COLOURS[finding.severity], bold=finding.severity == "error")
    click.echo(f"{severity}{plain(before)}{plain(finding.place)}: {plain(finding.problem)}")
    if finding.advice:
        click.echo(click.style("  hint: ", fg="cyan") + plain(finding.advice))


def _summary(checked: list[tuple[str, Checkup]], findings: list[Finding], *, repair: bool) -> list[str]:
    from bough.cli.text import count, plain

    sessions = count(len(checked), "session")
    if not findings:
        return [f"Checked {sessions}: nothing is wrong."]
    counts = {severity: sum(severity == finding.severity for finding in findings) for severity in _COLOURS}
    lines = [f"Checked {sessions}: {', '.join(count(number, name) for name, number in counts.items() if number)}."]
    salvaged = [(session_id, made) for session_id, checkup in checked for made in checkup.salvaged]
    lines += [f"Salvaged into the new branch {plain(made)} of session {plain(id_)}." for id_, made in salvaged]
    if repair and counts["error"]:
        if not salvaged:
            lines.append("Nothing to salvage: what can be read stands in branches already.")
        lines.append("What is damaged was left as it is, so it will be found again.")
    return lines


def _as_json(session_id: str, checkup: Checkup) -> dict[str, Any]:
    return {
        "session": session_id,
        "findings": [
            {
                "severity": finding.severity,
                "place": finding.place,
                "problem": finding.problem,
                "advice": finding.advice,
                "branch": finding.branch_id,
                "history": [list(piece) for piece in finding.history],
                "rescued": len(finding.rescued),
            }
            for finding in checkup.findings
        ],
        "salvaged": list(checkup.salvaged),
    }
