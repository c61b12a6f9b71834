"""``bough import`` as a process: signals, and two at once. Numbers cite ``bough.cli.importing``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Bough

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = [sys.executable, "-c", "from bough.cli import run; run()"]


def start(store: str, *args: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "BOUGH_STORE": store}
    return subprocess.Popen(
        [*PROGRAM, "import", *args], env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def write(path: Path, numbers: range) -> str:
    path.write_text(
        "".join(
            json.dumps({"id": number, "messages": [{"role": "user", "content": f"hi {number}"}] * 2}) + "\n"
            for number in numbers
        )
    )
    return str(path)


@pytest.mark.parametrize(
    ("number", "code", "args"), [(signal.SIGINT, 130, ["--json"]), (signal.SIGTERM, 143, [])], ids=["INT", "TERM"]
)
def test_an_import_that_is_interrupted_tells_what_came_in(
    tmp_path: Path, number: signal.Signals, code: int, args: list[str]
) -> None:
    """4: while it waits for its second path, which is a pipe."""
    first, pipe = write(tmp_path / "a.jsonl", range(2)), tmp_path / "pipe"
    os.mkfifo(pipe)
    process = start(str(tmp_path / "store"), first, str(pipe), *args)
    with pipe.open("wb"):  # from here on the other side is open, and reads
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == code
    said = "interrupted; what is counted here came in, and the same import again brings the rest"
    if args:
        answer = json.loads(out)
        assert (answer["interrupted"], answer["new"]["messages"], answer["warnings"]) == (True, 4, [said])
    else:
        assert errors.decode() == f"warning: {said}\n"
        assert out.splitlines()[1].split() == [b"sessions", b"2", b"2"]
    bough = Bough(tmp_path / "store")
    again = bough.json("import", first, write(tmp_path / "b.jsonl", range(2, 4)))
    assert (again["new"]["sessions"], again["new"]["messages"]) == (2, 4)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="elsewhere the file needs a name")
def test_an_import_that_is_killed_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3"""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    process = start(str(tmp_path / "store"), "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b" " * (1 << 20))  # more than a pipe holds: most of it was read when this is done
    process.kill()
    process.communicate(timeout=60)
    assert os.listdir(tmp_path / "temporary") == []


def test_of_two_imports_at_once_each_counts_what_it_did(tmp_path: Path) -> None:
    """2"""
    store = f"sqlite:{tmp_path / 'store.db'}"
    file = write(tmp_path / "a.jsonl", range(150))
    two = [start(store, file, "--json") for _ in range(2)]
    answers: list[dict[str, Any]] = [json.loads(process.communicate(timeout=60)[0]) for process in two]
    for name, number in (("sessions", 150), ("branches", 150), ("messages", 300)):
        assert sum(answer["new"][name] for answer in answers) == number
