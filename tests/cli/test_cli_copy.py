"""``bough copy`` and the commands on sessions as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_kit import Bough, talk

from bough import ConversationBranchManager


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    bough = Bough(tmp_path / "store")
    talk(bough)
    bough("add", "user", "elsewhere", "--session", "other")
    return bough


def shown(bough: Bough, session: str = "default") -> list[object]:
    answer = bough.json("log", "--all", "--session", session)
    return [answer["head"], answer["messages"], bough.json("branch", "--session", session)["branches"]]


@pytest.mark.parametrize("url", ["backup", "json:backup", "sqlite:backup.db"])
def test_all_sessions_there_and_back(bough: Bough, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert bough.out("copy", "--to", url).splitlines()[1] == "New: 4 operations, 6 messages. Compared: 6 messages."
    answer = bough.json("copy", "--to", url)
    assert [(each["session"], each["copy"], each["messages"], each["verified"]) for each in answer["sessions"]] == [
        ("default", "default", 0, 5),
        ("other", "other", 0, 1),
    ]
    assert answer["failed"] == []
    bough("copy", "--from", url, "--to", "again")
    again = Bough(tmp_path / "again")
    for session in ("default", "other"):
        assert shown(again, session) == shown(bough, session)
    bough("add", "user", "five")
    assert bough.json("copy", "--to", url)["sessions"][0]["messages"] == 1


def test_which_sessions(bough: Bough, tmp_path: Path) -> None:
    to = str(tmp_path / "to")
    copied = [
        [each["session"] for each in bough.json("copy", "--to", to, *args)["sessions"]]
        for args in (["other"], ["--session", "other"], ["--session", "other", "--all"], ["other", "default"], [])
    ]
    assert copied == [["other"], ["other"], ["default", "other"], ["other", "default"], ["default", "other"]]
    assert bough.json("copy", "--to", to, "nobody", code=1)["error"]["type"] == "SessionNotFoundError"
    assert bough.json("copy", "--to", to, "--as", "x", code=2)["error"]["type"] == "UsageError"
    error = bough.json("copy", "--from", str(tmp_path / "nowhere"), "--to", to, code=1)["error"]
    assert error["message"] == f"json:{tmp_path / 'nowhere'} has no sessions to copy"
    (tmp_path / "link").symlink_to(bough.store)
    assert bough.json("copy", "--to", str(tmp_path / "link"), code=1)["error"]["type"] == "InvalidRequestError"
    assert bough.json("copy", "other", code=2)["error"]["type"] == "UsageError"
    assert bough.json("copy", "--to", str(bough.store), code=1)["error"]["type"] == "InvalidRequestError"


def test_a_copy_in_the_same_store(bough: Bough) -> None:
    assert bough.json("copy", "default", "--as", "twin")["sessions"][0]["copy"] == "twin"
    assert shown(bough, "twin") == shown(bough)
    bough("add", "user", "of the twin", "--session", "twin")
    assert len(shown(bough)[1]) == 5  # type: ignore[arg-type]


def test_one_that_went_its_own_way_does_not_stop_the_others(bough: Bough, tmp_path: Path) -> None:
    to = tmp_path / "to"
    bough("copy", "--to", str(to))
    Bough(to)("add", "user", "mine")
    bough("add", "user", "more", "--session", "other")
    result = bough("copy", "--to", str(to), code=3)
    assert result.stderr.startswith("warning: branch 'main' of session 'default' has 1 message that the source has not")
    assert "--as ID" in result.stderr
    assert result.stdout.startswith("Copied 1 session to ")
    bough("add", "user", "still more", "--session", "other")
    answer = bough.json("copy", "--to", str(to), code=3)
    assert [each["session"] for each in answer["sessions"]] == ["other"]
    assert [(each["session"], each["type"]) for each in answer["failed"]] == [("default", "BranchMovedError")]
    assert "hint: copy under another id" in bough("copy", "--to", str(to), "default", code=3).stderr
    bough("copy", "--to", str(to), "default", "--as", "apart")
    assert shown(Bough(to), "apart") == shown(bough)


def test_sessions_are_renamed_deleted_and_restored(bough: Bough) -> None:
    before = shown(bough)
    assert bough.out("sessions", "rename", "default", "trip") == "Session default is trip now.\n"
    assert shown(bough, "trip") == before
    assert "is kept as trip@" in bough.out("sessions", "delete", "trip")
    assert bough.json("sessions", "delete", "trip", code=1)["error"]["type"] == "SessionNotFoundError"
    [kept] = bough.json("sessions", "--deleted")["deleted"]
    assert bough.out("sessions", "--deleted") == f"{kept}\n"
    assert bough.json("sessions", "rename", kept, "x", code=1)["error"]["type"] == "SessionNotFoundError"
    assert [each["id"] for each in bough.json("sessions")["sessions"]] == ["other"]
    bough("add", "user", "a new one", "--session", "trip")
    assert bough.json("sessions", "restore", "trip", code=1)["error"]["type"] == "InvalidRequestError"
    assert bough.out("sessions", "restore", "trip", "--as", "journey") == "Session journey is back.\n"
    assert shown(bough, "journey") == before
    assert bough.out("sessions", "--deleted") == "No deleted sessions.\n"
    assert "--deleted" in bough("sessions", "restore", "trip", code=1).stderr
    assert bough.json("sessions", "rename", "nobody", "x", code=1)["error"]["type"] == "SessionNotFoundError"
    bough("sessions", "--deleted", "rename", "journey", "x", code=2)


def test_restoring_by_the_old_id_takes_the_one_deleted_last(bough: Bough) -> None:
    bough("sessions", "delete", "default")
    bough("add", "user", "a new one")
    kept = bough.json("sessions", "delete", "default")["kept_as"]
    answer = bough.json("sessions", "restore", "default")
    assert (answer["from"], answer["restored"]) == (kept, "default")
    with ConversationBranchManager(store=bough.store) as manager:
        assert [each["content"] for each in manager.get_messages()] == ["a new one"]
    [first] = bough.json("sessions", "--deleted")["deleted"]
    assert bough.json("sessions", "restore", first, "--as", "first")["restored"] == "first"
    assert len(shown(bough, "first")[1]) == 5  # type: ignore[arg-type]
