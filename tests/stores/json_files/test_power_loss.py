"""Power failures: what was not synced is gone, or there in part; what was synced is there.

The store works on a real folder through a disk that notes every changing call. A small model of a file system turns
any beginning of those notes into folders that a power failure may leave behind. In each, every acknowledged change is
there, one that was under way is there or not, and work goes on.

The model: per file, writes and truncates since its last sync are dropped, kept, kept up to some byte, or kept block by
block (a block that is missing shows what was there before, zeros where nothing was). Per folder, changes of names since
its last sync are kept up to some point in their order. A rename is one change.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest
from json_store_kit import (
    NOTHING,
    SESSION,
    Message,
    State,
    added_to,
    append,
    go_on,
    go_on_briefly,
    manager_of,
    quietly,
    say,
    snapshot,
)

from bough.errors import BoughError
from bough.imports import IncomingBranch, entry
from bough.manager import ConversationBranchManager
from bough.stores.json_files.disk import Disk

BLOCK = 512  # the least that a drive writes as a whole


class KilledError(BaseException):
    """The process is dead: nothing that it would do afterwards reaches the disk."""


# -- the notes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One changing call. ``file`` and ``folder`` are numbers of the model, never used twice."""

    kind: str
    file: int = 0
    folder: str = ""
    name: str = ""
    other: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass(slots=True)
class Notes:
    """What all disks of one folder did, in order, and after which call something was acknowledged."""

    root: Path
    calls: list[Call] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)  # inode → number of the file that has it now
    files: int = 0

    def new_file(self, path: str) -> int:
        self.files += 1
        self.numbers[os.lstat(path).st_ino] = self.files
        return self.files

    def opened(self, descriptor: int) -> int:
        return self.numbers[os.fstat(descriptor).st_ino]

    def split(self, path: str) -> tuple[str, str]:
        folder, name = os.path.split(os.path.relpath(path, self.root))
        return folder, name


class RecordingDisk(Disk):
    """Works on the real folder and notes what it does. ``killed_at``: the call of this disk that does not happen."""

    def __init__(self, notes: Notes, killed_at: int | None = None) -> None:
        super().__init__(durable=True)
        self._notes = notes
        self._left = killed_at

    def _alive(self) -> None:
        if self._left is not None:
            if self._left <= 0:
                raise KilledError
            self._left -= 1

    def create(self, path: str) -> int:
        self._alive()
        descriptor = super().create(path)
        folder, name = self._notes.split(path)
        self._notes.calls.append(Call("enter", self._notes.new_file(path), folder, name))
        return descriptor

    def make_folder(self, path: str) -> bool:
        self._alive()
        made = super().make_folder(path)
        if made:
            folder, name = self._notes.split(path)
            self._notes.calls.append(Call("folder", folder=folder, name=name))
        return made

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        self._alive()
        super().write(descriptor, data, offset)
        self._notes.calls.append(Call("write", self._notes.opened(descriptor), offset=offset, data=data))

    def truncate(self, descriptor: int, size: int) -> None:
        self._alive()
        super().truncate(descriptor, size)
        self._notes.calls.append(Call("truncate", self._notes.opened(descriptor), offset=size))

    def sync(self, descriptor: int) -> None:
        self._alive()
        self._notes.calls.append(Call("sync", self._notes.opened(descriptor)))

    def sync_folder(self, path: str) -> None:
        self._alive()
        self._notes.calls.append(Call("sync folder", folder=os.path.relpath(path, self._notes.root)))

    def link(self, source: str, target: str) -> None:
        self._alive()
        super().link(source, target)
        folder, name = self._notes.split(target)
        number = self._notes.numbers[os.lstat(target).st_ino]
        self._notes.calls.append(Call("enter", number, folder, name))

    def rename(self, source: str, target: str) -> None:
        self._alive()
        super().rename(source, target)
        folder, name = self._notes.split(source)
        self._notes.calls.append(Call("rename", folder=folder, name=name, other=os.path.basename(target)))

    def unlink(self, path: str) -> None:
        self._alive()
        super().unlink(path)
        folder, name = self._notes.split(path)
        self._notes.calls.append(Call("leave", folder=folder, name=name))


# -- the model -------------------------------------------------------------------------------------------------------

Names: TypeAlias = dict[str, int | None]
"""What a folder holds: numbers of files, None for a folder."""


@dataclass(slots=True)
class Files:
    """What is on the disk for sure, and what may be."""

    synced: dict[int, bytes] = field(default_factory=dict)
    pending: dict[int, list[Call]] = field(default_factory=dict)
    folders: dict[str, Names] = field(default_factory=lambda: {".": {}})
    changes: dict[str, list[Call]] = field(default_factory=lambda: {".": []})

    def do(self, call: Call) -> None:
        if call.kind in ("write", "truncate"):
            self.pending.setdefault(call.file, []).append(call)
        elif call.kind == "sync":
            self.synced[call.file] = whole(self.synced.get(call.file, b""), self.pending.pop(call.file, []))
        elif call.kind == "sync folder":
            folder = call.folder or "."
            if folder in self.folders:
                self.folders[folder] = entered(self.folders[folder], self.changes[folder])
                self.changes[folder] = []
        else:
            self.changes[call.folder or "."].append(call)
            if call.kind == "folder":
                path = os.path.join(call.folder, call.name)
                self.folders[path], self.changes[path] = {}, []


def whole(data: bytes, calls: list[Call]) -> bytes:
    content = bytearray(data)
    for call in calls:
        if call.kind == "truncate":
            del content[call.offset :]
            content.extend(bytes(call.offset - len(content)))
        else:
            content.extend(bytes(max(0, call.offset - len(content))))
            content[call.offset : call.offset + len(call.data)] = call.data
    return bytes(content)


def entered(names: Names, calls: list[Call]) -> Names:
    names = dict(names)
    for call in calls:
        if call.kind == "enter":
            names[call.name] = call.file
        elif call.kind == "folder":
            names[call.name] = None
        elif call.kind == "leave":
            names.pop(call.name, None)
        else:
            names[call.other] = names.pop(call.name)
    return names


def in_part(data: bytes, calls: list[Call], chance: random.Random) -> bytes:
    """What of the calls a power failure left, in one of the ways that it can."""
    after = whole(data, calls)
    way = chance.choice(("none", "all", "up to a byte", "zeros behind", "blocks", "blocks"))
    if way == "none" or not calls:
        return data
    if way == "all":
        return after
    if way in ("up to a byte", "zeros behind"):
        last = chance.randrange(len(calls))
        call = calls[last]
        torn = Call(call.kind, call.file, offset=call.offset, data=call.data[: chance.randrange(len(call.data) + 1)])
        part = whole(data, [*calls[:last], torn])
        return part if way == "up to a byte" else part + bytes(max(0, len(after) - len(part)))
    size = chance.choice((len(after), max(len(after), len(data)), len(data)))
    out = bytearray()
    for at in range(0, size, BLOCK):
        source = chance.choice((data, after))
        out += source[at : min(at + BLOCK, size)].ljust(min(BLOCK, size - at), b"\0")
    return bytes(out)


def after_power_loss(files: Files, root: Path, chance: random.Random, *, gentle: bool = False) -> None:
    """Puts into ``root`` what a power failure may have left. Gentle: nothing that was not synced."""
    contents: dict[int, bytes] = {}

    def fill(folder: str) -> None:
        calls = files.changes[folder]
        names = entered(files.folders[folder], calls[: 0 if gentle else chance.randint(0, len(calls))])
        for name, number in sorted(names.items()):
            path = root / folder / name
            if number is None:
                path.mkdir(mode=0o700)
                fill(os.path.normpath(os.path.join(folder, name)))
                continue
            if number not in contents:
                synced, pending = files.synced.get(number, b""), files.pending.get(number, [])
                contents[number] = synced if gentle else in_part(synced, pending, chance)
            path.write_bytes(contents[number])
            path.chmod(0o600)

    root.mkdir()
    fill(".")


# -- programs --------------------------------------------------------------------------------------------------------

Step: TypeAlias = Callable[[ConversationBranchManager], object]


@dataclass(frozen=True, slots=True)
class Moment:
    """The notes' length when a step began and ended, the states before and after it, what a kill left undecided."""

    begin: int
    end: int
    before: State
    after: State
    undecided: frozenset[str]
    killed: bool = False


def words(chance: random.Random, counter: list[int]) -> Message:
    counter[0] += 1
    return say(f"{counter[0]} " + "word " * chance.choice((1, 5, 60, 400)))


def random_step(chance: random.Random, counter: list[int], state: State) -> tuple[str, Step, list[Message]]:
    """A verb with what it needs, and the messages that are lost without a trace if it is killed."""
    ids = sorted(state.branches)
    one, other = chance.choice(ids), chance.choice(ids)
    new = [words(chance, counter) for _ in range(chance.choice((1, 1, 1, 2, 4)))]
    name = f"b{counter[0]}"

    def merge(manager: ConversationBranchManager) -> None:
        manager._current = one
        if one != other:
            manager.merge(other, chance_strategy)

    def set_some(manager: ConversationBranchManager) -> None:
        manager._current = one
        held = manager.get_messages()
        cut_at = at % (len(held) + 1)
        manager.set_messages([*held[:cut_at], *new, *held[cut_at + dropped :]])

    def fork(manager: ConversationBranchManager) -> None:
        manager._current = one
        manager.fork_from_message(name, at % (len(manager.get_messages()) + 1))

    def bring(manager: ConversationBranchManager) -> None:
        manager.import_branches(
            [
                IncomingBranch(id=name, name=name, entries=[entry(message) for message in new]),
                IncomingBranch(id=f"{name}-2", name=name, entries=[], parent_id=name, shared=1),
            ]
        )

    at, dropped = chance.randrange(100), chance.choice((0, 0, 1, 3))
    chance_strategy = chance.choice(("append", "append", "replace"))
    verbs: dict[str, Step] = {
        "append": lambda manager: append(manager.store, one, *new),  # type: ignore[arg-type]
        "fork": fork,
        "create": lambda manager: manager.create_branch(name, name.upper()),
        "merge": merge,
        "set": set_some,
        "rename": lambda manager: manager.rename_branch(one, name),
        "delete": lambda manager: manager.delete_branch(one) if one != "main" else None,
        "checkout": lambda manager: manager.checkout(one),
        "undo": lambda manager: manager.undo(),
        "import": bring,
    }
    kind = chance.choice(["append"] * 8 + ["merge"] * 4 + list(verbs))
    return kind, verbs[kind], new


def without(state: State, undecided: frozenset[str]) -> State:
    """The state as far as it is decided: messages of an append whose process died before it was acknowledged count as
    little there as not there."""
    branches = {
        id_: branch._replace(messages=tuple(text for text in branch.messages if text not in undecided))
        for id_, branch in state.branches.items()
    }
    return State(state.head, branches)


def run(root: Path, chance: random.Random, *, steps: int, processes: int, kills: bool) -> tuple[Notes, list[Moment]]:
    """A random program. Each step is done by one of several stores; some die in the middle."""
    notes = Notes(root)
    root.mkdir()
    counter = [0]
    moments = [Moment(0, 0, NOTHING, NOTHING, frozenset())]
    managers: list[ConversationBranchManager | None] = [None] * processes
    undecided: frozenset[str] = frozenset()

    def do(work: Callable[[], object], new: list[Message]) -> None:
        nonlocal undecided
        before = moments[-1].after
        begin = len(notes.calls)
        try:
            quietly(lambda: (work(), None)[1])
        except KilledError:
            undecided |= {json.dumps(message) for message in new}
            moments.append(Moment(begin, len(notes.calls), before, snapshot(root), undecided, killed=True))
            raise
        except BoughError:
            pass  # nothing to undo, moved, the like
        moments.append(Moment(begin, len(notes.calls), before, snapshot(root), undecided))

    for step in range(steps):
        which = chance.randrange(processes)
        manager = managers[which]
        killed_at = chance.randrange(14) if kills and chance.random() < 0.3 else None
        try:
            if manager is None or killed_at is not None:
                disk = RecordingDisk(notes, killed_at)
                holder: list[ConversationBranchManager] = []
                do(lambda: holder.append(manager_of(root, disk)), [])  # noqa: B023
                manager = managers[which] = holder[0]
            if step:
                kind, work, new = random_step(chance, counter, moments[-1].after)
                do(lambda: work(manager), new if kind == "append" else [])  # noqa: B023
        except KilledError:
            managers[which] = None
    return notes, moments


def check(notes: Notes, moments: list[Moment], tmp_path: Path, chance: random.Random, *, tries: int) -> None:
    """At every call, some of the folders that a power failure may leave."""
    files = Files()
    trial = 0
    for length in range(len(notes.calls) + 1):
        if length:
            files.do(notes.calls[length - 1])
        allowed = allowed_at(moments, length)
        for number in range(tries):
            trial += 1
            root = tmp_path / f"after-{trial}"
            after_power_loss(files, root, chance, gentle=number == 0)
            last = notes.calls[max(0, length - 6) : length]
            where = f"after call {length} of {len(notes.calls)}, try {number}: {last}"
            found = snapshot(root)
            decided = [without(state, undecided) for state, undecided in allowed]
            assert any(without(found, undecided) in decided for _, undecided in allowed), where
            if trial % 5 == 0:
                quietly(lambda: go_on(root, found))  # noqa: B023
            else:
                quietly(lambda: go_on_briefly(root, found))  # noqa: B023


def allowed_at(moments: list[Moment], length: int) -> list[tuple[State, frozenset[str]]]:
    """The states that may be found when the notes end here: the last acknowledged one, or the one under way. What a
    dead process began stays possible, and possible to be gone, until a later change is acknowledged."""
    out: list[tuple[State, frozenset[str]]] = []
    for moment in moments:
        if moment.begin == moment.end:
            out = out or [(moment.after, moment.undecided)]
        elif moment.end <= length and not moment.killed:
            out = [(moment.after, moment.undecided)]
        elif moment.begin < length:
            out += [(moment.after, moment.undecided), (moment.before, moment.undecided)]
    return out


@pytest.mark.parametrize("seed", range(4))
def test_one_process(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    notes, moments = run(tmp_path / "real", chance, steps=12, processes=1, kills=False)
    check(notes, moments, tmp_path, chance, tries=2)


@pytest.mark.parametrize("seed", range(4))
def test_two_processes_in_turns(tmp_path: Path, seed: int) -> None:
    chance = random.Random(100 + seed)
    notes, moments = run(tmp_path / "real", chance, steps=12, processes=2, kills=False)
    check(notes, moments, tmp_path, chance, tries=2)


@pytest.mark.parametrize("seed", range(4))
def test_processes_that_die_first(tmp_path: Path, seed: int) -> None:
    """Nobody synced what a dead process left: whoever builds on it has to."""
    chance = random.Random(200 + seed)
    notes, moments = run(tmp_path / "real", chance, steps=12, processes=2, kills=True)
    check(notes, moments, tmp_path, chance, tries=2)


def on(manager: ConversationBranchManager, branch_id: str) -> ConversationBranchManager:
    """On that branch where there is one, else on main; without an operation."""
    manager._current = branch_id if branch_id in manager.store.load(SESSION).branches else "main"
    return manager


LONG = [say(f"{n} " + "long " * 150) for n in range(4)]
FIRST: dict[str, tuple[str, Step]] = {
    "append": ("side", lambda m: append(m.store, "side", LONG[0])),  # type: ignore[arg-type]
    "create": ("new", lambda m: m.create_branch("new", "New", "side")),
    "merge": ("main", lambda m: on(m, "main").merge("side")),
    "set": ("side", lambda m: on(m, "side").set_messages([*m.get_messages()[:1], LONG[0]])),
    "checkout": ("side", lambda m: m.checkout("side")),
}
SECOND: dict[str, Callable[[ConversationBranchManager, str], object]] = {
    "append": lambda m, id_: on(m, id_).add_message(LONG[1]),
    "merge": lambda m, id_: on(m, "other").merge(id_ if id_ in m.store.load(SESSION).branches else "main"),
    "fork": lambda m, id_: on(m, id_).fork("Fork"),
    "rename": lambda m, id_: m.rename_branch(on(m, id_).get_current_branch_id(), "Renamed"),
    "append elsewhere": lambda m, id_: (on(m, id_).add_message(LONG[2]), on(m, "other").add_message(LONG[3])),
}


@pytest.mark.parametrize(
    "stride", [pytest.param(2, id="every second"), pytest.param(1, id="exhaustive", marks=pytest.mark.torture)]
)
@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_what_builds_on_the_unsynced_work_of_a_dead_process(
    tmp_path: Path, first: str, second: str, stride: int
) -> None:
    """One dies at one of its calls, having synced nothing more. Once the next one has acknowledged something that
    builds on it, all of it is there."""
    chance = random.Random(f"{first} {second}")
    branch_id, work = FIRST[first]
    for killed_at in range(chance.randrange(stride), 100, stride):
        here = tmp_path / str(killed_at)
        here.mkdir()
        notes = Notes(here / "real")
        notes.root.mkdir()
        with manager_of(notes.root, RecordingDisk(notes)) as manager:
            manager.add_messages([say("a"), say("b " * 300)])
            manager.create_branch("side", "Side", "main")
            append(manager.store, "side", say("c"))  # type: ignore[arg-type]
            manager.create_branch("other", "Other")
        before = snapshot(notes.root)
        dead = manager_of(notes.root, RecordingDisk(notes, killed_at))
        try:
            work(dead)
        except KilledError:
            pass
        else:
            break
        left, begin = snapshot(notes.root), len(notes.calls)
        quietly(lambda: (SECOND[second](manager_of(notes.root, RecordingDisk(notes)), branch_id), None)[1])  # noqa: B023
        after, end = snapshot(notes.root), len(notes.calls)
        half = added_to(left, branch_id, [LONG[2]]) if branch_id in left.branches else left
        half_main = added_to(left, "main", [LONG[2]])
        files = Files()
        for number, call in enumerate(notes.calls, 1):
            files.do(call)
            if number <= begin:
                continue
            allowed = (after,) if number == end else (before, left, half, half_main, after)
            closely = call.kind == "write" and first == second == "append"  # both in part, the second one's end whole
            for trial in range(60 if closely else 2 if number < end else 5):
                root = here / f"after-{number}-{trial}"
                after_power_loss(files, root, chance, gentle=trial == 0)
                found = snapshot(root)
                assert found in allowed, f"killed at {killed_at}, then lost after call {number} of {begin}..{end}"
                quietly(lambda: go_on_briefly(root, found))  # noqa: B023
    else:
        raise AssertionError("the first one never came to its end")
    assert killed_at > 1


@pytest.mark.torture
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_many_programs(tmp_path: Path, processes: int) -> None:
    for seed in range(300):
        chance = random.Random(f"{processes} {seed}")
        here = tmp_path / str(seed)
        here.mkdir()
        notes, moments = run(here / "real", chance, steps=14, processes=processes, kills=seed % 2 > 0)
        check(notes, moments, here, chance, tries=4)
        shutil.rmtree(here)


def test_the_model_keeps_what_is_synced(tmp_path: Path) -> None:
    """The model itself: it loses what was not synced and only that."""
    notes = Notes(tmp_path / "real")
    notes.root.mkdir()
    disk = RecordingDisk(notes)
    folder = str(notes.root / SESSION)
    disk.make_folder(folder)
    disk.write_file(f"{folder}/kept", [b"kept"])
    disk.write_file(f"{folder}/lost", [b"lost"], sync=False)
    disk.sync_folder(folder)
    disk.sync_folder(str(notes.root))
    disk.write_file(f"{folder}/unnamed", [b"unnamed"])
    files = Files()
    for call in notes.calls:
        files.do(call)
    after_power_loss(files, tmp_path / "after", random.Random(0), gentle=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "after" / SESSION).iterdir()} == {
        "kept": b"kept",
        "lost": b"",
    }
