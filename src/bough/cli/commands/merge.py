"""``bough merge``: bring a branch's messages into the current one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import click

from bough.cli.app import BRANCH, REVISION, App, Command, branch_id, find_range, pass_app

if TYPE_CHECKING:
    from bough.diff import Read
    from bough.manager import ConversationBranchManager
    from bough.merge import Conflict, Strategy
    from bough.merge.result import MergeResult
    from bough.model import History, Message, Piece

STRATEGIES = ("append", "replace", "interleave", "three-way", "pick", "squash")
SIDES = ("ours", "theirs", "both")
IMPLIED = {"--pick": "pick", "--squash": "squash", "--align": "append", "--resolve": "three-way"}
"""The strategy that an option is for."""


@click.command("merge", cls=Command)
@click.argument("source", type=BRANCH)
@click.option("--strategy", type=click.Choice(STRATEGIES), help="How; append if nothing else is asked for.")
@click.option("--pick", "picks", type=REVISION, multiple=True, metavar="N|N..M|REVISION", help="Only these messages.")
@click.option("--squash", "text", metavar="TEXT", help="One message instead, that says TEXT; - reads it from stdin.")
@click.option("--role", help="Who says it, with --squash.  [default: assistant]")
@click.option("--align", type=click.Choice(["back", "forward"]), help="Leave half tool calls out, or bring them whole.")
@click.option("--resolve", metavar="SIDE|N=SIDE,…", help="Settle conflicts: ours, theirs or both; all, or by number.")
@click.option("--preview", is_flag=True, help="Show what would happen, and do nothing.")
@pass_app
def command(
    app: App,
    source: str,
    strategy: str | None,
    picks: tuple[str, ...],
    text: str | None,
    role: str | None,
    align: Literal["back", "forward"] | None,
    resolve: str | None,
    preview: bool,
) -> None:
    """Merge another branch into the current one.

    Merged again, it adds nothing; `bough undo` takes it back. The strategies:

    \b
    append       adds what the current branch does not hold yet
    replace      takes SOURCE's messages instead
    interleave   adds them by the times in the messages
    three-way    takes edits and removals over, too; where both sides changed
                 one message, --resolve says what it shall be
    pick         adds only some of SOURCE's messages: --pick
    squash       adds one message that stands for them: --squash

    \b
    bough merge ideas
    bough merge ideas --pick 5 --pick 7..9
    bough merge ideas --squash "They went by train." --role system
    bough merge ideas --strategy three-way --preview
    bough merge ideas --resolve 1=ours,2=theirs
    """
    from bough.cli.conflicts import conflict_lines
    from bough.errors import MergeConflictError

    given = {"--pick": bool(picks), "--squash": text is not None, "--align": align, "--resolve": resolve}
    name = _strategy(strategy, [option for option, value in given.items() if value])
    if role is not None and name != "squash":
        raise click.UsageError("--role goes with --squash.")
    with app.manager() as manager:
        source_id = branch_id(manager, source)
        work: str | Strategy = name
        numbers: dict[_Key, int] = {}
        if name == "three-way":
            found = manager.merge(source_id, name, preview=True).conflicts
            numbers = {_key(conflict): number for number, conflict in enumerate(found, 1)}
            work = _three_way(resolve, numbers)
        elif name == "pick":
            work = _pick(manager, source_id, picks)
        elif name == "squash":
            work = _squash(text, role)
        try:
            result = manager.merge(source_id, work, preview=preview, align=align)
        except MergeConflictError as error:
            error.numbers = _numbers(error.conflicts, numbers)
            for line in () if app.json else conflict_lines(error.conflicts, numbers=error.numbers):
                click.echo(line)
            raise
        _answer(app, manager, result, _numbers(result.conflicts, numbers), preview=preview)


# -- what is asked for -------------------------------------------------------------------------------------------------


def _strategy(named: str | None, options: Sequence[str]) -> str:
    """The strategy, which may be implied by an option. ``UsageError`` where they do not go together."""
    for option in options:
        if named not in (None, IMPLIED[option]):
            other = next((each for each in options if IMPLIED[each] == named), f"--strategy {named}")
            raise click.UsageError(f"{option} and {other} do not go together.")
        named = IMPLIED[option]
    missing = next((option for option in ("--pick", "--squash") if IMPLIED[option] == named), None)
    if missing is not None and missing not in options:
        raise click.UsageError(f"--strategy {named} needs {missing}.")
    return named or "append"


def _squash(text: str | None, role: str | None) -> Strategy:
    from bough.cli.given import text_given
    from bough.merge import squash

    return squash(text_given() if text in (None, "-") else str(text), role=role or "assistant")


def _pick(manager: ConversationBranchManager, source_id: str, picks: Sequence[str]) -> Strategy:
    """``N`` and ``N..M`` are numbers in the source, both included; what is no number is a revision or a range."""
    from bough.merge import pick

    length = len(manager.get_branch_history(source_id)[-1].messages)
    chosen: list[Any] = [part for text in picks for part in _picked(manager, source_id, length, text)]
    return pick(chosen)


def _picked(manager: ConversationBranchManager, source_id: str, length: int, text: str) -> Iterator[range | Piece]:
    from bough.edits import subtract
    from bough.errors import InvalidRequestError
    from bough.revisions import identity_of

    numbers = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text)
    if numbers is not None:
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        if not 1 <= first <= last <= length:
            raise InvalidRequestError(f"branch {source_id!r} has no message {text}", hint=f"it has {length}")
        yield range(first - 1, last)
        return
    both = find_range(manager, text)
    if both is None:
        yield identity_of(manager.resolve(text))
    else:
        before, after = both
        yield from subtract(after.history, after.edits, before.history, before.edits)


_Key: TypeAlias = tuple[object, ...]


def _key(conflict: Conflict) -> _Key:
    """By what a conflict is known again when the merge is tried once more."""
    return conflict.original, conflict.index, conflict.ours_id, conflict.theirs_id


def _numbers(conflicts: Sequence[Conflict], numbers: Mapping[_Key, int]) -> tuple[int, ...]:
    """Their numbers as a preview gives them; of one that has come since, its place among these."""
    return tuple(numbers.get(_key(conflict), at) for at, conflict in enumerate(conflicts, 1))


def _three_way(resolve: str | None, numbers: Mapping[_Key, int]) -> Strategy:
    """``SIDE`` settles all conflicts, ``N=SIDE`` one."""
    from bough.cli.text import count
    from bough.errors import InvalidRequestError
    from bough.merge import three_way

    if resolve in (None, *SIDES):
        return three_way(resolve)  # type: ignore[arg-type]  # one of SIDES
    answers: dict[int, str] = {}
    for part in resolve.split(","):
        settled = re.fullmatch(rf"\s*(\d+)\s*=\s*({'|'.join(SIDES)})\s*", part)
        if settled is None:
            raise click.UsageError(f"--resolve: {part!r} is neither ours, theirs, both nor a number with one: 1=ours")
        answers[int(settled[1])] = settled[2]
    for number in answers.keys() - set(numbers.values()):
        raise InvalidRequestError(
            f"there is no conflict {number}", hint=f"{count(len(numbers), 'conflict')}: `--preview` shows them"
        )
    return three_way(lambda conflict: answers.get(numbers.get(_key(conflict), 0)))  # type: ignore[arg-type,return-value]


# -- what is said of it ------------------------------------------------------------------------------------------------


def _answer(
    app: App, manager: ConversationBranchManager, result: MergeResult, numbers: Sequence[int], *, preview: bool
) -> None:
    from bough.cli.comparing import Comparison, hunks_json, is_same, stat_json, unified
    from bough.cli.conflicts import conflict_json, conflict_lines
    from bough.cli.text import count
    from bough.codec import decode

    new = [decode(line) for line in result.new]
    comparison = Comparison(result.diff, result.target, result.target, _reader(manager, result, new))
    if app.json:
        answer: dict[str, Any] = {
            "source": result.source,
            "target": result.target,
            "strategy": result.strategy,
            "preview": preview,
            "added": result.added,
            "removed": result.removed,
            "stat": stat_json(result.diff),
            "conflicts": [conflict_json(*each) for each in zip(numbers, result.conflicts, strict=True)],
            "operation": result.operation,
        }
        app.answer({**answer, "hunks": hunks_json(comparison)} if preview else answer)
    elif result.conflicts:
        for line in conflict_lines(result.conflicts, numbers=numbers):
            click.echo(line)
        example = ",".join(f"{number}={side}" for number, side in zip(numbers, SIDES, strict=False))
        click.echo(
            f"{count(len(numbers), 'conflict')}: `--resolve ours`, theirs or both for all, or `--resolve {example}`."
        )
    else:
        click.echo(_summary(result, preview=preview))
        if preview and not is_same(result.diff):
            for line in unified(comparison, get_terminal_size((100, 24)).columns):
                click.echo(line)


def _summary(result: MergeResult, *, preview: bool) -> str:
    from bough.cli.comparing import is_same
    from bough.cli.text import count, plain

    source, target = plain(result.source), plain(result.target)
    if is_same(result.diff):
        if result.operation is not None:
            return f"Merged {source} into {target}: nothing changed, and what differs is settled."
        told = f"{target} is up to date: nothing to merge from {source}."
        if result.reworded:
            be, it = ("is", "it") if result.reworded == 1 else ("are", "them")
            told += f" {count(result.reworded, 'message')} {be} in another wording there:"
            told += f" `--strategy three-way` takes {it} over."
        return told
    stat = result.diff.stat
    every = {"added": stat.added, "removed": stat.removed, "edited": stat.edited, "moved": stat.moved}
    (first, size), *more = [(what, size) for what, size in every.items() if size]
    parts = [f"{count(size, 'message')} {first}", *(f"{size:,} {what}" for what, size in more)]
    return f"{'Would merge' if preview else 'Merged'} {source} into {target}: {', '.join(parts)}."


def _reader(manager: ConversationBranchManager, result: MergeResult, new: Sequence[Message]) -> Read:
    """Reads messages, those that a preview would make among them: they come at the end, as a piece of their own."""
    from bough.model import Piece

    if result.new_at is None or result.operation is not None:
        return manager.read_messages
    segment, first = result.new_at

    def read(pieces: History) -> list[Message]:
        found: list[Message] = []
        for name, start, stop in pieces:
            if name == segment and start >= first:
                found += new[start - first : stop - first]
            else:
                found += manager.read_messages((Piece(name, start, stop),))
        return found

    return read
