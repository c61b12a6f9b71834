"""The JSON store: one folder a session, one readable JSON document a branch. :mod:`.store` has the map."""

from bough.stores.json_files.store import JsonFilesStore

__all__ = ["JsonFilesStore"]
