"""``bough lock run``: a command under the lock, as flock(1) does it."""

from __future__ import annotations

import click

from bough.cli.app import App, Command, pass_app
from bough.cli.commands.lock.shown import SUFFIX, lock_path


@click.command("run", cls=Command)
@click.argument("path", type=click.Path())
@click.argument("program", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait so long; for ever if absent.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the lock.")
@pass_app
def command(app: App, path: str, program: tuple[str, ...], timeout: float | None, no_wait: bool) -> int:
    """Run a command while holding the lock.

    The exit code is that of the command (128 + n when signal n ended it), or 4 when
    the lock did not come. Signals are passed on. The command itself must not take the
    same lock: it would wait for the one that waits for it.

    \b
    bough lock run chat.json -- ./compact chat.json
    bough lock run chat.json --timeout 5 -- sh -c 'jq . chat.json > new && mv new chat.json'
    """
    from bough.cli.running import run_program
    from bough.errors import SessionLockedError
    from bough.lock import SessionLock
    from bough.lock.inspection import inspect_lock, not_a_lock_file

    if app.json:
        raise click.UsageError("run takes no --json: what is printed is the command's")
    if no_wait and timeout is not None:
        raise click.UsageError("--no-wait takes no --timeout")
    path = lock_path(app, path)
    seen = inspect_lock(path)
    if seen.state == "corrupt" and not seen.is_lock_file:  # poetry.lock: a SessionLock would take its place
        raise not_a_lock_file(seen)
    lock = SessionLock(path)
    if not lock.acquire(0 if no_wait else timeout):
        raise SessionLockedError(path, lock.get_lock_holder())
    try:
        code = run_program(program)
        if not lock.check():
            app.warn(f"{path}{SUFFIX} was taken away while the command ran")
        return code
    finally:
        lock.release()
