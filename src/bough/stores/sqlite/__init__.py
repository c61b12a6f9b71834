"""All sessions in one SQLite file; see :mod:`.store`."""

from bough.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
