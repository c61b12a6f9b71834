"""Importing what grew, forked and changed since: rules 2 and 3 of :mod:`bough.imports`; :mod:`bough.imports.known`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.imports import IncomingBranch, entry
from bough.imports.known import has_grown
from bough.manager import ConversationBranchManager
from bough.model import Message
from bough.stores.base import MAX_ID_BYTES
from bough.stores.memory import MemoryStore
from bough.transfer import paths
from bough.transfer.tree import Conversation, Node

Said = str | Sequence[str]


def node(name: str, text: str | None = None, kind: str = "id") -> Message:
    said = {"role": "user", "content": name.lower() if text is None else text}
    return said if kind == "content" else {**said, "metadata": {"source": "x", kind: name}}


def linear(*messages: Message, branch_id: str = "main") -> list[IncomingBranch]:
    return [IncomingBranch(id=branch_id, name="N", entries=[entry(message) for message in messages])]


def tree(parents: Mapping[str, str | None], leaf: str, texts: Mapping[str, str] | None = None) -> list[IncomingBranch]:
    """A tree of messages with ids, as an import would bring it; ``leaf`` is the end of main."""
    on_main: list[str] = []
    at: str | None = leaf
    while at is not None:
        on_main.append(at)
        at = parents[at]
    order = sorted(parents, key=lambda name: (name not in on_main, list(parents).index(name)))
    nodes: list[Node] = []
    pending: list[str | None] = [None]
    while pending:
        at = pending.pop()
        if at is not None:
            nodes.append(Node(at, parents[at], node(at, (texts or {}).get(at))))
        pending += [name for name in reversed(order) if parents[name] == at]
    made = Conversation(session_id="s", nodes=tuple(nodes), file="f", line=1)
    return [
        IncomingBranch(
            id=path.branch_id,
            name="N",
            entries=[entry(*each.messages()) for each in path.nodes],
            parent_id=path.parent_id,
            shared=path.shared,
        )
        for path in paths(made)
    ]


def shown(manager: ConversationBranchManager) -> dict[str, list[Any]]:
    return {branch.id: [each["content"] for each in branch.messages] for branch in manager.get_all_branches()}


def test_a_message_that_grew_takes_the_place_of_its_half(manager: ConversationBranchManager) -> None:
    for kind in ("id", "place"):
        session = ConversationBranchManager(kind, store=manager.store)
        session.import_branches(linear(node("a", kind=kind), node("b", "Well, I", kind)))
        whole = linear(node("a", kind=kind), node("b", "Well, I think", kind), node("c", kind=kind))
        assert session.import_branches(whole).messages == 2
        assert shown(session) == {"main": ["a", "Well, I think", "c"]}
        assert session.import_branches(whole).operation is None
        assert session.undo().kind == "import"
        assert shown(session) == {"main": ["a", "Well, I"]}


def test_what_was_edited_here_stays(manager: ConversationBranchManager) -> None:
    for kind in ("id", "place", "content"):
        session = ConversationBranchManager(kind, store=manager.store)
        came = linear(*(node(name, kind=kind) for name in "abc"))
        session.import_branches(came)
        session.edit_message(1, {"role": "user", "content": "MINE"})
        assert session.import_branches(came).operation is None
        grown = linear(*(node(name, kind=kind) for name in "abcd"))
        assert session.import_branches(grown).messages == 1
        assert shown(session) == {"main": ["a", "MINE", "c", "d"]}


def test_who_went_back_and_asked_something_else_has_both(manager: ConversationBranchManager) -> None:
    cats = {"a": None, "b": "a", "cats": "b", "purr": "cats"}
    dogs = {**cats, "dogs": "b", "bark": "dogs"}
    manager.import_branches(tree(cats, "purr"))
    result = manager.import_branches(tree(dogs, "bark"))
    assert (result.branches, result.messages) == (1, 2)
    both = {"main": ["a", "b", "dogs", "bark"], "purr": ["a", "b", "cats", "purr"]}
    assert shown(manager) == both
    assert manager.import_branches(tree(dogs, "bark")).operation is None
    assert manager.import_branches(tree(dogs, "purr")).messages == 0
    assert shown(manager) == {"main": both["purr"], "purr": both["purr"], "bark": both["main"]}


def test_what_was_said_here_keeps_its_branch_and_the_other_way_goes_beside_it(
    manager: ConversationBranchManager,
) -> None:
    parents: dict[str, str | None] = {"a": None, "b": "a"}
    manager.import_branches(tree(parents, "b"))
    manager.add_message({"role": "user", "content": "a note"})
    assert manager.import_branches(tree(parents, "b")).operation is None
    parents |= {"c": "b", "side": "b"}
    assert manager.import_branches(tree(parents, "c")).branches == 2
    expected = {"main": ["a", "b", "a note"], "main-2": ["a", "b", "c"], "side": ["a", "b", "side"]}
    assert shown(manager) == expected
    parents |= {"d": "c"}
    assert manager.import_branches(tree(parents, "d")).messages == 1
    assert shown(manager) == {**expected, "main-2": ["a", "b", "c", "d"]}
    assert manager.merge("main-2").added == 2


def test_a_place_is_not_believed_where_something_else_is_said(manager: ConversationBranchManager) -> None:
    """A chat of which the end was deleted, and that went on; another file with lines of the same numbers."""
    manager.import_branches(linear(*(node(f"line-{n}", text, "place") for n, text in enumerate("abc"))))
    other = linear(*(node(f"line-{n}", text, "place") for n, text in enumerate("axyz")))
    assert manager.import_branches(other).messages == 3
    assert shown(manager) == {"main": ["a", "b", "c"], "main-2": ["a", "x", "y", "z"]}
    assert manager.import_branches(other).operation is None


def test_what_is_said_twice_in_a_node_is_two_messages(manager: ConversationBranchManager) -> None:
    once = [IncomingBranch(id="main", name="N", entries=[entry(node("a", "same"))])]
    twice = [IncomingBranch(id="main", name="N", entries=[entry(node("a", "same"), node("a", "same"))])]
    manager.import_branches(once)
    assert manager.import_branches(twice).messages == 1
    assert manager.import_branches(twice).operation is None
    assert shown(manager) == {"main": ["same", "same"]}


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        ({"content": "ab"}, {"content": "abc"}, True),
        ({"content": "ab"}, {"content": "xab"}, False),
        ({"content": "ab"}, {"content": [{"type": "text", "text": "ab"}, {"type": "image_url"}]}, True),
        ({"content": None}, {"content": None, "tool_calls": [{"id": "1"}]}, True),
        ({"content": "x", "tool_calls": [{"id": "1"}]}, {"content": "x"}, False),
        ({"content": "x", "tool_calls": [{"id": "1"}]}, {"content": "x", "tool_calls": [{"id": "2"}]}, False),
        ({"role": "user", "content": "x"}, {"role": "tool", "content": "xy"}, False),
        ({"content": [{"type": "text", "text": "a"}, 5]}, {"content": [{"type": "text", "text": "a"}, 6]}, False),
        ({"content": {"odd": 1}}, {"content": {"odd": 2}}, False),
    ],
)
def test_growth(before: Message, after: Message, grown: bool) -> None:
    assert has_grown(before, after) == grown


@st.composite
def histories(draw: st.DrawFn) -> list[list[IncomingBranch]]:
    """What a program exports from time to time: a tree that grows and forks, with texts that change."""
    parents: dict[str, str | None] = {"n0": None}
    texts: dict[str, str] = {}
    exports = []
    for _ in range(draw(st.integers(1, 4))):
        for _ in range(draw(st.integers(0, 4))):
            name = f"n{len(parents)}"
            parents[name] = draw(st.sampled_from(list(parents)))
        for name in draw(st.lists(st.sampled_from(list(parents)), max_size=2)):
            texts[name] = texts.get(name, name) + "!"
        leaves = [name for name in parents if name not in parents.values()]
        exports.append(tree(parents, draw(st.sampled_from(leaves)), texts))
    return exports


@given(histories())
@settings(max_examples=60)
def test_an_import_in_steps_comes_to_what_the_last_one_alone_does(exports: list[list[IncomingBranch]]) -> None:
    step_by_step = ConversationBranchManager("s", store=MemoryStore())
    for export in exports:
        step_by_step.import_branches(export)
    assert step_by_step.import_branches(exports[-1]).operation is None
    at_once = ConversationBranchManager("s", store=MemoryStore())
    at_once.import_branches(exports[-1])
    steps = shown(step_by_step)
    assert {name: steps.get(name) for name in shown(at_once)} == shown(at_once)
    assert list(step_by_step.store.verify("s")) == []


@given(histories(), st.data())
@settings(max_examples=60)
def test_what_was_added_here_is_never_lost(exports: list[list[IncomingBranch]], data: st.DataObject) -> None:
    manager = ConversationBranchManager("s", store=MemoryStore())
    notes: dict[str, str] = {}
    for number, export in enumerate(exports):
        manager.import_branches(export)
        name = data.draw(st.sampled_from(sorted(shown(manager))))
        manager.checkout(name)
        manager.add_message({"role": "user", "content": f"note {number}"})
        notes[f"note {number}"] = name
    manager.import_branches(exports[-1])
    after = shown(manager)
    assert all(note in after[name] for note, name in notes.items())
    for branch in exports[-1]:  # all that the program has is on some branch, behind one another
        ends = [each.messages()[0]["content"] for each in branch.entries[-1:]]
        assert not ends or any(ends[0] in said for said in after.values())
    assert manager.import_branches(exports[-1]).operation is None


FORKED: dict[str, str | None] = {"a": None, "b": "a", "c": "a"}


def test_an_edit_of_ours_is_on_some_branch_whichever_way_the_program_went(manager: ConversationBranchManager) -> None:
    manager.import_branches(tree({"a": None, "b": "a"}, "b"))
    manager.import_branches(tree(FORKED, "b", {"a": "a!"}))
    manager.edit_message(0, {"role": "user", "content": "MINE"})
    manager.import_branches(tree(FORKED, "c", {"a": "a!"}))
    assert shown(manager)["main"] == ["MINE", "b"]
    assert manager.import_branches(tree(FORKED, "c", {"a": "a!"})).operation is None


def test_what_was_written_here_under_an_id_of_the_program_stays(manager: ConversationBranchManager) -> None:
    came = linear(*(node(name) for name in "abc"))
    manager.import_branches(came)
    manager.set_messages([node("a"), node("b", "MINE"), node("c")])
    assert manager.import_branches(came).operation is None
    assert shown(manager) == {"main": ["a", "MINE", "c"]}


def test_a_merge_that_was_made_here_is_not_undone(manager: ConversationBranchManager) -> None:
    parents: dict[str, str | None] = {"a": None, "b": "a", "c": "b", "side": "b"}
    manager.import_branches(tree(parents, "c"))
    manager.merge("side")
    manager.import_branches(tree({**parents, "d": "c"}, "d"))
    after = shown(manager)
    assert (after["main"], after["main-2"]) == (["a", "b", "c", "side"], ["a", "b", "c", "d"])


def test_what_was_edited_here_is_known_where_the_program_went_on(manager: ConversationBranchManager) -> None:
    manager.import_branches(linear(node("a", "Well", "place")))
    manager.edit_message(0, {"role": "user", "content": "MINE"})
    grown = linear(node("a", "Well, I", "place"), node("b", kind="place"))
    assert manager.import_branches(grown).messages == 1
    assert shown(manager) == {"main": ["MINE", "b"]}
    assert manager.import_branches(grown).operation is None


def test_the_program_may_take_a_change_back(manager: ConversationBranchManager) -> None:
    for text in ("b", "b!", "b"):
        manager.import_branches(linear(node("a"), node("b", text)))
        assert shown(manager) == {"main": ["a", text]}


def test_all_that_is_here_was_written_anew(manager: ConversationBranchManager) -> None:
    manager.import_branches(linear(*(node(name) for name in "ab")))
    manager.set_messages([{"role": "user", "content": "a summary"}])
    assert manager.import_branches(linear(*(node(name) for name in "abc"))).branches == 1
    assert shown(manager) == {"main": ["a summary"], "main-2": ["a", "b", "c"]}


def test_a_branch_beside_one_with_the_longest_name(manager: ConversationBranchManager) -> None:
    name = "x" * MAX_ID_BYTES
    manager.import_branches(linear(node("a"), branch_id=name))
    manager.checkout(name)
    manager.add_message({"role": "user", "content": "note"})
    manager.import_branches(linear(node("a"), node("b"), branch_id=name))
    assert shown(manager)[name[:-2] + "-2"] == ["a", "b"]
    manager.checkout("main")
    assert list(manager.store.verify("talk")) == []


def test_where_a_branch_left_its_parent_is_said_only_where_it_is_true(manager: ConversationBranchManager) -> None:
    parents: dict[str, str | None] = {"a": None, "b": "a", "c": "b"}
    manager.import_branches(tree(parents, "c"))
    manager.set_messages([{"role": "user", "content": "note"}, *manager.get_messages()])
    assert manager.import_branches(tree(parents, "c")).operation is None  # all of it is there
    manager.import_branches(tree({**parents, "side": "b"}, "c"))
    found = {branch.id: (branch.parent_id, branch.parent_message_index) for branch in manager.get_all_branches()}
    assert found == {"main": (None, None), "side": (None, None)}


def test_an_edit_of_one_branch_does_not_come_to_another(manager: ConversationBranchManager) -> None:
    def side(*names: str) -> IncomingBranch:
        entries = [entry(node(name)) for name in names]
        return IncomingBranch(id="side", name="N", entries=entries, parent_id="main", shared=1)

    manager.import_branches([*linear(node("a"), node("b")), side("c")])
    manager.edit_message(0, {"role": "user", "content": "MINE"})
    manager.import_branches([*linear(node("a"), node("b")), side("c", "d")])
    assert shown(manager) == {"main": ["MINE", "b"], "side": ["a", "c", "d"]}


def test_an_id_that_comes_twice_is_two_messages(manager: ConversationBranchManager) -> None:
    twice = [node("a", "x"), node("b"), node("a", "x")]
    manager.import_branches(linear(*twice))
    assert manager.import_branches(linear(*twice, node("c"))).messages == 1
    assert shown(manager) == {"main": ["x", "b", "x", "c"]}


def test_what_nobody_described_gets_the_name_that_comes_in(manager: ConversationBranchManager) -> None:
    manager.rename_branch("main", "Mine")
    manager.import_branches(linear(node("a")))
    assert manager.get_current_branch().name == "Mine"
