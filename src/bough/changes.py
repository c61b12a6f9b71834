"""The changes that the verbs commit, as pure functions on branch records, and the checks of what people ask for.

A new branch always gets a new tip segment with a globally unique id, never one derived from anything: two programs
that make the same branch at the same moment must not write to the same segment.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from bough import codec, edits, history
from bough.attributes import tags_of, with_tag
from bough.errors import InvalidIdError, InvalidMessageError, InvalidRequestError
from bough.model import BranchRecord, Change, Edit, History, Message, Piece, Put, Tip, replace
from bough.stores.base import check_id

MAX_SLUG = 40


def new_id() -> str:
    """A globally unique id, for a segment or a change."""
    return uuid4().hex


def check_name(name: object) -> None:
    """``InvalidRequestError`` unless ``name`` can name a branch: what can be an id can be a name."""
    try:
        check_id(name)
    except InvalidIdError as error:
        raise InvalidRequestError(str(error).replace("cannot be an id", "cannot be a name")) from None


_OTHER_REVISION = re.compile(r"HEAD|@|-?\d*|.*(?:[~:\x00-\x1f\x7f-\x9f]|@\{|\.\.).*|\s.*|.*\s", re.DOTALL)


def check_tag_name(name: str) -> None:
    """``InvalidRequestError`` unless ``name`` can name a tag: what can name a branch, and could not be read as another
    revision or a number, nor be taken for another name by its looks."""
    check_name(name)
    if _OTHER_REVISION.fullmatch(name):
        raise InvalidRequestError(
            f"a tag cannot be called {name!r}, which could be read as something else",
            hint="not a number alone, HEAD or -; no ~, :, @{ or .. in it, no white space around it",
        )


def free_id(name: str, taken: Collection[str]) -> str:
    """An id that people can type: the letters and digits of the name, small, with ``-`` for what is between, or
    ``branch``; with ``-2``, ``-3`` … where it is taken."""
    kept = ""
    for char in unicodedata.normalize("NFKC", name).lower():
        if char.isalnum() or (_is_part_of_letter(char) and kept[-1:] not in ("", "-")):
            kept += char
        elif not kept.endswith("-"):
            kept += "-"
    slug = kept.strip("-")[:MAX_SLUG].rstrip("-") or "branch"
    candidate, number = slug, 1
    while candidate in taken:
        number += 1
        candidate = f"{slug}-{number}"
    return candidate


def _is_part_of_letter(char: str) -> bool:
    """Whether it is a sign that many scripts write words with, a vowel as a rule."""
    is_mark = unicodedata.category(char) in ("Mn", "Mc")
    return is_mark and not unicodedata.name(char, "").startswith("VARIATION SELECTOR")


def put_new(branch_id: str, name: str, parent: BranchRecord | None = None, index: int | None = None) -> Put:
    """A new branch with the first ``index`` messages of the parent, all if None. ``InvalidRequestError`` outside."""
    start: History = ()
    if parent is not None:
        index = parent.length if index is None else index
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index <= parent.length:
            raise InvalidRequestError(
                f"a branch cannot begin with {index!r} messages of branch {parent.id!r}", hint=f"it has {parent.length}"
            )
        start = history.cut(parent.history, 0, index)
    at = codec.now()
    record = BranchRecord(
        id=branch_id,
        name=name,
        history=start,
        tip=Tip(new_id(), 0),
        created_at=at,
        updated_at=at,
        parent_id=parent.id if parent else None,
        parent_message_index=index,
        edits=edits.kept(start, parent.edits) if parent else (),
    )
    return Put(record=record, expected=None)


def put_again(record: BranchRecord, **fields: Any) -> Put:
    """The branch with other ``fields``, if it is still where it was seen."""
    return Put(record=replace(record, updated_at=codec.now(), **fields), expected=record.version)


def put_messages(record: BranchRecord, held: Sequence[Message], wanted: Sequence[Mapping[str, Any]]) -> Put | None:
    """The branch with ``wanted`` for its messages, which are ``held``; None where they are the same already.

    The longest equal beginning keeps its identity, then the longest equal end; what is between is new. Equal is what
    has the same encoding: to Python ``1 == True == 1.0``. ``InvalidMessageError``.
    """
    old = [codec.encode_found(message) for message in held]
    new = [_encode(codec.encode_found, message, index) for index, message in enumerate(wanted)]
    head = _equal_run(old, new)
    tail = _equal_run(old[head:][::-1], new[head:][::-1])
    # What another program wrote may stay, a lone surrogate in it included; what is new is held to our own rules.
    fresh = [_encode(codec.encode, wanted[index], index) for index in range(head, len(new) - tail)]
    segment, at = record.tip
    pieces = history.concat(
        history.cut(record.history, 0, head),
        (Piece(segment, at, at + len(fresh)),),
        history.cut(record.history, len(old) - tail, len(old)),
    )
    if pieces == record.history:
        return None
    put = put_history(record, pieces)
    return replace(put, record=replace(put.record, tip=Tip(segment, at + len(fresh))), messages=fresh)


def put_history(record: BranchRecord, pieces: History, *more: Iterable[Edit]) -> Put:
    """The branch with another history, with those of its edits, and of ``more``, whose messages are in that."""
    return put_again(record, history=pieces, edits=edits.kept(pieces, record.edits, *more))


def put_edit(record: BranchRecord, index: int, line: bytes) -> Put:
    """The branch with a new message in the place of the one at ``index``."""
    segment, at = record.tip
    edit = edits.edit_of(record.history, record.edits, index, segment, at)
    pieces = history.concat(
        history.cut(record.history, 0, index),
        (Piece(segment, at, at + 1),),
        history.cut(record.history, index + 1, record.length),
    )
    put = put_history(record, pieces, [edit])
    return replace(put, record=replace(put.record, tip=Tip(segment, at + 1)), messages=[line])


def put_salvaged(put: Put, pieces: History, lines: Sequence[bytes]) -> Put:
    """A new branch with messages that exist, and ``lines`` behind them."""
    segment, at = put.record.tip
    grown = history.concat(pieces, (Piece(segment, at, at + len(lines)),))
    return replace(put, record=replace(put.record, history=grown, tip=Tip(segment, at + len(lines))), messages=lines)


def without_messages(values: Mapping[str, Any], gone: History) -> dict[str, Any]:
    """The attributes of a session with tags that lack those messages."""
    changed = dict(values)
    for tag in tags_of(values).values() if gone else ():
        kept = history.subtract(tag.history, gone)
        if kept != tag.history:
            changed = with_tag(changed, replace(tag, history=kept, edits=edits.kept(kept, tag.edits)))
    return changed


def _equal_run(left: Sequence[bytes], right: Sequence[bytes]) -> int:
    run = 0
    for mine, other in zip(left, right, strict=False):
        if mine != other:
            break
        run += 1
    return run


def _encode(encode: Callable[[Mapping[str, Any]], bytes], message: Mapping[str, Any], index: int) -> bytes:
    try:
        return encode(message)
    except InvalidMessageError as error:
        raise InvalidMessageError(error.path, error.reason, index=index) from None


def change(kind: str, *puts: Put, **fields: Any) -> Change:
    """One operation of the verb ``kind``; ``fields`` are those of :class:`bough.model.Change`."""
    return Change(id=new_id(), kind=kind, puts=puts, **fields)
