"""A session of 1,000,000 messages and 10,000 branches, in SQLite. Run: ``python bench/scale.py [--bounded]``.

It must open, list, fork, tail, append and merge within the limits of the speed table (:mod:`speed`), those for branches
in proportion to their number, and in less than 2 GB of memory, filling included. ``--bounded`` is the form for every
day: 50,000 messages, 500 branches. A row that misses its limit makes the exit code 1.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from bough import ConversationBranchManager, open_store
from speed import Check, Subject, interleave
from systems import message

BATCH = 1_000
MOST_MEMORY = 2.0
"""GB."""


def fill(url: str, messages: int, branches: int) -> None:
    """main with so many messages, and forks all along it; every tenth is a fork of a fork, each has a message."""
    store = open_store(url, durability="lazy")
    with ConversationBranchManager("talk", store=store) as talk:
        for begin in range(0, messages, BATCH):
            talk.add_messages([message(number) for number in range(begin, min(messages, begin + BATCH))])
        for number in range(1, branches):
            if number % 10:
                talk.checkout("main")
                talk.fork_from_message(f"branch {number}", messages * number // branches)
            else:
                talk.fork(f"branch {number}")
            talk.add_message(message(number))
        talk.checkout("main")
    store.close()


def scale(root: Path, *, messages: int, branches: int, rounds: int, scheme: str = "sqlite") -> list[Check]:
    """Fills, measures, prints the rows and gives them."""
    checks: list[Check] = []

    def check(what: str, value: float, limit: float, unit: str = "×", note: str = "") -> None:
        checks.append(Check(what=what, value=value, limit=limit, unit=unit, note=note))
        print(checks[-1], flush=True)

    url = f"{scheme}:{root / 'store'}"
    begin = time.perf_counter()
    fill(url, messages, branches)
    print(f"      filled {messages:,} messages, {branches:,} branches in {time.perf_counter() - begin:.1f} s")

    def opened() -> float:
        begin = time.perf_counter()
        with ConversationBranchManager("talk", store=url, create=False) as talk:
            assert len(talk.get_messages(start=-20)) == 20
            return time.perf_counter() - begin

    for_branches = max(5.0, 5.0 * branches / 1_000)
    [seconds] = interleave(opened, rounds=rounds, times=1)
    check("open, and read the last 20", seconds * 1e3, for_branches, "ms")
    (root / "raw").mkdir()
    raw = Subject("raw-sqlite3", root / "raw", 10)
    session = Subject(f"bough-{scheme}", root, 0)
    session.count, session.middle = messages, messages // 2
    assert len(session.run("branches")[0]) == branches
    [seconds] = interleave(session.branches, rounds=rounds, times=1)
    check(f"list {branches:,} branches", seconds * 1e3, for_branches, "ms")
    [seconds] = interleave(session.tail, rounds=rounds)
    check("last 20", seconds * 1e6, 300, "µs")
    floor, append, fork, undo = interleave(
        raw.append, session.append, session.fork, session.undo_fork, rounds=rounds * 10, times=1
    )
    check("append : raw insert, FULL", append / floor, 1.5, note=f"{append * 1e6:.0f} : {floor * 1e6:.0f} µs")
    check("fork in the middle : append", fork / append, 2)
    check("undo of that fork : append", undo / append, 3)
    append, merge, undo = interleave(session.append, session.merge, session.undo_merge, rounds=rounds * 3, times=1)
    check("merge of 10 : append", merge / append, 3)
    check("undo of that merge : append", undo / append, 3)
    check("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, MOST_MEMORY, "GB")
    return checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bounded", action="store_true", help="50,000 messages and 500 branches")
    parser.add_argument("--messages", type=int)
    parser.add_argument("--branches", type=int)
    parser.add_argument("--store", default="sqlite", help="another store, to look at; the limits are SQLite's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bough-bench-") as name:
        checks = scale(
            Path(name),
            messages=options.messages or (50_000 if options.bounded else 1_000_000),
            branches=options.branches or (500 if options.bounded else 10_000),
            rounds=5 if options.bounded else 15,
            scheme=options.store,
        )
    return 0 if all(check.good for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
