"""Prints a database of schema 1 as SQL: a session made by the verbs with today's code, then taken back to the tables of
schema 1. Salts and ids are random, so each run prints another one; what is committed is never made anew."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import apsw
import apsw.shell

from bough.manager import ConversationBranchManager
from bough.stores.sqlite import SqliteStore, schema


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        now, old = Path(folder, "now.db"), Path(folder, "old.db")
        store = SqliteStore(now)
        with ConversationBranchManager("talk", store=store) as manager:
            manager.add_messages({"role": "user", "content": text} for text in ("one", "two é\0", "three"))
            manager.fork_from_message("Side", 2)
            manager.add_message({"n": [2**70, 1.5, None]})
            manager.checkout("main")
            manager.merge("side")
            manager.rename_branch("side", "Renamed")
            manager.create_branch("gone", "Gone", "side")
            manager.delete_branch("gone")
        with ConversationBranchManager("a/b", store=store) as manager:
            manager.add_message({"role": "user", "content": "another session"})
        store.close()
        connection = apsw.Connection(str(old))
        connection.execute(schema._STEPS[0])
        connection.execute("ATTACH ? AS now", (str(now),))
        connection.execute("INSERT INTO session SELECT key, id, operation_floor FROM now.session")
        for table in ("branch", "segment", "message", "operation"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM now.{table}")  # noqa: S608
        connection.execute("DETACH now")
        connection.pragma("application_id", schema.APPLICATION_ID)
        connection.pragma("user_version", 1)
        apsw.shell.Shell(db=connection, stdout=sys.stdout).process_command(".dump")  # type: ignore[no-untyped-call]
        connection.close()


if __name__ == "__main__":
    main()
