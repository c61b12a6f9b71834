"""How fast a long session of Claude Code comes in. Run: ``python bench/imports.py [--size MB]``.

The yardstick is decoding the same lines with the decoder that the import uses, and doing nothing with them; beside it,
for what a store can do at best, putting the messages that come of them into a plain SQLite table, 4 MB a transaction,
and doing nothing else. The file is written here, in the shapes that such sessions consist of: most of its bytes are the
results of tools, which are source code, so they are full of escapes, and which Claude Code writes twice on a line. All
is measured in one run, in turns; ``bough import`` is a process of its own, and its start is counted. A row that misses
its limit makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from bough.codec import decode, encode_found
from bough.transfer import Conversation, read_conversations
from speed import Check

MB = 1_000_000
LIMIT = 1 / 3
"""Of the decoder's rate."""
ROUNDS = 3
_CODE = [
    'def render(self, name: str, *, width: int = 80) -> str:\n    """What a page says of `name`."""\n',
    '    if not self._pages.get(name):\n        raise KeyError(f"no page {name!r}")\n',
    '\treturn "\\n".join(line.rstrip() for line in self._pages[name][:width])\n\n',
    "  12→  // größer als die Zeile: siehe “layout.md” § 4\n",
    "    for index, (key, value) in enumerate(sorted(found.items())):\n        total += value * index\n",
]


def write_session(path: Path, size: int) -> None:
    """A session of ``size`` bytes or a little more."""
    with path.open("w") as file:
        written = 0
        for line in _lines():
            written += file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            if written >= size:
                return


def _lines() -> Iterator[dict[str, Any]]:
    """Turns without end: what a person asks, what the model thinks and says, a call and its result."""
    dice = random.Random(1)
    previous: str | None = None
    for number in range(sys.maxsize):
        at = f"2026-11-21T10:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z"
        model = {"id": f"msg_{number:024}", "type": "message", "role": "assistant", "model": "claude-opus-4-1"}
        usage = {
            "input_tokens": 4,
            "cache_creation_input_tokens": dice.randrange(20_000),
            "cache_read_input_tokens": dice.randrange(200_000),
            "output_tokens": dice.randrange(4_000),
            "service_tier": "standard",
        }
        place = f"/src/{at}.py"
        call: dict[str, Any] = {"type": "tool_use", "id": f"toolu_{number:022}", "name": "Read"}
        call["input"] = {"file_path": place}
        code = "".join(dice.choices(_CODE, k=dice.randrange(20, 120)))
        result = {"tool_use_id": call["id"], "type": "tool_result", "content": code}
        read = {"type": "text", "file": {"filePath": place, "content": code, "numLines": 90}}
        said: list[dict[str, Any]] = [
            {"message": {**model, "content": [block], "stop_reason": "tool_use", "usage": usage}, "requestId": at}
            for block in (
                {"type": "thinking", "thinking": "Let me look at it. " * dice.randrange(60), "signature": "x" * 400},
                {"type": "text", "text": "I'll read the file, and then change what is “wrong”.\n" * dice.randrange(9)},
                call,
            )
        ]
        said.append({"message": {"role": "user", "content": [result]}, "toolUseResult": read})
        if number % 8 == 0:
            said.insert(0, {"message": {"role": "user", "content": "Please make the tests pass. " * 10}})
        for index, one in enumerate(said):
            uuid = f"{number:08x}-0000-4000-8000-{index:012x}"
            yield {
                "parentUuid": previous,
                "isSidechain": False,
                "userType": "external",
                "cwd": "/home/someone/project",
                "sessionId": "b5a7e9c2-0000-4000-8000-000000000000",
                "version": "2.0.14",
                "gitBranch": "main",
                "type": one["message"]["role"],
                "uuid": uuid,
                "timestamp": at,
                **one,
            }
            previous = uuid


def decode_all(path: Path) -> float:
    """Seconds for the lines alone; they are in memory."""
    lines = path.read_bytes().splitlines()
    return timed(lambda: [decode(line) and None for line in lines])


def insert_all(path: Path, database: Path) -> float:
    """Seconds for putting the messages of the session into a table; they are in memory, encoded."""
    [session] = read_conversations(path)
    assert isinstance(session, Conversation)
    lines = [encode_found(message).decode() for node in session.nodes for message in node.messages()]
    with closing(apsw.Connection(str(database))) as connection:
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.execute("CREATE TABLE message (position INTEGER PRIMARY KEY, payload TEXT)")

        def insert() -> None:
            for begin in range(0, len(lines), 1000):
                with connection:
                    rows = enumerate(lines[begin : begin + 1000], begin)
                    connection.executemany("INSERT INTO message VALUES (?, ?)", rows)

        return timed(insert)


def bough(*words: object) -> float:
    """Seconds of a command, as a process of its own."""
    program = [sys.executable, "-c", "from bough.cli import run; run()", "--json"]
    return timed(lambda: subprocess.run([*program, *map(str, words)], check=True, stdout=subprocess.DEVNULL))


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=100, metavar="MB", help="of the session (default: 100)")
    size = parser.parse_args().size * MB
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "session.jsonl")
        write_session(path, size)
        samples: dict[str, list[float]] = {name: [] for name in ("decode", "insert", "dry run", "SQLite", "JSON")}
        for turn in range(ROUNDS):
            samples["decode"].append(decode_all(path))
            samples["insert"].append(insert_all(path, Path(folder, f"{turn}-plain.db")))
            samples["dry run"].append(bough("import", path, "--dry-run"))
            for name, url in (("SQLite", f"sqlite:{folder}/{turn}.db"), ("JSON", f"json:{folder}/{turn}")):
                samples[name].append(bough("--store", url, "import", path))
        rates = {name: size / statistics.median(seconds) / MB for name, seconds in samples.items()}
    checks = [
        Check(
            what=f"import, {name} : its lines decoded",
            value=rate / rates["decode"],
            limit=LIMIT,
            note=f"{rate:.0f} MB/s",
            at_least=True,
        )
        for name, rate in rates.items()
        if name not in ("decode", "insert")
    ]
    alone = rates["insert"] / rates["decode"]
    print(f"decoding alone: {rates['decode']:.0f} MB/s; SQLite alone: {rates['insert']:.0f} MB/s, {alone:.2f} of it")
    print(*checks, sep="\n")
    sys.exit(not all(check.good for check in checks))


if __name__ == "__main__":
    main()
