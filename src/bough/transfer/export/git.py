"""A stream for ``git fast-import``: a branch is a ref, a message a commit, a merge a commit with two parents.

1. Messages that branches share are shared commits: a commit stands for a message and all that comes before it.
2. What a merge brought are commits on the target; behind them comes the merge, whose first parent is the last of those
   and whose second is the end of the source as it was then. A merge that only moved the target along (a fast-forward)
   is none.
3. The same conversation gives the same hashes, and one that grew keeps those of its old messages: nothing of the moment
   of the export is in the stream, nor anything that a later message changes.
4. A stream that broke off is refused by git (``done``).

``git log`` shows what was said: the subject is who and the first line, the body the whole text, with characters that
could drive a terminal as escapes (git shows a body as it is). The tree of a commit holds the conversation up to there,
exactly, a file a message: ``00/00/000007-user.json``, by its number in the branch, a hundred files a folder, so that of
a million messages each costs no more than of ten. So ``git diff main idea`` compares message by message. The trailer
``Bough-Message`` is the message's identity. The author is the role, at ``<role>@bough.invalid``; the time is the
message's own, or when its branch began.

A name that git refuses, and one that would stand in another's way (``a`` and ``a/b``), is changed as little as
possible. A branch or tag without messages has no commit to point at, and is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from bough.codec import encode_found
from bough.model import Message
from bough.parts import parts_of, role_of, text_of
from bough.runs import Identity, way_down
from bough.transfer.export.talk import Exported, Merge
from bough.transfer.export.text import DRIVING, first_line, printable, time_of, utf8, visible
from bough.transfer.export.tree import Run, Tree, identities, plant

SUBJECT = 72
"""Characters of a subject's text; what is longer goes on in the body."""

_WORK = b"refs/bough/export"
"""The ref that commits are made on, gone when the import is done."""

_BAD = re.compile(r"[ ~^:?*\[\]\\]|\.\.+|@\{")
_MAX_NAME = 200
"""Bytes of a name between slashes: a file system has to take it, with ``.lock`` behind it."""


def write(talk: Exported) -> Iterator[bytes]:
    """The stream, in parts as they are made."""
    tree = plant(talk, merges=True)
    marks: dict[Run, int] = {tree.root: 0}  # the last commit of each run
    last = 0
    yield b"feature done\n"
    for run, merge in _order(tree):
        if merge is None:
            at = marks[run.parent or tree.root]
            for identity, number, message in _messages(talk, run):
                at, last, parent = last + 1, last + 1, at
                yield _commit(at, parent, None, _author(message, talk, run), _said(message, identity))
                yield b"M 100644 inline %b\n" % _path(number, message) + _data(_file(message))
            marks[run] = at
        else:
            last += 1
            author = _person("Bough", "bough", merge.at)
            yield _commit(last, marks[run], marks[tree.ends[merge.brought]], author, _merged(merge))
            marks[run] = last
    branches = ref_names(record.id for record in talk.branches if record.history)
    tags = ref_names(tag.name for tag in talk.tags if tag.history)
    for record in talk.branches:
        if record.history:
            at = marks[tree.ends[record.history]]
            yield b"reset refs/heads/%b\nfrom :%d\n\n" % (branches[record.id].encode(), at)
    for tag in talk.tags:
        if tag.history:
            tagger = _person("Bough", "bough", tag.at)
            yield b"tag %b\nfrom :%d\n" % (tags[tag.name].encode(), marks[tree.ends[tag.history]])
            yield b"tagger %b\n" % tagger + _data(utf8(_line(tag.name) + "\n"))
    if last:
        yield b"reset %b\nfrom %b\n\n" % (_WORK, b"0" * 40)
    yield b"done\n"


def _order(tree: Tree) -> Iterator[tuple[Run, Merge | None]]:
    """The runs, each behind its parent, and each merge behind the run that it ends and the one that it brings.

    Two merges that need one another would be a circle, which no sequence of events makes; whatever a log says, the one
    that is met second is left out.
    """
    done = {tree.root}
    begun: dict[Run, int] = {}  # how many of its merges were looked at
    for first in tree.runs:
        pending = [first]
        while pending:
            run = pending[-1]
            if run in done:
                pending.pop()
            elif run not in begun:
                if run.parent is not None and run.parent not in done:
                    pending.append(run.parent)
                    continue
                begun[run] = 0
                yield run, None
            elif begun[run] < len(run.merges):
                merge = run.merges[begun[run]]
                source = tree.ends[merge.brought]
                if source not in done and not _waits(source, begun, done):
                    pending.append(source)
                    continue
                begun[run] += 1
                if source in done:
                    yield run, merge
            else:
                done.add(run)


def _waits(run: Run, begun: dict[Run, int], done: set[Run]) -> bool:
    """Whether it, or what it grew from, is what asks for it."""
    for each in way_down(run):
        if each in done:
            break
        if each in begun:
            return True
    return False


def _messages(talk: Exported, run: Run) -> Iterator[tuple[Identity, int, Message]]:
    """The messages of a run, each with its identity and its number."""
    numbers = range(run.start + 1, run.stop + 1)
    return zip(identities(run.pieces), numbers, talk.read(run.pieces), strict=True)


# -- what a commit says ------------------------------------------------------------------------------------------------


def _commit(mark: int, parent: int, other: int | None, author: bytes, said: bytes) -> bytes:
    """A commit without its files. ``parent`` 0 is none, ``other`` the second one of a merge."""
    begin = b"" if parent else b"reset %b\n\n" % _WORK  # or git would take what was committed last for the parent
    committer = b"committer %b\n" % author
    lines = [begin, b"commit %b\nmark :%d\n" % (_WORK, mark), b"author %b\n" % author, committer, _data(said)]
    if parent:
        lines.append(b"from :%d\n" % parent)
    if other is not None:
        lines.append(b"merge :%d\n" % other)
    return b"".join(lines)


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _said(message: Message, identity: Identity) -> bytes:
    subject = f"{_line(role_of(message))}: {first_line(message, SUBJECT)}".rstrip(": ")
    text = visible(text_of(parts_of(message)).strip("\r\n"))
    body = "" if subject.endswith(f": {text}") else f"{text}\n\n"
    segment, position = identity
    return utf8(f"{subject}\n\n{body}Bough-Message: {_line(segment)}.{position}\n")


def _merged(merge: Merge) -> bytes:
    subject = f"Merge {_line(merge.source)} into {_line(merge.target)}"
    return utf8(f"{subject}\n\nBough-Operation: {merge.number}\nBough-Strategy: {_line(merge.strategy)}\n")


def _author(message: Message, talk: Exported, run: Run) -> bytes:
    """The role, and when it was said."""
    began = (run.leader or talk.branches[0]).created_at
    role = role_of(message)
    return _person(role, _word(role), time_of(message) or began)


def _person(name: str, address: str, at: datetime) -> bytes:
    """As git wants a name, an address and a time: seconds since 1970, none before."""
    shown = re.sub(r"[<>]", " ", _line(name)).strip(" .,:;\"'\\") or "message"
    return utf8(f"{shown} <{address}@bough.invalid> {max(0, int(at.timestamp()))} +0000")


def _path(number: int, message: Message) -> bytes:
    return f"{number // 10_000:02d}/{number // 100 % 100:02d}/{number:06d}-{_word(role_of(message))}.json".encode()


def _file(message: Message) -> bytes:
    """The message, exactly; lines for ``git diff``, in which JSON's own escapes keep a terminal safe."""
    try:
        text = json.dumps(message, indent=2, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):  # a lone surrogate, an integer of thousands of digits, or nested deeply
        text = encode_found(message).decode()
    return DRIVING.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"


def _line(text: str) -> str:
    """On one line, and not longer than a name can be."""
    return printable(text)[:512]


def _word(role: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", role.lower())[:30].strip("-") or "message"


# -- names -------------------------------------------------------------------------------------------------------------


def ref_names(names: Iterable[str]) -> dict[str, str]:
    """A name that git takes for each (``git help check-ref-format``), none of them in another's way."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    folders: set[str] = set()
    for name in names:
        base = wanted = _ref_name(name)
        number = 1
        while not _is_free(wanted.casefold(), taken, folders):
            number += 1
            base = base.replace("/", "-")
            wanted = f"{base}-{number}"
        found[name] = wanted
        taken.add(wanted.casefold())
        folders.update(_folders(wanted.casefold()))
    return found


def _is_free(name: str, taken: set[str], folders: set[str]) -> bool:
    return name not in taken and name not in folders and taken.isdisjoint(_folders(name))


def _folders(name: str) -> Iterator[str]:
    """What a name stands in: ``a`` and ``a/b`` of ``a/b/c``."""
    for at, char in enumerate(name):
        if char == "/":
            yield name[:at]


def _ref_name(name: str) -> str:
    shown = "".join(char if char.isprintable() else "-" for char in name)
    parts = [_component(part) for part in _BAD.sub("-", shown).lstrip("-/").split("/") if part]
    made = "/".join(parts) or "branch"
    return f"{made}-" if made in ("@", "HEAD") else made


def _component(part: str) -> str:
    part = part.encode()[:_MAX_NAME].decode(errors="ignore")
    part = re.sub(r"^\.|\.$", "_", part)
    return re.sub(r"\.lock$", "-lock", part)
