"""Trees of messages and the branches they become. Numbers cite the guarantees of ``bough.transfer.tree``."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.errors import InvalidIdError
from bough.transfer import Conversation, Node, paths


def conversation(nodes: dict[str, str | None], *, title: str | None = None) -> Conversation:
    """A tree of ``{id: parent id}``."""
    return Conversation(
        session_id="s",
        nodes=tuple(Node(id_, parent_id, {"role": "user", "content": id_}) for id_, parent_id in nodes.items()),
        file="f.jsonl",
        line=1,
        title=title,
    )


def branches(nodes: dict[str, str | None]) -> list[tuple[str, str]]:
    """(branch id, the ids along it) of each branch."""
    return [(path.branch_id, "".join(node.id for node in path.nodes)) for path in paths(conversation(nodes))]


def test_the_first_of_several_replies_leads_along_main() -> None:
    assert branches({"a": None, "b": "a", "c": "a", "d": "b", "e": "b", "f": "c"}) == [
        ("main", "abd"),
        ("e", "abe"),
        ("f", "acf"),
    ]


def test_the_order_of_replies_is_all_that_the_order_of_nodes_means() -> None:
    assert branches({"a": None, "b": "a", "d": "b", "e": "b", "c": "a", "f": "c"}) == [
        ("main", "abd"),
        ("e", "abe"),
        ("f", "acf"),
    ]


def test_a_linear_conversation_is_main_alone() -> None:
    assert branches({"a": None, "b": "a", "c": "b"}) == [("main", "abc")]


def test_several_roots() -> None:
    assert branches({"a": None, "x": None, "b": "a", "y": "x"}) == [("main", "ab"), ("y", "xy")]


def test_no_messages_are_an_empty_main() -> None:
    assert branches({}) == [("main", "")]


def test_branches_are_named_for_the_title_and_for_their_leaf() -> None:
    tree: dict[str, str | None] = {"a": None, "b": "a", "c": "a"}
    assert [path.name for path in paths(conversation(tree, title="On trees"))] == ["On trees", "c"]
    assert [path.name for path in paths(conversation(tree))] == ["main", "c"]
    assert [path.name for path in paths(conversation({}, title="On trees"))] == ["On trees"]


@given(st.lists(st.integers(-1, 30), max_size=30))
def test_each_leaf_ends_one_branch_and_each_node_is_on_one(choices: list[int]) -> None:
    """Guarantee 2, against the parent links themselves."""
    parents = {
        str(number): None if choice < 0 or not number else str(choice % number) for number, choice in enumerate(choices)
    }
    found = list(paths(conversation(parents)))
    leaves = set(parents) - set(parents.values())
    assert len(found) == max(1, len(leaves))
    assert [path.branch_id for path in found][1:] == [path.nodes[-1].id for path in found[1:]]
    assert {path.nodes[-1].id for path in found if path.nodes} == leaves
    for path in found:
        assert [node.parent_id for node in path.nodes] == [None, *(node.id for node in path.nodes)][: len(path.nodes)]


def test_a_conversation_may_be_longer_than_the_stack_is_deep() -> None:
    """Guarantee 3."""
    turns = 20 * sys.getrecursionlimit()
    parents = {str(turn): str(turn - 1) if turn else None for turn in range(turns)}
    parents["fork"] = str(turns // 2)
    assert [len(path.nodes) for path in paths(conversation(parents))] == [turns, turns // 2 + 2]


class TestRefused:
    """Guarantee 1."""

    @pytest.mark.parametrize(
        ("nodes", "reason"),
        [
            ([("a", None), ("a", None)], "two messages have the id 'a'"),
            ([("a", None), ("b", "x")], "parent 'x' of message 'b'"),
            ([("b", "a"), ("a", None)], "parent 'a' of message 'b'"),
            ([("a", "a")], "parent 'a' of message 'a'"),
        ],
    )
    def test_what_is_no_tree(self, nodes: list[tuple[str, str | None]], reason: str) -> None:
        with pytest.raises(ValueError, match=reason):
            Conversation(session_id="s", nodes=tuple(Node(*node, {}) for node in nodes), file="f", line=1)

    @pytest.mark.parametrize("bad", ["", "a\0", "\ud800", "x" * 513, "main"])
    def test_an_id_that_no_branch_can_have(self, bad: str) -> None:
        with pytest.raises(InvalidIdError):
            conversation({bad: None})

    def test_an_id_that_no_session_can_have(self) -> None:
        with pytest.raises(InvalidIdError):
            Conversation(session_id="", nodes=(), file="f", line=1)
