"""The file: what is made and when, what is refused and left as it is, and what happens when it goes away or is full."""

from __future__ import annotations

import contextlib
import math
import os
import random
import resource
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import apsw
import pytest
from sqlite_store_kit import (
    SESSION,
    WAIT,
    ask,
    check_file,
    each,
    enter,
    in_child,
    lines,
    manager_of,
    raw,
    say,
    start,
    status_of,
    texts,
)

from bough import codec
from bough.changes import change, put_again
from bough.errors import (
    BoughError,
    BranchNotFoundError,
    CorruptBranchError,
    SessionNotFoundError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from bough.manager import ConversationBranchManager
from bough.model import Append, BranchRecord, Put, Tip
from bough.search import parse
from bough.stores import open_store
from bough.stores.base import Store
from bough.stores.sqlite import SqliteStore, schema

NOBODY = 65534


def looks(store: Store) -> list[Callable[[], object]]:
    """Everything that only reads."""
    return [
        store.sessions,
        lambda: store.sessions(deleted=True),
        lambda: store.load(SESSION),
        lambda: store.load(SESSION, only=["main"]),
        lambda: store.read(SESSION, ()),
        lambda: list(store.operations(SESSION)),
        lambda: list(store.search(parse("word"))),
        lambda: list(store.search(parse("word"), session_id=SESSION)),
    ]


def append(store: Store, *said: str) -> object:
    return store.commit(SESSION, Append(branch_id="main", messages=lines(*said)))


def digests(folder: Path) -> dict[str, str]:
    """What stands in a folder. (For files that nobody here has open.)"""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# -- what is made, and when ------------------------------------------------------------------------------------------


def test_nothing_is_made_before_the_first_commit(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "deep" / "store.db")
    for look in looks(store):
        assert not look() or look() == store.load(SESSION)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BranchNotFoundError):
        append(store, "one")
    for new_id in (None, "new"):
        with pytest.raises(SessionNotFoundError):
            store.move(SESSION, new_id)
    with pytest.raises(SessionNotFoundError), store.lock(SESSION):
        pass
    with pytest.raises(SessionNotFoundError):
        ConversationBranchManager(SESSION, store=store, create=False)
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_parents_are_made_and_the_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "very" / "deep" / "store.db"
    mask = os.umask(0o022)
    try:
        manager = manager_of(path)
    finally:
        os.umask(mask)
    manager.add_messages(say("one"))
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
    }
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_mode_that_somebody_gave_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch(0o640)
    path.chmod(0o640)
    manager = manager_of(path)
    manager.add_messages(say("one"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(Path(f"{path}-wal").stat().st_mode) == 0o640


def test_a_last_close_leaves_one_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say("one"))
        manager.store.close()
    assert [each.name for each in tmp_path.iterdir()] == ["store.db"]


@pytest.mark.parametrize("durability", ["full", "lazy"])
def test_connections_are_set_up_as_promised(tmp_path: Path, durability: str) -> None:
    store = SqliteStore(tmp_path / "store.db", durability=durability)  # type: ignore[arg-type]
    ConversationBranchManager(SESSION, store=store)
    connection = store._connections._idle[0]
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == {"full": 2, "lazy": 1}[durability]
    assert connection.pragma("application_id") == schema.APPLICATION_ID
    assert connection.pragma("user_version") == schema.VERSION
    store.close()


def test_a_commit_is_synced_before_it_returns(tmp_path: Path) -> None:
    """With ``full`` each append syncs the log once; with ``lazy`` none does."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    code = (
        "import sys; from bough.manager import ConversationBranchManager as M\n"
        "from bough.stores.sqlite import SqliteStore\n"
        "m = M('talk', store=SqliteStore(sys.argv[1], durability=sys.argv[2]))\n"
        "m.add_message({'n': 0}); open(sys.argv[1] + '.begin', 'w').close()\n"
        "for n in range(10): m.add_message({'n': n})\n"
        "open(sys.argv[1] + '.end', 'w').close()\n"
    )
    counts = {}
    for durability in ("full", "lazy"):
        path, log = tmp_path / f"{durability}.db", tmp_path / f"{durability}.trace"
        command = [strace, "-f", "-o", str(log), "-e", "trace=fsync,fdatasync,openat", sys.executable, "-c", code]
        done = subprocess.run([*command, str(path), durability], env={**os.environ}, timeout=WAIT, check=False)
        if done.returncode != 0:
            pytest.skip("strace is not allowed to trace here")
        text = log.read_text()
        between = text[text.index(f"{path}.begin") : text.index(f"{path}.end")]
        counts[durability] = between.count("fdatasync(") + between.count("fsync(")
    assert counts == {"full": 10, "lazy": 0}


# -- names -----------------------------------------------------------------------------------------------------------


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for url, place in [
        (f"sqlite:{tmp_path}/a.db", tmp_path / "a.db"),
        ("sqlite:b.db", tmp_path / "b.db"),
        ("sqlite:./deep/../c.db", tmp_path / "c.db"),
        ("sqlite:~/d.db", tmp_path / "home" / "d.db"),
        ("sqlite:with space?mode=ro#x%41", tmp_path / "with space?mode=ro#x%41"),
        ("sqlite:file:e.db", tmp_path / "file:e.db"),
        ("sqlite:ü 🌳.db", tmp_path / "ü 🌳.db"),
    ]:
        store = open_store(url)
        assert store.url == f"sqlite:{place}"
        ConversationBranchManager(SESSION, store=store)
        store.close()
        assert place.stat().st_size > 0
        again = open_store(store.url)
        assert again.sessions() == [SESSION]
        again.close()


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite::memory:", "sqlite://x", "sqlite:///x", "sqlite:////x", "sqlite:a\0b", "sqlite:/\udcff"]
)
def test_urls_that_name_no_file_are_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsupportedFormatError) as caught:
        open_store(url)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_one_file_by_two_names_has_one_lock(tmp_path: Path) -> None:
    path, link = tmp_path / "store.db", tmp_path / "link.db"
    link.symlink_to(path)
    manager = manager_of(link)
    manager.add_messages(say("one"))
    other = SqliteStore(path, lock_timeout=0.05)

    def intrude() -> None:
        with pytest.raises(BoughError, match="locked"):
            append(other, "no")

    with manager.lock():
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join(WAIT)
        assert in_child(intrude) == 0
    append(other, "two")
    assert texts(manager) == ["one", "two"]


def test_a_folder_at_the_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        open_store(f"sqlite:{tmp_path}")
    path = tmp_path / "later"
    store = SqliteStore(path)
    path.mkdir()
    for act in each(
        lambda: append(store, "x"), lambda: ConversationBranchManager(SESSION, store=store), store.sessions
    ):
        with pytest.raises(StoreUnavailableError):
            act()
    assert list(path.iterdir()) == []


def test_a_file_where_a_parent_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    store = SqliteStore(tmp_path / "file" / "store.db")
    for act in each(store.sessions, lambda: ConversationBranchManager(SESSION, store=store)):
        with pytest.raises(StoreUnavailableError):
            act()


# -- files of others, and damaged ones -------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE branch (id TEXT)")
        connection.execute("INSERT INTO branch VALUES ('theirs')")
    connection.close()


def foreign_with_our_number(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.pragma("user_version", schema.VERSION)


def foreign_application(path: Path) -> None:
    with raw(path) as connection:
        connection.pragma("application_id", 42)
        connection.pragma("journal_mode", "wal")


@pytest.mark.parametrize(
    "make",
    [
        foreign,
        foreign_with_our_number,
        foreign_application,
        lambda path: path.write_text("just a text\n" * 1000),
        lambda path: path.write_bytes(b"x"),
        lambda path: path.write_bytes(b"a few words"),
        lambda path: path.write_bytes(b"SQLite format 3\0"),
        lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000),
        lambda path: path.write_bytes(bytes(8192)),
    ],
    ids=["database", "database-2", "application", "text", "byte", "words", "magic", "header", "zeros"],
)
def test_another_programs_file_is_refused_and_left_as_it_is(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "store.db"
    make(path)
    before, mode = digests(tmp_path), path.stat().st_mode
    store = SqliteStore(path)
    acts: list[Callable[[], object]] = [
        *looks(store),
        lambda: append(store, "x"),
        lambda: ConversationBranchManager(SESSION, store=store),
        lambda: store.move(SESSION, None),
        lambda: enter(store),
    ]
    for act in acts:
        with pytest.raises(UnsupportedFormatError) as caught:
            act()
        assert str(path) in str(caught.value)
    store.close()
    assert digests(tmp_path) == before
    assert path.stat().st_mode == mode


def test_an_empty_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    store = SqliteStore(path)
    for look in looks(store):
        look()
    assert path.stat().st_size == 0
    ConversationBranchManager(SESSION, store=store).add_messages(say("one"))
    store.close()
    check_file(path)


def filled(path: Path) -> None:
    with manager_of(path) as manager:
        for n in range(40):
            manager.add_messages(say(*(f"word {n} {at} " + "x" * 200 for at in range(20))))
        manager.fork("Side")
        manager.search("word")
        manager.store.close()


def use_all(path: Path) -> int:
    """Does everything with a file that is damaged somewhere; how much of it was refused. Only by errors of ours."""
    refused = 0
    store = SqliteStore(path, lock_timeout=1.0)

    def read() -> None:
        for name in store.sessions():
            for record in store.load(name).branches.values():
                store.read(name, record.history)

    for act in each(*looks(store), read, lambda: append(store, "x"), lambda: store.move(SESSION, "new")):
        try:
            act()
        except (CorruptBranchError, UnsupportedFormatError, StoreUnavailableError, BranchNotFoundError):
            refused += 1
        except SessionNotFoundError:
            refused += 1
    store.close()
    return refused


def test_a_truncated_file_is_refused_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    filled(path)
    size, whole = path.stat().st_size, path.read_bytes()
    for cut in (size - 1, size - 4096, size // 2, 3 * 4096, 4096, 1000, 100, 50):
        path.write_bytes(whole[:cut])
        assert use_all(path) > 0 or cut == size - 1, cut
        for extra in ("-wal", "-shm"):
            Path(f"{path}{extra}").unlink(missing_ok=True)


def test_pages_of_garbage_are_refused_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    filled(path)
    whole = path.read_bytes()
    assert use_all(path) == 0
    path.write_bytes(whole)
    refusals = 0
    for page in range(0, len(whole) // 4096, 3):
        for garbage in (b"\0" * 4096, os.urandom(4096), b"\xff" * 4096):
            path.write_bytes(whole[: page * 4096] + garbage + whole[(page + 1) * 4096 :])
            refusals += use_all(path)
            for extra in ("-wal", "-shm"):
                Path(f"{path}{extra}").unlink(missing_ok=True)
    assert refusals > 20


def test_any_flipped_bit_is_met_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with manager_of(path) as manager:
        manager.add_messages(say("word one", "word two"))
        manager.fork("Side")
        manager.search("word")
        manager.store.close()
    whole = path.read_bytes()
    chance = random.Random(7)
    for _ in range(150):
        at, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        use_all(path)
        for extra in ("-wal", "-shm"):
            Path(f"{path}{extra}").unlink(missing_ok=True)


# -- rights ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that another user can get to."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)  # noqa: S103
        yield Path(folder)


def as_nobody(work: Callable[[], object]) -> None:
    """Does work in a child without root's rights."""

    def run() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work()

    assert in_child(run) == 0


def begun(place: Path, *, mode: int = 0o644) -> Path:
    """A store of another user with a session; and with its log, as while somebody has it open."""
    path = place / "store.db"
    manager = manager_of(path)
    manager.add_messages(say("word one"))
    manager.store.close()
    path.chmod(mode)
    return path


def test_a_read_only_file_is_read_and_not_written(place: Path) -> None:
    path = begun(place)
    place.chmod(0o777)

    def work() -> None:
        assert not os.access(path, os.W_OK)
        store = SqliteStore(path)
        for _ in range(2):
            assert store.sessions() == [SESSION]
            [record] = store.load(SESSION).branches.values()
            assert store.read(SESSION, record.history) == say("word one")
            assert len(list(store.search(parse("word")))) == 1
            for act in each(
                lambda: append(store, "no"),
                lambda: store.commit(SESSION, change("rename", put_again(record, name="No"))),  # noqa: B023
                lambda: store.move(SESSION, None),
            ):
                with pytest.raises(StoreUnavailableError) as caught:
                    act()
                assert caught.value.hint
        store.close()

    as_nobody(work)
    check_file(path)
    assert ask(path, "SELECT count(*) FROM message") == [(1,)]


def test_a_reader_without_rights_reads_while_the_owner_writes(place: Path) -> None:
    """What the owner commits meanwhile is seen: the reader shares the log, where there is one."""
    path = begun(place)
    place.chmod(0o755)
    ready, report = os.pipe()
    go, gone = os.pipe()

    def work() -> None:
        os.close(gone)
        with manager_of(path) as mine:
            for count in (1, 2, 3):
                assert len(mine.get_messages()) == count
                assert len(mine.search("word")) == count
                os.write(report, b"x")
                os.read(go, 1)

    def run() -> None:
        if os.getuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        work()

    child = start(run)
    os.close(go)
    os.close(report)
    assert os.read(ready, 1) == b"x"
    manager = manager_of(path)  # only now: a fork would have closed its connections
    for text in ("word two", "word three"):
        manager.add_messages(say(text))
        os.write(gone, b"x")
        assert os.read(ready, 1) == b"x"
    os.close(gone)
    assert status_of(child) == 0
    os.close(ready)
    place.chmod(0o777)


@pytest.mark.parametrize("case", ["unreadable", "folder", "new in a read-only folder"])
def test_what_may_not_be_done_is_refused_in_our_words(place: Path, case: str) -> None:
    path = place / "store.db" if case.startswith("new") else begun(place, mode=0o600 if case == "unreadable" else 0o644)
    place.chmod({"unreadable": 0o777, "folder": 0o600}.get(case, 0o555))

    def work() -> None:
        if os.access(path, os.R_OK):
            return  # there are rights that cannot be taken away here
        store = SqliteStore(path)
        for act in each(
            *(() if case.startswith("new") else (store.sessions, lambda: store.load(SESSION))),
            lambda: ConversationBranchManager(SESSION, store=store),
        ):
            with pytest.raises(StoreUnavailableError) as caught:
                act()
            assert str(path) in str(caught.value) or "Permission" in str(caught.value)

    as_nobody(work)
    place.chmod(0o777)


@pytest.mark.parametrize("has_log", [True, False])
def test_a_file_that_may_be_written_again_is_written_again(place: Path, has_log: bool) -> None:
    """The same store, after a refusal."""
    path = begun(place)
    os.chown(path, NOBODY, NOBODY) if os.getuid() == 0 else None

    def work() -> None:
        other = SqliteStore(path)
        append(other, "before")
        if not has_log:
            other.close()
        os.chmod(path, 0o444)
        store = SqliteStore(path)
        assert store.sessions() == [SESSION]
        with pytest.raises(StoreUnavailableError):
            append(store, "no")
        os.chmod(path, 0o644)
        append(store, "yes")
        assert store.load(SESSION).branches["main"].length == 3
        other.close()

    as_nobody(work)


# -- removed, replaced, full -----------------------------------------------------------------------------------------


def test_a_file_that_is_removed_is_not_written_any_more(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    ConversationBranchManager(SESSION, store=store).add_messages(say("one"))
    for leftover in tmp_path.iterdir():
        leftover.unlink()
    assert store.sessions() == []
    with pytest.raises(BranchNotFoundError):
        append(store, "lost")
    assert list(tmp_path.iterdir()) == []
    ConversationBranchManager(SESSION, store=store).add_messages(say("new"))
    assert texts(manager_of(path)) == ["new"]
    store.close()
    check_file(path)


def test_a_file_that_is_replaced_is_the_one_that_is_written(tmp_path: Path) -> None:
    path, other = tmp_path / "store.db", tmp_path / "other.db"
    store = SqliteStore(path)
    ConversationBranchManager(SESSION, store=store).add_messages(say("old"))
    with manager_of(other) as manager:
        manager.add_messages(say("other"))
        manager.store.close()
    for leftover in tmp_path.glob("store.db*"):
        leftover.unlink()
    other.rename(path)
    append(store, "new")
    assert texts(manager_of(path)) == ["other", "new"]
    store.close()
    check_file(path)


def test_a_write_to_a_file_that_goes_away_meanwhile_is_not_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    ConversationBranchManager(SESSION, store=store).add_messages(say("one"))

    def lose(connection: apsw.Connection) -> None:
        connection.execute("UPDATE branch SET name = 'Lost'")
        for leftover in tmp_path.glob("store.db*"):
            leftover.unlink()

    with pytest.raises(StoreUnavailableError, match="removed or replaced"):
        store._write(SESSION, lose)
    assert store.sessions() == []
    store.close()


def test_a_full_disk_loses_nothing_and_works_again_afterwards(tmp_path: Path) -> None:
    """Room is counted in pages by SQLite itself."""
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    manager = ConversationBranchManager(SESSION, store=store)
    manager.add_messages(say("one"))
    manager.create_branch("side", "Side", "main")
    connection = store._connections._idle[0]
    connection.pragma("max_page_count", connection.pragma("page_count") + 1)
    before = store.load(SESSION)
    for act in each(
        lambda: manager.add_messages(say("x" * 100_000)),
        lambda: manager.set_messages(say("y" * 100_000)),
        lambda: manager.create_branch("x" * 400, "x" * 400, "main") and manager.add_messages(say("z" * 100_000)),
    ):
        with pytest.raises(StoreUnavailableError, match="room") as caught:
            act()
        assert caught.value.hint
    assert set(store.load(SESSION).branches) - {"x" * 400} == set(before.branches)
    assert texts(manager) == ["one"]
    connection.pragma("max_page_count", 1_000_000)
    manager.add_messages(say("two", "x" * 100_000))
    assert texts(manager) == ["one", "two", "x" * 100_000]
    store.close()
    check_file(path)


def test_a_limit_of_the_operating_system_is_met_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager_of(path).add_messages(say("one"))

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        manager = manager_of(path)
        said = ["one"]
        refused = 0
        for n in range(40):
            try:
                manager.add_messages(say(f"{n} " + "x" * 10_000))
            except StoreUnavailableError:
                refused += 1
            else:
                said.append(f"{n} " + "x" * 10_000)
            assert texts(manager) == said
        assert refused > 5
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        manager.add_messages(say("last"))
        assert texts(manager) == [*said, "last"]

    assert in_child(work) == 0
    check_file(path)


def test_no_descriptor_left_is_met_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager_of(path).add_messages(say("one"))

    def work() -> None:
        store = SqliteStore(path)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
        taken: list[int] = []
        with contextlib.suppress(OSError):  # EMFILE, once no number is free
            while True:
                taken.append(os.dup(0))
        for act in each(store.sessions, lambda: append(store, "no")):
            with pytest.raises(StoreUnavailableError):
                act()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in taken:
            os.close(descriptor)
        append(store, "two")
        assert store.load(SESSION).branches["main"].length == 2

    assert in_child(work) == 0
    check_file(path)


# -- the end, and limits ---------------------------------------------------------------------------------------------


def test_closing_while_threads_work_ends_them_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    for _ in range(10):
        store = SqliteStore(path, durability="lazy")
        manager = ConversationBranchManager(SESSION, store=store)
        outcomes: list[object] = []
        at_work = threading.Barrier(5)

        def work(act: Callable[[], object]) -> None:
            at_work.wait(WAIT)  # noqa: B023
            try:
                while True:
                    act()
            except BaseException as error:  # noqa: BLE001  (looked at below)
                outcomes.append(type(error))  # noqa: B023

        acts: list[Callable[[], object]] = [
            lambda: append(store, "x"),  # noqa: B023
            lambda: manager.get_messages(),  # noqa: B023
            lambda: list(store.search(parse("absent"), session_id=SESSION)),  # noqa: B023
            lambda: list(store.operations(SESSION)),  # noqa: B023
        ]
        threads = [threading.Thread(target=work, args=(act,), daemon=True) for act in acts]
        for thread in threads:
            thread.start()
        at_work.wait(WAIT)
        store.close()
        store.close()
        for thread in threads:
            thread.join(WAIT)
        assert outcomes == [StoreUnavailableError] * 4
        assert store._connections._idle == []
    check_file(path)


@pytest.mark.parametrize("timeout", [0, 0.0, math.inf, 1e12])
def test_any_lock_timeout_is_understood(tmp_path: Path, timeout: float) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path, lock_timeout=timeout)
    manager = ConversationBranchManager(SESSION, store=store)
    with manager.lock():
        manager.add_messages(say("one"))
    assert texts(manager) == ["one"]
    store.close()


def test_a_message_of_50_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager = manager_of(path)
    text = "\0é🌳 " + "x" * 50_000_000
    manager.add_messages(say("before", text, "after"))
    assert texts(manager_of(path)) == ["before", text, "after"]
    manager.fork("Side")
    assert len(manager.search("after")) == 1
    with raw(path) as connection:
        assert connection.pragma("integrity_check") == "ok"


def test_times_and_numbers_beyond_the_usual(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    for n, time in enumerate(("1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z")):
        record = BranchRecord(
            id=f"b{n}",
            name="B",
            history=(),
            tip=Tip(f"segment {n}", 0),
            created_at=codec.parse_time(time),
            updated_at=codec.parse_time(time),
            parent_message_index=-1,
            metadata={"n": [2**70, -(2**200)], "text": "\0"},
            extra={"x": {"y": 2**64}},
        )
        commit = store.commit(
            SESSION, change("create", Put(record=record, expected=None), detail={"n": 2**100, "\0": "\0"})
        )
        assert SqliteStore(path).load(SESSION).branches[f"b{n}"] == commit.branches[f"b{n}"]
        assert next(SqliteStore(path).operations(SESSION)) == commit.operation
    store.close()
    check_file(path)


@pytest.mark.parametrize("url", ["sqlite3:x", "sql-ite:x", "http://x", "talks.db", "talks.sqlite", "talks.sqlite3"])
def test_what_could_be_meant_otherwise_makes_no_store(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsupportedFormatError) as caught:
        open_store(url)
    assert "sqlite:" in caught.value.hint
    assert os.listdir(tmp_path) == []
