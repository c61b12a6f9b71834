"""LibreChat's export of a conversation, flat and as a tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN, expected, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mangle_kit import check_nothing_is_lost, check_torn, mangled, passed_over

from bough.transfer import Conversation, Defect, paths, read_conversations
from bough.transfer.librechat import ROOT
from bough.turns import check


def said(id_: str, parent: Any = ROOT, text: str = "…", **more: Any) -> dict[str, Any]:
    return {"messageId": id_, "parentMessageId": parent, "isCreatedByUser": True, "text": text, **more}


def flat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"conversationId": "c", "title": "T", "messages": list(messages), **more}


def tree(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"conversationId": "c", "title": "T", "messagesTree": list(messages), **more}


def read(folder: Path, talk: Any, **options: Any) -> tuple[list[Conversation], list[str]]:
    path = folder / "conversation.json"
    path.write_text(json.dumps(talk, indent=2), encoding="utf-8")
    found = list(read_conversations(path, **options))
    reasons = [one.reason for one in found if isinstance(one, Defect)]
    return [one for one in found if isinstance(one, Conversation)], reasons


def branches(found: Conversation) -> dict[str, list[str]]:
    return {path.branch_id: [one.id for one in path.nodes] for path in paths(found)}


def main(found: Conversation) -> list[dict[str, Any]]:
    return [one for node in next(paths(found)).nodes for one in node.messages()]


def answer(folder: Path, *content: Any, **more: Any) -> list[dict[str, Any]]:
    """The messages of one answer."""
    [found], _ = read(folder, flat(said("a", content=list(content), isCreatedByUser=False, **more)))
    return main(found)


def test_golden() -> None:
    assert tree_of(GOLDEN / "librechat" / "export") == expected("librechat")


def test_it_is_not_taken_for_an_openai_chat(tmp_path: Path) -> None:
    [found], _ = read(tmp_path, flat(said("a")))
    assert found.session_id == "librechat-c"


class TestTree:
    def test_both_shapes_are_one_tree(self, tmp_path: Path) -> None:
        nested = said("a", children=[said("b", "a", children=[said("d", "b")]), said("c", "a", children=[])])
        listed = [said("a"), said("b", "a"), said("d", "b"), said("c", "a")]
        [one], reasons = read(tmp_path, tree(nested))
        [other], _ = read(tmp_path, flat(*listed))
        assert one.nodes == other.nodes
        assert branches(one) == {"main": ["a", "c"], "d": ["b", "d"]}
        assert reasons == []

    def test_the_youngest_leaf_ends_main(self, tmp_path: Path) -> None:
        messages = [
            said("a"),
            said("b", "a", createdAt="2025-01-02T00:00:00.000Z"),
            said("c", "a", createdAt="2025-01-01T00:00:00.000Z"),
        ]
        [found], _ = read(tmp_path, flat(*messages))
        assert branches(found)["main"] == ["a", "b"]
        assert found.created_at is not None
        assert found.created_at.isoformat() == "2025-01-01T00:00:00+00:00"

    def test_only_a_message_without_a_parent_stays_where_it_stands(self, tmp_path: Path) -> None:
        nested = said("a", children=[said("b", None), said("c", 5), said("d", "b")])
        [found], reasons = read(tmp_path, tree(nested))
        assert {one.id: one.parent_id for one in found.nodes} == {"a": None, "b": "a", "c": "a", "d": "b"}
        assert len(reasons) == 1
        assert "'c'" in reasons[0]


class TestContent:
    def test_calls_and_outputs_are_whole_turns(self, tmp_path: Path) -> None:
        messages = answer(
            tmp_path,
            {"type": "think", "think": "Hm."},
            {"type": "tool_call", "tool_call": {"id": "t1", "name": "f", "args": {"a": 1}, "output": "one"}},
            {"type": "tool_call", "tool_call": {"name": "g", "args": "", "output": ["two"]}},
            {"type": "tool_call", "tool_call": {"type": "code_interpreter", "code_interpreter": {"input": "1"}}},
            {"type": "text", "text": {"value": "Done."}},
        )
        assert [one["role"] for one in messages] == ["assistant", "tool", "assistant", "tool", "assistant"]
        calls = [one["tool_calls"][0] for one in messages if "tool_calls" in one]
        assert [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls] == [
            ("t1", "f", '{"a":1}'),
            ("a-2", "g", ""),
            ("a-3", "code_interpreter", "1"),
        ]
        assert messages[3]["metadata"]["output"] == ["two"]
        assert messages[4]["content"] == "Done."
        assert check(messages[:4]) == []

    def test_images_and_files_are_named(self, tmp_path: Path) -> None:
        [one] = answer(
            tmp_path,
            {"type": "image_file", "image_file": {"file_id": "1", "filepath": "/images/1.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            attachments=[{"filename": "x.csv", "filepath": "/f/x.csv"}],
        )
        kinds = [(part["type"], part.get("image_url", part.get("file"))) for part in one["content"]]
        assert kinds[0] == ("image_url", {"url": "/images/1.png"})
        assert kinds[1][1]["url"].startswith("sha256:")
        assert kinds[2] == ("file", {"filename": "x.csv"})

    def test_nothing_that_is_said_beside_is_lost(self, tmp_path: Path) -> None:
        strange = {"type": "agent_update", "agent_update": {"index": 1}}
        [one] = answer(tmp_path, strange, {"type": "text", "text": "new"}, text="old", feedback={"rating": "up"})
        assert one["content"] == "new"
        assert one["metadata"]["other"] == [strange]
        assert one["metadata"]["extra"] == {"text": "old", "feedback": {"rating": "up"}}

    def test_who_speaks(self, tmp_path: Path) -> None:
        messages = [said("a"), said("b", "a", isCreatedByUser=False)]
        messages += [said("c", "b", isCreatedByUser=None, sender="User"), said("d", "c", isCreatedByUser=None)]
        [found], _ = read(tmp_path, flat(*messages))
        assert [one["role"] for one in main(found)] == ["user", "assistant", "user", "assistant"]

    def test_the_original_is_kept_without_its_replies(self, tmp_path: Path) -> None:
        [found], _ = read(tmp_path, tree(said("a", children=[])), raw=True)
        assert main(found)[0]["metadata"]["raw"] == said("a")


def test_defects_cost_nothing_but_themselves(tmp_path: Path) -> None:
    messages = [said("a", "b"), said("b", "a"), said("o", "gone"), 5, {"text": "x"}, said("k", children={})]
    [found], reasons = read(tmp_path, flat(*messages))
    assert {one.id for one in found.nodes} == {"a", "b", "o", "message-5", "k"}
    for name in ("'a'", "'o'", "message 4 ", "'message-5'", "'k'"):
        assert any(name in reason for reason in reasons), name


@pytest.mark.parametrize("bad", [{"messages": 5}, {"messagesTree": None, "messages": []}, {}])
def test_no_list_of_messages(tmp_path: Path, bad: dict[str, Any]) -> None:
    talks, reasons = read(tmp_path, {"conversationId": "c", **bad}, format="librechat")
    assert (talks, reasons) == ([], ["there is no list of messages"])


MESSAGES = [
    said("a", text="mark-a.", createdAt="2025-01-01T00:00:00Z", files=[{"filename": "f"}]),
    said("b", "a", "mark-b.", isCreatedByUser=False),
    said(
        "c",
        "a",
        "",
        isCreatedByUser=False,
        content=[
            {"type": "tool_call", "tool_call": {"id": "t", "name": "f", "args": {}, "output": "x"}},
            {"type": "text", "text": "mark-c."},
        ],
    ),
    said("d", "c", "mark-d."),
]
FLAT = flat(*MESSAGES)
TREE = tree(
    {**MESSAGES[0], "children": [MESSAGES[1], {**MESSAGES[2], "children": [{**MESSAGES[3], "parentMessageId": None}]}]}
)


def good(value: Any) -> Iterator[tuple[str, str]]:
    value = value if isinstance(value, dict) else {}
    pending = [value.get("messagesTree", value.get("messages"))]
    while pending:
        at = pending.pop()
        for one in at if isinstance(at, list) else ():
            if not isinstance(one, dict):
                continue
            pending.append(one.get("children"))
            texts = [one.get("text")]
            if isinstance(one.get("content"), list):
                texts += [p.get("text") for p in one["content"] if isinstance(p, dict) and p.get("type") == "text"]
            if isinstance(one.get("messageId"), str):
                yield from ((one["messageId"], text) for text in texts if isinstance(text, str) and "mark" in text)


@settings(max_examples=300)
@given(value=st.sampled_from([FLAT, TREE]).flatmap(lambda base: mangled(base, ["a", "b", "c", "d", ROOT, "gone"])))
def test_whatever_is_whole_comes_out(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    check_nothing_is_lost(tmp_path_factory.getbasetemp() / "librechat.json", value, good, "librechat")


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_a_torn_file(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    talks = [{**FLAT, "conversationId": str(number)} for number in range(4)]
    check_torn(tmp_path_factory.getbasetemp() / "librechat.json", talks, share, "librechat")


def test_nothing_strange_is_passed_over_in_silence(tmp_path: Path) -> None:
    assert passed_over(tmp_path / "librechat.json", TREE, "librechat") == set()
