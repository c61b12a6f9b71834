"""Trees of messages and the branches they become. Numbers cite the guarantees of ``bough.transfer.tree``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.errors import InvalidIdError
from bough.model import Message
from bough.stores.base import check_id
from bough.transfer import Conversation, Node, normal, paths
from bough.transfer.tree import Entry, Path, grow, node_id


def conversation(nodes: dict[str, str | None], *, title: str | None = None) -> Conversation:
    """A tree of ``{id: parent id}``."""
    return Conversation(
        session_id="s",
        nodes=tuple(Node(id_, parent_id, {"role": "user", "content": id_}) for id_, parent_id in nodes.items()),
        file="f.jsonl",
        line=1,
        title=title,
    )


def whole(found: Iterable[Path]) -> dict[str, list[Node]]:
    """All the nodes along each branch, also those that it shares with its parent."""
    along: dict[str, list[Node]] = {}
    for path in found:
        shared = [] if path.parent_id is None else along[path.parent_id][: path.shared]
        assert len(shared) == path.shared
        along[path.branch_id] = [*shared, *path.nodes]
    return along


def branches(nodes: dict[str, str | None]) -> list[tuple[str, str]]:
    """(branch id, the ids along it) of each branch."""
    return [(id_, "".join(node.id for node in along)) for id_, along in whole(paths(conversation(nodes))).items()]


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
    for along in whole(found).values():
        assert [node.parent_id for node in along] == [None, *(node.id for node in along)][: len(along)]
    assert sorted(node.id for path in found for node in path.nodes) == sorted(parents)  # each the own of one branch


def test_a_conversation_may_be_longer_than_the_stack_is_deep() -> None:
    """Guarantee 3."""
    turns = 20 * sys.getrecursionlimit()
    parents = {str(turn): str(turn - 1) if turn else None for turn in range(turns)}
    parents["fork"] = str(turns // 2)
    main, fork = paths(conversation(parents))
    assert len(main.nodes) == turns
    assert (fork.parent_id, fork.shared, [node.id for node in fork.nodes]) == ("main", turns // 2 + 1, ["fork"])


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


def entry(id_: str, parent_id: str | None, text: str | None = "", line: int = 0) -> Entry:
    """One with a message that says its id, or ``text``; None for one without messages."""
    return Entry(id_, parent_id, [] if text is None else {"role": "user", "content": text or id_}, line)


class TestGrow:
    """Any entries become a tree (guarantees 1 and 4)."""

    def grown(self, *entries: Entry, leaf: str | None = None) -> tuple[dict[str, str | None], list[str]]:
        """Each node's parent, and the reasons of the defects."""
        nodes, defects = grow(entries, file="f", line=7, leaf=leaf)
        Conversation(session_id="s", nodes=nodes, file="f", line=7)
        return {node.id: node.parent_id for node in nodes}, [str(defect) for defect in defects]

    def test_the_order_of_entries_is_not_believed(self) -> None:
        assert self.grown(entry("c", "b"), entry("b", "a"), entry("a", None)) == ({"a": None, "b": "a", "c": "b"}, [])

    def test_the_leaf_leads_along_main(self) -> None:
        entries = [entry("a", None), entry("b", "a"), entry("c", "a"), entry("x", None), entry("y", "x")]
        assert list(self.grown(*entries)[0]) == ["a", "b", "c", "x", "y"]
        assert list(self.grown(*entries, leaf="c")[0]) == ["a", "c", "b", "x", "y"]
        assert list(self.grown(*entries, leaf="y")[0]) == ["x", "y", "a", "b", "c"]
        assert list(self.grown(*entries, leaf="nobody")[0]) == ["a", "b", "c", "x", "y"]

    def test_an_entry_without_messages_joins_its_children_to_the_one_above(self) -> None:
        entries = [entry("top", None, None), entry("a", "top"), entry("gap", "a", None), entry("b", "gap")]
        assert self.grown(*entries) == ({"a": None, "b": "a"}, [])

    def test_an_orphan_begins_anew(self) -> None:
        assert self.grown(entry("a", None), entry("b", "lost", line=3)) == (
            {"a": None, "b": None},
            ["f:3: the parent 'lost' of 'b' is missing; it begins anew"],
        )

    def test_a_circle_is_cut_at_its_first_entry(self) -> None:
        assert self.grown(entry("x", "b"), entry("a", "c"), entry("b", "a"), entry("c", "b")) == (
            {"a": None, "b": "a", "x": "b", "c": "b"},
            ["f:7: the parents of 'a' go round in a circle; it begins anew"],
        )

    def test_the_same_again_is_passed_over_and_something_else_is_told(self) -> None:
        assert self.grown(entry("a", None), entry("a", None), entry("a", None, "other", line=4)) == (
            {"a": None},
            ["f:4: a second message has the id 'a'"],
        )

    @given(st.lists(st.tuples(st.integers(0, 12), st.integers(-1, 14), st.booleans()), max_size=20))
    def test_whatever_the_parents_each_entry_comes_out_once(self, drawn: list[tuple[int, int, bool]]) -> None:
        entries = [
            entry(f"n{id_}", None if parent < 0 else f"n{parent}", "" if said else None) for id_, parent, said in drawn
        ]
        first: dict[str, Entry] = {}
        for each in entries:
            first.setdefault(each.id, each)
        found, _ = self.grown(*entries)
        assert sorted(found) == sorted(each.id for each in first.values() if each.content)

    @pytest.mark.parametrize("text", ["", "main", "a\0", "\ud800", "é" * 600])
    def test_an_id_that_could_not_name_a_branch_is_marked(self, text: str) -> None:
        assert check_id(node_id(text)) not in ("main", text)

    def test_ids_that_look_alike_when_they_are_marked_stay_apart(self) -> None:
        ids = ["main", "main?", "0?main", "x" * 600, "x" * 601, "", "?"]
        found, defects = self.grown(*(entry(id_, None) for id_ in ids))
        assert (len(found), defects) == (len(ids), [])
        assert {"main?", "0?main", "?"} <= found.keys()

    @pytest.mark.parametrize("other", ["c\ud800", "c?", "c\0", "x" * 600, "x" * 601, "x" * 512])
    def test_ids_that_had_to_be_changed_stay_apart_without_asking(self, other: str) -> None:
        alike = {"c\ud800", "c?", "c\0", "x" * 600, "x" * 601, "x" * 512} - {other}
        assert node_id(other) not in map(node_id, alike)

    def test_an_id_that_can_name_a_branch_is_kept(self) -> None:
        assert node_id("Main é/x" + "y" * 500) == "Main é/x" + "y" * 500


def test_messages_are_read_when_they_are_asked_for() -> None:
    asked: list[int] = []

    def read() -> list[Message]:
        asked.append(1)
        return [{"role": "user"}]

    [node] = grow([Entry("a", None, read)], file="f")[0]
    assert not asked
    assert node.messages() == [{"role": "user"}]
    assert Node("a", None, {"x": 1}).messages() == [{"x": 1}]
    assert Node("a", None, [{"x": 1}, {"y": 2}]).messages() == [{"x": 1}, {"y": 2}]


@pytest.mark.parametrize("beginning", ["", "x" * 600], ids=["usual", "ids that begin alike"])
def test_the_cost_of_a_tree_grows_with_its_size_and_no_faster(beginning: str) -> None:
    """Also where each parent stands before its child: the usual file."""

    def cost(count: int) -> float:
        ids = [f"{beginning}{number}" for number in range(count)]
        entries = [entry(id_, above) for id_, above in zip(ids, [None, *ids], strict=False)]
        costs = []
        for _ in range(3):
            begin = process_time()
            grow(entries, file="f")
            costs.append(process_time() - begin)
        return min(costs)

    assert cost(16_000) < 30 * cost(2_000)  # 8 as it is; a square would be 64


def test_a_title_is_cut_where_it_is_too_long_and_is_no_id() -> None:
    assert normal.title("é" * 300) == "é" * 256
    assert normal.title("cut \ud83d\0") == "cut ?\ufffd"
    assert normal.title("main") == "main"
    assert (normal.title(""), normal.title(5)) == (None, None)
