"""fsck, gc, purge, stats and completion at the command line: what they say, their exit codes, damage of all kinds."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from cli_kit import Bough, odd_tag, talk

from bough import ConversationBranchManager, codec
from bough.cli import SECTIONS
from bough.model import Graft, Piece

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(params=["json", "sqlite"])
def bough(request: pytest.FixtureRequest, tmp_path: Path) -> Bough:
    return Bough(Path(f"{request.param}:{tmp_path / 'store'}"))


@pytest.fixture
def files(tmp_path: Path) -> Bough:
    """On files, which can be damaged by hand."""
    bough = Bough(tmp_path / "store")
    talk(bough)
    return bough


# -- fsck --------------------------------------------------------------------------------------------------------------


def test_fsck_of_what_is_whole(bough: Bough) -> None:
    talk(bough)
    assert bough.out("fsck") == "Checked 1 session: nothing is wrong.\n"
    assert bough.out("fsck", "--repair") == "Checked 1 session: nothing is wrong.\n"
    answer = bough.json("fsck")
    assert answer["sessions"] == [{"session": "default", "findings": [], "salvaged": []}]
    assert answer["worst"] is None
    bough("add", "user", "x", "--session", "trip")
    assert bough.out("fsck", "--all") == "Checked 2 sessions: nothing is wrong.\n"
    assert [each["session"] for each in bough.json("fsck", "--all")["sessions"]] == ["default", "trip"]


def test_fsck_of_no_session_makes_none(bough: Bough, tmp_path: Path) -> None:
    assert bough("fsck", code=1).stderr.startswith("error: no session 'default'\n")
    assert list(tmp_path.iterdir()) == []
    assert bough.out("fsck", "--all") == "Checked 0 sessions: nothing is wrong.\n"


def test_notes_are_no_wrong_and_warnings_are_one(files: Bough) -> None:
    bough = files
    bough("switch", "ideas")
    bough("fork", "more")
    bough("delete", "ideas")
    assert bough.out("fsck") == (
        "note: branch 'more': its parent 'ideas' is not there\n"
        "  hint: it was deleted, perhaps: `bough branch restore ideas`\n"
        "Checked 1 session: 1 note.\n"
    )
    document = bough.store / "default" / "main.json"
    document.write_bytes(document.read_bytes().replace(b'"three"', b'"drei!"'))
    result = bough("fsck", code=1)
    assert result.stdout.startswith("warning: ")
    assert result.stdout.endswith("Checked 1 session: 1 warning, 1 note.\n")
    answer = bough.json("fsck", code=1)
    assert answer["worst"] == "warning"
    assert [each["severity"] for each in answer["sessions"][0]["findings"]] == ["warning", "note"]


def damage_main(bough: Bough) -> Path:
    document = bough.store / "default" / "main.json"
    document.write_bytes(document.read_bytes().replace(b'{"id":"main"', b'{"id":7}"main"'))
    return document


def test_damage_is_5_also_where_a_repair_could_save_it(files: Bough) -> None:
    bough = files
    document = damage_main(bough)
    damaged = document.read_bytes()
    found = bough("fsck", code=5).stdout.splitlines()
    assert found[0].startswith(f"error: {document}: ")
    assert found[1].startswith("  hint: ")
    assert found[2:] == ["Checked 1 session: 1 error."]
    [finding] = bough.json("fsck", code=5)["sessions"][0]["findings"]
    assert finding.keys() == {"severity", "place", "problem", "advice", "branch", "history", "rescued"}
    assert (finding["severity"], finding["branch"], finding["rescued"]) == ("error", "main", 4)

    repaired = bough("fsck", "--repair", code=5).stdout.splitlines()[2:]
    assert repaired == [
        "Checked 1 session: 1 error.",
        "Salvaged into the new branch salvaged-main of session default.",
        "What is damaged was left as it is, so it will be found again.",
    ]
    assert document.read_bytes() == damaged
    shown = bough.json("show", "salvaged-main")
    assert [each["content"] for each in shown["messages"]] == ["one", "two", "three", "four"]
    again = bough("fsck", "--repair", code=5).stdout
    assert "Nothing more to salvage: earlier repairs put what can be read into branches.\n" in again
    assert bough.json("fsck", "--repair", code=5)["sessions"][0]["salvaged"] == []


def test_fsck_works_where_head_and_log_are_broken(files: Bough) -> None:
    bough = files
    folder = bough.store / "default"
    (folder / "HEAD").write_text("\0nonsense")
    assert "HEAD" in bough("fsck", code=1).stdout
    log = folder / "operations.jsonl"
    log.write_bytes(b"no JSON\n" + log.read_bytes()[9:])
    found = bough("fsck", code=5).stdout
    assert str(log) in found
    assert "Traceback" not in found
    log.unlink()
    assert str(log) in bough("fsck", code=5).stdout
    bough("fsck", "--repair", code=5)
    assert [each["content"] for each in bough.json("show", "main")["messages"]] == ["one", "two", "three", "four"]


def test_fsck_goes_on_where_the_documents_of_a_session_are_gone(files: Bough) -> None:
    bough = files
    bough("add", "user", "hello", "--session", "aa")
    damage_main(bough)
    for document in (bough.store / "aa").glob("*.json"):
        document.unlink()
    found = bough.json("fsck", "--all", code=5)["sessions"]
    assert [each["session"] for each in found] == ["aa", "default"]
    assert [each["branch"] for each in found[0]["findings"]] == ["main"]
    assert "main.json: the document of branch 'main' is gone" in bough("--session", "aa", "fsck", code=5).stdout
    for command in (["add", "user", "more"], ["log"]):
        result = bough("--session", "aa", *command, code=5)
        assert "the documents of this session are gone" in result.stderr
        assert "bough fsck --repair" in result.stderr
    assert list((bough.store / "aa").glob("*.json")) == []
    repaired = bough("--session", "aa", "fsck", "--repair", code=5).stdout
    assert "Nothing to salvage: what is not lost can be read where it stands.\n" in repaired


def test_fsck_salvages_a_session_from_its_log_and_attic(files: Bough) -> None:
    bough = files
    bough("delete", "ideas")
    folder = bough.store / "default"
    for document in folder.glob("*.json"):
        document.unlink()
    repaired = bough("fsck", "--repair", code=5).stdout
    assert "Salvaged into the new branch salvaged-main of session default.\n" in repaired
    assert "Nothing to salvage" not in repaired
    assert [each["content"] for each in bough.json("show", "salvaged-main")["messages"]] == ["one", "two"]


def test_fsck_of_a_row_that_cannot_be_read(tmp_path: Path) -> None:
    bough = Bough(Path(f"sqlite:{tmp_path}/store.db"))
    talk(bough)
    with apsw.Connection(str(tmp_path / "store.db")) as connection:
        connection.execute("UPDATE branch SET history = 'x' WHERE id = 'main'")
    [finding] = bough.json("fsck", code=5)["sessions"][0]["findings"]
    assert (finding["branch"], finding["severity"]) == ("main", "error")
    assert bough.json("fsck", "--repair", code=5)["sessions"][0]["salvaged"] == ["salvaged-main"]
    shown = bough("show", "salvaged-main", "--json").stdout
    assert [each["content"] for each in json.loads(shown)["messages"]] == ["one", "two", "three", "four"]


def test_fsck_of_a_database_that_no_manager_can_open(tmp_path: Path) -> None:
    bough = Bough(Path(f"sqlite:{tmp_path}/store.db"))
    talk(bough)
    connection = apsw.Connection(str(tmp_path / "store.db"))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    [(size,)] = connection.execute("PRAGMA page_size")
    [(page,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'branch'")
    connection.close()
    with (tmp_path / "store.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    bough("log", code=5)
    result = bough("fsck", code=5)
    assert result.stdout.startswith("error: ")
    assert "Checked 1 session: " in result.stdout
    result = bough("fsck", "--repair", code=5)
    assert result.stderr.startswith("warning: not everything was salvaged: ")


def test_fsck_shows_no_control_characters(files: Bough) -> None:
    (files.store / "default" / "\x1b[31m.txt").write_text("x")
    out = files.out("fsck")
    assert "\x1b" not in out
    assert "\\x1b[31m.txt" in out


# -- gc ----------------------------------------------------------------------------------------------------------------


def test_gc_says_what_it_frees_and_why_it_keeps_the_rest(bough: Bough) -> None:
    talk(bough)
    bough("delete", "ideas")
    kept = "Kept: 4 messages in branches, 0 more for tags, 1 for undo back to operation 1.\n"
    assert bough.out("gc") == "Nothing to free.\n" + kept
    tried = bough.out("gc", "--keep", "0d", "--dry-run")
    rest = "Kept: 4 messages in branches, 0 more for tags, 0 for undo.\n"
    assert tried == "Would free 1 message (41 bytes).\n" + rest
    answer = bough.json("gc", "--keep", "0h", "--keep-operations", "0", "--dry-run")
    assert (answer["dry_run"], answer["failed"]) == (True, [])
    assert answer["sessions"] == [
        {
            "session": "default",
            "messages": 1,
            "bytes": 41,
            "unreachable": 0,
            "in_branches": 4,
            "for_tags": 0,
            "for_undo": 0,
            "undo_to": None,
            "operation": None,
        }
    ]
    assert "1 for undo back to operation 4." in bough.out("gc", "--keep-operations", "1")
    assert bough.out("gc", "--keep", "0w") == "Freed 1 message (41 bytes).\n" + rest
    assert bough("undo", code=1).stderr.startswith("error: operation 4 (delete) cannot be undone: gc has given up")
    assert bough.out("fsck") == "Checked 1 session: nothing is wrong.\n"


def test_gc_takes_what_nothing_ever_had_where_it_is_asked_to(bough: Bough) -> None:
    talk(bough)
    lines = codec.encode_all([{"role": "user", "content": text} for text in ("x", "y")])
    with ConversationBranchManager(store=str(bough.store)) as manager:
        manager.store.commit("default", Graft(runs=((Piece("sent", 0, 2), lines),)))
    [note] = bough.json("fsck")["sessions"][0]["findings"]
    assert (note["severity"], note["history"]) == ("note", [["sent", 0, 2]])
    assert "`bough gc --unreachable`" in note["advice"]
    assert bough.out("gc").startswith("Nothing to free.\n")
    freed = "2 messages (58 bytes), 2 unreachable.\n"
    assert bough.out("gc", "--unreachable", "--dry-run").startswith(f"Would free {freed}")
    [tried] = bough.json("gc", "--unreachable", "--all", "--dry-run")["sessions"]
    assert (tried["messages"], tried["bytes"], tried["unreachable"], tried["operation"]) == (2, 58, 2, None)
    assert bough.out("gc", "--unreachable").startswith(f"Freed {freed}")
    assert bough.out("fsck") == "Checked 1 session: nothing is wrong.\n"


def test_gc_of_all_sessions_goes_on_behind_one_that_fails(files: Bough) -> None:
    bough = files
    bough("add", "user", "x", "--session", "trip")
    assert bough.out("gc", "--all").splitlines()[1].startswith("trip: Nothing to free. Kept: 1 message in branches")
    damage_main(bough)
    answer = bough.json("gc", "--all", code=5)
    assert [each["session"] for each in answer["sessions"]] == ["trip"]
    [failed] = answer["failed"]
    assert (failed["session"], failed["type"]) == ("default", "CorruptBranchError")
    assert bough("gc", code=5).stderr.startswith("error: ")


@pytest.mark.parametrize("age", ["3m", "d", "-1d", "1d2h", "", "soon", "1e3d"])
def test_a_duration_that_is_none(files: Bough, age: str) -> None:
    assert "is no duration; 12h, 30d, 8w and 1y are" in files("gc", "--keep", age, code=2).stderr


@pytest.mark.parametrize("age", ["12h", "30d", "8w", "1y", "1.5d", "999999999y"])
def test_a_duration_that_is_one(files: Bough, age: str) -> None:
    files("delete", "ideas")
    assert files.json("gc", "--keep", age)["sessions"][0]["for_undo"] == 1


# -- purge -------------------------------------------------------------------------------------------------------------


def test_purge_shows_what_goes_and_who_holds_it(bough: Bough, tmp_path: Path) -> None:
    talk(bough)
    told = "  assistant two\nHeld by branches: ideas:2, main:2.\n"
    assert bough.out("purge", "main:2", "--dry-run") == told + "Would erase 1 message.\n"
    assert bough.json("show")["branch"]["length"] == 4
    assert bough.out("purge", "main:2", "--yes") == told + "Erased 1 message.\n"
    assert [each["content"] for each in bough.json("show")["messages"]] == ["one", "three", "four"]
    assert not any(b'"two"' in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    answer = bough.json("purge", "main:1..main", "--yes")
    assert len(answer["messages"]) == 2
    assert (answer["branches"], answer["tags"]) == ([{"branch": "main", "number": 2}], [])
    assert answer["operation"] is not None
    assert bough.out("purge", "main..main", "--yes").endswith("Nothing to erase.\n")


def test_purge_tells_of_tags_and_other_wordings(bough: Bough) -> None:
    talk(bough)
    with ConversationBranchManager(store=str(bough.store)) as manager:
        manager.edit_message(0, {"role": "user", "content": "uno"})
    odd_tag(bough, "v\x1b1", "main")
    out = bough.out("purge", "main:1", "--yes")
    assert "Held by tags: v\\x1b1.\n" in out
    assert out.endswith("Erased 1 message.\nThe session still has 1 other wording of what was edited.\n")


def test_purge_without_a_terminal_needs_yes(bough: Bough) -> None:
    talk(bough)
    result = bough("purge", "main", code=2, input="y\n")
    assert result.stderr.startswith("error: nothing was erased: without a terminal to ask on, --yes is needed\n")
    assert bough.json("purge", "main", code=2)["error"]["type"] == "UsageError"
    assert bough.json("show")["branch"]["length"] == 4
    assert bough("purge", "nowhere", code=1).stderr.startswith("error: ")


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 3), (b"n\n", 1, 4), (b"\n", 1, 4)])
def test_purge_asks_on_a_terminal(files: Bough, answer: bytes, code: int, left: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "dumb", "BOUGH_STORE": str(files.store)}
    environment.pop("BOUGH_SESSION", None)
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    done = subprocess.run(
        [sys.executable, "-c", "from bough.cli import run; run()", "purge", "main"],
        env=environment,
        stdin=theirs,
        capture_output=True,
        timeout=60,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == code
    shown = done.stderr.decode()
    assert shown.startswith("  assistant four\nHeld by branches: main:4.\nErase for good? [y/N]: ")
    assert done.stdout == (b"Erased 1 message.\n" if code == 0 else b"")
    assert shown.endswith("Nothing was erased.\n") == bool(code)
    assert files.json("show")["branch"]["length"] == left


def test_purge_erases_what_it_showed_whatever_came_since(files: Bough) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "dumb", "BOUGH_STORE": str(files.store)}
    environment.pop("BOUGH_SESSION", None)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from bough.cli import run; run()", "purge", "main"]
    with subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        assert process.stderr is not None
        shown = b""
        while not shown.endswith(b"[y/N]: "):
            shown += process.stderr.read(1)
        files("add", "user", "five")
        os.write(ours, b"y\n")
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert out == b"Erased 1 message.\n"
    assert [each["content"] for each in files.json("show")["messages"]] == ["one", "two", "three", "five"]


def test_purge_shows_the_first_of_many(files: Bough) -> None:
    with ConversationBranchManager(store=files.store) as manager:
        manager.add_messages({"role": "user", "content": f"m{n}"} for n in range(30))
    lines = files.out("purge", "main:4..main", "--dry-run").splitlines()
    assert lines[19:22] == ["  user m19", "  · · 10 more", "Held by branches: main (from main:5 on)."]


# -- stats -------------------------------------------------------------------------------------------------------------


def test_stats_in_human_units(bough: Bough) -> None:
    talk(bough)
    bough("add", "--message", '{"role": "r\\u001b", "content": "%s"}' % ("x" * 100_000))
    lines = dict(line.split("  ", 1) for line in bough.out("stats").splitlines())
    told = {name.strip(): value.strip() for name, value in lines.items()}
    assert told == {
        "branches": "2",
        "tags": "0",
        "operations": "3",
        "messages": "6 (100.2 kB)",
        "in branches": "8, 25% of them shared",
        "saved by sharing": "67 bytes",
        "tool calls": "0",
        "role assistant": "2",
        "role r\\x1b": "1",
        "role user": "3",
    }
    answer = bough.json("stats")
    assert (answer["messages"], answer["copies"], answer["saved_bytes"], answer["shared"]) == (6, 8, 67, 0.25)
    assert answer["roles"] == {"assistant": 2, "r\x1b": 1, "user": 3}
    assert bough("stats", "--session", "none", code=1).stderr.startswith("error: no session 'none'\n")


def test_stats_shows_a_bar_on_a_terminal_only(files: Bough) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "TERM": "xterm", "BOUGH_STORE": str(files.store)}
    environment.pop("BOUGH_SESSION", None)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from bough.cli import run; run()", "stats"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:  # how Linux says that the other side is closed
            pass
        out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert b"Reading" in shown
    assert b"Reading" not in out
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (out, b"")


# -- completion --------------------------------------------------------------------------------------------------------


def completed(bough: Bough, line: str) -> list[str]:
    env = {"_BOUGH_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    return [item.partition(",")[2] for item in bough.out(env=env).splitlines() if item]


def test_branches_are_completed_wherever_one_is_meant(bough: Bough) -> None:
    import click

    from bough.cli import cli

    talk(bough)
    context = click.Context(cli)
    seen = set()
    for name in (name for names in SECTIONS.values() for name in names):
        command = cli.get_command(context, name)
        assert command is not None
        nested = list(command.commands.items()) if isinstance(command, click.Group) else []
        for path, each in [(name, command), *((f"{name} {inner}", each) for inner, each in nested)]:
            arguments = [param for param in each.params if isinstance(param, click.Argument)]
            for at, param in enumerate(arguments):
                if param.name in {"branch", "revision", "revisions", "source"}:
                    assert "ideas" in completed(bough, f"bough {path} {'x ' * at}id"), path
                    seen.add(path)
    assert {"describe", "check", "purge", "switch", "merge", "delete"} <= seen


def test_sessions_are_completed(bough: Bough) -> None:
    talk(bough)
    bough("add", "user", "x", "--session", "trip")
    assert completed(bough, "bough --session t") == ["trip"]
    assert sorted(completed(bough, "bough log --session ")) == ["default", "trip"]
    assert completed(bough, "bough sessions delete de") == ["default"]
    assert completed(bough, f"bough --store {bough.store}-other --session ") == []
