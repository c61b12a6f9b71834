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
4. ``progress``, lines of unknown types and the system's without ``content`` (how long a turn took, what was tried
   again) only hold the chain together. The conversation's metadata counts them.
5. Where a session was compacted, a line of the system has the last message before it for its ``logicalParentUuid``, and
   the summary follows. Messages may have been preserved (``compactMetadata``): what the program hangs on the last of
   them afterwards follows the summary. If it was written again, behind the summary, the parents go round in a circle:
   then the logical parent is the line before.

What was typed while the model was at work is an ``attachment`` of the type ``queued_command``, and is the user's.
``main`` ends in the last line of the main chain that a person or the model wrote. Other lines speak of the session:
``custom-title``, ``ai-title``, ``tag``, ``summary`` (a title only if its leaf is in the file: old versions wrote those
of other sessions).

A session can be huge: memory holds numbers of each line and the ids (:mod:`.lines`); what a line says is read again
when its node is asked for (:mod:`.again`, :mod:`.content`).

Sources: files of versions 1.0 to 2.1 and what public readers of them expect; there is no specification.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bough.transfer.claude_code.lines import ABOUT, Lines, decode_some
from bough.transfer.records import Reading, Record
from bough.transfer.tree import Conversation, Defect, grow

__all__ = ["decode_some", "read", "recognises"]


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether the first object of a file is a line of such a session."""
    if "uuid" in value and "parentUuid" in value and "sessionId" in value:
        return True
    kind = value.get("type")
    return ("leafUuid" in value and kind == "summary") or (
        isinstance(kind, str)
        and (kind in ABOUT or kind in ("file-history-snapshot", "queue-operation", "last-prompt"))
        and ("sessionId" in value or "snapshot" in value)
    )


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """The one conversation of a file, behind the defects of its lines."""
    lines = Lines(reading)
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
