"""Bringing branches of another program in: which messages are new, and where each has its place.

1. What branches share is stored once: a branch begins with the first entries of its parent.
2. What the session holds already is not stored again (:mod:`.known` says how it is known), so the same import twice
   adds nothing and a grown one adds what is new. What its program changed since takes the old wording's place, as an
   edit, unless somebody wrote or edited it here.
3. Nothing is lost, and nothing that was done here is undone. A branch goes on as what comes in does. Where the two
   part, the branch takes the other way if it is as an import left it, and what it leaves is on another branch that
   comes in (somebody went back and asked something else); else it stays as it is, and what comes in goes beside it, as
   ``main-2``. Where messages have neither id nor place nobody can tell: there what is new comes behind what the branch
   holds.
4. Messages are asked for once, in order, and no more than ``BLOCK_BYTES`` of them are held: what is more is sent ahead
   of the operation, into a segment that nothing refers to before it.

What it deliberately does not do: read files, or know where the branches came from (that is :mod:`bough.transfer`).
"""

from __future__ import annotations

from bough.imports.incoming import ImportResult, IncomingBranch, IncomingEntry, check_incoming, entry
from bough.imports.plan import BLOCK_BYTES, Plan

__all__ = ["BLOCK_BYTES", "ImportResult", "IncomingBranch", "IncomingEntry", "Plan", "check_incoming", "entry"]
