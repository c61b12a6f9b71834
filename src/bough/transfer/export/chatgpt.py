"""The tree as ChatGPT's data export has it: an array with one conversation ``{id, title, create_time, current_node,
mapping}``, where ``mapping[id]`` is ``{id, message, parent, children}``.

- A node's id is the message's identity, ``segment.position``; where a merge put a message in a second place, ``~N``
  stands behind it.
- ``message`` is what readers of such exports look for, all said as text. The message itself, exactly, stands in
  ``message.metadata.bough``, where :mod:`bough.transfer.chatgpt` finds it: the same tree comes back.
- ``current_node`` is the end of the branch that is shown first.
- The format has no names: a branch that ends where others go on is not told apart from those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bough import history
from bough.codec import encode_found
from bough.model import History, Message
from bough.parts import parts_of, role_of, text_of
from bough.runs import Identity
from bough.transfer import normal
from bough.transfer.export.talk import Exported
from bough.transfer.export.text import time_of
from bough.transfer.export.tree import Run, again, holds, identities, plant

ROOT = "root"


def write(talk: Exported) -> Iterator[bytes]:
    """The file, in parts as they are made."""
    tree = plant(talk)
    names = {run: _Names(run, copies) for run, copies in again(tree.runs)}
    names[tree.root] = _Names(tree.root, ())
    shown = tree.ends[talk.shown.history]
    about = {
        "id": talk.session_id,
        "conversation_id": talk.session_id,
        "title": talk.title or talk.shown.name,
        "create_time": min(record.created_at for record in talk.branches).timestamp(),
        "update_time": max(record.updated_at for record in talk.branches).timestamp(),
        "current_node": names[shown].last(),
    }
    root = {"id": ROOT, "message": None, "parent": None, "children": _first_of(tree.root, names)}
    yield b"[" + encode_found(about)[:-1] + b',"mapping":{' + _entry(root)
    for run in tree.runs:
        parent = names[run.parent or tree.root].last()
        waiting: dict[str, Any] | None = None
        for identity, message in zip(identities(run.pieces), talk.read(run.pieces), strict=True):
            name = names[run].of(identity)
            if waiting is not None:
                yield b"," + _entry({**waiting, "children": [name]})
            waiting = {"id": name, "message": _message(name, message), "parent": parent, "children": []}
            parent = name
        if waiting is not None:
            yield b"," + _entry({**waiting, "children": _first_of(run, names)})
    yield b"}}]\n"


class _Names:
    """The ids of the nodes of a run."""

    def __init__(self, run: Run, copies: History) -> None:
        self._run = run
        self._copies = copies

    def of(self, identity: Identity) -> str:
        segment, position = identity
        mark = f"~{self._run.number}" if holds(self._copies, identity) else ""
        return f"{segment}.{position}{mark}"

    def first(self) -> str:
        return self.of(history.identity(self._run.pieces, 0))

    def last(self) -> str:
        run = self._run
        return self.of(history.identity(run.pieces, run.length - 1)) if run.pieces else ROOT


def _first_of(run: Run, names: dict[Run, _Names]) -> list[str]:
    return [names[child].first() for child in run.children.values()]


def _entry(node: dict[str, Any]) -> bytes:
    return encode_found({node["id"]: node})[1:-1]


def _message(name: str, message: Message) -> dict[str, Any]:
    time = time_of(message)
    model = normal.string(normal.fields(message.get("metadata")).get("model"))
    return {
        "id": name,
        "author": {"role": role_of(message), "name": None, "metadata": {}},
        "create_time": None if time is None else time.timestamp(),
        "update_time": None,
        "content": {"content_type": "text", "parts": [text_of(parts_of(message))]},
        "status": "finished_successfully",
        "end_turn": None,
        "weight": 1.0,
        "metadata": {**({"model_slug": model} if model else {}), "bough": message},
        "recipient": "all",
    }
