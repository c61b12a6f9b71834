"""The sessions of formats whose conversations may have ids that nobody made unique: a file that numbers its lines, two
files that do, an id that comes again.

1. An id, a text or a whole number, names the session, so that a conversation that grew is the same one. With it goes a
   digest of the id and of how the conversation begins (its instructions and the first message behind them):
   ``openai-chat-c17-1f0c9a3b5d7e2468``.
2. A conversation of the same name that does not go on where the one before it in the file ended is named as in 3:
   nothing is laid over another conversation.
3. One without an id is named for the file and for what it says: ``train-1f0c9a3b5d7e2468``. Not for its number: with
   one more line at the top of the file, every conversation would be laid over its neighbour. So the same file again, or
   in another order, brings nothing new; a conversation that was changed is a new session beside the old one; and two
   that say the same are one session.

For 2, memory holds a few bytes of each conversation that has an id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from bough.codec import encode_found
from bough.transfer import normal
from bough.transfer.records import Record


class _Said(NamedTuple):
    """How many messages a conversation had, and their digest."""

    length: int
    digest: str


class Names:
    """The names that the conversations of a file get, in its order."""

    def __init__(self, source: str, is_instruction: Callable[[Mapping[str, Any]], bool]) -> None:
        self._source = source
        self._is_instruction = is_instruction
        self._named: dict[str, _Said] = {}

    def name(self, record: Record, own_id: str | None, messages: Sequence[Any]) -> str:
        """The id of the session; ``messages`` as the file has them."""
        if own_id is not None:
            shown = own_id.encode(errors="replace")[:100].decode(errors="ignore")
            digest = _digest(own_id, *self._opening(messages))
            name = normal.session_name(self._source, f"{shown}-{digest}", record.value, record.file)
            before = self._named.get(name, _Said(0, _digest()))
            if _digest(*messages[: before.length]) == before.digest:
                self._named[name] = _Said(len(messages), _digest(*messages))
                return name
        return normal.session_name(self._source, None, record.value, record.file)

    def _opening(self, messages: Sequence[Any]) -> Sequence[Any]:
        """What a conversation keeps while it grows."""
        numbers = (number for number, one in enumerate(messages, 1) if not self._is_instruction(normal.fields(one)))
        return messages[: next(numbers, len(messages))]


def id_of(value: Any) -> str | None:
    """An id as text; None where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return normal.string(value)


def _digest(*values: Any) -> str:
    digest = blake2b(digest_size=8)
    for value in values:
        digest.update(encode_found({"": value}))
    return digest.hexdigest()
