"""Codex's rollouts: ``~/.codex/sessions/YYYY/MM/DD/rollout-<time>-<uuid>.jsonl`` (or ``.zst``), each one conversation.

Lines are ``{timestamp, type, payload}``; in files of before September 2025 the payload stands bare. The lines follow
one another, and have no ids of their own that last: nodes are named for their line, ``line-17``.

1. ``session_meta``: the first is the session's; a fork has its parent's behind it, with copies of its lines. One with a
   ``history_base`` (since 0.146) goes on from another file, which is not looked for: that is told. Its id may be that
   file's, so it is not what names the session.
2. ``response_item``: what the model was given and gave. What it gave without a break (reasoning, messages, calls) is
   one assistant's message, so that parallel calls are; each output is a tool's message. What the service itself called
   (``web_search_call``) stays among what was given, as it is; reasoning that is only there encrypted is counted. An
   ``agent_message`` is what another agent says to the model: the user's message, with its ``author``.
3. ``event_msg``: repeats items, and is not believed but for ``thread_rolled_back`` (the last ``num_turns`` turns of
   the user are a branch of their own from there on), ``token_count`` (usage) and ``thread_name_updated`` (the title). A
   turn begins at a message of the user's that the program did not write itself.
4. ``turn_context`` names the model. ``compacted`` is a system's message with the summary.

All else is counted in the conversation's metadata.

Source: the protocol in Codex's own source (codex-rs/protocol); of versions 0.145 to 0.154 what public readers of
rollouts expect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough.codec import encode_found
from bough.model import Message
from bough.transfer import normal
from bough.transfer.normal import Part, Result, fields, objects, string
from bough.transfer.records import Reading, Record
from bough.transfer.spool import Spool
from bough.transfer.tree import Conversation, Defect, Entry, grow

NAME = "codex"
_LINES = ("session_meta", "response_item", "event_msg", "turn_context", "compacted")
_NAMES = {"local_shell_call": "shell", "tool_search_call": "tool_search"}
"""The calls that do not name their tool."""

_CALLS = ("function_call", "custom_tool_call", *_NAMES)
_HOSTED = ("web_search_call", "image_generation_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output", "tool_search_output")
_ITEMS = ("message", "reasoning", *_CALLS, *_OUTPUTS)
_OWN = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions",
    "<turn_aborted>",
    "<user_shell_command>",
    "<skill>",
    "<subagent_notification>",
    "<recommended_plugins>",
    "<collaboration_mode>",
    "<model_switch>",
    "<hook_prompt",
    "<codex_internal_context",
)
"""What the user's messages begin with that the program writes."""


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is a line of a rollout, new or old."""
    if "payload" in value:
        return value.get("type") in _LINES
    return "record_type" in value or {"id", "timestamp", "instructions"} <= value.keys()


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """The one conversation of a file, behind the defects of its lines."""
    rollout = _Rollout(reading)
    for record in records:
        yield from [record] if isinstance(record, Defect) else rollout.add(record)
    rollout.close()
    if rollout.first is None:
        return
    nodes, defects = grow(rollout.entries, file=reading.source.name, leaf=rollout.tip)
    yield from defects
    base = fields(rollout.meta.get("history_base"))
    if base:
        reason = f"it goes on from the rollout {base.get('thread_id')!r}, whose messages are not in this file"
        yield Defect(file=reading.source.name, line=1, reason=reason, kept=True)
    id_ = None if base else rollout.meta.get("id")
    yield Conversation(
        session_id=normal.session_name(NAME, id_, rollout.meta or rollout.first, reading.source.name),
        nodes=nodes,
        file=reading.source.name,
        line=1,
        title=normal.title(rollout.title),
        created_at=normal.moment(rollout.meta.get("timestamp")),
        metadata=rollout.metadata(),
    )


class _Rollout:
    """What a file has said so far. ``tip`` is the node that the next one follows."""

    def __init__(self, reading: Reading) -> None:
        self._raw = reading.raw
        self._spool = Spool()
        self._model: str | None = None
        self._latest: tuple[int, list[Message]] | None = None  # the last entry of the model's, not put aside yet
        self._given: list[tuple[Record, dict[str, Any]]] = []  # by the model, without a break
        self._spent: dict[str, Any] | None = None
        self._turns: list[str | None] = []  # the tip before each turn of the user
        self._other: Counter[str] = Counter()
        self.first: dict[str, Any] | None = None
        self.meta: dict[str, Any] = {}
        self.title: str | None = None
        self.entries: list[Entry] = []
        self.tip: str | None = None

    def add(self, record: Record) -> Iterator[Defect]:
        value = record.value
        self.first = value if self.first is None else self.first
        kind = string(value.get("type"))
        payload = fields(value.get("payload"))
        if kind in _ITEMS and "payload" not in value:
            kind, payload = "response_item", value
        elif kind is None and {"id", "timestamp"} <= value.keys():
            kind, payload = "session_meta", value
        elif kind in _LINES and not payload:
            yield Defect(file=record.file, line=record.line, reason=f"a line of the type {kind} without a payload")
            return
        if kind == "response_item":
            yield from self._item(record, dict(payload))
        elif kind == "event_msg":
            yield from self._event(record, payload)
        elif kind == "session_meta":
            self._meta(payload)
        elif kind == "turn_context":
            self._model = string(payload.get("model")) or self._model
        elif kind == "compacted":
            more = {"kind": kind, "replaces": len(objects(payload.get("replacement_history"))) or None}
            self._put(record, "system", [normal.text(string(payload.get("message")) or "")], more)
        else:
            self._other[kind or string(value.get("record_type")) or "none"] += 1

    def _meta(self, payload: Mapping[str, Any]) -> None:
        if not self.meta:
            self.meta = dict(payload)
        elif payload.get("id") != self.meta.get("id"):
            self.meta.setdefault("forked_from_id", payload.get("id"))

    def _item(self, record: Record, payload: dict[str, Any]) -> Iterator[Defect]:
        kind, role = string(payload.get("type")), string(payload.get("role"))
        if kind == "reasoning" and not _thought(payload):
            self._other[kind] += 1
        elif kind in ("reasoning", *_CALLS, *_HOSTED) or (kind == "message" and role == "assistant"):
            self._given.append((record, payload))
        elif kind in _OUTPUTS:
            output = payload.get("output")
            said = [*_parts(output)] or [normal.text(_plain(payload.get("tools", output)))]
            more = {"success": output["success"]} if isinstance(output, dict) and "success" in output else {}
            self._put(record, "tool", [Result(string(payload.get("call_id")), said)], more)
        elif kind == "message" and role is not None:
            said = [*_parts(payload.get("content"))]
            begins = not any((string(part.get("text")) or "").startswith(_OWN) for part in said[:1])
            self.close()
            if role == "user" and begins:
                self._turns.append(self.tip)
            self._put(record, role, said, {} if begins else {"written_by": NAME})
        elif kind == "agent_message":
            more = normal.rest(payload, "type", "id", "content") or {}
            self._put(record, "user", [*_parts(payload.get("content"))], more)
        elif kind == "message" or kind is None:
            yield Defect(
                file=record.file, line=record.line, reason="an item without a type, or a message without a role"
            )
        else:
            self._other[kind] += 1

    def _event(self, record: Record, payload: Mapping[str, Any]) -> Iterator[Defect]:
        kind = string(payload.get("type")) or "none"
        if kind == "thread_rolled_back":
            turns = payload.get("num_turns")
            if not isinstance(turns, int) or isinstance(turns, bool) or turns < 1:
                yield Defect(file=record.file, line=record.line, reason="num_turns is not a number of turns", kept=True)
                return
            self.close()
            if self._turns:
                first = max(0, len(self._turns) - turns)
                self.tip = self._turns[first]
                del self._turns[first:]
        elif kind == "token_count":
            self._spent = dict(fields(fields(payload.get("info")).get("last_token_usage"))) or None
            self._spend()
        elif kind == "thread_name_updated":
            self.title = string(payload.get("thread_name")) or self.title
        else:
            self._other[kind] += 1

    def _spend(self) -> None:
        """The usage belongs to what the model gave last, which may be finished already."""
        if self._spent and not self._given:
            if self._latest is not None:
                self._latest[1][0]["metadata"].setdefault("usage", self._spent)
            self._spent = None

    def close(self) -> None:
        """What the model gave so far is one message."""
        if self._given:
            given, self._given = self._given, []
            said = [part for _, payload in given for part in _given(payload)]
            values = [record.value for record, _ in given]
            self._put(given[0][0], "assistant", said, {}, values if len(values) > 1 else values[0])
            self._spend()

    def _put(self, record: Record, role: str, said: list[Any], more: dict[str, Any], raw: Any = None) -> None:
        self.close()
        messages: list[Message] = normal.turn(
            role,
            said,
            source=NAME,
            place=f"line-{record.line}",
            time=normal.moment(record.value.get("timestamp")),
            model=self._model if role == "assistant" else None,
            more=more,
            raw=(record.value if raw is None else raw) if self._raw else None,
        )
        if role == "assistant":
            self._set_aside()
            self._latest = len(self.entries), messages
        content = messages if role == "assistant" else self._spool.keep(messages)
        self.entries.append(Entry(f"line-{record.line}", self.tip, content, record.line))
        self.tip = f"line-{record.line}"

    def _set_aside(self) -> None:
        """What the model gave before; its usage is known."""
        if self._latest is not None:
            index, messages = self._latest
            self.entries[index] = self.entries[index]._replace(content=self._spool.keep(messages))

    def metadata(self) -> dict[str, Any]:
        said = normal.rest(self.meta, "type", "timestamp", "id", "source", "instructions", "base_instructions") or {}
        found = {"source": NAME, "id": self.meta.get("id"), **said, "started_by": self.meta.get("source")}
        found["otherLines"] = dict(self._other) or None
        return {key: value for key, value in found.items() if value is not None}


def _given(payload: Mapping[str, Any]) -> Iterator[Part]:
    """What one item of the model's says."""
    kind = payload.get("type")
    if kind == "message":
        yield from _parts(payload.get("content"))
    elif kind == "reasoning":
        yield normal.thinking(_thought(payload))
    elif kind == "image_generation_call":
        url = normal.by_reference(f"data:image/png;base64,{payload.get('result', '')}")
        yield normal.image(url, **normal.details(normal.rest(payload, "type", "result")))
    elif kind in _HOSTED:
        yield dict(payload)
    else:
        name = string(payload.get("name")) or _NAMES.get(str(kind), "")
        given = next((payload[key] for key in ("arguments", "input", "action") if payload.get(key) is not None), "")
        if kind == "custom_tool_call":
            given = {"input": given}  # not JSON, but text of any kind
        id_ = string(payload.get("call_id")) or string(payload.get("id")) or ""
        yield normal.call(id_, name, given)


def _thought(payload: Mapping[str, Any]) -> str:
    texts = [block.get("text") for key in ("summary", "content") for block in objects(payload.get(key))]
    return "\n\n".join(text for text in texts if isinstance(text, str))


def _parts(content: Any) -> Iterator[Part]:
    """The blocks of a content; one of another kind is kept as it is, but for what is encrypted."""
    if isinstance(content, str):
        yield normal.text(content)
    for block in objects(content):
        kind = block.get("type")
        if kind in ("input_text", "output_text", "text"):
            yield normal.text(string(block.get("text")) or "")
        elif kind == "input_image":
            yield normal.image(normal.by_reference(string(block.get("image_url")) or ""))
        elif kind != "encrypted_content":
            yield block


def _plain(output: Any) -> str:
    """An output as text, which in old files stands in an object."""
    said = fields(output).get("content")
    if isinstance(said, str):
        return said
    return "" if output in (None, "", []) else encode_found({"output": output}).decode()
