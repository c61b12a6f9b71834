"""What the verbs of version control cost on a long conversation. Run: ``python bench/verbs.py [--quick]``.

On the SQLite store each must cost less than three appends, at a million messages as at ten: they work on pieces, not on
messages. (Merges are in ``speed.py``.) All are measured in turns with the append, in one run, durability full. A row
that misses its limit makes the exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bough import ConversationBranchManager
from bough.stores import open_store
from speed import Action, Check, interleave

LARGE = 1_000_000
LIMIT = 3.0
LIMITS = {"edit in the middle": 4.0}  # which reads the old message, and writes one as an append does


def build(url: str, count: int) -> None:
    """A session of ``count`` messages in main, and a branch from its middle with some of its own."""
    with ConversationBranchManager("talk", store=open_store(url, durability="lazy")) as talk:
        for begin in range(0, count, 10_000):
            talk.add_messages(said(number) for number in range(begin, min(count, begin + 10_000)))
        talk.fork_from_message("side", count // 2)
        talk.add_messages(said(number) for number in range(50))
        talk.checkout("main")


def said(number: int) -> dict[str, str]:
    return {"role": "user", "content": f"{number} ".ljust(460, "x")}


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Verbs:
    """The verbs on one conversation, each an action that leaves it as it was, but for appends."""

    def __init__(self, talk: ConversationBranchManager, count: int) -> None:
        self.talk = talk
        self.middle = count // 2
        self.forks = 0

    def append(self) -> float:
        return timed(lambda: self.talk.add_message(said(0)))

    def fork(self) -> float:
        self.forks += 1
        seconds = timed(lambda: self.talk.fork_from_message(f"fork {self.forks}", self.middle))
        self.talk.undo()
        return seconds

    def reset(self) -> float:
        seconds = timed(lambda: self.talk.reset(self.middle))
        self.talk.undo()
        return seconds

    def undo(self) -> float:
        self.talk.reset(self.middle)
        return timed(self.talk.undo)

    def redo(self) -> float:
        self.talk.reset(self.middle)
        self.talk.undo()
        seconds = timed(self.talk.redo)
        self.talk.undo()
        return seconds

    def cherry_pick(self) -> float:
        seconds = timed(lambda: self.talk.cherry_pick("main..side"))
        self.talk.undo()
        return seconds

    def edit(self) -> float:
        self.forks += 1
        seconds = timed(lambda: self.talk.edit_message(self.middle, said(self.forks)))
        self.talk.undo()
        return seconds

    def diff(self) -> float:
        return timed(lambda: self.talk.diff("side", "main").stat)

    def tag(self) -> float:
        seconds = timed(lambda: self.talk.tag("here", "main~3"))
        self.talk.undo()
        return seconds


def measure(url: str, count: int, rounds: int) -> list[Check]:
    with ConversationBranchManager("talk", store=url, create=False) as talk:
        verbs = Verbs(talk, count)
        rows = {
            "fork in the middle": verbs.fork,
            "reset to the middle": verbs.reset,
            "undo of that": verbs.undo,
            "redo of it": verbs.redo,
            "cherry-pick of a range of 50": verbs.cherry_pick,
            "diff --stat": verbs.diff,
            "edit in the middle": verbs.edit,
            "tag": verbs.tag,
        }
        actions: list[Action] = [verbs.append, *rows.values()]
        append, *others = interleave(*actions, rounds=rounds)
        note = f"{append * 1e6:.0f} µs an append"
        return [
            Check(
                what=f"{name}, at {count:,} : append", value=seconds / append, limit=LIMITS.get(name, LIMIT), note=note
            )
            for name, seconds in zip(rows, others, strict=True)
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10,000 messages and fewer rounds")
    arguments = parser.parse_args()
    count, rounds = (10_000, 3) if arguments.quick else (LARGE, 5)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:{Path(folder) / 'verbs.db'}"
        build(url, count)
        for check in measure(url, count, rounds):
            print(check, flush=True)
            good &= check.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
