"""``gc(unreachable=True)``: what a killed import leaves behind goes, and nothing else; real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from manager_kit import kinds, say, texts

from bough import codec
from bough.copying import copy_session
from bough.errors import BranchMovedError, CorruptBranchError, SessionLockedError
from bough.history import length, union
from bough.imports import IncomingBranch, IncomingEntry, entry, plan
from bough.manager import ConversationBranchManager as Manager
from bough.model import Drop, Graft, Message, Piece
from bough.stores import open_store
from bough.stores.base import Store

KINDS = ["json", "sqlite"]
STRAY = "brought by nobody"
MARK = STRAY.encode()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:{tmp_path / 'store'}"


@pytest.fixture
def talk(url: str) -> Iterator[Manager]:
    """main: a b c, tagged v1, and cut to a afterwards; side, with another message, was deleted last."""
    with closing(open_store(url)) as store, Manager("talk", store=store) as manager:
        manager.add_messages(say("a", "b", "c"))
        manager.fork_from_message("Side", 2)
        manager.add_messages(say("s"))
        manager.checkout("main")
        manager.tag("v1")
        manager.reset(1)
        manager.delete_branch("side")
        yield manager


def send(store: Store, *words: str) -> None:
    """What an interrupted import or copy leaves."""
    store.commit("talk", Graft(runs=((Piece("sent", 0, len(words)), codec.encode_all(say(*words))),)))


def unreachable(store: Store) -> int:
    return length(union(*(finding.history for finding in store.verify("talk") if finding.unreachable)))


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@contextmanager
def import_under_way(url: str) -> Iterator[int]:
    """The process id of an import that sent its messages ahead and goes no further; it is killed in the end."""
    reading, writing = os.pipe()

    def wait() -> list[Message]:
        os.write(writing, b".")
        signal.pause()
        return []

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child does plain work, whatever threads pytest has
        child = os.fork()
    if child == 0:
        try:
            entries = [entry(*say(f"{STRAY} {number}")) for number in range(3)]
            with Manager("talk", store=url) as manager:
                manager.import_branches([IncomingBranch(id="new", name="N", entries=[*entries, IncomingEntry(wait)])])
        finally:
            os._exit(99)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"."
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)


def test_what_a_killed_import_left_goes_and_nothing_else(
    talk: Manager, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "BLOCK_BYTES", 1)  # each message goes ahead
    before, verbs = talk.gc(dry_run=True), kinds(talk)
    with import_under_way(url), closing(open_store(url, lock_timeout=0)) as store:
        with Manager("talk", store=store) as other:
            for dry_run in (True, False):
                with pytest.raises(SessionLockedError):
                    other.gc(unreachable=True, dry_run=dry_run)
        assert unreachable(store) == 3
    assert talk.gc().messages == 0
    assert unreachable(talk.store) == 3
    assert MARK in bytes_of(tmp_path)
    tried = talk.gc(unreachable=True, dry_run=True)
    assert (tried.messages, tried.unreachable, tried.operation) == (3, 3, None)
    assert unreachable(talk.store) == 3
    done = talk.gc(unreachable=True)
    assert (done.messages, done.unreachable, done.bytes) == (3, 3, tried.bytes)
    assert (done.in_branches, done.for_tags, done.for_undo) == (before.in_branches, before.for_tags, before.for_undo)
    assert talk.fsck().findings == ()
    assert talk.gc(unreachable=True).operation is None
    assert kinds(talk) == [*verbs, "gc"]
    talk.store.close()
    assert MARK not in bytes_of(tmp_path)
    with Manager("talk", store=url) as again:
        assert again.read_messages(again.tags()["v1"].history) == say("a", "b", "c")
        assert [again.undo().kind for _ in range(2)] == ["delete", "reset"]
        assert (texts(again), texts(again, "side")) == (["a", "b", "c"], ["a", "b", "s"])
        assert again.import_branches([IncomingBranch(id="new", name="N", entries=[entry(*say("x"))])]).messages == 1
        assert again.fsck().findings == ()


def test_an_import_is_not_hurt_by_a_gc_of_another_process(
    talk: Manager, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "BLOCK_BYTES", 1)
    sweep = f"""
from bough.manager import ConversationBranchManager as Manager
from bough.errors import SessionLockedError
from bough.stores import open_store
with Manager("talk", store=open_store({url!r}, lock_timeout=0)) as manager:
    try:
        manager.gc(unreachable=True)
    except SessionLockedError:
        print("locked")
"""
    said: list[str] = []

    def in_the_middle() -> list[Message]:
        done = subprocess.run([sys.executable, "-c", sweep], capture_output=True, text=True, timeout=60)
        said.append(done.stdout + done.stderr)
        return say("z")

    entries = [entry(*say("x", "y")), IncomingEntry(in_the_middle)]
    talk.import_branches([IncomingBranch(id="new", name="N", entries=entries)])
    assert said == ["locked\n"]
    assert texts(talk, "new") == ["x", "y", "z"]


def test_both_kinds_of_garbage_go_at_once(talk: Manager) -> None:
    send(talk.store, "x", "y")
    report = talk.gc(keep=timedelta(), unreachable=True)
    assert (report.messages, report.unreachable) == (3, 2)  # side's message, too
    assert (report.in_branches, report.for_tags, report.for_undo) == (1, 2, 0)
    assert talk.fsck().findings == ()


def test_a_copy_that_was_interrupted_cannot_go_on_but_under_another_id(talk: Manager) -> None:
    with closing(open_store("memory:")) as source:
        copy_session(talk.store, source, "talk")
        with Manager("talk", store=source) as ahead:
            ahead.checkout("main")
            ahead.add_messages(say("new"))
            [*_, piece] = source.load("talk").branches["main"].history
            [new] = source.read("talk", (piece,))
        talk.store.commit("talk", Graft(runs=((piece, [codec.encode(new)]),)))
        assert talk.gc(unreachable=True).unreachable == 1
        with pytest.raises(BranchMovedError):
            copy_session(source, talk.store, "talk")
        copy_session(source, talk.store, "talk", new_id="again")
        with Manager("again", store=talk.store) as again:
            assert texts(again) == ["a", "new"]


# -- what is refused ---------------------------------------------------------------------------------------------------


def is_refused(talk: Manager, words: str) -> None:
    for dry_run in (True, False):
        with pytest.raises(CorruptBranchError, match=words):
            talk.gc(unreachable=True, dry_run=dry_run)


def test_it_is_refused_where_the_log_has_lost_operations(talk: Manager, url: str, tmp_path: Path) -> None:
    """They may have had the messages."""
    send(talk.store, "x")
    if url.startswith("json"):
        log = tmp_path / "store" / "talk" / "operations.jsonl"
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join(lines[:2] + lines[3:]))
    else:
        with closing(apsw.Connection(str(tmp_path / "store"))) as connection:
            connection.execute("DELETE FROM operation WHERE number = 3")
    assert talk.gc().messages == 0
    is_refused(talk, "lost")
    assert talk.store.read("talk", (Piece("sent", 0, 1),)) == say("x")


def test_it_is_refused_where_something_is_damaged(talk: Manager, url: str, tmp_path: Path) -> None:
    send(talk.store, "x")
    if url.startswith("json"):
        [kept] = (tmp_path / "store" / "talk" / "attic").glob("side.*")
        kept.write_bytes(kept.read_bytes()[:-20])
    else:
        with closing(apsw.Connection(str(tmp_path / "store"))) as connection:
            connection.execute("UPDATE branch SET name = 'other'")
    is_refused(talk, "side.*not whole|does not fit its digest")
    assert talk.store.read("talk", (Piece("sent", 0, 1),)) == say("x")


def test_a_branch_that_a_copy_dropped_is_not_unreachable(talk: Manager) -> None:
    """No operation tells that it went: in the JSON store a document of the attic does, and stays."""
    talk.undo()
    talk.checkout("side")
    talk.add_messages(say("t"))
    talk.checkout("main")
    record = talk.store.load("talk").branches["side"]
    talk.store.commit("talk", Graft(drops=(Drop(branch_id="side", expected=record.version),)))
    with suppress(CorruptBranchError):
        talk.gc(unreachable=True)
    assert talk.store.read("talk", record.history) == say("a", "b", "s", "t")
