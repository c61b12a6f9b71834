"""Everything that this process keeps for one lock path: its line of waiting threads, its guard and its wire record.

All SessionLock objects of a path share one Place. Its two descriptors stay open between holds; ``KEPT_OPEN`` places
keep theirs at a time, the others open them again when they are used. Who calls :meth:`Place.take` owns ``queue``.

What the process does as a whole is here too: closing at exit, and a forked child's forgetting.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from weakref import WeakValueDictionary

from bough.lock import beat, queue, sections
from bough.lock.files import gate, ident, unavailable
from bough.lock.guard import Guard
from bough.lock.queue import Queue, ThreadOwner, caller, is_at_rest
from bough.lock.sections import Section
from bough.lock.wire import Wire

KEPT_OPEN = 32
"""Places whose two descriptors stay open while nobody holds them."""

_Key = tuple[int, int, str]
_places: WeakValueDictionary[_Key, Place] = WeakValueDictionary()
_places_mutex = threading.Lock()
_open: deque[Place] = deque()
_evictor = object()


class Hold(Section):
    """One hold of a Place, from the outermost acquire to the outermost release."""

    __slots__ = ("due", "heartbeat", "token")

    def __init__(self, place: Place, token: int, heartbeat: float) -> None:
        self.place = place
        self.token = token
        self.depth = 1
        self.line = None
        self.outer = None
        self.heartbeat = heartbeat
        self.due = time.monotonic() + heartbeat

    def beat(self) -> None:
        self.place.renew(self)


def find(path: str) -> Place:
    """The one Place of this process for ``path``, whatever names lead to its folder."""
    folder, name = os.path.split(path)
    try:
        status = os.stat(folder)
    except OSError as error:
        raise unavailable(path, error) from error
    key = (*ident(status), name)
    with _places_mutex:
        place = _places.get(key)
        # The number of a folder that was removed comes back for another one, which has other paths.
        if place is None or (place.path != path and not place.guard.is_in_its_folder()):
            place = _places[key] = Place(path, folder, key)
        return place


class Place:
    __slots__ = ("__weakref__", "_is_listed", "_mutex", "guard", "hold", "path", "queue", "wire")

    def __init__(self, path: str, folder: str, key: _Key) -> None:
        lock = path + ".lock"
        self.path = path
        self.guard = Guard(lock + ".guard", lock, folder, key[:2])
        self.wire = Wire(lock)
        self.queue = Queue()
        self.hold: Hold | None = None
        self._mutex = threading.Lock()
        self._is_listed = False

    def take(self, deadline: float, stale_after: float, heartbeat: float) -> Hold | None:
        """Hold the lock, or None when it did not come by ``deadline`` (``time.monotonic``).

        Raises FolderMovedError, StoreUnavailableError.
        """
        try:
            if not self.guard.lock(deadline):
                return None
            try:
                if self.wire.publish(self.guard.visit(), deadline, stale_after):
                    # Counted once the record is out: where the guard was removed by hand, and so two of us have one,
                    # the record alone puts the holds in order.
                    hold = self.hold = Hold(self, self.guard.count(), heartbeat)
                    beat.holds.add(hold)
                    beat.watch(hold.due)
                    return hold
            except BaseException:
                self.drop()
                raise
            self.guard.unlock()
        except OSError as error:
            raise unavailable(self.path, error) from error
        finally:
            if not self._is_listed and self.guard.is_open:
                self._list()
        return None

    def listen(self) -> None:
        """Before a :meth:`take` that may be called off."""
        self.guard.is_called_off = self.wire.is_called_off = False

    def call_off(self) -> None:
        """Let the :meth:`take` under way in another thread end early, as if its time were over: at once where it waits
        for one of us, within :data:`bough.lock.linux.NETWORK` seconds where it waits for another program."""
        self.wire.is_called_off = True
        self.guard.call_off()

    def drop(self) -> None:
        """End the hold: take away the record if it is still ours, let the guard go."""
        hold = self.hold
        if hold is not None:
            with self._mutex:  # a heartbeat under way ends first, none comes after
                self.hold = None
            beat.holds.discard(hold)
        try:
            self.wire.withdraw()
        finally:
            self.guard.unlock()

    def renew(self, hold: Hold) -> None:
        """The heartbeat."""
        with self._mutex:
            if self.hold is hold:
                self.wire.renew()
                # Robbed: nobody reads the record any more, and it will not come back.
                hold.due = time.monotonic() + hold.heartbeat if self.wire.is_ours() else math.inf

    def _list(self) -> None:
        self._is_listed = True
        _open.append(self)
        if len(_open) > KEPT_OPEN:
            _close_one()

    def close(self) -> None:
        """Close what is open. The queue's owner calls it, or nobody else is left."""
        self.wire.close()
        self.guard.close()
        self._is_listed = False

    def close_if_idle(self) -> bool:
        """Close what is open unless somebody in this process uses it; whether it was closed."""
        if not self.queue.enter(_evictor, 0.0):
            return False
        try:
            self.close()
            with contextlib.suppress(ValueError, IndexError):  # not listed, or the list changed just now
                _open.remove(self)
        finally:
            self.queue.leave()
        return True

    def forget(self) -> None:
        """Begin anew in a forked child, which holds nothing."""
        self.wire.forget()
        self.guard.forget()
        self.queue = Queue()
        self.hold = None
        self._mutex = threading.Lock()
        self._is_listed = False

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing():  # then everything was closed at exit, and the modules are being taken apart
            self.close()


def _close_one() -> None:
    """Close the descriptors of the place that has had them longest, among those that nobody uses now."""
    for _ in range(len(_open)):
        place = _open.popleft()
        if place.close_if_idle():
            return
        _open.append(place)


def _before_fork() -> None:
    beat.pause()
    gate.acquire()


def _after_fork_in_parent() -> None:
    gate.release()
    beat.resume()


def _after_fork_in_child() -> None:
    global _places_mutex
    _places_mutex = threading.Lock()
    beat.forget()
    _open.clear()
    for place in list(_places.values()):
        place.forget()
    gate.release()


def _at_exit() -> None:
    me = caller()
    for place in list(_places.values()):
        owner = place.queue.owner
        if isinstance(owner, ThreadOwner) and owner is not me:
            continue  # a daemon thread, perhaps at work inside its hold until the very end: the kernel releases that
        if place.hold is not None:
            with contextlib.suppress(OSError):
                place.drop()
        place.close()


def withdraw_what_rests() -> None:
    """Before a signal ends the process: take away the records of holds that are certainly not at work. For a signal
    handler: it takes no mutex, and keeps the kernel locks."""
    for hold in tuple(beat.holds):
        if is_at_rest(hold.place.queue.owner) and (hold.line is None or hold.line.owner is None):
            hold.place.wire.withdraw()


def _on_thread_end(owner: ThreadOwner) -> None:
    """A thread has ended without releasing, and nobody else can do it any more."""
    for hold in tuple(beat.holds):
        if hold.place.queue.owner is owner:
            hold.depth = 0
            sections.close(hold)


queue.on_thread_end = _on_thread_end
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
