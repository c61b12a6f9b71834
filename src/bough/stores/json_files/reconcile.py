"""A document that another program wrote: which of its messages are ones we know.

Programs that take turns on a file keep our keys and leave them stale. What they changed is found by comparing:

1. Where the stale digest fits the first messages, those are untouched, and what follows them is new.
2. Otherwise messages are compared one by one, as JavaScript values, with those of the known history, as far as another
   document (a branch that shares them, the attic) still holds them. The longest equal prefix keeps its identity.
3. A branch that we never saw shares the longest equal prefix with the parent it names, up to ``parentMessageIndex``.
4. What is new gets positions in a segment whose id follows from the branch, its last operation and the new messages
   themselves: every reader names it alike until a writer records it, as an operation of kind ``external-edit``, and
   what that program changes once more before then is another message.
   The edits of known messages that stay are kept.
5. The branch appends there from now on. Which positions of its old segment were given out is known only to the bytes
   that the other program wrote over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from bough.codec import encode_found, same_in_javascript, time_text
from bough.edits import kept as kept_edits
from bough.history import concat, cut
from bough.model import BranchRecord, History, Message, Piece, Tip, replace
from bough.stores.json_files.digest import Digest
from bough.stores.json_files.document import Found


def reconcile(
    found: Found,
    *,
    session_id: str,
    last: BranchRecord | None,
    parent: BranchRecord | None,
    known: Callable[[History], Iterable[Message]],
) -> tuple[BranchRecord, bytes]:
    """The record of a found document and its messages as lines.

    ``last`` is the branch after its last operation, None where the log does not know it; ``known`` gives the messages
    of a history from the other documents, ending at the first that none of them holds.
    """
    lines = [encode_found(message) for message in found.messages]
    stale = found.record
    if _untouched(found, lines):
        base, edits, kept = stale.history, stale.edits, found.stale_length
    else:
        if last is not None:
            near = stale if stale.operation == last.operation and stale.history else last
            base, edits = near.history, near.edits
        elif parent is not None:
            index = stale.parent_message_index
            base = parent.history if index is None else cut(parent.history, 0, min(parent.length, max(index, 0)))
            edits = parent.edits
        else:
            base, edits = (), ()
        kept = _equal_prefix(found.messages, known(base))
    segment = _segment(session_id, stale, last, lines[kept:])
    new = len(lines) - kept
    history = concat(cut(base, 0, kept), (Piece(segment, 0, new),))
    record = replace(
        stale,
        history=history,
        edits=kept_edits(history, edits),
        tip=Tip(segment, new),
        operation=stale.operation if last is None else last.operation,
    )
    return record, b",\n".join(lines)


def _untouched(found: Found, lines: list[bytes]) -> bool:
    """Whether the first messages are those that our closing line spoke of."""
    if not found.stale or found.stale_length > len(lines):
        return False
    digest = Digest()
    if found.stale_length:
        digest.add_lines(lines[: found.stale_length])
    return digest.text(found.record.id) == found.stale


def _equal_prefix(messages: Iterable[Message], known: Iterable[Message]) -> int:
    count = 0
    for mine, theirs in zip(messages, known, strict=False):
        if not same_in_javascript(mine, theirs):
            break
        count += 1
    return count


def _segment(session_id: str, stale: BranchRecord, last: BranchRecord | None, new: Sequence[bytes]) -> str:
    seed = [session_id, stale.id, time_text(stale.created_at)]
    if last is not None:
        seed += [str(last.operation), str(stale.tip.next)]
    named = hashlib.blake2b(digest_size=16, person=b"bough external")
    for part in [*(text.encode(errors="surrogatepass") for text in seed), *new]:
        named.update(b"%d:%b" % (len(part), part))
    return named.hexdigest()
