"""``bough branch``: list the branches, make one without switching to it, or bring one back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bough.cli.app import BRANCH, DELETED, App, Command, Group, branch_id, branch_json, pass_app, warn_of_names

if TYPE_CHECKING:
    from bough.branch import ConversationBranch
    from bough.manager import ConversationBranchManager


def _list_options(function: Callable[..., None]) -> Callable[..., None]:
    """Those of ``list``, which ``bough branch`` alone takes, too."""
    for option in (
        click.option("--deleted", is_flag=True, help="Those that were deleted and can be restored."),
        click.option("--all", "everything", is_flag=True, help="Also those that are archived."),
        click.option("--archived", is_flag=True, help="Only those that are archived."),
        click.option(
            "--label", "labels", metavar="L", multiple=True, help="Those with this label, with all of several."
        ),
    ):
        function = option(function)
    return function


@click.group("branch", cls=Group, invoke_without_command=True)
@_list_options
@click.pass_context
def command(ctx: click.Context, /, **asked: Any) -> None:
    """List the branches, create one, or bring a deleted one back.

    \b
    bough branch
    bough branch create ideas --from main --at 4
    bough branch --deleted
    bough branch restore ideas
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, **asked)
    elif any(asked.values()):
        raise click.UsageError("--label, --archived, --all and --deleted are for the list of branches")


@command.command("list", cls=Command)
@_list_options
@pass_app
def list_(app: App, labels: tuple[str, ...], archived: bool, everything: bool, deleted: bool) -> None:
    """List the branches, the one changed last first; * marks the current one.

    Archived ones are left out here, but not with --json.

    \b
    bough branch list --label travel
    bough branch list --deleted
    """
    from bough.attributes import is_archived
    from bough.cli.text import count

    if archived + everything + deleted > 1 or (labels and deleted):
        raise click.UsageError("--archived, --all and --deleted exclude one another, and --deleted excludes --label")
    with app.manager() as manager:
        if deleted:
            _list_deleted(app, manager)
            return
        head = manager.get_current_branch_id()
        found = manager.get_all_branches(labels=labels, archived=True if archived else None)
        hides = not (archived or everything)
        shown = [branch for branch in found if not (hides and is_archived(branch.metadata) and branch.id != head)]
        hidden = len(found) - len(shown)
        lines = _table(shown, head) if shown else ["No such branches."] if labels or archived else []
        if hidden:
            lines.append(click.style(f"· · {count(hidden, 'archived branch')}: --all shows them", dim=True))
        app.answer({"head": head, "branches": [branch_json(branch) for branch in found]}, *lines)


def _table(branches: list[ConversationBranch], head: str) -> list[str]:
    from bough.cli.text import table

    rows = [
        (
            "*" if branch.id == head else "",
            branch.id,
            branch.name if branch.name != branch.id else "",
            len(branch.messages),
            "" if branch.parent_id is None else f"{branch.parent_id}:{branch.parent_message_index or 0}",
            branch.updated_at,
        )
        for branch in branches
    ]
    return table(("", "branch", "name", "messages", "from", "changed"), rows)


def _list_deleted(app: App, manager: ConversationBranchManager) -> None:
    from bough.cli.operations import as_json, who
    from bough.cli.text import table

    found, rows = [], []
    for id_, operation in manager.deleted_branches().items():
        [before] = [entry.before for entry in operation.branches if entry.id == id_]
        assert before is not None
        found.append(
            {"id": id_, "name": before.name, "length": before.length, "operation": as_json(operation, undone=False)}
        )
        name = before.name if before.name != id_ else ""
        rows.append((id_, name, before.length, operation.at, who(operation), operation.number))
    lines = table(("branch", "name", "messages", "deleted", "by", "operation"), rows)
    app.answer({"deleted": found}, *(lines if rows else ["No deleted branches."]))


@command.command("restore", cls=Command)
@click.argument("id_", type=DELETED, metavar="ID")
@click.option("--as", "new_id", metavar="ID", help="The id that it gets; the one that it had if absent.")
@pass_app
def restore(app: App, id_: str, new_id: str | None) -> None:
    """Bring a deleted branch back as it was.

    \b
    bough branch restore ideas
    bough branch restore ideas --as old-ideas
    """
    from bough.cli.text import count, plain
    from bough.errors import BranchExistsError, BranchNotFoundError

    with app.manager() as manager:
        try:
            branch = manager.restore_branch(id_, new_id)
        except BranchNotFoundError as error:
            error.hint = "`bough branch list --deleted` shows what can be restored"
            raise
        except BranchExistsError as error:
            error.hint = "give it another id: --as ID"
            raise
        warn_of_names(app, manager, branch)
        text = f"Branch {plain(branch.id)} is back, with {count(len(branch.messages), 'message')}."
        app.answer({"restored": id_, "branch": branch_json(branch)}, text)


@command.command("create", cls=Command)
@click.argument("id_", metavar="ID")
@click.option("--name", help="A name for people; the id if absent.")
@click.option("--from", "parent", type=BRANCH, metavar="BRANCH", help="What it begins with; the current branch.")
@click.option("--at", type=click.IntRange(min=0), metavar="N", help="Only the first N messages of that.")
@click.option("--empty", is_flag=True, help="Begin with nothing.")
@pass_app
def create(app: App, id_: str, name: str | None, parent: str | None, at: int | None, empty: bool) -> None:
    """Create a branch, and stay on the current one.

    \b
    bough branch create ideas                      all of the current branch
    bough branch create ideas --from main --at 4   the first 4 messages of main
    """
    from bough.cli.text import count, plain

    if empty and (parent is not None or at is not None):
        raise click.UsageError("--empty takes neither --from nor --at")
    with app.manager(create=True) as manager:
        source = branch_id(manager, parent) if parent is not None else manager.get_current_branch_id()
        branch = manager.create_branch(id_, id_ if name is None else name, None if empty else source, at)
        warn_of_names(app, manager, branch)
        text = f"Created branch {plain(branch.id)} with {count(len(branch.messages), 'message')}."
        app.answer({"branch": branch_json(branch)}, text)
