"""Copying among real processes: others write to the source meanwhile, copiers are killed, two copy at once."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from copy_kit import SESSION, in_child, place, say, status_of, talk, whole

from bough.copying import blocks, copy_session
from bough.history import starts_with
from bough.manager import ConversationBranchManager
from bough.model import Append, Change, Commit, Graft
from bough.stores import open_store

KINDS = ["json", "sqlite"]


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("destination", KINDS)
def test_a_copy_while_another_process_writes(tmp_path: Path, source: str, destination: str) -> None:
    """Each copy is a whole state that the session had; the last one has everything."""
    rounds = 60
    talk(place(source, tmp_path, "a")).close()
    reading, writing = os.pipe()

    def write() -> None:
        with ConversationBranchManager(SESSION, store=place(source, tmp_path, "a")) as manager:
            for n in range(rounds):
                manager.add_messages([say(f"{n}"), say(f"{n}, again")])
                if n % 7 == 0:
                    manager.fork(f"f{n}")
                if n % 11 == 0:
                    manager.set_messages([say(f"set {n}"), *manager.get_messages()[2:]])
                os.write(writing, b".")

    child = in_child(write)
    os.close(writing)
    here, there = place(source, tmp_path, "a"), place(destination, tmp_path, "b")
    copies = 0
    while os.read(reading, 1):
        copy_session(here, there, SESSION)
        copies += 1
        copied = there.load(SESSION)
        now = here.load(SESSION)
        assert copied.last_operation <= now.last_operation
        for id_, record in copied.branches.items():
            there.read(SESSION, record.history)
            if now.branches[id_].operation == record.operation:
                assert starts_with(now.branches[id_].history, record.history)
    assert status_of(child) == 0
    assert copies > 3
    copy_session(here, there, SESSION)
    assert whole(there) == whole(here)
    here.close()
    there.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_every_commit_and_run_again_it_completes(tmp_path: Path, kind: str, moment: str) -> None:
    source = open_store("memory:")
    talk(source)
    expected = whole(source)
    at = 0
    while True:
        folder = tmp_path / str(at)
        folder.mkdir()

        def copy(at: int = at, folder: Path = folder) -> None:
            store = place(kind, folder)
            commit, count = store.commit, iter(range(1000))

            def dying(session_id: str, change: Append | Change | Graft) -> Commit:
                is_last = next(count) == at
                if is_last and moment == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
                done = commit(session_id, change)
                if is_last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return done

            store.commit = dying  # type: ignore[method-assign]
            copy_session(source, store, SESSION)

        status = status_of(in_child(copy))
        if status == 0:
            break
        assert status == -signal.SIGKILL
        store = place(kind, folder)
        before = store.load(SESSION).last_operation
        result = copy_session(source, store, SESSION)
        assert result.operations == 11 - before
        assert result.verified == 16
        assert whole(store) == expected
        assert copy_session(source, store, SESSION).messages == 0
        store.close()
        at += 1
    assert at > 11


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_again_and_again_it_completes(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(3)
    source = place("json", tmp_path, "a")
    with ConversationBranchManager(SESSION, store=source) as manager:
        for n in range(8):
            manager.add_messages([say(f"{n}, {each} " + "x" * 500) for each in range(400)])
            manager.fork(f"f{n}")
            manager.set_messages(manager.get_messages()[5:])
    monkeypatch.setattr(blocks, "BLOCK", 50)  # so that there are many moments
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 50_000)
    killed = 0
    for _ in range(12):
        reading, writing = os.pipe()

        def copy(writing: int = writing) -> None:
            store = place(kind, tmp_path, "b")
            copy_session(source, store, SESSION, progress=lambda done, total: os.write(writing, b"."))

        child = in_child(copy)
        os.close(writing)
        for _ in range(chance.randrange(1, 200)):
            os.read(reading, 1)
        os.kill(child, signal.SIGKILL)
        status = status_of(child)
        os.close(reading)
        assert status in (0, -signal.SIGKILL)
        killed += status != 0
    assert killed > 3
    there = place(kind, tmp_path, "b")
    copy_session(source, there, SESSION)
    assert whole(there) == whole(source)
    there.close()


@pytest.mark.parametrize("kind", KINDS)
def test_several_who_copy_to_one_place_at_once(tmp_path: Path, kind: str) -> None:
    talk(place("json", tmp_path, "a")).close()
    starting, go = os.pipe()

    def copy() -> None:
        os.close(go)
        os.read(starting, 1)
        store = place(kind, tmp_path, "b")
        copy_session(place("json", tmp_path, "a"), store, SESSION)

    children = [in_child(copy) for _ in range(4)]
    os.close(go)
    assert [status_of(child) for child in children] == [0] * 4
    there = place(kind, tmp_path, "b")
    assert whole(there) == whole(place("json", tmp_path, "a"))
    there.close()
