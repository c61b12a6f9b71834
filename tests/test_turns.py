"""Turns: groups, places to cut, what is refused and how it is mended. The numbers are those of ``bough.turns``."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, get_args, overload

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bough.errors import InvalidRequestError
from bough.model import Message
from bough.turns import (
    Group,
    Provider,
    Repaired,
    TurnProblem,
    TurnProblemKind,
    align,
    check,
    groups,
    repair,
    safe_start,
)
from bough.turns.repairing import MISSING, NOTHING

PROVIDERS: tuple[Provider, ...] = get_args(Provider)
LEFT = {"role-order", "unknown-shape"}


def system(text: str = "You help.") -> Message:
    return {"role": "system", "content": text}


def user(text: str = "What is the weather?") -> Message:
    return {"role": "user", "content": text}


def assistant(text: str = "It rains.") -> Message:
    return {"role": "assistant", "content": text}


# OpenAI chat completions


def chat_calls(*ids: str, content: str | None = None) -> Message:
    return {
        "role": "assistant",
        "content": content,
        "tool_calls": [
            {"id": one, "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Ulm"}'}}
            for one in ids
        ],
    }


def tool(of: str, content: Any = "12 degrees") -> Message:
    return {"role": "tool", "tool_call_id": of, "content": content}


CHAT: list[Message] = [
    system(),
    user(),
    chat_calls("call_1", "call_2"),
    tool("call_2"),
    tool("call_1", [{"type": "text", "text": "11 degrees"}]),
    assistant(),
    user("And now?"),
    chat_calls("call_3", content="I look."),
    tool("call_3"),
    chat_calls("call_4"),
    tool("call_4"),
    assistant(""),
    {"role": "assistant", "content": None, "function_call": {"name": "get_time", "arguments": "{}"}},
    {"role": "function", "name": "get_time", "content": "12:00"},
    {"role": "assistant", "content": None, "refusal": "I do not say."},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_5", "type": "custom", "custom": {"name": "run", "input": "ls"}}],
    },
    tool("call_5"),
]
CHAT_GROUPS = [1, 1, 3, 1, 1, 2, 2, 1, 2, 1, 2]


# OpenAI Responses


def reasoning(identity: str = "rs_1") -> Message:
    return {"type": "reasoning", "id": identity, "summary": [{"type": "summary_text", "text": "Look."}]}


def call(of: str, name: str = "get_weather") -> Message:
    return {"type": "function_call", "id": f"fc_{of}", "call_id": of, "name": name, "arguments": "{}"}


def output(of: str, said: Any = "12 degrees") -> Message:
    return {"type": "function_call_output", "call_id": of, "output": said}


def said(text: str = "It rains.") -> Message:
    return {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }


SEARCH: Message = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
SCREENSHOT: Message = {
    "type": "computer_call_output",
    "call_id": "c_5",
    "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBORw0K"},
}
CLICK: Message = {
    "type": "computer_call",
    "id": "cu_1",
    "call_id": "c_5",
    "action": {"type": "click", "button": "left", "x": 1, "y": 2},
    "pending_safety_checks": [],
    "status": "completed",
}
SHELL: Message = {
    "type": "local_shell_call",
    "id": "lsh_1",
    "call_id": "c_6",
    "action": {"type": "exec", "command": ["ls"], "env": {}},
    "status": "completed",
}
APPROVAL: Message = {
    "type": "mcp_approval_request",
    "id": "mcpr_1",
    "server_label": "files",
    "name": "delete",
    "arguments": "{}",
}
RESPONSES: list[Message] = [
    {"role": "user", "content": [{"type": "input_text", "text": "What is the weather?"}]},
    reasoning(),
    call("c_1"),
    call("c_2"),
    output("c_1"),
    output("c_2", [{"type": "input_image", "image_url": "data:image/png;base64,iVBORw0K"}]),
    reasoning(),
    SEARCH,
    reasoning(),
    reasoning("rs_2"),
    said(),
    {"type": "message", "role": "user", "content": "And now?"},
    said("First I look."),
    call("c_3"),
    said("And then"),
    reasoning(),
    {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c_4", "name": "run", "input": "ls"},
    {"type": "custom_tool_call_output", "call_id": "c_4", "output": "a.txt"},
    output("c_3"),
    CLICK,
    SCREENSHOT,
    SHELL,
    {"type": "local_shell_call_output", "id": "c_6", "output": "a.txt"},
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "files", "tools": []},
    APPROVAL,
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    {"type": "mcp_call", "id": "mcp_1", "server_label": "files", "name": "delete", "arguments": "{}", "output": "ok"},
    assistant("Done."),
]
RESPONSES_GROUPS = [1, 5, 2, 3, 1, 1, 6, 2, 2, 1, 2, 1, 1]


# Anthropic


def use(*ids: str, text: str | None = "I look.") -> Message:
    blocks: list[Any] = [{"type": "text", "text": text}] if text is not None else []
    blocks += [{"type": "tool_use", "id": one, "name": "get_weather", "input": {"city": "Ulm"}} for one in ids]
    return {"role": "assistant", "content": blocks}


def result(of: str, content: Any = "12 degrees") -> Message:
    return {"type": "tool_result", "tool_use_id": of, "content": content}


def results(*of: str | Message, text: str | None = None) -> Message:
    blocks: list[Any] = [result(one) if isinstance(one, str) else one for one in of]
    return {"role": "user", "content": blocks + ([{"type": "text", "text": text}] if text is not None else [])}


PICTURE: list[Message] = [
    {"type": "text", "text": "Here it is"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}},
]
ANTHROPIC: list[Message] = [
    user(),
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Look.", "signature": "c2ln"},
            *use("toolu_1", "toolu_2")["content"],
        ],
    },
    results("toolu_2", result("toolu_1", PICTURE), text="Be quick."),
    assistant(),
    user("Search."),
    {
        "role": "assistant",
        "content": [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "Ulm"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            {"type": "text", "text": "It rains."},
        ],
    },
    user("And now?"),
    use("toolu_3", text=None),
    results({"type": "tool_result", "tool_use_id": "toolu_3"}),
    use("toolu_4"),
    results("toolu_4"),
    assistant("Done."),
]
ANTHROPIC_GROUPS = [1, 2, 1, 1, 1, 1, 2, 2, 1]

MIXED: list[Message] = [
    system(),
    user(),
    *CHAT[2:6],
    user(),
    *ANTHROPIC[1:4],
    user(),
    *RESPONSES[1:11],
]
MIXED_GROUPS = [1, 1, 3, 1, 1, 2, 1, 1, 5, 2, 3]

REAL: dict[str, tuple[list[Message], list[int], Provider | None]] = {
    "chat": (CHAT, CHAT_GROUPS, "openai"),
    "responses": (RESPONSES, RESPONSES_GROUPS, "openai-responses"),
    "anthropic": (ANTHROPIC, ANTHROPIC_GROUPS, "anthropic"),
    "mixed": (MIXED, MIXED_GROUPS, None),
}
real = pytest.mark.parametrize("name", REAL)


def sizes(messages: Sequence[Message]) -> list[int]:
    found = groups(messages)
    assert [group.start for group in found] == [0, *(group.stop for group in found)][: len(found)]
    assert (found[-1].stop if found else 0) == len(messages)
    return [group.stop - group.start for group in found]


def kinds(messages: Sequence[Message], provider: Provider | None = None) -> list[tuple[int, str]]:
    return [(problem.index, problem.kind) for problem in check(messages, provider=provider)]


def after(messages: Sequence[Message], repaired: Repaired) -> list[Message]:
    return [messages[part] if isinstance(part, int) else part for part in repaired.parts]


def repaired_well(messages: list[Message], provider: Provider | None = None, how: Any = "complete") -> list[Message]:
    """Guarantees 4 and 5, for one repair; gives what came out."""
    before = copy.deepcopy(messages)
    repaired = repair(messages, provider=provider, how=how)
    assert messages == before
    assert repaired.problems == check(messages, provider=provider)
    mended = after(messages, repaired)
    assert repaired.left == check(mended, provider=provider)
    assert {problem.kind for problem in repaired.left} <= LEFT
    again = repair(mended, provider=provider, how=how)
    assert again.parts == list(range(len(mended)))
    if {problem.kind for problem in repaired.problems} <= LEFT:
        assert repaired.parts == list(range(len(messages)))
    kept = [part for part in repaired.parts if isinstance(part, int)]
    assert len(set(kept)) == len(kept)
    return mended


# Groups


@real
def test_groups_of_real_conversations(name: str) -> None:
    messages, expected, provider = REAL[name]
    assert sizes(messages) == expected
    assert check(messages) == []
    assert check(messages, provider=provider) == []
    assert repaired_well(messages, provider) == messages


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], []),
        ([chat_calls("a", "b"), tool("a")], [2]),
        ([chat_calls("a", "b"), tool("a"), user(), tool("b")], [2, 1, 1]),
        ([chat_calls("a", "b"), tool("a"), tool("x"), tool("b")], [2, 1, 1]),
        ([chat_calls("a", "b"), tool("a"), tool("a"), tool("b"), tool("b")], [4, 1]),
        ([chat_calls("a"), output("a")], [1, 1]),
        ([chat_calls("a"), results("a")], [1, 1]),
        ([call("a"), tool("a")], [1, 1]),
        ([use("a"), tool("a")], [1, 1]),
        ([use("a", "b"), results("a"), results("b")], [3]),
        ([use("a"), user(), results("a")], [1, 1, 1]),
        ([use("a"), {"role": "assistant", "content": [result("a")]}], [1, 1]),
        ([use("a"), use("b"), results("b")], [1, 2]),
        ([call("a"), call("b"), user()], [2, 1]),
        ([call("a"), said(), user()], [1, 1, 1]),
        ([{**call("a"), "role": "assistant"}, output("a")], [2]),
        ([{**chat_calls("a"), "type": "chat"}, tool("a")], [2]),
        ([reasoning(), RESPONSES[23], user()], [2, 1]),
        ([reasoning(), {"role": "assistant", "content": [result("a")]}], [1, 1]),
        ([call("a"), reasoning(), said(), user()], [1, 2, 1]),
        ([call("a"), said(), output("a")], [3]),
        ([call("a"), user(), output("a")], [1, 1, 1]),
        ([call("a"), call("b"), output("b"), call("c"), output("c")], [3, 2]),
        ([reasoning(), reasoning(), user()], [2, 1]),
        ([reasoning(), output("a")], [1, 1]),
        ([reasoning(), chat_calls("a"), tool("a")], [1, 2]),
        ([SEARCH, call("a"), output("a")], [1, 2]),
        ([user(), reasoning()], [1, 1]),
    ],
)
def test_what_closes_a_group(messages: list[Message], expected: list[int]) -> None:
    assert sizes(messages) == expected


@real
def test_cutting_a_group_leaves_what_came_before_it_as_it_was(name: str) -> None:
    messages, _, provider = REAL[name]
    boundaries = {group.stop for group in groups(messages)} | {0}
    for cut in range(len(messages) + 1):
        inside = kinds(messages[:cut], provider)
        if cut in boundaries:
            assert inside == []
        else:
            assert inside
            assert {kind for _, kind in inside} <= {"dangling-call", "dangling-reasoning"}
            assert all(problem.at_end for problem in check(messages[:cut], provider=provider))
        for how in ("complete", "remove"):
            repaired_well(messages[:cut], provider, how)
            repaired_well(messages[cut:], provider, how)


# Alignment


class Counting(Sequence[Message]):
    """A conversation in a store: counts what is read, and knows no slices."""

    def __init__(self, length: int, at: Callable[[int], Message]) -> None:
        self._length = length
        self._at = at
        self.read: set[int] = set()

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Any:
        assert isinstance(index, int)
        assert 0 <= index < self._length
        self.read.add(index)
        return self._at(index)


def aligned_in_full(messages: Sequence[Message], index: int) -> tuple[int, int]:
    """The oracle: all boundaries of the whole conversation."""
    boundaries = [0, *(group.stop for group in groups(messages))]
    return max(b for b in boundaries if b <= index), min(b for b in boundaries if b >= index)


def assert_aligned(messages: Sequence[Message]) -> None:
    boundaries = {0, *(group.stop for group in groups(messages))}
    for index in range(len(messages) + 1):
        found = align(messages, index, "back"), align(messages, index, "forward")
        assert found == aligned_in_full(messages, index)
        start = safe_start(messages, index)
        assert start <= index
        assert start in boundaries
        tail = [Group(start=g.start + start, stop=g.stop + start) for g in groups(messages[start:])]
        assert tail == [group for group in groups(messages) if group.start >= start]


@real
def test_alignment_at_every_index(name: str) -> None:
    messages = REAL[name][0]
    for cut in range(len(messages) + 1):
        assert_aligned(messages[:cut])
        assert_aligned(messages[cut:])


@pytest.mark.parametrize("index", [-1, 4])
def test_alignment_outside_of_the_conversation(index: int) -> None:
    with pytest.raises(IndexError):
        align([user()] * 3, index, "back")
    with pytest.raises(IndexError):
        safe_start([user()] * 3, index)


AGENTS: dict[str, list[Message]] = {
    "chat": [chat_calls("a", "b"), tool("a"), tool("b")],
    "responses": [reasoning(), call("a"), call("b"), output("a"), output("b")],
    "anthropic": [use("a"), results("a")],
    "talk": [user(), assistant()],
    "assistants": [assistant()],
    "dangling": [use("a"), user()],
}


@pytest.mark.parametrize("name", AGENTS)
def test_alignment_reads_only_around_the_index(name: str) -> None:
    """Guarantee 2: an agent's 100,000 messages without one of the user."""
    step = AGENTS[name]
    for index in (0, 1, 50_000, 50_001, 50_002, 50_003, 50_004, 99_999, 100_000):
        for direction, position in (("back", 0), ("forward", 1)):
            messages = Counting(100_000, lambda at: step[at % len(step)])
            found = align(messages, index, direction)  # type: ignore[arg-type]
            assert len(messages.read) <= 12
            assert all(abs(at - index) <= 12 for at in messages.read)
            base = max(0, index // len(step) * len(step) - 2 * len(step))
            near = [step[at % len(step)] for at in range(base, min(100_000, base + 5 * len(step)))]
            assert found == base + aligned_in_full(near, index - base)[position]


# Problems

APPROVED: Message = {"type": "mcp_approval_response", "approval_request_id": "mcpr_9", "approve": True}

CASES: list[tuple[str, list[Message], Provider | None, list[tuple[int, str]]]] = [
    ("chat, no result", [user(), chat_calls("a"), user()], None, [(1, "dangling-call")]),
    ("chat, no id", [{"role": "assistant", "tool_calls": [{"function": {}}]}], None, [(0, "dangling-call")]),
    ("chat, an empty id", [chat_calls(""), tool("")], None, [(0, "dangling-call"), (1, "dangling-result")]),
    ("chat, half of two", [chat_calls("a", "b"), tool("b")], None, [(0, "dangling-call")]),
    ("chat, no call", [user(), tool("a")], "openai", [(1, "dangling-result")]),
    ("chat, result names nothing", [user(), {"role": "tool", "content": "1"}], None, [(1, "dangling-result")]),
    ("chat, twice", [chat_calls("a"), tool("a"), tool("a")], None, [(2, "duplicate-result")]),
    (
        "chat, twice while open",
        [chat_calls("a", "b"), tool("a"), tool("a"), tool("b")],
        None,
        [(2, "duplicate-result")],
    ),
    ("chat, called twice", [chat_calls("a", "a"), tool("a")], None, [(0, "duplicate-call")]),
    ("chat, the id again later", [chat_calls("a"), tool("a"), chat_calls("a"), tool("a")], "openai", []),
    ("chat, too late", [chat_calls("a"), user(), tool("a")], None, [(2, "misplaced-result")]),
    ("chat, too early", [tool("a"), chat_calls("a")], None, [(0, "misplaced-result")]),
    (
        "function, too late",
        [CHAT[12], user(), CHAT[13], CHAT[12], CHAT[13]],
        None,
        [(2, "misplaced-result")],
    ),
    ("responses, no output", [call("a"), user()], "openai-responses", [(0, "dangling-call")]),
    ("responses, no call", [user(), output("a")], "openai-responses", [(1, "dangling-result")]),
    ("responses, twice", [call("a"), output("a"), output("a")], None, [(2, "duplicate-result")]),
    ("responses, called twice", [call("a"), call("a"), output("a")], None, [(1, "duplicate-call")]),
    (
        "responses, called and answered twice",
        [call("a"), output("a"), call("a"), output("a")],
        None,
        [(2, "duplicate-call"), (3, "duplicate-result")],
    ),
    ("responses, too late", [call("a"), user(), output("a")], None, [(2, "misplaced-result")]),
    ("responses, too early", [output("a"), call("a")], None, [(0, "misplaced-result")]),
    ("responses, no approval", [APPROVAL, user()], None, [(0, "dangling-call")]),
    ("responses, nothing to approve", [APPROVED], None, [(0, "dangling-result")]),
    ("responses, lone reasoning", [reasoning(), user()], None, [(0, "dangling-reasoning")]),
    ("responses, reasoning before an output", [call("a"), reasoning(), output("a")], None, [(1, "dangling-reasoning")]),
    (
        "responses, two reasonings at the end",
        [user(), reasoning(), reasoning()],
        None,
        [(1, "dangling-reasoning"), (2, "dangling-reasoning")],
    ),
    ("anthropic, no result", [user(), use("a"), user()], "anthropic", [(1, "dangling-call")]),
    ("anthropic, no call", [user(), results("a")], "anthropic", [(1, "dangling-result")]),
    ("anthropic, twice", [user(), use("a"), results("a", "a")], "anthropic", [(2, "duplicate-result")]),
    (
        "anthropic, called twice",
        [user(), use("a"), results("a"), use("a"), results("a")],
        "anthropic",
        [(3, "duplicate-call"), (4, "duplicate-result")],
    ),
    ("anthropic, too late", [user(), use("a"), user(), results("a")], "anthropic", [(3, "misplaced-result")]),
    ("anthropic, in two messages", [use("a", "b"), results("a"), results("b")], None, [(2, "misplaced-result")]),
    (
        "anthropic, behind the text",
        [use("a"), {"role": "user", "content": [{"type": "text", "text": "Here"}, result("a")]}],
        None,
        [(1, "misplaced-result")],
    ),
    (
        "anthropic, in the assistant's message",
        [user(), {"role": "assistant", "content": [*use("a")["content"], result("a")]}],
        "anthropic",
        [(1, "misplaced-result")],
    ),
    ("anthropic, the assistant first", [assistant(), user()], "anthropic", [(0, "role-order")]),
    ("anthropic, system first", [system(), user()], "anthropic", []),
    ("anthropic, system later", [user(), system(), user()], "anthropic", [(1, "role-order")]),
    (
        "anthropic, developer",
        [{"role": "developer", "content": "Help."}, user()],
        "anthropic",
        [(0, "role-order"), (0, "role-order")],
    ),
    ("anthropic, blank text", [user(" \n"), assistant()], "anthropic", [(0, "empty-content")]),
    ("anthropic, blank block", [user(), use("a", text=""), results("a")], "anthropic", [(1, "empty-content")]),
    (
        "anthropic, blank block in a result",
        [user(), use("a"), results(result("a", [{"type": "text", "text": ""}]))],
        "anthropic",
        [(2, "empty-content")],
    ),
    ("anthropic, the last may be empty", [user(), assistant("")], "anthropic", []),
    ("anthropic, the last may not be blank", [user(), assistant(" ")], "anthropic", [(1, "empty-content")]),
    ("anthropic, a user's last may not be empty", [user("")], "anthropic", [(0, "empty-content")]),
    ("blank is not refused by all", [user(""), assistant(""), user()], None, []),
    ("no content at all", [user(), {"role": "assistant", "content": None}, user()], None, [(1, "empty-content")]),
    ("chat, an empty text", [user(""), assistant("")], "openai", []),
    ("chat, no content", [user(), {"role": "assistant"}], "openai", [(1, "empty-content")]),
    ("chat, an empty list of content", [{"role": "user", "content": []}], "openai", [(0, "empty-content")]),
    ("chat, an empty list of calls", [user(), {**assistant(), "tool_calls": []}], "openai", [(1, "empty-content")]),
    ("responses, no content", [{"role": "user"}], "openai-responses", [(0, "empty-content")]),
    ("chat for anthropic", CHAT[1:6], "anthropic", [(1, "unknown-shape"), (2, "unknown-shape"), (3, "unknown-shape")]),
    (
        "responses for anthropic",
        [user(), call("a"), output("a")],
        "anthropic",
        [(1, "unknown-shape"), (2, "unknown-shape")],
    ),
    (
        "what anthropic found for responses",
        [{"role": "assistant", "content": ANTHROPIC[5]["content"][1:]}],
        "openai-responses",
        [(0, "unknown-shape")],
    ),
    ("responses for chat", [RESPONSES[0]], "openai", [(0, "unknown-shape")]),
    ("chat for responses", CHAT[2:5], "openai-responses", [(i, "unknown-shape") for i in range(3)]),
    ("anthropic for chat", ANTHROPIC[1:3], "openai", [(0, "unknown-shape"), (1, "unknown-shape")]),
    ("anthropic's search for responses", ANTHROPIC[5:6], "openai-responses", [(0, "unknown-shape")]),
    (
        "pictures of chat for anthropic",
        [{"role": "user", "content": [{"type": "image_url"}]}],
        "anthropic",
        [(0, "unknown-shape")],
    ),
    ("no message at all", [{"text": "hi"}], "openai", [(0, "unknown-shape")]),
    ("an item of a new type", [{"type": "new_thing"}], "openai-responses", []),
]
cases = pytest.mark.parametrize(("messages", "provider", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])


@cases
def test_problems(messages: list[Message], provider: Provider | None, expected: list[tuple[int, str]]) -> None:
    assert kinds(messages, provider) == expected


@cases
@pytest.mark.parametrize("how", ["complete", "remove"])
def test_repaired(messages: list[Message], provider: Provider | None, expected: object, how: str) -> None:
    for other in (provider, None, *PROVIDERS):
        repaired_well(messages, other, how)


def test_every_kind_of_problem_has_a_case() -> None:
    assert {kind for case in CASES for _, kind in case[3]} == set(get_args(TurnProblemKind))


@pytest.mark.parametrize("messages", [[chat_calls("a", "b"), tool("b")], [call("a")], [use("a")]])
def test_a_call_at_the_end(messages: list[Message]) -> None:
    (problem,) = check(messages)
    assert problem == TurnProblem(
        index=0, kind="dangling-call", text="The call get_weather (a) has no result yet.", at_end=True
    )
    (problem,) = check([*messages, user()])
    assert problem.text == "The call get_weather (a) has no result."
    assert not problem.at_end


def test_a_call_with_what_the_model_says_beside_it_is_at_the_end() -> None:
    assert [problem.at_end for problem in check([call("a"), said(), SEARCH])] == [True]
    assert [problem.at_end for problem in check([call("a"), said(), user()])] == [False]
    assert [problem.at_end for problem in check([chat_calls("a"), said()])] == [False]


def test_reasoning_at_the_end() -> None:
    assert [problem.at_end for problem in check([reasoning(), reasoning()])] == [True, True]
    assert [problem.at_end for problem in check([reasoning(), reasoning(), user()])] == [False, False]


def test_texts_name_the_call() -> None:
    for messages in ([tool("a")], [chat_calls("a"), tool("a"), tool("a")], [chat_calls("a"), user(), tool("a")]):
        (problem,) = check(messages)
        assert "a" in problem.text.replace(".", "").replace(",", "").replace("(a)", "a").split()
    (problem,) = check(CHAT[-2:-1])
    assert "run (call_5)" in problem.text
    (problem,) = check([chat_calls("a"), user(), tool("a")])
    assert "get_weather (a)" in problem.text


def test_another_provider_is_refused() -> None:
    with pytest.raises(ValueError, match="no provider 'gemini'"):
        check([], provider="gemini")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="no provider 'gemini'") as caught:
        repair([], provider="gemini")  # type: ignore[arg-type]
    assert caught.value.hint == "there are openai, openai-responses, anthropic"
    with pytest.raises(InvalidRequestError, match="no way to repair 'away'"):
        repair([], how="away")  # type: ignore[arg-type]


# Repairs

THINKING = {"type": "thinking", "thinking": "Look.", "signature": "c2ln"}
LOST = {"type": "tool_result", "tool_use_id": "b", "content": MISSING, "is_error": True}
PARTS: list[tuple[str, list[Message], Provider | None, list[int | Message], list[int | Message]]] = [
    # name, messages, provider, parts by completing, parts by removing
    (
        "chat",
        [chat_calls("a", "b", content="I look."), tool("a"), user()],
        None,
        [0, 1, tool("b", MISSING), 2],
        [chat_calls("a", content="I look."), 1, 2],
    ),
    ("chat, the only call", [user(), chat_calls("b"), user()], None, [0, 1, tool("b", MISSING), 2], [0, 2]),
    (
        "chat, the only call, with text",
        [chat_calls("b", content="I look.")],
        None,
        [0, tool("b", MISSING)],
        [assistant("I look.")],
    ),
    (
        "function",
        [CHAT[12]],
        None,
        [0, {"role": "function", "name": "get_time", "content": MISSING}],
        [],
    ),
    (
        "order of the calls",
        [chat_calls("b", "c"), user(), tool("c")],
        None,
        [0, tool("b", MISSING), 2, 1],
        [chat_calls("c"), 2, 1],
    ),
    ("a call without an id", [{**chat_calls("a"), "tool_calls": [{"type": "function"}]}, user()], None, [1], [1]),
    ("moved whole", [tool("a"), chat_calls("a"), user()], None, [1, 0, 2], [1, 0, 2]),
    (
        "the nearest call before",
        [CHAT[12], user(), CHAT[12], user(), CHAT[13]],
        None,
        [0, {"role": "function", "name": "get_time", "content": MISSING}, 1, 2, 4, 3],
        [1, 2, 4, 3],
    ),
    ("responses", [call("b"), said(), user()], None, [0, output("b", MISSING), 1, 2], [1, 2]),
    ("its reasoning goes too", [reasoning(), call("b"), said()], None, [0, 1, output("b", MISSING), 2], [2]),
    (
        "reasoning of another call stays",
        [reasoning(), call("b"), call("a"), output("a")],
        None,
        [0, 1, 2, 3, output("b", MISSING)],
        [0, 2, 3],
    ),
    ("a screenshot cannot be made up", [reasoning(), CLICK, user()], None, [2], [2]),
    ("local shell", [SHELL], None, [0, {"type": "local_shell_call_output", "id": "c_6", "output": MISSING}], []),
    (
        "custom",
        [RESPONSES[16]],
        None,
        [0, {"type": "custom_tool_call_output", "call_id": "c_4", "output": MISSING}],
        [],
    ),
    (
        "shell",
        [{"type": "shell_call", "call_id": "b", "action": {"commands": ["ls"]}}],
        None,
        [
            0,
            {
                "type": "shell_call_output",
                "call_id": "b",
                "output": [{"stdout": "", "stderr": MISSING, "outcome": {"type": "exit", "exit_code": 1}}],
            },
        ],
        [],
    ),
    (
        "patch",
        [{"type": "apply_patch_call", "call_id": "b", "operation": {}, "status": "completed"}],
        None,
        [0, {"type": "apply_patch_call_output", "call_id": "b", "status": "failed", "output": MISSING}],
        [],
    ),
    (
        "approval",
        [APPROVAL],
        None,
        [0, {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": False, "reason": MISSING}],
        [],
    ),
    ("lone reasoning", [reasoning(), user()], None, [1], [1]),
    (
        "in the order of the calls, wherever a result was",
        [tool("c"), chat_calls("b", "c")],
        None,
        [1, tool("b", MISSING), 0],
        [chat_calls("c"), 0],
    ),
    (
        "a refusal stays",
        [{**chat_calls("b"), "refusal": "No."}],
        None,
        [0, tool("b", MISSING)],
        [{"role": "assistant", "content": None, "refusal": "No."}],
    ),
    (
        "a result of another family in a tool's message",
        [{**chat_calls("a"), **use("b")}, tool("a", [PICTURE[0], result("b")])],
        None,
        [0, tool("a", [PICTURE[0]]), results("b")],
        [0, tool("a", [PICTURE[0]]), results("b")],
    ),
    (
        "anthropic, thinking alone says nothing",
        [user(), {"role": "assistant", "content": [THINKING, {"type": "text", "text": " "}]}, user()],
        "anthropic",
        [0, 2],
        [0, 2],
    ),
    (
        "what only the assistant may not do",
        [{"role": "user", "content": [result("a"), THINKING]}],
        None,
        [{"role": "user", "content": [THINKING]}],
        [{"role": "user", "content": [THINKING]}],
    ),
    (
        "nothing in a result is allowed",
        [user(), use("a"), results(result("a", [{"type": "text", "text": ""}]))],
        "anthropic",
        [0, 1, results({"type": "tool_result", "tool_use_id": "a"})],
        [0, 1, results({"type": "tool_result", "tool_use_id": "a"})],
    ),
    (
        "anthropic, in the message that is there",
        [user(), use("a", "b"), results("a", text="Quick.")],
        "anthropic",
        [0, 1, {"role": "user", "content": [result("a"), LOST, {"type": "text", "text": "Quick."}]}],
        [0, use("a"), 2],
    ),
    (
        "anthropic, in a message of its own",
        [user(), use("b"), user()],
        "anthropic",
        [0, 1, {"role": "user", "content": [LOST]}, 2],
        [0, assistant_text := {"role": "assistant", "content": [{"type": "text", "text": "I look."}]}, 2],
    ),
    (
        "anthropic, thinking goes with its call",
        [user(), {"role": "assistant", "content": [THINKING, *use("b", text=None)["content"]]}, user()],
        "anthropic",
        [0, 1, {"role": "user", "content": [LOST]}, 2],
        [0, 2],
    ),
    (
        "anthropic, thinking before text stays",
        [user(), {"role": "assistant", "content": [THINKING, *use("b")["content"]]}, user()],
        "anthropic",
        [0, 1, {"role": "user", "content": [LOST]}, 2],
        [0, {"role": "assistant", "content": [THINKING, *assistant_text["content"]]}, 2],
    ),
    (
        "anthropic, moved out of a later message",
        [user(), use("a"), user("Wait."), results("a", text="Here.")],
        "anthropic",
        [0, 1, results("a"), 2, results(text="Here.")],
        [0, 1, results("a"), 2, results(text="Here.")],
    ),
    (
        "anthropic, results first",
        [user(), use("a"), {"role": "user", "content": [*PICTURE, result("a")]}],
        "anthropic",
        [0, 1, {"role": "user", "content": [result("a"), *PICTURE]}],
        [0, 1, {"role": "user", "content": [result("a"), *PICTURE]}],
    ),
    (
        "anthropic, one message of results",
        [use("a", "b"), results("a"), results("b")],
        None,
        [0, results("a", "b")],
        [0, results("a", "b")],
    ),
    (
        "a result of nothing",
        [user(), results("a", text="Here."), tool("b"), output("c")],
        None,
        [0, results(text="Here.")],
        [0, results(text="Here.")],
    ),
    ("twice", [call("a"), output("a"), call("a"), output("a", "other"), user()], None, [0, 1, 4], [0, 1, 4]),
    ("blank user", [user(" "), assistant(), user()], "anthropic", [user(NOTHING), 1, 2], [user(NOTHING), 1, 2]),
    ("blank assistant", [user(), assistant(" "), user()], "anthropic", [0, 2], [0, 2]),
    (
        "blank block",
        [user(), use("a", text=" "), results("a")],
        "anthropic",
        [0, use("a", text=None), 2],
        [0, use("a", text=None), 2],
    ),
    (
        "blank block in a result",
        [user(), use("a"), results(result("a", [{"type": "text", "text": ""}, PICTURE[1]]))],
        "anthropic",
        [0, 1, results(result("a", [PICTURE[1]]))],
        [0, 1, results(result("a", [PICTURE[1]]))],
    ),
    (
        "nothing in a tool's message",
        [chat_calls("a"), tool("a", None)],
        "openai",
        [0, tool("a", NOTHING)],
        [0, tool("a", NOTHING)],
    ),
    (
        "an empty list of calls",
        [user(), {**assistant(), "tool_calls": []}],
        "openai",
        [0, assistant()],
        [0, assistant()],
    ),
]


@pytest.mark.parametrize(
    ("messages", "provider", "complete", "remove"), [p[1:] for p in PARTS], ids=[p[0] for p in PARTS]
)
def test_parts_of_a_repair(
    messages: list[Message], provider: Provider | None, complete: list[int | Message], remove: list[int | Message]
) -> None:
    assert repair(messages, provider=provider).parts == complete
    assert repair(messages, provider=provider, how="remove").parts == remove
    repaired_well(messages, provider)
    repaired_well(messages, provider, "remove")


def test_what_cannot_be_repaired_is_left() -> None:
    repaired = repair([tool("x"), assistant(), user(), call("a")], provider="anthropic")
    assert repaired.parts == [1, 2, 3, output("a", MISSING)]
    assert [(problem.index, problem.kind) for problem in repaired.left] == [
        (0, "role-order"),
        (2, "unknown-shape"),
        (3, "unknown-shape"),
    ]


# Properties


@st.composite
def conversations(draw: st.DrawFn, provider: Provider | None) -> list[Message]:
    """A valid conversation of one family, or of all of them where there is no provider."""
    messages: list[Message] = [user()]
    for turn in range(draw(st.integers(0, 5))):
        family = provider or draw(st.sampled_from(PROVIDERS))
        ids = [f"call_{turn}_{at}" for at in range(draw(st.integers(0, 3)))]
        answers = draw(st.permutations(ids))
        text = draw(st.sampled_from([None, "I look."]))
        if family == "openai" and ids:
            messages += [chat_calls(*ids, content=text), *(tool(one) for one in answers)]
        elif family == "anthropic" and ids:
            messages += [use(*ids, text=text), results(*answers, text=draw(st.sampled_from([None, "Quick."])))]
        elif family == "openai-responses":
            for one in ids:
                messages += [reasoning()] * draw(st.integers(0, 2)) + [call(one)]
                messages += [said()] * draw(st.integers(0, 1))
            messages += [output(one) for one in answers]
            messages += [reasoning(), draw(st.sampled_from([said(), SEARCH]))] if draw(st.booleans()) else []
        messages += [assistant()] * draw(st.integers(0, 1)) + [user()] * draw(st.integers(0, 1))
    return messages


families = st.sampled_from([None, *PROVIDERS])


@given(st.data(), families)
def test_valid_conversations_are_clean(data: st.DataObject, provider: Provider | None) -> None:
    messages = data.draw(conversations(provider))
    assert check(messages, provider=provider) == []
    assert repaired_well(messages, provider) == messages
    assert_aligned(messages)


@given(st.data(), families, st.sampled_from(["complete", "remove"]))
def test_what_is_left_of_a_conversation_is_repaired(data: st.DataObject, provider: Provider | None, how: str) -> None:
    messages = data.draw(conversations(provider))
    gone = data.draw(st.sets(st.integers(0, len(messages) - 1)))
    messages = [message for index, message in enumerate(messages) if index not in gone]
    bad = {problem.index for problem in check(messages, provider=provider)}
    mended = repaired_well(messages, provider, how)
    assert_aligned(messages)
    kept = {part for part in repair(messages, provider=provider, how=how).parts if isinstance(part, int)}  # type: ignore[arg-type]
    touched = {
        index
        for group in groups(messages)
        if bad & set(range(group.start, group.stop))
        for index in range(group.start, group.stop)
    }
    if provider in ("openai", "openai-responses"):
        assert set(range(len(messages))) - touched <= kept
    spoken = [message for message in mended if message.get("role") == "user" and isinstance(message["content"], str)]
    assert len(spoken) == sum(
        message.get("role") == "user" and isinstance(message["content"], str) for message in messages
    )


@given(st.data(), st.sampled_from([None, *PROVIDERS]), st.sampled_from(["complete", "remove"]))
def test_any_order_is_repaired(data: st.DataObject, provider: Provider | None, how: str) -> None:
    messages = data.draw(conversations(None).flatmap(st.permutations))
    repaired_well(messages, provider, how)
    assert_aligned(messages)


WORDS = [
    "a",
    "b",
    "",
    " ",
    "user",
    "assistant",
    "tool",
    "system",
    "function",
    "tool_calls",
    "tool_use",
    "tool_result",
    "text",
    "thinking",
    "message",
    "reasoning",
    "function_call",
    "function_call_output",
    "computer_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "image_url",
]
KEYS = [
    "role",
    "type",
    "content",
    "text",
    "id",
    "call_id",
    "tool_call_id",
    "tool_use_id",
    "tool_calls",
    "function_call",
    "function",
    "name",
    "approval_request_id",
    "refusal",
]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
ids: st.SearchStrategy[Any] = st.sampled_from(["a", "b", "", None, 1, ["a"], {}])
blocks = st.one_of(
    junk,
    st.builds(result, ids, st.sampled_from([None, "", [{"type": "text", "text": ""}], "1"])),
    st.sampled_from([*use("a", "b", text="")["content"], THINKING, *PICTURE]),
)
likely = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "function", "system", "odd"])},
    optional={
        "type": st.sampled_from(["message", "function_call", "other"]),
        "content": junk | st.lists(blocks, max_size=4),
        "tool_calls": junk | st.lists(junk | st.sampled_from(chat_calls("a", "b")["tool_calls"]), max_size=3),
        "function_call": junk | st.just({"name": "a"}),
        "tool_call_id": ids,
        "name": ids,
        "refusal": junk,
    },
)
items = st.fixed_dictionaries(
    {"type": st.sampled_from([word for word in WORDS if "_" in word] + ["reasoning", "web_search_call"])},
    optional={"call_id": ids, "id": ids, "approval_request_id": ids, "name": junk},
)
strange = st.lists(likely | items | st.dictionaries(st.sampled_from(KEYS), junk, max_size=5), max_size=7)


@given(strange, families, st.sampled_from(["complete", "remove"]))
def test_no_message_is_too_strange(messages: list[Message], provider: Provider | None, how: str) -> None:
    """Guarantees 1, 3, 4 and 5."""
    before = copy.deepcopy(messages)
    sizes(messages)
    assert_aligned(messages)
    check(messages, provider=provider)
    assert messages == before
    repaired_well(messages, provider, how)


def test_repairs_of_one_conversation_do_not_share_what_they_make() -> None:
    messages: list[Message] = [{"type": "shell_call", "call_id": "b"}]
    first, second = (repair(messages).parts[1] for _ in range(2))
    assert first == second
    assert first is not second
