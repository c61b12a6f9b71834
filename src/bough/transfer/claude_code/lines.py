"""What is remembered of a session's lines: the chain that they are, and the tree of nodes that follows from it.

The first pass decodes no more than the keys that it looks at, for most of a line is what was said.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any, TypedDict

from bough.codec import decode, decoder_of
from bough.model import Message
from bough.transfer import normal
from bough.transfer.claude_code import content
from bough.transfer.claude_code.again import Again
from bough.transfer.claude_code.content import COMMON
from bough.transfer.normal import fields, string
from bough.transfer.records import Reading, Record
from bough.transfer.tree import Defect, Entry

_SPEAKING = ("user", "assistant", "system", "attachment")
_NONE = -1
_USER, _ASSISTANT, _OTHER, _JOIN, _RESULT = range(5)
_SIDE, _META = 8, 16

ABOUT = {"custom-title": "customTitle", "ai-title": "aiTitle", "tag": "tag", "agent-name": "agentName"}
"""Lines that say something of the session, and under which key."""


class _Block(TypedDict, total=False):
    type: Any
    tool_use_id: Any


class _Message(TypedDict, total=False):
    id: Any
    content: str | list[_Block]


class _Line(TypedDict, total=False):
    """What the place of a line in the conversation follows from, and what it says of the session."""

    type: Any
    uuid: Any
    parentUuid: Any
    logicalParentUuid: Any
    compactMetadata: Any
    subtype: Any
    content: Any
    isSidechain: Any
    agentId: Any
    isMeta: Any
    message: _Message
    sessionId: Any
    timestamp: Any
    forkedFrom: Any
    summary: Any
    leafUuid: Any
    cwd: Any
    gitBranch: Any
    version: Any
    customTitle: Any
    aiTitle: Any
    tag: Any
    agentName: Any


decode_some = decoder_of(_Line)


class Lines:
    """What is remembered of each line that is in the chain, by its number among those; and of the session."""

    def __init__(self, reading: Reading) -> None:
        self.again = Again(reading)
        self.raw = reading.raw
        self.file = reading.source.name
        self.count = 0
        self.numbers: dict[str, int] = {}
        self.kinds = bytearray()
        self.parents = array("q")
        self.lines = array("q")
        self.marks = array("q")  # the hash of the message's id, or of the call that is answered
        self.unmet: dict[int, str] = {}  # parents that come later, or never
        self.logical: set[int] = set()  # which of these are logical ones
        self.preserved: dict[int, tuple[int, str]] = {}  # last line that was → where it was compacted, the summary
        self.joined = bytearray()  # which results were put into a row
        self.owners = array("q")
        self.firsts = array("q")  # the first line of an assistant message
        self.nexts = array("q")  # its next one
        self.created_at: datetime | None = None
        self.about: dict[str, Any] = {}
        self.wanted = set(COMMON)
        self.sessions: dict[str, None] = {}
        self.agent: str | None = None
        self.summaries: list[tuple[str, str | None]] = []
        self.other: Counter[str] = Counter()

    def add(self, record: Record) -> Sequence[Defect]:
        """Notes one line. What is wrong with it."""
        self.count += 1
        value = record.value
        kind = string(value.get("type")) or "none"
        uuid = string(value.get("uuid"))
        if uuid is None:
            if kind not in _SPEAKING:
                self._note(kind, value)
                return ()
            return [Defect(file=self.file, line=record.line, reason=f"a line of the type {kind} without a uuid")]
        number = len(self.kinds)
        present = self.numbers.setdefault(uuid, number)
        if present != number:
            if decode(self.again.line(present)) == decode(record.data):
                return ()
            return [Defect(file=self.file, line=record.line, reason=f"a second line has the uuid {uuid!r}")]
        flags, name, reason = _flags(kind, value)
        kept = flags != _JOIN
        if not kept:
            self.other[string(value.get("subtype")) or kind] += 1
        side = value.get("isSidechain")
        if side is True or (side is None and string(value.get("agentId"))):
            flags |= _SIDE
        if value.get("isMeta") is True or kind not in ("user", "assistant"):
            flags |= _META
        self.kinds.append(flags)
        self.lines.append(record.line)
        self.marks.append(hash(name) if name else 0)
        self._place(number, value)
        self.again.remember(record)
        self._note_session(value)
        return [Defect(file=self.file, line=record.line, reason=reason, kept=kept)] if reason else ()

    def _place(self, number: int, value: Mapping[str, Any]) -> None:
        own = string(value.get("parentUuid"))
        parent = own or string(value.get("logicalParentUuid"))
        place = _NONE if parent is None else self.numbers.get(parent, _NONE)
        if place in self.preserved and self.kinds[number] & 7 != _RESULT:
            boundary, summary = self.preserved[place]
            place = max(place, self.numbers.get(summary, boundary))
        self.parents.append(place)
        if parent is not None and place == _NONE:
            self.unmet[number] = parent
            if own is None:
                self.logical.add(number)
        self._note_preserved(number, fields(value.get("compactMetadata")))

    def _note_preserved(self, number: int, compacted: Mapping[str, Any]) -> None:
        kept, segment = fields(compacted.get("preservedMessages")), fields(compacted.get("preservedSegment"))
        ids = kept.get("uuids")
        last = string(ids[-1]) if isinstance(ids, list) and ids else string(segment.get("tailUuid"))
        summary = string(kept.get("anchorUuid")) or string(segment.get("anchorUuid"))
        if last in self.numbers and summary is not None:
            self.preserved[self.numbers[last]] = number, summary

    def _note(self, kind: str, value: Mapping[str, Any]) -> None:
        said = string(value.get(ABOUT.get(kind, "summary")))
        if kind in ABOUT and said is not None:
            self.about[kind] = said
        elif kind == "summary" and said is not None:
            self.summaries.append((said, string(value.get("leafUuid"))))
        else:
            self.other[kind] += 1

    def _note_session(self, value: Mapping[str, Any]) -> None:
        session = string(value.get("sessionId"))
        if session is not None:
            self.sessions[session] = None
        if self.created_at is None:
            self.created_at = normal.moment(value.get("timestamp"))
        if self.wanted:
            found = {key: value[key] for key in COMMON if key in self.wanted and string(value.get(key))}
            self.about |= found
            self.wanted -= found.keys()
        if "forkedFrom" in value and "forkedFrom" not in self.about:
            self.about["forkedFrom"] = value["forkedFrom"]
        if len(self.kinds) == 1 and self.kinds[0] & _SIDE:
            self.agent = string(value.get("agentId"))

    def link(self) -> None:
        """From the lines' parents to those of the nodes (1 to 3 above)."""
        for number, missing in self.unmet.items():
            self.parents[number] = self.numbers.get(missing, _NONE)
        self._open_circles()
        for number, kind in enumerate(self.kinds):
            parent = self.parents[number]
            if parent != _NONE and (kind ^ self.kinds[parent]) & _SIDE:
                self.parents[number] = _NONE
                self.unmet.pop(number, None)
        self.joined = bytearray(len(self.kinds))
        self._find_owners()
        self._join_messages()
        self._join_results()

    def _open_circles(self) -> None:
        """Where lines go round in a circle, the first of them whose parent is only a logical one, further down, follows
        what was written before it. Each line is passed once."""
        walks = array("q", [_NONE]) * len(self.kinds)  # of each line the walk that met it first
        for start in sorted(self.logical):
            at = start
            while at != _NONE and walks[at] == _NONE:
                walks[at] = start
                at = self.parents[at]
            if at != _NONE and walks[at] == start:
                first = min((number for number in self._circle(at) if number in self.logical), default=_NONE)
                if first != _NONE:
                    self.parents[first] = self._before(first)

    def _circle(self, start: int) -> Iterator[int]:
        yield start
        at = self.parents[start]
        while at != start:
            yield at
            at = self.parents[at]

    def _before(self, number: int) -> int:
        """The line of the same chain that was written before it."""
        side = self.kinds[number] & _SIDE
        return next((at for at in range(number - 1, -1, -1) if self.kinds[at] & _SIDE == side), _NONE)

    def _find_owners(self) -> None:
        """Of each line the assistant's line that it, or what lies between, follows directly."""
        owners = self.owners = array("q", [-2]) * len(self.kinds)
        for start in range(len(self.kinds)):
            way: list[int] = []
            at: int = start
            while at != _NONE and owners[at] == -2:
                owners[at] = _NONE  # in a circle there is none
                way.append(at)
                at = self.parents[at]
                if at != _NONE and self.kinds[at] & 7 in (_USER, _ASSISTANT):
                    break
            if at == _NONE or at in way:
                found = _NONE
            elif self.kinds[at] & 7 == _ASSISTANT:
                found = at
            else:
                found = _NONE if self.kinds[at] & 7 == _USER else owners[at]
            for number in way:
                owners[number] = found

    def _join_messages(self) -> None:
        """Assistant's lines of one message: each leads to the first and to the next."""
        count = len(self.kinds)
        firsts = self.firsts = array("q", range(count))
        siblings = array("q", [_NONE]) * count  # the assistant's line met last below each line
        for number, kind in enumerate(self.kinds):
            if kind & 7 != _ASSISTANT or self.marks[number] == 0:
                continue
            self._unite(number, self.owners[number])
            parent = self.parents[number]
            if parent != _NONE:
                self._unite(number, siblings[parent])
                siblings[parent] = number
        nexts = self.nexts = array("q", [_NONE]) * count
        lasts = array("q", range(count))
        for number in range(count):
            first = firsts[number] = self._first(number)
            if first != number:
                nexts[lasts[first]] = number
                lasts[first] = number

    def _unite(self, number: int, other: int) -> None:
        if other != _NONE and self.marks[number] == self.marks[other]:
            low, high = sorted((self._first(number), self._first(other)))
            self.firsts[high] = low

    def _first(self, number: int) -> int:
        firsts = self.firsts
        while firsts[number] != number:
            firsts[number] = firsts[firsts[number]]
            number = firsts[number]
        return number

    def _join_results(self) -> None:
        """The results of one message's calls one behind the other, what follows one of them behind the last."""
        count = len(self.kinds)
        lasts = array("q", [_NONE]) * count
        answered: set[int] = set()
        for number, kind in enumerate(self.kinds):
            if kind & 7 != _RESULT or self.owners[number] == _NONE:
                continue
            first = self.firsts[self.owners[number]]
            answer = hash((first, self.marks[number]))
            if answer not in answered:
                answered.add(answer)
                self.parents[number] = first if lasts[first] == _NONE else lasts[first]
                lasts[first] = number
                self.joined[number] = 1
        for number in range(count):
            parent = self.parents[number]
            if parent != _NONE and self.joined[parent] and not self.joined[number]:
                self.parents[number] = lasts[self.firsts[self.owners[parent]]]

    def entries(self) -> Iterator[Entry]:
        names = list(self.numbers)
        for number, kind in enumerate(self.kinds):
            if self.firsts[number] != number:
                continue
            said = () if kind & 7 == _JOIN else _Later(self, number)
            yield Entry(self._name(names, number), self._parent(names, number), said, self.lines[number])

    def _parent(self, names: list[str], number: int) -> str | None:
        at = number
        while at != _NONE:
            parent = self.parents[at]
            if parent == _NONE:
                return self.unmet.get(at)
            above = self.owners[parent] if self.joined[parent] else parent
            if self.firsts[above] != number:
                return self._name(names, self.firsts[parent])
            at = self.nexts[at]
        return None

    def _name(self, names: list[str], number: int) -> str:
        return f"sidechain-{names[number]}" if self.kinds[number] & _SIDE else names[number]

    def messages(self, number: int) -> list[Message]:
        """What a node says. ``ValueError`` where the file does not say it any more."""
        values, originals = [], []
        at = number
        while at != _NONE:
            line = self.again.line(at)
            value = content.decode_line(line)
            if self.numbers.get(string(value.get("uuid")) or "") != at:
                raise ValueError(f"{self.file}:{self.lines[at]}: it was changed while it was read")
            values.append(value)
            if self.raw:
                originals.append(decode(line))
            at = self.nexts[at]
        raw = originals[0] if len(originals) == 1 else originals or None
        return content.messages(values, self.about, raw=raw)

    def leaf(self) -> str | None:
        """The end of the main line; of a file of an agent's alone, that of its line."""
        names = list(self.numbers)
        for unwanted in (_SIDE | _META, _META, 0):
            for number in range(len(self.kinds) - 1, -1, -1):
                if not self.kinds[number] & unwanted:
                    return self._name(names, self.firsts[number])
        return None

    def session_id(self) -> str:
        stem = PurePath(self.file).stem
        session = stem if stem in self.sessions or not self.sessions else next(iter(self.sessions))
        agent = f"-agent-{self.agent}" if self.agent and all(kind & _SIDE for kind in self.kinds) else ""
        return normal.session_name(content.NAME, f"{session}{agent}", {}, self.file)

    def title(self) -> str | None:
        for kind in ("custom-title", "ai-title"):
            if kind in self.about:
                return normal.title(self.about[kind])
        own = [said for said, leaf in self.summaries if leaf in self.numbers]
        return normal.title(own[-1]) if own else None

    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = {"source": content.NAME, "id": next(iter(self.sessions), None), **self.about}
        found["agentId"] = self.agent
        found["summaries"] = [said for said, _ in self.summaries] or None
        found["otherLines"] = dict(self.other) or None
        return {key: value for key, value in found.items() if value is not None}


def _flags(kind: str, value: Mapping[str, Any]) -> tuple[int, str | None, str]:
    """What sort of line it is; the id of its message, or of the first call that it answers; and what is wrong."""
    if kind == "attachment" or (kind == "system" and value.get("content")):
        return _OTHER, None, ""
    if kind not in ("user", "assistant"):
        return _JOIN, None, ""
    message = fields(value.get("message"))
    content = message.get("content")
    sort, name = (_USER, None) if kind == "user" else (_ASSISTANT, string(message.get("id")))
    if isinstance(content, str):
        return sort, name, ""
    if not isinstance(content, list):
        return _JOIN, None, f"a line of the type {kind} without a message"
    reason = ""
    for block in content:
        if not isinstance(block, dict):
            reason = "a block that is no object is left out"
        elif kind == "user" and block.get("type") == "tool_result":
            sort, name = _RESULT, name or string(block.get("tool_use_id"))
    return sort, name, reason


class _Later:
    """The messages of a node, read when they are asked for."""

    __slots__ = ("lines", "number")

    def __init__(self, lines: Lines, number: int) -> None:
        self.lines = lines
        self.number = number

    def __call__(self) -> list[Message]:
        return self.lines.messages(self.number)
