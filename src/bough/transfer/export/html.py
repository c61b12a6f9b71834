"""One HTML file to read offline: every branch, with no script and nothing from elsewhere.

1. Nothing that a message, a name or an id holds becomes a part of the page. It is escaped, and it stands between tags
   only, never in an attribute: ids and links are numbers that are made here.
2. The policy in the page's head forbids scripts, and everything else but this one style sheet (by its hash), so that
   even a mistake here could neither run anything nor load anything.
3. A message stands once, however many branches hold it; what a merge brought stands a second time, as it does in the
   branch. Runs of messages are sections, the runs that go on from one are sections inside it.
4. One way through the tree is shown. The address says which: ``page.html#b3`` leads to the end of a branch, ``#r7`` to
   a reply that is one of several. The style sheet does this with ``:target`` and ``:has``; a browser without them shows
   all ways, one below the other.
5. Sections do not stand deeper in one another than browsers can parse (512 elements in Chromium). What would, goes on
   at the end of the page.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from importlib.resources import files

from bough.model import Message
from bough.parts import Part, parts_of, role_of
from bough.runs import way_down
from bough.transfer.export.talk import Exported
from bough.transfer.export.text import indented, time_of, utf8
from bough.transfer.export.tree import Run, plant

MAX_NESTING = 300
"""How many sections may stand inside one another."""

SHORT, SHORT_LINES = 500, 10
"""Characters, and lines, of an output that is shown at once; what is longer is folded."""

PREVIEW = 120
"""Characters of it that are seen all the same."""

CLASSES = {"user": "user", "assistant": "assistant", "tool": "tool", "function": "tool", "system": "system"}
CLASSES["developer"] = "system"

_FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,})[^`\n]*\n(.*?)^ {0,3}\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def write(talk: Exported) -> Iterator[bytes]:
    """The page, in parts as they are made."""
    tree = plant(talk)
    numbers = {record.id: number for number, record in enumerate(talk.branches)}
    first = set(way_down(tree.ends[talk.shown.history]))
    style = files("bough.transfer.export").joinpath("page.css").read_text("utf-8")
    yield utf8(_head(talk.title or talk.session_id, style))
    yield utf8(_branches(talk))
    yield b"<main><section>\n"
    pending: list[Run | bytes] = _in_order(tree.root, first)
    later: list[Run] = []
    depth = 0
    while pending or later:
        step = pending.pop() if pending else later.pop(0)
        if isinstance(step, bytes):
            depth -= 1
            yield step
            continue
        siblings = list(step.parent.children.values()) if step.parent else [step]
        if depth == MAX_NESTING:
            yield utf8(_elsewhere(step))
            later.append(step)
            continue
        depth += 1
        yield utf8(f'<section id="r{step.number}">\n{_switch(step, siblings)}')
        for number, message in enumerate(talk.read(step.pieces), step.start + 1):
            yield utf8(_article(step, number, message))
        for record in step.branches:
            yield utf8(f'<p class="end" id="b{numbers[record.id]}">End of {_name(record.id)}</p>\n')
        for tag in step.tags:
            yield utf8(f'<p class="end">Tag {_name(tag)}</p>\n')
        pending.append(b"</section>\n")
        pending += _in_order(step, first)
    yield b"</section></main>\n</body></html>\n"


def _in_order(run: Run, first: set[Run]) -> list[Run | bytes]:
    """What goes on from a run, the way to the branch that is shown first last: what is last is taken first."""
    children = list(run.children.values())[::-1]
    return sorted(children, key=first.__contains__)


def _head(title: str, style: str) -> str:
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{safe(title)}</title>\n<style>{style}</style></head><body>\n"
    )


def _branches(talk: Exported) -> str:
    """The list of branches, the one that is shown first on top."""
    rows = sorted(enumerate(talk.branches), key=lambda row: row[1].id != talk.head)
    lines = [f"<nav><h1><bdi>{safe(talk.title or talk.session_id)}</bdi></h1><ul>"]
    for number, record in rows:
        name = f"<br><bdi>{safe(record.name)}</bdi>" if record.name != record.id else ""
        link = f'<a href="#b{number}">{_name(record.id)}</a>' if record.history else _name(record.id)
        count = f"{record.length:,} message{'' if record.length == 1 else 's'}"
        lines.append(f"<li>{link}{name}<br><small>{count} · {record.updated_at:%Y-%m-%d %H:%M}</small></li>")
    return "\n".join([*lines, "</ul></nav>\n"])


def _switch(run: Run, siblings: list[Run]) -> str:
    """``‹ 2/3 ›``, where a run is one of several that go on from the same message."""
    if len(siblings) < 2:
        return ""
    at = siblings.index(run)
    before = f'<a href="#r{siblings[at - 1].number}">‹</a>' if at else "‹"
    after = f'<a href="#r{siblings[at + 1].number}">›</a>' if at + 1 < len(siblings) else "›"
    leader = f" {_name(run.leader.id)}" if run.leader else ""
    return f'<p class="switch">{before} {at + 1}/{len(siblings)} {after}{leader}</p>\n'


def _elsewhere(run: Run) -> str:
    leader = _name(run.leader.id) if run.leader else "more"
    return f'<p class="switch"><a href="#r{run.number}">{leader} goes on here ›</a></p>\n'


def _article(run: Run, number: int, message: Message) -> str:
    role = role_of(message)
    time = time_of(message)
    when = f'<span class="when">{time:%Y-%m-%d %H:%M}</span>' if time else ""
    at = f"m{run.number}-{number}"
    head = f'<a href="#{at}">{number}</a><span class="role"><bdi>{safe(role)}</bdi></span>{when}'
    body = "\n".join(map(_part, parts_of(message)))
    return f'<article id="{at}" class="{CLASSES.get(role, "other")}"><header>{head}</header>\n{body}</article>\n'


def _part(part: Part) -> str:
    if part.kind == "text":
        return "".join(_text(part.text))
    if part.kind in ("image", "file"):
        return f'<div class="text" dir="auto">[{part.kind}: {safe(part.text)}]</div>'
    name = f" <b><bdi>{safe(part.name)}</bdi></b>" if part.name else ""
    title = {"call": "Calls", "result": "Result", "thinking": "Thinking", "data": "Data"}[part.kind]
    body = part.text if part.kind == "thinking" else indented(part.text)
    fold = part.kind == "thinking" or len(body) > SHORT or body.count("\n") > SHORT_LINES
    begin = f" <small><bdi>{safe(part.text[:PREVIEW])}</bdi></small>" if fold else ""
    head = f"<details{'' if fold else ' open'}><summary>{title}{name}{begin}</summary>"
    return f'{head}<pre dir="auto">{safe(body)}</pre></details>'


def _text(text: str) -> Iterator[str]:
    """Text as it stands, with what is fenced set as code."""
    at = 0
    for found in _FENCED.finditer(text):
        yield from _plain(text[at : found.start()])
        yield f"<pre>{safe(found[2])}</pre>"
        at = found.end()
    yield from _plain(text[at:])


def _plain(text: str) -> Iterator[str]:
    if text.strip():
        said = text.strip("\n")
        yield f'<div class="text" dir="auto">{safe(said)}</div>'


def _name(text: str) -> str:
    return f"<b><bdi>{safe(text)}</bdi></b>"


def safe(text: str) -> str:
    """As text between tags; what HTML cannot say is the replacement character."""
    return _CONTROL.sub("\ufffd", escape(text, quote=True))
