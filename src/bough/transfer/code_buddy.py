"""Code Buddy's branches: ``~/.codebuddy/branches/<session>/<branch>.json``, a folder a session, a document a branch.

``{id, name, parentId?, parentMessageIndex?, messages, createdAt, updatedAt, metadata?}``; that program writes them with
two spaces, Bough in lines of its own, and both are read. ``parentMessageIndex`` is exclusive. A branch shares with the
parent that it names the longest prefix of equal messages, up to there; the rest is its own, whatever else it says.

The documents of one folder are one conversation: a reader of folders is asked before their files are read one by one
(``FOLDERS`` in :mod:`bough.transfer`). A document alone is a conversation of one branch. Messages are kept exactly as
they are. A document with a torn end gives the messages that stand on whole lines before that, and is told.

**For a whole store of Bough's, ``bough copy`` is the better way**: it takes identities, the operation log, tags and
what was replaced along; here only what the documents say now comes in (the attic is passed over).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path, PurePath
from typing import Any

from bough.branch import MAIN
from bough.codec import decode, encode_found
from bough.transfer import normal
from bough.transfer.prefixes import Prefixes
from bough.transfer.records import Progress, Reading, Record, read_each
from bough.transfer.tree import Conversation, Defect, grow

SOURCE = "code-buddy"
PASSED_OVER = ("attic", "operations.jsonl")
"""What lies in a session's folder of Bough's beside the documents."""

_HEAD = 1 << 12
_BEGIN = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"')
_KEYS = (rb'"id"\s*:\s*"', rb'"name"\s*:\s*"', rb'"messages"\s*:\s*\[')


def recognises(value: Mapping[str, Any]) -> bool:
    """Whether an object is a branch's document."""
    strings = all(isinstance(value.get(key), str) for key in ("id", "name", "createdAt"))
    return strings and isinstance(value.get("messages"), list)


def recognises_file(path: Path) -> bool:
    """Whether a file is a branch's document, in whatever layout, torn or not. One that cannot be read is none."""
    if path.suffix != ".json":
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if not _BEGIN.match(head) or not all(re.search(key, head) for key in _KEYS):
                return False
            data = head + file.read()
    except OSError:
        return False
    return recognises(_document(data)[0])


def read(records: Iterable[Record | Defect], reading: Reading) -> Iterator[Conversation | Defect]:
    """A conversation a document."""
    return read_each(records, lambda record: _grown([(record.file, record.value)]))


def read_folder(paths: Sequence[Path], reading: Reading, progress: Progress) -> Iterator[Conversation | Defect]:
    """One conversation of all documents of a folder."""
    documents: list[tuple[str, dict[str, Any]]] = []
    done = 0
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            yield Defect(file=str(path), line=0, reason=str(error))
            continue
        done += len(data)
        progress(done)
        value, reason = _document(data)
        good = recognises(value)
        if reason or not good:
            yield Defect(file=str(path), line=0, reason=reason or "not a branch's document", kept=good)
        if good:
            documents.append((str(path), value))
    if documents:
        yield from _grown(documents)


def _document(data: bytes) -> tuple[dict[str, Any], str]:
    """A document, and what is wrong with it."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return decode(data), ""
    except ValueError as error:
        reason = str(error)
    head, *lines = data.split(b"\n")
    try:
        value = decode(head + b"]}")
    except ValueError:
        return {}, reason
    messages = value.get("messages")
    if isinstance(messages, list):
        for line in lines:
            try:
                messages.append(decode(line.rstrip(b", \r")))
            except ValueError:
                break
        return value, f"its end is torn, {len(messages)} messages stand before that: {reason}"
    return {}, reason


def _grown(documents: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[Conversation | Defect]:
    defects: list[Defect] = []
    branches: dict[str, tuple[str, dict[str, Any]]] = {}
    for file, value in documents:
        if not recognises(value):
            defects.append(Defect(file=file, line=0, reason="it is no branch's document"))
        elif value["id"] in branches:
            defects.append(Defect(file=file, line=0, reason=f"a second document is of the branch {value['id']!r}"))
        else:
            branches[value["id"]] = file, value
    if not branches:
        yield from defects
        return
    nodes = Prefixes()
    lines: dict[str, list[tuple[str, bytes]]] = {}  # of each branch its nodes, and what they say
    for id_ in _parents_first(branches):
        file, value = branches[id_]
        parent = value.get("parentId")
        shared = lines.get(parent) if isinstance(parent, str) else None
        if parent is not None and shared is None:
            missing = not isinstance(parent, str) or parent not in branches
            reason = f"its parent {parent!r} is missing" if missing else "its parents go round in a circle"
            defects.append(Defect(file=file, line=0, reason=f"branch {id_!r} begins anew: {reason}", kept=True))
        lines[id_] = _line(nodes, value, shared or [], file, defects)
    main = MAIN if MAIN in branches else next(iter(lines))
    ends = {MAIN if id_ == main else id_: line[-1][0] if line else None for id_, line in lines.items()}
    entries, leaf = nodes.entries(ends)
    file, value = branches[main]
    made, more = grow(entries, file=file, leaf=leaf)
    folder = PurePath(file).parent.name
    names = {id_: found["name"] for id_, (_, found) in branches.items() if id_ != main and found["name"] != id_}
    extra = normal.rest(normal.fields(value.get("metadata")))
    yield Conversation(
        session_id=normal.session_name(SOURCE, folder, {"": main}, file),
        nodes=made,
        file=file,
        line=0,
        title=normal.title(value["name"]),
        created_at=normal.moment(value["createdAt"]),
        metadata={
            "source": SOURCE,
            "id": folder,
            **({"branch": main} if main != MAIN else {}),
            **({"names": names} if names else {}),
            **({"extra": extra} if extra else {}),
        },
    )
    yield from defects
    yield from more


def _parents_first(branches: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """The ids, each behind its parent's; where parents go round in a circle it begins somewhere."""
    waiting = dict.fromkeys(sorted(branches, key=lambda id_: id_ != MAIN))
    for id_ in list(waiting):
        line: list[str] = []
        at: Any = id_
        while isinstance(at, str) and at in waiting:
            del waiting[at]
            line.append(at)
            at = branches[at][1].get("parentId")
        yield from reversed(line)


def _line(
    nodes: Prefixes, value: Mapping[str, Any], parent: list[tuple[str, bytes]], file: str, defects: list[Defect]
) -> list[tuple[str, bytes]]:
    """The nodes of a branch: those it shares with its parent, then its own."""
    messages: list[tuple[dict[str, Any], bytes]] = []
    for number, message in enumerate(value["messages"], 1):
        if isinstance(message, dict):
            messages.append((message, encode_found(message)))
        else:
            reason = f"message {number} of branch {value['id']!r} is not an object but {type(message).__name__}"
            defects.append(Defect(file=file, line=0, reason=reason))
    limit = value.get("parentMessageIndex")
    if isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0:
        parent = parent[:limit]
    pairs = takewhile(lambda pair: pair[0][1] == pair[1][1], zip(parent, messages, strict=False))
    line = [shared for shared, _ in pairs]
    at = line[-1][0] if line else None
    for number, (message, said) in enumerate(messages[len(line) :], len(line) + 1):
        at = nodes.add(at, (value["id"], number), f"{value['id']}:{number}", [message])
        line.append((at, said))
    return line
