"""ChatGPT's data export: ``conversations.json``, or its shards ``conversations-000.json`` …, an array of conversations.

A conversation is ``{id, conversation_id, title, create_time, current_node, default_model_slug, mapping}``;
``mapping[id]`` is ``{id, message | null, parent, children[]}``. A message is ``{id, author: {role, name}, create_time,
content: {content_type, …}, recipient, weight, end_turn, metadata: {model_slug, attachments[], …}}``. One conversation
alone, as the web interface gets it, is read too. Source: exports of 2024 to 2026, and what several public readers of
them expect; OpenAI publishes no description.

- The keys of ``mapping`` are the ids and ``parent`` is the tree; ``children`` and a node's own ``id`` are not believed.
  ``current_node`` is the end of ``main``; where it names no node, that is the youngest leaf.
- A node without a message only joins others. So does one that says nothing and is hidden, is a context, or is of a tool
  that nobody called: every export begins with them, and they may hang beside the next question as if it were a fork.
- What the model is told of the user and of its memory (``user_editable_context``, ``model_editable_context``) is the
  system's message, whoever the file has for its author.
- An assistant's message with another ``recipient`` than ``all`` is a call of that tool, and a message of the role
  ``tool`` answers the nearest call above it; both have the call's node for their id. A tool that speaks again, or
  unasked, has the id of that call again, or none.
- Arguments that are no JSON object become ``{"input": text}``.
- A mark of a citation in a text (between U+E200 and U+E201) becomes what ``metadata.content_references`` has for it.
- A voice message is its transcription and the recordings; pictures that code has drawn stand in ``aggregate_result``.
- What the kinds of content have beside their text stands in ``metadata.content``, what else a message has in
  ``metadata.details`` (ChatGPT's own metadata) and ``metadata.extra``.

``message.metadata.bough`` is ours: a message of Bough, exactly, in an export that Bough wrote. It is believed before
all the rest of its node, so that any message survives the way out and back; and a conversation that such an export
names ``chatgpt-…`` goes back to the session of that name.

Beside the conversations an export has ``user.json``, ``message_feedback.json``, ``shared_conversations.json`` and
``group_chats.json`` (empty where nobody wrote to a group). They are recognised and have no conversations, so they are
passed over without a word. What else it has (``sora.json``, ``model_comparisons.json`` …) is told of as not recognised.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough.codec import decode
from bough.model import Message
from bough.transfer import normal
from bough.transfer.records import Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, Entry, grow

SOURCE = "chatgpt"
_SIGNS = ("current_node", "conversation_id", "create_time", "title")
_ASIDES = (("email", "chatgpt_plus_user"), ("conversation_id", "rating"), ("conversation_id", "is_anonymous"))
"""Keys by which the objects of the other files of an export are known."""

_ROOT = {"id", "children"}
"""All that the first node has, as the web interface gets it."""

_TEXTS = {
    "code": ("text",),
    "execution_output": ("text",),
    "model_editable_context": ("model_set_context",),
    "sonic_webpage": ("title", "text"),
    "system_error": ("name", "text"),
    "tether_browsing_display": ("result", "summary"),
    "tether_quote": ("title", "text"),
    "user_editable_context": ("user_profile", "user_instructions"),
}
"""The keys of each kind of content that hold its text; of an unknown kind these are tried:"""
_ANY_TEXTS = ("text", "result", "content")
_CONTEXTS = ("user_editable_context", "model_editable_context")
_RECORDINGS = ("audio_asset_pointer", "video_container_asset_pointer", "frames_asset_pointers")
"""The keys of a part of a voice message under which other parts stand."""

_MARK = "\ue200"
_TO_ALL = (None, "", "all", "assistant")


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is a conversation, or of another file of the same export."""
    return _is_conversation(value) or _is_aside(value)


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation an object, named by its own id."""
    return read_each(records, lambda record: _read(record, reading))


def _is_conversation(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("mapping"), dict) and any(key in value for key in _SIGNS)


def _is_aside(value: Mapping[str, Any]) -> bool:
    keys_fit = "mapping" not in value and any(all(key in value for key in keys) for keys in _ASIDES)
    return keys_fit or value == {"chats": []}


def _read(record: Record, reading: Reading) -> Iterator[Conversation | Defect]:
    source = record.value
    if _is_aside(source):
        return
    mapping = source.get("mapping")
    if not isinstance(mapping, dict):
        raise ValueError("mapping is not an object" if "mapping" in source else "mapping is missing")
    odd: list[tuple[str, bool]] = []
    entries = list(_entries(mapping, reading, odd, record.line))
    leaf = source.get("current_node")
    if not isinstance(leaf, str) or leaf not in mapping:
        if leaf is not None:
            odd.append(("current_node names no node", True))
        times = {id_: normal.moment(_message(node).get("create_time")) for id_, node in mapping.items()}
        leaf = normal.newest_leaf({entry.id: entry.parent_id for entry in entries}, times)
    nodes, defects = grow(entries, file=record.file, line=record.line, leaf=leaf)
    own_id = normal.string(source.get("conversation_id")) or normal.string(source.get("id"))
    created_at = normal.moment(source.get("create_time"))
    used = ["mapping", *normal.texts(source, "title", "conversation_id", "default_model_slug")]
    used += ["id"] if source.get("id") == own_id else []
    used += ["create_time"] if created_at is not None else []
    about = {
        "source": SOURCE,
        "id": own_id,
        "model": normal.string(source.get("default_model_slug")),
        "extra": normal.rest(source, *used),
    }
    yield Conversation(
        session_id=normal.session_name(SOURCE, (own_id or "").removeprefix(f"{SOURCE}-"), source, record.file),
        nodes=nodes,
        file=record.file,
        line=record.line,
        title=normal.title(source.get("title")),
        created_at=created_at,
        metadata={key: value for key, value in about.items() if value is not None},
    )
    for reason, kept in odd:
        yield Defect(file=record.file, line=record.line, reason=reason, kept=kept)
    yield from defects


def _entries(mapping: Mapping[str, Any], reading: Reading, odd: list[tuple[str, bool]], line: int) -> Iterator[Entry]:
    asked = _Asked(mapping)
    for id_, node in mapping.items():
        if not isinstance(node, dict):
            odd.append((f"node {id_!r} is not an object but {type(node).__name__}", False))
            continue
        parent = node.get("parent")
        if parent is not None and not isinstance(parent, str):
            odd.append((f"the parent of {id_!r} is not a string but {type(parent).__name__}; it begins anew", True))
            parent = None
        source = node.get("message")
        message: Message | None = None
        if isinstance(source, dict):
            message = _bough(source)
            if message is None:
                message = _parsed(id_, node, asked, reading, odd)
        elif source is not None or ("message" not in node and node.keys() != _ROOT):
            odd.append((f"the message of node {id_!r} is not an object but {type(source).__name__}", False))
        yield Entry(id_, parent, () if message is None else [message], line)


def _bough(source: Mapping[str, Any]) -> Message | None:
    """The message of Bough that this one was made of."""
    found = normal.fields(source.get("metadata")).get("bough")
    return found if isinstance(found, dict) else None


def _parsed(
    id_: str, node: Mapping[str, Any], asked: _Asked, reading: Reading, odd: list[tuple[str, bool]]
) -> Message | None:
    """The message of a node; None for a hidden one that says nothing."""
    source: Mapping[str, Any] = node["message"]
    content, details = source.get("content"), normal.fields(source.get("metadata"))
    parts, other = _parts(content, odd, id_)
    _put_citations(parts, details)
    parts += _drawn(details)
    kind = normal.string(normal.fields(content).get("content_type"))
    role = "system" if kind in _CONTEXTS else _role(source)
    if role is None:
        odd.append((f"the author of node {id_!r} has no role; taken for the user", True))
        role = "user"
    answers = asked.call_of(id_) if role == "tool" else None
    tool = _called(source)
    calls = []
    if tool is not None:
        said = "\n".join(part["text"] for part in parts if part["type"] == "text")
        parts = [part for part in parts if part["type"] != "text"]
        calls = [normal.call(id_, tool, said if _is_object(said) else {"input": said})]
    shown = {part["image_url"]["url"].rpartition("/")[2] for part in parts if part["type"] == "image_url"}
    attached = normal.objects(details.get("attachments"))
    parts += [_attachment(one) for one in attached if normal.string(one.get("id")) not in shown]
    hidden = details.get("is_visually_hidden_from_conversation") is True
    silent = hidden or role == "system" or source.get("weight") == 0 or (role == "tool" and answers is None)
    if silent and not parts and not calls and not other:
        return None
    time = normal.moment(source.get("create_time"))
    used = ["content", "weight", *(["id"] if source.get("id") == id_ else [])]
    used += ["metadata"] if isinstance(source.get("metadata"), dict) else []
    used += ["create_time"] if time is not None else []
    used += ["status"] if source.get("status") == "finished_successfully" else []
    used += ["recipient"] if tool is not None or source.get("recipient") == "all" else []
    author = source.get("author")
    if isinstance(author, dict):
        author = normal.rest(author, *normal.texts(author, "role", "name"))
    more = {
        "content_type": kind,
        "content": other,
        "name": normal.string(normal.fields(source.get("author")).get("name")),
        "hidden": hidden or None,
        "weight": source.get("weight") if source.get("weight") != 1 else None,
        "details": normal.rest(
            details,
            *normal.texts(details, "model_slug"),
            *normal.lists(details, "attachments"),
            *(["is_visually_hidden_from_conversation"] if hidden else []),
        ),
        "extra": normal.rest({**source, "author": author}, *used),
        "node": normal.rest(node, "id", "parent", "children", "message"),
    }
    return normal.message(
        role,
        parts or (None if calls else ""),
        source=SOURCE,
        id=id_,
        time=time,
        model=normal.string(details.get("model_slug")),
        calls=calls,
        answers=answers,
        more=more,
        raw=source if reading.raw else None,
    )


def _parts(content: Any, odd: list[tuple[str, bool]], id_: str) -> tuple[list[normal.Part], dict[str, Any] | None]:
    """What a message says, and what else stands in its content."""
    if not isinstance(content, dict):
        if content is not None:
            odd.append((f"the content of node {id_!r} is not an object but {type(content).__name__}", False))
        return [], None
    kind = content.get("content_type")
    if kind == "thoughts":
        thoughts = [_thought(one) for one in normal.objects(content.get("thoughts"))]
        return [normal.thinking(one) for one in thoughts if one], normal.rest(
            content, "content_type", *normal.lists(content, "thoughts")
        )
    if kind == "reasoning_recap" and isinstance(content.get("content"), str):
        return [normal.thinking(content["content"])], normal.rest(content, "content_type", "content")
    used = normal.texts(content, "content_type")
    parts: list[normal.Part] = []
    for key in _TEXTS.get(kind, _ANY_TEXTS) if isinstance(kind, str) else _ANY_TEXTS:
        if normal.string(content.get(key)) is not None:
            parts.append(normal.text(content[key]))
            used.append(key)
    if isinstance(content.get("parts"), list):
        used.append("parts")
        for number, one in enumerate(content["parts"]):
            found = _part(one)
            parts += found
            if not found and one not in (None, ""):
                odd.append((f"part {number} of node {id_!r} is not understood", False))
    return parts, normal.rest(content, *used)


def _part(one: Any) -> list[normal.Part]:
    """What one part says: mostly one; of a voice message several."""
    if isinstance(one, str):
        return [normal.text(one)] if one else []
    source = normal.fields(one)
    if isinstance(source.get("asset_pointer"), str):
        return [_asset(source)]
    said = normal.string(source.get("text"))
    if said is not None:
        return [normal.text(said)]
    held = [source.get(key) for key in _RECORDINGS]
    recordings = normal.objects([each for one in held for each in (one if isinstance(one, list) else [one])])
    if not all(isinstance(each.get("asset_pointer"), str) for each in recordings):
        return []
    common = normal.rest(source, "content_type", *_RECORDINGS) or {}
    return [_asset({**common, **each}) for each in recordings]


def _asset(source: Mapping[str, Any]) -> normal.Part:
    url = normal.by_reference(source["asset_pointer"])
    if source.get("content_type") == "image_asset_pointer":
        return normal.image(url, **normal.details(normal.rest(source, "asset_pointer", "content_type")))
    return normal.file(url, **normal.details(normal.rest(source, "asset_pointer")))


def _put_citations(parts: list[normal.Part], details: Mapping[str, Any]) -> None:
    for reference in normal.objects(details.get("content_references")):
        mark = normal.string(reference.get("matched_text")) or ""
        for part in parts if mark.startswith(_MARK) else ():
            if part["type"] == "text":
                part["text"] = part["text"].replace(mark, normal.string(reference.get("alt")) or "")


def _drawn(details: Mapping[str, Any]) -> Iterator[normal.Part]:
    for one in normal.objects(normal.fields(details.get("aggregate_result")).get("messages")):
        url = normal.string(one.get("image_url"))
        if url is not None:
            yield normal.image(normal.by_reference(url))


def _thought(one: Mapping[str, Any]) -> str:
    return "\n\n".join(one[key] for key in ("summary", "content") if normal.string(one.get(key)) is not None)


def _attachment(one: Mapping[str, Any]) -> normal.Part:
    name = normal.string(one.get("name")) or normal.string(one.get("id")) or "unnamed"
    return normal.file(name, **normal.details(normal.rest(one, *normal.texts(one, "name"))))


def _message(node: Any) -> Mapping[str, Any]:
    return normal.fields(normal.fields(node).get("message"))


def _role(source: Mapping[str, Any]) -> str | None:
    return normal.string(normal.fields(source.get("author")).get("role"))


def _called(source: Mapping[str, Any]) -> str | None:
    """The tool that a message calls."""
    to = source.get("recipient")
    return to if isinstance(to, str) and to not in _TO_ALL and _role(source) == "assistant" else None


def _is_object(said: str) -> bool:
    if not said.lstrip().startswith("{"):
        return False
    try:
        decode(said.encode(errors="surrogatepass"))
    except ValueError:
        return False
    return True


class _Asked:
    """Which call a tool's message answers. Each node is looked at once, however many messages the tools have."""

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        self._mapping = mapping
        self._known: dict[str, str | None] = {}

    def call_of(self, id_: str) -> str | None:
        """The nearest call above a tool's message, with nothing between but tools, thoughts and empty nodes."""
        way: dict[str, None] = {}
        at = normal.fields(self._mapping.get(id_)).get("parent")
        found: str | None = None
        while isinstance(at, str) and at in self._mapping and at not in way:
            if at in self._known:
                found = self._known[at]
                break
            source = _message(self._mapping[at])
            if _called(source) is not None:
                found = at
                break
            way[at] = None
            kind = normal.fields(source.get("content")).get("content_type")
            if source and _role(source) != "tool" and kind not in ("thoughts", "reasoning_recap"):
                break
            at = normal.fields(self._mapping[at]).get("parent")
        self._known.update(dict.fromkeys(way, found))
        return found
