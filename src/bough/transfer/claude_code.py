"""Claude Code's sessions: ``~/.claude/projects/<folder>/<session>.jsonl``, each file one conversation.

Lines of the types ``user``, ``assistant``, ``system``, ``attachment`` and ``progress`` are a chain: ``{uuid,
parentUuid, logicalParentUuid, sessionId, timestamp, isSidechain, agentId, isMeta, message}``, with Anthropic's content
blocks in ``message``. The parents are believed, except where the program's way of writing makes forks that are none:

1. An assistant message is a line for each of its blocks, with one ``message.id``: one node, named for its first line.
   Lines are joined only where they hang together, because some services give every message the same id.
2. The results of parallel calls each hang on the line of their call: they follow one another, and what follows any of
   them follows all. A second result of the same call is a fork.
3. Sidechains (other agents at work) are never on ``main``: their nodes are named ``sidechain-…``, and one that hangs
   on the main line begins on its own.
4. ``progress`` and lines of unknown types only hold the chain together. The conversation's metadata counts them.

``main`` ends in the last line of the main chain that a person or the model wrote. Other lines speak of the session:
``custom-title``, ``ai-title``, ``tag``, ``summary`` (a title only if its leaf is in the file: old versions wrote those
of other sessions).

A session can be huge: memory holds numbers of each line and the ids; what a line says is read again, in blocks, when
its node is asked for. Of a file in an archive everything is held.

Sources: files of versions 1.0 to 2.x as their users describe them; there is no specification.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

from bough.codec import decode, encode_found
from bough.model import Message
from bough.transfer import normal
from bough.transfer.normal import Part, Result, fields, objects, string
from bough.transfer.records import Reading, Record
from bough.transfer.tree import Conversation, Defect, Entry, grow

NAME = "claude-code"
SPEAKING = ("user", "assistant", "system", "attachment")
BLOCK = 1 << 18
"""Bytes that are read at once."""

_NONE = -1
_USER, _ASSISTANT, _OTHER, _JOIN, _RESULT = range(5)
_SIDE, _META = 8, 16
_ABOUT = {"custom-title": "customTitle", "ai-title": "aiTitle", "tag": "tag", "agent-name": "agentName"}
_COMMON = {"cwd", "gitBranch", "version"}
_SAID = (
    "cwd",
    "gitBranch",
    "version",
    "requestId",
    "agentId",
    "subtype",
    "level",
    "isMeta",
    "isSidechain",
    "isCompactSummary",
    "isApiErrorMessage",
    "isVisibleInTranscriptOnly",
    "slug",
)


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is a line of such a session."""
    if "uuid" in value and "parentUuid" in value and "sessionId" in value:
        return True
    kind = value.get("type")
    return ("leafUuid" in value and kind == "summary") or (
        isinstance(kind, str)
        and (kind in _ABOUT or kind in ("file-history-snapshot", "queue-operation", "last-prompt"))
        and ("sessionId" in value or "snapshot" in value)
    )


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """The one conversation of a file, behind the defects of its lines."""
    lines = _Lines(reading)
    for record in records:
        if isinstance(record, Defect):
            yield record
        else:
            yield from lines.add(record)
    if not len(lines.kinds):
        if lines.count:
            yield Defect(file=lines.file, line=1, reason="the session has no messages")
        return
    lines.link()
    nodes, defects = grow(lines.entries(), file=lines.file, leaf=lines.leaf())
    yield from defects
    yield Conversation(
        session_id=lines.session_id(),
        nodes=nodes,
        file=lines.file,
        line=1,
        title=lines.title(),
        created_at=lines.created_at,
        metadata=lines.metadata(),
    )


class _Lines:
    """What is remembered of each line that is in the chain, by its number among those; and of the session."""

    def __init__(self, reading: Reading) -> None:
        self.reader = _Reader(reading, self)
        self.file = reading.source.name
        self.count = 0
        self.numbers: dict[str, int] = {}
        self.kinds = bytearray()
        self.parents = array("q")
        self.lines = array("q")
        self.offsets = array("q")
        self.sizes = array("q")
        self.messages = array("q")  # the hash of the message's id, or of the call that is answered
        self.unmet: dict[int, str] = {}  # parents that come later, or never
        self.joined = bytearray()  # which results were put into a row
        self.owners = array("q")
        self.firsts = array("q")  # the first line of an assistant message
        self.nexts = array("q")  # its next one
        self.created_at: datetime | None = None
        self.about: dict[str, Any] = {}
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
            if kind not in SPEAKING:
                self._note(kind, value)
                return ()
            return [Defect(file=self.file, line=record.line, reason=f"a line of the type {kind} without a uuid")]
        number = len(self.kinds)
        present = self.numbers.setdefault(uuid, number)
        if present != number:
            if self.reader.is_same(present, value):
                return ()
            return [Defect(file=self.file, line=record.line, reason=f"a second line has the uuid {uuid!r}")]
        flags, name, reason = _flags(kind, value)
        kept = flags != _JOIN
        if not kept:
            self.other[kind] += 1
        side = value.get("isSidechain")
        if side is True or (side is None and string(value.get("agentId"))):
            flags |= _SIDE
        if value.get("isMeta") is True or kind not in ("user", "assistant"):
            flags |= _META
        self.kinds.append(flags)
        self.lines.append(record.line)
        self.messages.append(hash(name) if name else 0)
        self._place(number, value)
        self.reader.remember(number, record)
        self._note_session(value)
        return [Defect(file=self.file, line=record.line, reason=reason, kept=kept)] if reason else ()

    def _place(self, number: int, value: Mapping[str, Any]) -> None:
        parent = string(value.get("parentUuid")) or string(value.get("logicalParentUuid"))
        place = _NONE if parent is None else self.numbers.get(parent, _NONE)
        self.parents.append(place)
        if parent is not None and place == _NONE:
            self.unmet[number] = parent

    def _note(self, kind: str, value: Mapping[str, Any]) -> None:
        said = string(value.get(_ABOUT.get(kind, "summary")))
        if kind in _ABOUT and said is not None:
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
        if _COMMON - self.about.keys():
            self.about |= {key: value[key] for key in _COMMON - self.about.keys() if string(value.get(key))}
        if "forkedFrom" in value and "forkedFrom" not in self.about:
            self.about["forkedFrom"] = value["forkedFrom"]
        if len(self.kinds) == 1 and self.kinds[0] & _SIDE:
            self.agent = string(value.get("agentId"))

    def link(self) -> None:
        """From the lines' parents to those of the nodes (1 to 3 above)."""
        for number, missing in self.unmet.items():
            self.parents[number] = self.numbers.get(missing, _NONE)
        for number, kind in enumerate(self.kinds):
            parent = self.parents[number]
            if parent != _NONE and (kind ^ self.kinds[parent]) & _SIDE:
                self.parents[number] = _NONE
                self.unmet.pop(number, None)
        self.joined = bytearray(len(self.kinds))
        self._find_owners()
        self._join_messages()
        self._join_results()

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
            if kind & 7 != _ASSISTANT or self.messages[number] == 0:
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
        if other != _NONE and self.messages[number] == self.messages[other]:
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
            answer = hash((first, self.messages[number]))
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
            content = () if kind & 7 == _JOIN else _Later(self.reader, number)
            yield Entry(self._name(names, number), self._parent(names, number), content, self.lines[number])

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
        return normal.session_name(NAME, f"{session}{agent}", {}, self.file)

    def title(self) -> str | None:
        for kind in ("custom-title", "ai-title"):
            if kind in self.about:
                return normal.title(self.about[kind])
        own = [said for said, leaf in self.summaries if leaf in self.numbers]
        return normal.title(own[-1]) if own else None

    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = {"source": NAME, "id": next(iter(self.sessions), None), **self.about}
        found["agentId"] = self.agent
        found["summaries"] = [said for said, _ in self.summaries] or None
        found["otherLines"] = dict(self.other) or None
        return {key: value for key, value in found.items() if value is not None}


def _flags(kind: str, value: Mapping[str, Any]) -> tuple[int, str | None, str]:
    """What sort of line it is; the id of its message, or of the first call that it answers; and what is wrong."""
    if kind == "system" or kind == "attachment":
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

    __slots__ = ("number", "reader")

    def __init__(self, reader: _Reader, number: int) -> None:
        self.reader = reader
        self.number = number

    def __call__(self) -> list[Message]:
        return self.reader.messages(self.number)


class _Reader:
    """Reads lines again. No file stays open: a block is read at once, and the next line mostly stands in it."""

    def __init__(self, reading: Reading, lines: _Lines) -> None:
        self._source = reading.source
        self._raw = reading.raw
        self._lines = lines
        self._held: dict[int, dict[str, Any]] = {}
        self._block = b""
        self._start = 0

    def remember(self, number: int, record: Record) -> None:
        """Where the line stands; all that it says, where it cannot be read again."""
        again = self._source.path is not None and record.offset is not None
        if not again:
            self._held[number] = record.value
        self._lines.offsets.append(record.offset or 0)
        self._lines.sizes.append(record.size)

    def is_same(self, number: int, value: dict[str, Any]) -> bool:
        return self._held.get(number) == value or (
            number not in self._held and decode(self._read(number, ahead=0)) == value
        )

    def messages(self, number: int) -> list[Message]:
        """``ValueError`` where the file does not say it any more."""
        values = []
        at = number
        while at != _NONE:
            value = self._held[at] if at in self._held else decode(self._line(at))
            if self._lines.numbers.get(string(value.get("uuid")) or "") != at:
                raise ValueError(f"{self._source.name}:{self._lines.lines[at]}: it was changed while it was read")
            values.append(value)
            at = self._lines.nexts[at]
        return _messages(values, self._lines.about, raw=self._raw)

    def _line(self, number: int) -> bytes:
        start = self._lines.offsets[number] - self._start
        stop = start + self._lines.sizes[number]
        if start < 0 or stop > len(self._block):
            self._start += start
            start, stop = 0, stop - start
            self._block = self._read(number, ahead=BLOCK)
        line = self._block[start:stop]
        if stop >= len(self._block):
            self._block = b""
        return line.removeprefix(b"\xef\xbb\xbf")

    def _read(self, number: int, ahead: int) -> bytes:
        try:
            with self._source.open() as file:
                file.seek(self._lines.offsets[number])
                return file.read(max(ahead, self._lines.sizes[number]))
        except OSError as error:
            raise ValueError(f"{self._source.name} cannot be read any more: {error}") from None


def _messages(values: list[dict[str, Any]], about: Mapping[str, Any], *, raw: bool) -> list[Message]:
    """What one node says: one line, or the lines of one assistant message."""
    value, last = values[0], fields(values[-1].get("message"))
    kind = value["type"]
    more = {key: said for key in _SAID if (said := value.get(key)) and about.get(key) != said}
    parts: list[Part | Result]
    if kind == "attachment":
        attachment = fields(value.get("attachment"))
        more["attachment"] = attachment.get("type")
        parts = [_attached(attachment)]
    elif kind == "system":
        parts = [normal.text(string(value.get("content")) or "")]
    else:
        parts = [part for each in values for part in _parts(fields(each.get("message")).get("content"))]
        more["stopReason"] = string(last.get("stop_reason"))
    return normal.turn(
        kind if kind in ("user", "assistant") else "system",
        parts,
        source=NAME,
        id=string(value.get("uuid")),
        time=normal.moment(value.get("timestamp")),
        model=string(last.get("model")),
        usage=fields(last.get("usage")) or None,
        more=more,
        raw=(values if len(values) > 1 else value) if raw else None,
    )


def _parts(content: Any) -> Iterator[Part | Result]:
    """Anthropic's content, block by block; one of another kind is kept as it is."""
    if isinstance(content, str):
        yield normal.text(content)
    for block in objects(content):
        kind = block.get("type")
        if kind == "text":
            yield normal.text(string(block.get("text")) or "")
        elif kind == "thinking":
            yield normal.thinking(string(block.get("thinking")) or "")
        elif kind == "tool_use":
            name = string(block.get("name")) or ""
            yield normal.call(string(block.get("id")) or "", name, fields(block.get("input")))
        elif kind == "tool_result":
            said = [part for part in _parts(block.get("content")) if not isinstance(part, Result)]
            more = {"isError": True} if block.get("is_error") is True else None
            yield Result(string(block.get("tool_use_id")), said, more)
        elif kind in ("image", "document"):
            yield _reference(block)
        else:
            yield block


def _reference(block: Mapping[str, Any]) -> Part:
    """An image or a document: where it lies, or the digest of what it is."""
    source = fields(block.get("source"))
    media = string(source.get("media_type")) or "application/octet-stream"
    data = string(source.get("data"))
    url = string(source.get("url")) or string(source.get("file_id")) or ""
    if data is not None:
        url = normal.by_reference(f"data:{media};base64,{data}")
    if block.get("type") == "image":
        return normal.image(url)
    return normal.file(string(block.get("title")) or url, **({"url": url} if block.get("title") else {}))


def _attached(attachment: Mapping[str, Any]) -> Part:
    """What was put into the conversation beside what was typed: a file by its name, all else as it stands."""
    for key in ("prompt", "content"):
        said = string(attachment.get(key))
        if said is not None:
            return normal.text(said)
    name = string(attachment.get("filename"))
    return normal.text(encode_found(attachment).decode()) if name is None else normal.file(name)
