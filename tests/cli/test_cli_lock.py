"""``bough lock`` with real processes: holders that are killed, programs that are signalled, files that others left."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest
from cli_kit import Bough

from bough import ConversationBranchManager, SessionLock
from bough.lock import inspection, record

ROOT = Path(__file__).parents[2]
BOUGH = [sys.executable, "-W", "error", "-c", "from bough.cli import run; run()"]
HERE = socket.gethostname()
HOLD = "print('in', flush=True); input()"
LEFT = {"session.lock.guard"}


@pytest.fixture
def bough(tmp_path: Path) -> Bough:
    return Bough(tmp_path / "store")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """What is locked, alone in a folder of its own."""
    folder = tmp_path / "locked"
    folder.mkdir()
    return folder / "session"


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BOUGH")}
    return {**kept, "PYTHONPATH": str(ROOT / "src")}


@contextmanager
def started(*command: str | Path, pass_fds: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes; it and what it started are killed at the end, or after two minutes, whatever they do."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        pass_fds=pass_fds,
        start_new_session=True,
    )

    def end() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    limit = threading.Timer(120, end)
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        end()
        process.communicate()


def running(path: Path, code: str, *options: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """``bough lock run`` with a Python program."""
    return started(*BOUGH, "lock", "run", path, *options, "--", sys.executable, "-c", code)


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def say(process: subprocess.Popen[str], text: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BOUGH, "lock", *args], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


def leave(path: Path, content: bytes | dict[str, object], *, age: float = 0) -> Path:
    """A lock file as a program that keeps no kernel lock leaves it, last written ``age`` seconds ago."""
    file = path.with_name("session.lock")
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    os.utime(file, (time.time() - age, time.time() - age))
    return file


def entry(pid: int, *, age: float = 0, host: str = HERE) -> dict[str, object]:
    return {"pid": pid, "timestamp": int((time.time() - age) * 1000), "hostname": host}


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


# -- status --------------------------------------------------------------------------------------------------------


def test_no_lock_is_free_and_looking_leaves_no_trace(bough: Bough, path: Path) -> None:
    assert bough.out("lock", "status", str(path)) == f"{path}.lock: free, there is no lock file\n"
    answer = bough.json("lock", "status", f"{path}.lock")
    assert answer == {
        "bough": 1,
        "command": "lock status",
        "path": str(path),
        "file": f"{path}.lock",
        "state": "free",
        "reason": "there is no lock file",
        "holder": None,
        "since": None,
        "token": None,
        "warnings": [],
    }
    assert names(path) == set()


@pytest.mark.parametrize("args", [("status",), ("break",), ("break", "--force")])
def test_answers_have_the_documented_shape(bough: Bough, path: Path, args: tuple[str, ...]) -> None:
    leave(path, entry(1, host="elsewhere", age=70))
    answer = bough.json("lock", *args, str(path))
    documented = (ROOT / "docs/json-output.md").read_text()
    [row] = re.findall(rf"^\| `lock {args[0]}` .*$", documented, re.MULTILINE)
    assert answer.keys() - {"bough", "command", "warnings"} <= set(re.findall(r"`(\w+)`", row))
    assert answer["holder"].keys() == {"pid", "hostname", "timestamp"}


def test_a_live_holder_is_shown_with_process_time_and_token(bough: Bough, path: Path) -> None:
    before = time.time_ns() // 1000
    with running(path, HOLD) as holder:
        assert hear(holder) == "in"
        seen = bough.json("lock", "status", str(path))
        assert (seen["state"], seen["reason"]) == ("live", "its holder keeps the kernel lock on it")
        assert (seen["holder"]["pid"], seen["holder"]["hostname"]) == (holder.pid, HERE)
        assert before <= seen["token"] <= time.time_ns() // 1000
        assert abs(record.now_ms() - seen["holder"]["timestamp"]) < 60_000
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", seen["since"])
        lines = bough.out("lock", "status", str(path)).splitlines()
        assert lines[0] == f"{path}.lock: live, its holder keeps the kernel lock on it"
        assert lines[1] == f"  holder  process {holder.pid} on {HERE}"
        assert lines[3] == f"  token   {seen['token']}"
        say(holder)
        assert holder.wait(timeout=60) == 0
    assert bough.json("lock", "status", str(path))["state"] == "free"
    assert names(path) == LEFT


def test_a_killed_holder_is_stale_and_break_tidies_up(bough: Bough, path: Path) -> None:
    with running(path, HOLD) as holder:
        assert hear(holder) == "in"
        holder.kill()
        holder.wait()
        seen = bough.json("lock", "status", str(path))
        assert (seen["state"], seen["reason"]) == ("stale", f"process {holder.pid} has ended")
        assert seen["token"] is None
        shown = bough.out("lock", "break", str(path)).splitlines()
        assert shown[0] == f"{path}.lock: stale, process {holder.pid} has ended"
        assert shown[-1] == f"Removed {path}.lock."
    assert names(path) == LEFT
    assert bough.out("lock", "break", str(path)).endswith("\nNothing was removed.\n")
    assert bough.json("lock", "break", str(path))["removed"] is False


@pytest.mark.parametrize(
    ("content", "age", "state", "reason"),
    [
        (entry(1, host="elsewhere"), 0, "live", "a process of another host cannot be looked for, and it was written"),
        (entry(1, host="elsewhere", age=70), 0, "stale", "more than 60 s count as left behind"),
        (b'{"pid": 12, "time', 5, "corrupt", "it is torn"),
        (b"\0" * 60, 5, "corrupt", "it is torn"),
        (b"", 5, "empty", "it is empty"),
        (b"", 0, "empty", "it is empty"),
        (b"", -1000, "empty", "it is empty"),
        (b"metadata = 1\n", 5, "corrupt", "it holds something else"),
    ],
)
def test_what_others_left_is_judged_as_the_lock_judges_it(
    bough: Bough, path: Path, content: bytes | dict[str, object], age: float, state: str, reason: str
) -> None:
    file = leave(path, content, age=age)
    if isinstance(content, dict) and state == "live":
        file.write_text(json.dumps({**content, "timestamp": record.now_ms()}))  # the parameters are made early
    left = file.read_bytes()
    seen = bough.json("lock", "status", str(path))
    assert (seen["state"], seen["token"]) == (state, None)
    assert reason in seen["reason"]
    assert file.read_bytes() == left
    assert names(path) == {"session.lock"}
    lock = SessionLock(path)
    assert lock.acquire() is (state != "live")
    lock.release()


def test_a_process_number_that_is_used_again_is_seen(bough: Bough, path: Path) -> None:
    with started(sys.executable, "-c", HOLD) as stranger:
        assert hear(stranger) == "in"
        leave(path, entry(stranger.pid, age=50))
        seen = bough.json("lock", "status", str(path))
        assert seen["state"] == "stale"
        assert seen["reason"] == f"its process has ended; the number {stranger.pid} is another's by now"


def test_since_is_when_the_hold_began_not_the_last_heartbeat(bough: Bough, path: Path) -> None:
    lock = SessionLock(path, heartbeat=0.01)
    assert lock.acquire()
    until = time.monotonic() + 60
    while (seen := bough.json("lock", "status", str(path)))["holder"]["timestamp"] < (lock.token or 0) // 1000 + 50:
        assert time.monotonic() < until
    began = datetime.fromisoformat(seen["since"]).timestamp() * 1000
    assert round(began) == seen["token"] // 1000
    assert seen["token"] == lock.token
    lock.release()


def test_a_file_that_may_be_in_the_making_is_watched_for_a_while(path: Path) -> None:
    leave(path, b"", age=-1000)
    begin = time.monotonic()
    assert inspection.inspect_lock(path).state == "empty"
    assert time.monotonic() - begin >= record.SETTLE


def test_a_time_that_cannot_be_shown_is_left_out(bough: Bough, path: Path) -> None:
    leave(path, {"pid": 1, "timestamp": 10**17, "hostname": "else\x1bwhere"})
    seen = bough.json("lock", "status", str(path))
    assert (seen["since"], seen["holder"]["timestamp"]) == (None, 10**17)
    out = bough.out("lock", "status", str(path))
    assert "since" not in out
    assert "\x1b" not in out


def test_without_a_path_it_is_the_lock_of_the_session(bough: Bough, path: Path) -> None:
    bough("--session", "trip", "add", "user", "hello")
    with ConversationBranchManager("trip", store=bough.store) as manager, manager.lock():
        for args in (
            ("lock", "status", "--session", "trip"),
            ("--session", "trip", "lock", "status"),
            ("lock", "status"),
        ):
            seen = bough.json(*args, env={} if "--session" in args else {"BOUGH_SESSION": "trip"})
            assert (seen["session"], seen["state"], seen["holder"]["pid"]) == ("trip", "live", os.getpid())
        assert bough.json("lock", "status", str(path), env={"BOUGH_SESSION": "trip"})["state"] == "free"
    assert bough.json("lock", "status", "--session", "trip")["state"] == "free"
    assert bough("lock", "status", code=1).stderr.startswith("error: no session 'default'\n")
    for both in (
        ("lock", "status", str(path), "--session", "trip"),
        ("--session", "trip", "lock", "status", str(path)),
    ):
        assert "not both" in bough(*both, code=2).stderr


def test_a_folder_that_is_not_there_is_an_error(bough: Bough, path: Path) -> None:
    for args in (("status",), ("break",)):
        assert "the folder must exist" in bough("lock", *args, str(path / "nowhere"), code=1).stderr
    done = run("run", path / "nowhere", "--", "true")
    assert done.returncode == 1
    assert "the folder must exist" in done.stderr


# -- break ---------------------------------------------------------------------------------------------------------


def test_a_live_foreign_lock_is_removed_by_force_only(bough: Bough, path: Path) -> None:
    with started(sys.executable, "-c", HOLD) as other:
        assert hear(other) == "in"
        file = leave(path, entry(other.pid))
        left = file.read_bytes()
        result = bough("lock", "break", str(path), code=4)
        assert f"{path}.lock is held by process {other.pid} on {HERE}: process {other.pid} runs, and" in result.stderr
        assert "--force" in result.stderr
        detail = bough.json("lock", "break", str(path), code=4)["error"]
        assert (detail["type"], detail["holder"]["pid"]) == ("SessionLockedError", other.pid)
        assert file.read_bytes() == left
        answer = bough.json("lock", "break", str(path), "--force")
        assert (answer["state"], answer["removed"], answer["warnings"]) == ("live", True, [])
        assert names(path) == set()
        assert run("run", path, "--no-wait", "--", "true").returncode == 0


def test_a_lock_of_ours_that_is_broken_keeps_others_of_us_out(bough: Bough, path: Path) -> None:
    with running(path, HOLD) as holder:
        assert hear(holder) == "in"
        assert bough("lock", "break", str(path), code=4).stdout == ""
        assert "session.lock" in names(path)
        result = bough("lock", "break", str(path), "--force")
        assert result.stdout.endswith(f"Removed {path}.lock.\n")
        assert f"warning: {path} is not free yet" in result.stderr
        assert "session.lock" not in names(path)
        seen = bough.json("lock", "status", str(path))
        assert (seen["state"], seen["holder"]) == ("live", None)
        assert "fuser" in bough("lock", "break", str(path), "--force", code=4).stderr
        assert run("run", path, "--no-wait", "--", "true").returncode == 4
        say(holder)
        assert holder.wait(timeout=60) == 0
        assert holder.stderr is not None
        assert holder.stderr.read() == f"warning: {path}.lock was taken away while the command ran\n"
    assert bough.json("lock", "status", str(path))["state"] == "free"
    assert names(path) == LEFT


@pytest.mark.parametrize("content", [b"", b'{"pid": 12, "time', b"\0" * 60, b'{"pid": 1}', b"{"])
def test_an_empty_or_torn_lock_file_is_removed(bough: Bough, path: Path, content: bytes) -> None:
    leave(path, content, age=5)
    assert bough.json("lock", "break", str(path))["removed"] is True
    assert names(path) == LEFT


@pytest.mark.parametrize(
    "content", [b"[[package]]\n", b'{"version": 1}', b"4711\n", b'{"pid": ' + b" " * 2000, b'{"pid": 12' * 500]
)
def test_what_is_no_lock_file_is_left_by_break_and_by_run(bough: Bough, path: Path, content: bytes) -> None:
    file = leave(path, content, age=5)
    for args in (("break", path), ("break", "--force", file), ("run", path, "--", "true")):
        done = run(*args)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {file} is something else, not a lock file; it was left as it is\n")
    assert file.read_bytes() == content
    assert names(path) == {"session.lock"}


@pytest.mark.parametrize("kind", ["symlink", "folder", "hard link"])
def test_links_and_folders_are_left(bough: Bough, path: Path, kind: str) -> None:
    file, other = path.with_name("session.lock"), path.with_name("other")
    other.write_text(json.dumps(entry(1, host="elsewhere", age=70 if kind == "hard link" else 0)))
    if kind == "symlink":
        file.symlink_to(other)
    elif kind == "folder":
        file.mkdir()
    else:
        file.hardlink_to(other)
    for force in ((), ("--force",)):
        assert "left as it is" in bough("lock", "break", str(path), *force, code=1).stderr
        if kind == "hard link":  # the second time as a live one
            other.write_text(json.dumps(entry(1, host="elsewhere")))
    assert {"session.lock", "other"} <= names(path)
    assert other.read_text()


def test_a_record_that_took_the_place_of_the_judged_one_is_put_back(path: Path) -> None:
    file = leave(path, entry(1, host="elsewhere"))
    found = record.find(str(file), stale_after=60)
    assert found is not None
    file.unlink()
    newer = leave(path, entry(2, host="elsewhere")).read_bytes()
    assert inspection._remove(found) is False
    assert file.read_bytes() == newer
    assert names(path) == {"session.lock"}
    found.close()


# -- run -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -KILL $$"), 137),
        (("sh", "-c", "kill -TERM $$"), 143),
        (("no-such-command",), 127),
        (("/",), 126),
    ],
)
def test_the_exit_code_is_that_of_the_command(path: Path, command: tuple[str, ...], code: int) -> None:
    done = run("run", path, "--", *command)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: cannot run ") is (code in (126, 127))
    assert names(path) == LEFT


def test_the_command_has_stdin_stdout_and_stderr(path: Path) -> None:
    with started(*BOUGH, "lock", "run", f"{path}.lock", "sh", "--", "-c", "cat; echo oops >&2; ls") as process:
        out, err = process.communicate("hello\n", timeout=60)
    assert out.startswith("hello\n")
    assert err == "oops\n"


def test_usage_is_checked_before_anything_is_locked(path: Path) -> None:
    for args in (
        ("run", path),
        ("run", path, "--no-wait", "--timeout", "1", "--", "true"),
        ("run", path, "--timeout", "-1", "--", "true"),
        ("run", path, "--json", "--", "true"),
    ):
        assert run(*args).returncode == 2
    assert names(path) == set()


def test_one_waits_for_the_other_or_does_not(path: Path) -> None:
    log = path.with_name("log")
    code = f"open({str(log)!r}, 'a').write('second')"
    with running(path, HOLD + f"; open({str(log)!r}, 'a').write('first ')") as holder:
        assert hear(holder) == "in"
        for options in (("--no-wait",), ("--timeout", "0"), ("--timeout", "0.2")):
            done = run("run", path, *options, "--", "true")
            assert (done.returncode, done.stdout) == (4, "")
            assert f"error: {path} is locked by process {holder.pid} on {HERE}\n" in done.stderr
        with running(path, code) as patient, running(path, code, "--timeout", "60") as limited:
            say(holder)
            assert holder.wait(timeout=60) == 0
            assert patient.wait(timeout=60) == 0
            assert limited.wait(timeout=60) == 0
    assert log.read_text() == "first secondsecond"
    assert names(path) == {"log", *LEFT}


def test_the_json_of_the_command_is_its_own(path: Path) -> None:
    lock = SessionLock(path)
    assert lock.acquire()
    done = run("run", path, "--no-wait", "--", "jq", "--json")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: ")
    lock.release()


SIGNALLED = """
import signal, sys
def note(number, frame): print("got", number, flush=True)
for number in (1, 2, 3, 10, 12): signal.signal(number, note)
signal.signal(15, lambda *_: sys.exit(5))
print("in", flush=True)
while True: signal.pause()
"""


def test_signals_reach_the_command_and_its_end_releases(bough: Bough, path: Path) -> None:
    with running(path, SIGNALLED) as process:
        assert hear(process) == "in"
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            process.send_signal(number)
            assert hear(process) == f"got {number.value}"
        assert bough.json("lock", "status", str(path))["holder"]["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 5
    assert names(path) == LEFT


def test_a_signal_that_ends_the_command_releases(path: Path) -> None:
    with running(path, "import signal; signal.signal(2, signal.SIG_DFL); " + HOLD) as process:
        assert hear(process) == "in"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert names(path) == LEFT


def test_ctrl_c_in_a_terminal_reaches_the_command_once(path: Path) -> None:
    # A signal that is sent to bough alone comes after whatever it passed on before.
    counting = SIGNALLED.replace("signal.pause()", "signal.pause()\n").replace('"got", number', '"got", number, sep=""')
    terminal, theirs = pty.openpty()
    name = os.ttyname(theirs)
    command = (*BOUGH, "lock", "run", str(path), "--", sys.executable, "-c", counting)
    # The first terminal that the leader of a session opens is its own from then on.
    with started("sh", "-c", 'exec "$@" <"$0" >"$0"', name, *command) as process:
        heard = b""

        def wait_for(text: bytes) -> None:
            nonlocal heard
            while text not in heard:
                assert select.select([terminal], [], [], 60)[0]
                heard += os.read(terminal, 1000)

        wait_for(b"in\r\n")
        process.send_signal(signal.SIGSTOP)  # else what it passes on may come while the first is not yet handled
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        os.write(terminal, b"\x03")
        wait_for(b"got2\r\n")
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGUSR1)
        wait_for(b"got10\r\n")
        assert heard.count(b"got2") == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 5
    os.close(theirs)
    os.close(terminal)
    assert names(path) == LEFT


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="shows who waits for a kernel lock")
def test_ctrl_c_ends_the_wait(path: Path) -> None:
    lock = SessionLock(path)
    assert lock.acquire()
    with running(path, "") as process:
        waiting = re.compile(rf"-> FLOCK .* {process.pid} ")
        until = time.monotonic() + 60
        while not waiting.search(Path("/proc/locks").read_text()):
            assert time.monotonic() < until
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert lock.check()
    lock.release()


def test_what_was_ignored_stays_so_and_pipes_break_as_usual(path: Path) -> None:
    code = "import signal; print(*(signal.getsignal(n).name for n in (1, 13, 15, 17)))"
    # Python itself ignores SIGPIPE, so the mask of the program is read by a shell's child.
    shown = "grep -E 'SigIgn|SigBlk' /proc/self/status"
    command = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *BOUGH, "lock", "run", str(path), "--"]
    with started(*command, sys.executable, "-c", code) as process:
        assert process.communicate(timeout=60)[0] == "SIG_IGN SIG_IGN SIG_DFL SIG_DFL\n"
    with started(*command, "sh", "-c", shown) as process:
        out = process.communicate(timeout=60)[0]
    assert [int(line.split()[1], 16) for line in out.splitlines()] == [0, 1 << (signal.SIGHUP - 1)]


def test_open_files_are_passed_on_but_not_the_locks(path: Path) -> None:
    reading, writing = os.pipe()
    code = (
        "import os; os.write(%d, b'x'); print(*(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.exists(f'/proc/self/fd/{n}')))"
    )
    command = (*BOUGH, "lock", "run", str(path), "--", sys.executable, "-c", code % writing)
    with started(*command, pass_fds=(writing,)) as process:
        out = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert ".lock" not in out
    os.close(writing)
    assert os.read(reading, 10) == b"x"
    os.close(reading)


def test_help_has_examples_and_alone_it_is_the_help(bough: Bough) -> None:
    assert "Commands:\n  break " in bough.out("lock")
    for name in ("status", "run", "break"):
        assert f"\n  bough lock {name} " in bough.out("lock", name, "--help")
