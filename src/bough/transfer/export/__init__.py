"""Conversations for other programs and for people: which formats there are, and what an exporter is.

An exporter is a pure generator: it is given an :class:`.talk.Exported` and yields the file in parts, as they are made,
so that memory stays flat whatever is exported. It opens no file and knows no store.

To add a format: a module with ``write``, and its line in ``EXPORTS``. What a message says stands in :mod:`.parts`, the
tree of what branches share in :mod:`.tree`; secrets are taken out in :mod:`.redact`, before an exporter sees them.

What it deliberately does not do: choose branches (:func:`.talk.collect` is told), or write files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bough.transfer.export import chatgpt, git, graphviz, html, markdown, mermaid, openai_chat, sharegpt
from bough.transfer.export.readable import readable
from bough.transfer.export.redact import Redactor, redacted
from bough.transfer.export.talk import Exported, collect, heard, without_metadata
from bough.transfer.export.tree import plant

__all__ = [
    "EXPORTS",
    "Export",
    "Exported",
    "Redactor",
    "collect",
    "format_of",
    "heard",
    "readable",
    "redacted",
    "without_metadata",
]


class Export(NamedTuple):
    """A format: how it is written, the endings of files that it is taken for, and how many messages it reads."""

    write: Callable[[Exported], Iterator[bytes]]
    suffixes: tuple[str, ...]
    reads: Callable[[Exported], int]


def _each_branch(talk: Exported) -> int:
    return sum(record.length for record in talk.branches)


def _each_place(talk: Exported) -> int:
    return sum(run.length for run in plant(talk).runs)


def _each_run(talk: Exported) -> int:
    return len(plant(talk, merges=True).runs)


def _each_commit(talk: Exported) -> int:
    return sum(run.length for run in plant(talk, merges=True).runs)


EXPORTS: dict[str, Export] = {
    "markdown": Export(markdown.write, (".md", ".markdown"), _each_place),
    "html": Export(html.write, (".html", ".htm"), _each_place),
    "openai-chat": Export(openai_chat.write, (".jsonl",), _each_branch),
    "sharegpt": Export(sharegpt.write, (), _each_branch),
    "chatgpt": Export(chatgpt.write, (".json",), _each_place),
    "mermaid": Export(mermaid.write, (".mmd", ".mermaid"), _each_run),
    "graphviz": Export(graphviz.write, (".dot", ".gv"), _each_run),
    "git": Export(git.write, (".fi",), _each_commit),
}
"""Every format by its name."""


def format_of(suffix: str) -> str | None:
    """The format that a file's ending says; None where it says none."""
    return next((name for name, export in EXPORTS.items() if suffix.lower() in export.suffixes), None)
