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
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1]) * 1024


def test_the_memory_of_an_import_and_a_copy_does_not_grow(tmp_path: Path) -> None:
    peaks = {}
    for size in (50, 200):
        chats, store = tmp_path / f"{size}.jsonl", f"sqlite:{tmp_path / f'{size}.db'}"
        write_chats(chats, size * MB)
        imported = peak("--store", store, "import", str(chats))
        copied = peak("--store", store, "copy", "--to", f"sqlite:{tmp_path / f'{size}-copy.db'}")
        peaks[size] = imported, copied
    assert max(peaks[200]) < 150 * MB
    for small, large in zip(peaks[50], peaks[200], strict=True):
        assert large < 1.15 * small


@pytest.mark.torture
def test_an_import_of_a_gigabyte_needs_less_than_300_megabytes(tmp_path: Path) -> None:
    write_chats(tmp_path / "chats.jsonl", 1000 * MB)
    assert peak("--store", f"sqlite:{tmp_path / 'store.db'}", "import", str(tmp_path / "chats.jsonl")) < 300 * MB
