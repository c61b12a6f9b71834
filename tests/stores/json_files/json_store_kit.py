"""What the tests of the JSON store share: a session to work on, its state as plain values, disks that fail."""

from __future__ import annotations

import json
import os
import shutil
import stat
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bough.codec import encode
from bough.errors import RepairWarning
from bough.manager import ConversationBranchManager
from bough.model import Append
from bough.stores.json_files import JsonFilesStore
from bough.stores.json_files.disk import Disk

SESSION = "talk"
Message: TypeAlias = dict[str, Any]


class Branch(NamedTuple):
    name: str
    parent: str | None
    at: int | None
    messages: tuple[str, ...]


class State(NamedTuple):
    """All that a commit can change. A message is its JSON text."""

    head: str | None
    branches: Mapping[str, Branch]


NOTHING = State(None, {})


def say(text: str) -> Message:
    return {"role": "user", "content": text}


def lines(messages: Iterable[Message]) -> list[bytes]:
    return [encode(message) for message in messages]


def lazy_disk() -> Disk:
    return Disk(durable=False)


def store_of(root: Path, disk: Disk | None = None) -> JsonFilesStore:
    """A fresh store, as another process would have it."""
    return JsonFilesStore(root, disk=disk or lazy_disk())


def manager_of(root: Path, disk: Disk | None = None) -> ConversationBranchManager:
    return ConversationBranchManager(SESSION, store=store_of(root, disk))


def snapshot(root: Path, disk: Disk | None = None) -> State:
    """What a fresh reader sees."""
    return state_of(store_of(root, disk))


def state_of(store: JsonFilesStore) -> State:
    state = store.load(SESSION)
    branches = {
        id_: Branch(
            record.name,
            record.parent_id,
            record.parent_message_index,
            tuple(json.dumps(message) for message in store.read(SESSION, record.history)),
        )
        for id_, record in state.branches.items()
    }
    return State(state.head, branches)


def added_to(state: State, branch_id: str, messages: Iterable[Message]) -> State:
    """The state after an append."""
    old = state.branches[branch_id]
    new = old._replace(messages=old.messages + tuple(json.dumps(message) for message in messages))
    return State(state.head, {**state.branches, branch_id: new})


def append(store: JsonFilesStore, branch_id: str, *messages: Message) -> None:
    store.commit(SESSION, Append(branch_id=branch_id, messages=lines(messages)))


def go_on(root: Path, found: State, *, disk: Disk | None = None) -> None:
    """A fresh writer works at once on what a fresh reader ``found``, and nothing of it changes meanwhile.

    An append to each branch, an operation, its undo, another append; then a look at the files.
    """
    expected = found
    store = store_of(root, disk)
    for branch_id in found.branches:
        new = say(f"later, to {branch_id}")
        append(store, branch_id, new)
        expected = added_to(expected, branch_id, [new])
        assert snapshot(root) == expected
    with ConversationBranchManager(SESSION, store=store) as manager:  # makes main where nothing was made before
        if not found.branches:
            expected = State("main", {"main": Branch("Main conversation", None, None, ())})
        manager.create_branch("later", "Later", manager.get_current_branch_id())
        manager.undo()
        assert snapshot(root) == expected
        new = say("last")
        manager.add_message(new)
        expected = added_to(expected, manager.get_current_branch_id(), [new])
    assert snapshot(root) == expected
    check_files(root)


def go_on_briefly(root: Path, found: State) -> None:
    """One append settles what was left behind; nothing else changes."""
    if not found.branches:
        return go_on(root, found)
    branch_id = max(found.branches)
    new = say("afterwards")
    append(store_of(root), branch_id, new)
    assert snapshot(root) == added_to(found, branch_id, [new])
    return None


def check_files(root: Path) -> None:
    """Every document is JSON that any program reads, and nothing unfinished lies about."""
    folder = root / SESSION
    for path in folder.glob("*.json"):
        document = json.loads(path.read_bytes())
        assert isinstance(document["messages"], list)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in folder.glob("*.new") if not path.name.startswith("session.lock")] == []
    check_whole(root)


def check_whole(root: Path) -> None:
    """``verify`` finds no damage. (HEAD is never synced: it is for people, and the log says where HEAD is.)"""
    findings = store_of(root).verify(SESSION)
    assert [each for each in findings if each.severity != "note" and not each.place.endswith("HEAD")] == []


def copy_tree(source: Path, target: Path) -> None:
    """A copy in which hard links stay hard links. Lock files are left out: they are another session's business."""
    links: dict[int, Path] = {}
    target.mkdir()
    for here, _, names in os.walk(source):
        there = target / Path(here).relative_to(source)
        there.mkdir(exist_ok=True, mode=0o700)
        for name in names:
            path = Path(here, name)
            if name.startswith("session.lock"):
                continue
            inode = path.stat().st_ino
            if inode in links:
                os.link(links[inode], there / name)
            else:
                shutil.copyfile(path, there / name)
                os.chmod(there / name, 0o600)
                links[inode] = there / name


def quietly(work: Callable[[], None]) -> int:
    """Does work in which repairs are allowed; how many were warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    assert all(issubclass(each.category, RepairWarning) for each in caught), [str(each.message) for each in caught]
    return len(caught)


def fork() -> int:
    """``os.fork``. The child does plain work and ends with ``os._exit``, whatever threads the test runner has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def start(work: Callable[[], None]) -> int:
    """The process id of a forked child that does ``work`` and exits with 0, or with 99 where that raised."""
    child = fork()
    if child == 0:
        status = 99
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    return child


def status_of(child: int) -> int:
    """The exit status of a child; minus the number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], None]) -> int:
    return status_of(start(work))


CRASHED = 17


class CountingDisk(Disk):
    """Notes each changing call: its name, and how many bytes it writes. Nothing is synced."""

    def __init__(self) -> None:
        super().__init__(durable=False)
        self.calls: list[tuple[str, int]] = []

    def step(self, name: str, size: int = 0) -> None:
        self.calls.append((name, size))

    def create(self, path: str) -> int:
        self.step("create")
        return super().create(path)

    def make_folder(self, path: str) -> bool:
        self.step("make_folder")
        return super().make_folder(path)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        self.step("write", len(data))
        super().write(descriptor, data, offset)

    def truncate(self, descriptor: int, size: int) -> None:
        self.step("truncate")
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self.step("sync")

    def sync_folder(self, path: str) -> None:
        self.step("sync_folder")

    def link(self, source: str, target: str) -> None:
        self.step("link")
        super().link(source, target)

    def rename(self, source: str, target: str) -> None:
        self.step("rename")
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self.step("unlink")
        super().unlink(path)


class CrashingDisk(CountingDisk):
    """Ends the process before call ``at``; where that is a write, after ``written`` of its bytes."""

    def __init__(self, at: int, written: int = 0) -> None:
        super().__init__()
        self._at = at
        self._written = written

    def step(self, name: str, size: int = 0) -> None:
        if len(self.calls) == self._at and not (size and self._written):
            os._exit(CRASHED)
        super().step(name, size)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if len(self.calls) == self._at and self._written:
            os.pwrite(descriptor, data[: self._written], offset)
            os._exit(CRASHED)
        super().write(descriptor, data, offset)


def crash_points(calls: Sequence[tuple[str, int]], *, closely: bool) -> list[tuple[int, int]]:
    """Where to crash: before each call, and within each write (closely: every few bytes of it)."""
    return [(at, written) for at, (_, size) in enumerate(calls) for written in (0, *within(size, closely=closely))]


def within(size: int, *, closely: bool) -> list[int]:
    """After how many bytes of a write of that size to crash."""
    places = range(1, size, 11) if closely else sorted({1, 2, size // 2, size - 1})
    return [written for written in places if 0 < written < size]


class Image(NamedTuple):
    """A copy of the store as a process leaves it that dies before call ``at``, after ``written`` bytes of it."""

    root: Path
    at: int
    written: int


class ImagingDisk(CountingDisk):
    """Takes an image at every crash point of work on ``root`` that finds other files than the one before.

    What a process has handed to the kernel stays when it dies, and what it has not was never there: so the files of one
    living process are those of all that die on its way, without a process for each. Its lock is left out;
    ``test_a_dead_process_leaves_what_its_image_shows`` holds these images against real deaths.
    """

    def __init__(self, root: Path, folder: Path, *, closely: bool = False) -> None:
        super().__init__()
        folder.mkdir()
        self.images: list[Image] = []
        self._root = root
        self._folder = folder
        self._closely = closely
        self._is_new = True

    def step(self, name: str, size: int = 0) -> None:
        if self._is_new:
            self._take(0)
        self._is_new = not name.startswith("sync")
        super().step(name, size)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        self.step("write", len(data))
        for written in within(len(data), closely=self._closely):
            os.pwrite(descriptor, data[:written], offset)
            self._take(written)
        Disk.write(self, descriptor, data, offset)

    def _take(self, written: int) -> None:
        at = len(self.calls) - (written > 0)  # within a write, that one is counted already
        image = Image(self._folder / f"{at}-{written}", at, written)
        copy_tree(self._root, image.root)
        self.images.append(image)
