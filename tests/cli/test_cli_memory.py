"""The memory of an import and of a copy does not grow with what is brought in: real processes, as the kernel counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

MB = 1_000_000
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def write_chats(path: Path, size: int) -> None:
    """OpenAI chats of 1 MB, one a line."""
    text = "lorem ipsum dolor " * 27
    with path.open("w") as file:
        for number in range(size // MB):
            turns = ({"role": ("user", "assistant")[turn % 2], "content": f"{turn} {text}"} for turn in range(1870))
            file.write(json.dumps({"id": f"chat {number}", "messages": list(turns)}) + "\n")


def write_session(path: Path, size: int) -> None:
    """A session of Claude Code, lines of 4 kB: one conversation, with a fork now and then."""
    text = "lorem ipsum dolor " * 200
    with path.open("w") as file:
        previous = None
        for number in range(size // 4000):
            role = ("user", "assistant")[number % 2]
            line = {
                "type": role,
                "uuid": f"u{number}",
                "parentUuid": f"u{number - 3}" if number % 5000 == 4999 else previous,
                "sessionId": "long",
                "timestamp": "2026-11-21T10:00:00.000Z",
                "message": {"role": role, "content": [{"type": "text", "text": f"{number} {text}"}]},
            }
            previous = f"u{number}"
            file.write(json.dumps(line) + "\n")


PROGRAM = """
import sys
from pathlib import Path
from bough.cli import run
sys.argv[0] = "bough"
try:
    run()
finally:
    status = Path("/proc/self/status").read_text()
    print(status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


def peak(*words: str) -> int:
    """Bytes that ``bough WORDS`` needed at its peak. (``ru_maxrss`` would count the process that started it, too.)"""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1]) * 1024


def test_the_memory_of_an_import_and_a_copy_does_not_grow(tmp_path: Path) -> None:
    peaks = {}
    for size in (10, 40):
        chats, store = tmp_path / f"{size}.jsonl", f"sqlite:{tmp_path / f'{size}.db'}"
        write_chats(chats, size * MB)
        imported = peak("--store", store, "import", str(chats))
        copied = peak("--store", store, "copy", "--to", f"sqlite:{tmp_path / f'{size}-copy.db'}")
        peaks[size] = imported, copied
    assert max(peaks[40]) < 150 * MB
    for small, large in zip(peaks[10], peaks[40], strict=True):
        assert large < 1.15 * small


@pytest.mark.torture
def test_the_memory_of_one_huge_conversation_is_that_of_its_lines_and_not_of_what_they_say(tmp_path: Path) -> None:
    """Bounded in CI: 50 MB against 200 MB. What grows is where each line lies."""
    peaks = {}
    for size in (50, 200):
        write_session(tmp_path / "long.jsonl", size * MB)
        peaks[size] = peak("--store", f"sqlite:{tmp_path / f'{size}.db'}", "import", str(tmp_path / "long.jsonl"))
    assert peaks[200] - peaks[50] < 1500 * (150 * MB // 4000)
    assert peaks[200] < 150 * MB


@pytest.mark.torture
def test_an_import_of_a_gigabyte_needs_less_than_300_megabytes(tmp_path: Path) -> None:
    write_chats(tmp_path / "chats.jsonl", 1000 * MB)
    assert peak("--store", f"sqlite:{tmp_path / 'store.db'}", "import", str(tmp_path / "chats.jsonl")) < 300 * MB


@pytest.mark.torture
def test_one_conversation_of_a_gigabyte_needs_less_than_300_megabytes(tmp_path: Path) -> None:
    write_session(tmp_path / "long.jsonl", 1000 * MB)
    assert peak("--store", f"sqlite:{tmp_path / 'store.db'}", "import", str(tmp_path / "long.jsonl")) < 300 * MB
