"""What must hold of every operation, whatever the conversation: undo and redo, merges, edits that stay edited.

A conversation is drawn as a program of verbs (:func:`programs`); what a verb refuses is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bough import edits, history, merge
from bough.codec import encode
from bough.errors import BoughError, BranchMovedError, InvalidRequestError, MergeConflictError, NothingToUndoError
from bough.imports import IncomingBranch, entry
from bough.manager import ConversationBranchManager as Manager
from bough.model import Append, Message, Operation, Tip, replace
from bough.stores import open_store
from bough.undo import FIXED, REDO, UNDO

Verb: TypeAlias = Callable[[Manager], object]

STORES = {"memory": 60, "json": 15, "sqlite": 15}
"""How many examples each gets: those with files cost more, and the verbs are the same."""

IDS = ["main", "a", "a-2", "b"]
index = st.integers(0, 6)
ids = st.sampled_from(IDS)
words = st.sampled_from(["x", "y", "z"])
_serial = count()


def say(text: str) -> Message:
    return {"role": "user", "content": f"{text} {next(_serial)}"}


def some(texts: list[str]) -> list[Message]:
    return [say(text) for text in texts]


@contextmanager
def talk(kind: str) -> Iterator[Manager]:
    """A manager of a new session."""
    with TemporaryDirectory() as folder:
        url = "memory:" if kind == "memory" else f"{kind}:{Path(folder) / 'store'}"
        store = open_store(url, durability="lazy")
        try:
            with Manager("talk", store=store) as manager:
                yield manager
        finally:
            store.close()


def for_each_store(*arguments: Any, **named: Any) -> Callable[[Callable[..., None]], Callable[[str], None]]:
    """Runs ``test(manager, …)`` with drawn arguments, on every store."""

    def decorate(test: Callable[..., None]) -> Callable[[str], None]:
        @pytest.mark.parametrize("kind", STORES)
        def on_store(kind: str) -> None:
            @settings(max_examples=STORES[kind], suppress_health_check=list(HealthCheck))
            @given(st.fixed_dictionaries(named))
            def holds(drawn: dict[str, Any]) -> None:
                with talk(kind) as manager:
                    test(manager, **drawn)

            holds()

        on_store.__name__ = test.__name__
        on_store.__doc__ = test.__doc__
        return on_store

    return decorate


def run(manager: Manager, program: list[Verb]) -> None:
    for verb in program:
        with suppress(BoughError):
            verb(manager)


def setting(start: int, stop: int, texts: list[str]) -> Verb:
    def act(manager: Manager) -> object:
        held = manager.get_messages()
        return manager.set_messages([*held[:start], *some(texts), *held[stop:]])

    return act


texts = st.lists(words, min_size=1, max_size=3)
strategies = st.sampled_from(["append", "replace", "interleave", "three-way"])

growing = st.one_of(
    texts.map(lambda new: lambda manager: manager.add_messages(some(new))),
    st.builds(lambda name, at: lambda m: m.fork_from_message(name, at), st.sampled_from(["a", "b"]), index),
    ids.map(lambda id_: lambda manager: manager.checkout(id_)),
)
"""Verbs after which no branch has an edited or removed message."""

editing = st.one_of(
    st.builds(lambda at, text: lambda m: m.edit_message(at, say(text)), index, words),
    st.builds(lambda at, size: lambda m: m.remove_messages(at, at + size), index, st.integers(1, 2)),
    st.builds(setting, index, index, texts),
    index.map(lambda at: lambda manager: manager.reset(at)),
)
merging = st.one_of(
    st.builds(lambda id_, how: lambda m: m.merge(id_, how), ids, strategies),
    st.builds(lambda id_, how: lambda m: m.merge(id_, merge.three_way(how)), ids, st.sampled_from(["ours", "theirs"])),
    st.builds(lambda id_, at: lambda m: m.cherry_pick(f"{id_}:{at}"), ids, index),
)
others = st.one_of(
    st.builds(lambda id_, of, at: lambda m: m.create_branch(id_, id_, of, at), ids, ids, index),
    ids.map(lambda id_: lambda manager: manager.delete_branch(id_)),
    ids.map(lambda id_: lambda manager: manager.restore_branch(id_)),
    st.builds(lambda id_, name: lambda m: m.rename_branch(id_, name), ids, words),
    st.builds(lambda name, at: lambda m: m.tag(name, f"HEAD:{at}"), words, index),
    words.map(lambda name: lambda manager: manager.untag(name)),
    st.builds(lambda id_, word: lambda m: m.set_branch_metadata({"x": word}, branch_id=id_), ids, words),
    words.map(lambda word: lambda manager: manager.set_session_metadata({"x": word})),
    st.just(lambda manager: manager.undo()),
    st.just(lambda manager: manager.redo()),
)
start = st.builds(lambda new: [lambda manager: manager.add_messages(some(new))], texts)


def programs(*verbs: st.SearchStrategy[Verb], size: int = 12) -> st.SearchStrategy[list[Verb]]:
    return st.builds(lambda first, rest: [*first, *rest], start, st.lists(st.one_of(*verbs), max_size=size))


anything = programs(growing, growing, editing, merging, others)


def shown(manager: Manager) -> object:
    """All that an undo has to restore: not numbers, nor how far the tips went."""
    state = manager.store.load("talk")
    branches = {id_: _plain(record) for id_, record in state.branches.items()}
    return branches, state.head, dict(state.attributes), manager.get_current_branch_id()


def _plain(record: Any) -> object:
    # When a branch changed last is for people; an undo of a change that others built on need not restore it.
    return replace(record, operation=0, tip=Tip(record.tip.segment, 0), updated_at=record.created_at)


def contents(manager: Manager, branch_id: str | None = None) -> list[bytes]:
    return [encode(message) for message in manager.get_messages(branch_id)]


def last_operation(manager: Manager) -> Operation:
    return next(manager.operations())


# -- undo and redo -----------------------------------------------------------------------------------------------------


def _import(manager: Manager) -> object:
    first, *_ = manager.get_messages("main")
    entries = [entry(first), entry(say("imported"))]
    return manager.import_branches([IncomingBranch(id="new", name="New", entries=entries)])


def _conflict(manager: Manager) -> None:
    """side and main disagree on the first message, and both have more."""
    manager.checkout("main")
    manager.fork("side")
    manager.edit_message(0, say("side"))
    manager.add_message(say("on side"))
    manager.checkout("main")
    manager.edit_message(0, say("main"))


def _last(manager: Manager) -> int:
    return len(manager.get_messages("side")) - 1


def _after(*preparing: Verb) -> Callable[[Verb], Verb]:
    """The operation, on top of what it needs."""

    def decorate(verb: Verb) -> Verb:
        def prepare(manager: Manager) -> None:
            for each in preparing:
                each(manager)

        _PREPARED[verb] = prepare
        return verb

    return decorate


_PREPARED: dict[Verb, Verb] = {}

OPERATIONS: dict[str, Verb] = {
    "create": lambda manager: manager.create_branch("new", "New", "main", 1),
    "fork": lambda manager: manager.fork_from_message("New", 1),
    "checkout": _after(lambda manager: manager.create_branch("new", "New"))(lambda manager: manager.checkout("new")),
    "merge": _after(_conflict)(lambda manager: manager.merge("side")),
    "merge replace": _after(_conflict)(lambda manager: manager.merge("side", "replace")),
    "merge interleave": _after(_conflict)(lambda manager: manager.merge("side", "interleave")),
    "merge three-way": _after(_conflict)(lambda manager: manager.merge("side", merge.three_way("theirs"))),
    "merge that settles": _after(_conflict)(lambda manager: manager.merge("side", merge.three_way("both"))),
    "merge pick": _after(_conflict)(lambda manager: manager.merge("side", merge.pick([_last(manager)]))),
    "merge squash": _after(_conflict)(lambda manager: manager.merge("side", merge.squash("what side says"))),
    "set": lambda manager: manager.set_messages([say("set"), *manager.get_messages()[1:]]),
    "edit": lambda manager: manager.edit_message(0, say("edited"), branch_id="main"),
    "remove": lambda manager: manager.remove_messages(0, branch_id="main"),
    "reset": lambda manager: manager.reset(":0"),
    "reset elsewhere": _after(_conflict)(lambda manager: manager.reset("side")),
    "cherry-pick": _after(_conflict)(lambda manager: manager.cherry_pick("side")),
    "revert": _after(_conflict)(lambda manager: manager.revert(last_operation(manager).number)),
    "repair": _after(lambda manager: manager.add_message({"role": "tool", "tool_call_id": "1", "content": "none"}))(
        lambda manager: manager.repair()
    ),
    "rename": lambda manager: manager.rename_branch("main", "Renamed again"),
    "describe": lambda manager: manager.set_branch_metadata({"title": "Described", "labels": ["new"]}),
    "describe the session": lambda manager: manager.set_session_metadata({"title": "Described", "archived": True}),
    "tag": lambda manager: manager.tag("new tag"),
    "untag": _after(lambda manager: manager.tag("new tag"))(lambda manager: manager.untag("new tag")),
    "delete": _after(_conflict)(lambda manager: manager.delete_branch("side")),
    "delete the current": _after(lambda manager: manager.fork("New"))(lambda manager: manager.delete_branch("new")),
    "restore": _after(_conflict, lambda manager: manager.delete_branch("side"))(
        lambda manager: manager.restore_branch("side")
    ),
    "restore as": _after(_conflict, lambda manager: manager.delete_branch("side"))(
        lambda manager: manager.restore_branch("side", "back")
    ),
    "import": _import,
}
"""Every kind of operation that can be undone, by its first word."""

NOT_HERE = {"salvage"}
"""Made by fsck --repair out of damage; its tests are where damage is made."""


def test_every_kind_of_operation_is_here() -> None:
    listed = re.search(r"``kind`` is the verb: ``(.*?)``", Operation.__doc__ or "", re.DOTALL)
    assert listed is not None
    kinds = set(listed[1].split())
    assert {name.split()[0] for name in OPERATIONS} == kinds - FIXED - {UNDO, REDO} - NOT_HERE


def prepared(manager: Manager, program: list[Verb], name: str) -> None:
    """The program, and what the operation needs: a main branch with messages that is current."""
    run(manager, program)
    manager.checkout("main")
    manager.add_message(say("last"))
    for taken in ("side", "new", "back"):
        assert taken not in manager.store.load("talk").branches
    if OPERATIONS[name] in _PREPARED:
        _PREPARED[OPERATIONS[name]](manager)


def apply(manager: Manager, name: str) -> int:
    """Does the operation; its number."""
    before = last_operation(manager).number
    OPERATIONS[name](manager)
    done = last_operation(manager)
    assert (done.kind, done.number) == (name.split()[0], before + 1)
    return done.number


@for_each_store(program=anything, name=st.sampled_from(sorted(OPERATIONS)))
def test_undo_restores_what_was_and_redo_does_it_again(manager: Manager, program: list[Verb], name: str) -> None:
    prepared(manager, program, name)
    before = shown(manager)
    number = apply(manager, name)
    after = shown(manager)
    for _ in range(2):
        undone = manager.undo()
        assert (undone.operation, undone.kind) == (number, name.split()[0])
        assert shown(manager) == before
        redone = manager.redo()
        assert (redone.operation, redone.kind) == (number, name.split()[0])
        assert shown(manager) == after
    with pytest.raises(NothingToUndoError):
        manager.redo()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@pytest.mark.parametrize("kind", STORES)
def test_undo_of_each_kind(kind: str, name: str) -> None:
    with talk(kind) as manager:
        prepared(manager, [lambda talk: talk.add_messages(some(["x", "y"]))], name)
        before = shown(manager)
        number = apply(manager, name)
        after = shown(manager)
        manager.undo(number)
        assert shown(manager) == before
        manager.redo()
        assert shown(manager) == after
        with pytest.raises(InvalidRequestError, match=f"operation {number + 1} "):
            manager.undo(number + 1)


@for_each_store(name=st.sampled_from(sorted(OPERATIONS)))
def test_what_was_appended_since_stays(manager: Manager, name: str) -> None:
    prepared(manager, [], name)
    held = {branch.id: contents(manager, branch.id) for branch in manager.get_all_branches()}
    apply(manager, name)
    later = {"role": "user", "content": "later"}
    added = [branch.id for branch in manager.get_all_branches()]
    for branch_id in added:
        manager.store.commit("talk", Append(branch_id=branch_id, messages=[encode(later)]))
    manager.undo()
    for branch_id, lines in held.items():
        more = [encode(later)] if branch_id in added else []
        assert contents(manager, branch_id) == lines + more


@for_each_store(
    program=anything, name=st.sampled_from(sorted(OPERATIONS)), beside=st.lists(st.one_of(growing), max_size=4)
)
def test_undo_of_an_earlier_operation_where_nothing_depends_on_it(
    manager: Manager, program: list[Verb], name: str, beside: list[Verb]
) -> None:
    """What is done later on branches of its own, and with keys of its own, is kept."""
    prepared(manager, program, name)
    held = {branch.id: branch for branch in manager.get_all_branches()}
    number = apply(manager, name)
    touched = {entry.id for entry in last_operation(manager).branches}
    manager.create_branch("beside", "Beside")
    manager.set_session_metadata({"beside": True})
    here = manager.get_current_branch_id()
    manager.checkout("beside")
    manager.add_messages(some(["beside"]))
    manager.edit_message(0, say("edited beside"))
    beside_lines = contents(manager, "beside")
    manager.checkout(here)
    undone = manager.undo(number)
    assert (undone.operation, undone.kind) == (number, name.split()[0])
    state = manager.store.load("talk")
    assert contents(manager, "beside") == beside_lines
    assert state.attributes["beside"] is True
    for branch_id, branch in held.items():
        assert _plain(state.branches[branch_id]) == _plain(branch.record)
    assert state.branches.keys() - held.keys() - {"beside"} == set()
    assert touched or name.split()[0] in {"checkout", "tag", "untag", "describe", "merge"}


DEPENDING: dict[str, tuple[Verb, Verb]] = {
    "a branch that was renamed": (
        lambda manager: manager.create_branch("new", "New"),
        lambda manager: manager.rename_branch("new", "Another"),
    ),
    "a branch that was described": (
        lambda manager: manager.create_branch("new", "New"),
        lambda manager: manager.set_branch_metadata({"x": 1}, branch_id="new"),
    ),
    "a branch that was edited": (
        lambda manager: manager.create_branch("new", "New", "main"),
        lambda manager: manager.edit_message(0, say("edited"), branch_id="new"),
    ),
    "a branch that is gone": (
        lambda manager: manager.rename_branch("side", "Another"),
        lambda manager: manager.delete_branch("side"),
    ),
    "a branch that was made anew": (
        lambda manager: manager.delete_branch("side"),
        lambda manager: manager.create_branch("side", "Another"),
    ),
    "a name": (
        lambda manager: manager.rename_branch("side", "Another"),
        lambda manager: manager.rename_branch("side", "And another"),
    ),
    "metadata": (
        lambda manager: manager.set_branch_metadata({"x": 1}),
        lambda manager: manager.set_branch_metadata({"x": 2}),
    ),
    "messages": (
        lambda manager: manager.edit_message(0, say("edited")),
        lambda manager: manager.remove_messages(0),
    ),
    "a tag": (lambda manager: manager.tag("v1"), lambda manager: manager.untag("v1")),
    "a key": (
        lambda manager: manager.set_session_metadata({"title": "One", "x": 1}),
        lambda manager: manager.set_session_metadata({"title": "Two"}),
    ),
}


@pytest.mark.parametrize("name", DEPENDING)
@pytest.mark.parametrize("kind", STORES)
def test_undo_refuses_where_something_later_depends_on_it(kind: str, name: str) -> None:
    with talk(kind) as manager:
        manager.add_messages(some(["x", "y"]))
        manager.create_branch("side", "Side", "main")
        first, later = DEPENDING[name]
        before = shown(manager)
        first(manager)
        number = last_operation(manager).number
        later(manager)
        held = shown(manager)
        with pytest.raises((BranchMovedError, InvalidRequestError), match=rf"operation {number} \(") as caught:
            manager.undo(number)
        assert caught.value.hint or name in ("a tag", "a key")
        assert shown(manager) == held
        manager.undo()
        manager.undo(number)
        assert shown(manager) == before


@pytest.mark.parametrize("kind", STORES)
def test_head_stays_where_it_was_moved_since(kind: str) -> None:
    with talk(kind) as manager:
        for name in ("a", "b"):
            manager.create_branch(name, name)
        manager.checkout("a")
        number = last_operation(manager).number
        manager.checkout("b")
        manager.undo(number)
        assert manager.store.load("talk").head == manager.get_current_branch_id() == "b"


@for_each_store(program=anything)
def test_undoing_everything_and_doing_it_again(manager: Manager, program: list[Verb]) -> None:
    run(manager, program)
    states = []
    while True:
        before = shown(manager)
        try:
            manager.undo()
        except (NothingToUndoError, BranchMovedError):
            break
        states.append(before)
    for state in reversed(states):
        manager.redo()
        assert shown(manager) == state


# -- merges ------------------------------------------------------------------------------------------------------------

STRATEGIES: Mapping[str, str | merge.Strategy] = {
    "append": "append",
    "replace": "replace",
    "interleave": "interleave",
    "ours": merge.three_way("ours"),
    "theirs": merge.three_way("theirs"),
    "both": merge.three_way("both"),
    "another": merge.three_way(lambda _: say("settled")),
    "pick": merge.pick([0]),
    "squash": merge.squash("in short"),
}


@for_each_store(program=anything, source_at=index, target_at=index, name=st.sampled_from(sorted(STRATEGIES)))
def test_a_merge_made_again_does_nothing(
    manager: Manager, program: list[Verb], source_at: int, target_at: int, name: str
) -> None:
    run(manager, program)
    manager.fork("more")
    there = sorted(manager.store.load("talk").branches)
    target = there.pop(target_at % len(there))
    source = there[source_at % len(there)]
    manager.checkout(source)
    manager.add_message(say("one more"))
    manager.checkout(target)
    strategy = STRATEGIES[name]
    preview = manager.merge(source, strategy, preview=True)
    result = manager.merge(source, strategy)
    assert (preview.added, preview.removed, preview.conflicts) == (result.added, result.removed, ())
    held, number = shown(manager), last_operation(manager).number
    again = manager.merge(source, strategy)
    assert (again.added, again.removed, again.operation) == (0, 0, None)
    assert manager.merge(source, strategy, preview=True).added == 0
    assert (shown(manager), last_operation(manager).number) == (held, number)


@for_each_store(program=programs(growing, growing, size=25), order=st.randoms(use_true_random=False))
def test_append_merges_in_any_order_hold_the_same_messages(
    manager: Manager, program: list[Verb], order: Random
) -> None:
    run(manager, program)
    there = sorted(manager.store.load("talk").branches)
    held = []
    for number, sources in enumerate((there, order.sample(there, len(there)))):
        manager.checkout("main")
        manager.fork(f"all {number}")
        for source in sources:
            manager.merge(source)
        held.append(contents(manager))
    # Each message says something else, so that lines are as good as identities.
    assert sorted(held[0]) == sorted(held[1])
    every = {line for branch_id in there for line in contents(manager, branch_id)}
    assert set(held[0]) == every
    assert len(held[0]) == len(every)


@for_each_store(
    first=texts,
    chain=st.lists(st.sampled_from(["fork", "edit", "add", "merge"]), max_size=8),
    at=index,
    source=st.sampled_from(["append", "interleave"]),
)
def test_an_edited_message_does_not_come_back(
    manager: Manager, first: list[str], chain: list[str], at: int, source: str
) -> None:
    """Whatever branches lie between the one that has it edited and those that have older wordings."""
    manager.add_messages(some(first))
    at %= len(first)
    old = manager.get_messages()[at]
    manager.create_branch("old", "Old", "main")
    manager.edit_message(at, say("edited"))
    olds = ["old"]
    for step in chain:
        if step == "fork":
            olds.append(manager.get_current_branch_id())
            manager.fork("line")
        elif step == "edit":
            manager.edit_message(at, say("edited again"))
        elif step == "add":
            manager.add_message(say("added"))
        else:
            manager.merge("old", source)
    size = len(manager.get_messages())
    newest = manager.get_messages()[at]
    for each in olds:
        manager.merge(each, source)
        assert manager.get_messages()[at] == newest
        assert old not in manager.get_messages()
        assert len(manager.get_messages()) == size
    # Nor does the new one come beside the old one.
    tip = manager.get_current_branch_id()
    manager.checkout("old")
    manager.merge(tip, source)
    assert manager.get_messages()[at] == old
    assert newest not in manager.get_messages()
    record = manager.store.load("talk").branches["old"]
    firsts = edits.first_wordings(record.history, record.edits)
    assert history.length(history.union(firsts)) == record.length


@for_each_store(program=anything, how=st.sampled_from(["ours", "theirs", "both"]), more=texts)
def test_a_settled_conflict_is_not_raised_again(
    manager: Manager, program: list[Verb], how: str, more: list[str]
) -> None:
    run(manager, program)
    manager.checkout("main")
    manager.add_message(say("at least one"))
    _conflict(manager)
    preview = manager.merge("side", "three-way", preview=True)
    assert [conflict.kind for conflict in preview.conflicts] == ["edit/edit"]
    before = shown(manager)
    with pytest.raises(MergeConflictError):
        manager.merge("side", "three-way")
    assert shown(manager) == before
    manager.merge("side", merge.three_way(how))  # type: ignore[arg-type]
    settled = contents(manager)
    again = manager.merge("side", "three-way")
    assert (again.added, again.removed, again.operation) == (0, 0, None)
    # Nor where either goes on in other places.
    manager.add_messages(some(more))
    manager.checkout("side")
    new = some(more)
    manager.add_messages(new)
    manager.checkout("main")
    result = manager.merge("side", "three-way")
    assert (result.added, result.removed) == (len(new), 0)
    assert contents(manager)[: len(settled) - 1] == settled[:-1]
    # It is one again when it is changed again.
    if how == "ours":
        manager.checkout("side")
        manager.edit_message(0, say("side again"))
        manager.checkout("main")
        assert len(manager.merge("side", "three-way", preview=True).conflicts) == 1


changing = st.tuples(st.just("change"), st.booleans(), st.sampled_from(["edit", "edit", "edit", "remove"]), index)
adding = st.tuples(
    st.just("merge"), st.booleans(), st.sampled_from(["append", "append", "interleave", "squash", "three-way"]), index
)


@for_each_store(steps=st.lists(st.one_of(changing, adding), min_size=4, max_size=16))
def test_a_newer_wording_stays_and_is_taken_whatever_was_merged_before(
    manager: Manager, steps: list[tuple[str, bool, str, int]]
) -> None:
    """Each content tells of which message it is and what it was before: ``2 e4 e7``."""
    manager.add_messages([{"content": "0"}, {"content": "1"}])
    manager.fork("b")
    settled: set[frozenset[str]] = set()
    lost: set[str] = set()

    def ours(conflict: merge.Conflict) -> Any:
        if conflict.ours and conflict.theirs:
            mine, other = conflict.ours["content"], conflict.theirs["content"]
            assert not mine.startswith(f"{other} ")
            assert not other.startswith(f"{mine} ")
            assert {mine, other} not in settled
            settled.add(frozenset({mine, other}))
            lost.add(other)
        return "ours"

    for number, (verb, on_main, how, at) in enumerate(steps, 2):
        manager.checkout("main" if on_main else "b")
        held = [message["content"] for message in manager.get_messages()]
        if verb == "merge":
            source = "b" if on_main else "main"
            other = {message["content"].split()[0]: message["content"] for message in manager.get_messages(source)}
            ways = {"squash": merge.squash(f"{number}"), "three-way": merge.three_way(ours)}
            manager.merge(source, ways.get(how, how))
            now = {message["content"].split()[0]: message["content"] for message in manager.get_messages()}
            assert len(now) == len(manager.get_messages())
            for text in held:
                key = text.split()[0]
                if how != "three-way":
                    assert now[key] == text
                elif key in other and other[key].startswith(f"{text} "):
                    assert now[key] == other[key]
                elif key in now:
                    assert now[key] == text or (now[key] == other[key] and text in lost)
            continue
        at %= len(held)
        if how == "edit":
            manager.edit_message(at, {"content": f"{held[at]} e{number}"})
        else:
            manager.remove_messages(at)
        manager.add_message({"content": f"{number}"})  # so that there is something to merge


# -- revert ------------------------------------------------------------------------------------------------------------


@for_each_store(program=programs(growing, growing, editing), brought=texts, later=texts, at=index)
def test_a_revert_takes_out_what_came_and_keeps_what_came_later(
    manager: Manager, program: list[Verb], brought: list[str], later: list[str], at: int
) -> None:
    run(manager, program)
    manager.checkout("main")
    manager.add_message(say("at least one"))
    manager.create_branch("side", "Side", "main", 0)
    manager.checkout("side")
    manager.add_messages(some(brought))
    came = contents(manager)
    manager.checkout("main")
    before = contents(manager)
    number = manager.merge("side").operation
    assert number is not None
    manager.add_messages(some(later))
    manager.edit_message(at % len(before), say("edited since"))
    present = contents(manager)
    reverted = manager.revert(number)
    assert contents(manager) == [line for line in present if line not in came]
    assert last_operation(manager).detail["reverts"] == number
    assert reverted == last_operation(manager).number
    # Nothing is left of it; and the revert can be taken back itself.
    assert manager.revert(number) is None
    manager.revert(reverted)
    assert sorted(contents(manager)) == sorted(present)


@for_each_store(program=programs(growing, growing), at=index, other=index)
def test_a_revert_of_an_edit_or_a_removal_brings_the_message_back(
    manager: Manager, program: list[Verb], at: int, other: int
) -> None:
    run(manager, program)
    manager.checkout("main")
    manager.add_messages(some(["x", "y"]))
    held = contents(manager)
    at, other = at % len(held), other % len(held)
    assume(at != other)
    manager.edit_message(at, say("edited"))
    number = last_operation(manager).number
    manager.edit_message(other, say("edited since"))
    edited = contents(manager)
    manager.revert(number)
    assert contents(manager) == [held[at] if index == at else line for index, line in enumerate(edited)]
    manager.remove_messages(at)
    number = last_operation(manager).number
    manager.revert(number)
    assert contents(manager)[at] == held[at]
    # Where it was changed again, somebody has to say which it shall be.
    manager.edit_message(at, say("edited"))
    number = last_operation(manager).number
    manager.edit_message(at, say("edited twice"))
    twice = contents(manager)
    with pytest.raises(MergeConflictError):
        manager.revert(number)
    assert contents(manager) == twice
    manager.revert(number, lambda _: "theirs")
    assert contents(manager)[at] == held[at]
