"""Files of a session that are not laid out as we do: another program's work, or torn.

Both are told from what else the folder knows: the log's last word on the branch, and the documents that share messages
with it. (:mod:`.reconcile` decides which messages of another program's document are known ones.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from bough.codec import decode_block
from bough.history import concat, length
from bough.model import BranchRecord, History, Message, Piece, replace
from bough.stores.json_files.disk import open_file, read_range
from bough.stores.json_files.document import (
    Document,
    NotOurLayoutError,
    read_found,
    read_native,
    stamp_of,
)
from bough.stores.json_files.names import file_names
from bough.stores.json_files.reconcile import reconcile
from bough.stores.json_files.runs import beginning_in
from bough.stores.json_files.torn import torn_end

if TYPE_CHECKING:
    from bough.stores.json_files.folder import Folder


def found(folder: Folder, name: str, data: bytes, status: os.stat_result) -> Document:
    """The document of a file that is any JSON with a branch's keys. ``ValueError`` where it is none."""
    read = read_found(data, status)
    last = folder.last_record(read.record.id)

    def others() -> Iterator[Document]:
        return (each for each in folder.all_documents(ours_only=True) if each.name != name)

    parent = _parent_of(folder, read.record) if last is None else None

    def known(history: History) -> Iterator[Message]:
        if parent is not None:
            yield from decode_block(folder.lines(parent, 0, length(history)))
            return
        for piece in history:
            at = piece.start
            while at < piece.stop:
                near = (each for each in folder.remembered() if each.name != name)
                run = beginning_in(chain(near, others()), Piece(piece.segment, at, piece.stop))
                if run is None:
                    return
                yield from decode_block(folder.lines(*run))
                at += run[2] - run[1]

    record, region = reconcile(
        read,
        session_id=folder.session_id,
        last=last,
        parent=None if parent is None else parent.record,
        known=known,
    )
    return Document(
        name=name,
        stamp=stamp_of(status),
        record=record,
        start=0,
        size=len(region),
        length=record.length,
        region=region,
    )


def torn(folder: Folder, name: str, data: bytes, status: os.stat_result) -> Document:
    """The document of a file whose end is torn: its whole messages, as the log's last word on the branch names them.

    ``ValueError`` where the file is damaged otherwise, or has fewer messages than it had at its last operation.
    """
    end = torn_end(data, status)
    last = folder.last_record(end.record.id)
    if end.grafted is not None and (last is None or last.operation <= end.grafted.operation):
        last = end.grafted
    if last is None:
        raise ValueError(f"{end.reason}, and no operation says which messages those are")
    entry = folder.log.tail().last
    if end.length < last.length and entry is not None and last.operation == entry.operation.number:
        before = next((change.before for change in entry.operation.branches if change.id == last.id), None)
        last = before if before is not None and end.length == before.length else last
    more = end.length - last.length
    if more < 0:
        raise ValueError(f"{end.reason}, but it had {last.length} at its last operation")
    tip = last.tip
    history = concat(last.history, (Piece(tip.segment, tip.next, tip.next + more),))
    record = replace(
        end.record,
        history=history,
        tip=tip._replace(next=tip.next + more),
        edits=last.edits,
        operation=last.operation,
    )
    return Document(
        name=name,
        stamp=stamp_of(status),
        record=record,
        start=end.start,
        size=end.size,
        length=end.length,
        torn=end.reason,
    )


def _parent_of(folder: Folder, record: BranchRecord) -> Document | None:
    """The parent's document, unless its line leads back here (another program's mistake)."""
    if record.id in folder.circular:
        return None
    line: dict[str, None] = {}
    above = record.parent_id
    while above is not None and above not in line:
        if above == record.id:
            folder.circular.update(line)
            return None
        line[above] = None
        if above in folder.rooted:
            break
        above = _peek_parent(folder, above)
    parent: Document | None = None
    for branch_id in reversed(line):  # from the root down, so that no settling waits for another
        parent = folder.readable(branch_id)
    folder.rooted.add(record.id)
    return parent


def _peek_parent(folder: Folder, branch_id: str) -> str | None:
    """The parent that a branch's document names, without settling what its messages are."""
    for name in file_names(branch_id):
        try:
            descriptor = open_file(folder.file(name))
        except OSError:
            continue
        try:
            status = os.fstat(descriptor)
            try:
                return read_native(name, descriptor, status).record.parent_id
            except NotOurLayoutError:
                return read_found(read_range(descriptor, 0, status.st_size), status).record.parent_id
        except (OSError, ValueError):
            return None
        finally:
            os.close(descriptor)
    return None
