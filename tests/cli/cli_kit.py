"""Runs the command line in this process, on a store of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from bough.cli import cli


class Bough:
    """``bough("log", "-n", "1")`` runs the command; what is asked for and does not hold fails the test."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.runner = CliRunner()

    def __call__(self, *args: str, code: int = 0, **options: Any) -> Result:
        options.setdefault("env", {})
        options["env"] = {"COLUMNS": "100", "BOUGH_STORE": str(self.store), "BOUGH_SESSION": None, **options["env"]}
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


def talk(bough: Bough) -> None:
    """main with four messages, and a branch ``ideas`` from its second with one of its own; main is current."""
    for role, text in (("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")):
        bough("add", role, text)
    bough("fork", "ideas", "--at", "2")
    bough("add", "user", "another three")
    bough("switch", "main")
