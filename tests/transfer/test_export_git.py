"""The stream for git, judged by git itself. Numbers cite the module's docstring."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from export_kit import branch, exported, hostile, memory, merged, odd_tag, say, written
from hypothesis import given
from hypothesis import strategies as st

from bough.manager import ConversationBranchManager
from bough.model import replace
from bough.transfer.export import EXPORTS, Redactor, redacted
from bough.transfer.export.git import ref_names
from bough.transfer.export.talk import Merge
from bough.transfer.export.tree import identities

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")

EPOCH = datetime.fromtimestamp(0, UTC)

Git = Callable[..., str]


def repository(path: Path, stream: bytes) -> Git:
    """A new repository with the stream in it, which git finds nothing wrong with."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(path)], check=True, capture_output=True, timeout=60)

    def git(*args: str, stdin: bytes = b"") -> str:
        done = subprocess.run(["git", "-C", str(path), *args], input=stdin, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return (done.stdout + (done.stderr if args[0] == "fsck" else b"")).decode()

    git("fast-import", "--quiet", stdin=stream)
    told = git("fsck", "--strict", "--full").splitlines()
    assert [line for line in told if not line.startswith("notice: ")] == []  # that there is no main
    return git


def commits(git: Git, ref: str) -> list[tuple[str, list[str], str]]:
    """From the first to the last along first parents: hash, parents, and the message's identity or the subject."""
    form = "%H%x00%P%x00%s%x00%(trailers:key=Bough-Message,valueonly,separator=)"
    lines = git("log", "--first-parent", "--reverse", f"--format={form}", ref).splitlines()
    rows = [line.split("\0") for line in lines]
    return [(name, parents.split(), identity or subject) for name, parents, subject, identity in rows]


def names_of(manager: ConversationBranchManager, name: str) -> list[str]:
    pieces = manager.resolve(name).history
    return [f"{segment}.{position}" for segment, position in identities(pieces)]


@needs_git
def test_parents_are_those_of_the_tree(tmp_path: Path) -> None:
    """1, 2: five branches and two merges."""
    manager = merged()
    git = repository(tmp_path / "talk", written("git", manager))
    assert git("for-each-ref", "--format=%(refname)").split() == [
        *(f"refs/heads/{name}" for name in ("after", "idea", "late", "main", "side")),
        "refs/tags/v1",
    ]
    lines = {name: commits(git, name) for name in ("main", "idea", "side", "late", "after")}
    for name, line in lines.items():
        said = [what for _, _, what in line if not what.startswith("Merge ")]
        assert said == names_of(manager, name)
        for before, (_, parents, _) in zip([None, *line], line, strict=False):
            assert parents[:1] == ([] if before is None else [before[0]])
    tips = {name: line[-1][0] for name, line in lines.items()}
    merges = {
        name: [(what, parents[1:]) for _, parents, what in line if len(parents) > 1] for name, line in lines.items()
    }
    into_main = ("Merge idea into main", [tips["idea"]])
    assert merges == {
        "main": [into_main],
        "after": [into_main],
        "idea": [],
        "side": [],
        "late": [("Merge main into late", [tips["main"]])],
    }
    assert [what for _, _, what in lines["main"]][6] == "Merge idea into main"  # behind what it brought
    assert lines["after"][:8] == lines["main"][:8]  # shared messages are shared commits, merges too
    assert lines["side"][0] == lines["idea"][0] == lines["main"][0]
    assert git("rev-parse", "v1^{commit}").strip() == tips["idea"]
    assert git("cat-file", "-t", "v1").strip() == "tag"
    different = {what for line in lines.values() for _, _, what in line}
    count = int(git("rev-list", "--all", "--count"))
    assert count == len({name for line in lines.values() for name, _, _ in line}) > len(different)


@needs_git
def test_a_checkout_is_the_conversation(tmp_path: Path) -> None:
    manager = memory()
    manager.add_messages([{"role": "user", "content": "Hello\nworld", "n": 2**70}, {"role": 'as"s/i\nst', "x": 5.0}])
    git = repository(tmp_path / "talk", written("git", manager))
    git("checkout", "-q", "main")
    files = sorted(path for path in (tmp_path / "talk").glob("*/*/*.json"))
    assert [str(path.relative_to(tmp_path / "talk")) for path in files] == [
        "00/00/000001-user.json",
        "00/00/000002-as-s-i-st.json",
    ]
    assert [json.loads(path.read_text()) for path in files] == manager.get_messages()
    assert git("log", "--reverse", "--format=%an <%ae> %s").splitlines() == [
        "user <user@bough.invalid> user: Hello",
        'as"s/i st <as-s-i-st@bough.invalid> as"s/i st: [{"role":"as\\"s/i\\nst","x":5.0}]',
    ]
    assert "world" in git("log", "main~1", "--format=%b")


@needs_git
def test_again_gives_the_same_hashes_and_a_grown_one_keeps_the_old(tmp_path: Path) -> None:
    """3"""
    manager = merged()
    first = written("git", manager)
    assert first == written("git", manager)
    old = repository(tmp_path / "old", first)("rev-list", "--all").split()
    manager.add_messages(say("more"))
    branch(manager, "new", 3, "and more")
    stream = written("git", manager)
    new = repository(tmp_path / "new", stream)("rev-list", "--all").split()
    assert len(set(new) - set(old)) == 2
    assert set(old) <= set(new)
    grown = subprocess.run(
        ["git", "-C", str(tmp_path / "old"), "fast-import", "--quiet"], input=stream, capture_output=True, timeout=60
    )
    assert grown.returncode == 0, grown.stderr


@needs_git
def test_no_message_drives_a_terminal(tmp_path: Path) -> None:
    """In the body as escapes that people can read; in the tree the message is exact all the same."""
    manager = memory()
    said = "one\r\ntwo\t\u001b]0;title\u0007 \r \u0000 \u007f \u009b2J \u202etxt.exe\u2069 \u2028 אב é"
    manager.add_messages([{"role": "user", "content": said, "\u009b": 1}])
    git = repository(tmp_path / "talk", written("git", manager))
    shown = git("log", "-p", "main")
    assert set(shown) & set("\u001b\u0007\u0000\u007f\u009b\u202e\u2069\u2028\r") == set()
    assert "\\x1b]0;title\\x07 \\r \\x00 \\x7f \\x9b2J \\u202etxt.exe\\u2069 \\u2028 אב é\n" in shown
    assert [json.loads(git("show", "main:00/00/000001-user.json"))] == manager.get_messages()


@needs_git
def test_a_torn_stream_is_refused(tmp_path: Path) -> None:
    """4"""
    stream = written("git", merged())
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, timeout=60)
    for cut in (stream[: -len(b"done\n")], stream[: stream.rindex(b"reset ")]):
        done = subprocess.run(["git", "-C", str(tmp_path), "fast-import"], input=cut, capture_output=True, timeout=60)
        assert done.returncode != 0


@needs_git
def test_whatever_messages_and_names_hold(tmp_path: Path) -> None:
    manager = memory()
    for number, text in enumerate(hostile()):
        manager.add_messages([{"role": text, "content": text}, {"role": "user", "content": [{"type": "text"}]}])
        branch(manager, text.replace("\0", ""), 2, text)
        odd_tag(manager, f"{number}{text}".replace("\0", ""))
    manager.add_messages(
        [
            {"role": "", "metadata": {"time": "1600-01-01T00:00:00Z"}},
            {"role": "<>", "content": "\n\n", "metadata": {"time": "9999-12-31T23:59:59Z"}},
            {"content": None},
            {},
        ]
    )
    git = repository(tmp_path / "talk", written("git", manager))
    assert len(git("for-each-ref", "refs/heads").splitlines()) == 11
    assert len(git("for-each-ref", "refs/tags").splitlines()) == 10


@needs_git
def test_sources_that_are_gone_are_there_with_all_and_not_without(tmp_path: Path) -> None:
    manager = merged()
    manager.untag("v1")
    manager.delete_branch("idea")
    everything = repository(tmp_path / "all", written("git", manager))
    assert [what for _, parents, what in commits(everything, "main") if len(parents) > 1] == ["Merge idea into main"]
    one = repository(tmp_path / "one", written("git", manager, "main"))
    assert [parents for _, parents, _ in commits(one, "main") if len(parents) > 1] == []
    assert int(one("rev-list", "--all", "--count")) == len(manager.get_messages("main"))


@needs_git
def test_several_beginnings_and_branches_without_messages(tmp_path: Path) -> None:
    manager = memory()
    manager.create_branch("empty", "empty")
    for name in ("a", "b"):
        manager.create_branch(name, name)
        manager.checkout(name)
        manager.add_messages(say(name, name))
    git = repository(tmp_path / "talk", written("git", manager))
    assert git("for-each-ref", "--format=%(refname:short)").split() == ["a", "b"]
    assert [len(commits(git, name)) for name in "ab"] == [2, 2]
    nothing = memory()
    assert repository(tmp_path / "nothing", written("git", nothing))("for-each-ref") == ""


@needs_git
def test_an_undone_merge_is_none_and_one_before_an_edit_stays(tmp_path: Path) -> None:
    manager = merged()
    manager.edit_message(0, {"role": "user", "content": "one, again"})
    git = repository(tmp_path / "edited", written("git", manager))
    assert [what for _, parents, what in commits(git, "main") if len(parents) > 1] == ["Merge idea into main"]
    manager = memory()
    manager.add_messages(say("a", "b"))
    branch(manager, "side", 1, "s")
    manager.merge("side")
    manager.undo()
    git = repository(tmp_path / "undone", written("git", manager))
    assert [parents for _, parents, _ in commits(git, "main") if len(parents) > 1] == []


@needs_git
def test_merges_back_and_forth_and_replacing(tmp_path: Path) -> None:
    manager = memory()
    manager.add_messages(say("a", "b"))
    branch(manager, "side", 1, "s")
    for number in range(3):
        manager.merge("side")
        manager.add_messages(say(f"m{number}"))
        manager.checkout("side")
        manager.merge("main")
        manager.add_messages(say(f"s{number}"))
        manager.checkout("main")
    branch(manager, "other", 2, "o")
    manager.merge("other", "replace")
    manager.merge("side", "interleave")
    git = repository(tmp_path / "talk", written("git", manager))
    for name in ("main", "side", "other"):
        line = commits(git, name)
        assert [what for _, _, what in line if not what.startswith("Merge ")] == names_of(manager, name)
    assert sum(what.startswith("Merge ") for _, _, what in commits(git, "side")) == 3


@needs_git
def test_a_merge_that_only_moves_along_is_none(tmp_path: Path) -> None:
    """2"""
    manager = memory()
    manager.add_messages(say("a"))
    branch(manager, "side", 1, "s")
    manager.merge("side")
    manager.add_messages(say("b"))
    git = repository(tmp_path / "talk", written("git", manager))
    assert [len(commits(git, name)) for name in ("main", "side")] == [3, 2]
    assert int(git("rev-list", "--all", "--count")) == 3


def test_times_are_those_of_messages_or_of_the_beginning() -> None:
    """3"""
    manager = memory()
    manager.add_messages([*say("a"), {"role": "user", "metadata": {"time": "2020-01-01T00:00:00Z"}}])
    talk = exported(manager)
    [record] = talk.branches
    times = []
    for days in (0, 1):
        changed = replace(record, created_at=EPOCH + timedelta(days=2), updated_at=EPOCH + timedelta(days=3 + days))
        stream = b"".join(EXPORTS["git"].write(replace(talk, branches=(changed,))))
        times.append(re.findall(rb"^author .*> (\d+) \+0000$", stream, re.MULTILINE))
    assert times == [[b"172800", b"1577836800"]] * 2


@needs_git
def test_merges_that_need_one_another_do_not_hang(tmp_path: Path) -> None:
    """No log says so; a damaged one might."""
    manager = memory()
    manager.add_messages(say("a"))
    manager.create_branch("other", "other")
    manager.checkout("other")
    manager.add_messages(say("b"))
    mine, other = (manager.resolve(name).history for name in ("main", "other"))
    about: dict[str, Any] = {"at": EPOCH, "strategy": "append", "source": "x", "target": "y"}
    circle = (
        Merge(number=1, brought=other, before=(), after=mine, **about),
        Merge(number=2, brought=mine, before=(), after=other, **about),
    )
    talk = replace(exported(manager), merges=circle)
    git = repository(tmp_path / "talk", b"".join(EXPORTS["git"].write(talk)))
    assert sorted(len(commits(git, name)) for name in ("main", "other")) == [1, 2]


@needs_git
def test_redacted(tmp_path: Path) -> None:
    manager = merged()
    manager.add_messages(say("write to alice@example.org"))
    stream = b"".join(EXPORTS["git"].write(redacted(exported(manager), Redactor())))
    assert b"alice" not in stream
    repository(tmp_path / "talk", stream)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), unique=True, max_size=8))
def test_names_are_names_of_refs(names: list[str]) -> None:
    check_names(names)


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a/b", "a/b/c", "A", "a-2"],
        ["x/y", "x"],
        ["HEAD", "@", "-", "/", ".", "..", "...", ".lock", "a.lock", "a.lock.lock", "a..b", "a//b", "a/.b", "b.", "-x"],
        ["é" * 250, "é" * 251, "[", "]", "a b", "a\x7f", "@{", "a@{1}", "~^:?*\\"],
    ],
)
def test_names_that_git_refuses(names: list[str]) -> None:
    check_names(names)


def check_names(names: Sequence[str]) -> None:
    found = ref_names(names)
    assert list(found) == list(names)
    made = [name.casefold() for name in found.values()]
    assert len(set(made)) == len(made)
    assert not any(one.startswith(f"{other}/") for one in made for other in made)
    for name in found.values():
        assert name not in ("HEAD", "@")
        assert not name.startswith("-")
        assert not set(name) & {" ", "~", "^", ":", "?", "*", "[", "\\", "\x7f"}
        assert "@{" not in name
        assert ".." not in name
        assert min(name) > " "
        for part in name.split("/"):
            assert part
            assert not part.startswith(".")
            assert not part.endswith((".", ".lock"))
            assert len(part.encode()) < 230
