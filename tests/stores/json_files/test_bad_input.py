"""Ids, links, folders and documents as they should not be.

Each gives a clear error or a clear finding; the other branches work on; nothing is written over, and nothing is read
or written outside the store.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from json_store_kit import in_child
from other_program_kit import everything, kinds, open_session, say, texts

from bough.errors import (
    BoughError,
    CorruptBranchError,
    InvalidIdError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from bough.manager import ConversationBranchManager
from bough.stores.json_files import JsonFilesStore

GARBAGE = b"not a document\n"
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may do this")


def plain(branch_id: str, *messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    at = "2026-11-20T10:00:00.000Z"
    document = {"id": branch_id, "name": branch_id, "createdAt": at, "updatedAt": at, "messages": list(messages)}
    return document | more


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A session ``talk``: main: a; side: a b, and a file of somebody else's beside the store."""
    root = tmp_path / "store"
    with open_session(root) as manager:
        manager.add_messages(say("a"))
        manager.create_branch("side", "Side", "main")
        manager.checkout("side")
        manager.add_messages(say("b"))
        manager.checkout("main")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b'{"id":"x","messages":[{"role":"user","content":"secret"}]}\n')
    return root


@pytest.fixture
def outside(root: Path) -> Path:
    return root.parent / "outside"


def works(root: Path, branch_id: str = "main") -> None:
    """The branch can be read, written, forked and cleaned up again, as if nothing were wrong elsewhere."""
    with open_session(root) as manager:
        manager.checkout(branch_id)
        before = texts(manager)
        manager.add_messages(say("more"))
        fork = manager.fork("A fork").id
        manager.add_messages(say("there"))
        manager.checkout(branch_id)
        assert manager.merge(fork).added == 1
        assert texts(manager) == [*before, "more", "there"]
        manager.undo()
        manager.delete_branch(fork)
        assert texts(manager) == [*before, "more"]
    assert texts(open_session(root), branch_id) == [*before, "more"]


# -- ids ---------------------------------------------------------------------------------------------------------------

REFUSED = ["", "\0", "a\0b", "a" * 513, "é" * 257, "x" * 4000, "\ud800", "a\udfff"]
ACCEPTED = [
    "/",
    "/etc/passwd",
    "a/b/../../../c",
    "..",
    ".",
    "...",
    "../up",
    "./here",
    "\\",
    "..\\up",
    "C:\\x",
    "a" * 512,
    "é" * 256,
    "%" * 512,
    "木" * 170,
    "🌳" * 128,
    "🌳",
    "Ünïcödé ẞ ﬁ",
    "é",
    "e\u0301",
    "עברית",
    "a b",
    " ",
    " a ",
    "\n",
    "a\nb\r",
    "\t\x1b[31m\x7f",
    "%2F",
    "%2f",
    "%",
    "%%",
    "%00",
    "~",
    "~root",
    "a~b",
    "con",
    "CON",
    "nul",
    "com1",
    "con.json",
    "lpt9.txt",
    "A",
    "a",
    "AbC",
    "ABC",
    ".hidden",
    ".git",
    "trailing.",
    "-rf",
    "*",
    "?",
    '"',
    "'; drop",
    "$(x)",
    "HEAD",
    "attic",
    "operations.jsonl",
    "session",
    "session.lock",
    "session.id",
    "main.json",
    "x.json.7.new",
    "main.json.2.new",
    "\u202egnp",
    "null",
]


@pytest.mark.parametrize("bad", [*REFUSED, None, 7, b"x"], ids=lambda bad: repr(bad)[:20])
def test_what_cannot_be_an_id(root: Path, bad: Any) -> None:
    before = everything(root.parent)
    with pytest.raises(InvalidIdError):
        JsonFilesStore(root).load(bad)
    if bad is not None:
        with pytest.raises(InvalidIdError):
            ConversationBranchManager(bad, store=root)
    with open_session(root) as manager:
        for verb in (manager.checkout, manager.delete_branch, manager.get_branch_history, manager.merge):
            with pytest.raises(InvalidIdError):
                verb(bad)
        with pytest.raises(InvalidIdError):
            manager.create_branch(bad, "A name")
    assert everything(root.parent) == before


def test_every_other_session_id_has_a_whole_life(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "store"
    for number, session in enumerate(ACCEPTED):
        with open_session(root, session) as manager:
            manager.add_messages(say(session.encode().hex(), str(number)))
    assert JsonFilesStore(root).sessions() == sorted(ACCEPTED)
    folders = list(root.iterdir())
    assert len(folders) == len({folder.name.lower() for folder in folders}) == len(ACCEPTED)
    for number, session in enumerate(ACCEPTED):
        with open_session(root, session) as manager:
            assert texts(manager) == [session.encode().hex(), str(number)]
            manager.fork("Fork")
            manager.undo()
            assert len(manager.get_all_branches()) == 1
    check_inside(tmp_path, root)


def test_every_other_branch_id_has_a_whole_life(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with open_session(root) as manager:
        for branch in ACCEPTED:
            manager.create_branch(branch, branch)
            manager.checkout(branch)
            manager.add_messages(say(branch))
    with open_session(root) as manager:
        assert manager.get_current_branch_id() == ACCEPTED[-1]
        assert manager.store.load("talk").findings == ()
        assert {branch.id for branch in manager.get_all_branches()} == {"main", *ACCEPTED}
        assert len(manager.format_branches().splitlines()) == len(ACCEPTED) + 1
        for branch in ACCEPTED:
            assert texts(manager, branch) == [branch]
            manager.checkout(branch)
            manager.merge("main")
            manager.delete_branch(branch)
        assert [branch.id for branch in manager.get_all_branches()] == ["main"]
        for _ in range(2):
            manager.undo()  # the last delete, and its checkout
        manager.create_branch("again", "Again", ACCEPTED[-1])
        assert texts(manager, "again") == [ACCEPTED[-1]]
    check_inside(tmp_path, root)


def check_inside(parent: Path, root: Path) -> None:
    """Nothing but the store came to be, private, and at the depth where it belongs."""
    top = root.relative_to(parent).parts[0]
    assert [path.name for path in parent.iterdir()] == [top]
    for path in root.rglob("*"):
        depth = len(path.relative_to(root).parts)
        assert depth <= 2 + ("attic" in path.parts)
        assert path.is_dir() == (depth == 1 or path.name == "attic")
        assert not path.name.startswith(".")
        assert path.name.isascii()
        assert path.name.isprintable()
    check_modes(root)


def check_modes(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    root = tmp_path / "a" / "b" / "store"
    old = os.umask(umask)
    try:
        for session in ("talk", "X" * 500):
            with open_session(root, session) as manager:
                manager.add_messages(say("a", "b"))
                manager.fork("Side")
                manager.set_messages(say("a", "c"))
                manager.checkout("main")
                manager.merge("side")
                manager.delete_branch("side")
                with manager.lock():
                    check_modes(tmp_path / "a")
    finally:
        os.umask(old)
    assert {"attic", "session.id", "HEAD", "operations.jsonl"} <= {path.name for path in root.rglob("*")}
    check_modes(tmp_path / "a")


# -- links and other things where files should be ----------------------------------------------------------------------


@pytest.mark.parametrize("target", ["secret", "missing", "."])
@pytest.mark.parametrize("name", ["session.lock", "session.lock.guard"])
def test_a_link_where_a_lock_should_be(root: Path, outside: Path, name: str, target: str) -> None:
    (root / "talk" / name).unlink(missing_ok=True)
    (root / "talk" / name).symlink_to(outside / target)
    before = everything(root.parent)
    store = JsonFilesStore(root, lock_timeout=0.2)
    with ConversationBranchManager("talk", store=store) as manager:
        assert texts(manager, "side") == ["a", "b"]
        for verb in (lambda: manager.add_messages(say("x")), lambda: manager.fork("F"), manager.undo):
            with pytest.raises(StoreUnavailableError, match=name):
                verb()
    assert everything(root.parent) == before
    (root / "talk" / name).unlink()
    works(root)


@pytest.mark.parametrize("ours", [False, True], ids=["their document", "our document"])
def test_a_link_where_a_branch_should_be(root: Path, outside: Path, ours: bool) -> None:
    side = root / "talk" / "side.json"
    if ours:
        (outside / "secret").write_bytes(side.read_bytes())
    side.unlink()
    side.symlink_to(outside / "secret")
    secret = (outside / "secret").read_bytes()
    with open_session(root) as manager:
        [finding] = manager.store.load("talk").findings
        assert (finding.branch_id, "link" in finding.problem) == ("side", True)
        assert [branch.id for branch in manager.get_all_branches()] == ["main"]
        check_refused(manager, "side")
    works(root)
    assert (side.is_symlink(), (outside / "secret").read_bytes()) == (True, secret)


def check_refused(manager: ConversationBranchManager, branch_id: str) -> None:
    for verb in (manager.get_messages, manager.checkout, manager.delete_branch, manager.merge):
        with pytest.raises(CorruptBranchError):
            verb(branch_id)
    with pytest.raises(CorruptBranchError):
        manager.create_branch(branch_id, "Anew")
    with pytest.raises(CorruptBranchError):
        manager.rename_branch(branch_id, "Anew")
    with pytest.raises(CorruptBranchError):
        manager.create_branch("leaf", "Leaf", branch_id)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        old = os.getcwd()
        os.chdir(path.parent)  # a socket's path must be short
        try:
            server.bind(path.name)
        finally:
            os.chdir(old)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, make_socket], ids=["fifo", "folder", "socket"])
@pytest.mark.parametrize("name", ["side.json", "new.json", "operations.jsonl", "HEAD", "attic"])
def test_a_thing_where_a_file_should_be(root: Path, name: str, make: Callable[[Path], None]) -> None:
    path = root / "talk" / name
    path.unlink(missing_ok=True)
    make(path)
    kind = stat.S_IFMT(path.lstat().st_mode)
    with open_session(root) as manager:
        assert texts(manager) == ["a"]
        if name.endswith(".json"):
            assert [finding.branch_id for finding in manager.store.load("talk").findings] == [name[:-5]]
            check_refused(manager, name[:-5])
            works(root)
        elif name == "operations.jsonl":
            assert [finding.place for finding in manager.store.load("talk").findings] == [str(path)]
            manager.add_messages(say("more"))
            for verb in (lambda: manager.fork("F"), manager.undo):
                with pytest.raises(CorruptBranchError):
                    verb()
            assert texts(open_session(root)) == ["a", "more"]
        elif name == "HEAD":
            assert [finding.place for finding in manager.store.load("talk").findings] == [str(path)]
            works(root)
            works(root, "side")
        elif make is os.mkdir:
            works(root)
        else:
            manager.add_messages(say("more"))
            manager.fork("F")
            with pytest.raises(StoreUnavailableError):
                manager.delete_branch("side")
            assert texts(manager, "side") == ["a", "b"]
    if name != "HEAD" or make is os.mkdir:  # it is a line for people: anything but a folder gives way to it
        assert stat.S_IFMT(path.lstat().st_mode) == kind


@pytest.mark.parametrize("name", ["operations.jsonl", "HEAD", "HEAD.new", "attic", "attic/side.4", "side.json.5.new"])
@pytest.mark.parametrize("target", ["secret", "missing", "."])
def test_a_link_where_another_file_of_ours_should_be(root: Path, outside: Path, name: str, target: str) -> None:
    path = root / "talk" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(outside / target)
    with open_session(root) as manager:
        assert texts(manager) == ["a"]
        attempts: list[Callable[[], object]] = [
            lambda: manager.add_messages(say("c")),
            lambda: manager.checkout("side"),
            lambda: manager.set_messages(say("other")),
            lambda: manager.delete_branch("side"),
            lambda: manager.undo(),
            lambda: manager.fork("F"),
        ]
        done = 0
        for attempt in attempts:
            try:
                attempt()
                done += 1
            except (StoreUnavailableError, CorruptBranchError) as error:
                assert "link" in str(error)  # noqa: PT017
        assert done >= (1 if name == "operations.jsonl" else 4)
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert b"secret" in (outside / "secret").read_bytes()
    assert texts(open_session(root))[0] in ("a", "other")


def test_the_attic_is_not_read_through_a_link(root: Path, outside: Path) -> None:
    with open_session(root) as manager:
        [*_, piece] = manager.store.load("talk").branches["side"].history
        manager.delete_branch("side")
        assert manager.store.read("talk", (piece,)) == say("b")
    (root / "talk" / "attic").rename(outside / "attic")
    (root / "talk" / "attic").symlink_to(outside / "attic")
    before = everything(outside)
    with open_session(root) as manager:
        with pytest.raises(CorruptBranchError):
            manager.store.read("talk", (piece,))
        manager.fork("Other")
        manager.add_messages(say("c"))
        with pytest.raises((StoreUnavailableError, CorruptBranchError)):
            manager.delete_branch("other")
    assert everything(outside) == before


@pytest.mark.parametrize("opened_before", [False, True])
def test_a_link_where_the_session_folder_should_be(root: Path, outside: Path, opened_before: bool) -> None:
    store = JsonFilesStore(root)
    manager = ConversationBranchManager("talk", store=store) if opened_before else None
    (root / "talk").rename(outside / "talk")
    (root / "talk").symlink_to(outside / "talk")
    before = sorted(path.name for path in (outside / "talk").iterdir()), everything(outside)
    assert store.sessions() == []
    if manager is None:
        with pytest.raises(CorruptBranchError, match="link"):
            ConversationBranchManager("talk", store=store)
    else:
        verbs: list[Callable[[], object]] = [
            manager.get_messages,
            manager.get_all_branches,
            manager.undo,
            lambda: manager.fork("F"),
            lambda: manager.add_messages(say("x")),
            lambda: manager.lock().__enter__(),
        ]
        for verb in verbs:
            with pytest.raises(CorruptBranchError, match="link"):
                verb()
    assert (sorted(path.name for path in (outside / "talk").iterdir()), everything(outside)) == before
    works_elsewhere(root)


def works_elsewhere(root: Path) -> None:
    with open_session(root, "another") as manager:
        manager.add_messages(say("x"))
        assert texts(manager) == ["x"]


# -- the store's folder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["secret", "secret/below", "secret/deep/below"])
def test_a_store_that_is_a_file_or_under_one(outside: Path, path: str) -> None:
    before = everything(outside)
    for url in (str(outside / path), f"json:{outside / path}"):
        with pytest.raises(StoreUnavailableError, match="secret"):
            ConversationBranchManager("talk", store=url)
        with pytest.raises((StoreUnavailableError, SessionNotFoundError)):
            ConversationBranchManager("talk", store=url, create=False)
    assert everything(outside) == before


def test_a_session_that_is_a_file(root: Path) -> None:
    (root / "notes").write_text("mine")
    store = JsonFilesStore(root)
    with pytest.raises(StoreUnavailableError):
        ConversationBranchManager("notes", store=store)
    assert store.sessions() == ["talk"]
    assert (root / "notes").read_text() == "mine"


def test_junk_in_the_stores_folder_is_no_session(root: Path) -> None:
    (root / "notes.txt").write_text("mine")
    (root / "stray.json").write_text(json.dumps(plain("stray")))
    (root / "empty").mkdir()
    (root / "pictures").mkdir()
    (root / "pictures" / "cat.jpg").write_bytes(b"cat")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / "loop").symlink_to(root)
    (root / "nowhere").symlink_to(root / "missing")
    os.mkfifo(root / "pipe")
    for name in (b"\xff\xfe", b"bad-\xc3"):
        folder = os.fsencode(root) + b"/" + name
        os.mkdir(folder)
        (Path(os.fsdecode(folder)) / "main.json").write_text(json.dumps(plain("main")))
    (root / "theirs").mkdir()
    (root / "theirs" / "main.json").write_text(json.dumps(plain("main")))
    before = everything(root)
    assert JsonFilesStore(root).sessions() == ["talk", "theirs"]
    assert everything(root) == before


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "not text", "other", "fifo", "folder", "link"])
def test_the_note_of_a_long_session_id_is_damaged(root: Path, outside: Path, damage: str) -> None:
    session = "A long one. " * 40
    with open_session(root, session) as manager:
        manager.add_messages(say("x"))
    store = JsonFilesStore(root)
    assert store.sessions() == sorted([session, "talk"])
    [note] = root.glob("*/session.id")
    note.unlink()
    (outside / "id").write_text(session)
    match damage:
        case "fifo":
            os.mkfifo(note)
        case "folder":
            note.mkdir()
        case "link":
            note.symlink_to(outside / "id")
        case "missing":
            pass
        case _:
            contents = {"empty": b"", "garbage": b"x" * 10_000, "not text": b"\xff", "other": b"talk"}
            note.write_bytes(contents[damage])
    assert store.sessions() == ["talk"]
    with open_session(root, session) as manager:
        manager.add_messages(say("y"))
        assert texts(manager) == ["x", "y"]
        manager.fork("F")


def test_a_folder_of_another_programs_for_a_session_of_ours(root: Path) -> None:
    """Two folders for one session: one counts, and it is listed once."""
    with open_session(root, "Work") as manager:
        manager.add_messages(say("ours"))
    (root / "Work").mkdir()
    (root / "Work" / "main.json").write_text(json.dumps(plain("main", *say("theirs"))))
    assert JsonFilesStore(root).sessions() == ["Work", "talk"]
    assert texts(open_session(root, "Work")) == ["ours"]


@contextmanager
def owned_by_nobody() -> Iterator[tuple[Path, Callable[[], None]]]:
    """A store with a session, whose owner is not root, and what makes a child that owner."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        with open_session(top / "store") as manager:
            manager.add_messages(say("a"))
            manager.fork("Side")
            manager.add_messages(say("b"))
        if os.geteuid() != 0:
            yield top / "store", lambda: None
            return
        os.chmod(top, 0o755)  # noqa: S103
        for path in [top / "store", *(top / "store").rglob("*")]:
            os.chown(path, 65534, 65534)

        def become() -> None:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

        yield top / "store", become


@pytest.mark.skipif(os.name == "nt", reason="folders have other permissions there")
def test_a_read_only_store_is_read_and_not_written() -> None:
    with owned_by_nobody() as (root, become):
        for path in root.rglob("*"):
            path.chmod(0o500 if path.is_dir() else 0o400)
        root.chmod(0o500)
        before = everything(root)

        def work() -> None:
            become()
            with open_session(root) as manager:
                assert manager.get_current_branch_id() == "side"
                assert texts(manager) == ["a", "b"]
                assert len(manager.get_all_branches()) == 2
                assert kinds(manager) == ["init", "fork"]
                assert manager.store.sessions() == ["talk"]
                assert manager.format_branch_tree()
                for verb in (
                    lambda: manager.add_messages(say("x")),
                    lambda: manager.fork("F"),
                    lambda: manager.set_messages([]),
                    lambda: manager.checkout("main"),
                    lambda: manager.delete_branch("side"),
                    manager.undo,
                    lambda: open_session(root, "new"),
                ):
                    with pytest.raises(StoreUnavailableError, match=r"(?i)permission"):
                        verb()
                assert texts(manager) == ["a", "b"]

        try:
            assert in_child(work) == 0
            assert everything(root) == before
        finally:
            for path in [root, *root.rglob("*")]:
                path.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="folders have other permissions there")
def test_what_may_not_even_be_read() -> None:
    with owned_by_nobody() as (root, become):
        folder = root / "talk"

        def work() -> None:
            become()
            (folder / "side.json").chmod(0)
            with open_session(root) as manager:
                [finding] = manager.store.load("talk").findings
                assert (finding.branch_id, "denied" in finding.problem) == ("side", True)
                with pytest.raises(CorruptBranchError, match="denied"):
                    manager.add_messages(say("x"))
                manager.checkout("main")
                manager.add_messages(say("x"))
                assert texts(manager) == ["a", "x"]
            folder.chmod(0)
            with pytest.raises(StoreUnavailableError):
                open_session(root)
            folder.chmod(0o700)
            root.chmod(0)
            with pytest.raises(StoreUnavailableError):
                JsonFilesStore(root).sessions()
            root.chmod(0o700)

        assert in_child(work) == 0


# -- a full disk -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 256 pages."""
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("only root may mount one")
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, spare: int = 0) -> None:
    """Until nothing fits any more but ``spare`` pages."""
    with open(place / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as full:
            if full.errno != errno.ENOSPC:
                raise
    if spare:
        os.truncate(place / "filler", (place / "filler").stat().st_size - 4096 * spare)


VERBS: dict[str, Callable[[ConversationBranchManager], object]] = {
    "append": lambda manager: manager.add_messages(say("x" * 5000)),
    "batch": lambda manager: manager.add_messages(say(*("x" * 900 for _ in range(9)))),
    "fork": lambda manager: manager.fork("Another"),
    "set": lambda manager: manager.set_messages(say("y" * 5000)),
    "merge": lambda manager: manager.merge("side"),
    "replace": lambda manager: manager.merge("side", "replace"),
    "delete": lambda manager: manager.delete_branch("side"),
    "rename": lambda manager: manager.rename_branch("main", "z" * 400),
    "checkout": lambda manager: manager.checkout("side"),
    "undo": lambda manager: manager.undo(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk(small: Path, verb: str) -> None:
    """From no page left to as many as it takes: done, or refused with everything as it was. Then there is space."""
    refused = done = 0
    for spare in range(12):
        root = small / f"store{spare}"
        with open_session(root) as manager:
            manager.add_messages(say("a" * 3000, "b"))
            manager.fork("Side")
            manager.add_messages(say("c" * 4500, "d"))
            manager.checkout("main")
            manager.get_messages()
            fill(small, spare)
            before = shown(manager)
            number = manager.store.load("talk").last_operation
            try:
                VERBS[verb](manager)
            except StoreUnavailableError as error:
                refused += 1
                assert "space" in str(error).lower() or "full" in str(error)  # noqa: PT017
                assert shown(manager) == before
                assert manager.store.load("talk").last_operation == number
            else:
                done += 1
                assert shown(manager) != before
            after = shown(manager)
            assert shown(open_session(root)) == after
            (small / "filler").unlink()
            assert shown(open_session(root)) == after
            manager.add_messages(say("more"))
            assert texts(manager)[-1] == "more"
            manager.fork("Later")
            manager.undo()
            for path in (root / "talk").glob("*.json"):
                json.loads(path.read_bytes())
        for path in sorted(root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    assert done
    assert refused or verb not in ("append", "batch", "fork", "set")  # the others may do with what a page has left


def shown(manager: ConversationBranchManager) -> dict[str, Any]:
    head = manager.store.load("talk").head
    return {"": head} | {each.id: (each.name, list(each.messages)) for each in manager.get_all_branches()}


def test_a_session_that_cannot_be_made_on_a_full_disk(small: Path) -> None:
    fill(small)
    with pytest.raises(StoreUnavailableError):
        open_session(small / "store")
    assert JsonFilesStore(small / "store").sessions() == []
    (small / "filler").unlink()
    works_elsewhere(small / "store")


# -- documents ---------------------------------------------------------------------------------------------------------

DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "garbage": GARBAGE,
    "zeros": bytes(5000),
    "binary": bytes(range(256)) * 20,
    "a list": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "an id that is a number": b'{"id":5}',
    "no id": b'{"name":"side","messages":[]}',
    "no messages": b'{"id":"side"}',
    "messages that are none": b'{"id":"side","messages":["x"]}',
    "messages in an object": b'{"id":"side","messages":{}}',
    "half of theirs": json.dumps(plain("side", *say("x", "y")), indent=2).encode()[:-40],
    "another id": json.dumps(plain("other", *say("x"))).encode(),
    "a duplicate": json.dumps(plain("main", *say("x"))).encode(),
    "an empty id": json.dumps(plain("", *say("x"))).encode(),
    "a lone surrogate for an id": json.dumps(plain("\ud800", *say("x"))).encode(),
    "U+0000 in its id": json.dumps(plain("a\0b", *say("x"))).encode(),
    "too long an id": json.dumps(plain("x" * 600, *say("x"))).encode(),
    "NaN": b'{"id":"side","messages":[{"a":NaN}]}',
    "too deep": b'{"id":"side","messages":[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    "utf-16": json.dumps(plain("side")).encode("utf-16"),
    "latin-1": '{"id":"side","messages":[{"a":"é"}]}'.encode("latin-1"),
    "two documents": json.dumps(plain("side")).encode() * 2,
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_document(root: Path, damage: str) -> None:
    path = root / "talk" / "side.json"
    path.write_bytes(DAMAGED[damage])
    with open_session(root) as manager:
        [finding] = manager.store.load("talk").findings
        assert finding.place == str(path)
        assert finding.problem
        assert [branch.id for branch in manager.get_all_branches()] == ["main"]
        with pytest.raises(BoughError):
            manager.get_messages("side")
    works(root)
    assert path.read_bytes() == DAMAGED[damage]


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_document_under_a_name_of_no_branch(root: Path, damage: str) -> None:
    names = [b"\xff.json", b"%zz.json", b".json", b"a~b.json", b"x" * 250 + b".json"]
    for name in names:
        Path(os.fsdecode(os.fsencode(root / "talk") + b"/" + name)).write_bytes(DAMAGED[damage])
    assert len(JsonFilesStore(root).load("talk").findings) == len(names)
    works(root)
    works(root, "side")
    for name in names:
        assert Path(os.fsdecode(os.fsencode(root / "talk") + b"/" + name)).read_bytes() == DAMAGED[damage]


def test_a_document_cut_anywhere_hides_no_other(root: Path) -> None:
    """Whether its end can be mended or not; looking mends nothing."""
    path = root / "talk" / "side.json"
    whole = path.read_bytes()
    readable = 0
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with open_session(root) as manager:
            assert texts(manager) == ["a"]
            assert [finding.branch_id for finding in manager.store.load("talk").findings] == ["side"]
            try:
                assert texts(manager, "side") in (["a"], ["a", "b"])
                readable += 1
            except CorruptBranchError:
                assert size < whole.index(b"\n],")
        assert path.read_bytes() == whole[:size]
    assert 0 < readable < len(whole)


def test_documents_that_vanish_between_two_calls(root: Path) -> None:
    with open_session(root) as manager:
        branches = manager.get_all_branches()
        kept = (root / "talk" / "side.json").read_bytes()
        (root / "talk" / "side.json").unlink()
        for verb in (manager.get_messages, manager.checkout, manager.delete_branch, manager.merge):
            with pytest.raises(BoughError, match="no branch 'side'"):
                verb("side")
        with pytest.raises(CorruptBranchError):
            list(next(branch for branch in branches if branch.id == "side").messages)
        assert texts(manager) == ["a"]
        manager.add_messages(say("more"))
        (root / "talk" / "side.json").write_bytes(kept)
        assert texts(manager, "side") == ["a", "b"]
        assert manager.merge("side").added == 1


def test_a_session_that_vanishes_between_two_calls(root: Path, outside: Path) -> None:
    with open_session(root) as manager:
        assert texts(manager) == ["a"]
        (root / "talk").rename(outside / "moved")
        before = everything(outside)
        for verb in (manager.get_messages, lambda: manager.add_messages(say("x")), lambda: manager.fork("F")):
            with pytest.raises(BoughError):
                verb()
        assert manager.get_all_branches() == []
        assert everything(outside) == before
        assert not (root / "talk" / "main.json").exists()
    works_elsewhere(root)


# -- parents -----------------------------------------------------------------------------------------------------------


def put(root: Path, *documents: dict[str, Any]) -> None:
    (root / "talk").mkdir(parents=True, exist_ok=True)
    for document in documents:
        (root / "talk" / f"{document['id']}.json").write_text(json.dumps(document))


@pytest.mark.parametrize("recorded", [False, True])
def test_parents_that_lead_nowhere_or_in_a_circle(tmp_path: Path, recorded: bool) -> None:
    put(
        tmp_path,
        plain("main", *say("m")),
        plain("self", *say("m", "s"), parentId="self"),
        plain("one", *say("m", "1"), parentId="three", parentMessageIndex=1),
        plain("two", *say("m", "2"), parentId="one", parentMessageIndex=1),
        plain("three", *say("m", "3"), parentId="two", parentMessageIndex=1),
        plain("tail", *say("m", "1", "t"), parentId="one", parentMessageIndex=2),
        plain("orphan", *say("o"), parentId="nowhere", parentMessageIndex=5),
        plain("odd", *say("o"), parentId="../../x\0"),
    )
    (tmp_path / "talk" / "broken.json").write_bytes(GARBAGE)
    put(tmp_path, plain("child", *say("c"), parentId="broken"))
    with open_session(tmp_path) as manager:
        if recorded:
            manager.add_messages(say("ours"))
        names = {branch.id for branch in manager.get_all_branches()}
        assert names == {"main", "self", "one", "two", "three", "tail", "orphan", "odd", "child"}
        seen: list[str] = []
        pending = list(manager.get_branch_tree())
        while pending:
            tree = pending.pop()
            seen.append(tree.branch.id)
            pending += tree.children
        assert sorted(seen) == sorted(names)
        assert len(manager.format_branch_tree().splitlines()) == len(names)
        assert [branch.id for branch in manager.get_branch_history("self")] == ["self"]
        assert [branch.id for branch in manager.get_branch_history("orphan")] == ["orphan"]
        assert [branch.id for branch in manager.get_branch_history("child")] == ["child"]
        assert [branch.id for branch in manager.get_branch_history("two")] == ["three", "one", "two"]
        assert [branch.id for branch in manager.get_branch_history("tail")][-2:] == ["one", "tail"]
        manager.checkout("tail")
        assert manager.merge("one").added == 0
        manager.add_messages(say("more"))
        assert texts(manager) == ["m", "1", "t", "more"]
    assert (tmp_path / "talk" / "broken.json").read_bytes() == GARBAGE


@pytest.mark.parametrize("upwards", [False, True])
@pytest.mark.parametrize("circle", [False, True])
def test_many_generations(tmp_path: Path, upwards: bool, circle: bool) -> None:
    """Of a program that nests without end. Whichever end of the line is read first, nothing runs out of stack."""
    size = 700
    names = [f"b{size - n if upwards else n:05}" for n in range(size)]
    first = plain(names[0], *say("1"), parentId=names[-1] if circle else None)
    put(tmp_path, plain("main", *say("m")), first)
    put(tmp_path, *(plain(name, *say("1"), parentId=above) for above, name in pairwise(names)))
    with open_session(tmp_path) as manager:
        assert len(manager.get_all_branches()) == size + 1
        assert len(manager.get_branch_history(names[-1])) == size
        assert len(manager.format_branch_tree().splitlines()) == size + 1
        manager.checkout(names[-1])
        histories = {name: each.history for name, each in manager.store.load("talk").branches.items()}
        shared = [histories[name] == histories[names[0]] for name in names]
        assert shared == [not circle or name == names[0] for name in names]
        assert manager.merge(names[0]).added == circle
        assert texts(manager) == ["1", "1"] if circle else ["1"]
