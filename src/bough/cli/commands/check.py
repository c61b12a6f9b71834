"""``bough check``: whether a provider would take the conversation; mending its tool calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import click

from bough.cli.app import REVISION, App, Command, branch_id, pass_app

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager
    from bough.turns import Provider, TurnProblem


@click.command("check", cls=Command)
@click.argument("revision", type=REVISION, default="HEAD", metavar="[REVISION]")
@click.option(
    "--provider",
    type=click.Choice(["openai", "openai-responses", "anthropic"]),
    help="Also what just this one would refuse.",
)
@click.option("--repair", is_flag=True, help="Mend it, as an operation that can be undone.")
@click.option(
    "--how",
    type=click.Choice(["complete", "remove"]),
    default="complete",
    show_default=True,
    help="complete: give a call without a result one that says so. remove: take the call out.",
)
@pass_app
@click.pass_context
def command(
    ctx: click.Context,
    app: App,
    revision: str,
    provider: Provider | None,
    repair: bool,
    how: Literal["complete", "remove"],
) -> None:
    """Check tool calls, roles and empty messages.

    Model providers refuse a conversation with a tool call that has no result.
    What they would refuse is listed by the number of the message; it ends with
    1 where something is (left).

    \b
    bough check
    bough check main~2 --provider anthropic
    bough check --repair
    """
    from bough.cli.text import count

    with app.manager() as manager:
        if not repair:
            problems = manager.check(revision, provider=provider)
            summary = f"{count(len(problems), 'problem')}." if problems else "Nothing is wrong."
            app.answer({"revision": revision, "problems": _as_json(problems)}, *_lines(problems), summary)
            ctx.exit(1 if problems else 0)
        target = _branch(manager, revision)
        length = len(manager.get_branch_history(target)[-1].messages)
        mended = manager.repair(target, provider=provider, how=how)
        kept = sum(isinstance(part, int) for part in mended.parts)
        result = {
            "revision": revision,
            "problems": _as_json(mended.problems),
            "removed": length - kept,
            "new": len(mended.parts) - kept,
            "left": _as_json(mended.left),
        }
        app.answer(result, *_lines(mended.problems), *_repaired(result, mended.left))
        ctx.exit(1 if mended.left else 0)


def _branch(manager: ConversationBranchManager, revision: str) -> str:
    """The branch that a revision is the whole of."""
    from bough.errors import BranchNotFoundError, InvalidRequestError

    try:
        return branch_id(manager, revision)
    except BranchNotFoundError:
        manager.resolve(revision)
        raise InvalidRequestError(
            f"{revision!r} is no branch, and only a branch can be repaired", hint="make a branch of it first"
        ) from None


def _lines(problems: list[TurnProblem]) -> list[str]:
    from bough.cli.text import plain

    number = max((len(str(problem.index + 1)) for problem in problems), default=0)
    return [
        f"{click.style(str(problem.index + 1).rjust(number), fg='yellow')} {click.style(problem.kind, fg='red')}  "
        + plain(problem.text)
        + (" (it may be running still)" if problem.at_end else "")
        for problem in problems
    ]


def _repaired(result: dict[str, Any], left: list[TurnProblem]) -> list[str]:
    from bough.cli.text import count

    if not result["problems"]:
        return ["Nothing is wrong."]
    if not result["removed"] and not result["new"]:
        return ["Nothing of that can be mended."]
    what = f"{count(result['removed'], 'message')} taken out, {count(result['new'], 'message')} put in"
    lines = [f"Repaired: {what}. `bough undo` takes it back."]
    return [*lines, "Left, by the new numbers:", *_lines(left)] if left else lines


def _as_json(problems: list[TurnProblem]) -> list[dict[str, Any]]:
    return [
        {"number": problem.index + 1, "kind": problem.kind, "text": problem.text, "at_end": problem.at_end}
        for problem in problems
    ]
