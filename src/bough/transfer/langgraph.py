"""LangGraph checkpoints as ``SqliteSaver`` keeps them: the channel ``messages`` of each thread.

``checkpoints(thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)`` and
``writes(…, checkpoint_id, task_id, task_path, idx, channel, type, value)``. A value of type ``msgpack`` is MessagePack
with extension types for Python objects: codes 0 to 5 hold ``(module, class, arguments, …)``, code 7 is a snapshot of a
delta channel, code 6 an array of NumPy. In ``json`` an object is ``{"lc": 1 or 2, "id": [module…, class], "kwargs"}``.
**No class that is named there is imported or made**: what it was given is read, and the name of a message's class at
most. ``pickle`` is not read. (Read in the source of langgraph-checkpoint 4.3.2, langgraph-checkpoint-sqlite 3.1.2 and
langgraph 1.2.22, and tried on databases that they wrote. ``json`` follows langchain-core's serialisation as that source
still reads it; no database of such an old version was at hand.)

The state of every checkpoint is a list of messages, and each such list is a line from a root: lists share the nodes
that they begin with, and where they part there is a fork. So a replay from an earlier checkpoint, an edited state and a
removed message all become branches, and what the newest checkpoint says is ``main``. A message is known by its id and
what it says: two wordings of one id are two nodes.

Where a checkpoint has no ``messages`` of its own but a version of them (a delta channel), its state is that of its
parent and the ``messages`` that were written at the parent, as ``add_messages`` joins them; another reducer would give
another list. Writes at a checkpoint without children were not applied yet: that is told. A graph inside a node
(``checkpoint_ns``) is a conversation of its own. A message's ``time`` is that of the first checkpoint that has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from bough.branch import MAIN
from bough.codec import decode
from bough.transfer import normal
from bough.transfer.databases import Columns, Row, Tables, as_bytes, moment, read_tables
from bough.transfer.langchain import MESSAGE, REMOVE, Made, Said, is_pair, loaded, said_by
from bough.transfer.prefixes import Prefixes
from bough.transfer.records import Progress, Reading
from bough.transfer.tree import Conversation, Defect, grow

SOURCE = "langgraph"
_CHANNELS = ("messages", "__root__")
_REMOVE_ALL = "__remove_all__"
_OVERWRITE = "__overwrite__"


def recognises(columns: Columns) -> bool:
    """Whether the tables are a saver's."""
    wanted = {"thread_id", "checkpoint_id", "checkpoint"}
    return wanted <= set(columns.get("checkpoints", ()))


def read(reading: Reading, progress: Progress) -> Iterator[Conversation | Defect]:
    """A conversation a thread, and one for each graph inside it."""
    yield from read_tables(reading, recognises, lambda tables: _read(tables, reading))
    progress(reading.source.size)


def _read(tables: Tables, reading: Reading) -> Iterator[Conversation | Defect]:
    names = ["thread_id", "checkpoint_ns"]
    for _, spaces in groupby(
        tables.rows("checkpoints", names, order=names, distinct=True), key=lambda row: row["thread_id"]
    ):
        silent = 0
        for where in spaces:
            thread = _Thread(tables, where, reading)
            yield from thread.read()
            silent += thread.is_silent
        if silent:
            reason = f"thread {where['thread_id']!r}: {silent} of its graphs keep no messages"
            yield Defect(file=reading.source.name, line=0, reason=reason)


class _Thread:
    """The checkpoints of one graph of one thread."""

    def __init__(self, tables: Tables, where: Row, reading: Reading) -> None:
        self._tables = tables
        self._where = {name: value for name, value in where.items() if name in tables.columns["checkpoints"]}
        self._thread, self._space = (_text(where[name]) for name in ("thread_id", "checkpoint_ns"))
        self._reading = reading
        self._defects: list[Defect] = []
        self._nodes = Prefixes()
        self._said: dict[str, Said] = {}  # of each node
        self._states: dict[Any, str | None] = {}  # the last node of each checkpoint
        self._made: dict[bytes, Any] = {}  # messages by their bytes
        self._read_before: dict[int, Said] = {}  # messages by the identity of such an object
        self._wordings: dict[str, bytes] = {}  # of each id the first
        self._told: set[tuple[int, str]] = set()
        self._first: datetime | None = None
        self._about: dict[str, Any] = {}
        self.is_silent = False

    def read(self) -> Iterator[Conversation | Defect]:
        wanted = ["rowid", "checkpoint_id", "parent_checkpoint_id"]
        rows = list(self._tables.rows("checkpoints", wanted, where=self._where, order=["checkpoint_id"]))
        parents = {row["checkpoint_id"]: row["parent_checkpoint_id"] for row in rows}
        ends = {}
        for row in _parents_first(rows, parents):
            self._checkpoint(row, parents)
            ends[row["checkpoint_id"]] = self._states[row["checkpoint_id"]]
        for id_ in parents.keys() - set(parents.values()):
            if writes := sum(1 for _ in self._writes(id_)):
                self._tell(f"checkpoint {id_!r}: {writes} writes of messages were not applied yet")
        newest = next((ends[id_] for id_ in reversed(parents) if ends[id_]), None)
        if newest is None:
            self.is_silent = not self._defects
            yield from self._defects
            return
        entries, leaf = self._nodes.entries({MAIN: newest})
        nodes, defects = grow(entries, file=self._reading.source.name, leaf=leaf)
        name = self._thread if not self._space else f"{self._thread}-{self._space}"
        yield Conversation(
            session_id=normal.session_name(SOURCE, name, self._where, self._reading.source.name),
            nodes=nodes,
            file=self._reading.source.name,
            line=0,
            created_at=self._first,
            metadata={
                "source": SOURCE,
                "id": self._thread,
                **({"checkpoint_ns": self._space} if self._space else {}),
                **({"extra": self._about} if self._about else {}),
            },
        )
        yield from self._defects
        yield from defects

    def _checkpoint(self, row: Row, parents: Mapping[Any, Any]) -> None:
        """Finds the state of a checkpoint whose parent's was found."""
        id_, parent = row["checkpoint_id"], row["parent_checkpoint_id"]
        inherited = self._states.get(parent)
        self._states[id_] = None
        if parent is not None and parent not in parents:
            self._tell(f"checkpoint {id_!r}: its parent {parent!r} is missing", kept=True)
        [stored] = self._tables.rows("checkpoints", ["type", "checkpoint", "metadata"], where={"rowid": row["rowid"]})
        try:
            checkpoint = loaded(stored["type"], stored["checkpoint"], self._made)
        except ValueError as error:
            self._tell(f"checkpoint {id_!r}: {error}")
            self._states[id_] = inherited
            return
        checkpoint = normal.fields(checkpoint)
        time = moment(checkpoint.get("ts"))
        self._first = self._first or time
        self._about = _about(stored["metadata"]) or self._about
        values = normal.fields(checkpoint.get("channel_values"))
        for channel in _CHANNELS:
            value = values.get(channel)
            if isinstance(value, Made) and value.name == "_DeltaSnapshot":
                value = value.value
            if isinstance(value, Made) and isinstance(value.value, list | tuple):  # a deque
                value = value.value
            if isinstance(value, list | tuple):
                self._states[id_] = self._line(self._read_all(value, f"checkpoint {id_!r}"), time)
                return
            if value is not None:
                self._tell(f"checkpoint {id_!r}: {channel} is not a list")
        if _CHANNELS[0] in normal.fields(checkpoint.get("channel_versions")):
            state = self._state(inherited)
            for write in self._writes(parent):
                state = self._joined(state, write, f"a write at checkpoint {parent!r}")
            self._states[id_] = self._line(state, time)

    def _writes(self, checkpoint_id: Any) -> Iterator[Row]:
        here = {**self._where, "checkpoint_id": checkpoint_id, "channel": _CHANNELS[0]}
        return self._tables.rows("writes", ["type", "value"], where=here, order=["task_path", "task_id", "idx"])

    def _joined(self, state: list[Said], write: Row, place: str) -> list[Said]:
        """A state with what was written to it, as ``add_messages`` does it."""
        try:
            value = loaded(write["type"], write["value"], self._made)
        except ValueError as error:
            self._tell(f"{place}: {error}")
            return state
        whole, value = _overwrite(value)
        came = self._read_all(value if isinstance(value, list | tuple) and not is_pair(value) else [value], place)
        if whole:
            return came
        for number, one in enumerate(came):
            if one.role == REMOVE and one.id == _REMOVE_ALL:
                return [other for other in came[number + 1 :] if other.role != REMOVE]
        known = {one.id: number for number, one in enumerate(state) if one.id is not None}
        joined: list[Said | None] = list(state)
        for one in came:
            at = None if one.id is None else known.get(one.id)
            if at is not None:
                joined[at] = None if one.role == REMOVE else one
            elif one.role != REMOVE:
                if one.id is not None:
                    known[one.id] = len(joined)
                joined.append(one)
        return [one for one in joined if one is not None]

    def _read_all(self, value: Sequence[Any], place: str) -> list[Said]:
        said: list[Said] = []
        for number, one in enumerate(value, 1):
            try:
                found = self._read_before.get(id(one)) or said_by(one, raw=self._reading.raw)
                if isinstance(one, Made) and one.name.endswith(MESSAGE):
                    self._read_before[id(one)] = found
                said.append(found)
            except ValueError as error:
                if (number, str(error)) not in self._told:  # each later checkpoint has it too
                    self._told.add((number, str(error)))
                    self._tell(f"{place}: message {number}: {error}")
        return said

    def _line(self, state: list[Said], time: datetime | None) -> str | None:
        """Lays a state over those that were there; its last node."""
        at: str | None = None
        for one in state:
            found = self._nodes.step(at, one.key)
            if found is None and one.role != REMOVE:
                id_ = one.id or one.key.hex()
                if self._wordings.setdefault(id_, one.key) != one.key:  # when it is imported again it must not be taken
                    id_ = f"{id_}-{one.key.hex()[:12]}"  # for the first one
                message = normal.message(one.role, one.content, source=SOURCE, id=id_, time=time, **one.more)
                found = self._nodes.add(at, one.key, id_, message)
                self._said[found] = one
            at = found or at
        return at

    def _state(self, end: str | None) -> list[Said]:
        found: list[Said] = []
        while end is not None:
            found.append(self._said[end])
            end = self._nodes.parent(end)
        return found[::-1]

    def _tell(self, reason: str, *, kept: bool = False) -> None:
        self._defects.append(Defect(file=self._reading.source.name, line=0, reason=reason, kept=kept))


def _parents_first(rows: list[Row], parents: Mapping[Any, Any]) -> Iterator[Row]:
    """The rows, each behind its parent's; where parents go round in a circle it begins somewhere."""
    waiting = {row["checkpoint_id"]: row for row in rows}
    for id_ in list(waiting):
        line: list[Row] = []
        at = id_
        while at in waiting:
            line.append(waiting.pop(at))
            at = parents[at]
        yield from reversed(line)


def _about(metadata: Any) -> dict[str, Any]:
    """What a checkpoint's metadata say beside the graph's own counting."""
    try:
        found = decode(as_bytes(metadata))
    except ValueError:
        return {}
    return normal.rest(found, "source", "step", "parents", "writes", "counters_since_delta_snapshot") or {}


def _overwrite(value: Any) -> tuple[bool, Any]:
    """Whether a write replaces the whole state, and what is written."""
    if isinstance(value, Made) and value.name == "Overwrite":
        value = value.value
        return True, normal.fields(value).get("value", value)
    if isinstance(value, dict) and value.keys() == {_OVERWRITE}:
        return True, value[_OVERWRITE]
    if isinstance(value, dict) and value.get("type") == _OVERWRITE:
        return True, value.get("value")
    return False, value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else repr(value)
