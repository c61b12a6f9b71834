"""Trees and their text from records that no verb of ours makes: circles, orphans, odd names, great depth."""

from __future__ import annotations

import pytest

from bough.branch import BranchTree
from bough.changes import change, put_new
from bough.manager import ConversationBranchManager
from bough.model import Put, replace
from bough.stores.base import Store
from bough.stores.memory import MemoryStore


def plant(store: Store, **parents: str | None) -> ConversationBranchManager:
    """A session with main and these branches, each made after the one before it."""
    ConversationBranchManager("talk", store=store)
    puts = [put_new(branch_id, branch_id.upper()) for branch_id in parents]
    store.commit("talk", change("import", *map(with_parent, puts, parents.values())))
    return ConversationBranchManager("talk", store=store, create=False)


def with_parent(put: Put, parent_id: str | None) -> Put:
    return replace(put, record=replace(put.record, parent_id=parent_id))


def outline(trees: list[BranchTree] | tuple[BranchTree, ...]) -> list[object]:
    return [[tree.branch.id, *outline(tree.children)] for tree in trees]


def test_a_parent_that_is_not_there_makes_a_root(store: Store) -> None:
    manager = plant(store, a="gone", b="a")
    assert outline(manager.get_branch_tree()) == [["main"], ["a", ["b"]]]
    assert [branch.id for branch in manager.get_branch_history("b")] == ["a", "b"]
    assert manager.format_branch_tree().split("\n")[1:] == [
        "a “A”, 0 messages, from gone",
        "└── b “B”, 0 messages, from a",
    ]


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ({"a": "a"}, [["main"], ["a"]]),
        ({"a": "b", "b": "a"}, [["main"], ["a", ["b"]]]),
        ({"a": "b", "b": "c", "c": "a"}, [["main"], ["a", ["c", ["b"]]]]),
        ({"a": "b", "b": "c", "c": "b"}, [["main"], ["b", ["a"], ["c"]]]),
        ({"a": "main", "b": "a", "c": "d", "d": "c"}, [["main", ["a", ["b"]]], ["c", ["d"]]]),
    ],
)
def test_a_circle_of_parents_shows_each_branch_once(
    store: Store, parents: dict[str, str | None], expected: list[object]
) -> None:
    manager = plant(store, **parents)
    assert outline(manager.get_branch_tree()) == expected
    for branch_id in parents:
        line = [branch.id for branch in manager.get_branch_history(branch_id)]
        assert line[-1] == branch_id
        assert len(set(line)) == len(line)


def test_lines_are_right_at_every_depth() -> None:
    manager = plant(MemoryStore(), a="main", b="a", c="b", d="a", e="main", f="e")
    shape = [line.split(" “")[0] for line in manager.format_branch_tree().split("\n")]
    assert shape == [
        "main",
        "├── a",
        "│   ├── b",
        "│   │   └── c",
        "│   └── d",
        "└── e",
        "    └── f",
    ]


def test_a_chain_of_forks_may_be_longer_than_the_stack() -> None:
    names = [f"b{number:04}" for number in range(3000)]
    manager = plant(MemoryStore(), **dict(zip(names, ["main", *names], strict=False)))
    [root] = manager.get_branch_tree()
    depth = 0
    while root.children:
        [root] = root.children
        depth += 1
    assert depth == 3000
    assert len(manager.get_branch_history("b2999")) == 3001
    assert manager.format_branch_tree().count("\n") == 3000


def test_a_name_cannot_break_a_line_or_steer_a_terminal(store: Store) -> None:
    manager = plant(store)
    manager.rename_branch("main", "two\nlines \x1b[31m\u202e 会話")
    assert manager.format_branches() == "* main “two\\nlines \\x1b[31m\\u202e 会話”, 0 messages"
