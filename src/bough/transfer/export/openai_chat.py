"""OpenAI chat JSONL, as it is used for fine-tuning: ``{"messages": [...]}`` a line, a line a branch.

Messages stand as they are kept. A branch without messages has no line. What branches share stands in each of them: the
format knows no trees.
"""

from __future__ import annotations

from collections.abc import Iterator

from bough.codec import encode_found
from bough.transfer.export.talk import Exported


def write(talk: Exported) -> Iterator[bytes]:
    """The file, in parts as they are made."""
    for record in talk.branches:
        before = b'{"messages":['
        for message in talk.read(record.history):
            yield before + encode_found(message)
            before = b","
        if record.history:
            yield b"]}\n"
