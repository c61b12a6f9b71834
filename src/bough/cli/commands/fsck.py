"""``bough fsck``: whether a session is whole; what can be saved of what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import App, Command, pass_app

if TYPE_CHECKING:
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
    from bough.errors import SessionNotFoundError
    from bough.manager import DEFAULT_SESSION

    checked: list[tuple[str, Checkup]] = []
    with app.store() as store:
        for session_id in store.sessions() if everything else [app.session or DEFAULT_SESSION]:
            before = f"{session_id}: " if everything else ""
            checkup = _check(app, store, session_id, before, repair=repair)
            if not (everything or checkup.findings or _exists(store, session_id)):
                raise SessionNotFoundError(session_id)
            checked.append((session_id, checkup))
    findings = [finding for _, checkup in checked for finding in checkup.findings]
    worst = next((each for each in _COLOURS if any(each == finding.severity for finding in findings)), None)
    answer = {"sessions": [_as_json(session_id, checkup) for session_id, checkup in checked], "worst": worst}
    app.answer(answer, *_summary(checked, findings, repair=repair))
    ctx.exit(_EXIT_CODES.get(worst or "", 0))


def _check(app: App, store: Store, session_id: str, before: str, *, repair: bool) -> Checkup:
    """What is found, told as it is found. Needs no manager, which some of what is found would keep from opening."""
    from bough.errors import CorruptBranchError
    from bough.manager.upkeep import Checkup, check_up
    from bough.session import Session

    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        findings.append(finding)
        if not app.json:
            _tell(before, finding)

    try:
        return check_up(Session(store, session_id), repair=repair, tell=tell)
    except CorruptBranchError as error:  # of the repair; what is only looked at gives findings
        app.warn(f"{before}not everything was salvaged: {error}")
        return Checkup(findings=tuple(findings), salvageable=1)


def _exists(store: Store, session_id: str) -> bool:
    """Whether there is such a session, though nothing is wrong with it."""
    return bool(store.load(session_id).branches)


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
        if not any(checkup.salvageable for _, checkup in checked):
            lines.append("Nothing to salvage: what is not lost can be read where it stands.")
        elif not salvaged:
            lines.append("Nothing more to salvage: earlier repairs put what can be read into branches.")
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
