"""gc by random verbs: what is reachable stays, what is retained can be undone, and a second gc finds nothing.

The numbers are the rules of :mod:`bough.retention`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bough import codec, history
from bough.attributes import Retention
from bough.errors import BoughError, CorruptBranchError
from bough.manager import ConversationBranchManager as Manager
from bough.model import Message
from bough.retention import DEFAULT_AGE, find_garbage
from bough.stores.base import Store

NUMBER = count()


def say(text: str) -> Message:
    return {"role": "user", "content": text}


VERBS: dict[str, Callable[[Manager, int], object]] = {
    "add": lambda manager, n: manager.add_messages([say(f"m{n}"), say(f"n{n}")]),
    "fork": lambda manager, n: manager.fork_from_message(f"f{n % 3}", n % (len(manager.get_messages()) + 1)),
    "checkout": lambda manager, n: manager.checkout(some_branch(manager, n)),
    "merge": lambda manager, n: manager.merge(some_branch(manager, n), ("append", "replace", "three-way")[n % 3]),
    "edit": lambda manager, n: manager.edit_message(n % len(manager.get_messages()), say(f"edited {n}")),
    "remove": lambda manager, n: manager.remove_messages(n % len(manager.get_messages())),
    "reset": lambda manager, n: manager.reset(n % (len(manager.get_messages()) + 1)),
    "set": lambda manager, n: manager.set_messages([say(f"s{n}"), *manager.get_messages()[1:]]),
    "delete": lambda manager, n: manager.delete_branch(some_branch(manager, n)),
    "restore": lambda manager, n: manager.restore_branch(sorted(manager.deleted_branches())[0]),
    "tag": lambda manager, n: manager.tag(f"t{n % 3}"),
    "untag": lambda manager, n: manager.untag(f"t{n % 3}"),
    "undo": lambda manager, n: manager.undo(),
    "redo": lambda manager, n: manager.redo(),
    "gc": lambda manager, n: manager.gc(keep_operations=n % 5, unreachable=n % 2 == 0),
    "purge": lambda manager, n: manager.purge(f"{some_branch(manager, n)}:{n % 4 + 1}"),
}


def some_branch(manager: Manager, n: int) -> str:
    ids = sorted(branch.id for branch in manager.get_all_branches())
    return ids[n % len(ids)]


def do(manager: Manager, verb: str, n: int) -> None:
    try:
        VERBS[verb](manager, n)
    except CorruptBranchError:
        raise  # no verb may need what gc gave up without saying so in its own words
    except (BoughError, ZeroDivisionError, IndexError):
        return  # not possible at that point


STEPS = st.lists(st.tuples(st.sampled_from(sorted(VERBS)), st.integers(0, 20)), max_size=25)


def shown(manager: Manager) -> tuple[Any, ...]:
    """What people see: the branches and tags with their messages, and where they are."""
    branches = {branch.id: (branch.name, list(branch.messages)) for branch in manager.get_all_branches()}
    tags = {name: manager.read_messages(tag.history) for name, tag in manager.tags().items()}
    return manager.get_current_branch_id(), branches, tags


def talks(store: Store, steps: list[tuple[str, int]], times: int = 1) -> list[Manager]:
    """New sessions in which all the steps were done."""
    made = [Manager(f"talk {next(NUMBER)}", store=store) for _ in range(times)]
    for manager in made:
        for step in steps:
            do(manager, *step)
    return made


def by_examples(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        fixtures = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
        return settings(max_examples=number, suppress_health_check=fixtures)(test)

    return decorate


@by_examples(25)
@given(steps=STEPS, kept=st.integers(0, 12))
def test_gc_keeps_what_is_reachable_and_a_second_one_frees_nothing(
    store: Store, steps: list[tuple[str, int]], kept: int
) -> None:
    [manager] = talks(store, steps)
    before = shown(manager)
    histories = {name: record.history for name, record in store.load(manager.session_id).branches.items()}
    tried = manager.gc(keep_operations=kept, dry_run=True)
    assert tried.operation is None
    assert shown(manager) == before
    done = manager.gc(keep_operations=kept)
    assert (done.operation is None) == (done.messages == 0)
    assert {**as_dict(done), "operation": None} == as_dict(tried)
    assert (done.bytes > 0) == (done.messages > 0)
    assert shown(manager) == before
    state = store.load(manager.session_id)
    assert {name: record.history for name, record in state.branches.items()} == histories
    again = manager.gc(keep_operations=kept, unreachable=True)
    assert (again.messages, again.operation) == (0, None)
    assert [finding for finding in manager.fsck().findings if finding.severity != "note"] == []


@by_examples(25)
@given(steps=STEPS, kept=st.integers(1, 12))
def test_what_is_retained_can_be_undone_as_without_a_gc(store: Store, steps: list[tuple[str, int]], kept: int) -> None:
    swept, control = talks(store, [step for step in steps if step[0] != "gc"], times=2)
    undo_to = swept.gc(keep_operations=kept).undo_to
    assert undo_to is not None
    assert shown(swept) == shown(control)
    while True:
        try:
            undone = control.undo()
        except BoughError:
            break
        if undone.operation < undo_to:
            break
        assert swept.undo().operation == undone.operation
        assert shown(swept) == shown(control)
    assert [each.kind for each in swept.store.operations(swept.session_id)].count("gc") <= 1


@by_examples(20)
@given(steps=STEPS, kept=st.integers(0, 5))
def test_what_was_freed_is_gone_and_nothing_else(store: Store, steps: list[tuple[str, int]], kept: int) -> None:
    [manager] = talks(store, [step for step in steps if step[0] not in ("gc", "purge")])
    state, operations = store.load(manager.session_id), list(manager.operations())
    report = manager.gc(keep_operations=kept)
    garbage = find_garbage(state, operations, Retention(operations=kept), codec.now())
    assert history.length(garbage.free) == report.messages
    if report.operation is not None:
        assert next(iter(manager.operations())).freed == garbage.free
    for piece in garbage.free:
        for at in range(piece.start, piece.stop):
            with pytest.raises(CorruptBranchError):
                manager.read_messages((piece._replace(start=at, stop=at + 1),))
    everything = history.union(
        *(
            record.history
            for operation in operations
            for entry in operation.branches
            for record in (entry.before, entry.after)
            if record is not None
        )
    )
    manager.read_messages(history.subtract(everything, garbage.free))


def as_dict(report: Any) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__struct_fields__}


# -- rule 1 and 2, by the clock ----------------------------------------------------------------------------------------


@pytest.fixture
def trimmed(store: Store) -> Manager:
    """main: a; b and c were reset away by the last operation but one; then a switch."""
    manager = Manager("trimmed", store=store)
    manager.add_messages([say("a"), say("b"), say("c")])
    manager.reset(1)
    manager.create_branch("x", "x", "main", 0)
    return manager


def free_at(manager: Manager, retention: Retention, later: timedelta) -> int:
    state, operations = manager.store.load("trimmed"), list(manager.operations())
    return history.length(find_garbage(state, operations, retention, codec.now() + later).free)


def test_2_operations_are_kept_by_age_or_by_number(trimmed: Manager) -> None:
    day = timedelta(days=1)
    assert free_at(trimmed, Retention(age=day), timedelta()) == 0
    assert free_at(trimmed, Retention(age=day), 2 * day) == 2
    assert free_at(trimmed, Retention(operations=1), 2 * day) == 2
    assert free_at(trimmed, Retention(operations=2), 2 * day) == 0
    assert free_at(trimmed, Retention(age=day, operations=2), 2 * day) == 0
    assert free_at(trimmed, Retention(age=3 * day, operations=1), 2 * day) == 0
    assert free_at(trimmed, Retention(), DEFAULT_AGE - day) == 0
    assert free_at(trimmed, Retention(), DEFAULT_AGE + day) == 2
    assert free_at(trimmed, Retention(operations=0), timedelta()) == 2


def test_2_a_clock_that_was_ahead_keeps_for_longer(trimmed: Manager) -> None:
    assert free_at(trimmed, Retention(age=timedelta(days=1)), timedelta(days=-9)) == 0


def test_the_sessions_own_retention_counts_unless_another_is_asked_for(trimmed: Manager) -> None:
    trimmed.set_session_metadata({"retention": {"operations": 0}})
    assert trimmed.gc(dry_run=True).messages == 2
    assert trimmed.gc(keep=timedelta(hours=1), dry_run=True).messages == 0
    assert trimmed.gc(keep_operations=5, dry_run=True).messages == 0
    trimmed.set_session_metadata({"retention": {"days": 0.5}})
    assert trimmed.gc(dry_run=True).messages == 0
    trimmed.set_session_metadata({"retention": {"days": 0}})
    assert trimmed.gc(dry_run=True).messages == 2
    trimmed.set_session_metadata({"retention": None})
    assert trimmed.gc(dry_run=True).messages == 0


def test_the_report_counts_each_message_for_its_first_reason(trimmed: Manager) -> None:
    trimmed.tag("v1", "main@{1}:2")
    report = trimmed.gc(keep_operations=9)
    assert (report.in_branches, report.for_tags, report.for_undo, report.messages) == (1, 1, 1, 0)
    assert report.undo_to == 1
    report = trimmed.gc(keep_operations=1)
    assert (report.in_branches, report.for_tags, report.for_undo, report.messages) == (1, 1, 0, 1)
    assert report.undo_to == 4
    assert report.bytes == len('{"role":"user","content":"c"}')
    trimmed.untag("v1")
    assert trimmed.gc(keep_operations=0).messages == 1
    assert trimmed.gc(keep_operations=0).undo_to is None


def test_2_a_gc_itself_does_not_count_among_the_last_operations(trimmed: Manager) -> None:
    trimmed.undo()
    trimmed.undo()
    trimmed.reset(2)
    trimmed.reset(1)
    assert trimmed.gc(keep_operations=1).messages == 1
    assert trimmed.gc(keep_operations=1).messages == 0
    trimmed.undo()
    assert len(trimmed.get_messages()) == 2


def test_4_what_was_given_up_is_not_counted_again(trimmed: Manager) -> None:
    assert trimmed.gc(keep_operations=0).messages == 2
    report = trimmed.gc(keep_operations=9)
    assert (report.messages, report.for_undo, report.in_branches) == (0, 0, 1)
