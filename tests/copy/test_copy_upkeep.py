"""What travels with the operations of a session: edits, tags, metadata, and what was given up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from copy_kit import SESSION, place, say, talk, whole

from bough.copying import copy_session
from bough.errors import BoughError, CorruptBranchError, InvalidRequestError
from bough.history import length, union
from bough.manager import ConversationBranchManager as Manager
from bough.model import Edit, History
from bough.stores.base import Store
from bough.stores.memory import MemoryStore

KINDS = ["memory", "json", "sqlite"]
WORDS = "the very secret words"


@pytest.fixture(params=KINDS)
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return place(request.param, tmp_path, "there")


@pytest.fixture(params=KINDS)
def here(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return place(request.param, tmp_path, "here")


def freed(store: Store) -> History:
    return union(*(operation.freed for operation in store.operations(SESSION)))


def test_tags_and_metadata(here: Store, there: Store) -> None:
    with talk(here) as manager:
        manager.tag("v1", "main~2")
        manager.set_session_metadata({"title": "A talk", "labels": ["x"], "mine": {"deep": [1.0, None]}})
        manager.set_branch_metadata({"archived": True}, branch_id="side")
        copy_session(here, there, SESSION, new_id="copy")
        with Manager("copy", store=there) as copy:
            assert copy.session_metadata() == manager.session_metadata()
            assert copy.tags() == manager.tags()
            assert copy.read_messages(copy.tags()["v1"].history) == manager.get_messages()[:-2]
            assert [branch.id for branch in copy.get_all_branches(archived=True)] == ["side"]
        manager.untag("v1")
        manager.undo()
        manager.set_session_metadata({"title": None})
        copy_session(here, there, SESSION, new_id="copy")
        assert there.load("copy").attributes == here.load(SESSION).attributes
        assert "title" not in there.load("copy").attributes


def test_edits(here: Store, there: Store) -> None:
    with talk(here) as manager:
        manager.fork("Old")
        manager.checkout("main")
        manager.edit_message(0, say("edited"))
        copy_session(here, there, SESSION)
        manager.edit_message(0, say("edited again"))
        manager.edit_message(-1, say("this too"))
        edits = here.load(SESSION).branches["main"].edits
        assert len(edits) == 2
        assert all(isinstance(edit, Edit) for edit in edits)
    copy_session(here, there, SESSION)
    assert whole(here) == whole(there)
    assert there.load(SESSION).branches["main"].edits == edits
    with Manager(SESSION, store=there) as copy:
        copy.checkout("main")
        size = len(copy.get_messages())
        copy.merge("old")
        assert len(copy.get_messages()) == size


@pytest.mark.parametrize("is_before", [True, False], ids=["copied before", "at once"])
def test_what_was_freed_is_not_looked_for(here: Store, there: Store, is_before: bool) -> None:
    manager = talk(here)
    manager.set_messages([say("all new")])
    if is_before:
        assert copy_session(here, there, SESSION).lost == 0
    gone = manager.gc(keep=timedelta(0))
    assert gone.messages > 3
    manager.add_message(say("later"))
    reads = Reads(here)
    result = copy_session(reads, there, SESSION)  # type: ignore[arg-type]
    assert result.lost == 0
    assert reads.failed == 0
    assert whole(here) == whole(there)
    assert freed(there) == freed(here)
    assert length(freed(there)) == gone.messages
    for piece in freed(there):
        with pytest.raises(CorruptBranchError):
            there.read(SESSION, (piece,))
    again = copy_session(here, there, SESSION)
    assert (again.operations, again.messages, again.lost) == (0, 0, 0)
    # And back, and onwards.
    back = MemoryStore()
    copy_session(there, back, SESSION)
    assert whole(back) == whole(here)
    for store in (here, there, back):
        with Manager(SESSION, store=store) as each, pytest.raises(InvalidRequestError, match="gc has given up"):
            each.undo()
    manager.close()


class Reads:
    """A store that counts the reads it refuses."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.failed = 0

    def read(self, session_id: str, history: History) -> object:
        try:
            return self.store.read(session_id, history)
        except BoughError:
            self.failed += 1
            raise

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_a_backup_made_again_erases_what_was_purged(tmp_path: Path, first: str, second: str) -> None:
    source, backup = place(first, tmp_path, "source"), place(second, tmp_path, "backup")
    with Manager(SESSION, store=source) as manager:
        manager.add_messages([say("a"), say(WORDS), say("c")])
        manager.fork("Side")
        manager.tag("v1")
        manager.edit_message(0, say("a, edited"))
        manager.delete_branch("side")
        manager.checkout("main")
        copy_session(source, backup, SESSION)
        if second != "memory":
            assert holders(tmp_path / "backup") != []
        report = manager.purge("main:2")
        assert (report.messages, report.tags) == (1, ("v1",))
        result = copy_session(source, backup, SESSION)
        assert (result.operations, result.lost) == (1, 0)
        assert whole(source) == whole(backup)
        for store in (source, backup):
            with Manager(SESSION, store=store) as each:
                assert each.get_messages() == [say("a"), say("c")]
                assert each.read_messages(each.tags()["v1"].history) == [say("a"), say("c")]
                assert list(each.search("secret", everywhere=True)) == []
    fresh = place(second, tmp_path, "fresh")
    assert copy_session(backup, fresh, SESSION).lost == 0
    assert whole(fresh) == whole(source)
    for store in (source, backup, fresh):
        store.close()
    assert [file for name in ("source", "backup", "fresh") for file in holders(tmp_path / name)] == []


def holders(place: Path) -> list[Path]:
    """The files of a store that hold a byte of the secret."""
    files = [*place.parent.glob(f"{place.name}*"), *place.rglob("*")]
    return [file for file in files if file.is_file() and b"secret" in file.read_bytes()]


def test_what_was_added_to_a_copy_and_purged_at_home(here: Store, there: Store) -> None:
    """A laptop that was away: it knows of nothing that home does not, though home has given it up."""
    with Manager(SESSION, store=here) as manager:
        manager.add_message(say("at home"))
        copy_session(here, there, SESSION)
        with Manager(SESSION, store=there) as copy:
            copy.add_messages([say("on the way"), say(WORDS)])
        copy_session(there, here, SESSION)
        manager.purge("HEAD")
        assert copy_session(here, there, SESSION).operations == 1
        assert whole(here) == whole(there)
        assert manager.get_messages() == [say("at home"), say("on the way")]


def test_a_session_that_was_purged_is_copied_at_once(here: Store, there: Store) -> None:
    with talk(here) as manager:
        manager.tag("v1")
        manager.purge("main:1", "side")
        manager.edit_message(0, say("edited"))
        manager.purge("HEAD:1")
        result = copy_session(here, there, SESSION)
        assert result.lost == 0
        assert whole(here) == whole(there)
        copy = Manager(SESSION, store=there)
        for _ in range(4):
            one, two = (manager.undo(), copy.undo())
            assert one == two
            assert texts(manager) == texts(copy)
        copy.close()


def texts(manager: Manager) -> dict[str, list[object]]:
    return {branch.id: list(branch.messages) for branch in manager.get_all_branches()}
