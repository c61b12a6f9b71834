"""What two histories have in common is what git finds: the same forks and appends, replayed as commits."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bough import history
from bough.model import History, Piece

GIT = shutil.which("git")
pytestmark = pytest.mark.skipif(GIT is None, reason="no git")

steps = st.lists(
    st.tuples(st.just("append"), st.integers(0, 9), st.integers(1, 3))
    | st.tuples(st.just("fork"), st.integers(0, 9), st.integers(0, 12)),
    min_size=1,
    max_size=14,
)


def grow(script: list[tuple[str, int, int]]) -> list[History]:
    """Branches: number 0 is there with one message; each step appends some, or forks at an index, to some branch."""
    branches: list[History] = [(Piece("0", 0, 1),)]
    written = [1]
    for verb, which, amount in script:
        number = which % len(branches)
        pieces = branches[number]
        if verb == "fork":
            branches.append(history.cut(pieces, 0, 1 + amount % history.length(pieces)))
            written.append(0)
        else:
            stop = written[number] + amount
            branches[number] = history.concat(pieces, (Piece(str(number), written[number], stop),))
            written[number] = stop
    return branches


def git(folder: Path, *arguments: str, standard_input: str = "") -> str:
    nowhere = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    people = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        [GIT or "git", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"} | nowhere | people,
        input=standard_input,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def commits(branches: list[History]) -> str:
    """For ``git fast-import``: one commit a message, its parent the message before it, its text the identity."""
    marks: dict[tuple[str, int], int] = {}
    out: list[str] = []
    for number, pieces in enumerate(branches):
        parent = 0
        for message in [history.identity(pieces, index) for index in range(history.length(pieces))]:
            if message not in marks:
                marks[message] = len(marks) + 1
                text = f"{message[0]} {message[1]}"
                out.append(f"commit refs/heads/made\nmark :{marks[message]}\ncommitter a <a@b> 1700000000 +0000")
                out.append(f"data {len(text)}\n{text}")
                out.append(f"from :{parent}\n" if parent else "")
                out.append("reset refs/heads/made\n")
            parent = marks[message]
        out.append(f"reset refs/heads/b{number}\nfrom :{parent}\n")
    return "\n".join(out) + "\n"


@settings(max_examples=25)
@given(steps)
def test_the_common_beginning_ends_at_the_merge_base(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[str, int, int]]
) -> None:
    branches = grow(script)
    folder = tmp_path_factory.mktemp("git")
    git(folder, "init", "--quiet", "--bare", ".")
    git(folder, "fast-import", "--quiet", "--force", standard_input=commits(branches))
    refs = git(folder, "for-each-ref", "--format=%(refname:short) %(contents:subject)", "refs/heads/b*").splitlines()
    assert len(refs) == len(branches)
    for number, pieces in enumerate(branches[1:], 1):
        base = git(folder, "merge-base", "b0", f"b{number}").strip()
        said = git(folder, "show", "--no-patch", "--format=%s", base).split()
        shared = history.common_prefix(branches[0], pieces)
        segment, position = history.identity(shared, history.length(shared) - 1)
        assert said == [segment, str(position)]
