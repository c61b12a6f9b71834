"""Claude Code's sessions. Numbers cite ``bough.transfer.claude_code``."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from golden_kit import GOLDEN, assert_nothing_is_lost, expected, mixed_up, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.transfer import Conversation, Defect, paths, read_conversations
from bough.transfer.claude_code import again
from bough.turns import check

[FILE] = (GOLDEN / "claude-code").glob("*.jsonl")
LINES = [json.loads(line) for line in FILE.read_text().splitlines() if line.endswith("}")]
IDS = [line["uuid"] for line in LINES if "uuid" in line]


def line(kind: str, uuid: str, parent: str | None, **more: Any) -> dict[str, Any]:
    return {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "isSidechain": False, **more}


def user(uuid: str, parent: str | None, content: Any = None, **more: Any) -> dict[str, Any]:
    return line("user", uuid, parent, message={"role": "user", "content": content or uuid}, **more)


def result(uuid: str, parent: str | None, call: str, **more: Any) -> dict[str, Any]:
    return user(uuid, parent, [{"type": "tool_result", "tool_use_id": call, "content": uuid}], **more)


def assistant(uuid: str, parent: str | None, message: str, call: str | None = None, **more: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": call, "name": "x", "input": {}} if call else {"type": "text", "text": uuid}
    said = {"id": message, "role": "assistant", "content": [block]}
    return line("assistant", uuid, parent, message=said, **more)


def says(found: Any) -> list[str]:
    message = found.get("message")
    if found.get("type") not in ("user", "assistant") or not isinstance(message, dict):
        return []
    content = message.get("content")
    blocks = content if isinstance(content, list) else [{"text": content}]
    return [block["text"] for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str)]


def written(folder: Path, *lines: Any, name: str = "s.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


def read(folder: Path, *lines: Any) -> tuple[dict[str, str], list[str]]:
    """The ids of the nodes along each branch, and the reasons of the defects."""
    found = list(read_conversations(written(folder, *lines), format="claude-code"))
    along: dict[str, list[str]] = {}
    for item in found:
        for each in paths(item) if isinstance(item, Conversation) else ():
            shared = along.get(each.parent_id or "", [])[: each.shared]
            along[each.branch_id] = [*shared, *(node.id for node in each.nodes)]
    return {id_: " ".join(ids) for id_, ids in along.items()}, [i.reason for i in found if isinstance(i, Defect)]


def test_golden() -> None:
    assert tree_of(FILE) == expected("claude-code")


def test_the_golden_file_has_turns_that_a_provider_takes() -> None:
    [found] = [item for item in read_conversations(FILE) if isinstance(item, Conversation)]
    assert not check([message for node in next(paths(found)).nodes for message in node.messages()])


def test_a_file_in_an_archive_is_the_same(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(FILE, f"projects/-home-me-shop/{FILE.name}")
    assert tree_of(tmp_path / "x.zip")["sessions"] == expected("claude-code")["sessions"]


@pytest.mark.parametrize("size", [1, 100, 1000])
def test_the_size_of_blocks_means_nothing(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(again, "BLOCK", size)
    assert tree_of(FILE) == expected("claude-code")


def test_raw_keeps_the_lines() -> None:
    [found] = [item for item in read_conversations(FILE, raw=True) if isinstance(item, Conversation)]
    kept: list[Any] = []
    for node in found.nodes:
        raw = node.messages()[0]["metadata"]["raw"]
        kept += raw if isinstance(raw, list) else [raw]
    assert sorted(each["uuid"] for each in kept) == sorted(
        each["uuid"] for each in LINES if "uuid" in each and each["type"] != "progress"
    )
    assert all(each in LINES for each in kept)


class TestLinesOfOneMessage:
    """1."""

    def test_are_one_node_also_around_results(self, tmp_path: Path) -> None:
        lines = [user("u", None), assistant("a", "u", "m"), assistant("b", "a", "m", "t1"), result("r", "b", "t1")]
        lines += [assistant("c", "r", "m", "t2"), result("q", "c", "t2"), assistant("d", "q", "n")]
        assert read(tmp_path, *lines) == ({"main": "u a r q d"}, [])

    def test_are_one_node_where_they_hang_side_by_side(self, tmp_path: Path) -> None:
        lines = [user("u", None), assistant("a", "u", "m"), assistant("b", "u", "m"), user("v", "b")]
        assert read(tmp_path, *lines) == ({"main": "u a v"}, [])

    def test_are_one_node_in_any_order(self, tmp_path: Path) -> None:
        lines = [assistant("c", "b", "m"), user("v", "c"), assistant("a", "u", "m"), assistant("b", "a", "m")]
        assert read(tmp_path, *lines, user("u", None)) == ({"main": "u c v"}, [])

    def test_are_one_node_in_any_order_around_results(self, tmp_path: Path) -> None:
        lines = [assistant("b", "r", "m"), result("r", "a", "t1"), assistant("a", "u", "m", "t1"), user("u", None)]
        assert read(tmp_path, *lines) == ({"main": "u b r"}, [])

    def test_of_one_id_but_elsewhere_are_two(self, tmp_path: Path) -> None:
        lines = [user("u", None), assistant("a", "u", "m"), user("v", "a"), assistant("b", "v", "m")]
        assert read(tmp_path, *lines) == ({"main": "u a v b"}, [])

    def test_without_an_id_are_two(self, tmp_path: Path) -> None:
        lines = [user("u", None), assistant("a", "u", ""), assistant("b", "a", "")]
        assert read(tmp_path, *lines) == ({"main": "u a b"}, [])

    def test_two_answers_are_a_fork(self, tmp_path: Path) -> None:
        lines = [user("u", None), assistant("a", "u", "m"), assistant("b", "u", "n")]
        assert read(tmp_path, *lines) == ({"main": "u b", "a": "u a"}, [])


class TestParallelResults:
    """2."""

    CALLS = (user("u", None), assistant("a", "u", "m", "t1"), assistant("b", "a", "m", "t2"))

    def test_are_no_fork(self, tmp_path: Path) -> None:
        for last in ("r", "q"):
            lines = [*self.CALLS, result("r", "a", "t1"), result("q", "b", "t2"), assistant("c", last, "n")]
            assert read(tmp_path, *lines) == ({"main": "u a r q c"}, [])

    def test_are_no_fork_behind_progress(self, tmp_path: Path) -> None:
        lines = [*self.CALLS, line("progress", "p", "a"), result("r", "p", "t1"), result("q", "b", "t2")]
        assert read(tmp_path, *lines, user("v", "q")) == ({"main": "u a r q v"}, [])

    def test_a_second_result_of_a_call_is_a_fork(self, tmp_path: Path) -> None:
        lines = [*self.CALLS, result("r", "b", "t1"), user("v", "r"), result("again", "b", "t1"), user("w", "again")]
        assert read(tmp_path, *lines) == ({"main": "u a again w", "v": "u a r v"}, [])

    def test_a_fork_behind_them_stays_one(self, tmp_path: Path) -> None:
        lines = [*self.CALLS, result("r", "a", "t1"), result("q", "b", "t2"), user("v", "r"), user("w", "q")]
        assert read(tmp_path, *lines) == ({"main": "u a r q w", "v": "u a r q v"}, [])


class TestSidechains:
    """3."""

    def test_begin_on_their_own_and_are_never_main(self, tmp_path: Path) -> None:
        side: dict[str, Any] = {"isSidechain": True, "agentId": "x"}
        lines = [user("s", None, **side), user("u", None), assistant("a", "u", "m"), user("hung", "a", **side)]
        lines += [assistant("t", "hung", "n", **side), assistant("z", "s", "o", **side)]
        assert read(tmp_path, *lines) == (
            {
                "main": "u a",
                "sidechain-z": "sidechain-s sidechain-z",
                "sidechain-t": "sidechain-hung sidechain-t",
            },
            [],
        )

    def test_a_file_of_an_agent_is_a_session_of_its_own(self, tmp_path: Path) -> None:
        side: dict[str, Any] = {"isSidechain": True, "agentId": "7f"}
        lines = [user("u", None, **side), assistant("a", "u", "m", **side)]
        [found] = read_conversations(written(tmp_path, *lines, name="agent-7f.jsonl"))
        assert isinstance(found, Conversation)
        assert found.session_id == "claude-code-s-agent-7f"
        assert [path.branch_id for path in paths(found)] == ["main"]


def test_other_lines_hold_the_chain_together_and_are_counted(tmp_path: Path) -> None:
    """4."""
    lines = [user("u", None), line("progress", "p", "u"), line("new-type", "n", "p"), user("v", "n")]
    assert read(tmp_path, *lines) == ({"main": "u v"}, [])
    [found] = read_conversations(tmp_path / "s.jsonl")
    assert isinstance(found, Conversation)
    assert found.metadata is not None
    assert found.metadata["otherLines"] == {"progress": 1, "new-type": 1}


def test_main_ends_in_what_was_said_last(tmp_path: Path) -> None:
    lines = [user("u", None), user("a", "u"), user("b", "u"), user("x", "a", isMeta=True), line("system", "y", "a")]
    assert read(tmp_path, *lines)[0]["main"] == "u b"


def test_a_compacted_session_stays_in_one_piece(tmp_path: Path) -> None:
    lines = [user("u", None), line("system", "c", None, logicalParentUuid="u", content="compacted"), user("v", "c")]
    assert read(tmp_path, *lines) == ({"main": "u c v"}, [])


def test_logical_parents_that_stand_further_down_cost_no_square(tmp_path: Path) -> None:
    """They go round in circles, too: the first of each follows what was written before it."""

    def cost(count: int) -> float:
        cut = [line("system", f"{n}", None, logicalParentUuid=f"{n + 1}", content="c") for n in range(count)]
        path = written(tmp_path, user("u", None), *cut, user(f"{count}", "0"))
        begin = process_time()
        [found] = read_conversations(path, format="claude-code")
        assert isinstance(found, Conversation)
        assert [node.parent_id for node in found.nodes][:3] == [None, "u", "0"]
        return process_time() - begin

    small, large = (min(cost(count) for _ in range(3)) for count in (1_000, 8_000))
    assert large < 30 * small  # 8 as it is; a square would be 64


class TestPreservedMessages:
    """5."""

    CUT = line(
        *("system", "c", None),
        content="compacted",
        logicalParentUuid="x",
        compactMetadata={"preservedMessages": {"anchorUuid": "sum", "uuids": ["w", "x"]}},
    )
    BEFORE = (user("u", None), user("w", "u"), user("x", "w"), CUT, user("sum", "c", isCompactSummary=True))

    def test_what_follows_the_last_of_them_follows_the_summary(self, tmp_path: Path) -> None:
        assert read(tmp_path, *self.BEFORE, user("v", "x")) == ({"main": "u w x c sum v"}, [])

    def test_a_fork_before_them_stays_one(self, tmp_path: Path) -> None:
        assert read(tmp_path, *self.BEFORE, user("v", "w"))[0] == {"main": "u w v", "sum": "u w x c sum"}

    def test_one_that_is_written_behind_the_summary_makes_no_circle(self, tmp_path: Path) -> None:
        lines = [*self.BEFORE[:2], *self.BEFORE[3:], user("x", "sum"), user("v", "x")]
        assert read(tmp_path, *lines) == ({"main": "u w c sum x v"}, [])


def test_what_was_typed_while_the_model_was_at_work_is_the_users(tmp_path: Path) -> None:
    def queued(uuid: str, parent: str, prompt: Any, **more: Any) -> dict[str, Any]:
        return line("attachment", uuid, parent, attachment={"type": "queued_command", "prompt": prompt, **more})

    blocks = [{"type": "text", "text": "also"}, {"type": "image", "source": {"type": "url", "url": "file:///p"}}]
    lines = [user("u", None), queued("a", "u", "wait", commandMode="prompt", origin={"kind": "human"})]
    lines += [queued("b", "a", blocks), queued("c", "b", "done", commandMode="task-notification")]
    lines += [queued("d", "c", "hi", commandMode="prompt", origin={"kind": "peer"})]
    [found] = read_conversations(written(tmp_path, *lines))
    assert isinstance(found, Conversation)
    said = [(one["role"], one["content"]) for node in found.nodes for one in node.messages()]
    picture = {"type": "image_url", "image_url": {"url": "file:///p"}}
    assert said[1:] == [("user", "wait"), ("user", [blocks[0], picture]), ("system", "done"), ("system", "hi")]


def test_what_only_measures_or_says_nothing_is_no_message(tmp_path: Path) -> None:
    lines = [user("u", None), line("system", "t", "u", subtype="turn_duration", durationMs=5)]
    thought = {"type": "thinking", "thinking": "", "signature": "x"}
    said = {"id": "m", "role": "assistant", "content": [thought, {"type": "text", "text": "Yes."}]}
    [found] = read_conversations(written(tmp_path, *lines, line("assistant", "a", "t", message=said)))
    assert isinstance(found, Conversation)
    assert [one["content"] for node in found.nodes for one in node.messages()] == ["u", "Yes."]
    assert (found.metadata or {})["otherLines"] == {"turn_duration": 1}


def test_where_a_fork_came_from(tmp_path: Path) -> None:
    forked = {"sessionId": "old", "messageUuid": "m"}
    [found] = read_conversations(written(tmp_path, user("u", None, forkedFrom=forked)))
    assert isinstance(found, Conversation)
    assert found.metadata is not None
    assert found.metadata["forkedFrom"] == forked


def test_titles(tmp_path: Path) -> None:
    def title(*lines: Any) -> str | None:
        [found] = read_conversations(written(tmp_path, user("u", None), *lines))
        assert isinstance(found, Conversation)
        return found.title

    own = {"type": "summary", "summary": "Own", "leafUuid": "u"}
    custom = {"type": "custom-title", "customTitle": "Mine", "sessionId": "s"}
    assert title() is None
    assert title({**own, "leafUuid": "elsewhere"}) is None
    assert title(own) == "Own"
    assert title(own, {"type": "ai-title", "aiTitle": "Its", "sessionId": "s"}) == "Its"
    assert title(custom, own, {"type": "ai-title", "aiTitle": "Its", "sessionId": "s"}) == "Mine"
    assert title(custom, {**custom, "customTitle": "main"}) == "main"


def test_the_same_line_again_is_passed_over_and_another_of_its_id_is_told(tmp_path: Path) -> None:
    lines = [user("u", None), user("v", "u"), user("u", None), user("v", "u", "other")]
    assert read(tmp_path, *lines) == ({"main": "u v"}, ["a second line has the uuid 'v'"])


def test_what_is_no_line_is_told(tmp_path: Path) -> None:
    lines = [user("u", None), user("", "u"), line("user", "x", "u"), line("user", "y", "x", message={"content": 5})]
    assert read(tmp_path, *lines, user("v", "y", [1, {"type": "text", "text": "z"}])) == (
        {"main": "u v"},
        [
            "a line of the type user without a uuid",
            "a line of the type user without a message",
            "a line of the type user without a message",
            "a block that is no object is left out",
        ],
    )
    assert read(tmp_path, {"type": "summary", "summary": "x", "leafUuid": "y"}) == (
        {},
        ["the session has no messages"],
    )


def test_a_folder_of_projects(tmp_path: Path) -> None:
    for project in ("-home-me-a", "-home-me-b"):
        (tmp_path / project).mkdir()
        written(tmp_path / project, user("u", None, sessionId=project), name=f"{project}.jsonl")
    found = list(read_conversations(tmp_path))
    assert [item.session_id for item in found if isinstance(item, Conversation)] == [
        "claude-code--home-me-a",
        "claude-code--home-me-b",
    ]


def test_a_file_that_is_changed_while_it_is_read_is_a_value_error(tmp_path: Path) -> None:
    path = written(tmp_path, *[user(f"u{n}", f"u{n - 1}" if n else None) for n in range(5)])
    [found] = read_conversations(path)
    assert isinstance(found, Conversation)
    text = path.read_text()
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read any more"):
        found.nodes[3].messages()
    path.write_text(text.replace("u3", "w3"))
    with pytest.raises(ValueError, match=r"s\.jsonl:4: it was changed"):
        found.nodes[3].messages()
    for content in ("", "x" * 5000, "{}\n" * 500, json.dumps(user("other", None)) * 9):
        path.write_text(content)
        with pytest.raises(ValueError, match=r".+"):
            found.nodes[3].messages()


@given(mixed_up(LINES, IDS, "parentUuid"))
def test_no_good_line_is_lost(tmp_path_factory: pytest.TempPathFactory, lines: list[Any]) -> None:
    assert_nothing_is_lost(tmp_path_factory.getbasetemp() / "claude.jsonl", lines, says, format="claude-code")


@given(st.integers(0, FILE.stat().st_size))
def test_cut_anywhere(tmp_path_factory: pytest.TempPathFactory, stop: int) -> None:
    path = tmp_path_factory.getbasetemp() / "claude-cut.jsonl"
    path.write_bytes(FILE.read_bytes()[:stop])
    tree_of(path, format="claude-code")


@st.composite
def chains(draw: st.DrawFn) -> list[Any]:
    """Lines of few messages and calls with any parents, circles among them."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        parent = draw(st.none() | st.integers(0, 12).map(str))
        message, side = draw(st.sampled_from("mn")), draw(st.booleans()) and draw(st.booleans())
        made: Iterator[Any] = iter(
            [
                user(str(number), parent, [{"type": "text", "text": f"<{number}>"}], isSidechain=side),
                result(str(number), parent, message, isSidechain=side),
                assistant(str(number), parent, message, isSidechain=side),
                assistant(str(number), parent, message, call=message, isSidechain=side),
                line("progress", str(number), parent),
            ]
        )
        found.append(draw(st.sampled_from(list(made))))
    return found


@settings(max_examples=400)
@given(chains())
def test_whatever_hangs_on_whatever_each_line_comes_out_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any]
) -> None:
    path = written(tmp_path_factory.getbasetemp(), *lines, name="chains.jsonl")
    kept: list[str] = []
    for item in read_conversations(path, format="claude-code", raw=True):
        for node in item.nodes if isinstance(item, Conversation) else ():
            raw = node.messages()[0]["metadata"]["raw"]
            kept += [each["uuid"] for each in (raw if isinstance(raw, list) else [raw])]
    assert sorted(kept) == sorted(each["uuid"] for each in lines if each["type"] != "progress")


def session_of(path: Path, count: int) -> None:
    """A session of so many lines of 4 kB, most of them parts of joined messages."""
    with path.open("w") as file:
        for number in range(count):
            parent = f"{number - 1:036}" if number else None
            make = (user, assistant, assistant, assistant)[number % 4]
            message = [] if make is user else [f"m{number // 4}"]
            made = make(f"{number:036}", parent, *message, toolUseResult=f"{number} " + "x" * 3500)
            file.write(json.dumps(made) + "\n")


def test_memory_holds_where_lines_are_and_not_what_they_say(tmp_path: Path) -> None:
    """Four times the lines take the same memory, but for some hundred bytes of each that are remembered."""
    peaks = {}
    for count in (2_500, 10_000):
        path = tmp_path / f"{count}.jsonl"
        session_of(path, count)
        tracemalloc.start()
        try:
            [found] = read_conversations(path)
            assert isinstance(found, Conversation)
            said = sum(len(node.messages()) for each in paths(found) for node in each.nodes)
            peaks[count] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert said == count // 2
    assert peaks[10_000] - peaks[2_500] < 7_500 * 800
    assert peaks[2_500] < 4 << 20


def test_what_was_read_again_is_not_held(tmp_path: Path) -> None:
    """Of many conversations, all held, each of which was read to its end."""
    for number in range(30):
        session_of(tmp_path / f"{number}.jsonl", 40)
    tracemalloc.start()
    try:
        found = [item for item in read_conversations(tmp_path) if isinstance(item, Conversation)]
        before = tracemalloc.get_traced_memory()[0]
        assert sum(len(node.messages()) for item in found for node in item.nodes) == 30 * 20
        assert tracemalloc.get_traced_memory()[0] - before < 1 << 20
    finally:
        tracemalloc.stop()
