"""Revisions: every form and every error; what could be several things; what log shows is what names it.

The numbers cited are the rules of :mod:`bough.revisions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough import history
from bough.attributes import Tag, tags_of, with_tag
from bough.changes import change
from bough.errors import AmbiguousRevisionError, CorruptBranchError, RevisionNotFoundError
from bough.manager import ConversationBranchManager as Manager
from bough.model import BranchChange, BranchRecord, Edit, Finding, History, Operation, Piece, SessionState, Tip, replace
from bough.revisions import Names, Revision, identity_of, short_ids, split_range

AT = datetime(2026, 11, 21, tzinfo=UTC)


def record(id_: str, pieces: History = (), *, name: str = "") -> BranchRecord:
    tip = Tip(f"tip of {id_}", 0)
    return BranchRecord(id=id_, name=name or f"Name of {id_}", history=pieces, tip=tip, created_at=AT, updated_at=AT)


def names(*records: BranchRecord, current: str = "main", log: tuple[Operation, ...] = (), **fields: Any) -> Names:
    state = SessionState(session_id="talk", head=current, branches={each.id: each for each in records}, **fields)
    return Names(state=state, current=current, operations=lambda: iter(log))


def operation(number: int, *entries: BranchChange, heads: tuple[str, str] = ("main", "main")) -> Operation:
    return Operation(
        number=number,
        id=str(number),
        kind="set",
        at=AT,
        pid=1,
        hostname="here",
        head_before=heads[0],
        head_after=heads[1],
        branches=entries,
    )


def say(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text} for text in texts]


@pytest.fixture
def talk(manager: Manager) -> Manager:
    """main: a b c d; idea, from main at 2: a b x y; on main."""
    manager.add_messages(say("a", "b", "c", "d"))
    manager.fork_from_message("idea", 2)
    manager.add_messages(say("x", "y"))
    manager.checkout("main")
    return manager


def shown(talk: Manager, revision: str) -> str:
    return "".join(message["content"] for message in talk.read_messages(talk.resolve(revision).history))


# -- every form --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("main", "abcd"),
        ("HEAD", "abcd"),
        ("@", "abcd"),
        ("idea", "abxy"),
        ("-", "abxy"),
        ("Main conversation", "abcd"),
        ("main~", "abc"),
        ("main~1", "abc"),
        ("main~0", "abcd"),
        ("main~4", ""),
        ("~3", "a"),
        ("~", "abc"),
        ("HEAD~2", "ab"),
        ("-~1", "abx"),
        ("idea:3", "abx"),
        ("idea:0", ""),
        ("idea:4", "abxy"),
        (":2", "ab"),
        ("idea:-1", "abxy"),
        ("idea:-2", "abx"),
        ("idea:-5", ""),
        ("idea~1~1", "ab"),
        ("idea:3~", "ab"),
        ("idea~~~", "a"),
        ("idea@{0}~2", "ab"),
        ("Main conversation~2", "ab"),
    ],
)
def test_the_forms(talk: Manager, revision: str, expected: str) -> None:
    found = talk.resolve(revision)
    assert shown(talk, revision) == expected
    assert found.text == revision
    assert found.branch_id == ("idea" if revision.startswith(("idea", "-")) else "main")


@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        ("nothing", "no branch, tag or message"),
        ("", "no branch, tag or message"),
        ("nothing~1", "no branch, tag or message"),
        ("main~5", "has 4 messages"),
        ("main:5", "has 4 messages"),
        ("main:-6", "has 4 messages"),
        ("main:-0", "has 4 messages"),
        ("~9", "HEAD has 4 messages"),
        ("main@{1}", "did not exist then"),
        ("@{2}", "1 operation on branch 'main'"),
        ("idea@{1}", "did not exist then"),
        ("gone@{1}", "no branch is called 'gone', and only a branch has"),
        ("idea~1@{1}", "no branch is called 'idea~1'"),
        ("main:2~1@{1}", "no branch is called 'main:2~1'"),
        ("main@{x}", "no branch, tag or message"),
        ("main~x", "no branch, tag or message"),
        ("ide", "no branch, tag or message"),
        ("a\0b", "no branch, tag or message"),
        ("abcdef.12", "no branch, tag or message"),
        ("x" * 600, "no branch, tag or message"),
        ("main~" + "9" * 5000, "no branch, tag or message"),
        ("main" + "~0" * 5000, "too many suffixes"),
    ],
)
def test_what_is_nothing(manager: Manager, revision: str, reason: str) -> None:
    manager.add_messages(say("a", "b", "c", "d"))
    manager.create_branch("idea", "Idea")
    with pytest.raises(RevisionNotFoundError, match=reason) as caught:
        manager.resolve(revision)
    assert caught.value.hint


def test_there_was_no_other_branch(manager: Manager) -> None:
    with pytest.raises(RevisionNotFoundError, match="no other branch"):
        manager.resolve("-")
    manager.fork("side")
    manager.checkout("main")
    manager.delete_branch("side")
    with pytest.raises(RevisionNotFoundError, match="no other branch"):
        manager.resolve("-~1")


def test_the_previous_branch_is_the_managers_own(talk: Manager) -> None:
    other = Manager("talk", store=talk.store)
    talk.create_branch("third", "Third", "main", 1)
    other.checkout("third")
    other.rename_branch("third", "Other")
    assert shown(talk, "-") == "abxy"
    assert shown(other, "-") == "abcd"


def test_tags(talk: Manager) -> None:
    talk.tag("v1", "idea~1")
    state = talk.store.load("talk")
    odd = replace(tags_of(state.attributes)["v1"], name="a..b", history=state.branches["idea"].history)
    attributes = with_tag(state.attributes, odd)  # ``tag`` refuses the name; a session from elsewhere may have it
    talk.store.commit("talk", change("tag", attributes=attributes, after_operation=state.last_operation))
    talk.tag("long tag", "main:1")
    talk.checkout("idea")
    talk.set_messages(say("z"))
    assert [shown(talk, each) for each in ("v1", "v1~1", "v1:1", "a..b", "long tag")] == ["abx", "ab", "a", "abxy", "a"]
    assert talk.resolve("v1").branch_id == "idea"
    with pytest.raises(RevisionNotFoundError):
        talk.resolve("long")
    before, after = talk.resolve_range("a..b")
    assert [history.length(each.history) for each in (before, after)] == [3, 4]


def test_a_tag_is_not_hidden_by_a_branchs_name(talk: Manager) -> None:
    """Rule 1."""
    talk.tag("v1", "idea")
    talk.rename_branch("main", "v1")
    assert shown(talk, "v1") == "abxy"
    talk.create_branch("v1", "Now an id", "main", 1)
    assert shown(talk, "v1") == "a"


# -- the log -----------------------------------------------------------------------------------------------------------


def test_before_an_operation(talk: Manager) -> None:
    talk.edit_message(0, say("A")[0])
    talk.remove_messages(1)
    talk.add_messages(say("e"))
    assert [shown(talk, f"main@{{{n}}}") for n in (0, 1, 2)] == ["Acde", "Abcd", "abcd"]
    assert shown(talk, "@{1}~2") == "Ab"
    assert shown(talk, "HEAD@{2}:1") == "a"
    edited = talk.resolve("main@{1}:1")
    assert edited.edits == talk.resolve("main:1").edits != ()
    talk.undo()
    assert [shown(talk, f"@{{{n}}}") for n in (0, 1, 2)] == ["Abcde", "Acde", "Abcd"]


def test_before_the_operation_that_deleted_the_branch(talk: Manager) -> None:
    talk.checkout("idea")
    talk.remove_messages(0)
    talk.delete_branch("idea")
    talk.create_branch("idea-2", "idea")  # neither its id's beginning nor its name hides what was deleted
    assert [shown(talk, f"idea@{{{n}}}") for n in (1, 2)] == ["bxy", "abxy"]
    assert talk.resolve("idea@{1}").branch_id == "idea"
    assert shown(talk, "idea@{2}~1") == "abx"
    with pytest.raises(RevisionNotFoundError, match="did not exist"):
        talk.resolve("idea@{0}")
    talk.undo()
    talk.undo()
    assert shown(talk, "idea@{0}") == "bxy"
    with pytest.raises(RevisionNotFoundError, match="did not exist then"):
        talk.resolve("idea@{1}")


def test_the_log_is_not_read_where_nothing_stands_in_it() -> None:
    """Rule 3."""

    def log() -> Iterator[Operation]:
        raise AssertionError("read")

    main = record("main", (Piece("segment", 0, 3),), name="Main")
    state = SessionState(session_id="talk", head="main", branches={"main": main})
    found = Names(state=state, current="main", operations=log)
    for revision in ("main", "HEAD", "@", "Main", "main~1", ":2", "@{0}", "segm.1"):
        assert found.resolve(revision).branch_id == "main"


# -- ids of messages ---------------------------------------------------------------------------------------------------


def test_messages_by_the_id_that_log_shows(talk: Manager) -> None:
    state = talk.store.load("talk")
    short = short_ids(state.branches.values())
    for branch_id, texts in (("main", "abcd"), ("idea", "abxy")):
        talk.checkout(branch_id)
        for index, text in enumerate(texts):
            segment, position = history.identity(state.branches[branch_id].history, index)
            for id_ in (short(segment, position), f"{segment}.{position}"):
                assert shown(talk, id_) == texts[: index + 1]
                assert talk.resolve(id_).branch_id == branch_id
                assert shown(talk, id_ + "~1") == texts[:index]
                assert identity_of(talk.resolve(id_)) == Piece(segment, position, position + 1)
            assert text == texts[index]


def test_messages_that_only_the_log_has(talk: Manager) -> None:
    state = talk.store.load("talk")
    segment, position = history.identity(state.branches["idea"].history, 3)
    talk.delete_branch("idea")
    assert shown(talk, f"{segment}.{position}") == "abxy"
    assert shown(talk, f"{segment[:8]}.{position}") == "abxy"
    assert talk.resolve(f"{segment[:8]}.{position}").branch_id == "idea"
    with pytest.raises(RevisionNotFoundError):
        talk.resolve(f"{segment}.{position + 1}")


def test_a_message_of_several_branches_is_the_current_ones_first() -> None:
    shared = (Piece("segment", 0, 3),)
    branches = [record("a", shared), record("main", shared), record("b", (Piece("other", 0, 1), *shared))]
    for current in ("a", "b", "main"):
        assert names(*branches, current=current).resolve("segm.1").branch_id == current
    assert names(*branches, current="gone").resolve("segm.1").branch_id == "main"
    assert names(*branches, current="b").resolve("segm.1").history == (Piece("other", 0, 1), Piece("segment", 0, 2))


def test_ids_of_messages_that_could_be_several() -> None:
    """Rule 2; what is live is meant rather than what is not, what is whole rather than what it begins."""
    main = record("main", (Piece("abcd1", 0, 3), Piece("abcd2", 0, 2), Piece("abcd", 7, 9)))
    gone = record("gone", (Piece("abcd3", 0, 3), Piece("abcd4", 0, 5)))
    found = names(main, log=(operation(1, BranchChange(id="gone", before=gone, after=None)),))
    with pytest.raises(AmbiguousRevisionError) as caught:
        found.resolve("abcd.1")
    assert caught.value.candidates == ("abcd1.1", "abcd2.1")
    for candidate in caught.value.candidates:
        assert found.resolve(candidate).branch_id == "main"
    assert identity_of(found.resolve("abcd.2")) == Piece("abcd1", 2, 3)
    assert identity_of(found.resolve("abcd.8")) == Piece("abcd", 8, 9)
    assert identity_of(found.resolve("abcd.4")) == Piece("abcd4", 4, 5)
    both = names(record("main", (Piece("abcd", 0, 3), Piece("abcd2", 0, 3))))
    assert identity_of(both.resolve("abcd.1")) == Piece("abcd", 1, 2)
    with pytest.raises(RevisionNotFoundError):
        found.resolve("abc.2")


def test_a_short_segment_is_named_by_all_of_it() -> None:
    found = names(record("main", (Piece("s", 0, 3), Piece("a.b", 4, 5))))
    assert identity_of(found.resolve("s.1")) == Piece("s", 1, 2)
    assert identity_of(found.resolve("a.b.4")) == Piece("a.b", 4, 5)


def test_there_is_no_last_message_of_nothing(talk: Manager) -> None:
    with pytest.raises(RevisionNotFoundError, match="no message"):
        identity_of(talk.resolve("main:0"))


segments = st.text("aé", min_size=1, max_size=7)


@given(
    pieces=st.lists(st.tuples(segments, st.integers(0, 1), st.integers(1, 2)), min_size=1, max_size=12), data=st.data()
)
def test_short_ids_name_what_they_were_made_of(pieces: list[tuple[str, int, int]], data: st.DataObject) -> None:
    made = {segment: Piece(segment, start, start + size) for segment, start, size in pieces}
    records = []
    for number, piece in enumerate(made.values()):
        records.append(record(f"branch {number}", (piece,)))
    short = short_ids(records)
    found = names(*records)
    wanted = data.draw(st.sampled_from(list(made.values())))
    shown = short(wanted.segment, wanted.stop - 1)
    assert identity_of(found.resolve(shown)) == Piece(wanted.segment, wanted.stop - 1, wanted.stop)
    assert len(shown.rpartition(".")[0]) <= max(4, 1 + max(_common(wanted.segment, each) for each in made))
    assert short("unknown", 3) == "unknown.3"


def _common(left: str, right: str) -> int:
    if left == right:
        return 0
    return next(
        (at for at, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), min(len(left), len(right))
    )


# -- ids that look like something else ---------------------------------------------------------------------------------

AWKWARD = ["main~1", "main:2", "main@{1}", "-", "HEAD", "@", "~1", ":1", "a..b", "..", "abcd.0", "v1", " ", "~", "é\n"]


@pytest.mark.parametrize("id_", AWKWARD)
def test_exactly_an_id_is_that_branch(talk: Manager, id_: str) -> None:
    """Rule 1."""
    talk.checkout("idea")
    talk.create_branch(id_, "Awkward", "main", 1)
    for suffix, expected in (("", "a"), ("~1", ""), (":1", "a"), ("@{0}", "a")):
        assert talk.resolve(id_ + suffix).branch_id == id_
        assert shown(talk, id_ + suffix) == expected
    before, after = talk.resolve_range(id_)
    assert (before.history, after.branch_id) == ((), id_)


def test_an_id_that_looks_like_a_message() -> None:
    found = names(record("main", (Piece("abcd", 0, 3),)), record("abcd.1"), record("abcd.22"))
    assert found.resolve("abcd.1").branch_id == "abcd.1"
    assert found.resolve("abcd.2").branch_id == "main"  # not what the beginning of a branch's id is


def test_the_beginning_of_an_id(talk: Manager) -> None:
    talk.create_branch("rewrite-the-end", "One", "main", 1)
    assert shown(talk, "rewr") == "a"
    assert shown(talk, "rewrite~1") == ""
    with pytest.raises(RevisionNotFoundError):
        talk.resolve("rew")
    talk.create_branch("rewrite-the-start", "Two")
    with pytest.raises(AmbiguousRevisionError) as caught:
        talk.resolve("rewrite:0")
    assert caught.value.candidates == ("rewrite-the-end", "rewrite-the-start")
    assert shown(talk, "rewrite-the-e") == "a"


def test_a_suffix_is_not_the_beginning_of_an_id(talk: Manager) -> None:
    """Rule 1: the beginning of an id is what is tried last."""
    talk.create_branch("main~10", "Awkward")
    talk.create_branch("main:30", "Awkward too")
    assert (shown(talk, "main~1"), shown(talk, "main:3")) == ("abc", "abc")


def test_a_name_that_several_branches_have(talk: Manager) -> None:
    """Rule 2."""
    talk.rename_branch("main", "Same")
    talk.rename_branch("idea", "Same")
    with pytest.raises(AmbiguousRevisionError) as caught:
        talk.resolve("Same~1")
    assert caught.value.candidates == ("idea", "main")
    assert "idea, main" in caught.value.hint


def test_a_name_that_looks_like_a_suffix(talk: Manager) -> None:
    """Rule 2."""
    talk.rename_branch("idea", "Note:2")
    assert shown(talk, "Note:2") == "abxy"
    assert shown(talk, "Note:2~1") == "abx"
    talk.rename_branch("idea", "Main conversation:1")
    with pytest.raises(AmbiguousRevisionError) as caught:
        talk.resolve("Main conversation:1")
    assert caught.value.candidates == ("idea", "main:1")
    assert [shown(talk, each) for each in caught.value.candidates] == ["abxy", "a"]
    talk.rename_branch("idea", "main:1")
    with pytest.raises(AmbiguousRevisionError) as caught:
        talk.resolve("main:1")
    assert caught.value.candidates == ("idea",)


def test_the_current_branch_is_gone() -> None:
    for revision in ("HEAD", "@", "~1", ":1"):
        with pytest.raises(RevisionNotFoundError, match="'main', is gone"):
            names(record("other", name="HEAD")).resolve(revision)


def test_a_branch_that_cannot_be_read_is_not_called_unknown() -> None:
    damaged = Finding(place="broken.json", problem="it is torn", branch_id="broken")
    found = names(record("main"), current="broken", findings=(damaged,))
    for revision in ("broken", "broken~1", "broken@{1}", "HEAD", "@~1", ":1", "@{1}"):
        with pytest.raises(CorruptBranchError, match="torn"):
            found.resolve(revision)
    assert found.resolve("main").branch_id == "main"


# -- ranges ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        ("main..idea", ("abcd", "abxy")),
        ("..idea", ("abcd", "abxy")),
        ("idea..", ("abxy", "abcd")),
        ("..", ("abcd", "abcd")),
        ("~2..-~1", ("ab", "abx")),
        ("main:1..main:3", ("a", "abc")),
        ("idea", ("abx", "abxy")),
        ("main:0", ("", "")),
    ],
)
def test_ranges(talk: Manager, revision: str, expected: tuple[str, str]) -> None:
    sides = talk.resolve_range(revision)
    texts = ["".join(each["content"] for each in talk.read_messages(side.history)) for side in sides]
    assert tuple(texts) == expected


@pytest.mark.parametrize(
    ("revision", "named"), [("main..nothing", "'nothing'"), ("nothing..", "'nothing'"), ("x..y..z", "'x..y..z'")]
)
def test_a_range_of_nothing_says_which_side(talk: Manager, revision: str, named: str) -> None:
    with pytest.raises(RevisionNotFoundError, match=named):
        talk.resolve_range(revision)


@pytest.mark.parametrize("ids", [("a.", "b"), ("a", ".b"), ("a..b", "c"), ("v1.2", "v1.3"), ("a...", "...b")])
def test_a_range_of_ids_with_dots(talk: Manager, ids: tuple[str, str]) -> None:
    for at, id_ in enumerate(ids):
        talk.create_branch(id_, "Dotted", "main", at)
    before, after = talk.resolve_range("..".join(ids))
    assert (before.branch_id, after.branch_id) == ids


def test_a_range_that_could_be_several(talk: Manager) -> None:
    """Rule 2."""
    for id_ in ("a", "b..c", "a..b", "c"):
        talk.create_branch(id_, id_)
    with pytest.raises(AmbiguousRevisionError) as caught:
        talk.resolve_range("a..b..c")
    assert caught.value.candidates == ("'a' and 'b..c'", "'a..b' and 'c'")
    talk.create_branch("a..b..c", "Whole")
    assert talk.resolve_range("a..b..c")[1].branch_id == "a..b..c"


def test_a_side_that_could_be_several_things_is_not_passed_over(talk: Manager) -> None:
    for id_ in ("topic-1", "topic-2"):
        talk.create_branch(id_, id_)
    with pytest.raises(AmbiguousRevisionError, match="'topic'"):
        talk.resolve_range("main..topic")


# -- against a plain reading -------------------------------------------------------------------------------------------

sizes = st.integers(0, 6)
suffixes = st.lists(
    st.one_of(
        st.just(("~", lambda n: n - 1)),
        st.integers(0, 7).map(lambda k: (f"~{k}", lambda n: n - k)),
        st.integers(0, 7).map(lambda k: (f":{k}", lambda n: k)),
        st.integers(1, 7).map(lambda k: (f":-{k}", lambda n: n + 1 - k)),
    ),
    max_size=4,
)


@given(size=sizes, base=st.sampled_from(["main", "HEAD", "@", "", "Name of main"]), chain=suffixes)
def test_chains_of_suffixes(size: int, base: str, chain: list[tuple[str, Callable[[int], int]]]) -> None:
    found = names(record("main", (Piece("segment", 0, size),) if size else ()))
    text, count = base, size
    for suffix, effect in chain:
        text += suffix
        stop = effect(count)
        if not 0 <= stop <= count:
            with pytest.raises(RevisionNotFoundError):
                found.resolve(text)
            return
        count = stop
    if text:
        assert found.resolve(text).history == ((Piece("segment", 0, count),) if count else ())


def test_a_cut_keeps_the_edits_of_what_it_keeps() -> None:
    edits = (Edit("new", 0, "old", 1), Edit("new", 1, "old", 3))
    pieces = (Piece("old", 0, 1), Piece("new", 0, 1), Piece("old", 2, 3), Piece("new", 1, 2))
    main = record("main", pieces)
    tag = Tag(name="v1", history=pieces, edits=edits, branch_id="main", at=AT)
    attributes: Mapping[str, Any] = with_tag({}, tag)
    found = names(main, attributes=attributes)
    assert found.resolve("v1").edits == edits
    assert found.resolve("v1~1").edits == edits[:1]
    assert found.resolve("v1:1").edits == ()


def test_split_range_is_of_ranges() -> None:
    def resolve(text: str) -> Revision:
        return Revision(text=text, history=())

    assert [side.text for side in split_range("a..b", resolve)] == ["a", "b"]
    assert [side.text for side in split_range("..", resolve)] == ["HEAD", "HEAD"]
