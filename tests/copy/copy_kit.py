"""What the tests of copying share: stores, a session with everything in it, and all that can be seen of one."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bough.attributes import tags_of
from bough.codec import encode_found
from bough.history import subtract, union
from bough.manager import ConversationBranchManager
from bough.model import BranchRecord, Operation, Tip, replace
from bough.stores import open_store
from bough.stores.base import Store
from bough.testing.contract import AWKWARD_MESSAGES

SESSION = "talk"


def say(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def place(kind: str, folder: Path, name: str = "copy") -> Store:
    """A store of a kind, opened anew; a memory store is new each time."""
    return open_store("memory:" if kind == "memory" else f"{kind}:{folder / name}", durability="lazy")


def talk(store: Store, session: str = SESSION) -> ConversationBranchManager:
    """Every verb, messages of every shape, and messages that only the log of operations still knows."""
    manager = ConversationBranchManager(session, store=store)
    manager.add_messages(AWKWARD_MESSAGES)
    manager.fork_from_message("Side", 4)
    manager.add_messages([say("aside"), say("aside too")])
    manager.checkout("main")
    messages = manager.get_messages()
    manager.set_messages([*messages[:2], say("another"), *messages[5:]])
    manager.add_message(say("after that"))
    manager.merge("side")
    manager.create_branch("Leaf/with a name", "Leaf", "side", 5)
    manager.delete_branch("side")
    manager.undo()
    manager.create_branch("gone", "Gone")
    manager.delete_branch("gone")
    manager.rename_branch("side", "Renamed")
    manager.add_messages([say("last"), say("very last")])
    return manager


def whole(store: Store, session: str = SESSION) -> object:
    """All of a session but for tips: branches, HEAD, tags and metadata, operations, and the bytes of every message
    there ever was, but for those that were given up."""
    state = store.load(session)
    operations = list(store.operations(session))
    freed = union(*(entry.freed for entry in operations))
    histories = [record.history for record in state.branches.values()]
    histories += [record.history for entry in operations for record in records_of(entry)]
    histories += [tag.history for tag in tags_of(state.attributes).values()]
    messages: dict[object, list[bytes]] = {}
    for history in histories:
        left = subtract(history, freed)
        if left not in messages:
            messages[left] = [encode_found(message) for message in store.read(session, left)]
    branches = {id_: without_tip(record) for id_, record in state.branches.items()}
    log = [plain(each) for each in operations]
    return branches, state.head, state.last_operation, dict(state.attributes), log, freed, messages


def records_of(operation: Operation) -> list[BranchRecord]:
    return [each for entry in operation.branches for each in (entry.before, entry.after) if each is not None]


def without_tip(record: BranchRecord) -> BranchRecord:
    return replace(record, tip=Tip("", 0))


def plain(operation: Operation) -> object:
    changes = tuple(
        (each.id, each.before and without_tip(each.before), each.after and without_tip(each.after))
        for each in operation.branches
    )
    return replace(operation, branches=(), attributes=None), dict(operation.detail), operation.attributes, changes


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its bytes and the time at which it was written last; not those of the lock."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("session.lock")
    }


def in_child(work: Callable[[], None]) -> int:
    """The process id of a forked child that does ``work``, and exits with 0, or with 99 where that raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child does plain work, whatever threads pytest has
        child = os.fork()
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
