"""How much a session holds, and what sharing saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from bough import history
from bough.attributes import tags_of
from bough.codec import encode_found
from bough.model import Message, Piece, SessionState
from bough.stores.base import Store

BLOCK = 1000
"""How many messages are held at a time."""


class Stats(Struct, frozen=True, kw_only=True):
    """``messages`` are those that some branch holds, each once; ``copies`` what they would be were every branch to keep
    its own: the sum of the branches' lengths. ``bytes`` and ``copied_bytes`` are those of their JSON. ``roles`` counts
    the messages by role (by type where there is none), ``tool_calls`` the calls in them."""

    branches: int
    archived: int
    tags: int
    operations: int
    messages: int
    copies: int
    bytes: int
    copied_bytes: int
    tool_calls: int
    roles: dict[str, int]

    @property
    def shared(self) -> float:
        """The share of the branches' messages that need no place of their own, 0 to 1."""
        return 0.0 if self.copies == 0 else 1 - self.messages / self.copies

    @property
    def saved_bytes(self) -> int:
        return self.copied_bytes - self.bytes


def collect(
    store: Store, state: SessionState, progress: Callable[[int, int], object] = lambda done, total: None
) -> Stats:
    """Reads every message once. ``progress`` is told how many of how many. ``CorruptBranchError``."""
    records = state.branches.values()
    everything = history.union(*(record.history for record in records))
    total = history.length(everything)
    roles: Counter[str] = Counter()
    size = copied = calls = done = 0
    for piece, holders in _shares([record.history for record in records]):
        for start in range(piece.start, piece.stop, BLOCK):
            block = Piece(piece.segment, start, min(start + BLOCK, piece.stop))
            for message in store.read(state.session_id, (block,)):
                weight = len(encode_found(message))
                size += weight
                copied += weight * holders
                calls += _calls(message)
                roles[_role(message)] += 1
            done += block.stop - block.start
            progress(done, total)
    return Stats(
        branches=len(state.branches),
        archived=sum((record.metadata or {}).get("archived") is True for record in records),
        tags=len(tags_of(state.attributes)),
        operations=state.last_operation,
        messages=total,
        copies=sum(record.length for record in records),
        bytes=size,
        copied_bytes=copied,
        tool_calls=calls,
        roles=dict(sorted(roles.items())),
    )


def _shares(histories: list[tuple[Piece, ...]]) -> list[tuple[Piece, int]]:
    """Runs of messages, each once and in order, with how many histories hold them."""
    steps: dict[str, Counter[int]] = {}
    for held in histories:
        for segment, start, stop in history.union(held):
            steps.setdefault(segment, Counter())[start] += 1
            steps[segment][stop] -= 1
    runs: list[tuple[Piece, int]] = []
    for segment in sorted(steps):
        holders, at = 0, 0
        for place in sorted(steps[segment]):
            if holders:
                runs.append((Piece(segment, at, place), holders))
            holders, at = holders + steps[segment][place], place
    return runs


def _role(message: Message) -> str:
    for key in ("role", "type"):
        if isinstance(message.get(key), str):
            return str(message[key])
    return "none"


def _calls(message: Message) -> int:
    """The tool calls in a message, of any of the shapes that :mod:`bough.turns` knows."""
    count = int(str(message.get("type", "")).endswith("_call"))
    for key, kinds in (("tool_calls", None), ("content", ("tool_use", "server_tool_use"))):
        parts = message.get(key)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and (kinds is None or part.get("type") in kinds):
                count += 1
    return count + isinstance(message.get("function_call"), dict)
