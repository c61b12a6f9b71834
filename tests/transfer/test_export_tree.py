"""What is exported and the tree it makes: runs, merges, and the formats that are made of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from export_kit import branch, exported, hostile, memory, merged, say, written
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.manager import ConversationBranchManager
from bough.model import History, Message
from bough.stores.memory import MemoryStore
from bough.transfer import Conversation, paths, read_conversations
from bough.transfer.export import EXPORTS, Exported, heard, without_metadata
from bough.transfer.export.mermaid import escaped
from bough.transfer.export.tree import Tree, identities, plant

Way = list[tuple[str, int]]


def way_to(tree: Tree, pieces: History) -> Way:
    at, runs = tree.ends[pieces], []
    while at is not tree.root:
        runs.append(at)
        assert at.parent is not None
        at = at.parent
    return [each for run in reversed(runs) for each in identities(run.pieces)]


STEPS = st.lists(
    st.tuples(st.sampled_from(["say", "fork", "merge", "switch", "edit", "cut"]), st.integers(0, 6), st.integers(0, 6)),
    max_size=14,
)


def played(steps: list[tuple[str, int, int]]) -> ConversationBranchManager:
    """A session that came about by some steps."""
    manager = memory()
    for number, (verb, one, other) in enumerate(steps):
        names = sorted(each.id for each in manager.get_all_branches())
        length = len(manager.get_messages())
        chosen = names[one % len(names)]
        if verb == "say":
            manager.add_messages(say(*(f"{number}.{each}" for each in range(other + 1))))
        elif verb == "fork":
            manager.fork_from_message(f"b{number}", one % (length + 1))
        elif verb == "switch":
            manager.checkout(chosen)
        elif verb == "merge" and chosen != manager.get_current_branch_id():
            manager.merge(chosen, ["append", "interleave", "replace"][other % 3])
        elif verb == "edit" and length:
            manager.edit_message(one % length, {"role": "user", "content": f"edit {number}"})
        elif verb == "cut" and length:
            manager.remove_messages(one % length, one % length + 1)
    return manager


@settings(max_examples=60)
@given(STEPS)
def test_the_way_to_a_branch_is_its_history(steps: list[tuple[str, int, int]]) -> None:
    talk = exported(played(steps))
    for merges in (False, True):
        tree = plant(talk, merges=merges)
        for record in talk.branches:
            assert way_to(tree, record.history) == list(identities(record.history))
            assert record in tree.ends[record.history].branches
        for run in tree.runs:
            assert run.pieces
            assert run.parent is not None
            assert run.parent.children[next(identities(run.pieces))] is run
            assert run.start == run.parent.stop
            assert run.parent.number < run.number or run.parent is tree.root
            first = [talk.branches.index(child.leader) for child in run.children.values() if child.leader]
            assert first == sorted(set(first))
        if not merges:
            everything = [each for run in tree.runs for each in identities(run.pieces)]
            assert all(run.leader is not None for run in tree.runs)
            assert set(everything) == {each for record in talk.branches for each in identities(record.history)}


@settings(max_examples=60)
@given(STEPS)
def test_every_format_takes_every_session(steps: list[tuple[str, int, int]]) -> None:
    manager = played(steps)
    for name, export in EXPORTS.items():
        told: list[int] = []
        again = b"".join(export.write(heard(exported(manager), told.append)))
        assert again == written(name, manager)
        assert sum(told) == export.reads(exported(manager)), name


def test_a_merge_brings_nothing_that_was_not_asked_for() -> None:
    manager = merged()
    assert [merge.source for merge in exported(manager).merges] == ["idea", "main"]
    assert exported(manager, "main").merges == ()
    assert [merge.source for merge in exported(manager, "main", "idea").merges] == ["idea"]
    assert [tag.name for tag in exported(manager, "main").tags] == []
    assert [tag.name for tag in exported(manager, "idea").tags] == ["v1"]


def test_what_was_purged_is_not_looked_for() -> None:
    manager = memory()
    manager.add_messages(say("a", "b"))
    branch(manager, "side", 1, "secret", "s")
    manager.merge("side")
    manager.delete_branch("side")
    manager.purge("main:3")
    for name in EXPORTS:
        assert b"secret" not in written(name, manager)


# -- ChatGPT ----------------------------------------------------------------------------------------------------------


def conversation(path: Path, content: bytes) -> Conversation:
    path.write_bytes(content)
    found = list(read_conversations(path))
    assert len(found) == 1, found
    assert isinstance(found[0], Conversation)
    return found[0]


def leaves(talk: Exported) -> list[list[Message]]:
    """The branches that are the beginning of no other, as messages."""
    tree = plant(talk)
    return [list(talk.read(pieces)) for pieces, run in tree.ends.items() if pieces and not run.children]


@settings(max_examples=40)
@given(STEPS)
def test_the_same_tree_comes_back_from_chatgpts_format(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    manager = played(steps)
    talk = exported(manager)
    found = conversation(tmp_path_factory.mktemp("x") / "c.json", written("chatgpt", manager))
    ways: dict[str, list[Any]] = {}
    for node in found.nodes:
        ways[node.id] = [*ways.get(node.parent_id or "", []), *node.messages()]
    ends = ways.keys() - {node.parent_id for node in found.nodes}
    wanted = leaves(talk)
    assert len(ends) == len(wanted)
    assert all(ways[end] in wanted for end in ends)
    if talk.shown.history in plant(talk).ends and not plant(talk).ends[talk.shown.history].children and found.nodes:
        main = next(paths(found))
        assert [message for node in main.nodes for message in node.messages()] == list(talk.read(talk.shown.history))


def test_a_tree_as_chatgpt_says_it(tmp_path: Path) -> None:
    manager = merged()
    [made] = json.loads(written("chatgpt", manager))
    mapping = made["mapping"]
    assert made["title"] == "Main conversation"
    for name, node in mapping.items():
        assert node["id"] == name
        assert all(mapping[child]["parent"] == name for child in node["children"])
        assert name == "root" or name in mapping[node["parent"]]["children"]
    [segment] = {segment for segment, _ in identities(manager.resolve("main:4").history)}
    assert made["current_node"].startswith(segment)
    last = mapping[made["current_node"]]["message"]
    assert last["content"] == {"content_type": "text", "parts": ["seven"]}
    assert last["author"]["role"] == "user"
    copies = [name for name in mapping if "~" in name]
    assert len(copies) > 2  # what was merged
    twice = conversation(tmp_path / "c.json", written("chatgpt", manager))
    assert len(twice.nodes) == len(mapping) - 1


def test_a_message_without_keys_comes_back_from_chatgpts_format(tmp_path: Path) -> None:
    with ConversationBranchManager("s", store=MemoryStore()) as manager:
        manager.add_messages([{"role": "user", "content": "hi"}, {}])
        found = conversation(tmp_path / "c.json", written("chatgpt", manager))
    assert [node.messages() for node in found.nodes] == [[{"role": "user", "content": "hi"}], [{}]]


# -- lines ------------------------------------------------------------------------------------------------------------


def test_a_line_a_branch(tmp_path: Path) -> None:
    manager = merged()
    manager.create_branch("empty", "empty")
    manager.add_messages([{"role": "user", "content": "\u2028 \U0001f600 é", "n": 2**70, "metadata": {"id": 1}}])
    lines = written("openai-chat", manager).split(b"\n")
    assert lines.pop() == b""
    names = [record.id for record in exported(manager).branches if record.history]
    assert [json.loads(line)["messages"] for line in lines] == [manager.get_messages(name) for name in names]
    plain = b"".join(EXPORTS["openai-chat"].write(without_metadata(exported(manager, "main"))))
    assert "metadata" not in json.loads(plain)["messages"][-1]
    (tmp_path / "x.jsonl").write_bytes(written("openai-chat", manager))
    assert len(list(read_conversations(tmp_path / "x.jsonl"))) == len(names)


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "Rome"}'}}
TALK: list[Message] = [
    {"role": "system", "content": "Be brief"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "see "}, {"type": "image_url", "image_url": {"url": "u://1"}}],
    },
    {"role": "assistant", "content": "let me look", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "It is sunny"}]},
]


def test_sharegpt_comes_back(tmp_path: Path) -> None:
    manager = memory()
    manager.add_messages(TALK)
    content = written("sharegpt", manager)
    line = json.loads(content)
    assert line["id"] == "talk/main"
    assert line["images"] == ["u://1"]
    assert line["conversations"] == [
        {"from": "system", "value": "Be brief"},
        {"from": "human", "value": "see \n<image>"},
        {"from": "gpt", "value": "let me look"},
        {"from": "function_call", "value": '{"name":"look","arguments":{"at": "Rome"}}'},
        {"from": "observation", "value": "sunny"},
        {"from": "gpt", "value": "[thinking: hm]\nIt is sunny"},
    ]
    found = conversation(tmp_path / "s.jsonl", content)
    back = [message for node in found.nodes for message in node.messages()]
    assert [message["role"] for message in back] == ["system", "user", "assistant", "assistant", "tool", "assistant"]
    assert back[3]["tool_calls"][0]["function"]["name"] == "look"
    assert back[4]["tool_call_id"] == back[3]["tool_calls"][0]["id"]
    manager.add_messages([{"role": text, "content": text, "tool_calls": [text, None, {}]} for text in hostile()])
    assert len(written("sharegpt", manager).split(b"\n")) == 2
    json.loads(written("sharegpt", manager))


@pytest.mark.parametrize("name", ["openai-chat", "chatgpt", "html", "markdown", "git", "sharegpt"])
def test_memory_does_not_grow_with_the_conversation(name: str, tmp_path: Path) -> None:
    """Ten times as many messages, the same peak: they come in blocks, and nothing is kept of them."""
    peaks = []
    for size in (1_000, 10_000):
        with ConversationBranchManager("talk", store=f"sqlite:{tmp_path / str(size)}") as manager:
            for _ in range(size // 1000):
                manager.add_messages(say(*["x" * 200] * 1000))
            talk = exported(manager)
            tracemalloc.start()
            total = sum(len(part) for part in EXPORTS[name].write(talk))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert total > size * 200
    assert peaks[1] < 1.5 * peaks[0], peaks


# -- drawings ---------------------------------------------------------------------------------------------------------


def test_drawings_fold_runs_and_join_merges() -> None:
    manager = memory()
    manager.add_messages(say(*(f"say {number}" for number in range(10))))
    branch(manager, "idea", 4, "one", "two")
    manager.merge("idea")
    mermaid = written("mermaid", manager).decode()
    assert mermaid.splitlines() == [
        "flowchart TD",
        '  n1["4 messages, 1 to 4<br/>user#58; say 0"]',
        '  n2["6 messages, 5 to 10<br/>user#58; say 4"]',
        '  n3(["main<br/>2 messages, 11 to 12<br/>user#58; one"])',
        '  n4(["idea<br/>2 messages, 5 to 6<br/>user#58; one"])',
        "  n1 --- n2",
        "  n2 --- n3",
        '  n4 -. "merge append" .-> n3',
        "  n1 --- n4",
    ]
    dot = written("graphviz", manager).decode()
    assert '  n3 [label="main\\n2 messages, 11 to 12\\nuser: one", penwidth=2];\n' in dot
    assert '  n4 -> n3 [style=dashed, arrowhead=normal, constraint=false, label="merge (append)"];\n' in dot


def test_an_emoji_of_several_stays_one() -> None:
    manager = memory()
    manager.add_messages(say("see \U0001f469\u200d\U0001f467 \u202e\u0000x"))
    assert "user: see \U0001f469\u200d\U0001f467 x" in written("graphviz", manager).decode()
    assert "user: see \U0001f469\u200d\U0001f467 x\n" in written("git", manager).decode()


def hostile_session() -> ConversationBranchManager:
    manager = memory()
    for text in hostile():
        manager.add_messages([{"role": text, "content": text}])
        branch(manager, text.replace("\0", ""), 1, text)
    return manager


@given(st.text())
def test_a_label_of_mermaid_is_nothing_but_letters_and_numbers(text: str) -> None:
    assert re.fullmatch(r"([\w ,]|#\d+;)*", escaped(text))
    assert "_" not in escaped(text)


def test_hostile_names_stay_in_mermaids_labels() -> None:
    head, *lines = written("mermaid", hostile_session()).decode().split("\n")[:-1]
    assert head == "flowchart TD"
    for line in lines:
        assert re.fullmatch(r'  n\d+(\(\["[^"]*"\]\)|\["[^"]*"\])|  n\d+ --- n\d+', line), line
        assert not re.search(r"[<>`$]", line.replace("<br/>", ""))


def test_hostile_names_stay_in_dots_strings() -> None:
    dot = written("graphviz", hostile_session()).decode()
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "S", dot)
    for line in bare.splitlines()[3:-1]:
        assert re.fullmatch(r"  n\d+ \[label=S(, penwidth=2)?\];|  n\d+ -> n\d+;", line), line


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz")
def test_graphviz_reads_it() -> None:
    for manager in (merged(), hostile_session(), memory()):
        content = written("graphviz", manager)
        done = subprocess.run(["dot", "-Tcanon"], input=content, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_chain_of_forks_is_no_recursion_and_no_square() -> None:
    manager = ConversationBranchManager("talk", store=MemoryStore())
    for number in range(700):
        manager.add_messages(say(f"m{number}", f"n{number}"))
        manager.fork_from_message(f"b{number}", 2 * number + 1)
        manager.add_messages(say(f"o{number}"))
    talk = exported(manager)
    assert len(plant(talk).runs) > 1000
    for name in ("html", "git", "mermaid", "chatgpt", "markdown"):
        assert sum(1 for _ in EXPORTS[name].write(talk))
