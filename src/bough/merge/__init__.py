"""Merging: what a branch holds after another was merged into it.

A strategy is a plain function: it gets the two sides (:class:`Sides`) and returns what the target shall hold, part by
part: a :class:`bough.model.Piece` for messages that exist, a dict or a :class:`NewMessage` for one to be made. Anyone
can write one:

    def append_with_a_note(sides: Sides) -> list[Part]:
        return [*append(sides), {"role": "system", "content": "The above comes from another branch."}]

1. A strategy writes nothing. :func:`lower` turns its parts into the change of the target's record.
2. Every built-in one is idempotent: merged again at once, the target stays as it is (``squash``: as long as
   ``Sides.squashed`` is told what was squashed).
3. A message and its other wordings (:mod:`bough.edits`) are one message: no strategy brings an old wording back to a
   branch that holds a newer one.
4. Messages are read only where a strategy has to look at them. Everything else costs by pieces and edits.

What it deliberately does not do: know stores, branches by name, or how a conflict is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bough.merge.base import ADDING as ADDING
from bough.merge.base import find_base as find_base
from bough.merge.base import find_squashed as find_squashed
from bough.merge.interleave import interleave as interleave
from bough.merge.lowering import lower as lower
from bough.merge.plain import append as append
from bough.merge.plain import pick as pick
from bough.merge.plain import replace as replace
from bough.merge.plain import squash as squash
from bough.merge.sides import Conflict as Conflict
from bough.merge.sides import Conflicts as Conflicts
from bough.merge.sides import NewMessage as NewMessage
from bough.merge.sides import Part as Part
from bough.merge.sides import Sides as Sides
from bough.merge.sides import Strategy as Strategy
from bough.merge.three_way import Resolution as Resolution
from bough.merge.three_way import three_way as three_way

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {"append": append, "replace": replace, "interleave": interleave, "three-way": three_way()}
)
"""The strategies that have a name and need no argument."""
