"""OpenAI chat completions: ``tool_calls`` of an assistant message, answered by messages of the role ``tool``.

Each answer names its call in ``tool_call_id``, one message a call, directly behind the assistant message in any order.
The older ``function_call`` has no id: a message of the role ``function`` answers it by its name.
(platform.openai.com/docs/api-reference/chat, and the messages of its error 400.)
"""

from __future__ import annotations

from bough.model import Message
from bough.turns.shape import WHOLE, Call, Key, Result, dicts, key_of, name_of

CALLS = "tool_calls"
FUNCTION = "function_call"
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


def calls_of(message: Message) -> list[Call]:
    if message.get("role") != "assistant":
        return []
    calls = []
    for at, call in dicts(message.get(CALLS)):
        body = call.get("function", call.get("custom"))
        name = name_of(body.get("name") if isinstance(body, dict) else None, "a tool")
        calls.append(Call(key=key_of(CALLS, call.get("id")), name=name, slot=(CALLS, at)))
    function = message.get(FUNCTION)
    if isinstance(function, dict):
        called = function.get("name")
        calls.append(Call(key=key_of(FUNCTION, called), name=name_of(called, "a function"), slot=(FUNCTION, 0)))
    return calls


def results_of(message: Message) -> list[Result]:
    role = message.get("role")
    if role == "tool":
        return [Result(key=key_of(CALLS, message.get("tool_call_id")), slot=WHOLE)]
    if role == "function":
        return [Result(key=key_of(FUNCTION, message.get("name")), slot=WHOLE)]
    return []


def is_own(message: Message) -> bool:
    """Whether only this interface writes so."""
    return message.get("role") in ("tool", "function") or bool(message.get(CALLS) or message.get(FUNCTION))


def is_empty(message: Message) -> bool:
    """No content where the interface wants some. An empty string is content; an empty list of calls is refused."""
    if message.get("role") not in ROLES:
        return False
    if message.get(CALLS) == []:
        return True
    if message.get("role") == "assistant" and any(message.get(key) for key in (CALLS, FUNCTION, "refusal", "audio")):
        return False
    content = message.get("content")
    return content is None or content == []


def missing(key: Key, text: str) -> Message:
    """The result of a call whose result is missing."""
    if key[0] == FUNCTION:
        return {"role": "function", "name": key[1], "content": text}
    return {"role": "tool", "tool_call_id": key[1], "content": text}
