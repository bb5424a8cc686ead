"""Events to whoever listens: in order, items never lost, deltas merged for slow readers.

A listener owns its queue; one that stops reading costs bounded memory, because neighbouring deltas
of one item become one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from msgspec.structs import replace

from octavo.protocol.events import (
    AgentMessageDelta,
    CommandOutputDelta,
    Event,
    PatchDelta,
    ReasoningDelta,
)

MERGE_FROM: Final = 64
"""Waiting events from which deltas are merged: a reader this far behind sees no single tokens."""
MAX_MERGED_CHARS: Final = 1 << 20
"""The most a merged delta holds; what is older was on the screen for nobody."""


class Listener:
    """One reader's queue. Iterate over it; `close` ends the iteration after what is queued."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        """Queue one event; a delta may join the one before it."""
        if self._closed:
            return
        if len(self._events) >= MERGE_FROM:
            merged = merge(self._events[-1], event)
            if merged is not None:
                self._events[-1] = merged
                return
        self._events.append(event)
        self._news.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._closed:
                return
            self._news.clear()
            await self._news.wait()


class Bus:
    """Hands every event to every listener, in the order it was published."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self) -> Listener:
        """A new reader: it gets what is published from now on."""
        listener = Listener()
        self._listeners.append(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """No more events for this reader."""
        listener.close()
        if listener in self._listeners:
            self._listeners.remove(listener)

    def publish(self, event: Event) -> None:
        """To everybody."""
        for listener in self._listeners:
            listener.put(event)

    def close(self) -> None:
        """The thread is closed: every reader comes to its end."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()


Delta = AgentMessageDelta | CommandOutputDelta | PatchDelta | ReasoningDelta


def merge(before: Event, after: Event) -> Event | None:
    """Two neighbouring deltas of one item as one; None when they are something else."""
    if not isinstance(before, Delta) or not isinstance(after, Delta):
        return None
    if type(before) is not type(after) or replace(before, text="") != replace(after, text=""):
        return None
    return replace(before, text=(before.text + after.text)[-MAX_MERGED_CHARS:])
