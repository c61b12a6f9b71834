"""OpenAI Responses: a flat list of items, where a call and its output are items of their own.

Outputs name their call in ``call_id`` (``local_shell_call_output`` in ``id``, as the published types have it; programs
write ``call_id`` too), an ``mcp_approval_response`` in ``approval_request_id``. Calls in a row are parallel, and the
other items that the model put out in the same response may stand among them. A ``reasoning`` item is refused without
the item that follows it. (platform.openai.com/docs/api-reference/responses, and the messages of its error 400.)

The interface may put up with a user's message between a call and its output. Here it counts as misplaced: other
programs that read such a conversation do not.
"""

from __future__ import annotations

from typing import Any

from bough.model import Message
from bough.turns.shape import WHOLE, Call, Key, Result, Shape, key_of, name_of

CALL = "call_id"
APPROVAL = "approval_request_id"
ROLES = frozenset({"system", "developer", "user", "assistant"})
ANSWERED_CALLS = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
OUTPUTS = frozenset(f"{name}_output" for name in ANSWERED_CALLS)
PAIRED = ANSWERED_CALLS | OUTPUTS | {"reasoning", "mcp_approval_request", "mcp_approval_response"}


def is_item(message: Message) -> bool:
    """Whether it is an item of a type, not a message with a role. Some programs give every item a role."""
    kind = message.get("type")
    return isinstance(kind, str) and kind != "message" and (kind in PAIRED or not isinstance(message.get("role"), str))


def read(message: Message) -> Shape:
    """The shape of an item; :func:`is_item` holds for it."""
    kind = str(message["type"])
    if kind in OUTPUTS:
        identity = message.get(CALL) or (message.get("id") if kind == "local_shell_call_output" else None)
        return _answer(key_of(CALL, identity))
    if kind == "mcp_approval_response":
        return _answer(key_of(APPROVAL, message.get(APPROVAL)))
    calls: tuple[Call, ...] = ()
    if kind in ANSWERED_CALLS:
        calls = (Call(key=key_of(CALL, message.get(CALL)), name=name_of(message.get("name"), kind), slot=WHOLE),)
    elif kind == "mcp_approval_request":
        calls = (Call(key=key_of(APPROVAL, message.get("id")), name=name_of(message.get("name"), kind), slot=WHOLE),)
    reasoning = kind == "reasoning"
    item = bool(calls) or reasoning or kind.endswith("_call") or kind == "mcp_list_tools"
    return Shape(
        calls=calls,
        families=frozenset({"openai-responses"}),
        item=item,
        reasoning=reasoning,
        follows=item,
    )


def _answer(key: Key | None) -> Shape:
    return Shape(results=(Result(key=key, slot=WHOLE),), families=frozenset({"openai-responses"}))


def missing(call: Message, key: Key, text: str) -> Message | None:
    """The output of a call whose output is missing; None for a screenshot, which cannot be made up."""
    bodies: dict[Any, Message | None] = {
        "computer_call": None,
        "mcp_approval_request": {"type": "mcp_approval_response", APPROVAL: key[1], "approve": False, "reason": text},
        "local_shell_call": {"type": "local_shell_call_output", "id": key[1], "output": text},
        "shell_call": {
            "type": "shell_call_output",
            CALL: key[1],
            "output": [{"stdout": "", "stderr": text, "outcome": {"type": "exit", "exit_code": 1}}],
        },
        "apply_patch_call": {"type": "apply_patch_call_output", CALL: key[1], "status": "failed", "output": text},
    }
    kind = call["type"]
    return bodies.get(kind, {"type": f"{kind}_output", CALL: key[1], "output": text})
