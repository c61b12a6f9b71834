"""Real processes on one session, and real SIGKILLs.

Everything acknowledged is there, in each process's own order; nobody waits for the dead; readers see whole states.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from json_store_kit import (
    SESSION,
    Branch,
    State,
    added_to,
    append,
    check_files,
    quietly,
    say,
    snapshot,
    start,
    state_of,
    status_of,
)

from bough.manager import ConversationBranchManager
from bough.stores.base import Durability
from bough.stores.json_files import JsonFilesStore

BYSTANDER = "bystander"


def is_ready(pipe: int) -> bool:
    return bool(select.select([pipe], [], [], 0)[0])


def open_manager(root: Path, durability: Durability) -> ConversationBranchManager:
    return ConversationBranchManager(SESSION, store=JsonFilesStore(root, durability=durability))


@pytest.mark.parametrize("durability", ["full", "lazy"])
def test_four_processes_append_to_one_branch(tmp_path: Path, durability: Durability) -> None:
    """Each message once, each process's own order kept, whole states meanwhile, and the file is plain JSON."""
    processes, appends = 4, 250
    open_manager(tmp_path, durability)

    def write(process: int) -> None:
        with open_manager(tmp_path, durability) as manager:
            for n in range(appends):
                manager.add_message({"process": process, "n": n})

    def read() -> None:
        seen: list[str] = []
        while not is_ready(stopped):
            now = list(snapshot(tmp_path).branches["main"].messages)
            assert now[: len(seen)] == seen
            seen = now

    stopped, stop = os.pipe()
    children = [start(lambda: write(process)) for process in range(processes)]  # noqa: B023
    reader = start(read)
    statuses = [status_of(child) for child in children]
    os.write(stop, b"x")
    assert [*statuses, status_of(reader)] == [0] * (processes + 1)
    os.close(stop)
    os.close(stopped)
    document = json.loads((tmp_path / SESSION / "main.json").read_bytes())
    for process in range(processes):
        assert [m["n"] for m in document["messages"] if m["process"] == process] == list(range(appends))
    assert len(document["messages"]) == processes * appends
    check_files(tmp_path)


def test_operations_of_four_processes(tmp_path: Path) -> None:
    """Forks, merges and appends of several at once: each gets a number of its own, and each is what it says."""
    processes, rounds = 4, 12
    open_manager(tmp_path, "lazy").add_message(say("first"))

    def work(process: int) -> None:
        with open_manager(tmp_path, "lazy") as manager:
            for n in range(rounds):
                manager.checkout("main")
                manager.fork(f"p{process} {n}")
                manager.add_message(say(f"{process} {n}"))
                manager.checkout("main")
                manager.merge(f"p{process}-{n}")

    children = [start(lambda: work(process)) for process in range(processes)]  # noqa: B023
    assert [status_of(child) for child in children] == [0] * processes
    state = snapshot(tmp_path)
    said = [json.loads(text)["content"] for text in state.branches["main"].messages]
    wanted = [f"{process} {n}" for process in range(processes) for n in range(rounds)]
    assert sorted(said) == sorted(["first", *wanted])
    assert len(state.branches) == 1 + processes * rounds
    store = JsonFilesStore(tmp_path)
    numbers = [operation.number for operation in store.operations(SESSION)]
    assert numbers == list(range(len(numbers), 0, -1))


def test_readers_see_the_state_that_belongs_to_the_last_operation(tmp_path: Path) -> None:
    """An operation that is committed is seen, all of it, also while its files are on their way to their places."""
    rounds = 200
    manager = open_manager(tmp_path, "lazy")
    manager.create_branch("y", "y")
    manager.delete_branch("y")
    first = 4
    stopped, stop = os.pipe()

    def write() -> None:
        for n in range(rounds):
            manager.create_branch("x", f"name {n}", "main")
            manager.rename_branch("x", f"new name {n}")
            manager.delete_branch("x")

    def read() -> None:
        store = JsonFilesStore(tmp_path)
        number = first - 1
        while not is_ready(stopped):
            state = store.load(SESSION)
            assert state.last_operation >= number
            number = state.last_operation
            n, step = divmod(number - first, 3)
            expected: dict[str, str] = [{"x": f"name {n}"}, {"x": f"new name {n}"}, {}][step]
            names = {id_: record.name for id_, record in state.branches.items() if id_ != "main"}
            assert names == expected, number
            assert state.findings == ()

    readers = [start(read), start(read)]
    try:
        write()
    finally:
        os.write(stop, b"x")
    assert [status_of(reader) for reader in readers] == [0, 0]
    os.close(stop)
    os.close(stopped)


# -- SIGKILL ---------------------------------------------------------------------------------------------------------


def seen_by(root: Path) -> State:
    """The state, without the bystander's branch."""
    return left_out(snapshot(root))


def left_out(state: State) -> State:
    return State(state.head, {id_: branch for id_, branch in state.branches.items() if id_ != BYSTANDER})


def one_change(
    manager: ConversationBranchManager, state: State, chance: random.Random, tag: str
) -> tuple[State, Callable[[], object]]:
    """What shall be, and how to get there."""
    current = manager.get_current_branch_id()
    others = sorted(state.branches.keys() - {current, "main"})
    verb = chance.choice(("append", "append", "batch", "fork", "merge", "delete"))
    if verb == "fork" and len(others) < 6:
        source = state.branches[current]
        at = chance.randint(0, len(source.messages))
        new = Branch(tag, current, at, source.messages[:at])
        return State(tag, {**state.branches, tag: new}), lambda: manager.fork_from_message(tag, at)
    if verb == "merge" and others:
        other = chance.choice(others)
        target, source = state.branches[current], state.branches[other]
        more = tuple(text for text in source.messages if text not in target.messages)
        merged = target._replace(messages=target.messages + more)
        return State(state.head, {**state.branches, current: merged}), lambda: manager.merge(other)
    if verb == "delete" and others:
        other = chance.choice(others)
        kept = {id_: branch for id_, branch in state.branches.items() if id_ != other}
        return State(state.head, kept), lambda: manager.delete_branch(other)
    messages = [say(f"{tag}, {n}") for n in range(3 if verb == "batch" else 1)]
    return added_to(state, current, messages), lambda: manager.add_messages(messages)


def work_until_killed(root: Path, pipe: int, durability: Durability, seed: int) -> None:
    """Says on the pipe what it is about to do, and when that was acknowledged: B, A, B, A …; a line each."""
    chance = random.Random(seed)

    def work() -> None:
        with open_manager(root, durability) as manager:
            state = seen_by(root)
            if manager.get_current_branch_id() == BYSTANDER:
                manager.checkout("main")
                state = seen_by(root)
            os.write(pipe, b"A" + json.dumps(state).encode() + b"\n")
            for n in range(1000):
                state, change = one_change(manager, state, chance, f"s{seed}-{n}")
                os.write(pipe, b"B" + json.dumps(state).encode() + b"\n")
                change()
                os.write(pipe, b"A" + json.dumps(state).encode() + b"\n")

    quietly(work)


def stand_by(root: Path, durability: Durability, stop: int, report: int) -> None:
    """Appends to a branch of its own all the time; reports how many it did and the longest it waited for one."""
    longest, count = 0.0, 0
    store = JsonFilesStore(root, durability=durability)
    while not is_ready(stop):
        began = time.monotonic()
        quietly(lambda: append(store, BYSTANDER, say(f"{count}")))  # noqa: B023
        longest = max(longest, time.monotonic() - began)
        count += 1
    os.write(report, json.dumps([count, longest]).encode())


def look_on(root: Path, stop: int) -> None:
    """Reads all the time: HEAD leads somewhere, main is there, a batch is whole or not there."""
    store = JsonFilesStore(root)
    while not is_ready(stop):
        state = state_of(store)
        assert state.head in state.branches
        assert {"main", BYSTANDER} <= state.branches.keys()
        numbers = [json.loads(text)["content"] for text in state.branches[BYSTANDER].messages]
        assert numbers == [str(n) for n in range(len(numbers))]
        for branch in state.branches.values():
            texts = [json.loads(text)["content"] for text in branch.messages]
            assert len(set(texts)) == len(texts)


def read_lines(pipe: int) -> list[bytes]:
    data = b""
    while more := os.read(pipe, 1 << 16):
        data += more
    return data.splitlines(keepends=True)


def killed_at_random(root: Path, durability: Durability, rounds: int, chance: random.Random) -> None:
    with open_manager(root, durability) as manager:
        manager.add_messages([say("first"), say("second")])
        manager.create_branch(BYSTANDER, "Bystander")
    stop_reader, stop = os.pipe()
    report, reporter = os.pipe()
    bystander = start(lambda: stand_by(root, durability, stop_reader, reporter))
    onlooker = start(lambda: look_on(root, stop_reader))
    try:
        for number in range(rounds):
            state = seen_by(root)
            reader, writer = os.pipe()
            worker = start(lambda: work_until_killed(root, writer, durability, number))  # noqa: B023
            os.close(writer)
            first = os.read(reader, 1)  # it is under way
            assert first == b"A"
            moment = time.monotonic_ns() + chance.randrange(12_000_000)
            while time.monotonic_ns() < moment:
                pass
            os.kill(worker, signal.SIGKILL)
            assert status_of(worker) == -signal.SIGKILL
            lines = [first, *read_lines(reader)]
            os.close(reader)
            said = [line for line in b"".join(lines).splitlines(keepends=True) if line.endswith(b"\n")]
            known = [json.loads(line[1:]) for line in said]
            acknowledged = max((n for n, line in enumerate(said) if line.startswith(b"A")), default=None)
            allowed = [as_json(state)] if acknowledged is None else known[acknowledged:]
            assert as_json(seen_by(root)) in allowed, f"round {number}"
    finally:
        os.write(stop, b"x")
    statuses = [status_of(bystander), status_of(onlooker)]
    assert statuses == [0, 0]
    count, longest = json.loads(os.read(report, 1 << 16))
    for descriptor in (stop_reader, stop, report, reporter):
        os.close(descriptor)
    assert len(snapshot(root).branches[BYSTANDER].messages) == count
    assert longest < 1.0
    quietly(lambda: (open_manager(root, durability).create_branch("after", "After"), None)[1])
    check_files(root)


def as_json(state: State) -> object:
    return json.loads(json.dumps(state))


@pytest.mark.parametrize(("durability", "rounds"), [("full", 15), ("lazy", 10)])
def test_killed_at_random_moments(tmp_path: Path, durability: Durability, rounds: int) -> None:
    killed_at_random(tmp_path, durability, rounds, random.Random(rounds))


@pytest.mark.torture
@pytest.mark.parametrize("durability", ["full", "lazy"])
def test_killed_at_many_random_moments(tmp_path: Path, durability: Durability) -> None:
    killed_at_random(tmp_path, durability, 2_000, random.Random())
