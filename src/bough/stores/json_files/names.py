"""Ids to file names and back.

1. Different ids have different names, also where a file system ignores case.
2. No name leaves its folder, begins with a dot, or is one that Windows reserves.
3. A name that had to be cut is marked with ``~`` and ends in a hash; the true id then stands inside the file.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
_LONGEST = 180
_KEPT = 120
_CUT = re.compile(r"[a-z0-9._%-]{120}~[0-9a-f]{32}")


def to_name(id_: str) -> str:
    """The file name for an id, without an ending; at most 180 ASCII characters."""
    raw = id_.encode()
    out = [chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in raw]
    if out[0] == "." or id_.split(".", 1)[0] in _RESERVED:
        out[0] = f"%{raw[0]:02x}"
    if out[-1] == ".":
        out[-1] = "%2e"
    name = "".join(out)
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_KEPT]}~{hashlib.blake2b(raw, digest_size=16).hexdigest()}"


def to_id(name: str) -> str | None:
    """The id that :func:`to_name` made ``name`` from; None where it was cut. Any other name is its own id."""
    if _CUT.fullmatch(name):
        return None
    try:
        id_ = unquote_to_bytes(name).decode()
    except UnicodeError:
        return name
    return id_ if id_ and to_name(id_) == name else name


def plain_name(id_: str) -> str | None:
    """The name another program gives the id's file, the id itself, where that is a harmless file name."""
    return None if "/" in id_ or "\\" in id_ or id_.startswith(".") or len(id_.encode()) > 250 else id_


@lru_cache(maxsize=4096)
def file_names(branch_id: str) -> tuple[str, ...]:
    """The file names under which a branch counts, ours first."""
    ours, plain = to_name(branch_id), plain_name(branch_id)
    return (f"{ours}.json",) if plain in (None, ours) else (f"{ours}.json", f"{plain}.json")


def branch_ids(file_name: str) -> list[str]:
    """The branches that a file of that name could be for."""
    stem = file_name.removesuffix(".json")
    try:
        stem.encode()
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return []
    return [id_ for id_ in (to_id(stem), stem) if id_]
