"""Tool calls and their results: which messages belong together, what a provider would refuse, and how to mend it.

A model provider refuses a conversation with a tool call that has no result. Three families of shapes are known, and
one conversation may mix them: OpenAI chat completions (``chat.py``), OpenAI Responses items (``responses.py``) and
Anthropic messages (``anthropic.py``).

Guarantees:
1. ``groups`` gives consecutive groups that cover every message. A group never depends on what stands before it, so
   groups found from any sure beginning (``safe_start``) are those of the whole conversation.
2. ``align`` reads only the messages around its index.
3. No message makes a function here raise, whatever its keys hold: a message of a strange shape is one of its own.
4. No argument is ever changed. ``repair`` names what it kept by its index and makes new dicts for the rest.
5. ``check`` of what ``repair`` made finds nothing but ``role-order`` and ``unknown-shape``, and repairing it again
   changes nothing.
6. A call is answered in the shape of its own family only.

What it deliberately does not do: I/O, converting one family's messages into another's, looking into arguments and
outputs, or judging anything that has nothing to do with turns (models, sizes, images). Calls that the provider's own
servers run (web search, code interpreter) need no result and are not paired with theirs.
"""

from __future__ import annotations

from bough.turns.checking import TurnProblem, TurnProblemKind, check
from bough.turns.grouping import Group, align, groups, safe_start
from bough.turns.repairing import UNMENDED, Repaired, repair
from bough.turns.shape import Provider

__all__ = [
    "UNMENDED",
    "Group",
    "Provider",
    "Repaired",
    "TurnProblem",
    "TurnProblemKind",
    "align",
    "check",
    "groups",
    "repair",
    "safe_start",
]
