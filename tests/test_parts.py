"""What a message says, in all the shapes that there are."""

from __future__ import annotations

import pytest

from bough.parts import gist, parts_of, role_of, spoken, text_of


@pytest.mark.parametrize(
    ("message", "role", "text"),
    [
        ({"role": "user", "content": "hi"}, "user", "hi"),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}, "user", "a\nb"),
        ({"role": "user", "content": [{"type": "image_url", "u": 1}]}, "user", '[image: {"type":"image_url","u":1}]'),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "f", "arguments": '{"x":1}'}}, 3],
            },
            "assistant",
            '[f({"x":1})]\n[3]',
        ),
        ({"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]}, "assistant", "[f({})]"),
        ({"role": "user", "content": [{"type": "tool_result", "content": "18"}]}, "user", "18"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "function_call", "[f({})]"),
        ({"type": "function_call_output", "output": "18"}, "function_call_output", "18"),
        ({"anything": 1}, "message", '[{"anything":1}]'),
        ({"role": 5, "content": 7}, "message", "[7]"),
        ({"role": "assistant", "content": ""}, "assistant", ""),
    ],
)
def test_messages_of_every_shape_are_readable(message: dict[str, object], role: str, text: str) -> None:
    assert (role_of(message), text_of(spoken(message))) == (role, text)


def test_a_line_shows_what_is_said_before_what_is_thought() -> None:
    thought = {"type": "thinking", "thinking": "Hm."}
    call = {"function": {"name": "f", "arguments": "{}"}}
    assert gist({"role": "assistant", "content": [thought, {"type": "text", "text": " "}, "Yes."]}) == "Yes."
    assert gist({"role": "assistant", "content": [thought], "tool_calls": [call]}) == "[f({})]"
    assert gist({"role": "assistant", "content": [thought]}) == "[thinking: Hm.]"
    assert gist({"role": "assistant", "content": None}) == ""


def test_other_keys_are_parts_and_not_spoken() -> None:
    message = {"role": "user", "content": "hi", "score": 5, "tool_calls": "odd", "metadata": {"x": 1}}
    assert text_of(spoken(message)) == "hi"
    assert text_of(parts_of(message)) == 'hi\n[{"score":5,"tool_calls":"odd"}]'
