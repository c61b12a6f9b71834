"""ChatGPT's export."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden_kit import GOLDEN, expected, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mangle_kit import check_nothing_is_lost, check_torn, mangled, passed_over

from bough.transfer import Conversation, Defect, paths, read_conversations
from bough.turns import check

EXPORT = GOLDEN / "chatgpt" / "export"


def message(id_: str, role: str, text: str | None, **more: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [] if text is None else [text]}
    return {"id": id_, "author": {"role": role}, "content": content, "recipient": "all", **more}


def node(id_: str, parent: str | None, role: str = "user", text: str | None = "…", **more: Any) -> dict[str, Any]:
    return {"id": id_, "parent": parent, "children": [], "message": message(id_, role, text, **more)}


def talk(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"conversation_id": "c", "title": "T", "mapping": {each["id"]: each for each in nodes}, **more}


def read(folder: Path, *talks: Any, **options: Any) -> tuple[list[Conversation], list[str]]:
    path = folder / "conversations.json"
    path.write_text(json.dumps(list(talks)), encoding="utf-8")
    found = list(read_conversations(path, format="chatgpt", **options))
    reasons = [one.reason for one in found if isinstance(one, Defect)]
    return [one for one in found if isinstance(one, Conversation)], reasons


def branches(found: Conversation) -> dict[str, list[str]]:
    return {path.branch_id: [one.id for one in path.nodes] for path in paths(found)}


def main(found: Conversation) -> list[dict[str, Any]]:
    return [one for node_ in next(paths(found)).nodes for one in node_.messages()]


def test_golden() -> None:
    assert tree_of(EXPORT) == expected("chatgpt")


def test_a_zip_and_a_folder_say_the_same_and_side_files_are_passed_over(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for path in EXPORT.iterdir():
            archive.write(path, path.name)
        archive.writestr("chat.html", "<html>")
        archive.writestr("other.json", '[{"some": "thing"}]')
    found = tree_of(tmp_path / "export.zip")
    assert found["sessions"] == expected("chatgpt")["sessions"]
    assert [(one["at"], one["kept"]) for one in found["defects"]] == [
        ("export.zip:conversations-000.json:1", True),
        ("export.zip:other.json:0", False),
    ]


def test_one_conversation_alone_is_read(tmp_path: Path) -> None:
    for indent in (None, 2):
        path = tmp_path / "one.json"
        path.write_text(json.dumps(talk(node("a", None)), indent=indent))
        [found] = read_conversations(path)
        assert isinstance(found, Conversation)
        assert found.session_id == "chatgpt-c"


def test_main_ends_at_the_current_node_and_else_at_the_youngest_leaf(tmp_path: Path) -> None:
    nodes = [node("a", None), node("b", "a", create_time=3), node("c", "a", create_time=9), node("d", "a")]
    [found], _ = read(tmp_path, talk(*nodes, current_node="d"))
    assert branches(found) == {"main": ["a", "d"], "b": ["b"], "c": ["c"]}
    [found], reasons = read(tmp_path, talk(*nodes, current_node="nowhere"))
    assert branches(found)["main"] == ["a", "c"]
    assert reasons == ["current_node names no node"]
    [found], reasons = read(tmp_path, talk(*nodes))
    assert (branches(found)["main"], reasons) == (["a", "c"], [])


def test_neither_children_nor_a_nodes_own_id_are_believed(tmp_path: Path) -> None:
    lying = {**node("b", "a"), "id": "a", "children": ["a", "b"]}
    talking = {"conversation_id": "c", "mapping": {"b": lying, "a": node("a", None)}}
    [found], reasons = read(tmp_path, talking)
    assert (branches(found), reasons) == ({"main": ["a", "b"]}, [])


class TestHidden:
    def test_a_hidden_message_that_says_nothing_only_joins(self, tmp_path: Path) -> None:
        flag = {"metadata": {"is_visually_hidden_from_conversation": True}}
        nodes = [node("s", None, "system", ""), node("h", "s", "user", None, **flag), node("a", "h")]
        nodes.append(node("w", "a", "assistant", "", weight=0))
        [found], reasons = read(tmp_path, talk(*nodes, current_node="w"))
        assert (branches(found), reasons) == ({"main": ["a"]}, [])

    def test_one_that_says_something_stays(self, tmp_path: Path) -> None:
        [found], _ = read(tmp_path, talk(node("s", None, "system", "Be kind."), node("a", "s", weight=0)))
        assert [one["metadata"].get("weight") for one in main(found)] == [None, 0]

    def test_an_empty_answer_that_is_shown_stays(self, tmp_path: Path) -> None:
        [found], _ = read(tmp_path, talk(node("a", None, "assistant", "")))
        assert [one["content"] for one in main(found)] == [""]

    def test_an_empty_context_and_a_silent_tool_that_nobody_asked_only_join(self, tmp_path: Path) -> None:
        context = {"content_type": "model_editable_context", "model_set_context": "", "repository": None}
        nodes = [node("u", None), node("m", "u", "assistant", content=context), node("t", "u", "tool", "")]
        [found], reasons = read(tmp_path, talk(*nodes, node("a", "m", "assistant"), current_node="a"))
        assert (branches(found), reasons) == ({"main": ["u", "a"]}, [])

    def test_a_root_may_lack_the_key_of_its_message(self, tmp_path: Path) -> None:
        """As the web interface gets it."""
        root = {"id": "client-created-root", "children": ["u"]}
        [found], reasons = read(tmp_path, talk(root, node("u", "client-created-root")))
        assert (branches(found), reasons) == ({"main": ["u"]}, [])

    def test_what_the_model_is_told_of_the_user_is_the_systems(self, tmp_path: Path) -> None:
        context = {"content_type": "user_editable_context", "user_profile": "A cook.", "user_instructions": ""}
        [found], _ = read(tmp_path, talk(node("c", None, content=context), node("u", "c")))
        assert [(one["role"], one["content"]) for one in main(found)] == [("system", "A cook."), ("user", "…")]


class TestTools:
    def test_calls_and_results_are_whole_turns(self, tmp_path: Path) -> None:
        nodes = [
            node("u", None),
            node("c1", "u", "assistant", '{"q": 1}', recipient="web"),
            node("r1", "c1", "tool", "one", author={"role": "tool", "name": "web"}),
            node("c2", "r1", "assistant", "two()", recipient="python"),
            node("r2", "c2", "tool", "2"),
            node("e", "r2", "assistant", "done"),
        ]
        [found], _ = read(tmp_path, talk(*nodes))
        messages = main(found)
        assert check(messages, provider="openai") == []
        assert [one.get("tool_call_id") for one in messages] == [None, None, "c1", None, "c2", None]
        arguments = [one["tool_calls"][0]["function"]["arguments"] for one in messages if "tool_calls" in one]
        assert arguments == ['{"q": 1}', '{"input":"two()"}']

    def test_a_tool_that_speaks_again_has_the_same_call_and_one_unasked_none(self, tmp_path: Path) -> None:
        nodes = [
            node("x", None, "tool"),
            node("c", "x", "assistant", "f()", recipient="python"),
            node("r1", "c", "tool"),
            {"id": "empty", "parent": "r1", "message": None},
            node("r2", "empty", "tool"),
            node("u", "r2"),
            node("r3", "u", "tool"),
        ]
        [found], _ = read(tmp_path, talk(*nodes))
        answers = [one.get("tool_call_id") for one in main(found) if one["role"] == "tool"]
        assert answers == [None, "c", "c", None]

    def test_thousands_of_results_in_a_row(self, tmp_path: Path) -> None:
        """Would take minutes if each were asked for its call anew."""
        nodes = [node("0", None, "assistant", "f()", recipient="python")]
        nodes += [node(str(n), str(n - 1), "tool") for n in range(1, 15_000)]
        [found], _ = read(tmp_path, talk(*nodes))
        assert {one.get("tool_call_id") for one in main(found)[1:]} == {"0"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"content_type": "execution_output", "text": "4"}, "4"),
        ({"content_type": "tether_browsing_display", "result": "Page", "summary": ""}, "Page"),
        ({"content_type": "system_error", "name": "Timeout", "text": "late"}, ["Timeout", "late"]),
        ({"content_type": "reasoning_recap", "content": "Thought"}, [{"type": "thinking", "thinking": "Thought"}]),
        ({"content_type": "brand_new", "text": "still text"}, "still text"),
        (
            {"content_type": "multimodal_text", "parts": [{"content_type": "audio_transcription", "text": "Hi"}]},
            "Hi",
        ),
        (
            {
                "content_type": "multimodal_text",
                "parts": [
                    {
                        "content_type": "real_time_user_audio_video_asset_pointer",
                        "audio_asset_pointer": {"asset_pointer": "sediment://file_1", "format": "wav"},
                        "frames_asset_pointers": [
                            {"asset_pointer": "sediment://file_2", "content_type": "image_asset_pointer"}
                        ],
                        "audio_start_timestamp": 1.5,
                    }
                ],
            },
            [
                {
                    "type": "file",
                    "file": {"filename": "sediment://file_1"},
                    "details": {"format": "wav", "audio_start_timestamp": 1.5},
                },
                {
                    "type": "image_url",
                    "image_url": {"url": "sediment://file_2"},
                    "details": {"audio_start_timestamp": 1.5},
                },
            ],
        ),
        (
            {
                "content_type": "multimodal_text",
                "parts": [{"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_1"}],
            },
            [
                {
                    "type": "file",
                    "file": {"filename": "sediment://file_1"},
                    "details": {"content_type": "audio_asset_pointer"},
                }
            ],
        ),
    ],
)
def test_kinds_of_content(tmp_path: Path, content: dict[str, Any], said: Any) -> None:
    one = node("a", None, "assistant")
    one["message"]["content"] = content
    [found], reasons = read(tmp_path, talk(one))
    if isinstance(said, list) and isinstance(said[0], str):
        said = [{"type": "text", "text": text} for text in said]
    assert (main(found)[0]["content"], reasons) == (said, [])


def test_marks_of_citations_become_what_stands_for_them(tmp_path: Path) -> None:
    marks = [
        "\ue200cite\ue202turn0search1\ue201",
        "\ue200cite\ue202turn0search2\ue201",
        "【1†L2】",
        "\ue200nobody's\ue201",
    ]
    references = [
        {"matched_text": marks[0], "alt": "([site](https://example.org))"},
        {"matched_text": marks[1], "alt": None},
        {"matched_text": marks[2], "alt": None},
    ]
    one = node("a", None, "assistant", "|".join(marks), metadata={"content_references": references})
    [found], _ = read(tmp_path, talk(one))
    [said] = main(found)
    assert said["content"] == "([site](https://example.org))||【1†L2】|\ue200nobody's\ue201"
    assert said["metadata"]["details"] == {"content_references": references}


def test_pictures_that_code_has_drawn_are_named(tmp_path: Path) -> None:
    drawn = {"messages": [{"message_type": "image", "image_url": "file-service://plot"}, {"message_type": "stream"}]}
    content = {"content_type": "execution_output", "text": "4"}
    [found], _ = read(tmp_path, talk(node("a", None, "tool", content=content, metadata={"aggregate_result": drawn})))
    picture = {"type": "image_url", "image_url": {"url": "file-service://plot"}}
    assert main(found)[0]["content"] == [{"type": "text", "text": "4"}, picture]


def test_an_attachments_id_may_be_anything(tmp_path: Path) -> None:
    [found], reasons = read(tmp_path, talk(node("a", None, metadata={"attachments": [{"id": ["x"], "name": "n"}]})))
    assert reasons == []
    assert main(found)[0]["content"][1]["file"] == {"filename": "n"}


def test_conversations_whose_ids_only_look_alike_stay_apart(tmp_path: Path) -> None:
    ids = ["c\ud800", "c?", "x" * 600, "x" * 601]
    found, _ = read(tmp_path, *(talk(node("a", None), conversation_id=id_) for id_ in ids))
    assert len({one.session_id for one in found}) == len(ids)


def test_what_is_not_understood_is_kept_or_told(tmp_path: Path) -> None:
    one = node("a", None, author={"role": "user", "metadata": {"real_author": "tool:web"}}, update_time=7, new_key=[1])
    one["message"]["content"] = {"content_type": "brand_new", "shape": 1, "parts": ["text", {"x": 1}]}
    one["message"]["create_time"] = "yesterday"
    [found], reasons = read(tmp_path, talk(one))
    assert reasons == ["part 1 of node 'a' is not understood"]
    metadata = main(found)[0]["metadata"]
    assert metadata["content"] == {"shape": 1}
    assert metadata["extra"] == {
        "author": {"metadata": {"real_author": "tool:web"}},
        "create_time": "yesterday",
        "update_time": 7,
        "new_key": [1],
    }


def test_the_original_is_kept_on_demand(tmp_path: Path) -> None:
    one = node("a", None)
    [found], _ = read(tmp_path, talk(one), raw=True)
    assert main(found)[0]["metadata"]["raw"] == one["message"]


class TestDefects:
    def test_a_circle_an_orphan_and_junk_cost_nothing_but_themselves(self, tmp_path: Path) -> None:
        nodes = {
            "a": node("a", "b"),
            "b": node("b", "a"),
            "o": node("o", "gone"),
            "n": "junk",
            "k": node("k", "n"),
            "m": {"id": "m", "parent": "o", "message": 5},
            "l": node("l", "m"),
            "p": node("p", None) | {"parent": 7},
        }
        [found], reasons = read(tmp_path, {"conversation_id": "c", "mapping": nodes})
        assert {one.id for one in found.nodes} == {"a", "b", "o", "k", "l", "p"}
        assert next(one for one in found.nodes if one.id == "l").parent_id == "o"
        for name in ("'a'", "'o'", "'n'", "'k'", "'m'", "'p'"):
            assert any(name in reason for reason in reasons), name

    @pytest.mark.parametrize("bad", [{}, {"mapping": []}, {"mapping": None, "title": "x"}])
    def test_no_mapping(self, tmp_path: Path, bad: Any) -> None:
        talks, reasons = read(tmp_path, bad, talk(node("a", None)))
        assert len(talks) == len(reasons) == 1

    def test_a_conversation_without_an_id_is_named_for_what_it_says(self, tmp_path: Path) -> None:
        one = {"title": "x", "mapping": {"a": node("a", None)}}
        [first], _ = read(tmp_path, one)
        [again], _ = read(tmp_path, one)
        assert first.session_id == again.session_id
        assert first.session_id.startswith("conversations-")


class TestRoundTrip:
    """What an export of Bough in this shape has to do, and all that it has to do."""

    def exported(self, found: Conversation) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for one in found.nodes:
            [said] = one.messages()
            mapping[one.id] = {
                "id": one.id,
                "parent": one.parent_id,
                "children": [],
                "message": message(one.id, said.get("role", "assistant"), str(said.get("content")))
                | {"metadata": {"bough": said}},
            }
        return {
            "conversation_id": found.session_id.removeprefix("chatgpt-"),
            "title": found.title,
            "mapping": mapping,
            "current_node": next(paths(found)).nodes[-1].id,
        }

    def test_of_the_golden_export(self, tmp_path: Path) -> None:
        before = [one for one in read_conversations(EXPORT) if isinstance(one, Conversation)]
        after, reasons = read(tmp_path, *map(self.exported, before))
        assert reasons == []
        assert [(one.session_id, one.title, one.nodes) for one in after] == [
            (one.session_id, one.title, one.nodes) for one in before
        ]

    def test_a_session_comes_back_under_its_own_name(self, tmp_path: Path) -> None:
        one = node("a", None)
        [first, again], _ = read(tmp_path, talk(one), talk(one, conversation_id="chatgpt-c"))
        assert first.session_id == again.session_id == "chatgpt-c"

    def test_of_any_message(self, tmp_path: Path) -> None:
        said = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "metadata": {"x": 5.0}}
        one = node("a", None, "assistant", "x", metadata={"bough": said})
        [found], _ = read(tmp_path, talk(one))
        assert main(found) == [said]


def test_a_conversation_may_be_longer_than_the_stack_is_deep(tmp_path: Path) -> None:
    turns = 5 * sys.getrecursionlimit()
    nodes = [node(str(n), str(n - 1) if n else None) for n in range(turns)]
    [found], _ = read(tmp_path, talk(*reversed(nodes)))
    assert len(main(found)) == turns


BASE = talk(
    {"id": "root", "parent": None, "message": None, "children": ["a"]},
    node("a", "root", "user", "mark-a."),
    node("b", "a", "assistant", '{"x": "mark-b."}', recipient="web"),
    node("c", "b", "tool", "mark-c.", metadata={"attachments": [{"name": "f"}], "model_slug": "m"}),
    node("d", "a", "assistant", "mark-d.", create_time=5.0, weight=0),
    node("e", "d", "system", "mark-e."),
    current_node="d",
    create_time=1.5,
)


def good(value: Any) -> Iterator[tuple[str, str]]:
    mapping = value.get("mapping") if isinstance(value, dict) else None
    for id_, one in mapping.items() if isinstance(mapping, dict) else ():
        try:
            content = one["message"]["content"]
            parts = [part for part in content["parts"] if isinstance(part, str) and part.startswith(("mark", "{"))]
        except (TypeError, KeyError, IndexError):
            continue
        if isinstance(content["parts"], list):
            yield from ((id_, part[part.index("mark") :][:7]) for part in parts if "mark" in part)


@settings(max_examples=300)
@given(value=mangled(BASE, ["a", "b", "c", "d", "e", "root", "nowhere"]))
def test_whatever_is_whole_comes_out(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    check_nothing_is_lost(tmp_path_factory.getbasetemp() / "chatgpt.json", value, good, "chatgpt")


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_a_torn_file(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    talks = [{**BASE, "conversation_id": str(number)} for number in range(4)]
    check_torn(tmp_path_factory.getbasetemp() / "chatgpt.json", talks, share, "chatgpt")


def test_nothing_strange_is_passed_over_in_silence(tmp_path: Path) -> None:
    """A node's own id and its children are what is said not to be believed."""
    assert passed_over(tmp_path / "chatgpt.json", BASE, "chatgpt") == {"id", "children", "0"}
