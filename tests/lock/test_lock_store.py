"""The store, the Node.js peer, other namespaces: what a live holder keeps, and what one that was robbed may not do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lock_torture
import pytest
from lock_peer import HOLD, PRELUDE, Peer, environment
from test_lock_torture import NODE

from bough.errors import SessionLockedError
from bough.lock import SessionLock
from bough.manager import ConversationBranchManager
from bough.stores.json_files import JsonFilesStore

needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js")
SMALL = HOLD.replace("SessionLock(path)", "SessionLock(path, stale_after=0.2, heartbeat=0.05)")


@contextmanager
def node_peer(path: Path, stale_ms: int) -> Iterator[subprocess.Popen[str]]:
    """One that takes the lock as soon as it may, says so, and keeps it until it hears a line."""
    assert NODE is not None
    script = Path(__file__).with_name("lock_peer.js")
    peer = subprocess.Popen(
        [NODE, script, "once", path, path.parent / "log", str(stale_ms)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert peer.stdin is not None
    assert peer.stdout is not None
    try:
        yield peer
    finally:
        peer.kill()
        peer.wait()
        peer.stdin.close()
        peer.stdout.close()


def hear(peer: subprocess.Popen[str]) -> str:
    assert peer.stdout is not None
    return peer.stdout.readline().strip()


def say(peer: subprocess.Popen[str]) -> None:
    assert peer.stdin is not None
    peer.stdin.write("\n")
    peer.stdin.flush()


def messages(store: Path) -> list[object]:
    with ConversationBranchManager("talk", store=JsonFilesStore(store)) as manager:
        return [message["content"] for message in manager.get_messages()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with a session of one message."""
    with ConversationBranchManager("talk", store=JsonFilesStore(tmp_path / "store")) as manager:
        manager.add_message({"role": "user", "content": "first"})
    return tmp_path / "store"


@needs_node
def test_a_live_hold_is_not_judged_stale_by_the_peer(path: Path) -> None:
    """It works three times as long as the peer allows: the heartbeat says that it lives."""
    with SessionLock(path, heartbeat=0.05) as lock, node_peer(path, 1000) as peer:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert hear(peer) == "tried"
            assert lock.check()
        lock.release()
        while (line := hear(peer)) == "tried":
            pass
        assert line == "held"
    verdict = lock_torture.count(path.parent / "log")
    assert verdict.aged == 0


@needs_node
def test_the_peer_s_live_lock_is_not_taken_and_its_dead_one_is(path: Path) -> None:
    with node_peer(path, 60_000) as peer:
        assert hear(peer) == "held"
        content = (path.parent / "session.lock").read_bytes()
        lock = SessionLock(path)
        for timeout in (0, 0.3):
            assert lock.acquire(timeout) is False
        assert (path.parent / "session.lock").read_bytes() == content
        holder = lock.get_lock_holder()
        assert holder is not None
        assert holder.pid == peer.pid
        say(peer)
        assert hear(peer) == "released"
        assert lock.acquire(10)
        lock.release()
    with node_peer(path, 60_000) as peer:
        assert hear(peer) == "held"
        peer.kill()
        began = time.monotonic()
        assert lock.acquire(10)
        assert time.monotonic() - began < 1
        lock.release()


WRITER = """
from bough.errors import SessionLockedError
from bough.manager import ConversationBranchManager
from bough.stores.json_files import JsonFilesStore
store = JsonFilesStore(path)
with ConversationBranchManager("talk", store=store) as manager:
    with store.lock("talk") as lock:
        say("held", lock.token)
        hear()
        try: VERB
        except SessionLockedError as error: say("refused", lock.check(), "taken away" in str(error))
        else: say("written")
    hear()
"""
VERBS = {
    "append": 'manager.add_message({"role": "user", "content": "late"})',
    "operation": 'manager.fork("branch")',
}


@pytest.mark.parametrize("verb", VERBS)
@needs_node
def test_a_store_refuses_the_write_of_one_that_the_peer_robbed(folder: Path, verb: str) -> None:
    """Stopped for longer than the peer allows; the heartbeat stood still with it."""
    session = next(entry for entry in folder.iterdir() if entry.is_dir())
    log = session / "operations.jsonl"
    before = log.read_bytes()
    with Peer(WRITER.replace("VERB", VERBS[verb]), folder) as writer:
        assert writer.hear().startswith("held")
        os.kill(writer.pid, signal.SIGSTOP)
        with node_peer(session / "session", 300) as peer:
            while (line := hear(peer)) == "tried":
                pass
            assert line == "held"
            os.kill(writer.pid, signal.SIGCONT)
            writer.say()
            assert writer.hear() == "refused False True"
            assert json.loads((session / "session.lock").read_text())["pid"] == peer.pid, "its lock was left"
    assert messages(folder) == ["first"]
    assert log.read_bytes() == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_store_refuses_the_write_of_one_whose_files_were_all_removed(folder: Path, verb: str) -> None:
    """Guard and lock file, by hand, in the middle of a hold: others come in. The holder's check() knows."""
    session = next(entry for entry in folder.iterdir() if entry.is_dir())
    with Peer(WRITER.replace("VERB", VERBS[verb]), folder) as writer:
        token = int(writer.hear().split()[1])
        (session / "session.lock").unlink()
        (session / "session.lock.guard").unlink()
        with ConversationBranchManager("talk", store=JsonFilesStore(folder)) as other:
            other.fork("other")
        last = json.loads((session / "operations.jsonl").read_text().splitlines()[-1])
        assert last["token"] > token
        writer.say()
        assert writer.hear() == "refused False True"
    with ConversationBranchManager("talk", store=JsonFilesStore(folder)) as manager:
        assert [branch.id for branch in manager.get_all_branches()].count("branch") == 0


def test_a_token_older_than_the_log_s_last_is_refused(folder: Path) -> None:
    """Robbed, and the robber gone again with all its traces but its entry: the token alone tells."""
    session = next(entry for entry in folder.iterdir() if entry.is_dir())
    store = JsonFilesStore(folder)
    with ConversationBranchManager("talk", store=store) as manager, store.lock("talk") as lock:
        log = session / "operations.jsonl"
        line = json.loads(log.read_text().splitlines()[-1])
        assert line["token"] == lock.token or line["token"] < (lock.token or 0)
        more = {**line, "operation": line["operation"] + 1, "branches": [], "token": (lock.token or 0) + 1000}
        with log.open("a") as file:
            file.write(json.dumps(more, separators=(",", ":")) + "\n")
        guard = session / "session.lock.guard"
        guard.rename(guard.with_name("aside"))  # no longer the one that everybody else locks
        guard.write_bytes(b"")
        guard.chmod(0o600)
        before = log.read_bytes()
        with pytest.raises(SessionLockedError, match="taken away"):
            manager.fork("late")
        assert log.read_bytes() == before


def test_a_session_from_where_a_clock_is_ahead_can_be_written(folder: Path) -> None:
    """Copied without its guard: the tokens of its log are from elsewhere, and nobody took anything away."""
    session = next(entry for entry in folder.iterdir() if entry.is_dir())
    log = session / "operations.jsonl"
    line = json.loads(log.read_text().splitlines()[-1])
    ahead = time.time_ns() // 1000 + 10**10
    log.write_text(json.dumps({**line, "token": ahead}, separators=(",", ":")) + "\n")
    (session / "session.lock.guard").unlink()
    for name in ("one", "two"):
        with ConversationBranchManager("talk", store=JsonFilesStore(folder)) as manager:
            manager.fork(name)
    tokens = [json.loads(line)["token"] for line in log.read_text().splitlines()]
    assert tokens[0] == ahead
    assert tokens == sorted(set(tokens))


def test_a_log_without_tokens_stays_readable(folder: Path) -> None:
    session = next(entry for entry in folder.iterdir() if entry.is_dir())
    log = session / "operations.jsonl"
    line = json.loads(log.read_text().splitlines()[-1])
    assert type(line.pop("token")) is int
    log.write_text(json.dumps(line, separators=(",", ":")) + "\n")
    with ConversationBranchManager("talk", store=JsonFilesStore(folder)) as manager:
        manager.fork("more")
    assert [("token" in json.loads(line)) for line in log.read_text().splitlines()] == [False, True]


def test_asking_before_each_commit_costs_little(path: Path) -> None:
    """Less than a seventh of what a hold costs (3 µs where that is 24)."""

    def p50(fn: Callable[[], object]) -> float:
        times = []
        for _ in range(2000):
            began = time.perf_counter_ns()
            fn()
            times.append(time.perf_counter_ns() - began)
        return statistics.median(times)

    lock = SessionLock(path)
    other = SessionLock(path.with_name("other"))

    def hold() -> None:
        other.acquire()
        other.release()

    with lock:
        ratios = [p50(lock.check) / p50(hold) for _ in range(5)]
    assert statistics.median(ratios) < 1 / 7


def test_a_holder_that_works_five_times_stale_after_is_not_robbed(path: Path) -> None:
    """Neither at work, with its heartbeat, nor stopped: the kernel says that it lives, and no age counts."""
    with Peer(SMALL, path) as peer:
        token = int(peer.hear().split()[1])
        for is_stopped in (False, True):
            if is_stopped:
                os.kill(peer.pid, signal.SIGSTOP)
            began = time.monotonic()
            assert SessionLock(path, stale_after=0.2).acquire(5 * 0.2) is False
            assert time.monotonic() - began > 4.9 * 0.2
        os.kill(peer.pid, signal.SIGCONT)
        peer.say()
        assert peer.hear() == "released"
        with SessionLock(path, stale_after=0.3) as lock:
            assert lock.token is not None
            assert lock.token > token


def can_unshare() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "--pid", "--fork", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="other namespaces are not allowed here")
def test_a_holder_in_another_pid_namespace_is_not_robbed(path: Path) -> None:
    """Its number is another process's here, or nobody's; the kernel lock knows no namespaces."""
    interpreter = ("unshare", "--pid", "--fork", "--kill-child", sys.executable)
    with Peer("say(os.getpid())\n" + SMALL, path, interpreter=interpreter) as peer:
        inner = int(peer.hear())
        assert inner != peer.pid
        assert peer.hear().startswith("held")
        record = json.loads((path.parent / "session.lock").read_text())
        assert record["pid"] == inner
        assert SessionLock(path, stale_after=0.3).acquire(0.9) is False
        assert SessionLock(path).is_locked()
        peer.say()
        assert peer.hear() == "released"
        with SessionLock(path) as lock:
            assert lock.check()
    with SessionLock(path):
        code = PRELUDE + "say(SessionLock(path, stale_after=0.3).acquire(0.9))"
        run = subprocess.run(
            [*interpreter, "-c", code, str(path)], capture_output=True, text=True, check=False, env=environment()
        )
        assert run.stdout == "False\n", run.stderr
