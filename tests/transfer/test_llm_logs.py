"""The log of ``llm``: responses as older versions kept them, messages as 0.36 wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
from golden_kit import expected
from hypothesis import given, settings
from sql_kit import CHANGES, all_of, built, change, golden_tree

from bough.transfer import Conversation, Defect, paths, read_conversations
from bough.turns import check

GOLDEN = "llm/logs.sql"
OLDEST = (
    "CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT)",
    "CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT,"
    " options_json TEXT, response TEXT, response_json TEXT, conversation_id TEXT, duration_ms INTEGER,"
    " datetime_utc TEXT)",
)


def test_golden(tmp_path: Path) -> None:
    assert golden_tree(tmp_path, GOLDEN) == expected("llm")


def read(path: Path, **options: Any) -> tuple[dict[str, Conversation], list[str]]:
    found = list(read_conversations(path, **options))
    talks = {one.session_id: one for one in found if isinstance(one, Conversation)}
    return talks, [one.reason for one in found if isinstance(one, Defect)]


def execute(path: Path, *statements: str) -> Path:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return path


def main_of(talk: Conversation) -> list[dict[str, Any]]:
    return [message for node in next(paths(talk)).nodes for message in node.messages()]


def test_the_oldest_tables_are_read(tmp_path: Path) -> None:
    path = execute(
        tmp_path / "a.db",
        *OLDEST,
        "INSERT INTO conversations VALUES ('c', 'main', 'm')",
        "INSERT INTO responses VALUES ('2', 'm', 'more', 'Be kind.', '{}', '{}', 'b', '{}', 'c', 1, NULL)",
        "INSERT INTO responses VALUES ('1', 'm', 'hi', 'Be kind.', '{}', '{}', 'a', '{\"x\":1}', 'c', 1, '2024-01-02')",
    )
    talks, reasons = read(path, raw=True)
    assert reasons == []
    messages = main_of(talks["llm-c"])
    assert [(one["role"], one["content"]) for one in messages] == [
        ("system", "Be kind."),
        ("user", "hi"),
        ("assistant", "a"),
        ("user", "more"),
        ("assistant", "b"),
    ]
    assert messages[2]["metadata"]["raw"]["response_json"] == {"x": 1}


def test_tool_calls_and_results_are_whole_in_both_generations(tmp_path: Path) -> None:
    talks, _ = read(built(tmp_path / "a.db", GOLDEN))
    for name in ("llm-01conv", "llm-01thread"):
        messages = main_of(talks[name])
        assert any("tool_calls" in message for message in messages)
        assert check(messages) == []


def test_results_without_ids_answer_the_calls_before_them(tmp_path: Path) -> None:
    path = built(tmp_path / "a.db", GOLDEN)
    execute(path, "UPDATE tool_calls SET tool_call_id = NULL", "UPDATE tool_results SET tool_call_id = NULL")
    talks, _ = read(path)
    assert check(main_of(talks["llm-01conv"])) == []


def test_a_response_that_is_also_a_turn_is_that_turn(tmp_path: Path) -> None:
    path = execute(
        built(tmp_path / "a.db", GOLDEN),
        "INSERT INTO responses (id, prompt, response, conversation_id) VALUES ('01t1', 'twice', 'twice', '01thread')",
        "INSERT INTO responses (id, prompt, response, conversation_id) VALUES ('00', 'old', 'old', '01thread')",
    )
    talks, _ = read(path)
    assert [one["content"] for one in main_of(talks["llm-responses-01thread"])] == ["old", "old"]
    assert len(main_of(talks["llm-01thread"])) == 6


def test_forks_that_go_round_and_messages_that_are_missing(tmp_path: Path) -> None:
    path = built(tmp_path / "a.db", GOLDEN)
    execute(path, "UPDATE threads SET forked_from = '01fork' WHERE id = '01thread'")
    talks, _ = read(path)
    assert {"llm-01fork", "llm-01thread"} & set(talks)
    execute(path, "UPDATE messages SET parent_hash = hash WHERE parent_hash IS NULL")
    assert any("is its own ancestor" in reason for reason in read(path)[1])
    execute(path, "UPDATE messages SET parent_hash = 'gone' WHERE parent_hash = hash")
    assert any("'gone' is missing" in reason for reason in read(path)[1])


def test_threads_without_an_id_are_read_as_one(tmp_path: Path) -> None:
    path = built(tmp_path / "a.db", GOLDEN)
    execute(path, "PRAGMA foreign_keys = off", "UPDATE threads SET id = NULL")
    assert "a second thread has the id None: they are read as one" in read(path)[1]


TABLES = ("responses", "conversations", "tool_calls", "tool_results", "prompt_attachments", "prompt_fragments")
STORE = ("attachments", "fragments", "messages", "parts", "threads", "turns")


@settings(max_examples=60)
@given(changes=CHANGES)
def test_whatever_stands_in_the_tables_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, changes: list[object]
) -> None:
    path = built(tmp_path_factory.mktemp("fuzz") / "a.db", GOLDEN)
    change(path, changes, TABLES + STORE)
    said, _ = all_of(path, raw=True)
    connection = apsw.Connection(str(path))
    turns = "SELECT id FROM turns WHERE id IS NOT NULL"
    rows = f"SELECT response FROM responses WHERE response IN ('The sky.', 'yes', 'found') AND id NOT IN ({turns})"  # noqa: S608
    for (response,) in connection.execute(rows):
        assert f'"{response}"' in said
