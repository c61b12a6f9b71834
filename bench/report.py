"""The page: tables and a plot of what was measured, put between markers; the prose around them is kept.

A block is what stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``. A run replaces the blocks it measured.
"""

from __future__ import annotations

import datetime as dt
import importlib
import os
import platform
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import Cell, Row
from speed import Check
from systems import SYSTEMS

Points = Mapping[int, Sequence[Row]]
"""Messages → a row for each system."""

TABLES = {
    "append": "Append one message, FULL",
    "append lazy": "Append one message, lazy (NORMAL)",
    "tail": "The last 20 messages",
    "history": "All messages",
    "fork": "Fork in the middle, FULL",
    "merge": "Merge of 10 new messages, FULL",
    "branches": "List the branches",
    "open": "Open, and read the last 20",
}
FLOOR = {"append": "append", "append lazy": "append lazy", "tail": "tail", "history": "history", "fork": "append"}
"""Measurement → the raw insert's measurement that its ratio is taken to."""
RAW = ("raw-sqlite3", "raw-apsw")
OURS = ("bough-sqlite", "bough-json")

BEFORE_EACH_READ = (
    "A read of ours looks the branch up first, so that it shows what every process has committed; with a few messages "
    "that is most of its time."
)
WITH_EVERYTHING = "A branch of ours comes with its length, its parent, its name and its dates."
LOOKS_AT_BRANCHES = "Opening looks at the session's branches."
OURS_BECAUSE: dict[tuple[str, str], str] = {
    ("bough-sqlite", "tail"): BEFORE_EACH_READ,
    ("bough-json", "tail"): BEFORE_EACH_READ,
    ("bough-sqlite", "history"): BEFORE_EACH_READ,
    ("bough-json", "history"): BEFORE_EACH_READ,
    ("bough-sqlite", "fork"): "A fork of ours also writes the operation that undo needs, and HEAD with it.",
    ("bough-json", "fork"): (
        "A branch is a file of its own with all of its messages, which any program can read: a fork copies them, and "
        "syncs the file, its folder and the log of operations."
    ),
    ("bough-sqlite", "open"): LOOKS_AT_BRANCHES,
    ("bough-json", "open"): LOOKS_AT_BRANCHES + " Each is a file.",
    ("bough-sqlite", "branches"): WITH_EVERYTHING,
    ("bough-json", "branches"): WITH_EVERYTHING + " Each is a file.",
}
THEIRS_BECAUSE: dict[tuple[str, str], str] = {
    ("tail", "langgraph"): "The whole state is one row, which is little as long as it is short.",
    ("tail", "openai"): "One SELECT by an index, and no branches.",
    ("history", "langgraph"): "The whole state is one value: one row, one binary decode. Every append writes it again.",
    ("history", "openai"): "One SELECT.",
    ("fork", "langgraph"): "It copies one checkpoint, which is little as long as the conversation is short.",
    ("fork", "openai"): "It writes a row for each message that the fork takes over: cheap for a handful.",
    ("fork", "llm"): "One row of a thread; there is no undo and no current branch.",
    ("branches", "llm"): "The rows of one small table, without anything about the messages.",
    ("open", "langgraph"): "It reads the newest checkpoint, and looks for no branches.",
    ("open", "openai"): "It looks for no branches, and reads by an index.",
    ("open", "llm"): "It looks for no other threads.",
}
"""(measurement, peer's first word) → why it can be quicker."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def duration(seconds: float) -> str:
    """With three digits: 203 µs, 1.24 ms, 12.4 s."""
    for unit, factor in (("µs", 1e6), ("ms", 1e3), ("s", 1.0)):
        value = seconds * factor
        if value < 999.5 or unit == "s":
            return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    raise AssertionError


def volume(size: float) -> str:
    """Bytes, with three digits: 498 B, 1.20 kB, 3.33 MB."""
    for unit, factor in (("B", 1), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        value = size / factor
        if abs(value) < 999.5 or unit == "GB":
            return f"{value:.{0 if unit == 'B' or value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    raise AssertionError


# -- what was measured -------------------------------------------------------------------------------------------------


def growth(points: Points) -> str:
    """A table for each measurement: systems down, sizes across."""
    parts = []
    for what, title in TABLES.items():
        if what in ("branches", "open"):
            continue
        lines = []
        for system in _systems(points):
            cells = [_cell(points[messages], system, what) for messages in points]
            if any(cell != "–" for cell in cells):
                lines.append([_title(system), *cells])
        parts.append(f"### {title}\n\n" + table(["", *(f"{messages:,}" for messages in points)], lines))
    failures = _failures(points)
    return "\n".join([*parts, failures] if failures else parts)


def _failures(points: Points) -> str:
    """What "fails" and "not installed" stand for."""
    lines = []
    for messages, rows in points.items():
        for row in rows:
            notes = {what: cell.note for what, cell in row.cells.items()} | ({"filling": row.note} if row.note else {})
            lines += [
                f"- {_title(row.system)}, {what}, {messages:,}: {note}\n"
                for what, note in notes.items()
                if note and not note.startswith(">")
            ]
    return "".join(dict.fromkeys(lines))


def _cell(rows: Sequence[Row], system: str, what: str) -> str:
    row = _row(rows, system)
    if row is None or what in row.about.get("missing", {}):
        return "–"
    cell = row.cells.get(what, Cell(note=row.note))
    seconds = cell.seconds
    if seconds is None:
        return _short(cell.note) or "–"
    floors = [each.cells[FLOOR[what]].seconds for each in rows if each.system in RAW and FLOOR.get(what) in each.cells]
    floor = min((each for each in floors if each), default=None)
    return duration(seconds) + (f" ({seconds / floor:.{0 if seconds / floor >= 99.5 else 1}f}×)" if floor else "")


def _short(note: str) -> str:
    return note if note.startswith(">") else note.partition(" (")[0].partition(":")[0]


def sizes(points: Points) -> str:
    """Bytes on disk: of the whole, of one more message, of a fork."""
    lines = []
    for system in _systems(points):
        row_of = {messages: _row(points[messages], system) for messages in points}
        whole = [_whole(row) for row in row_of.values()]
        lines.append([_title(system), *whole])
    heads = [f"{messages:,}" for messages in points]
    parts = ["### Size on disk after filling\n\n" + table(["", *heads], lines)]
    for what, title in (("append", "Bytes that one more message takes"), ("fork", "Bytes that one fork takes")):
        lines = []
        for system in _systems(points):
            grown = [_grown(_row(points[messages], system), what) for messages in points]
            if any(each != "–" for each in grown):
                lines.append([_title(system), *grown])
        parts.append(f"### {title}\n\n" + table(["", *heads], lines))
    return "\n".join(parts)


def _whole(row: Row | None) -> str:
    if row is None:
        return "–"
    return _short(row.note) or (volume(row.size) if row.size is not None else "–")


def _grown(row: Row | None, what: str) -> str:
    return volume(row.grown[what]) if row and what in row.grown else "–"


def fans(count: int, rows: Sequence[Row]) -> str:
    """A conversation of 50 messages with many forks."""
    lines = []
    for row in rows:
        cells = [row.cells.get(what) for what in ("fork", "branches", "open")]
        shown = [
            "–" if cell is None else duration(cell.seconds) if cell.seconds is not None else _short(cell.note)
            for cell in cells
        ]
        if row.note:
            shown[0] = _short(row.note)
        if set(shown) != {"–"}:
            lines.append([_title(row.system), *shown, _grown(row, "fork")])
    heads = ["", "a fork", f"list {count:,} branches", "open, read 20", "disk, a fork"]
    return table(heads, lines)


def slower(points: Points, fan: Sequence[Row]) -> str:
    """Where a peer is quicker than a store of Bough's, by a twentieth or more, and why."""
    points = {**points, 50: [*points.get(50, ()), *fan]} if fan and 50 not in points else points
    lines = []
    for ours in OURS:
        for what, title in TABLES.items():
            found = _quicker(points, ours, what)
            if found:
                why = OURS_BECAUSE.get((ours, what), "")
                lines.append(f"- {_title(ours)}, {title[0].lower()}{title[1:]}. {why}".rstrip())
            for peer, times in found.items():
                because = THEIRS_BECAUSE.get((what, peer.partition("-")[0]), "" if why else UNEXPLAINED)
                lines.append(f"  - {_title(peer)}: {', '.join(times)}. {because}".rstrip())
    return "\n".join(lines or ["Nowhere in this run."]) + "\n"


def _quicker(points: Points, ours: str, what: str) -> dict[str, list[str]]:
    """Peers that are quicker → "10: 1 ms against 2 ms" for each size where they are."""
    found: dict[str, list[str]] = {}
    for messages, rows in sorted(points.items()):
        mine = _seconds(rows, ours, what)
        for row in rows:
            theirs = _seconds(rows, row.system, what)
            is_peer = row.system not in (*OURS, *RAW, "raw-file")
            if is_peer and mine is not None and theirs is not None and theirs < mine / 1.05:
                text = f"{messages:,}: {duration(theirs)} against {duration(mine)}"
                found.setdefault(row.system, []).append(text)
    return found


UNEXPLAINED = "**Nobody has explained this yet.**"


def speed(checks: Sequence[Check]) -> str:
    """The speed table."""
    rows = [
        [
            check.what,
            f"{check.value:.2f} {check.unit}" if check.unit != "B" else volume(check.value),
            f"{'≥' if check.at_least else '≤'} {check.limit:g} {check.unit}",
            "holds" if check.good else "**missed**",
            check.note,
        ]
        for check in checks
    ]
    return table(["", "measured", "limit", "", "medians"], rows)


def systems(points: Points) -> str:
    """Versions, durability, and what a system cannot do."""
    rows = []
    for system in _systems(points):
        about = next(row.about for rows_ in points.values() for row in rows_ if row.system == system)
        versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
        reasons: dict[str, list[str]] = {}
        for verb, why in about.get("missing", {}).items():
            reasons.setdefault(why, []).append(verb)
        cannot = "; ".join(f"{', '.join(verbs)}: {why}" for why, verbs in reasons.items())
        if "durability" not in about:  # it never came to say so
            versions = next(row.note for rows_ in points.values() for row in rows_ if row.system == system)
        rows.append([_title(system), versions, about.get("durability", "–"), cannot or "–"])
    lines = [["", "versions", "durability", "not there"], ["---"] * 4, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def machine(root: Path, settings: str) -> str:
    """What it was measured on. No names of hosts or people."""
    try:
        apsw = importlib.import_module("apsw").sqlite_lib_version()
    except ImportError:
        apsw = "not installed"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(re.findall(r"\d+", platform.release())[:2])
    return (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, {settings}. {_processor()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GB of memory, {_file_system(root)}, Linux {kernel}, Python {platform.python_version()}; "
        f"SQLite {sqlite3.sqlite_version} (`sqlite3`), {apsw} (`apsw`).\n"
    )


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text(errors="replace")
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _file_system(root: Path) -> str:
    best = ("", "unknown file system")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if root.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def _systems(points: Points) -> list[str]:
    return list(dict.fromkeys(row.system for rows in points.values() for row in rows))


def _row(rows: Sequence[Row], system: str) -> Row | None:
    return next((row for row in rows if row.system == system), None)


def _title(system: str) -> str:
    title = SYSTEMS[system][0]
    return f"**{title}**" if system in OURS else title


def _seconds(rows: Sequence[Row], system: str, what: str) -> float | None:
    row = _row(rows, system)
    return row.cells[what].seconds if row and what in row.cells else None


# -- the page ----------------------------------------------------------------------------------------------------------


def replace_blocks(page: Path, blocks: Mapping[str, str]) -> None:
    """Puts the texts between their markers. ``ValueError`` where the page has no such marker."""
    text = page.read_text()
    for name, block in blocks.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        head, found, rest = text.partition(begin)
        _, closed, tail = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{page} has no block {name!r}")
        text = f"{head}{begin}\n{block}\n{end}{tail}"
    page.write_text(text)


# -- the plot ----------------------------------------------------------------------------------------------------------

GREY = "#7d8590"
"""Of all text and lines: readable on white and on black."""
COLOURS = {
    "bough-sqlite": "#d1242f",
    "bough-json": "#e8833a",
    "raw-file": GREY,
    "raw-sqlite3": GREY,
    "raw-apsw": GREY,
    "openai-sqlite": "#2f81f7",
    "openai-advanced": "#79b8ff",
    "langgraph": "#2da44e",
    "langgraph-delta": "#8ddb8c",
    "llm": "#a371f7",
    "langchain": "#bf8700",
    "google-adk": "#db61a2",
}
PLOTTED = ("append", "tail", "history", "fork")


def plot(points: Points, path: Path) -> None:
    """Four panels on logarithmic axes. A line ends where its system ran out of time."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "bough",
            "font.family": "sans-serif",
            "font.size": 9,
            "text.color": GREY,
            "axes.labelcolor": GREY,
            "axes.edgecolor": GREY,
            "axes.titlecolor": GREY,
            "xtick.color": GREY,
            "ytick.color": GREY,
        }
    )
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 8), sharex=True)
    lines = {}
    for panel, what in zip(axes.flat, PLOTTED, strict=True):
        panel.set(xscale="log", yscale="log", title=TABLES[what])
        panel.grid(visible=True, which="major", color=GREY, alpha=0.25, linewidth=0.5)
        panel.minorticks_off()
        panel.yaxis.set_major_formatter(lambda value, _: duration(value).replace(".00", "").replace(".0 ", " "))
        for system in _systems(points):
            style = _style(system)
            places = [(messages, _seconds(rows, system, what)) for messages, rows in points.items()]
            known = [(messages, seconds) for messages, seconds in places if seconds is not None]
            if known:
                title = _title(system).strip("*").replace("`", "")
                [lines[title]] = panel.plot(*zip(*known, strict=True), **style)
    for panel in axes[1]:
        panel.set_xlabel("messages in the conversation")
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.legend(lines.values(), lines, loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.05 + 0.022 * (len(lines) / 3), 1, 1))
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"\n(?=[LC\"z])", " ", re.sub(r"\s*\n\s*", "\n", text))  # a path's points on one line
    path.write_text(text)


def _style(system: str) -> dict[str, Any]:
    if system in RAW or system == "raw-file":
        return {"color": GREY, "linewidth": 1, "linestyle": {"raw-file": ":", "raw-apsw": "-."}.get(system, "--")}
    return {
        "color": COLOURS[system],
        "linewidth": 2.6 if system in OURS else 1.3,
        "marker": "o",
        "markersize": 4 if system in OURS else 3,
        "zorder": 3 if system in OURS else 2,
    }
