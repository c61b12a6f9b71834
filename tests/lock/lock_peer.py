"""Another process for the lock tests: runs a snippet, talks by lines over pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import bough

PRELUDE = """
import os, signal, sys, threading, time
from bough.lock import SessionLock, with_session_lock
def say(*words): print(*words, flush=True)
def hear():
    line = sys.stdin.readline()
    if not line: os._exit(3)
    return line.strip()
path = sys.argv[1]
"""
HOLD = """
lock = SessionLock(path)
assert lock.acquire(10)
say("held", lock.token)
hear()
lock.release()
say("released")
hear()
"""


def environment() -> dict[str, str]:
    source = str(Path(bough.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))}


class Peer:
    """``with Peer(code, path) as peer``: the process is killed at the end, whatever it does."""

    def __init__(self, code: str, *arguments: str | Path, interpreter: tuple[str, ...] = (sys.executable,)) -> None:
        self.process = subprocess.Popen(
            [*interpreter, "-c", PRELUDE + code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        self.pid = self.process.pid

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait()
