"""Databases of the OpenAI Agents SDK, as version 0.24.0 wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest
from golden_kit import expected
from hypothesis import given, settings
from sql_kit import CHANGES, all_of, built, change, golden_tree

from bough.transfer import Conversation, Defect, paths, read_conversations
from bough.turns import check

GOLDEN = "openai-agents/sessions.sql"


def test_golden(tmp_path: Path) -> None:
    assert golden_tree(tmp_path, GOLDEN) == expected("openai-agents")


def read(path: Path) -> tuple[list[Conversation], list[Defect]]:
    found = list(read_conversations(path))
    return [x for x in found if isinstance(x, Conversation)], [x for x in found if isinstance(x, Defect)]


def test_the_branches_share_nodes_and_their_tool_calls_are_whole(tmp_path: Path) -> None:
    [_, trip], _ = read(built(tmp_path / "a.db", GOLDEN))
    main, train, unused = paths(trip)
    assert (train.branch_id, train.parent_id, train.shared) == ("by-train", "main", 2)
    assert (unused.branch_id, unused.shared, [node.messages() for node in unused.nodes]) == ("unused", 2, [()])
    assert check([message for node in main.nodes for message in node.messages()]) == []


def execute(path: Path, *statements: str) -> Path:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return path


def test_a_branch_keeps_its_name_when_it_grows(tmp_path: Path) -> None:
    path = execute(
        built(tmp_path / "a.db", GOLDEN),
        "INSERT INTO agent_messages (id, session_id, message_data) VALUES (99, 'trip', '{\"role\":\"user\"}')",
        "INSERT INTO message_structure (session_id, message_id, branch_id, message_type, sequence_number)"
        " VALUES ('trip', 99, 'by-train', 'user', 99)",
    )
    [_, trip], _ = read(path)
    assert [(line.branch_id, len(line.nodes)) for line in paths(trip)] == [("main", 6), ("by-train", 3), ("unused", 1)]


def test_a_branch_is_in_the_order_of_its_sequence_numbers(tmp_path: Path) -> None:
    path = execute(
        built(tmp_path / "a.db", GOLDEN),
        "UPDATE message_structure SET sequence_number = -sequence_number WHERE branch_id = 'main'",
    )
    [_, trip], _ = read(path)
    ids = [message["metadata"]["id"] for node in next(paths(trip)).nodes for message in node.messages()]
    assert ids == ["6", "5", "4", "3", "2", "1"]


def test_what_no_branch_lists_is_told(tmp_path: Path) -> None:
    path = execute(built(tmp_path / "a.db", GOLDEN), "DELETE FROM message_structure WHERE branch_id = 'by-train'")
    _, defects = read(path)
    assert {"message 7 is on no branch", "message 8 is on no branch"} <= {one.reason for one in defects}


def test_tables_of_other_names_and_items_that_are_encrypted(tmp_path: Path) -> None:
    path = execute(
        tmp_path / "a.db",
        "CREATE TABLE talks (session_id TEXT PRIMARY KEY, created_at, updated_at)",
        "CREATE TABLE items (id INTEGER PRIMARY KEY, session_id TEXT REFERENCES talks (session_id), message_data TEXT)",
        "INSERT INTO talks VALUES ('s', '2026-01-02 03:04:05', NULL)",
        'INSERT INTO items VALUES (1, \'s\', \'{"role":"user","content":"hi","metadata":{"mine":1}}\')',
        'INSERT INTO items VALUES (2, \'s\', \'{"__enc__":1,"v":1,"kid":"k","payload":"x"}\')',
    )
    [talk], [defect] = read(path)
    assert str(talk.created_at) == "2026-01-02 03:04:05+00:00"
    assert talk.nodes[0].messages()[0]["metadata"] == {"mine": 1, "source": "openai-agents", "id": "1"}
    assert defect.reason == "message 2: it is encrypted (EncryptedSession)"


@settings(max_examples=60)
@given(changes=CHANGES)
def test_whatever_stands_in_the_tables_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, changes: list[object]
) -> None:
    path = built(tmp_path_factory.mktemp("fuzz") / "a.db", GOLDEN)
    change(path, changes, ("agent_sessions", "agent_messages", "message_structure", "turn_usage"))
    said, reasons = all_of(path)
    for id_, data in apsw.Connection(str(path)).execute("SELECT id, CAST(message_data AS BLOB) FROM agent_messages"):
        try:
            item = json.loads(data)
        except (ValueError, TypeError):
            item = None
        if isinstance(item, dict) and "NaN" not in str(data):
            assert f'"id": "{id_}"' in said or f"message {id_!r}" in reasons
