"""Merge strategies: plain functions on histories, (target, source) -> the target's history afterwards.

Each is pure and idempotent: merged again at once, the target stays as it is. What it deliberately does not know:
messages, branches, stores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from bough.history import concat, subtract
from bough.model import History

Strategy: TypeAlias = Callable[[History, History], History]


def append(target: History, source: History) -> History:
    """The target, then what the source holds and the target does not, in the source's order."""
    return concat(target, subtract(source, target))


def replace(_target: History, source: History) -> History:
    """The source's messages."""
    return source


STRATEGIES: Mapping[str, Strategy] = MappingProxyType({"append": append, "replace": replace})
"""The strategies that have a name."""
