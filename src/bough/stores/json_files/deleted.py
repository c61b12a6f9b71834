"""Sessions that were set aside, and which session a folder is.

A deleted session is its folder as it was, under another name: ``<root>/.deleted/<folder>@<time>``. One rename sets it
aside, one brings it back. The name of the folder goes along, so that it comes back under the one that it had, even if
another program chose that. A time in a file name has ``=`` for ``:``, which Windows does not take.

A folder whose name had to be cut notes the session's id in ``session.id``. Two ids with U+0000 between them say that it
is being given another one: the one that fits the name counts, so that the rename decides here as well.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import NamedTuple

from bough.stores.base import MAX_ID_BYTES, check_id, kept_as, kept_id
from bough.stores.json_files.disk import Disk, open_file, read_range
from bough.stores.json_files.folder import Folder
from bough.stores.json_files.names import to_id, to_name

FOLDER = ".deleted"
_NOTE = "session.id"
_LONGEST = 200  # bytes of a folder's name that leave room for the time


class Kept(NamedTuple):
    """A session that was set aside: where, its id, and the name that its folder had."""

    path: str
    session_id: str
    name: str


def find_deleted(root: str, disk: Disk) -> dict[str, Kept]:
    """The deleted sessions of a store, by the ids under which they are kept."""
    try:
        names = os.listdir(os.path.join(root, FOLDER))
    except FileNotFoundError:
        return {}
    found: dict[str, Kept] = {}
    for entry in names:
        path = os.path.join(root, FOLDER, entry)
        name, at, mark = entry.rpartition("@")
        id_ = id_of(path, name, disk) if at else None
        if id_ is not None:
            found[kept_as(id_, mark.replace("=", ":"))] = Kept(path, id_, name)
    return found


def place_for(root: str, path: str, session_id: str, taken: Collection[str]) -> tuple[str, str]:
    """The id under which a session is to be kept, and where its folder goes."""
    kept, mark = kept_id(session_id, taken)
    name = os.path.basename(path)
    if len(os.fsencode(name)) > _LONGEST:
        name = to_name(session_id)
    return kept, os.path.join(root, FOLDER, f"{name}@{mark.replace(':', '=')}")


def id_of(path: str, name: str, disk: Disk) -> str | None:
    """The session that a folder is, which has or had that ``name``; None where it is none."""
    if os.path.islink(path) or not os.path.isdir(path) or not Folder(path, name, disk).exists():
        return None
    try:
        return check_id(to_id(name) or next(id_ for id_ in _noted(path) if to_name(id_) == name))
    except (OSError, ValueError, StopIteration):
        return None


def note_id(path: str, session_id: str, disk: Disk, *, name: str, new_name: str) -> None:
    """Notes the id that a session's folder comes to have with its new name, if that does not say it; the id that goes
    with its present ``name`` stays beside it. Under the session's lock."""
    note = os.path.join(path, _NOTE)
    if to_id(new_name) is not None or (new_name == name and os.path.lexists(note)):
        return
    try:
        noted = _noted(path) if os.path.lexists(note) else []
    except (OSError, ValueError):
        return  # what cannot be read is not written over
    if session_id not in noted:
        ids = [id_ for id_ in noted if to_name(id_) == name]
        disk.write_file(f"{note}.new", ["\0".join([*ids, session_id]).encode()])
        disk.rename(f"{note}.new", note)


def _noted(path: str) -> list[str]:
    """OSError, ValueError."""
    descriptor = open_file(os.path.join(path, _NOTE))
    try:
        return [id_ for id_ in read_range(descriptor, 0, 2 * MAX_ID_BYTES + 2).decode().split("\0") if id_]
    finally:
        os.close(descriptor)
