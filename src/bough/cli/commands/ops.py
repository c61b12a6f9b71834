"""``bough ops``: the log of operations, or one of them whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import BRANCH, App, Command, pass_app

if TYPE_CHECKING:
    from bough.manager import ConversationBranchManager
    from bough.model import BranchRecord, Operation


@click.command("ops", cls=Command)
@click.argument("branch", type=BRANCH, required=False)
@click.option("-n", "--limit", type=click.IntRange(min=0), metavar="N", help="Only the newest N operations.")
@click.option("--show", "number", type=click.IntRange(min=1), metavar="N", help="Operation N whole.")
@click.option("-v", "--verbose", is_flag=True, help="With the id of the process.")
@pass_app
def command(app: App, branch: str | None, limit: int | None, number: int | None, verbose: bool) -> None:
    """Show the log of operations, newest first.

    Every change is an operation but added messages. With BRANCH it is what was
    done to that, also where it was deleted. What was undone is marked, unless
    it was redone since.

    \b
    bough ops -n 10
    bough ops ideas        to one branch
    bough ops --show 12    each branch before and after operation 12
    bough undo 12          take it back
    """
    from bough.undo import with_fate

    if number is not None and (branch is not None or limit is not None):
        raise click.UsageError("--show takes neither a branch nor -n")
    with app.manager() as manager:
        operations = with_fate(manager.operations())
        if number is not None:
            _show(app, manager, number, operations)
            return
        if branch is not None:
            wanted = _branch(manager, branch)
            operations = (each for each in operations if any(entry.id == wanted for entry in each[0].branches))
        _list(app, list(islice(operations, limit)), verbose=verbose)


def _branch(manager: ConversationBranchManager, text: str) -> str:
    """The id of a branch, also of one that only the log knows any more."""
    from bough.cli.app import branch_id
    from bough.errors import BranchNotFoundError

    try:
        return branch_id(manager, text)
    except BranchNotFoundError:
        if any(entry.id == text for operation in manager.operations() for entry in operation.branches):
            return text
        raise


def _list(app: App, found: list[tuple[Operation, bool]], *, verbose: bool) -> None:
    from bough.cli.operations import as_json, who, words
    from bough.cli.text import table

    if app.json:
        app.answer({"operations": [as_json(operation, undone=undone) for operation, undone in found]})
        return
    rows = [
        (
            operation.number,
            operation.at,
            who(operation, verbose=verbose),
            words(operation) + ("  (undone)" if undone else ""),
        )
        for operation, undone in found
    ]
    app.answer({}, *(table(("", "when", "who", "what"), rows) if rows else ["No operations."]))


def _show(
    app: App, manager: ConversationBranchManager, number: int, operations: Iterable[tuple[Operation, bool]]
) -> None:
    from bough.cli.operations import as_json
    from bough.errors import InvalidRequestError

    later: dict[str, tuple[int, BranchRecord | None]] = {}  # by branch: operations on it since, and what the next found
    for operation, undone in operations:
        if operation.number == number:
            branches = [_branch_json(manager, operation, at, later) for at in range(len(operation.branches))]
            result = {**as_json(operation, undone=undone), "branches": branches, "detail": dict(operation.detail)}
            app.answer({"operation": result}, *_lines(operation, result))
            return
        for entry in operation.branches:
            later[entry.id] = later.get(entry.id, (0, None))[0] + 1, entry.before
    raise InvalidRequestError(f"there is no operation {number}", hint="`bough ops` lists them")


def _branch_json(
    manager: ConversationBranchManager,
    operation: Operation,
    at: int,
    later: dict[str, tuple[int, BranchRecord | None]],
) -> dict[str, Any]:
    """One branch before and after. Messages that were appended since are cut off by the revision of what was after."""
    from bough.cli.operations import history_of, numbers_only_in

    entry = operation.branches[at]
    since, found = later.get(entry.id, (0, None))
    if not since:
        found = manager.store.load(manager.session_id).branches.get(entry.id)
    before, after = history_of(entry.before), history_of(entry.after)

    def side(record: BranchRecord | None, revision: str, changed: str, runs: list[list[int]]) -> Any:
        if record is None:
            return None
        return {"revision": revision, "name": record.name, "length": record.length, changed: runs}

    appended = 0 if found is None or entry.after is None else found.length - entry.after.length
    revision = (f"{entry.id}@{{{since}}}" if since else entry.id) + (f"~{appended}" if appended > 0 else "")
    return {
        "id": entry.id,
        "before": side(entry.before, f"{entry.id}@{{{since + 1}}}", "went", numbers_only_in(before, after)),
        "after": side(entry.after, revision, "came", numbers_only_in(after, before)),
    }


def _lines(operation: Operation, result: dict[str, Any]) -> Iterator[str]:
    from bough.cli.operations import who
    from bough.cli.text import json_line, plain

    yield click.style(f"operation {operation.number}", fg="yellow") + f"  {plain(result['text'])}"
    yield f"when    {operation.at.astimezone():%Y-%m-%d %H:%M:%S}"
    yield f"who     {plain(who(operation))}, process {operation.pid}"
    if result["undone"]:
        yield "state   undone"
    if operation.head_before != operation.head_after:
        yield f"current {plain(operation.head_before or '-')} before, {plain(operation.head_after or '-')} after"
    for branch in result["branches"]:
        yield f"branch  {plain(branch['id'])}"
        yield f"  before  {_side(branch['before'], 'went', 'removed')}"
        yield f"  after   {_side(branch['after'], 'came', 'added')}"
    if operation.detail:
        yield f"detail  {json_line(dict(operation.detail)).decode()}"


def _side(side: dict[str, Any] | None, changed: str, word: str) -> str:
    from bough.cli.operations import ranges
    from bough.cli.text import count, plain

    if side is None:
        return "not there"
    numbers = ", ".join(ranges(side[changed]))
    moved = f" ({numbers} {word})" if numbers else ""
    return f"{count(side['length'], 'message')}{moved}: `bough show {plain(side['revision'])}`"
