"""Stores, and the one function that opens them by URL."""

from __future__ import annotations

import os
import re

from bough.errors import UnsupportedFormatError
from bough.stores.base import Durability, Store

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""Two letters at least: one is a drive of Windows."""
DEFAULT_FOLDER = "~/.codebuddy/branches"


def open_store(
    url: str | os.PathLike[str] | None = None, *, durability: Durability = "full", lock_timeout: float = 10.0
) -> Store:
    """Opens the store that ``url`` names: ``json:PATH``, a bare path (JSON too), ``sqlite:PATH``, ``memory:`` (a new,
    empty one each time), or None for JSON files in ``~/.codebuddy/branches``.

    ``lock_timeout`` is how many seconds a commit waits for another writer before ``SessionLockedError``.
    Nothing is created before the first commit. Raises ``UnsupportedFormatError`` for an unknown scheme and
    ``StoreUnavailableError`` where the path cannot hold a store.
    """
    text = os.fspath(DEFAULT_FOLDER if url is None else url)
    scheme, _, rest = text.partition(":") if _SCHEME.match(text) else ("", "", text)
    if text == "memory:":
        from bough.stores.memory import MemoryStore

        return MemoryStore()
    if scheme == "sqlite":
        from bough.stores.sqlite import SqliteStore

        return SqliteStore(os.path.expanduser(rest), durability=durability, lock_timeout=lock_timeout)
    if scheme not in ("", "json"):
        raise UnsupportedFormatError(
            f"no store is known for {text!r}", hint="a store is json:PATH, sqlite:PATH, a plain path, or memory:"
        )
    path = os.path.expanduser(rest)
    if not scheme and path.endswith((".db", ".sqlite", ".sqlite3")) and not os.path.isdir(path):
        raise UnsupportedFormatError(
            f"{text!r} could be a folder or a SQLite file", hint=f"write json:{text} or sqlite:{text}"
        )
    from bough.stores.json_files import JsonFilesStore

    return JsonFilesStore(path, durability=durability, lock_timeout=lock_timeout)
