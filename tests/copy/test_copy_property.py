"""Random verbs on a session, copied again and again meanwhile: the copy is always the session, whatever was done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from copy_kit import SESSION, place, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from bough.codec import encode
from bough.copying import copy_session
from bough.errors import BoughError
from bough.manager import ConversationBranchManager
from bough.stores.base import Store
from bough.stores.memory import MemoryStore

IDS = ["main", "a", "a-2", "b", "x/y"]
ids = st.sampled_from(IDS)
index = st.integers(0, 8)
messages = st.lists(st.sampled_from([{"n": 1}, {"n": 1.0}, {"n": True}, {"text": "é\0"}]), min_size=1, max_size=3)


def setting(start: int, stop: int, new: list[Any]) -> Callable[[Any], object]:
    def act(manager: Any) -> object:
        held = manager.get_messages()
        return manager.set_messages([*held[:start], *new, *held[stop:]])

    return act


verbs = st.one_of(
    messages.map(lambda new: lambda manager: manager.add_messages(new)),
    st.builds(setting, index, index, messages),
    st.builds(lambda id_, of, at: lambda m: m.create_branch(id_, id_, of, at), ids, ids, st.none() | index),
    ids.map(lambda name: lambda manager: manager.fork(name)),
    ids.map(lambda id_: lambda manager: manager.checkout(id_)),
    st.builds(lambda id_, how: lambda m: m.merge(id_, how), ids, st.sampled_from(["append", "replace"])),
    ids.map(lambda id_: lambda manager: manager.delete_branch(id_)),
    st.builds(lambda id_, name: lambda m: m.rename_branch(id_, name), ids, ids),
    st.just(lambda manager: manager.undo()),
    st.just(lambda manager: manager.redo()),
    st.builds(lambda at, new: lambda m: m.edit_message(at, new[0]), index, messages),
    st.builds(lambda at, stop: lambda m: m.remove_messages(at, stop), index, index),
    ids.map(lambda id_: lambda manager: manager.restore_branch(id_)),
    st.builds(lambda name, at: lambda m: m.tag(f"tag {name}", f"HEAD:{at}"), ids, index),
    ids.map(lambda name: lambda manager: manager.untag(f"tag {name}")),
    st.builds(lambda id_, value: lambda m: m.set_branch_metadata({"x": value}, branch_id=id_), ids, index),
    index.map(lambda value: lambda manager: manager.set_session_metadata({"x": value or None})),
)
giving_up = st.one_of(
    index.map(lambda count: lambda manager: manager.gc(keep_operations=count)),
    st.builds(lambda id_, at: lambda m: m.purge(f"{id_}:{at + 1}"), ids, index),
    st.builds(lambda one, other: lambda m: m.purge(f"{one}..{other}"), ids, ids),
)
programs = st.lists(st.tuples(st.one_of(verbs, verbs, giving_up), st.booleans()), min_size=1, max_size=25)


def run(program: list[tuple[Callable[[Any], object], bool]], source: Store, after: Callable[[], None]) -> None:
    with ConversationBranchManager(SESSION, store=source) as manager:
        for verb, is_copied in program:
            with suppress(BoughError):
                verb(manager)
            if is_copied:
                after()
        after()


def texts(store: Store) -> dict[str, tuple[str, list[bytes]]]:
    return {
        id_: (record.name, [encode(message) for message in store.read(SESSION, record.history)])
        for id_, record in store.load(SESSION).branches.items()
    }


@pytest.mark.parametrize("kind", ["memory", "json", "sqlite"])
def test_a_copy_made_again_and_again_is_the_session(kind: str) -> None:
    @settings(max_examples=40)
    @given(program=programs)
    def holds(program: list[tuple[Callable[[Any], object], bool]]) -> None:
        with TemporaryDirectory() as folder:
            source, copy = MemoryStore(), place(kind, Path(folder))

            def copied() -> None:
                copy_session(source, copy, SESSION)
                assert whole(copy) == whole(source)

            run(program, source, copied)
            at_once, back = MemoryStore(), MemoryStore()
            copy_session(source, at_once, SESSION)
            copy_session(copy, back, SESSION)
            assert whole(at_once) == whole(back) == whole(source)
            while undo_everywhere([source, copy, back]):
                assert texts(source) == texts(copy) == texts(back)
            copy.close()

    holds()


@pytest.mark.parametrize("second", ["memory", "json", "sqlite"])
@pytest.mark.parametrize("first", ["memory", "json", "sqlite"])
def test_what_was_shown_before_is_shown_after(first: str, second: str) -> None:
    """Of every pair of stores: branches, tags and metadata, in the copy and still in the source."""

    @settings(max_examples=8)
    @given(program=programs)
    def holds(program: list[tuple[Callable[[Any], object], bool]]) -> None:
        with TemporaryDirectory() as folder:
            source, copy = place(first, Path(folder), "source"), place(second, Path(folder), "copy")

            def copied() -> None:
                before = shown(source)
                copy_session(source, copy, SESSION)
                assert shown(copy) == shown(source) == before

            run(program, source, copied)
            assert whole(copy) == whole(source)
            source.close()
            copy.close()

    holds()


def shown(store: Store) -> object:
    with ConversationBranchManager(SESSION, store=store) as manager:
        branches = [
            (each.id, each.name, each.metadata, list(map(encode, each.messages))) for each in manager.get_all_branches()
        ]
        tags = {name: list(map(encode, manager.read_messages(tag.history))) for name, tag in manager.tags().items()}
        return (
            branches,
            tags,
            manager.session_metadata(),
            manager.get_current_branch_id(),
            list(manager.deleted_branches()),
        )


def undo_everywhere(stores: list[Store]) -> bool:
    outcomes = []
    for store in stores:
        with ConversationBranchManager(SESSION, store=store) as manager:
            try:
                outcomes.append(manager.undo())
            except BoughError as error:
                outcomes.append(type(error))  # type: ignore[arg-type]
    assert outcomes[0] == outcomes[1] == outcomes[2]
    return not isinstance(outcomes[0], type)


@pytest.mark.parametrize("kind", ["memory", "json", "sqlite"])
def test_two_who_take_turns(kind: str) -> None:
    """One works, copies to the other, who works and copies back: no place is given to two messages."""

    @settings(max_examples=25)
    @given(turns=st.lists(st.lists(verbs, max_size=6), max_size=6))
    def holds(turns: list[list[Callable[[Any], object]]]) -> None:
        with TemporaryDirectory() as folder:
            stores: list[Store] = [MemoryStore(), place(kind, Path(folder))]
            ConversationBranchManager(SESSION, store=stores[0]).close()
            copy_session(stores[0], stores[1], SESSION)
            seen: dict[tuple[str, int], bytes] = {}
            for at, turn in enumerate(turns):
                mine, other = stores[at % 2], stores[1 - at % 2]
                run([(verb, False) for verb in turn], mine, lambda: None)
                copy_session(mine, other, SESSION)
                assert whole(mine) == whole(other)
                for store in stores:
                    for record in store.load(SESSION).branches.values():
                        identities = [
                            (each.segment, n) for each in record.history for n in range(each.start, each.stop)
                        ]
                        for identity, message in zip(identities, store.read(SESSION, record.history), strict=True):
                            assert seen.setdefault(identity, encode(message)) == encode(message)
            tips = [{record.tip.segment for record in store.load(SESSION).branches.values()} for store in stores]
            assert not tips[0] & tips[1]
            stores[1].close()

    holds()
