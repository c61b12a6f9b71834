"""Sections inside sections: who counts as nested in a hold that a task has.

A thread nests in its own hold, and nobody else does: no more than ``queue.owner`` is needed for that. A task starts
others, in tasks and in threads, and what it starts inside its hold belongs to it: ``asyncio.to_thread``, a gather, a
``wait_for``. They are known by a context variable, which everything started inherits.

1. What was started inside an open section nests in it, one at a time: siblings take turns, first come, first served.
   Who opened the section nests in it at any time.
2. A section that was closed lets nobody in any more. A task that outlives it waits like everybody else.
3. Whatever is still nested when a section closes keeps the lock until it is done.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from bough.lock.queue import Queue

if TYPE_CHECKING:
    from bough.lock.place import Place


class Section:
    """One stretch of somebody's work under the lock. The outermost one is the :class:`~bough.lock.place.Hold`."""

    __slots__ = ("around", "depth", "line", "outer", "owner", "place")

    place: Place
    depth: int
    """How many acquires of its owner are not released yet; 0 when it is closed."""
    line: Queue | None
    """Of those nested in it. None in a thread's hold, in which nobody else nests."""
    outer: Section | None
    owner: object
    around: Section | None
    """What the context was in when it began, perhaps of another place."""


_inside: ContextVar[Section | None] = ContextVar("bough_lock_section", default=None)


def find(place: Place) -> Section | None:
    """The innermost open section of ``place`` that this code was started in."""
    section = _inside.get()
    while section is not None:
        if section.place is place and section.depth > 0:
            root = section
            while root.outer is not None:
                root = root.outer
            if place.hold is root:  # else this is a forked child, and the section its parent's
                return section
        section = section.around
    return None


def nest(outer: Section, owner: object) -> Section:
    """A new section inside ``outer``, whose line ``owner`` has."""
    section = Section()
    section.place = outer.place
    section.depth = 1
    section.outer = outer
    begin(section, owner)
    return section


def begin(section: Section, owner: object) -> None:
    """Make it known to what is started from here on."""
    section.line = Queue()
    section.owner = owner
    around = _inside.get()
    while around is not None and around.depth == 0:  # a task that lives long shall not collect them
        around = around.around
    section.around = around
    _inside.set(section)


def step_out(section: Section) -> None:
    """Its depth has become 0: its owner goes on outside of it. The line that he had stays taken until :func:`close` is
    done, but no longer by him: should he come again, he waits."""
    line(section.outer, section.place).owner = section
    if _inside.get() is section:  # else this is not the context in which it began
        _inside.set(section.around)


def line(outer: Section | None, place: Place) -> Queue:
    return place.queue if outer is None or outer.line is None else outer.line


def close(section: Section) -> None:
    """Ends a section whose depth has become 0 (with a line: that was stepped out of), and the hold if it was all there
    was of it. Touches files."""
    inner: Section | None = section
    while inner is not None:
        inner = _close_one(inner)


def leave(outer: Section | None, place: Place) -> None:
    """Gives back a turn in the line of ``outer``, or of the place."""
    if line(outer, place).leave() and outer is not None:
        close(outer)


def _close_one(section: Section) -> Section | None:
    """Returns the section around it where that had only waited for this one."""
    place, outer = section.place, section.outer
    if section.line is not None and not section.line.shut():
        return None  # whoever is nested ends it
    if outer is None:
        try:
            place.drop()
        finally:
            place.queue.leave()
        return None
    return outer if line(outer, place).leave() else None
