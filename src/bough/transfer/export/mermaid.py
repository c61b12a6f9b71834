"""Mermaid: the tree of branches as a flowchart, a node a run of messages, with merges as dotted edges.

A flowchart and not a ``gitGraph``: that one draws one commit after another and wants names that are words, while here
are thousands of messages and any names. In a label every character but letters, digits and the plainest signs is
written as its number (``#35;``), so that none can end the label, be Markdown, HTML or mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bough.transfer.export.diagram import edges, label, nodes
from bough.transfer.export.talk import Exported
from bough.transfer.export.text import printable, utf8
from bough.transfer.export.tree import plant

_OTHER = re.compile(r"[^\w ,]|_")


def write(talk: Exported) -> Iterator[bytes]:
    """The file, a line at a time."""
    tree = plant(talk, merges=True)
    yield b"flowchart TD\n"
    for run in nodes(tree):
        shape = '(["{}"])' if run.branches else '["{}"]'
        yield utf8(f"  n{run.number}{shape.format('<br/>'.join(map(escaped, label(talk, run))))}\n")
    for edge in edges(tree):
        if edge.merge is None:
            yield f"  n{edge.source} --- n{edge.target}\n".encode()
        else:
            yield utf8(f'  n{edge.source} -. "merge {escaped(edge.merge.strategy)}" .-> n{edge.target}\n')


def escaped(text: str) -> str:
    """As it may stand in a quoted label."""
    return _OTHER.sub(lambda found: f"#{ord(found[0])};", printable(text))
