"""Runs the command line in this process, on a store of the test's own."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from bough import ConversationBranchManager, codec
from bough.attributes import Tag, with_tag
from bough.changes import change
from bough.cli import cli


class Bough:
    """``bough("log", "-n", "1")`` runs the command; what is asked for and does not hold fails the test."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.runner = CliRunner()
        self.env: dict[str, str | None] = {"COLUMNS": "100", "BOUGH_STORE": str(store), "BOUGH_SESSION": None}

    def __call__(self, *args: str, code: int = 0, **options: Any) -> Result:
        options["env"] = {**self.env, **options.get("env", {})}
        result = self.runner.invoke(cli, list(args), **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def out(self, *args: str, **options: Any) -> str:
        result = self(*args, **options)
        assert result.stderr == ""
        return result.stdout

    def json(self, *args: str, **options: Any) -> dict[str, Any]:
        out = self.out(*args, "--json", **options)
        assert out.endswith("\n")
        assert out.count("\n") == 1
        answer: dict[str, Any] = json.loads(out)
        assert answer["bough"] == 1
        return answer


def console(text: str) -> list[tuple[str, str]]:
    """The commands in the ``console`` blocks of a document, and what it shows below each."""
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        before, *parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
        assert before == "", "a block begins with a command"
        steps += [(line, shown) for line, _, shown in (part.partition("\n") for part in parts)]
    return steps


def play(bough: Bough, text: str) -> int:
    """Runs what the ``console`` blocks show and holds what comes against what is shown. How many commands there were.

    Character by character, but that other times, people and ids come than a document can show: a time stands for a
    time, ``ana@laptop`` for somebody (then columns may be wider), the beginning of an id for one that is the same in
    the whole document. What ends with ``error:`` or with problems ends with 1.
    """
    steps = console(text)
    ids: dict[str, str] = {}
    for line, shown in steps:
        name, *args = shlex.split(line)
        if name == "export":
            assert shown == ""
            bough.env |= dict(arg.split("=", 1) for arg in args)
            continue
        assert name == "bough"
        fails = re.search(r"^(error: |\d+ problems?\.$)", shown, re.MULTILINE) is not None
        output = bough(*args, code=int(fails)).output
        found = re.fullmatch(_pattern(shown, ids), output)
        assert found is not None, f"$ {line}\n{output}\nThe document has:\n{shown}"
        ids |= {group.removeprefix("id_"): real for group, real in found.groupdict().items()}
        assert len(set(ids.values())) == len(ids), ids
    return len(steps)


_STANDS_FOR = re.compile(
    r"(?P<id>\b[0-9a-f]{4}(?=\.\d))|(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d)|ana@laptop(?P<pid> \(\d+\))?|(?P<gap> {2,})"
)


def _pattern(shown: str, ids: Mapping[str, str]) -> str:
    met = {id_: f"{real}[0-9a-f]*" for id_, real in ids.items()}  # where another begins so too, it is shown longer
    parts, end = [], 0
    for token in _STANDS_FOR.finditer(shown):
        parts.append(re.escape(shown[end : token.start()]))
        end = token.end()
        if id_ := token["id"]:
            parts.append(met.get(id_, f"(?P<id_{id_}>[0-9a-f]{{4,32}})"))
            met.setdefault(id_, f"(?P=id_{id_})")
        elif token["time"]:
            parts.append(r"\d{4}-\d\d-\d\d \d\d:\d\d")
        elif token["gap"]:
            parts.append(" {2,}" if "ana@laptop" in shown else token["gap"])
        else:
            parts.append(r"\S+" + (r" \(\d+\)" if token["pid"] else ""))
    return "".join(parts) + re.escape(shown[end:])


def odd_tag(bough: Bough, name: str, revision: str) -> None:
    """A tag of a name that ``tag`` refuses, as a session from elsewhere may have it."""
    with ConversationBranchManager(store=str(bough.store)) as manager:
        found = manager.resolve(revision)
        tag = Tag(name=name, history=found.history, edits=found.edits, branch_id=found.branch_id, at=codec.now())
        state = manager.store.load(manager.session_id)
        wanted, last = with_tag(state.attributes, tag), state.last_operation
        tagged = change("tag", attributes=wanted, detail={"tag": name}, after_operation=last)
        manager.store.commit(manager.session_id, tagged)


def without_ids(text: str) -> str:
    """What ``log`` says, less the ids of messages, which are others each time."""
    return re.sub(r" [0-9a-f]{4,32}\.\d+(?= )", "", text)


def talk(bough: Bough) -> None:
    """main with four messages, and a branch ``ideas`` from its second with one of its own; main is current."""
    for role, text in (("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")):
        bough("add", role, text)
    bough("fork", "ideas", "--at", "2")
    bough("add", "user", "another three")
    bough("switch", "main")
