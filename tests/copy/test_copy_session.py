"""A session in another store: everything kept, what is new brought along, what would lose something refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from copy_kit import SESSION, files, place, say, talk, whole

from bough.codec import encode
from bough.copying import blocks, copy_session
from bough.errors import (
    BranchMovedError,
    CorruptBranchError,
    InvalidIdError,
    InvalidRequestError,
    NothingToUndoError,
    SessionNotFoundError,
)
from bough.history import length, subtract
from bough.manager import ConversationBranchManager
from bough.model import Append, Change, Commit, Graft
from bough.stores.base import Store
from bough.stores.memory import MemoryStore

KINDS = ["memory", "json", "sqlite"]


@pytest.fixture(params=KINDS)
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return place(request.param, tmp_path, "there")


@pytest.fixture
def here() -> Store:
    return MemoryStore()


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_there_and_back_everything_is_equal(tmp_path: Path, first: str, second: str) -> None:
    source, middle, end = place(first, tmp_path, "a"), place(second, tmp_path, "b"), place(first, tmp_path, "c")
    talk(source)
    one = copy_session(source, middle, SESSION)
    two = copy_session(middle, end, SESSION)
    assert one == two
    assert (one.operations, one.branches, one.lost) == (11, 3, 0)
    assert one.messages == one.verified == 16
    assert whole(source) == whole(middle) == whole(end)
    for store in (source, middle, end):
        store.close()


def test_places_are_opened_and_closed(tmp_path: Path) -> None:
    with talk(place("json", tmp_path, "a")):
        pass
    result = copy_session(tmp_path / "a", f"json:{tmp_path / 'b'}", SESSION, new_id="another")
    assert result.session_id == "another"
    assert place("json", tmp_path, "b").sessions() == ["another"]


def test_undo_goes_as_far_back_in_the_copy(here: Store, there: Store) -> None:
    talk(here)
    copy_session(here, there, SESSION)
    managers = [ConversationBranchManager(SESSION, store=store) for store in (here, there)]
    undone = 0
    while True:
        try:
            one, two = (manager.undo() for manager in managers)
        except NothingToUndoError:
            break
        undone += 1
        assert one == two
        shown = [
            {
                branch.id: (branch.name, [encode(each) for each in branch.messages])
                for branch in manager.get_all_branches()
            }
            for manager in managers
        ]
        assert shown[0] == shown[1]
    assert undone > 5


def test_each_side_goes_on_in_segments_of_its_own(here: Store, there: Store) -> None:
    talk(here)
    copy_session(here, there, SESSION)
    seen: dict[tuple[str, int], bytes] = {}
    for store, text in ((here, "here"), (there, "there")):
        with ConversationBranchManager(SESSION, store=store) as manager:
            for branch in ("main", "side", "Leaf/with a name"):
                manager.checkout(branch)
                manager.add_messages([say(f"{text} {branch}"), say("more")])
            manager.set_messages([*manager.get_messages()[:1], say(f"{text}, set")])
        for record in store.load(SESSION).branches.values():
            identities = [(each.segment, at) for each in record.history for at in range(each.start, each.stop)]
            for identity, message in zip(identities, store.read(SESSION, record.history), strict=True):
                assert seen.setdefault(identity, encode(message)) == encode(message)


def test_a_second_copy_brings_what_is_new(here: Store, there: Store) -> None:
    manager = ConversationBranchManager(SESSION, store=here)
    for round_ in range(4):
        for step in range(3):
            manager.add_message(say(f"{round_}, {step}"))
        result = copy_session(here, there, SESSION)
        assert result.messages == 3
        assert whole(here) == whole(there)
        manager.fork(f"f{round_}")
        manager.add_messages([say("in the fork"), say("too")])
        result = copy_session(here, there, SESSION)
        assert (result.operations, result.branches, result.messages) == (1, 1, 2)
        manager.checkout("main")
        manager.merge(f"f{round_}")
        assert copy_session(here, there, SESSION).operations == 2
        messages = manager.get_messages()
        manager.set_messages([*messages[:1], say(f"set {round_}"), *messages[3:]])
        assert copy_session(here, there, SESSION).messages == 1
        assert whole(here) == whole(there)


@pytest.mark.parametrize("kind", ["json", "sqlite"])
def test_where_nothing_is_new_nothing_is_written(here: Store, tmp_path: Path, kind: str) -> None:
    talk(here)
    store = place(kind, tmp_path, "there")
    copy_session(here, store, SESSION)
    store.close()
    before = files(tmp_path)
    store = place(kind, tmp_path, "there")
    result = copy_session(here, store, SESSION)
    assert (result.operations, result.branches, result.messages, result.verified) == (0, 0, 0, 16)
    assert whole(store) == whole(here)
    store.close()
    assert files(tmp_path) == before


def test_a_copy_that_was_worked_on_comes_back(here: Store, there: Store) -> None:
    """A laptop that was away: as long as only one side was written to, either may be copied to the other."""
    talk(here)
    copy_session(here, there, SESSION)
    with ConversationBranchManager(SESSION, store=there) as away:
        away.checkout("main")
        away.add_message(say("away"))
        away.fork("Trip")
        away.add_message(say("on the trip"))
    result = copy_session(there, here, SESSION)
    assert (result.operations, result.branches, result.messages) == (1, 1, 2)  # main was HEAD already
    assert whole(here) == whole(there)
    with ConversationBranchManager(SESSION, store=here) as home:
        home.checkout("main")
        home.add_message(say("home"))
        messages = home.get_messages()
        home.set_messages(messages[3:])
    copy_session(here, there, SESSION)
    assert whole(here) == whole(there)
    tips = [{record.tip.segment for record in store.load(SESSION).branches.values()} for store in (here, there)]
    assert not tips[0] & tips[1]


@pytest.mark.parametrize("act", ["append", "rename", "switch", "set", "new branch", "other session"])
def test_a_destination_that_has_something_of_its_own_is_refused(here: Store, there: Store, act: str) -> None:
    source = talk(here)
    if act == "other session":
        talk(there)
    else:
        copy_session(here, there, SESSION)
        with ConversationBranchManager(SESSION, store=there) as manager:
            if act == "append":
                manager.checkout("main")
                manager.add_message(say("mine"))
            elif act == "rename":
                manager.rename_branch("side", "Mine")
            elif act == "switch":
                manager.checkout("side")
            elif act == "set":
                manager.set_messages(manager.get_messages()[1:])
            else:
                manager.create_branch("mine", "Mine", "main")
    source.add_message(say("more"))
    before = whole(there)
    with pytest.raises(BranchMovedError) as caught:
        copy_session(here, there, SESSION)
    assert caught.value.session_id == SESSION
    assert caught.value.branch_id in there.load(SESSION).branches
    assert "nothing was written" in str(caught.value)
    assert "--as" in caught.value.hint
    assert whole(there) == before
    assert copy_session(here, there, SESSION, new_id="apart").messages == 17
    assert whole(there, "apart")[0] == whole(here)[0]  # type: ignore[index]


def test_two_stores_that_gave_one_place_to_two_messages_are_refused(tmp_path: Path) -> None:
    """Folders that were copied with ``cp`` and written to on both sides."""
    with talk(place("json", tmp_path, "a")):
        pass
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name, texts in (("a", ["here", "and here"]), ("b", ["there"])):
        with ConversationBranchManager(SESSION, store=place("json", tmp_path, name)) as manager:
            manager.add_messages([say(text) for text in texts])
    before = files(tmp_path / "b")
    with pytest.raises(BranchMovedError, match="another message than the source in the same place") as caught:
        copy_session(tmp_path / "a", tmp_path / "b", SESSION)
    assert caught.value.branch_id == "main"
    assert files(tmp_path / "b") == before


def test_what_cannot_be_copied_is_said(here: Store, there: Store) -> None:
    with pytest.raises(SessionNotFoundError):
        copy_session(here, there, "nobody")
    talk(here)
    with pytest.raises(InvalidRequestError):
        copy_session(here, here, SESSION)
    with pytest.raises(InvalidIdError):
        copy_session(here, there, SESSION, new_id="")
    assert there.sessions() == []
    assert copy_session(here, here, SESSION, new_id="copy").messages == 16
    assert whole(here, "copy") == whole(here)


def test_big_histories_go_in_blocks(here: Store, there: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(blocks, "BLOCK", 50)
    manager = ConversationBranchManager(SESSION, store=here)
    manager.add_messages([say(f"{n} " + "x" * (n % 70)) for n in range(700)])
    manager.set_messages(manager.get_messages()[300:])
    manager.add_messages([say(f"later {n}") for n in range(300)])
    manager.add_message(say("y" * 10000))
    sizes: list[int] = []
    commit = there.commit

    def noting(session_id: str, change: Append | Change | Graft) -> Commit:
        assert isinstance(change, Graft)
        sizes.append(sum(len(line) for _, lines in change.runs for line in lines))
        return commit(session_id, change)

    monkeypatch.setattr(there, "commit", noting)
    heard: list[tuple[int, int]] = []
    result = copy_session(here, there, SESSION, progress=lambda done, total: heard.append((done, total)))
    assert (result.messages, result.verified) == (1001, 1001)
    assert len(sizes) > 10
    assert sorted(sizes)[-2] < 3 * 2000 + 50 * 100
    assert whole(there) == whole(here)
    assert heard[0] == (0, 2002)
    assert heard[-1] == (2002, 2002)
    assert heard == sorted(heard)


def test_a_copy_of_a_copy_in_json_leaves_nothing_behind(
    here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent ahead and waited in the attic is gone once it stands in a document."""
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 500)
    ConversationBranchManager(SESSION, store=here).add_messages([say(f"{n}") for n in range(500)])
    store = place("json", tmp_path, "there")
    copy_session(here, store, SESSION)
    assert list((tmp_path / "there" / SESSION / "attic").iterdir()) == []
    assert whole(store) == whole(here)


class Corrupting(MemoryStore):
    """Loses a bit on the way."""

    def commit(self, session_id: str, change: Append | Change | Graft) -> Commit:
        if isinstance(change, Graft) and change.runs:
            piece, lines = change.runs[0]
            spoilt = [*lines[:-1], lines[-1].replace(b"last", b"lost")]
            change = Graft(
                runs=((piece, spoilt), *change.runs[1:]),
                puts=change.puts,
                drops=change.drops,
                operation=change.operation,
            )
        return super().commit(session_id, change)


def test_a_copy_that_is_not_what_was_sent_is_told(here: Store) -> None:
    ConversationBranchManager(SESSION, store=here).add_message(say("last"))
    with pytest.raises(CorruptBranchError, match="other messages came back"):
        copy_session(here, Corrupting(), SESSION)


def test_a_branch_that_cannot_be_read_is_not_left_out_in_silence(tmp_path: Path, there: Store) -> None:
    with talk(place("json", tmp_path, "a")):
        pass
    (tmp_path / "a" / SESSION / "side.json").write_text("{torn")
    with pytest.raises(CorruptBranchError):
        copy_session(tmp_path / "a", there, SESSION)
    assert there.sessions() == []


def test_messages_that_the_source_lost_are_left_out(tmp_path: Path, there: Store) -> None:
    """Another program deleted a branch's file; operations of the log speak of its messages still."""
    with talk(place("json", tmp_path, "a")) as manager:
        manager.fork("Lost")
        manager.add_messages([say("lost"), say("lost too")])
        manager.rename_branch("lost", "To be lost")
        manager.add_message(say("lost as well"))
        manager.checkout("main")
    (tmp_path / "a" / SESSION / "lost.json").unlink()
    source = place("json", tmp_path, "a")
    for _ in range(2):
        result = copy_session(source, there, SESSION)
        assert result.lost == 2
        state = there.load(SESSION)
        assert state.branches.keys() == source.load(SESSION).branches.keys()
        for id_, record in source.load(SESSION).branches.items():
            assert state.branches[id_].history == record.history
            assert there.read(SESSION, record.history) == source.read(SESSION, record.history)
        assert [each.id for each in there.operations(SESSION)] == [each.id for each in source.operations(SESSION)]
    assert (result.operations, result.messages) == (0, 0)


def test_what_another_program_wrote_comes_along(tmp_path: Path, there: Store) -> None:
    """A folder that Bough never wrote to, and edits of another program that no operation tells of yet."""
    folder = tmp_path / "a" / SESSION
    folder.mkdir(parents=True)

    def write(*texts: str) -> None:
        messages = ", ".join(f'{{ "role": "user",  "content": "{text}" }}' for text in texts)
        (folder / "main.json").write_text(
            f'{{ "id": "main", "name": "Main", "messages": [ {messages} ], "mood": "good",'
            ' "createdAt": "2026-01-02T03:04:05.006Z", "updatedAt": "2026-01-02T03:04:05.006Z" }'
        )

    def texts() -> list[object]:
        return [each["content"] for each in there.read(SESSION, there.load(SESSION).branches["main"].history)]

    write("one", "two", "three")
    before = files(tmp_path / "a")
    assert copy_session(tmp_path / "a", there, SESSION).messages == 3
    assert files(tmp_path / "a") == before
    assert texts() == ["one", "two", "three"]
    assert there.load(SESSION).branches["main"].extra == {"mood": "good"}
    write("one", "2", "three", "four")
    assert copy_session(tmp_path / "a", there, SESSION).operations == 0
    assert texts() == ["one", "2", "three", "four"]
    with ConversationBranchManager(SESSION, store=tmp_path / "a") as manager:
        manager.add_message(say("five"))  # records the edit
    assert copy_session(tmp_path / "a", there, SESSION).operations == 1
    assert texts() == ["one", "2", "three", "four", "five"]
    write("one", "five")
    copy_session(tmp_path / "a", there, SESSION)
    assert texts() == ["one", "five"]
    (folder / "other.json").write_text('{"id": "other", "name": "Other", "messages": [], "parentId": "main"}')
    copy_session(tmp_path / "a", there, SESSION)
    assert there.load(SESSION).branches.keys() == {"main", "other"}
    (folder / "other.json").unlink()
    assert copy_session(tmp_path / "a", there, SESSION).operations == 0
    assert there.load(SESSION).branches.keys() == {"main"}
    assert length(subtract(there.load(SESSION).branches["main"].history, ())) == 2


def test_a_session_whose_log_was_lost_is_copied_as_it_is(tmp_path: Path, there: Store) -> None:
    with talk(place("json", tmp_path, "a")):
        pass
    (tmp_path / "a" / SESSION / "operations.jsonl").unlink()
    source = place("json", tmp_path, "a")
    copy_session(source, there, SESSION)
    one, two = source.load(SESSION), there.load(SESSION)
    assert one.last_operation == two.last_operation > 0
    for id_, record in one.branches.items():
        assert two.branches[id_].history == record.history
        assert there.read(SESSION, record.history) == source.read(SESSION, record.history)
    with ConversationBranchManager(SESSION, store=source) as manager:
        manager.rename_branch("side", "Once more")
    assert copy_session(source, there, SESSION).operations == 1
    assert there.load(SESSION).branches["side"].name == "Once more"
