"""The command ``bough``: parse, one call of the manager, render. A thin face; every rule stands in the layers below.

One file a command in :mod:`bough.cli.commands`, imported when that command is named, so that ``bough --version`` costs
little more than importing click.

1. stdout carries what was asked for, stderr ``error:``, ``hint:`` and ``warning:`` lines. With ``--json`` stdout is one
   JSON object whatever happens, and stderr is empty (docs/json-output.md).
2. Exit codes: 0 done, 1 error, 2 usage, 3 the branch was moved by someone else, 4 locked, 5 corrupt, 130 Ctrl-C,
   143 SIGTERM where a command tells what was done until then. ``lock run`` has the one of the command that it ran.
3. A command that only looks makes no session and no folder.
4. Nothing that a message or an id holds reaches the terminal as a control character (:mod:`bough.cli.text`).
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

import bough
from bough.cli.app import App, Group

SECTIONS = {
    "Begin": ("demo", "import", "export"),
    "Converse": ("add", "show", "log", "diff", "origin"),
    "Branch out": ("branch", "fork", "switch", "merge", "tag", "rename", "delete"),
    "Change what was said": ("edit", "remove", "reset", "cherry-pick"),
    "Take it back": ("undo", "redo", "revert", "ops"),
    "Find things": ("search", "sessions", "describe", "stats", "path", "lock"),
    "Keep it safe": ("copy", "check", "fsck", "gc", "purge"),
    "Set up": ("completion", "help"),
}
"""Every command, grouped by what people do."""

ELSEWHERE = {
    "blame": "origin",
    "branches": "branch",
    "cat": "show",
    "checkout": "switch",
    "clone": "copy",
    "commit": "add",
    "grep": "search",
    "init": "add",
    "list": "branch",
    "ls": "branch",
    "mv": "rename",
    "push": "copy",
    "reflog": "ops",
    "restore": "branch restore",
    "rm": "remove",
    "session": "sessions",
    "status": "branch",
}
"""What people type who know git or a shell, and what it is called here."""


class Bough(Group):
    """The top command: knows the others by name only, and turns errors into lines and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for names in SECTIONS.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = "import_" if cmd_name == "import" else cmd_name.replace("-", "_")
        command: click.Command = import_module(f"bough.cli.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in ELSEWHERE:
            ctx.fail(f"No such command {args[0]!r}: here it is `bough {ELSEWHERE[args[0]]}`.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(ctx)))
        for title, names in SECTIONS.items():
            commands = [(name.ljust(width), self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(70)) for name, command in commands if command])

    def main(  # type: ignore[override]  # always "standalone", with our own lines and exit codes
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        args = sys.argv[1:] if args is None else list(args)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # an ASCII terminal must not be an error
        app = extra["obj"] = App()
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            extra["color"] = False
        try:
            code = super().main(args, prog_name or "bough", standalone_mode=False, **extra)
        except Exception as error:
            from bough.cli.failures import report

            code = report(error, app, args, color=extra.get("color"))
            if code is None:
                raise
        sys.exit(code or 0)


@click.group(
    "bough",
    cls=Bough,
    invoke_without_command=True,
    epilog="--store, --session and --json may also stand after the command. `bough COMMAND --help` has examples.",
)
@click.version_option(bough.__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Version control for AI conversations: fork, switch, merge and undo, in plain JSON files or SQLite."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run() -> NoReturn:
    """The entry point of the command ``bough``."""
    cli.main()
