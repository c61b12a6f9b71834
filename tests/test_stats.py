"""stats against a plain recount of every branch."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bough.codec import encode_found
from bough.manager import ConversationBranchManager as Manager
from bough.model import Message
from bough.stats import BLOCK, Stats
from bough.testing.contract import StoreFactory

MESSAGES: list[Message] = [
    {"role": "user", "content": "hi"},
    {"role": "user", "content": "grüß dich"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}, {"id": "2"}]},
    {"role": "tool", "tool_call_id": "1", "content": "x"},
    {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
    {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "1", "output": "x"},
    {"role": "assistant", "content": [{"type": "text", "text": "t"}, {"type": "tool_use", "id": "1", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]},
    {"role": 7, "tool_calls": "none", "content": ["x"], "function_call": None},
    {},
]
CALLS = [0, 0, 2, 0, 1, 1, 0, 1, 0, 0, 0]
ROLES = ["user", "user", "assistant", "tool", "assistant", "function_call", "function_call_output", "assistant"]
ROLES += ["user", "none", "none"]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, len(MESSAGES) - 1), min_size=1, max_size=4)),
        st.tuples(st.sampled_from(["fork", "merge", "reset", "checkout", "edit"]), st.integers(0, 9)),
    ),
    max_size=12,
)


def step(manager: Manager, verb: str, given: Any) -> None:
    ids = sorted(branch.id for branch in manager.get_all_branches())
    length = len(manager.get_messages())
    if verb == "add":
        manager.add_messages(MESSAGES[at] for at in given)
    elif verb == "fork":
        manager.fork_from_message("fork", given % (length + 1))
    elif verb == "reset":
        manager.reset(given % (length + 1))
    elif verb == "checkout":
        manager.checkout(ids[given % len(ids)])
    elif verb == "edit" and length:
        manager.edit_message(given % length, MESSAGES[given])
    elif verb == "merge" and ids[given % len(ids)] != manager.get_current_branch_id():
        manager.merge(ids[given % len(ids)])


def recount(manager: Manager) -> dict[str, Any]:
    """The same, a message at a time."""
    held: dict[tuple[str, int], list[Message]] = {}
    for record in manager.store.load(manager.session_id).branches.values():
        places = [(segment, at) for segment, start, stop in record.history for at in range(start, stop)]
        for place, message in zip(places, manager.get_messages(record.id), strict=True):
            held.setdefault(place, []).append(message)
    size = {place: len(encode_found(copies[0])) for place, copies in held.items()}
    kinds = [next(at for at, each in enumerate(MESSAGES) if each == copies[0]) for copies in held.values()]
    return {
        "branches": len(manager.get_all_branches()),
        "archived": 0,
        "tags": 0,
        "operations": len(list(manager.operations())),
        "messages": len(held),
        "copies": sum(map(len, held.values())),
        "bytes": sum(size.values()),
        "copied_bytes": sum(size[place] * len(copies) for place, copies in held.items()),
        "tool_calls": sum(CALLS[kind] for kind in kinds),
        "roles": dict(sorted(Counter(ROLES[kind] for kind in kinds).items())),
    }


def as_dict(stats: Stats) -> dict[str, Any]:
    return {name: getattr(stats, name) for name in stats.__struct_fields__}


COUNTER = iter(range(10**9))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_stats_are_those_of_a_plain_recount(store_factory: StoreFactory, steps: list[tuple[str, Any]]) -> None:
    with Manager(f"talk {next(COUNTER)}", store=store_factory()) as manager:
        for each in steps:
            step(manager, *each)
        stats = manager.stats()
        assert as_dict(stats) == recount(manager)
        assert stats.saved_bytes == stats.copied_bytes - stats.bytes
        assert stats.shared == (1 - stats.messages / stats.copies if stats.copies else 0)


def test_archived_branches_and_tags_are_counted(manager: Manager) -> None:
    manager.create_branch("x", "x")
    manager.set_branch_metadata({"archived": True}, branch_id="x")
    manager.tag("v1")
    stats = manager.stats()
    assert (stats.branches, stats.archived, stats.tags, stats.messages, stats.shared) == (2, 1, 1, 0, 0.0)


def test_progress_is_told_up_to_the_end(manager: Manager) -> None:
    manager.add_messages(MESSAGES[:1] * (2 * BLOCK + 5))
    manager.fork_from_message("fork", BLOCK + 1)
    heard: list[tuple[int, int]] = []
    assert manager.stats(lambda done, total: heard.append((done, total))).copies == 3 * BLOCK + 6
    total = 2 * BLOCK + 5
    assert heard == [(BLOCK, total), (BLOCK + 1, total), (2 * BLOCK + 1, total), (total, total)]
