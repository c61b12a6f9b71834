"""The command as a process: what it imports, pipes, terminals, and the environment."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from bough import ConversationBranchManager, __version__

SOURCE = Path(__file__).parents[2] / "src"
BOUGH = [sys.executable, "-c", "from bough.cli import run; run()"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BOUGH", "NO_COLOR", "COLUMNS"))}
    return {**kept, "PYTHONPATH": str(SOURCE), "HOME": str(tmp_path), "TERM": "xterm", "PYTHONWARNINGS": "error"}


def run(environment: dict[str, str], *args: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*BOUGH, *args], env=environment, input=given, capture_output=True, timeout=60, check=False)


def test_version_imports_little_more_than_click(environment: dict[str, str]) -> None:
    def loaded(code: str) -> set[str]:
        code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=True
        )
        return set(json.loads(done.stdout.splitlines()[-1]))

    version = "from bough.cli import cli\ntry: cli.main(['--version'])\nexcept SystemExit: pass"
    more = loaded(version) - loaded("import click")
    assert more - {"locale", "_locale"} == {"bough", "bough.cli", "bough.cli.app"}  # click's own output needs the two
    assert run(environment, "--version").stdout == f"bough {__version__}\n".encode()


def test_the_default_store_is_in_the_home_folder_and_made_by_the_first_message(
    environment: dict[str, str], tmp_path: Path
) -> None:
    assert run(environment, "log").returncode == 1
    assert run(environment, "sessions").returncode == 0
    assert not (tmp_path / ".codebuddy").exists()
    done = run(environment, "add", "user", given="grüß\n".encode())
    assert (done.returncode, done.stderr) == (0, b"")
    stored = json.loads((tmp_path / ".codebuddy/branches/default/main.json").read_bytes())
    assert stored["messages"] == [{"role": "user", "content": "grüß"}]


def test_exit_codes_and_streams(environment: dict[str, str]) -> None:
    done = run(environment, "show", "x")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"error: ")
    done = run(environment, "frobnicate")
    assert (done.returncode, done.stdout) == (2, b"")
    done = run(environment, "undo", "--json")
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_closed_pipe_is_quiet(environment: dict[str, str], tmp_path: Path) -> None:
    with ConversationBranchManager(store=tmp_path / "store") as manager:
        manager.add_messages({"role": "user", "content": "x" * 1000} for _ in range(500))
    reading, writing = os.pipe()
    os.close(reading)
    for args in (["show"], ["show", "--json"], ["log", "--oneline"]):
        done = subprocess.run(
            [*BOUGH, "--store", str(tmp_path / "store"), *args],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        assert done.stderr == b""
        assert done.returncode == 1
    os.close(writing)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("args", [["sessions"], ["sessions", "--json"], ["log", "--json"]])
def test_a_full_disk_is_one_error(environment: dict[str, str], args: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*BOUGH, *args], env=environment, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 1
    assert b"error: " in done.stderr.splitlines()[0]
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"error: ") == 1


def on_terminal(environment: dict[str, str], *args: str) -> bytes:
    """What the command writes to a terminal, stdout and stderr."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*BOUGH, *args], env=environment, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return shown


def test_a_terminal_gets_colours_unless_it_says_no(environment: dict[str, str]) -> None:
    run(environment, "add", "user", "hello")
    assert b"\x1b[" in on_terminal(environment, "log")
    assert b"\x1b[" not in on_terminal({**environment, "NO_COLOR": "1"}, "log")
    assert b"\x1b[" not in on_terminal({**environment, "TERM": "dumb"}, "log")
    assert b"\x1b[" not in run(environment, "log").stdout


def test_a_progress_bar_is_for_terminals_only(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    assert b"Importing" in on_terminal(environment, "import", str(file))
    assert run(environment, "import", str(file)).stderr == b""


def test_a_stdout_that_has_no_such_character_is_no_error(environment: dict[str, str]) -> None:
    run(environment, "add", "user", "grüß")
    done = run({**environment, "PYTHONIOENCODING": "latin-1"}, "log", "--graph")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"\\u25cf 1 user  (HEAD -> main) gr\xfc\xdf\n"


def test_completion_scripts_are_for_the_command(environment: dict[str, str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        done = run(environment, "completion", shell)
        assert done.returncode == 0
        assert b"_BOUGH_COMPLETE" in done.stdout
    assert run(environment, "completion", "tcsh").returncode == 2
