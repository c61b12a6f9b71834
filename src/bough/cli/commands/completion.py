"""``bough completion``: the shell's script that completes commands, options, branches and sessions."""

from __future__ import annotations

import click

from bough.cli.app import App, Command, pass_app


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_app
def command(app: App, shell: str) -> None:
    """Print the script for completion in a shell.

    With it the shell completes commands, options, branches, tags and sessions.

    \b
    eval "$(bough completion bash)"              in ~/.bashrc
    eval "$(bough completion zsh)"               in ~/.zshrc
    bough completion fish > ~/.config/fish/completions/bough.fish
    """
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    assert complete is not None
    root = click.get_current_context().find_root()
    script = complete(root.command, {}, "bough", "_BOUGH_COMPLETE").source()
    app.answer({"shell": shell, "script": script}, script)
