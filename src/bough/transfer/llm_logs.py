"""The log of Simon Willison's ``llm``, usually ``~/.config/io.datasette.llm/logs.db``.

In older versions a model's answer is a row of ``responses(id, model, prompt, system, prompt_json, options_json,
response, conversation_id, duration_ms, datetime_utc, …)``, and a row of ``conversations(id, name, model)`` holds them
together; what it was given and what it called stand in ``prompt_attachments``, ``prompt_fragments``,
``system_fragments``, ``tool_calls`` and ``tool_results``, as far as the version had them. Newer versions (migration 23)
write ``messages(hash, parent_hash, role)`` and their ``parts`` instead: a message is known by the hash of what it says
and of its parent's, so conversations share what they have in common; ``threads(id, name, tip_message_hash,
forked_from)`` point at messages, and ``turns`` say of each call of a model where it began and ended, and what it cost.
A response that is also a turn is that turn. (Read in the source of llm 0.36, and tried on databases that it wrote; of
older versions the migrations were read, which say what columns they had.)

A conversation is a session, and so is a response that has none; its responses are in the order of their ids. A thread
is a session, and those that were forked from it are branches of it, under their own ids. Threads that only happen to
begin alike stay apart. ``prompt_json`` and ``response_json`` repeat what stands elsewhere and are not read, but with
``raw``. The bytes of attachments stay where they are: a message names the URL, the path or the digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from bough.branch import MAIN
from bough.codec import decode
from bough.model import Message
from bough.transfer import normal
from bough.transfer.databases import Columns, Row, Tables, as_bytes, known, moment, read_tables
from bough.transfer.prefixes import Prefixes
from bough.transfer.records import Progress, Reading
from bough.transfer.tree import Conversation, Defect, Entry, grow

SOURCE = "llm"
_COSTS = ("input_tokens", "output_tokens", "token_details")
_MORE = ("resolved_model", "options_json", "schema_id", "duration_ms")
_RESPONSE = ("prompt", "system", "response", "reasoning", "model", "datetime_utc", *_COSTS, *_MORE)


def recognises(columns: Columns) -> bool:
    """Whether the tables are those of such a log."""
    old = {"id", "prompt", "response", "conversation_id"} <= set(columns.get("responses", ()))
    return old or ("turns" in columns and {"hash", "parent_hash"} <= set(columns.get("messages", ())))


def read(reading: Reading, progress: Progress) -> Iterator[Conversation | Defect]:
    """A conversation for each of the log."""
    yield from read_tables(reading, recognises, lambda tables: _read(tables, reading))
    progress(reading.source.size)


def _read(tables: Tables, reading: Reading) -> Iterator[Conversation | Defect]:
    yield from _Responses(tables, reading).read()
    yield from _Threads(tables, reading).read()


class _Log:
    """What both generations have in common."""

    def __init__(self, tables: Tables, reading: Reading) -> None:
        self.tables = tables
        self.file = reading.source.name
        self.raw = reading.raw
        self.defects: list[Defect] = []

    def tell(self, reason: str, *, kept: bool = False) -> None:
        self.defects.append(Defect(file=self.file, line=0, reason=reason, kept=kept))

    def told(self) -> Iterator[Defect]:
        defects, self.defects = self.defects, []
        yield from defects

    def attachment(self, id_: Any) -> normal.Part:
        """A file by reference; its id is the digest of its bytes."""
        row = next(self.tables.rows("attachments", ["type", "path", "url"], where={"id": id_}), {})
        if not row:
            self.tell(f"the attachment {id_!r} is missing", kept=True)
        kind, name = _text(row.get("type")), _text(row.get("url")) or _text(row.get("path")) or f"sha256:{_text(id_)}"
        if kind.startswith("image/"):
            return normal.image(normal.by_reference(name))
        return normal.file(normal.by_reference(name), **({"mime_type": kind} if kind else {}))

    def fragment(self, id_: Any) -> str:
        row = next(self.tables.rows("fragments", ["content"], where={"id": id_}), None)
        if row is None:
            self.tell(f"the fragment {id_!r} is missing", kept=True)
        return _text(row and row["content"])

    def linked(self, table: str, owner: Mapping[str, Any], column: str) -> list[Any]:
        """The ids in a table that joins others, in their order."""
        return [row[column] for row in self.tables.rows(table, [column], where=owner, order=["order", "rowid"])]


class _Responses(_Log):
    """The log as versions before the message store wrote it."""

    def read(self) -> Iterator[Conversation | Defect]:
        if "responses" not in self.tables.columns:
            return
        self._calls = {table: self._numbers(table) for table in ("tool_calls", "tool_results")}
        turns = {row["id"] for row in self.tables.rows("turns", ["id"])}
        names = ["rowid", "conversation_id", "id"]
        rows = self.tables.rows("responses", names, order=["conversation_id", "id", "rowid"])
        rows = (row for row in rows if row["id"] not in turns)
        self._threads = {row["id"] for row in self.tables.rows("threads", ["id"])}
        for (id_, _), group in groupby(rows, key=_conversation_of):
            yield from self._conversation(id_ or None, list(group))

    def _numbers(self, table: str) -> dict[Any, list[int]]:
        """Of each response its rows: these tables have no index."""
        found: dict[Any, list[int]] = {}
        for row in self.tables.rows(table, ["response_id", "rowid"]):
            found.setdefault(row["response_id"], []).append(row["rowid"])
        return found

    def _conversation(self, id_: Any, responses: list[Row]) -> Iterator[Conversation | Defect]:
        about = next(self.tables.rows("conversations", ["name", "model"], where={"id": id_}), {}) if id_ else {}
        if id_ and not about:
            self.tell(f"the conversation {id_!r} of {len(responses)} responses is missing", kept=True)
        self._waiting: list[str] = []
        entries: list[Entry] = []
        system = ""
        time = None
        for number, row in enumerate(responses):
            [response] = self.tables.rows("responses", _RESPONSE, where={"rowid": row["rowid"]})
            time = time or moment(response["datetime_utc"])
            name = _text(row["id"]) or f"response {row['rowid']}"
            given = self._joined("system_fragments", row["id"], response["system"])
            new, system = (given if given != system else ""), given or system
            messages = self._messages(name, row["id"], new, response)
            entries.append(Entry(str(number), str(number - 1) if number else None, messages))
        nodes, defects = grow(entries, file=self.file)
        id_ = responses[0]["id"] if id_ is None else id_
        name = f"{SOURCE}-responses" if id_ in self._threads else SOURCE  # its thread says all of this once more
        yield Conversation(
            session_id=normal.session_name(name, _text(id_), {"": repr(id_)}, self.file),
            nodes=nodes,
            file=self.file,
            line=0,
            title=normal.title(about.get("name")),
            created_at=time,
            metadata={"source": SOURCE, "id": _text(id_), **known(about, "model")},
        )
        yield from self.told()
        yield from defects

    def _joined(self, table: str, id_: Any, text: Any) -> str:
        """A text behind the fragments that were put before it."""
        fragments = [self.fragment(one) for one in self.linked(table, {"response_id": id_}, "fragment_id")]
        return "\n".join([*fragments, *([_text(text)] if text else [])])

    def _messages(self, name: str, id_: Any, system: str, response: Row) -> list[Message]:
        """A response: what was said to the model, then what it said."""
        common: dict[str, Any] = {"source": SOURCE, "time": moment(response["datetime_utc"])}
        made: list[Message] = []
        if system:
            made.append(normal.message("system", system, id=f"{name}-system", **common))
        for number, row in enumerate(self._rows("tool_results", id_)):
            output: list[normal.Part] = [normal.text(_text(row["output"]))]
            joined = {"tool_result_id": row["rowid"]}
            output += map(self.attachment, self.linked("tool_results_attachments", joined, "attachment_id"))
            more = known(row, "name", "exception")
            own_id, answers = f"{name}-result-{number + 1}", _text(row["tool_call_id"]) or None
            if answers is None and self._waiting:  # versions without ids
                answers = self._waiting.pop(0)
            made.append(normal.message("tool", output, id=own_id, answers=answers, more=more, **common))
        prompt = self._joined("prompt_fragments", id_, response["prompt"])
        linked = self.linked("prompt_attachments", {"response_id": id_}, "attachment_id")
        files = [self.attachment(one) for one in linked]
        if prompt or files or not made:
            parts = [*([normal.text(prompt)] if prompt or not files else []), *files]
            made.append(normal.message("user", parts, id=f"{name}-prompt", **common))
        calls = [
            normal.call(
                _text(row["tool_call_id"]) or f"{name}-call-{number + 1}", _text(row["name"]), _text(row["arguments"])
            )
            for number, row in enumerate(self._rows("tool_calls", id_))
        ]
        self._waiting = [call["id"] for call in calls]
        said = [normal.thinking(_text(response["reasoning"]))] if response["reasoning"] else []
        said += [normal.text(_text(response["response"]))] if response["response"] or not (said or calls) else []
        made.append(
            normal.message(
                "assistant",
                said,
                id=name,
                model=normal.string(response["model"]),
                usage=known(response, *_COSTS) or None,
                calls=calls,
                more=known(response, *_MORE),
                raw=self._original(id_) if self.raw else None,
                **common,
            )
        )
        return made

    def _rows(self, table: str, id_: Any) -> Iterator[Row]:
        wanted = ("rowid", "name", "arguments", "output", "exception", "tool_call_id")
        for number in self._calls[table].get(id_, ()):
            yield from self.tables.rows(table, wanted, where={"rowid": number})

    def _original(self, id_: Any) -> dict[str, Any]:
        names = self.tables.columns["responses"]
        return known(next(self.tables.rows("responses", names, where={"id": id_}), {}), *names)


class _Threads(_Log):
    """The log as a store of messages."""

    def read(self) -> Iterator[Conversation | Defect]:
        if "messages" not in self.tables.columns:
            return
        threads: dict[Any, Row] = {}
        for row in self.tables.rows("threads", ["id", "forked_from"], order=["id"]):
            if threads.setdefault(row["id"], row) is not row:  # SQLite lets several rows have no key
                self.tell(f"a second thread has the id {row['id']!r}: they are read as one", kept=True)
        families: dict[Any, list[Any]] = {}
        for id_ in threads:
            families.setdefault(self._eldest(id_, threads), []).append(id_)
        for eldest, members in families.items():
            yield from self._family(eldest, [eldest, *(id_ for id_ in members if id_ != eldest)])
        lost = [row["id"] for row in self.tables.rows("turns", ["id", "thread_id"]) if row["thread_id"] not in threads]
        for id_ in lost:
            self.tell(f"the turn {id_!r} is of no thread")
        yield from self.told()

    def _eldest(self, id_: Any, threads: Mapping[Any, Row]) -> Any:
        """What a thread was forked from in the end; of a circle the one that comes first."""
        line: dict[Any, None] = {}
        while id_ not in line:
            line[id_] = None
            above = threads[id_]["forked_from"]
            if above not in threads:
                return id_
            id_ = above
        ids = list(line)
        return min(ids[ids.index(id_) :], key=list(threads).index)

    def _family(self, eldest: Any, members: Sequence[Any]) -> Iterator[Conversation | Defect]:
        wanted = ["id", "name", "tip_message_hash", "datetime_utc"]
        nodes = Prefixes()
        ends: dict[str, str | None] = {}
        rows: dict[Any, Row] = {}
        self._turns: dict[Any, dict[str, Any]] = {}
        self._made: dict[Any, str] = {}
        for id_ in members:
            rows[id_] = next(self.tables.rows("threads", wanted, where={"id": id_}))
            turns = list(self._turns_of(id_))
            for tip in [*turns, rows[id_]["tip_message_hash"]]:
                end = self._line(nodes, tip, f"thread {id_!r}")
            ends[MAIN if id_ == eldest else _text(id_)] = end
        entries, leaf = nodes.entries(ends)
        made, defects = grow(entries, file=self.file, leaf=leaf)
        about = rows[eldest]
        forks = {_text(id_): known(rows[id_], "name", "datetime_utc") for id_ in members if id_ != eldest}
        yield Conversation(
            session_id=normal.session_name(SOURCE, _text(eldest), {"": repr(eldest)}, self.file),
            nodes=made,
            file=self.file,
            line=0,
            title=normal.title(about["name"]),
            created_at=moment(about["datetime_utc"]),
            metadata={"source": SOURCE, "id": _text(eldest), **({"forks": forks} if forks else {})},
        )
        yield from self.told()
        yield from defects

    def _turns_of(self, thread: Any) -> Iterator[Any]:
        """The tips of a thread's turns. What a turn says of its messages is kept until they are made."""
        wanted = ("id", "parent_message_hash", "tip_message_hash", "model", "datetime_utc", *_COSTS, *_MORE)
        for turn in self.tables.rows("turns", wanted, where={"thread_id": thread}, order=["id"]):
            tip = turn["tip_message_hash"]
            common = {"time": moment(turn["datetime_utc"])}
            model = normal.string(turn["model"])
            usage, more = known(turn, *_COSTS), known(turn, *_MORE)
            self._turns.setdefault(tip, {**common, "model": model, "usage": usage or None, "more": more})
            self._turns.setdefault(turn["parent_message_hash"], common)
            yield tip

    def _line(self, nodes: Prefixes, tip: Any, place: str) -> str | None:
        """Adds the messages up to ``tip``; the last node."""
        line: dict[Any, Row] = {}
        while tip is not None and tip not in self._made:
            row = next(
                self.tables.rows("messages", ["hash", "parent_hash", "role", "provider_metadata"], where={"hash": tip}),
                None,
            )
            if row is None or tip in line:
                self.tell(f"{place}: message {tip!r} {'is its own ancestor' if row else 'is missing'}", kept=True)
                break
            line[tip] = row
            tip = row["parent_hash"]
        at = self._made.get(tip)
        for hash_, row in reversed(line.items()):
            at = self._made[hash_] = nodes.add(at, hash_, _text(hash_), self._message(hash_, row))
        return at

    def _message(self, hash_: Any, row: Row) -> list[Message]:
        said: list[normal.Part | normal.Result] = []
        for part in self.tables.rows(
            "parts", ["type", "text", "payload", "tool_name"], where={"message_hash": hash_}, order=["position"]
        ):
            try:
                said.append(self._part(part))
            except ValueError as error:
                self.tell(f"message {hash_!r}: a part: {error}")
        turn = dict(self._turns.get(hash_, {}))
        more = {**turn.pop("more", {}), **known({"provider_json": row["provider_metadata"]}, "provider_json")}
        role = _text(row["role"]) or "user"
        return normal.turn(role, said, source=SOURCE, id=_text(hash_), more=more or None, **turn)

    def _part(self, row: Row) -> normal.Part | normal.Result:
        """``ValueError`` where it is none that is known."""
        payload = decode(as_bytes(row["payload"])) if row["payload"] is not None else {}
        kind = row["type"]
        written = row["text"] if row["text"] is not None else payload.get("text")
        text = _text(written) + "".join(
            _text(one["literal"]) if "literal" in one else self.fragment(one.get("fragment"))
            for one in normal.objects(payload.get("text_ref"))
        )
        rest = normal.rest(payload, "text", "text_ref", "name", "arguments", "tool_call_id", "output", "attachments")
        id_ = normal.string(payload.get("tool_call_id"))
        if kind == "text":
            return {**normal.text(text), **normal.details(rest)}
        if kind == "reasoning":
            return {**normal.thinking(text), **normal.details(rest)}
        if kind == "tool_call":
            call = normal.call(id_ or "", _text(payload.get("name")), payload.get("arguments"))
            return {**call, **normal.details(rest)}
        if kind == "tool_result":
            files = [self.attachment(one.get("id")) for one in normal.objects(payload.get("attachments"))]
            output = [normal.text(_text(payload.get("output"))), *files]
            return normal.Result(id_, output, {**(rest or {}), **known(payload, "name")} or None)
        if kind == "attachment":
            reference = normal.fields(payload.get("attachment")).get("id")
            return {**self.attachment(reference), **normal.details(normal.rest(payload, "attachment"))}
        raise ValueError(f"its type {kind!r} is not known")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _conversation_of(row: Row) -> tuple[Any, Any]:
    id_ = row["conversation_id"]
    return id_, None if id_ else row["rowid"]
