"""``bough branch``: list the branches, or make one without switching to it."""

from __future__ import annotations

import click

from bough.cli.app import BRANCH, App, Command, Group, branch_id, branch_json, pass_app


@click.group("branch", cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the branches, or create one.

    \b
    bough branch
    bough branch create ideas --from main --at 4
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command("list", cls=Command)
@pass_app
def list_(app: App) -> None:
    """List the branches, the one changed last first; * marks the current one."""
    from bough.cli.text import table

    with app.manager() as manager:
        head = manager.get_current_branch_id()
        branches = manager.get_all_branches()
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
        app.answer(
            {"head": head, "branches": [branch_json(branch) for branch in branches]},
            *table(("", "branch", "name", "messages", "from", "changed"), rows),
        )


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
        text = f"Created branch {plain(branch.id)} with {count(len(branch.messages), 'message')}."
        app.answer({"branch": branch_json(branch)}, text)
