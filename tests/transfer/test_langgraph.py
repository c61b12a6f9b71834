"""LangGraph checkpoints, as langgraph-checkpoint-sqlite 3.1.2 wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from golden_kit import expected
from hypothesis import given, settings
from hypothesis import strategies as st
from sql_kit import CHANGES, all_of, built, change, golden_tree

from bough.transfer import Conversation, Defect, Node, paths, read_conversations

GOLDEN = "langgraph/checkpoints.sql"
SCHEMA = (
    "CREATE TABLE checkpoints (thread_id TEXT, checkpoint_ns TEXT DEFAULT '', checkpoint_id TEXT, parent_checkpoint_id"
    " TEXT, type TEXT, checkpoint BLOB, metadata BLOB, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id))",
    "CREATE TABLE writes (thread_id TEXT, checkpoint_ns TEXT DEFAULT '', checkpoint_id TEXT, task_id TEXT, idx INTEGER,"
    " channel TEXT, type TEXT, value BLOB, PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx))",
)


def test_golden(tmp_path: Path) -> None:
    assert golden_tree(tmp_path, GOLDEN) == expected("langgraph")


def ext(code: int, value: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, msgspec.msgpack.encode(value))


def said(kind: str, id_: str | None, content: Any, **more: Any) -> Any:
    module, name = f"langchain_core.messages.{kind}", f"{kind.capitalize()}Message"
    return ext(5, (module, name, {"type": kind, "id": id_, "content": content, **more}, "model_validate_json"))


class Saver:
    """A database in the shape of a saver's."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "a.db"
        self._connection = apsw.Connection(str(self.path))
        self._connection.pragma("synchronous", "off")
        for statement in SCHEMA:
            self._connection.execute(statement)

    def put(self, id_: str, parent: str | None, messages: Any = ..., *, ns: str = "", **values: Any) -> None:
        if messages is not ...:
            values["messages"] = messages
        data = {"ts": "2026-01-01T00:00:00+00:00", "channel_values": values, "channel_versions": {"messages": "1"}}
        row = ("t", ns, id_, parent, "msgpack", msgspec.msgpack.encode(data), b"{}")
        self._connection.execute("INSERT INTO checkpoints VALUES (?,?,?,?,?,?,?)", row)

    def write(self, id_: str, value: Any, task: str = "a", idx: int = 0) -> None:
        row = ("t", "", id_, task, idx, "messages", "msgpack", msgspec.msgpack.encode(value))
        self._connection.execute("INSERT INTO writes VALUES (?,?,?,?,?,?,?,?)", row)

    def read(self) -> tuple[list[Conversation], list[str]]:
        self._connection.close()
        found = list(read_conversations(self.path))
        return (
            [one for one in found if isinstance(one, Conversation)],
            [one.reason for one in found if isinstance(one, Defect)],
        )


def texts(talk: Conversation) -> list[list[Any]]:
    """Of each branch what all of it says."""
    nodes: dict[str | None, Node] = {node.id: node for node in talk.nodes}
    found = []
    for line in paths(talk):
        at: str | None = line.nodes[-1].id
        whole: list[Any] = []
        while at is not None:
            whole.append(nodes[at].messages()[0]["content"])
            at = nodes[at].parent_id
        found.append(whole[::-1])
    return found


def test_a_delta_channel_is_put_together_from_writes(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    saver.put("1", None)
    saver.write("1", [said("human", "h", "hi")])
    saver.put("2", "1")
    saver.write("2", said("ai", "b", "second"), task="b")
    saver.write("2", said("ai", "a", "first"), task="a")
    saver.put("3", "2")
    saver.write("3", [said("remove", "a", ""), said("ai", "b", "better"), ("user", "more")])
    saver.put("4", "3")
    saver.put("5", "2", ext(7, [said("human", "z", "from a snapshot")]))
    saver.write("4", [said("human", "late", "not yet")])
    [talk], reasons = saver.read()
    assert texts(talk) == [["from a snapshot"], ["hi", "first", "second"], ["hi", "better", "more"]]
    assert reasons == ["checkpoint '4': 1 writes of messages were not applied yet"]


def test_a_message_that_was_removed_and_comes_again_stands_at_the_end(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    saver.put("1", None, [said("human", "a", "a"), said("human", "b", "b")])
    saver.write("1", said("remove", "a", ""), task="1")
    saver.write("1", said("human", "a", "again"), task="2")
    saver.put("2", "1")
    [talk], _ = saver.read()
    assert texts(talk)[0] == ["b", "again"]


@pytest.mark.parametrize(
    "write",
    [
        [said("remove", "__remove_all__", ""), said("human", "n", "new")],
        {"__overwrite__": [said("human", "n", "new")]},
        {"type": "__overwrite__", "value": [said("human", "n", "new")]},
        ext(2, ("langgraph.types", "Overwrite", {"value": [said("human", "n", "new")]})),
    ],
)
def test_a_write_that_replaces_everything(tmp_path: Path, write: Any) -> None:
    saver = Saver(tmp_path)
    saver.put("1", None, [said("human", "h", "old")])
    saver.write("1", write)
    saver.put("2", "1")
    [talk], reasons = saver.read()
    assert (texts(talk), reasons) == ([["new"], ["old"]], [])


def test_no_class_that_is_named_is_imported(tmp_path: Path) -> None:
    """The module named here would end the process."""
    saver = Saver(tmp_path)
    trap = [ext(code, ("antigravity_that_is_not_there", "System", "rm", "x")) for code in range(6)]
    saver.put("1", None, [said("human", "h", "hi", additional_kwargs={"traps": trap}), ext(0, ("os", "System", {}))])
    [talk], reasons = saver.read()
    assert texts(talk) == [["hi"]]
    assert reasons == ["checkpoint '1': message 2: not a message but System"]


def test_images_come_by_reference_and_calls_once(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    blocks = [
        {"type": "text", "text": "see"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        {"type": "file", "data": "BBBB"},
        {"type": "audio", "bytes": b"raw"},
    ]
    calls = [{"name": "f", "args": {"x": 1}, "id": "c", "type": "tool_call"}]
    saver.put("1", None, [said("ai", "a", blocks, tool_calls=calls), ext(0, ("collections", "deque", []))])
    [talk], _ = saver.read()
    [message] = talk.nodes[0].messages()
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x":1}'}
    assert [part["type"] for part in message["content"]] == ["text", "image_url", "file", "audio"]
    assert "AAAA" not in json.dumps(message)
    assert "BBBB" not in json.dumps(message)


def test_a_graph_inside_is_a_conversation_of_its_own_and_silent_ones_are_told_once(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    saver.put("1", None, [said("human", "h", "hi")])
    saver.put("1", None, [said("human", "h", "inner")], ns="node:1")
    for number in range(3):
        saver.put("1", None, number=number, ns=f"silent:{number}")
    talks, reasons = saver.read()
    assert [talk.session_id for talk in talks] == ["langgraph-t", "langgraph-t-node:1"]
    assert reasons == ["thread 't': 3 of its graphs keep no messages"]


def test_parents_that_go_round_or_are_missing(tmp_path: Path) -> None:
    saver = Saver(tmp_path)
    saver.put("1", "2", [said("human", "a", "a")])
    saver.put("2", "1", [said("human", "b", "b")])
    saver.put("3", "gone", [said("human", None, "c")])
    [talk], reasons = saver.read()
    assert texts(talk) == [["c"], ["b"], ["a"]] or texts(talk) == [["c"], ["a"], ["b"]]
    assert reasons == ["checkpoint '3': its parent 'gone' is missing"]


@settings(max_examples=60)
@given(changes=CHANGES)
def test_whatever_stands_in_the_tables_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, changes: list[object]
) -> None:
    path = built(tmp_path_factory.mktemp("fuzz") / "a.db", GOLDEN)
    change(path, changes, ("checkpoints", "writes"))
    found = list(read_conversations(path, raw=True))
    told = "\n".join(one.reason for one in found if isinstance(one, Defect))
    talks = {one.session_id for one in found if isinstance(one, Conversation)}
    for (thread,) in apsw.Connection(str(path)).execute(
        "SELECT DISTINCT thread_id FROM checkpoints WHERE typeof(thread_id) = 'text' AND thread_id != ''"
    ):
        assert f"langgraph-{thread}" in talks or repr(thread) in told or "checkpoint " in told
    all_of(path)


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(data=st.binary(max_size=60) | VALUES.map(json.dumps).map(str.encode))
def test_any_bytes_may_stand_in_a_checkpoint(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    saver = Saver(tmp_path_factory.mktemp("bytes"))
    saver.put("1", None, [said("human", "h", "hi")])
    for number, kind in enumerate(("msgpack", "json", None, "bytes", "null", "pickle")):
        saver._connection.execute(
            "INSERT INTO checkpoints VALUES ('t','',?,'1',?,?,?)", (f"2{number}", kind, data, data)
        )
    [talk], _ = saver.read()
    assert ["hi"] in texts(talk)
