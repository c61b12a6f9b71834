"""Real processes on one file, and real SIGKILLs: what was acknowledged is there, and nobody waits for the dead."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sqlite_store_kit import SESSION, Gate, ask, check_file, lines, manager_of, raw, say, start, status_of, texts

from bough.errors import BoughError, SessionLockedError
from bough.model import Append
from bough.stores.base import Durability
from bough.stores.sqlite import SqliteStore


@pytest.mark.parametrize("durability", ["full", "lazy"])
def test_four_processes_append_to_one_branch(tmp_path: Path, durability: Durability) -> None:
    """Each message once, each process's own order kept, and no exception in any of them."""
    processes, appends = 4, 500
    path = tmp_path / "store.db"
    manager_of(path).close()
    gate = Gate()

    def write(process: int) -> None:
        manager = manager_of(path, durability=durability, lock_timeout=10.0)
        gate.wait()
        for n in range(appends):
            manager.add_message({"process": process, "n": n})

    def read() -> None:
        manager = manager_of(path)
        gate.wait()
        seen: list[object] = []
        while len(seen) < processes * appends:
            now = manager.get_messages()
            assert now[: len(seen)] == seen
            seen = list(now)

    children = [*(start(lambda: write(process)) for process in range(processes)), start(read)]  # noqa: B023
    gate.open()
    assert [status_of(child) for child in children] == [0] * (processes + 1)
    messages = manager_of(path).get_messages()
    assert len(messages) == processes * appends
    for process in range(processes):
        assert [m["n"] for m in messages if m["process"] == process] == list(range(appends))
    check_file(path)


def test_processes_that_make_the_file_at_the_same_moment(tmp_path: Path) -> None:
    for round_ in range(12):
        path = tmp_path / f"deep/{round_}" / "store.db"
        gate = Gate()

        def begin(process: int) -> None:
            gate.wait()  # noqa: B023
            manager_of(path).add_messages(say(f"{process}"))  # noqa: B023

        children = [start(lambda: begin(process)) for process in range(4)]  # noqa: B023
        gate.open()
        assert [status_of(child) for child in children] == [0] * 4
        assert sorted(texts(manager_of(path))) == ["0", "1", "2", "3"]
        assert ask(path, "PRAGMA journal_mode") == [("wal",)]


def test_who_comes_to_a_file_that_has_no_log_yet_waits_for_who_is_at_it(tmp_path: Path) -> None:
    """SQLite itself does not wait there: as it is where two processes make the file at the same moment."""
    path = tmp_path / "store.db"
    manager_of(path).close()
    with raw(path) as other:
        assert other.pragma("journal_mode", "delete") == "delete"
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(SessionLockedError):
            manager_of(path, lock_timeout=0.3)
        assert time.monotonic() - began >= 0.3
        other.execute("ROLLBACK")
    manager_of(path).add_messages(say("one"))
    assert ask(path, "PRAGMA journal_mode") == [("wal",)]


def test_verbs_of_four_processes(tmp_path: Path) -> None:
    """Forks, merges, renames, undos and searches of several at once; each operation has a number of its own."""
    processes, rounds = 4, 10
    path = tmp_path / "store.db"
    manager_of(path).add_messages(say("first"))
    gate = Gate()

    def work(process: int) -> None:
        with manager_of(path) as manager:
            gate.wait()
            for n in range(rounds):
                manager.checkout("main")
                manager.fork(f"p{process} {n}")
                manager.add_messages(say(f"word {process} {n}"))
                manager.checkout("main")
                manager.merge(f"p{process}-{n}")
                manager.search("word")
                manager.rename_branch(f"p{process}-{n}", f"done {process} {n}")

    children = [start(lambda: work(process)) for process in range(processes)]  # noqa: B023
    gate.open()
    assert [status_of(child) for child in children] == [0] * processes
    wanted = [f"word {process} {n}" for process in range(processes) for n in range(rounds)]
    with manager_of(path) as manager:
        assert sorted(texts(manager, "main")) == sorted(["first", *wanted])
        assert len(manager.get_all_branches()) == 1 + processes * rounds
        assert len(manager.search("word", limit=None)) == len(wanted)
        names = {branch.id: branch.name for branch in manager.get_all_branches()}
        for process in range(processes):
            for n in range(rounds):
                assert names[f"p{process}-{n}"] == f"done {process} {n}"
                assert f"word {process} {n}" in texts(manager, f"p{process}-{n}")
    check_file(path)


def test_undos_of_four_processes_take_back_each_operation_once(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    manager = manager_of(path)
    manager.add_messages(say("kept"))
    for n in range(40):
        manager.create_branch(f"b{n}", f"B {n}", "main")
    gate = Gate()

    def work() -> None:
        with manager_of(path) as mine:
            gate.wait()
            for _ in range(10):
                mine.undo()
                mine.add_messages(say("later"))

    children = [start(work) for _ in range(4)]
    gate.open()
    assert [status_of(child) for child in children] == [0] * 4
    assert [branch.id for branch in manager.get_all_branches()] == ["main"]
    assert texts(manager) == ["kept"] + ["later"] * 40
    check_file(path)


# -- SIGKILL ---------------------------------------------------------------------------------------------------------


def write_until_killed(path: Path, pipe: int, durability: Durability, turn: int) -> None:
    """Appends batches, forks, merges and searches; a line on the pipe once a batch is acknowledged."""
    manager = manager_of(path, durability=durability)
    chance = random.Random(turn)
    manager.checkout("main")
    n = 0
    while True:
        size = chance.choice([1, 1, 1, 3, 40])
        manager.add_messages({"turn": turn, "batch": n, "of": size, "content": f"word {at}"} for at in range(size))
        os.write(pipe, json.dumps([turn, n, size]).encode() + b"\n")
        n += 1
        if chance.random() < 0.1:
            manager.fork(f"b {turn}")
            manager.checkout("main")
        if chance.random() < 0.1:
            manager.search("word")


def killed_at_random(path: Path, durability: Durability, rounds: int, chance: random.Random) -> None:
    manager_of(path).close()
    acknowledged: list[list[int]] = []
    unacknowledged = 0
    for turn in range(rounds):
        reader, writer = os.pipe()
        worker = start(lambda: write_until_killed(path, writer, durability, turn))  # noqa: B023
        os.close(writer)
        said = os.read(reader, 1)  # the first is acknowledged
        moment = time.monotonic_ns() + chance.randrange(25_000_000)
        while time.monotonic_ns() < moment:
            pass
        os.kill(worker, signal.SIGKILL)
        assert status_of(worker) == -signal.SIGKILL
        while more := os.read(reader, 1 << 16):
            said += more
        os.close(reader)
        acknowledged += [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]
        store = SqliteStore(path)
        messages = store.read(SESSION, store.load(SESSION).branches["main"].history)
        store.close()
        found: list[list[int]] = []
        for message in messages:
            batch = [message["turn"], message["batch"], message["of"]]
            if not found or found[-1] != batch:
                found.append(batch)
        assert len(messages) == sum(size for _, _, size in found), "a batch is whole"
        extra = [batch for batch in found if batch not in acknowledged]
        unacknowledged += len([batch for batch in extra if batch[0] == turn])
        assert len([batch for batch in extra if batch[0] == turn]) <= 1
        assert [batch for batch in found if batch in acknowledged] == acknowledged
    assert len(acknowledged) > rounds
    check_file(path)


@pytest.mark.parametrize(("durability", "rounds"), [("full", 10), ("lazy", 10)])
def test_killed_at_random_moments(tmp_path: Path, durability: Durability, rounds: int) -> None:
    killed_at_random(tmp_path / "store.db", durability, rounds, random.Random(rounds))


@pytest.mark.torture
@pytest.mark.parametrize("durability", ["full", "lazy"])
def test_killed_a_hundred_times(tmp_path: Path, durability: Durability) -> None:
    killed_at_random(tmp_path / "store.db", durability, 100, random.Random())


def test_others_go_on_while_one_is_killed(tmp_path: Path) -> None:
    """A bystander's appends are all there, and none of them waited for the dead."""
    path = tmp_path / "store.db"
    manager_of(path).create_branch("bystander", "Bystander")
    stopped, stop = os.pipe()
    report, reporter = os.pipe()

    def stand_by() -> None:
        os.close(stop)
        os.set_blocking(stopped, False)
        store = SqliteStore(path, durability="lazy", lock_timeout=10.0)
        count, longest = 0, 0.0
        while True:
            try:
                if os.read(stopped, 1) == b"":
                    break
            except BlockingIOError:
                pass
            began = time.monotonic()
            store.commit(SESSION, Append(branch_id="bystander", messages=lines(str(count))))
            longest = max(longest, time.monotonic() - began)
            count += 1
        os.write(reporter, json.dumps([count, longest]).encode())

    bystander = start(stand_by)
    os.close(stopped)
    os.close(reporter)
    for turn in range(10):
        reader, writer = os.pipe()
        worker = start(lambda: write_until_killed(path, writer, "lazy", turn))  # noqa: B023
        os.close(writer)
        assert os.read(reader, 1)
        os.kill(worker, signal.SIGKILL)
        assert status_of(worker) == -signal.SIGKILL
        os.close(reader)
    os.close(stop)
    assert status_of(bystander) == 0
    count, longest = json.loads(os.read(report, 100))
    os.close(report)
    assert longest < 5.0
    assert texts(manager_of(path), "bystander") == [str(n) for n in range(count)]
    assert count > 10
    check_file(path)


# -- crash images ----------------------------------------------------------------------------------------------------


def image(source: Path, target: Path) -> None:
    """What a crash in this moment would leave: the file, then its log. Copied by another program: a close of the
    file here would drop SQLite's locks, and a fork would close the connections."""
    target.mkdir()
    names = [source / name for name in ("store.db", "store.db-wal") if (source / name).exists()]
    subprocess.run(["cp", *names, target], check=True)


def test_the_log_cut_off_anywhere_gives_a_whole_state(tmp_path: Path) -> None:
    """The write-ahead log is written front to back: each prefix of it is a crash. All of a commit is there, or nothing.

    The commits are of several pages, and of each kind.
    """
    origin = tmp_path / "origin"
    origin.mkdir()
    path = origin / "store.db"
    manager_of(path).close()
    held = SqliteStore(path, durability="lazy")  # keeps the log from being checkpointed at a close
    held.sessions()
    states: list[object] = []

    def state(at: Path) -> object:
        store = SqliteStore(at)
        try:
            loaded = store.load(SESSION)
            branches = {name: store.read(SESSION, each.history) for name, each in loaded.branches.items()}
            return loaded.head, loaded.last_operation, branches, [each.kind for each in store.operations(SESSION)]
        finally:
            store.close()

    def work() -> None:
        manager = manager_of(path)
        states.append(state(path))
        for verb in (
            lambda: manager.add_messages(say(*("x" * 3000 for _ in range(5)))),
            lambda: manager.fork_from_message("Side", 2),
            lambda: manager.add_messages(say("aside")),
            lambda: manager.checkout("main"),
            lambda: manager.merge("side"),
            lambda: manager.set_messages([*manager.get_messages()[:1], *say("y" * 9000)]),
            lambda: manager.search("aside"),
            lambda: manager.undo(),
        ):
            verb()
            states.append(state(path))

    work()
    image(origin, tmp_path / "image")
    held.close()
    log = (tmp_path / "image" / "store.db-wal").read_bytes()
    frame = 24 + 4096
    assert (len(log) - 32) % frame == 0
    cuts = {0, 16, 32, len(log)}
    for end in range(32 + frame, len(log) + 1, frame):
        cuts |= {end - frame // 2, end - 1, end, end + 1}
    seen = set()
    for cut in sorted(cut for cut in cuts if cut <= len(log)):
        root = tmp_path / f"cut-{cut}"
        root.mkdir()
        shutil.copyfile(tmp_path / "image" / "store.db", root / "store.db")
        (root / "store.db-wal").write_bytes(log[:cut])
        at = root / "store.db"
        seen.add(states.index(state(at)))
        with manager_of(at) as manager:
            before = manager.get_messages()
            manager.add_messages(say("goes on"))
            assert manager.get_messages() == [*before, *say("goes on")]
        check_file(at)
        shutil.rmtree(root)
    assert max(seen) == len(states) - 1
    assert len(seen) == len({json.dumps(each) for each in states})


def test_a_torn_frame_in_the_log_is_not_taken_for_written(tmp_path: Path) -> None:
    """Bytes of the log's last commit that never reached the disk read as zeros or as what was there before."""
    origin = tmp_path / "origin"
    origin.mkdir()
    path = origin / "store.db"
    manager_of(path).add_messages(say("one"))
    held = SqliteStore(path, durability="lazy")
    held.sessions()
    manager = manager_of(path)
    manager.add_messages(say("two"))
    size = os.stat(f"{path}-wal").st_size
    manager.add_messages(say("three" * 2000))
    image(origin, tmp_path / "image")
    manager.close()
    held.close()
    log = (tmp_path / "image" / "store.db-wal").read_bytes()
    chance = random.Random(5)
    for number in range(60):
        torn = bytearray(log)
        at = chance.randrange(size, len(log))
        length = chance.choice([1, 16, 512, 4096])
        stretch = slice(at, min(at + length, len(log)))
        torn[stretch] = bytes(byte ^ 0x55 for byte in torn[stretch])
        root = tmp_path / f"torn-{number}"
        root.mkdir()
        shutil.copyfile(tmp_path / "image" / "store.db", root / "store.db")
        (root / "store.db-wal").write_bytes(torn)
        with manager_of(root / "store.db") as manager:
            assert texts(manager) in (["one", "two"], ["one", "two", "three" * 2000])
            manager.add_messages(say("four"))
        check_file(root / "store.db")
        shutil.rmtree(root)


def test_images_of_a_file_at_work(tmp_path: Path) -> None:
    """Copies made while a writer works, the log after the file: as a crash, but for pages that a checkpoint moved on.

    SQLite's checkpoint writes pages that are in the log as well, and the log is reset only afterwards; so whatever
    such a copy holds of the file, the log that is copied after it makes it whole unless it was reset in between. Such
    a copy is thrown away.
    """
    origin = tmp_path / "origin"
    origin.mkdir()
    path = origin / "store.db"
    manager_of(path).close()
    reader, writer = os.pipe()
    worker = start(lambda: write_until_killed(path, writer, "lazy", 1))
    os.close(writer)
    assert os.read(reader, 1)
    os.set_blocking(reader, False)
    said, good = b"[", 0

    def salts() -> bytes:
        with open(f"{path}-wal", "rb") as log:
            return log.read(32)

    try:
        for number in range(60):
            with suppress(BlockingIOError):
                said += os.read(reader, 1 << 16)
            acknowledged = said.count(b"\n")
            root = tmp_path / f"image-{number}"
            before = salts()
            image(origin, root)
            if salts() != before:
                continue
            good += 1
            store = SqliteStore(root / "store.db")
            messages = store.read(SESSION, store.load(SESSION).branches["main"].history)
            store.close()
            batches = {message["batch"] for message in messages}
            assert batches == set(range(len(batches)))
            assert len(batches) >= acknowledged
            check_file(root / "store.db")
            shutil.rmtree(root)
            if good == 6:
                break
    finally:
        os.kill(worker, signal.SIGKILL)
        status_of(worker)
        os.close(reader)
    assert good >= 3
    check_file(path)


# -- bounded waiting -------------------------------------------------------------------------------------------------


def test_a_writer_that_waits_too_long_says_who_is_in_the_way(tmp_path: Path) -> None:
    """A process that keeps a transaction open: the error is ours, and afterwards everything works."""
    path = tmp_path / "store.db"
    manager = manager_of(path)
    holding, held = os.pipe()
    finish, finished = os.pipe()

    def hold() -> None:
        os.close(finished)
        store = SqliteStore(path)

        def stay(_: object) -> None:
            os.write(held, b"x")
            os.read(finish, 1)

        store._transaction(stay, patience=10.0)

    holder = start(hold)
    os.close(finish)
    assert os.read(holding, 1) == b"x"
    hurried = SqliteStore(path, lock_timeout=0.2)
    began = time.monotonic()
    with pytest.raises(BoughError) as caught:
        hurried.commit(SESSION, Append(branch_id="main", messages=lines("no")))
    assert type(caught.value).__name__ == "SessionLockedError"
    assert 0.15 < time.monotonic() - began < 10
    assert manager.get_messages() == []
    os.close(finished)
    assert status_of(holder) == 0
    hurried.commit(SESSION, Append(branch_id="main", messages=lines("yes")))
    assert texts(manager) == ["yes"]
    hurried.close()
    os.close(holding)
    os.close(held)
