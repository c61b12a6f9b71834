"""Ends by a signal. Numbers are those of bough.lock.signals."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from lock_peer import Peer

from bough.lock import SessionLock

WAIT = "say('ready')\nwhile True: signal.pause()\n"


def end(code: str, path: Path, number: int) -> tuple[int, str]:
    """What became of a process that got the signal: its status, and what it said until then."""
    with Peer("import signal\n" + code, path) as peer:
        assert peer.hear() == "ready"
        peer.process.send_signal(number)
        status = peer.process.wait(10)
        assert peer.process.stdout is not None
        return status, peer.process.stdout.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_record_goes_and_the_process_dies_of_the_signal(path: Path, number: int) -> None:
    """Guarantee 2: with the status that the default action gives."""
    code = f"signal.signal({int(number)}, signal.SIG_DFL)\nlock = SessionLock(path)\nlock.acquire()\n" + WAIT
    assert end(code, path, number) == (-number, "")
    assert not (path.parent / "session.lock").exists()
    with SessionLock(path) as lock:
        assert lock.check()


def test_ctrl_c_is_python_s_own(path: Path) -> None:
    code = "sys.stderr = open(os.devnull, 'w')\nlock = SessionLock(path)\nlock.acquire()\n"
    code += "assert signal.getsignal(2) is signal.default_int_handler\n" + WAIT
    status, _ = end(code, path, signal.SIGINT)
    assert status == -signal.SIGINT
    assert {file.name for file in path.parent.iterdir()} == {"session.lock.guard"}


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_the_program_s_own_handler_is_called_and_nothing_else_happens(path: Path, first: str) -> None:
    """Guarantee 1, whoever came first: it goes on under the lock, and ends as it likes."""
    theirs = """
def handler(number, frame):
    say("handler", lock.check(), os.path.exists(path + ".lock"))
    sys.exit(7)
signal.signal(15, handler)
"""
    ours = "lock = SessionLock(path)\nlock.acquire()\n"
    code = theirs + ours if first == "theirs" else ours + theirs
    assert end(code + "assert signal.getsignal(15) is handler\n" + WAIT, path, 15) == (7, "handler True True\n")
    assert not (path.parent / "session.lock").exists()


def test_a_handler_that_calls_the_one_before_it(path: Path) -> None:
    code = """
lock = SessionLock(path)
lock.acquire()
before = signal.getsignal(15)
def handler(number, frame):
    say("handler")
    before(number, frame)
signal.signal(15, handler)
"""
    assert end(code + WAIT, path, 15) == (-15, "handler\n")
    assert not (path.parent / "session.lock").exists()


def test_ignored_stays_ignored(path: Path) -> None:
    code = "signal.signal(15, signal.SIG_IGN)\nlock = SessionLock(path)\nlock.acquire()\n"
    code += "os.kill(os.getpid(), 15)\nsay(signal.getsignal(15) is signal.SIG_IGN, lock.check())\nhear()"
    with Peer("import signal\n" + code, path) as peer:
        assert peer.hear() == "True True"


def test_a_hold_at_work_in_another_thread_is_left_to_the_kernel(path: Path) -> None:
    """Guarantee 3."""
    code = """
held = threading.Event()
def work():
    with SessionLock(path): held.set(); hear()
threading.Thread(target=work, daemon=True).start()
held.wait()
with SessionLock(path + "-mine"): pass
mine = SessionLock(path + "-mine"); mine.acquire()
"""
    assert end(code + WAIT, path, 15) == (-15, "")
    assert (path.parent / "session.lock").exists()
    assert not (path.parent / "session-mine.lock").exists()
    with SessionLock(path) as lock:
        assert lock.check()


def test_a_task(path: Path) -> None:
    code = """
import asyncio
from bough import aio
async def main():
    async with aio.SessionLock(path):
        say("ready")
        await asyncio.sleep(60)
asyncio.run(main())
"""
    assert end(code, path, 15) == (-15, "")
    assert not (path.parent / "session.lock").exists()


@pytest.mark.parametrize("where", ["main", "other"])
def test_installed_by_the_main_thread_only(path: Path, where: str) -> None:
    """Guarantee 4."""
    use = "with SessionLock(path): pass"
    code = {"main": use, "other": f"def use():\n    {use}\nt = threading.Thread(target=use); t.start(); t.join()"}[
        where
    ]
    code = f"import signal\nassert signal.getsignal(15) is signal.SIG_DFL\n{code}\nsay(callable(signal.getsignal(15)))"
    with Peer(code + "\nhear()", path) as peer:
        assert peer.hear() == str(where == "main")


def test_a_forked_child_dies_by_it_and_takes_nothing_away(path: Path) -> None:
    code = """
lock = SessionLock(path)
lock.acquire()
pid = os.fork()
if pid == 0:
    os.kill(os.getpid(), 15)
    os._exit(1)
say(os.waitpid(pid, 0)[1], lock.check(), os.path.exists(path + ".lock"))
hear()
"""
    with Peer(code, path) as peer:
        assert peer.hear() == "15 True True"
