"""A file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
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
    """A file to write to, which gets its name once all is written and on the disk; where that fails it leaves nothing.

    A file that came to be there meanwhile is not replaced either, unless by ``force``. What is no file (a pipe, a
    device) is written to as it is. ``InvalidRequestError``, ``OSError``.
    """
    check_new(path, force=force)
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    goal = os.path.realpath(path)
    number, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".new", dir=os.path.dirname(goal))
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fchmod(number, _mode(goal))
            os.fsync(number)
        if force:
            os.replace(name, goal)
        else:
            _link(name, goal, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _link(name: str, goal: str, path: Path) -> None:
    """Gives the file its name unless that is taken, in one step where the file system can."""
    try:
        os.link(name, goal)
    except FileExistsError:
        check_new(path, force=False)
        raise
    except OSError:
        check_new(path, force=False)
        os.rename(name, goal)


def _mode(goal: str) -> int:
    """The rights of the file that is replaced, else those that any new one gets."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(goal).st_mode)
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask
