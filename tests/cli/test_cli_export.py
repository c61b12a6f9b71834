"""``bough export``: what is chosen, where it goes, and that a file is there whole or not at all."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import Bough, talk

from bough import ConversationBranchManager
from bough.cli.newfile import new_file
from bough.errors import InvalidRequestError
from bough.transfer.export import EXPORTS


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store")


def lines(text: str) -> list[list[str]]:
    """Each line's messages, as their texts."""
    return [[message["content"] for message in json.loads(line)["messages"]] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), [["one", "two", "three", "four"]]),
        (("ideas",), [["one", "two", "another three"]]),
        (("main~1",), [["one", "two", "three"]]),
        (("v1",), [["one", "two"]]),
        (("--branch", "ideas"), [["one", "two", "another three"]]),
        (("--branch", "ideas", "--branch", "HEAD", "--branch", "main"), [["one", "two", "three", "four"]] * 2),
        (("--all",), [["one", "two", "three", "four"], ["one", "two", "another three"]]),
    ],
)
def test_what_is_chosen(bough: Bough, args: tuple[str, ...], expected: list[list[str]]) -> None:
    talk(bough)
    with ConversationBranchManager("default", store=str(bough.store)) as manager:
        manager.tag("v1", "main~2")
    if len(args) == 6:
        expected = [expected[0], ["one", "two", "another three"]]
    assert lines(bough.out("export", *args, "--format", "openai-chat")) == expected


def test_to_stdout_as_markdown(bough: Bough) -> None:
    bough("add", "user", "hello")
    assert bough.out("export") == "# default\n\n### 1 · user\n\nhello\n"
    assert bough.out("export", "-o", "-") == bough.out("export")


@pytest.mark.parametrize("name", EXPORTS)
def test_the_ending_says_the_format(bough: Bough, tmp_path: Path, name: str) -> None:
    talk(bough)
    suffix = EXPORTS[name].suffixes[0] if EXPORTS[name].suffixes else ".txt"
    file = tmp_path / f"talk{suffix.upper()}"
    wanted = () if EXPORTS[name].suffixes else ("--format", name)
    answer = bough.json("export", "--all", "-o", str(file), *wanted)
    assert answer == {
        "bough": 1,
        "command": "export",
        "session": "default",
        "format": name,
        "path": str(file),
        "branches": ["main", "ideas"],
        "messages": 5,
        "bytes": file.stat().st_size,
        "redacted": None,
        "warnings": [],
    }
    assert file.read_bytes() == bough("export", "--all", "--format", name).stdout_bytes
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", file.name]


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("-o", "x.unknown"), "says no format"),
        (("--format", "pdf"), "there is no format 'pdf'"),
        (("main", "--all"), "one of them"),
        (("--branch", "main", "--all"), "one of them"),
        (("--json",), "-o FILE"),
        (("--redact-pattern", "("), "--redact-pattern"),
    ],
)
def test_wrong_usage(bough: Bough, args: tuple[str, ...], said: str) -> None:
    talk(bough)
    result = bough("export", *args, code=2)
    assert said in result.stdout + result.stderr


def test_what_is_not_there(bough: Bough) -> None:
    assert "no session" in bough("export", code=1).stderr
    assert not bough.store.exists()
    talk(bough)
    assert "nowhere" in bough("export", "nowhere", code=1).stderr
    assert "nowhere" in bough("export", "--branch", "nowhere", code=1).stderr
    assert bough("export", "--all", "--session", "other", code=1).stdout == ""


def test_a_file_is_replaced_by_force_alone(bough: Bough, tmp_path: Path) -> None:
    talk(bough)
    file = tmp_path / "talk.md"
    file.write_text("mine")
    result = bough("export", "-o", str(file), code=1)
    assert result.stderr == f"error: {file} is there already\nhint: --force replaces it\n"
    assert file.read_text() == "mine"
    link = tmp_path / "link.md"
    link.symlink_to(file)
    bough("export", "-o", str(link), "--force")
    assert link.is_symlink()
    assert "another" not in file.read_text()
    assert "four" in file.read_text()
    assert "is a folder" in bough("export", "-o", str(tmp_path), "--format", "git", "--force", code=1).stderr
    assert bough("export", "-o", str(tmp_path / "no" / "x.md"), code=1).stderr.startswith("error: ")


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_an_export_that_fails_leaves_nothing(bough: Bough, tmp_path: Path, force: tuple[str, ...]) -> None:
    talk(bough)
    file = tmp_path / "talk.md"
    if force:
        file.write_text("mine")
    document = bough.store / "default" / "main.json"
    document.write_bytes(document.read_bytes().replace(b'"three"', b"!three!"))
    bough("export", "-o", str(file), *force, code=5)
    names = [path.name for path in tmp_path.iterdir()]
    assert names == ["store"] or (bool(force) and sorted(names) == ["store", "talk.md"] and file.read_text() == "mine")


@pytest.mark.parametrize("name", ["html", "openai-chat", "git"])
def test_of_all_comes_out_what_can_be_read(bough: Bough, tmp_path: Path, name: str) -> None:
    """What is damaged is told of and the exit code says so, whether it was found by looking or by reading."""
    talk(bough)
    bough("tag", "v1", "main~1")
    wanted = bough("export", "--branch", "ideas", "--format", name).stdout_bytes
    file = tmp_path / "talk"
    for damage in (lambda text: text.replace(b'"three"', b"!three!"), lambda _: b"nothing"):
        document = bough.store / "default" / "main.json"
        document.write_bytes(damage(document.read_bytes()))
        bough("export", "-o", str(file), "--format", name, code=5)  # what was named has to be whole
        assert not file.exists()
        result = bough("export", "--all", "--format", name, "-o", str(file), "--json", code=5)
        answer = json.loads(result.stdout)
        assert answer["branches"] == ["ideas"]
        assert any("main" in warning for warning in answer["warnings"])
        assert bough("export", "--all", "--format", name, code=5).stdout_bytes == file.read_bytes() == wanted
        file.unlink()
    (bough.store / "default" / "ideas.json").write_bytes(b"nothing")
    assert bough("export", "--all", "--format", name, code=1).stdout == ""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that send signals")
def test_ctrl_c_ends_a_pattern_that_does_not(bough: Bough, tmp_path: Path) -> None:
    bough("add", "user", "a" * 50 + "!")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        bough("export", "--redact-pattern", "(a+)+$", "-o", str(tmp_path / "talk.md"), code=130)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("name", EXPORTS)
def test_a_branch_without_messages(bough: Bough, name: str) -> None:
    bough("add", "user", "one")
    bough("branch", "create", "bare", "--empty")
    result = bough("export", "bare", "--format", name)
    assert result.stderr == "warning: there are no messages in what is exported\n"
    everything = bough.out("export", "--all", "--format", name)
    assert ("bare" in everything) == (name in ("markdown", "html", "mermaid", "graphviz"))


def test_a_file_that_came_meanwhile_is_not_replaced(bough: Bough, tmp_path: Path) -> None:
    file = tmp_path / "talk.md"

    def write() -> None:
        with new_file(file, force=False) as opened:
            opened.write(b"ours")
            file.write_text("mine")

    with pytest.raises(InvalidRequestError, match="is there already"):
        write()
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["talk.md"]


ENDED = """
import os, signal, sys
from pathlib import Path
from bough.cli.newfile import new_file
path, number, force, named = Path(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:])
if named and hasattr(os, "O_TMPFILE"):
    del os.O_TMPFILE
with new_file(path, force=bool(force)) as file:
    file.write(b"ours" * 10_000)
    print(*sorted(each.name for each in path.parent.iterdir()), flush=True)
    os.kill(os.getpid(), number)
"""


linux = pytest.mark.skipif(sys.platform != "linux", reason="files without a name are Linux's")


@pytest.mark.parametrize(
    ("number", "named", "force", "code"),
    [
        pytest.param(signal.SIGTERM, 0, 0, 143, marks=linux),
        pytest.param(signal.SIGKILL, 0, 1, -signal.SIGKILL, marks=linux),
        (signal.SIGTERM, 1, 1, 143),
        (signal.SIGHUP, 1, 0, 129),
        (signal.SIGINT, 1, 0, -signal.SIGINT),
    ],
)
def test_a_program_that_is_ended_leaves_nothing(tmp_path: Path, number: int, named: int, force: int, code: int) -> None:
    """2"""
    file = tmp_path / "talk.md"
    if force:
        file.write_text("mine")
    args = [sys.executable, "-c", ENDED, str(file), str(int(number)), str(force), str(named)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert len(re.findall(r"\S+\.new", done.stdout)) == named
    assert [path.name for path in tmp_path.iterdir()] == ["talk.md"] * force
    assert not force or file.read_text() == "mine"


@pytest.mark.parametrize("named", [False, True])
def test_a_file_without_a_name_gets_it_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    """1"""
    if named:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    file = tmp_path / ("\U0001f600" * 63)  # the longest name there is
    for text in ("first", "second"):
        with new_file(file, force=text == "second") as opened:
            opened.write(text.encode())
            assert file.exists() == (text == "second")
        assert file.read_text() == text
        assert file.stat().st_mode & 0o777 == (0o666 & ~umask() if text == "first" else 0o604)
        file.chmod(0o604)
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_is_written_to(bough: Bough, tmp_path: Path) -> None:
    talk(bough)
    pipe = tmp_path / "pipe.md"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    bough("export", "-o", str(pipe))
    assert b"four" in os.read(reader, 65536)
    os.close(reader)
    assert pipe.is_fifo()


def test_without_secrets(bough: Bough, tmp_path: Path) -> None:
    bough("add", "user", "write to alice@example.org about case 77")
    result = bough("export", "--redact")
    assert "write to \\[redacted" not in result.stdout
    assert "write to [redacted:e-mail] about case 77" in result.stdout
    assert result.stderr == "Redacted: 1 e-mail.\n"
    result = bough("export", "--redact-pattern", r"case \d+")
    assert "write to [redacted:e-mail] about [redacted:own-1]" in result.stdout
    answer = bough.json("export", "--redact", "-o", str(tmp_path / "x.jsonl"))
    assert answer["redacted"] == {"e-mail": 1}
    out = bough.out("export", "--redact", "-o", str(tmp_path / "y.html"), "--session", "default")
    assert out.splitlines()[1] == "Redacted: 1 e-mail."
    assert "Redacted: nothing was found." in bough("export", "main~1", "--redact").stderr


def test_what_is_looked_for_is_listed(bough: Bough) -> None:
    assert "openai-key" in bough.out("export", "--redact-list")
    answer = bough.json("export", "--redact-list")
    assert answer["patterns"].keys() >= {"openai-key", "jwt", "e-mail", "private-key"}
    assert not bough.store.exists()


def test_plain_leaves_out_metadata(bough: Bough) -> None:
    bough("add", "--message", '{"role": "user", "content": "x", "metadata": {"id": "7"}}')
    chat = ("export", "--format", "openai-chat")
    assert json.loads(bough.out(*chat))["messages"][0]["metadata"] == {"id": "7"}
    assert json.loads(bough.out(*chat, "--plain")) == {"messages": [{"role": "user", "content": "x"}]}


def test_what_was_exported_comes_back(bough: Bough, tmp_path: Path) -> None:
    talk(bough)
    file = str(tmp_path / "talk.json")
    bough("export", "--all", "-o", file)
    answer = bough.json("import", file)
    assert answer["found"] == {"sessions": 1, "branches": 2, "messages": 5}
    assert answer["defects"] == []
    messages = bough.json("show", "--session", "chatgpt-default")["messages"]
    assert messages == bough.json("show", "main")["messages"]


@pytest.mark.skipif(sys.platform != "linux", reason="pseudo-terminals as Linux has them")
def test_nothing_drives_a_terminal(bough: Bough) -> None:
    bough("add", "--message", json.dumps({"role": "user", "content": "a\u001b[31mb\u202e\u0085 é"}))
    for name in ("openai-chat", "markdown", "html", "git"):
        ours, theirs = os.openpty()
        code = "import sys; from bough.cli import run; run()"
        args = [sys.executable, "-c", code, "--store", str(bough.store), "export", "--format", name]
        subprocess.run(args, stdout=theirs, check=True, timeout=60)
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 65536):
                shown += block
        except OSError:
            pass  # that is how Linux says that the other side is closed
        os.close(ours)
        text = shown.decode()
        assert "é" in text
        assert not set(text) & {"\u001b", "\u202e", "\u0085"}
