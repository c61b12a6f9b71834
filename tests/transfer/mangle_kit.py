"""What can happen to a file on its way: places that hold junk, twice what was there once, parents that go in circles,
a torn end. And the one promise that must hold then: whatever is whole comes out, or is named as a defect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bough.changes import check_name
from bough.codec import decode, encode_found
from bough.transfer import Conversation, Defect, paths, read_conversations

_DEEP: Any = []
for _ in range(300):
    _DEEP = [_DEEP]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "main", "main?", "\0", "\ud800", "x" * 600, [], {}, [None], [[]], {"": {}}, [1, "a"], _DEEP]),
    st.recursive(st.none() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2), max_leaves=4),
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in it."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending and len(found) < 2000:
        at = pending.pop()
        inner = list(at.items() if isinstance(at, dict) else enumerate(at))
        found += [(at, key) for key, _ in inner]
        pending += [one for _, one in inner if isinstance(one, dict | list)]
    return found


@st.composite
def mangled(draw: st.DrawFn, base: Any, ids: Iterable[str]) -> Any:
    """``base`` with up to six changes; ``ids`` are what parents may be set to."""
    value = deepcopy(base)
    names = list(ids)
    for _ in range(draw(st.integers(0, 6))):
        places = _places(value)
        if not places:
            break
        container, key = places[draw(st.integers(0, len(places) - 1))]
        what = draw(st.sampled_from(["junk", "delete", "name", "twice", "turn"]))
        if what == "junk":
            container[key] = deepcopy(draw(JUNK))
        elif what == "name":
            container[key] = draw(st.sampled_from(names))
        elif what == "delete":
            del container[key]
        elif isinstance(container, list):
            if what == "twice":
                container.insert(draw(st.integers(0, len(container))), deepcopy(container[key]))
            else:
                container.reverse()
    return value


def written(path: Path, value: Any) -> bytes:
    data = json.dumps(value).encode()
    path.write_bytes(data)
    return data


def check_nothing_is_lost(path: Path, value: Any, good: Callable[[Any], Iterable[tuple[str, str]]], name: str) -> None:
    """Reads one conversation, however it looks. ``good`` gives the (id, text) of each message in it that is whole."""
    written(path, [value])
    found = list(read_conversations(path, format=name, raw=True))
    defects = [one for one in found if isinstance(one, Defect)]
    talks = [one for one in found if isinstance(one, Conversation)]
    if not talks:
        assert any(not one.kept for one in defects)
        return
    for path_ in (path_ for talk in talks for path_ in paths(talk)):
        check_name(path_.name)
        for node in path_.nodes:
            for message in node.messages():
                assert decode(encode_found(message)) == message
    said = json.dumps([node.messages() for talk in talks for path_ in paths(talk) for node in path_.nodes])
    reasons = "\n".join(one.reason for one in defects)
    for id_, text in good(value):
        assert text in said or repr(id_) in reasons, (id_, text, reasons)


def check_torn(path: Path, values: list[Any], share: float, name: str) -> None:
    """An array that ends too early: what stands whole before that comes out, and the tear is told."""
    whole = list(read_conversations(_rewritten(path, written(path, values)), format=name))
    data = path.read_bytes()
    cut = int(len(data) * share)
    path.write_bytes(data[:cut])
    found = list(read_conversations(path, format=name))
    ends = [len(json.dumps(values[: count + 1])) - 1 for count in range(len(values))]
    count = sum(end <= cut for end in ends)
    assert [one for one in found if isinstance(one, Conversation)] == [
        one for one in whole if isinstance(one, Conversation)
    ][:count]
    assert cut in (0, len(data)) or any(isinstance(one, Defect) and not one.kept for one in found)


def _rewritten(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def passed_over(path: Path, base: Any, name: str) -> set[str]:
    """The keys of ``base`` at which something strange can stand without a trace: it neither comes out nor is told."""
    silent: set[str] = set()
    for number in range(len(_places(base))):
        for strange in ("strange-text", ["strange-text"], {"text": 7, "strange-text": 1}):
            value = deepcopy(base)
            container, key = _places(value)[number]
            container[key] = strange
            written(path, [value])
            found = list(read_conversations(path, format=name))
            talks = [one for one in found if isinstance(one, Conversation)]
            out = [[one.session_id, one.title, one.metadata] for one in talks]
            nodes = [[node.id, node.parent_id, node.messages()] for one in talks for node in one.nodes]
            told = any(isinstance(one, Defect) for one in found)
            if not told and "strange-text" not in json.dumps([out, nodes]):
                silent.add(str(key))
    return silent
