"""Open WebUI's chats."""

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
from bough.turns import check


def said(id_: str, parent: str | None, content: Any = "…", **more: Any) -> dict[str, Any]:
    return {"id": id_, "parentId": parent, "childrenIds": [], "role": "user", "content": content, **more}


def chat(*messages: Any, current: Any = None, **more: Any) -> dict[str, Any]:
    history = {"messages": {one["id"]: one for one in messages}, "currentId": current}
    return {"id": "c", "title": "T", "chat": {"history": history, "messages": []}, **more}


def read(folder: Path, *chats: Any, **options: Any) -> tuple[list[Conversation], list[str]]:
    path = folder / "chats.json"
    path.write_text(json.dumps(list(chats)), encoding="utf-8")
    found = list(read_conversations(path, format="open-webui", **options))
    reasons = [one.reason for one in found if isinstance(one, Defect)]
    return [one for one in found if isinstance(one, Conversation)], reasons


def branches(found: Conversation) -> dict[str, list[str]]:
    return {path.branch_id: [one.id for one in path.nodes] for path in paths(found)}


def main(found: Conversation) -> list[dict[str, Any]]:
    return [one for node in next(paths(found)).nodes for one in node.messages()]


def answer(folder: Path, **more: Any) -> list[dict[str, Any]]:
    """The messages of one answer."""
    [found], _ = read(folder, chat(said("a", None, **{"role": "assistant", **more})))
    return main(found)


def test_golden() -> None:
    assert tree_of(GOLDEN / "open-webui" / "export") == expected("open-webui")


class TestTree:
    def test_parents_are_believed_and_children_are_not(self, tmp_path: Path) -> None:
        messages = [said("b", "a"), said("c", "a"), said("a", None, childrenIds=["b", "zzz"])]
        [found], reasons = read(tmp_path, chat(*messages, current="b"))
        assert (branches(found), reasons) == ({"main": ["a", "b"], "c": ["c"]}, [])

    def test_without_a_pointer_main_ends_at_the_youngest_leaf(self, tmp_path: Path) -> None:
        messages = [said("a", None), said("b", "a", timestamp=9), said("c", "a", timestamp=3)]
        [found], reasons = read(tmp_path, chat(*messages))
        assert (branches(found)["main"], reasons) == (["a", "b"], [])
        [found], reasons = read(tmp_path, chat(*messages, current="zzz"))
        assert branches(found)["main"] == ["a", "b"]
        assert reasons == ["currentId names no message"]

    def test_an_old_chat_has_a_list_alone(self, tmp_path: Path) -> None:
        one = {"id": "c", "chat": {"title": "Old", "messages": [{"role": "user", "content": "x"}, said("b", "zzz")]}}
        path = tmp_path / "chat.json"
        path.write_text(json.dumps(one))
        [found] = read_conversations(path)
        assert isinstance(found, Conversation)
        assert (found.title, branches(found)) == ("Old", {"main": ["message-0", "b"]})


class TestAnswers:
    def test_output_is_believed_before_the_content(self, tmp_path: Path) -> None:
        output = [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "id": "c2", "name": "g", "arguments": {"a": 1}},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "2"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Done."}]},
            {"type": "web_search_call", "action": {"query": "x"}},
        ]
        messages = answer(tmp_path, content="<details>…", output=output)
        assert [one["role"] for one in messages] == ["assistant", "tool", "tool", "assistant"]
        assert check(messages) == []
        assert messages[0]["content"] == [{"type": "thinking", "thinking": "Hm."}]
        assert messages[-1]["content"] == "Done."
        assert messages[0]["metadata"]["other"] == output[-1:]

    def test_an_output_that_says_nothing_leaves_the_content(self, tmp_path: Path) -> None:
        [one] = answer(tmp_path, content="x", output=[{"type": "message", "content": []}])
        assert one["content"] == "x"

    def test_details_in_the_content(self, tmp_path: Path) -> None:
        content = (
            'Before.\n<details type="reasoning" done="true" duration="1">\n<summary>Thought</summary>\n&gt; a &lt; b\n'
            '</details>\n<details type="tool_calls" done="true" id="c1" name="f" arguments="{&quot;a&quot;: 1}" '
            'result="&quot;x \\&quot;y\\&quot;&quot;">\n<summary>Tool Executed</summary>\n</details>\n'
            '<details type="tool_calls" done="false" id="c2" name="g" arguments="">\n</details>\n<details>own</details>'
        )
        messages = answer(tmp_path, content=content.replace("&gt; ", "> "))
        assert messages[0]["content"] == [
            {"type": "text", "text": "Before."},
            {"type": "thinking", "thinking": "a < b"},
        ]
        assert messages[0]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
        assert messages[1]["content"] == 'x "y"'
        assert messages[2]["content"] == "<details>own</details>"
        assert [one["id"] for one in messages[2]["tool_calls"]] == ["c2"]

    def test_code_that_was_run_is_a_call(self, tmp_path: Path) -> None:
        item = {"type": "open_webui:code_interpreter", "id": "ci", "lang": "python", "code": "2 + 2", "output": "4"}
        said = {"type": "message", "content": [{"type": "output_text", "text": "It is 4."}]}
        old = '<details type="code_interpreter" done="true" output="&quot;4&quot;">\n<summary>Analyzed</summary>\n'
        old += "```python\n2 + 2\n```\n</details>\nIt is 4."
        for more in ({"content": old}, {"content": old, "output": [item, said]}):
            messages = answer(tmp_path, **more)
            assert [one["content"] for one in messages] == [None, "4", "It is 4."]
            call = messages[0]["tool_calls"][0]["function"]
            assert (call["name"], json.loads(call["arguments"])) == (
                "code_interpreter",
                {"lang": "python", "code": "2 + 2"},
            )
        [unfinished] = answer(tmp_path, output=[{**item, "output": None}])
        assert unfinished["tool_calls"][0]["id"] == "ci"
        [_, result] = answer(tmp_path, output=[{**item, "output": {"stdout": "4"}}])
        assert result["content"] == '{"stdout":"4"}'

    def test_a_user_may_write_details(self, tmp_path: Path) -> None:
        content = '<details type="reasoning">mine</details>'
        [one] = answer(tmp_path, role="user", content=content)
        assert one["content"] == content

    @pytest.mark.parametrize(
        "content",
        [
            '<details type="reasoning"' * 100_000,
            '<details type="reasoning">' * 100_000,
            '<details type="tool_calls" ' + "a" * 1_000_000 + "></details>",
            '<details type="reasoning">' + " " * 1_000_000 + "</details>",
            '<details type="x">' * 100_000 + "</details>",
        ],
    )
    def test_a_text_made_to_be_slow(self, tmp_path: Path, content: str) -> None:
        """Would take hours if any part of it were looked at once for each other part."""
        assert len(answer(tmp_path, content=content)) in (1, 2)

    def test_images_are_named_and_their_bytes_stay_where_they_are(self, tmp_path: Path) -> None:
        files = [{"type": "image", "url": "data:image/png;base64,AAAA"}, {"type": "image", "url": "/api/v1/files/1"}]
        parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,BB"}}]
        [one] = answer(tmp_path, role="user", content=parts, files=files)
        urls = [part["image_url"]["url"] for part in one["content"] if part["type"] == "image_url"]
        assert [url[:7] for url in urls] == ["sha256:", "sha256:", "/api/v1"]
        assert len(set(urls)) == 3


def test_defects_cost_nothing_but_themselves(tmp_path: Path) -> None:
    one = chat(said("a", "b"), said("b", "a"), said("o", "gone"), said("p", None) | {"parentId": 5}, said("r", "j"))
    one["chat"]["history"]["messages"]["j"] = "junk"
    del one["chat"]["history"]["messages"]["r"]["role"]
    talks, reasons = read(tmp_path, one, {"chat": {}}, {"id": "x"}, 5)
    assert {each.id for each in talks[0].nodes} == {"a", "b", "o", "p", "r"}
    for name in ("'a'", "'o'", "'p'", "'j'", "'r'", "neither chat.history", "chat is missing", "int"):
        assert any(name in reason for reason in reasons), name


BASE = chat(
    said("a", None, "mark-a.", timestamp=5),
    said("b", "a", "mark-b.", role="assistant", model="m", usage={"x": 1}, files=[{"type": "image", "url": "u"}]),
    said(
        "c",
        "a",
        'x<details type="tool_calls" id="t" name="f" arguments="{}" result="1">y</details>mark-c.',
        role="assistant",
    ),
    said("d", "c", "", output=[{"type": "message", "content": [{"type": "output_text", "text": "mark-d."}]}]),
    current="d",
    created_at=5,
)


def good(value: Any) -> Iterator[tuple[str, str]]:
    try:
        messages = value["chat"]["history"]["messages"].items()
    except (AttributeError, TypeError, KeyError, IndexError):
        return
    for id_, one in messages:
        if not isinstance(one, dict):
            continue
        content, output = one.get("content"), one.get("output")
        if isinstance(content, str) and "mark" in content and not output:
            yield id_, content[content.index("mark") :][:7]


@settings(max_examples=300)
@given(value=mangled(BASE, ["a", "b", "c", "d", "gone"]))
def test_whatever_is_whole_comes_out(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    check_nothing_is_lost(tmp_path_factory.getbasetemp() / "open-webui.json", value, good, "open-webui")


@settings(max_examples=60)
@given(share=st.floats(0, 1))
def test_a_torn_file(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    chats = [{**BASE, "id": str(number)} for number in range(4)]
    check_torn(tmp_path_factory.getbasetemp() / "open-webui.json", chats, share, "open-webui")


def test_nothing_strange_is_passed_over_in_silence(tmp_path: Path) -> None:
    """The children, the list beside the history and the content beside ``output`` are said not to be believed."""
    assert passed_over(tmp_path / "open-webui.json", BASE, "open-webui") == {"childrenIds", "messages", "content"}
