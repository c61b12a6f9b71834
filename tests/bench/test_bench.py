"""The benchmark suite runs, checks what its drivers read, and says what is missing. No figure is judged here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import bough

BENCH = Path(__file__).parents[2] / "bench"
SOURCES = Path(bough.__file__).parents[1]


def python(*words: str, first: Path = SOURCES) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{first}{os.pathsep}{SOURCES}"}
    return subprocess.run(
        [sys.executable, *words], check=False, capture_output=True, text=True, timeout=120, env=environment
    )


def test_a_small_run_measures_what_works_and_shows_what_is_not_installed(tmp_path: Path) -> None:
    absent = tmp_path / "absent"  # where OpenAI's package is not installed
    absent.mkdir()
    (absent / "agents.py").write_text("raise ImportError('No module named agents')")
    words = ["--points", "10", "200", "--budget", "30", "--rounds", "1", "--branches", "5", "--no-speed", "--print"]
    systems = ["--only", "bough-sqlite", "bough-json", "raw-file", "raw-sqlite3", "raw-apsw", "openai-sqlite"]
    done = python(str(BENCH / "run"), *words, *systems, first=absent)
    assert done.returncode == 0, done.stderr
    for title in ("Bough, SQLite", "Bough, JSON files", "floor: raw insert, `apsw`"):
        rows = [line for line in done.stdout.splitlines() if line.startswith((f"| {title} |", f"| **{title}** |"))]
        assert len(rows) >= 6, title
        assert not [line for line in rows if "fails" in line]
    assert "| OpenAI Agents SQLiteSession | not installed | not installed |" in done.stdout
    assert "| OpenAI Agents SQLiteSession | not installed (No module named agents) |" in done.stdout


def test_a_driver_that_reads_something_else_fails(tmp_path: Path) -> None:
    """The worker compares what it read: here the file lost its last message behind the driver's back."""
    program = f"""
import sys; sys.path.insert(0, {str(BENCH)!r})
from worker import Worker
from systems import load
worker = Worker(load("raw-file"))
worker.fill({str(tmp_path / "raw")!r}, 10)
worker.driver.end -= 501
worker.measure("history", 1)
"""
    done = python("-c", program)
    assert done.returncode == 1
    assert "AssertionError: history gave 9 messages instead of 10" in done.stderr


def test_a_session_of_50_000_messages_and_500_branches_stays_within_the_limits() -> None:
    """Five times each limit is allowed: the machine does other things meanwhile. A cost that grows is beyond that."""
    done = python(str(BENCH / "scale.py"), "--bounded")
    rows = re.findall(r"^(?:ok  |MISS)  (.*?)\s+([\d.]+) \S*\s+\(≤ ([\d.]+)\)", done.stdout, re.MULTILINE)
    assert len(rows) >= 8, done.stdout + done.stderr
    assert [what for what, value, limit in rows if float(value) > 5 * float(limit)] == []
    assert {what: float(value) for what, value, _ in rows}["memory"] < 1
