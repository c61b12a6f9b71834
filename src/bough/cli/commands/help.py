"""``bough help``: the commands, one of them, or how revisions are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bough.cli.app import App, Command, pass_app

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

REVISIONS = "revisions"
EXAMPLES = """\
    bough show main:2                the second message of main
    bough show main~2                main without its last two
    bough show ideas@{1}             ideas before its last operation
    bough fork again --from main:2   a new branch with the first two of main
    bough cherry-pick ideas          the last message of ideas
    bough cherry-pick main..ideas    what ideas has and main has not
    bough switch -                   the branch before this one
    bough reset HEAD~1               without the last message
"""


def _topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    top = ctx.find_root().command
    names = top.list_commands(ctx) if isinstance(top, click.Group) else []
    return [CompletionItem(name) for name in [*names, REVISIONS] if name.startswith(incomplete)]


@click.command("help", cls=Command)
@click.argument("words", metavar="[COMMAND|revisions]", nargs=-1, shell_complete=_topics)
@pass_app
def command(app: App, words: tuple[str, ...]) -> None:
    """Explain the commands, one of them, or how revisions are written.

    \b
    bough help
    bough help fork
    bough help branch create
    bough help revisions
    """
    text = _revisions() if words == (REVISIONS,) else _help_of(words)
    app.answer({"topic": " ".join(words), "text": text}, text)


def _help_of(words: tuple[str, ...]) -> str:
    context = click.get_current_context().find_root()
    for word in words:
        group = context.command
        found = group.get_command(context, word) if isinstance(group, click.Group) else None
        if found is None:
            raise click.UsageError(f"There is no command {' '.join(words)!r}; `bough help` lists them.")
        context = click.Context(found, parent=context, info_name=word)
    return context.get_help()


def _revisions() -> str:
    """The grammar, in the words of the module that reads it."""
    from bough import revisions

    grammar = (revisions.__doc__ or "").partition("\n1. ")[0].replace("``", "").rstrip()
    return f"""{grammar}

A number alone is a message of the current branch for show and edit, and its first N messages for reset. Commands that
take one message take the last one of the revision: main:4 is message 4.

{EXAMPLES}"""
