"""Running another program as if it were this one: its exit code, and the signals that were meant for it.

1. A signal that is sent to this process alone is passed on. Ctrl-C and Ctrl-\\ in a terminal reach every process in the
   foreground, the program too: they are not passed on, or it would get them twice, and many programs take the second
   for "at once". What the terminal sends cannot be told from ``kill -INT`` here: whoever wants to end only this
   process in the foreground of a terminal uses SIGTERM.
2. A signal that was ignored before stays so, for the program too (nohup).
3. The program inherits the open files that this process was given, as under a shell.

What it does not do: outlive SIGKILL. The program then goes on alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

_PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
_BY_TERMINAL = ("SIGINT", "SIGQUIT")


class NotExecutableError(click.ClickException):
    exit_code = 126  # as a shell says it


class NotFoundError(click.ClickException):
    exit_code = 127


def run_program(command: Sequence[str]) -> int:
    """Runs it to its end. Its exit code, 128 + n where signal n ended it.

    Raises NotFoundError, NotExecutableError.
    """
    with _signals() as arriving:
        try:
            process = subprocess.Popen(command, close_fds=False)
        except OSError as error:
            kind = NotFoundError if isinstance(error, FileNotFoundError) else NotExecutableError
            raise kind(f"cannot run {command[0]}: {error.strerror or error}") from error
        while process.poll() is None:
            for number in os.read(arriving, 512):
                if number != signal.SIGCHLD and not _is_from_terminal(number):
                    process.send_signal(number)
        code = process.returncode
        return code if code >= 0 else 128 - code


@contextmanager
def _signals() -> Iterator[int]:
    """A pipe that each arriving signal writes its number to, the end of a child among them.

    It catches them before the program is there, so that none is lost; a program that is started has the default actions
    in place of handlers. It works whichever thread the system interrupts.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})  # whoever started us may have blocked it
    numbers = [signal.SIGCHLD, *(getattr(signal, name) for name in _PASSED_ON)]
    before = {
        number: signal.signal(number, _note)
        for number in numbers
        if number == signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN
    }
    old = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _note(number: int, frame: FrameType | None) -> None:
    """The number is in the pipe already."""


def _is_from_terminal(number: int) -> bool:
    """Whether the program got it too: we are in the foreground of our terminal."""
    if signal.Signals(number).name not in _BY_TERMINAL:
        return False
    with contextlib.suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    return False
