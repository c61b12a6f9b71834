"""A file that is there whole or not at all.

1. It has its name only once all is written and on the disk. What is there already is replaced by ``force`` alone; also
   what came to be there meanwhile, where the file system can tell.
2. Until then it has no name at all where the system can do that (Linux, on most file systems), so nothing is left of it
   whatever ends the program. Elsewhere it has a hidden one, as for a moment it has before it replaces another, and that
   is removed on every way out that a program can have a hand in: errors, Ctrl-C, SIGTERM, a terminal that is closed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def check_new(path: Path, *, force: bool) -> None:
    """``InvalidRequestError`` where something is there that would be lost, or a folder."""
    from bough.errors import InvalidRequestError

    if path.is_dir():
        raise InvalidRequestError(f"{path} is a folder", hint="name a file in it")
    if path.is_file() and not force:
        raise InvalidRequestError(f"{path} is there already", hint="--force replaces it")
    if not path.parent.is_dir():
        raise InvalidRequestError(f"there is no folder {path.parent}", hint="make it first")


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file to write to, which gets its name at the end; where that fails it leaves nothing.

    What is no file (a pipe, a device) is written to as it is. ``InvalidRequestError``, ``OSError``; in the main thread
    SIGTERM and SIGHUP are ``SystemExit`` meanwhile, with the exit code that shells give them.
    """
    check_new(path, force=force)
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    goal = os.path.realpath(path)
    hidden = os.path.join(os.path.dirname(goal), f".bough-{secrets.token_hex(8)}.new")
    with _signals_as_exits():
        try:
            number, name = _open(hidden)
            with open(number, "wb") as file:
                with contextlib.suppress(FileNotFoundError, AttributeError):  # the latter: Windows
                    os.fchmod(number, stat.S_IMODE(os.stat(goal).st_mode))
                yield file
                file.flush()
                os.fsync(number)
                if name != hidden:  # it is gone when it is closed
                    _give_name(name, hidden, goal, force=force)
            if name == hidden:  # Windows renames no file that is open
                _give_name(name, hidden, goal, force=force)
            if os.name == "posix":
                _sync(os.path.dirname(goal))
        except FileExistsError:
            check_new(path, force=False)
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden)


def _open(hidden: str) -> tuple[int, str]:
    """A new file's descriptor, and what it may be linked by: that of one without a name, else ``hidden``."""
    with contextlib.suppress(AttributeError, OSError):  # another system; a file system or a kernel that cannot
        number = os.open(os.path.dirname(hidden), os.O_TMPFILE | os.O_WRONLY, 0o666)
        if os.path.exists(name := f"/proc/self/fd/{number}"):
            return number, name
        os.close(number)
    return os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), hidden


def _give_name(name: str, hidden: str, goal: str, *, force: bool) -> None:
    """``FileExistsError`` where the name is taken, unless by ``force``."""
    if force:
        if name != hidden:
            _link(name, hidden)  # a link never replaces, a rename does
        os.replace(hidden, goal)
        return
    try:
        _link(name, goal)
    except OSError:
        if name != hidden or os.path.lexists(goal):
            raise
        os.rename(hidden, goal)  # a file system without links: there another may come between the look and this


def _link(name: str, other: str) -> None:
    if os.link not in os.supports_dir_fd:
        os.link(name, other)
        return
    with _folder(os.path.dirname(other)) as folder:  # without one Python does not follow what is in /proc
        os.link(name, os.path.basename(other), dst_dir_fd=folder, follow_symlinks=True)


def _sync(path: str) -> None:
    with _folder(path) as folder:
        os.fsync(folder)


@contextmanager
def _folder(path: str) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY)
    try:
        yield number
    finally:
        os.close(number)


@contextmanager
def _signals_as_exits() -> Iterator[None]:
    """What would end the program at once ends it by way of every ``finally``. A handler that somebody set is kept."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    ours = []
    if threading.current_thread() is threading.main_thread():
        wanted = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        ours = [each for each in wanted if signal.getsignal(each) == signal.SIG_DFL]
    try:
        for each in ours:
            signal.signal(each, leave)
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)
