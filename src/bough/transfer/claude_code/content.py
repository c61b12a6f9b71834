"""What the lines of a node say, as messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict

from bough.codec import decoder_of, encode_found
from bough.model import Message
from bough.transfer import normal
from bough.transfer.normal import Part, Result, fields, objects, string

NAME = "claude-code"
COMMON = ("cwd", "gitBranch", "version")


class _Said(TypedDict, total=False):
    """What goes to a message's metadata as it stands."""

    cwd: Any
    gitBranch: Any
    version: Any
    requestId: Any
    agentId: Any
    subtype: Any
    level: Any
    isMeta: Any
    isSidechain: Any
    isCompactSummary: Any
    isApiErrorMessage: Any
    isVisibleInTranscriptOnly: Any
    slug: Any


class _Line(_Said, total=False):
    """What a message is made of. The result of a tool stands on its line twice, and is most of it: once is enough."""

    type: Any
    uuid: Any
    timestamp: Any
    message: Any
    attachment: Any
    content: Any


_SAID = tuple(_Said.__annotations__)
decode_line = decoder_of(_Line)


def messages(values: Sequence[Mapping[str, Any]], about: Mapping[str, Any], *, raw: Any) -> list[Message]:
    """What one node says: one line, or the lines of one assistant message. ``about`` is what all lines say alike."""
    value, last = values[0], fields(values[-1].get("message"))
    kind = value["type"]
    more = {key: said for key in _SAID if (said := value.get(key)) and about.get(key) != said}
    parts: list[Part | Result]
    if kind == "attachment":
        attachment = fields(value.get("attachment"))
        more["attachment"] = attachment.get("type")
        parts = [*_attached(attachment)]
        kind = "user" if _is_typed(attachment) else kind
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
        raw=raw,
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
            said = string(block.get("thinking"))
            if said is not None:  # newer versions keep the signature alone
                yield normal.thinking(said)
        elif kind == "tool_use":
            name = string(block.get("name")) or ""
            yield normal.call(string(block.get("id")) or "", name, fields(block.get("input")))
        elif kind == "tool_result":
            parts = [part for part in _parts(block.get("content")) if not isinstance(part, Result)]
            more = {"isError": True} if block.get("is_error") is True else None
            yield Result(string(block.get("tool_use_id")), parts, more)
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


def _is_typed(attachment: Mapping[str, Any]) -> bool:
    """Whether a person typed it while the model was at work; other agents and the program send such lines too."""
    mode, origin = attachment.get("commandMode", "prompt"), fields(attachment.get("origin")).get("kind", "human")
    return attachment.get("type") == "queued_command" and (mode, origin) == ("prompt", "human")


def _attached(attachment: Mapping[str, Any]) -> Iterator[Part | Result]:
    """What was put into the conversation beside what was typed: a file by its name, all else as it stands."""
    prompt = attachment.get("prompt")
    said = prompt if objects(prompt) else string(prompt) or string(attachment.get("content"))
    name = string(attachment.get("filename"))
    if said is not None:
        yield from _parts(said)
    else:
        yield normal.text(encode_found(attachment).decode()) if name is None else normal.file(name)
