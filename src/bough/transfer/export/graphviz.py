"""Graphviz DOT: the tree of branches, a node a run of messages, with merges as dashed edges.

Labels are strings in DOT's quotes; no name or message reaches the file outside of one, nor can it end one.
"""

from __future__ import annotations

from collections.abc import Iterator

from bough.transfer.export.diagram import edges, label, nodes
from bough.transfer.export.talk import Exported
from bough.transfer.export.text import printable, utf8
from bough.transfer.export.tree import plant


def write(talk: Exported) -> Iterator[bytes]:
    """The file, a line at a time."""
    tree = plant(talk, merges=True)
    yield utf8(f"digraph {_quoted(talk.title or talk.session_id)} {{\n")
    yield b'  node [shape=box, style=rounded, fontname="sans-serif"];\n'
    yield b'  edge [arrowhead=none, fontname="sans-serif"];\n'
    for run in nodes(tree):
        bold = ", penwidth=2" if run.branches else ""
        yield utf8(f"  n{run.number} [label={_quoted(*label(talk, run))}{bold}];\n")
    for edge in edges(tree):
        if edge.merge is None:
            yield f"  n{edge.source} -> n{edge.target};\n".encode()
        else:
            said = _quoted(f"merge ({edge.merge.strategy})")
            style = f"style=dashed, arrowhead=normal, constraint=false, label={said}"
            yield utf8(f"  n{edge.source} -> n{edge.target} [{style}];\n")
    yield b"}\n"


def _quoted(*lines: str) -> str:
    """A string of DOT: in it quotes, backslashes and entities mean something (and ``\\n``, between the lines)."""
    signs = {ord("\\"): "\\\\", ord('"'): '\\"', ord("&"): "&amp;"}
    return '"' + "\\n".join(printable(line).translate(signs) for line in lines) + '"'
