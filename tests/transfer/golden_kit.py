"""What a golden file becomes, in a form that can be compared: sessions → branches → messages, and the defects.

And what a golden file of lines becomes when its lines are mixed up, for tests that no good line is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bough.codec import time_text
from bough.transfer import Conversation, Defect, paths, read_conversations

GOLDEN = Path(__file__).parent / "golden"


def tree_of(path: Path, **options: Any) -> dict[str, Any]:
    """Everything that is read at ``path``; files are named as below it."""
    found = list(read_conversations(path, **options))
    base = str(path.parent) + "/"
    return {
        "sessions": [_session(item) for item in found if isinstance(item, Conversation)],
        "defects": [
            {"at": f"{item.file.removeprefix(base)}:{item.line}", "reason": item.reason, "kept": item.kept}
            for item in found
            if isinstance(item, Defect)
        ],
    }


def _session(found: Conversation) -> dict[str, Any]:
    return {
        "id": found.session_id,
        "title": found.title,
        "created_at": None if found.created_at is None else time_text(found.created_at),
        "metadata": found.metadata,
        "branches": [
            {
                "id": path.branch_id,
                "name": path.name,
                "parent": path.parent_id,
                "shared": path.shared,
                "messages": [message for node in path.nodes for message in node.messages()],
            }
            for path in paths(found)
        ],
    }


def expected(folder: str) -> Any:
    """The tree that lies beside a format's golden input."""
    return json.loads((GOLDEN / folder / "expected.json").read_text(encoding="utf-8"))


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, 2.5, True, "", "main", "\ud800", "\0", [], {}, [1], {"a": 1}, [[]], [{}], 10**30]
)


@st.composite
def mixed_up(draw: st.DrawFn, lines: list[Any], ids: list[str], parent: str) -> list[Any]:
    """Lines in another order, some twice, some gone, some with another parent, some with junk at any place."""
    kept = st.lists(st.sampled_from(lines), max_size=2 * len(lines))
    found: list[Any] = [deepcopy(line) for line in draw(kept | st.just(lines))]
    for _ in range(draw(st.integers(0, 4)) if found else 0):
        line = draw(st.sampled_from(found))
        if draw(st.booleans()) and ids:
            line[parent] = draw(st.sampled_from(ids))
            continue
        at: Any = line
        while at:
            key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], dict | list) or draw(st.integers(0, 3)) == 0:
                at[key] = deepcopy(draw(JUNK))
                break
            at = at[key]
    return found


def assert_nothing_is_lost(path: Path, lines: list[Any], says: Callable[[Any], list[str]], **options: Any) -> None:
    """Each text of each line is in a message, or the line in a defect; the last line may be cut."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tree = tree_of(path, **options)
    told = {int(defect["at"].rsplit(":", 1)[1]) for defect in tree["defects"]}
    said = json.dumps([branch["messages"] for session in tree["sessions"] for branch in session["branches"]])
    for number, line in enumerate(lines, 1):
        for text in says(line) if number not in told else ():
            assert json.dumps(text)[1:-1] in said, (number, line)
