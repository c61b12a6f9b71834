"""What ``bough import`` does: conversations of files into sessions, and an account of what came of it.

1. An account has each session once, however many conversations of the files belong to it; its sums are those of its
   sessions.
2. "New" is what this import stored itself, though others write to the same sessions meanwhile.
3. What comes from a pipe is put into a temporary file, because readers begin anew; memory holds none of it.
4. An import that is interrupted, or whose store fails, ends between two conversations, as far as the store can tell:
   the one in hand is there whole or not at all. The same import again goes on.
5. Of a file's place only what lies below the given path goes into the store: no import tells of a user's folders.
6. What is wrong with a file, or with one session of the store, costs what it holds and stops nothing else. Where the
   store itself fails, or there is no room for what is put aside, nothing else could come in either: that ends it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile, gettempdir
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

from bough.cli.text import count

if TYPE_CHECKING:
    from bough.errors import StoreUnavailableError
    from bough.imports import ImportResult, IncomingBranch, IncomingEntry
    from bough.model import SessionState
    from bough.stores.base import Store
    from bough.transfer import Conversation, Defect, Node

STDIN = "-"
COUNTED = ("sessions", "branches", "messages")

_OPEN_FILES = Path("/proc/self/fd")
"""Where Linux shows the files that a process has open, those without a name too."""

_FIRST = 2
"""The number of the first operation on a session behind the one that makes it."""


@dataclass(slots=True, kw_only=True)
class Imported:
    """One session: what was found of it, in how many conversations of the files, and what of that is new."""

    id: str
    title: str | None
    conversations: int = 0
    found: dict[str, int] = field(default_factory=lambda: {"branches": 0, "messages": 0})
    new: dict[str, int] = field(default_factory=lambda: {"branches": 0, "messages": 0})
    is_new: bool = False

    @property
    def state(self) -> str:
        if self.is_new:
            return "new"
        return "grown" if any(self.new.values()) else "unchanged"


@dataclass(slots=True, kw_only=True)
class Account:
    """What was found, what of it was new, and what was wrong. ``ended_by`` is the signal that interrupted it, or what
    the store failed with; ``bug`` the first mistake of ours that was met."""

    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    new: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    sessions: dict[str, Imported] = field(default_factory=dict)
    defects: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Exception] = field(default_factory=list)
    """Of each path that could not be read at all, why."""
    kept_out: list[Exception] = field(default_factory=list)
    """Of each conversation that its session could not take, why."""
    ended_by: int | StoreUnavailableError | OSError | None = None
    bug: Exception | None = None

    def add(self, talk: Conversation, *, found: tuple[int, int], new: tuple[int, int] = (0, 0), is_new: bool) -> None:
        """One more conversation; ``found`` and ``new`` are branches and messages."""
        session = self.sessions.setdefault(talk.session_id, Imported(id=talk.session_id, title=talk.title))
        session.conversations += 1
        session.is_new |= is_new
        self.found["sessions"] += 1
        self.new["sessions"] += is_new
        for whole, part, numbers in ((self.found, session.found, found), (self.new, session.new, new)):
            for name, number in zip(part, numbers, strict=True):
                whole[name] += number
                part[name] += number

    def note(self, defect: Defect) -> None:
        line = defect.line or None
        self.defects.append({"file": defect.file, "line": line, "reason": defect.reason, "kept": defect.kept})
        self.bug = self.bug or defect.bug

    def refuse(self, file: str, error: Exception) -> None:
        from bough.transfer import Defect

        self.refused.append(error)
        self.note(Defect(file=file, line=0, reason=str(error)))


def bring_in(
    account: Account,
    store: Store,
    paths: Sequence[str],
    *,
    format_: str | None = None,
    raw: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
) -> None:
    """Brings what lies at ``paths`` into the store, or with ``dry_run`` only reads it. Ctrl-C, SIGTERM and a store that
    fails end it, which the account tells."""
    from bough.transfer import is_no_room

    work = partial(_look_through if dry_run else _store, account, store)
    with _until_interrupted(account), _progress(paths, account, quiet=quiet) as hear:
        for number, path in enumerate(paths):
            try:
                with _given(path) as given:
                    _read(account, given, work, format_=format_, raw=raw, progress=partial(hear, number))
            except _StoreFailed as failure:
                account.ended_by = failure.error
            except OSError as error:
                if is_no_room(error):
                    account.ended_by = error
                else:
                    account.refuse(_name(path), error)
            if account.ended_by is not None:
                break


class _StoreFailed(Exception):  # noqa: N818  (what it carries is the error)
    """Nothing can be written, whatever is read (6). Apart from what a database that is read may say in the same
    words."""

    def __init__(self, error: StoreUnavailableError) -> None:
        self.error = error


class _Given(NamedTuple):
    """A path to read, and what people know it by, if not by itself."""

    path: Path
    name: str | None = None

    def below(self, file: str) -> str:
        """A file's name without the folders that lead to it (5)."""
        if self.path.is_dir():
            return file.removeprefix(f"{self.path}{os.sep}")
        place = self.name or str(self.path)
        return os.path.basename(place) + file.removeprefix(place)


_Work: TypeAlias = Callable[["Conversation", str], object]
"""Is given a conversation, and the name of its file."""


def _read(
    account: Account,
    given: _Given,
    work: _Work,
    *,
    format_: str | None,
    raw: bool,
    progress: Callable[[int], object],
) -> None:
    from bough.errors import StoreUnavailableError, UnsupportedFormatError
    from bough.transfer import Defect, read_conversations

    try:
        for item in read_conversations(given.path, format=format_, raw=raw, progress=progress, name=given.name):
            if isinstance(item, Defect):
                account.note(item)
            else:
                _bring(account, item, work, given.below(item.file))
    except (UnsupportedFormatError, StoreUnavailableError) as error:
        account.refuse(given.name or str(given.path), error)


def _bring(account: Account, talk: Conversation, work: _Work, file: str) -> None:
    from bough.errors import BoughError, StoreUnavailableError
    from bough.transfer import Defect, is_no_room, unforeseen

    try:
        work(talk, file)
    except StoreUnavailableError as error:
        raise _StoreFailed(error) from None
    except (ValueError, BoughError, OSError) as error:  # what cannot be, or a file that changes meanwhile
        if isinstance(error, OSError) and is_no_room(error):
            raise
        account.note(Defect(file=talk.file, line=talk.line, reason=str(error)))
        account.kept_out.append(error)
    except Exception as error:  # noqa: BLE001  (told, and raised at the end)
        account.note(unforeseen(talk.file, talk.line, error))


def _look_through(account: Account, _: Store, talk: Conversation, __: str) -> None:
    from bough.transfer import paths

    found = sum(1 for _ in paths(talk)), sum(len(node.messages()) for node in talk.nodes)
    account.add(talk, found=found, is_new=False)


def _store(account: Account, store: Store, talk: Conversation, file: str) -> None:
    from bough.branch import MAIN
    from bough.manager import ConversationBranchManager

    branches = _incoming(talk, file)
    before = store.load(talk.session_id, only=[MAIN])
    with ConversationBranchManager(talk.session_id, store=store) as manager:
        result = manager.import_branches(branches, metadata={"title": talk.title} if talk.title else {})
    is_new = _has_made_it(before, result)
    new = result.branches + is_new, result.messages  # a new session has its main before anything comes in
    account.add(talk, found=(len(branches), result.came), new=new, is_new=is_new)


def _has_made_it(before: SessionState, result: ImportResult) -> bool:
    """Whether an import brought the first that a session holds. ``before`` is how it was, with no branch but ``main``.

    Of two imports that find it empty at the same time one has the first operation on it; the other has a later one, or
    none at all because everything was there."""
    if not result.came:
        return not before.last_operation
    return result.operation == _FIRST and not any(branch.history for branch in before.branches.values())


def _incoming(talk: Conversation, file: str) -> list[IncomingBranch]:
    from bough.branch import MAIN
    from bough.imports import IncomingBranch
    from bough.transfer import paths

    return [
        IncomingBranch(
            id=path.branch_id,
            name=path.name,
            entries=_Entries(path.nodes),
            parent_id=path.parent_id,
            shared=path.shared,
            metadata={"file": file, **(talk.metadata or {})} if path.branch_id == MAIN else None,
            created_at=talk.created_at,
        )
        for path in paths(talk)
    ]


class _Entries(Sequence["IncomingEntry"]):
    """Nodes as what comes in, one at a time: there may be a million."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self._nodes = nodes

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, index: int) -> IncomingEntry: ...
    @overload
    def __getitem__(self, index: slice) -> _Entries: ...
    def __getitem__(self, index: int | slice) -> IncomingEntry | _Entries:
        from bough.imports import IncomingEntry

        if isinstance(index, slice):
            return _Entries(self._nodes[index])
        return IncomingEntry(self._nodes[index].messages)


@contextmanager
def _given(text: str) -> Iterator[_Given]:
    """What an argument names: ``-`` is standard input (3)."""
    if not _is_pipe(text):
        yield _Given(Path(text))
        return
    with ExitStack() as stack:
        pipe = sys.stdin.buffer if text == STDIN else stack.enter_context(open(text, "rb"))
        head = pipe.read(1 << 16)
        file = stack.enter_context(_temporary(head))
        try:
            file.write(head)
            shutil.copyfileobj(pipe, file)
            file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, gettempdir()) from None
        place = file.name if isinstance(file.name, str) else _OPEN_FILES / str(file.fileno())
        yield _Given(Path(place), _name(text))


def _temporary(head: bytes) -> IO[bytes]:
    """A file that is gone however the process ends, where the system can open such a one again; SQLite cannot."""
    from bough.transfer.sources import SQLITE

    if head.startswith(SQLITE) or not _OPEN_FILES.is_dir():
        return NamedTemporaryFile(prefix="bough-")
    return TemporaryFile()


def _name(text: str) -> str:
    return "<stdin>" if text == STDIN else text


def _is_pipe(text: str) -> bool:
    return text == STDIN or Path(text).is_fifo()


@contextmanager
def _until_interrupted(account: Account) -> Iterator[None]:
    """Ctrl-C and SIGTERM end what runs inside, and no more (4); one that was ignored stays so."""

    def end(number: int, _: FrameType | None) -> None:
        account.ended_by = number
        raise KeyboardInterrupt

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        account.ended_by = account.ended_by or signal.SIGINT
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(paths: Sequence[str], account: Account, *, quiet: bool) -> Iterator[Callable[[int, int], object]]:
    """Hears which of the paths is read, by its number, and how many bytes of it were; a bar on a terminal, else
    nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda _, __: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    *before, total = accumulate(map(_size, paths), initial=0)
    columns = (
        TextColumn("Importing {task.description}", markup=False),
        BarColumn(20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
    )

    def counts() -> str:
        return ", ".join(count(account.found[name], name.removesuffix("s")) for name in ("sessions", "messages"))

    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(counts(), total=None if any(map(_is_pipe, paths)) else total)
        yield lambda number, at: bar.update(task, completed=before[number] + at, description=counts())


def _size(text: str) -> int:
    """Bytes to read; 0 where that cannot be told now. Who reads it says why."""
    from bough.errors import UnsupportedFormatError
    from bough.transfer.sources import sources

    if _is_pipe(text):
        return 0
    try:
        return sum(source.size for source in sources(Path(text)))
    except (UnsupportedFormatError, OSError):
        return 0
