"""Prints a database of schema 2 as SQL: sessions made by the verbs, among them one that was set aside, one with a
search index and one that another store's messages were laid into with gaps. It needs the code that has schema 2 (commit
d83be86). Salts and ids are random, so each run prints another one; what is committed is never made anew."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import apsw
import apsw.shell

from bough import codec
from bough.manager import ConversationBranchManager
from bough.model import Graft, Piece, Put, replace
from bough.search import parse
from bough.stores.sqlite import SqliteStore, schema


def main() -> None:
    assert schema.VERSION == 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        store = SqliteStore(path)
        with ConversationBranchManager("talk", store=store) as manager:
            manager.add_messages({"role": "user", "content": text} for text in ("one", "two é\0", "three"))
            manager.fork_from_message("Side", 2)
            manager.add_message({"n": [2**70, 1.5, None]})
            manager.checkout("main")
            manager.merge("side")
            manager.create_branch("gone", "Gone", "side")
            manager.delete_branch("gone")
            assert len(list(store.search(parse("two"), session_id="talk"))) == 1
            manager.add_message({"role": "user", "content": "not indexed yet"})
        with ConversationBranchManager("a/b", store=store) as manager:
            manager.add_message({"role": "user", "content": "another session"})
        store.move("a/b", None)
        with ConversationBranchManager("laid", store=store):
            pass
        lines = codec.encode_all({"content": f"laid {n}"} for n in range(5))
        store.commit("laid", Graft(runs=((Piece("theirs", 2, 4), lines[:2]), (Piece("theirs", 7, 10), lines[2:]))))
        record = store.load("laid").branches["main"]
        after = replace(record, history=(Piece("theirs", 2, 4), Piece("theirs", 8, 10)))
        store.commit("laid", Graft(puts=(Put(record=after, expected=record.version),)))
        store.close()
        connection = apsw.Connection(str(path))
        apsw.shell.Shell(db=connection, stdout=sys.stdout).process_command(".dump")  # type: ignore[no-untyped-call]
        connection.close()


if __name__ == "__main__":
    main()
