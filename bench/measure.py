"""Systems side by side at one size: who takes turns with whom, for how long, and what came of it.

1. Each system works in its own process (:mod:`worker`), fills first, and has ``budget`` seconds for everything at one
   size. A process that has not answered by then is killed; what it did not get to is "> 60 s".
2. A round calls each measurement of each system once, system after system: noise of the machine meets them all.
3. The first round is for warming up and for the first answer of slow systems; it counts only where there is no other.
4. A system whose budget would not last for another call keeps the samples that it has. A share of the budget is kept
   for what is measured later (:data:`PHASES`), so that it gets its first sample.
5. Forks come after everything else: some systems copy all messages for one, and LangGraph's delta channel stores a
   whole state at the first append to a branch after another one was made.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from systems import SYSTEMS, Durability

HERE = Path(__file__).parent

PHASES: tuple[tuple[Durability, float, dict[str, int]], ...] = (
    ("full", 0.5, {"tail": 10, "history": 3, "branches": 3}),
    ("full", 0.35, {"append": 20, "merge": 3}),
    ("lazy", 0.2, {"append": 40}),
    ("full", 0, {"fork": 3}),
)
"""What is measured one after the other: at which durability, what share of the budget is kept for what comes after, and
calls a round. Reads come first: they read as many messages as the table says."""
TRIFLE = 0.5
"""Seconds of a turn that are always taken: nothing that comes later needs them."""
GROWTH = {"append": 100, "fork": 100}
"""Whose bytes on disk are counted, over how many."""


class TooLongError(Exception):
    """The budget is used up; the process is gone."""


class FailedError(Exception):
    """The system raised; the text says what."""


class NotInstalledError(Exception):
    """The system's packages are not there; the text says which."""


class Child:
    """A worker's process and the seconds that it has left."""

    def __init__(self, system: str, budget: float) -> None:
        self.system = system
        self.left = budget
        self.kept = 0.0
        self.cost: dict[str, float] = {}
        self.durability: Durability | None = None
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), system],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.about = self._ask({"do": "hello"}, 60)  # imports do not count

    def ask(self, do: str, **arguments: Any) -> Any:
        """The result of a command, within the budget."""
        begin = time.monotonic()
        try:
            return self._ask({"do": do, **arguments}, self.left)
        finally:
            took = time.monotonic() - begin
            self.left -= took
            self.cost[arguments.get("what", do)] = took

    def can(self, what: str) -> bool:
        """Whether the budget lasts for another turn of what took as long the last time (4)."""
        cost = self.cost.get(what, 0)
        return self.left > 1.5 * cost + (self.kept if cost > TRIFLE else 0)

    def _ask(self, command: dict[str, Any], seconds: float) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has answered already that it cannot work
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, seconds)):
                self.end()
                raise TooLongError
        line = self.process.stdout.readline()
        if not line:
            self.end()
            raise FailedError("ended without an answer (out of memory?)")
        answer = json.loads(line)
        if "missing" in answer:
            self.end()
            raise NotInstalledError(answer["missing"])
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer["result"]

    def end(self) -> None:
        """Kills the process, which holds nothing that is needed."""
        self.process.kill()
        self.process.communicate()


@dataclass(slots=True, kw_only=True)
class Cell:
    """One measurement of one system at one size: samples in seconds, or why there are none."""

    samples: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def seconds(self) -> float | None:
        """The median."""
        return statistics.median(self.samples or self.first) if self.samples or self.first else None


@dataclass(slots=True, kw_only=True)
class Row:
    """One system at one size."""

    system: str
    about: dict[str, Any]
    note: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)
    """``append`` … by name, and ``append lazy``."""
    fill: float | None = None
    size: int | None = None
    grown: dict[str, float] = field(default_factory=dict)
    """Bytes on disk of one ``append`` and of one ``fork``."""


def over(budget: float) -> str:
    """How a used up budget is shown."""
    return f"> {budget:g} s"


def measure_point(
    systems: Sequence[str], messages: int, root: Path, *, budget: float = 60, rounds: int = 7
) -> list[Row]:
    """One row for each system that works, at ``messages`` messages. Everything it made in ``root`` is gone after."""
    rows: list[Row] = []
    work: list[tuple[Child, Row]] = []
    for system in systems:
        child, row = _prepare(system, messages, root / system, budget)
        rows.append(row)
        if child:
            work.append((child, row))
    os.sync()  # what was prepared must not be written back while we measure
    try:
        _measure(work, rounds, budget)
    finally:
        for child, _ in work:
            child.end()
        for system in systems:
            shutil.rmtree(root / system, ignore_errors=True)
    return rows


def measure_fan(systems: Sequence[str], count: int, root: Path, *, budget: float = 60, rounds: int = 7) -> list[Row]:
    """A conversation of 50 messages with ``count`` forks, in each system that can fork: ``fork``, ``branches``,
    ``open``."""
    rows: list[Row] = []
    work: list[tuple[Child, Row]] = []
    for system in systems:
        child, row = _prepare(system, 50, root / system, budget)
        rows.append(row)
        if child and "fork" in row.about["missing"]:
            child.end()
        elif child:
            work.append((child, row))
    calls = {"branches": 3, "open": 1}
    try:
        for child, row in work:
            with _noted(row, "fork", budget) as cell:
                _reopen(child, row, "full")
                before = child.ask("size")
                cell.samples = child.ask("measure", what="fork", times=count, most_seconds=budget)
                row.grown["fork"] = (child.ask("size") - before) / count
        for turn in range(rounds + 1):
            for what, times in calls.items():
                for child, row in work:
                    _turn(child, row, what, what, times if turn else 1, budget)
    finally:
        for child, _ in work:
            child.end()
        for system in systems:
            shutil.rmtree(root / system, ignore_errors=True)
    return rows


def _prepare(system: str, messages: int, path: Path, budget: float) -> tuple[Child | None, Row]:
    try:
        child = Child(system, budget)
    except NotInstalledError as error:
        return None, Row(system=system, about={"missing": {}}, note=f"not installed ({error})")
    except FailedError as error:
        return None, Row(system=system, about={"missing": {}}, note=f"fails: {error}")
    row = Row(system=system, about=child.about)
    print(f"  {messages:>9,} {SYSTEMS[system][0]:<45}", end="", flush=True)
    try:
        row.fill = child.ask("fill", path=str(path), messages=messages)
        row.size = child.ask("size")
    except TooLongError:
        row.note = over(budget)
    except FailedError as error:
        row.note = f"fails: {error}"
    print(f"filled in {row.fill:.2f} s" if row.fill is not None else "", row.note, flush=True)
    if row.note:
        child.end()
        return None, row
    return child, row


def _measure(work: Sequence[tuple[Child, Row]], rounds: int, budget: float) -> None:
    for durability, kept, calls in PHASES:
        for child, row in work:
            child.kept = kept * budget
            for what in calls:
                with _noted(row, _name(what, durability), budget):
                    _reopen(child, row, durability)
        for turn in range(rounds + 1):
            for what, times in calls.items():
                for child, row in work:
                    _turn(child, row, _name(what, durability), what, times if turn else 1, budget)
        if durability == "full":
            for what in GROWTH.keys() & calls.keys():
                for child, row in work:
                    _growth(child, row, what)


def _name(what: str, durability: Durability) -> str:
    return what if durability == "full" else f"{what} {durability}"


def _reopen(child: Child, row: Row, durability: Durability) -> None:
    if not _over(row) and child.durability != durability:
        child.ask("reopen", durability=durability)
        child.durability = durability


def _over(row: Row) -> bool:
    return any(cell.note.startswith(">") for cell in row.cells.values())


@contextlib.contextmanager
def _noted(row: Row, name: str, budget: float) -> Any:
    cell = row.cells.setdefault(name, Cell())
    try:
        yield cell
    except TooLongError:
        cell.note = over(budget)
    except FailedError as error:
        cell.note = f"fails: {error}"


def _turn(child: Child, row: Row, name: str, what: str, times: int, budget: float) -> None:
    if what in row.about["missing"]:
        row.cells.pop(name, None)
        return
    with _noted(row, name, budget) as cell:
        if _over(row) and not cell.first:
            raise TooLongError
        if cell.note or _over(row) or (cell.first and not child.can(what)):
            return
        samples = child.ask("measure", what=what, times=times)
        if cell.first:
            cell.samples += samples
        else:
            cell.first += samples


def _growth(child: Child, row: Row, what: str) -> None:
    """Bytes that a few more of them leave on disk."""
    if what not in row.cells or row.cells[what].note or _over(row) or not child.can(what):
        return
    with contextlib.suppress(TooLongError, FailedError):
        before = child.ask("size")
        count = len(child.ask("measure", what=what, times=GROWTH[what]))
        row.grown[what] = (child.ask("size") - before) / count
