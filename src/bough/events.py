"""The events of a manager: who listens, and how they are told.

1. A handler gets a dict of its own.
2. A handler that raises stops neither the others nor the events after it; the errors are raised together at the end.

This is not pyee's EventEmitter because that stops at the first error, and offers no way to collect them that also
honours ``once``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from bough.errors import InvalidRequestError

EventName: TypeAlias = Literal[
    "branch:created", "branch:forked", "branch:checkout", "branch:merged", "branch:deleted", "branch:renamed"
]
Handler: TypeAlias = Callable[[dict[str, Any]], object]


class Event(NamedTuple):
    """One event: its name and what the handlers get."""

    name: EventName
    payload: dict[str, Any]


class _Listener(NamedTuple):
    handler: Handler
    once: bool


class Events:
    """Handlers by event. May be used from several threads; handlers run in the thread that made the change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, list[_Listener]] = {name: [] for name in get_args(EventName)}

    def add(self, event: EventName, handler: Handler, *, once: bool) -> None:
        """``handler`` is told of each ``event``, or of the next only. ``InvalidRequestError`` for an unknown one."""
        with self._lock:
            self._of(event).append(_Listener(handler, once))

    def remove(self, event: EventName, handler: Handler) -> None:
        """Takes back the newest registration of ``handler``; harmless where there is none."""
        with self._lock:
            listeners = self._of(event)
            for at in range(len(listeners) - 1, -1, -1):
                if listeners[at].handler == handler:
                    del listeners[at]
                    return

    def send(self, events: Iterable[Event]) -> None:
        """Tells of each event in turn. Raises an ``ExceptionGroup`` of what the handlers raised."""
        errors: list[Exception] = []
        for event in events:
            for handler in self._take(event.name):
                try:
                    handler(dict(event.payload))
                except Exception as error:  # noqa: BLE001  (collected, and raised below)
                    errors.append(error)
        if errors:
            raise ExceptionGroup("the change was made, but handlers of its events failed", errors)

    def _take(self, event: EventName) -> list[Handler]:
        with self._lock:
            listeners = self._of(event)
            called = [listener.handler for listener in listeners]
            listeners[:] = [listener for listener in listeners if not listener.once]
        return called

    def _of(self, event: str) -> list[_Listener]:
        if event not in self._listeners:
            raise InvalidRequestError(f"no event {event!r}", hint=f"the events are {', '.join(self._listeners)}")
        return self._listeners[event]
