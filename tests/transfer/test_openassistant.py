"""OpenAssistant trees, in the shape of the published files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN, expected, tree_of

from bough.model import Message
from bough.transfer import Conversation, Defect, paths, read_conversations


def message(id_: str, role: str, text: str, *replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "message_id": id_,
        "text": text,
        "role": role,
        "lang": "en",
        "review_count": 3,
        "review_result": True,
        "deleted": False,
        **more,
        "synthetic": False,
        "emojis": {"+1": 3, "_skip_reply": 1},
        "replies": list(replies),
    }


def tree(prompt: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"message_tree_id": prompt.get("message_id"), "tree_state": "ready_for_export", "prompt": prompt, **more}


def read(folder: Path, *lines: Any) -> list[Conversation | Defect]:
    path = folder / "trees.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return list(read_conversations(path, format="openassistant"))


def read_one(folder: Path, line: Any) -> Conversation:
    [found] = read(folder, line)
    assert isinstance(found, Conversation)
    return found


def messages(found: Conversation) -> list[Message]:
    return [message for node in found.nodes for message in node.messages()]


def test_a_tree_is_a_session_and_each_leaf_a_branch(tmp_path: Path) -> None:
    found = read_one(
        tmp_path,
        tree(
            message(
                "p",
                "prompter",
                "How do I start?",
                message("second", "assistant", "Slowly.", rank=1, parent_id="p"),
                message(
                    "best",
                    "assistant",
                    "At the start.",
                    message("thanks", "prompter", "Thanks", parent_id="best"),
                    message("more", "prompter", "And then?", parent_id="best"),
                    rank=0,
                    parent_id="p",
                ),
            )
        ),
    )
    assert found.session_id == "p"
    assert [
        (path.branch_id, path.parent_id, path.shared, [node.id for node in path.nodes]) for path in paths(found)
    ] == [
        ("main", None, 0, ["p", "best", "thanks"]),
        ("more", "main", 2, ["more"]),
        ("second", "main", 1, ["second"]),
    ]
    assert found.metadata == {"tree_state": "ready_for_export"}


def test_roles_texts_and_all_the_rest_in_metadata(tmp_path: Path) -> None:
    reply = message(
        "r", "assistant", "a\0\u2028👋", rank=0, parent_id="p", labels={"quality": {"value": 0.75, "count": 4}}
    )
    found = read_one(tmp_path, tree(message("p", "prompter", "hi", reply, detoxify={"toxicity": 1e-05})))
    prompt, answer = messages(found)
    assert list(prompt) == ["role", "content", "metadata"]
    assert (prompt["role"], prompt["content"]) == ("user", "hi")
    assert (answer["role"], answer["content"]) == ("assistant", "a\0\u2028👋")
    rest = {key: value for key, value in reply.items() if key not in ("message_id", "role", "text", "replies")}
    assert answer["metadata"] == {"source": "openassistant", "id": "r", **rest}
    assert prompt["metadata"]["detoxify"] == {"toxicity": 1e-05}


def test_a_role_of_another_name_is_kept(tmp_path: Path) -> None:
    assert messages(read_one(tmp_path, tree(message("p", "system", "Be kind."))))[0]["role"] == "system"


@pytest.mark.parametrize(
    ("ranks", "order"),
    [
        ([2, 0, 1], "bca"),
        ([None, 1, None, 0], "dbac"),
        ([None, None], "ab"),
        ([1, 1, 0], "cab"),
        (["0", 5, {}], "bac"),
    ],
)
def test_replies_stand_by_rank_and_those_without_one_behind(tmp_path: Path, ranks: list[Any], order: str) -> None:
    replies = [
        message(id_, "assistant", id_, **({} if rank is None else {"rank": rank}))
        for id_, rank in zip("abcde", ranks, strict=False)
    ]
    found = read_one(tmp_path, tree(message("p", "prompter", "hi", *replies)))
    assert "".join(node.id for node in found.nodes[1:]) == order
    assert next(paths(found)).nodes[-1].id == order[0]


def test_a_null_rank_is_none(tmp_path: Path) -> None:
    replies = [message("a", "assistant", "a", rank=None), message("b", "assistant", "b", rank=7)]
    found = read_one(tmp_path, tree(message("p", "prompter", "hi", *replies)))
    assert [node.id for node in found.nodes] == ["p", "b", "a"]


def test_the_nesting_is_the_tree_and_parent_ids_are_not_believed(tmp_path: Path) -> None:
    lying = message("r", "assistant", "a", parent_id="elsewhere")
    found = read_one(tmp_path, tree(message("p", "prompter", "hi", lying)))
    assert found.nodes[1].parent_id == "p"
    assert messages(found)[1]["metadata"]["parent_id"] == "elsewhere"


def test_the_time_of_the_prompt_is_that_of_the_conversation(tmp_path: Path) -> None:
    written = "2023-02-06T11:50:48.123456+00:00"
    found = read_one(tmp_path, tree(message("p", "prompter", "hi", created_date=written)))
    assert found.created_at == datetime(2023, 2, 6, 11, 50, 48, 123000, tzinfo=UTC)
    assert messages(found)[0]["metadata"]["created_date"] == written
    for bad in ("last year", None, 5):
        found = read_one(tmp_path, tree(message("p", "prompter", "hi", created_date=bad)))
        assert found.created_at is None
        assert messages(found)[0]["metadata"].get("created_date") == bad


GOOD = message("p", "prompter", "hi")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"prompt": GOOD}, "message_tree_id is missing"),
        ({"message_tree_id": 7, "prompt": GOOD}, "message_tree_id is not a string"),
        ({"message_tree_id": "", "prompt": GOOD}, "cannot be an id"),
        ({"message_tree_id": "p"}, "a message is an object, not NoneType"),
        (tree({**GOOD, "text": None}), "text is not a string"),
        (tree({key: value for key, value in GOOD.items() if key != "role"}), "role is missing"),
    ],
)
def test_a_line_without_a_good_message_is_a_defect(tmp_path: Path, line: Any, reason: str) -> None:
    before, bad, after = read(tmp_path, tree(message("a", "prompter", "a")), line, tree(message("b", "prompter", "b")))
    assert isinstance(before, Conversation)
    assert isinstance(after, Conversation)
    assert isinstance(bad, Defect)
    assert bad.line == 2
    assert reason in bad.reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("reply", "a message is an object, not str"),
        ({**GOOD, "message_id": None}, "message_id is not a string"),
        ({**message("x", "assistant", "x"), "replies": {"a": 1}}, "the replies are a list, not dict"),
        ({**GOOD, "text": "other"}, "a second message has the id 'p'"),
    ],
)
def test_a_bad_node_costs_itself_alone(tmp_path: Path, bad: Any, reason: str) -> None:
    good = message("good", "assistant", "good", rank=1)
    found, defect = read(tmp_path, tree(message("p", "prompter", "hi", bad, good)))
    assert isinstance(found, Conversation)
    assert [each["content"] for each in messages(found) if each["content"] != "x"] == ["hi", "good"]
    assert isinstance(defect, Defect)
    assert (defect.line, defect.kept, reason in defect.reason) == (1, False, True)


def test_what_follows_a_bad_node_follows_the_one_above_it(tmp_path: Path) -> None:
    lost = {**message("lost", "assistant", "lost", message("q", "prompter", "and then?")), "text": 5}
    found, _ = read(tmp_path, tree(message("p", "prompter", "hi", lost)))
    assert isinstance(found, Conversation)
    assert [(node.id, node.parent_id) for node in found.nodes] == [("p", None), ("q", "p")]


def test_golden() -> None:
    assert tree_of(GOLDEN / "openassistant" / "trees.jsonl") == expected("openassistant")


def test_replies_may_be_missing_or_null(tmp_path: Path) -> None:
    bare = {"message_id": "p", "role": "prompter", "text": "hi"}
    assert len(read_one(tmp_path, tree(bare)).nodes) == 1
    assert len(read_one(tmp_path, tree({**bare, "replies": None})).nodes) == 1
