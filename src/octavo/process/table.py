"""Long-lived commands by number: start, poll, write, resize, wait, terminate, evict.

Between polls outputs collect with head and tail, so a forgotten command costs bounded memory.
The table owns its children and tasks: use it with `async with`, in one task; leaving ends all.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from types import TracebackType
from typing import Final, Literal, NewType, Self

from msgspec import Struct

from octavo.process.child import GRACE_S, Child, end, within
from octavo.process.output import Captured
from octavo.process.pump import OnOutput, Pump
from octavo.process.run import DRAIN_S
from octavo.process.spec import ExitStatus, OutputCaps
from octavo.protocol.errors import LimitReached, UsageError

ProcessId = NewType("ProcessId", int)
Starter = Callable[[], Awaitable[Child]]
"""Starts the command once there is room for it, e.g. `lambda: pipes.start(spec)`."""

FIRST_ID: Final = 1_000
LAST_ID: Final = 99_999
INTERRUPT: Final = b"\x03"
"""Control-C: the only input a command without any input may get; it becomes SIGINT."""
SIGINT: Final = 2  # the same number everywhere; the module is not needed for it


Asked = Literal["start", "write", "poll"]
"""Why somebody waits: for a new command, after typing into one, or only to look."""
# milliseconds: when nothing is said, at least, at most
YIELD_MS: Final[dict[Asked, tuple[int, int, int]]] = {
    "start": (10_000, 250, 30_000),
    "write": (250, 250, 30_000),
    "poll": (5_000, 5_000, 300_000),
}


def yield_ms(asked: Asked, wanted_ms: int | None) -> int:
    """How long a call may wait before it answers, within the bounds for its kind."""
    usual, least, most = YIELD_MS[asked]
    return usual if wanted_ms is None else min(max(wanted_ms, least), most)


class TableLimits(Struct, frozen=True, kw_only=True):
    """How many commands are kept, and which are safe from eviction."""

    processes: int = 64
    spared: int = 8
    """So many of the most recently used are evicted last."""
    settle_s: float = 0.1
    """After a write: time for the command to take the input and answer."""
    grace_s: float = GRACE_S


class UnknownProcessError(UsageError):
    """There is no command with that number, or its end has been reported already."""

    def __init__(self, process_id: int) -> None:
        super().__init__(f"there is no running command with id {process_id}")
        self.process_id = process_id


class Polled(Struct, frozen=True, kw_only=True):
    """What happened to a command since the last poll."""

    process_id: ProcessId
    output: Captured
    """Both outputs in the order they arrived."""
    status: ExitStatus | None
    """None while it runs. Once it is given the number is forgotten."""
    waited_ms: int


class Standing(Struct, frozen=True, kw_only=True):
    """What the choice of a victim depends on."""

    process_id: ProcessId
    used: int
    """Larger is more recent."""
    exited: bool
    pinned: bool
    """Somebody is waiting for it at this moment."""


def choose_victim(standings: Iterable[Standing], *, spared: int) -> ProcessId | None:
    """Whom to evict: the longest unused that has exited, else the longest unused.

    The `spared` most recently used come into question only when nobody else is left; a pinned
    one never does.
    """
    by_age = sorted(standings, key=lambda one: one.used)
    cut = max(0, len(by_age) - spared)
    for group in (by_age[:cut], by_age[cut:]):
        free = [one for one in group if not one.pinned]
        for one in (*(one for one in free if one.exited), *free):
            return one.process_id
    return None


class Entry:
    """One command in the table."""

    def __init__(self, child: Child, pump: Pump) -> None:
        self.child = child
        self.pump = pump
        self.status: ExitStatus | None = None
        self.done = asyncio.Event()
        self.used = 0
        self.pins = 0

    async def watch(self) -> None:
        """Until the command has ended and its outputs are read."""
        status = await self.child.wait()
        await self.pump.drain(DRAIN_S)
        self.pump.close()
        self.status = status
        self.done.set()

    def release(self) -> None:
        """Everything back to the system."""
        self.pump.close()
        self.child.close()


class ProcessTable:
    """Owner of long-lived commands. Numbers are drawn from `ids` (random when not given)."""

    def __init__(
        self, *, limits: TableLimits | None = None, ids: Iterator[int] | None = None
    ) -> None:
        self.limits = limits or TableLimits()
        self._ids = random_ids() if ids is None else ids
        self._entries: dict[ProcessId, Entry] = {}
        self._starting: set[ProcessId] = set()
        self._closed = False
        self._uses = count(1)
        self._group = asyncio.TaskGroup()
        self._watchers: dict[ProcessId, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        finally:
            # The group would wrap an error of the block in one of its own; only what it does
            # with a cancellation is its business.
            if kind is not None and issubclass(kind, asyncio.CancelledError):
                await self._group.__aexit__(kind, error, trace)
            else:
                await self._group.__aexit__(None, None, None)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, process_id: object) -> bool:
        return process_id in self._entries

    def ids(self) -> list[ProcessId]:
        """All numbers, the longest unused first."""
        return sorted(self._entries, key=lambda one: self._entries[one].used)

    async def start(
        self,
        starter: Starter,
        *,
        caps: OutputCaps | None = None,
        on_output: OnOutput | None = None,
    ) -> ProcessId:
        """Make room, start a command and keep it; its number.

        `on_output` hears each piece of output at once; what it raises ends the command and
        comes out of the next poll. Raises LimitReached when every place is taken by a command
        that somebody waits for, and whatever the starter raises.
        """
        await self._make_room()
        process_id = self._free_id()
        self._starting.add(process_id)
        try:
            child = await starter()
        finally:
            self._starting.discard(process_id)
        if self._closed:
            child.close()
            raise UsageError("the table of commands was closed in the meantime")
        pump = Pump(child, caps=caps or OutputCaps(), single_buffer=True, on_output=on_output)
        entry = Entry(child, pump)
        entry.used = next(self._uses)
        self._entries[process_id] = entry
        self._watchers[process_id] = self._group.create_task(
            entry.watch(), name=f"process {process_id}"
        )
        return process_id

    async def poll(self, process_id: ProcessId, *, yield_s: float) -> Polled:
        """Wait until the command ends, at most `yield_s`; the output since the last poll.

        Raises UnknownProcessError.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        with self._using(process_id) as entry:
            await within(yield_s, entry.done.wait())
            return self._report(process_id, entry, since=started)

    async def wait(self, process_id: ProcessId) -> Polled:
        """Until the command ends, however long that takes. Raises UnknownProcessError."""
        started = asyncio.get_running_loop().time()
        with self._using(process_id) as entry:
            await entry.done.wait()
            return self._report(process_id, entry, since=started)

    async def write(self, process_id: ProcessId, data: bytes) -> None:
        """Type into the command, then give it a moment to answer (`limits.settle_s`).

        A command whose input is closed takes a single control-C, which interrupts it; anything
        else raises UsageError. Raises LimitReached when it has stopped reading, UnknownProcessError.
        """
        with self._using(process_id) as entry:
            if entry.done.is_set() or not data:
                return
            if data == INTERRUPT and entry.child.terminal_fd is None:
                entry.child.send_signal(SIGINT)
            else:
                entry.pump.feeder().write(data)
            await within(self.limits.settle_s, entry.done.wait())

    def end_input(self, process_id: ProcessId) -> None:
        """No more input after what was written. Raises UnknownProcessError, UsageError."""
        with self._using(process_id) as entry:
            entry.pump.feeder().end()

    def resize(self, process_id: ProcessId, *, rows: int, cols: int) -> None:
        """Give the command's terminal a new size. Raises UnknownProcessError, UsageError."""
        with self._using(process_id) as entry:
            entry.child.resize(rows, cols)

    async def terminate(self, process_id: ProcessId) -> Polled:
        """End the command with all that belongs to it, and report the rest of its output.

        Raises UnknownProcessError.
        """
        started = asyncio.get_running_loop().time()
        with self._using(process_id) as entry:
            try:
                await end(entry.child, grace_s=self.limits.grace_s)
                await within(DRAIN_S * 2, entry.done.wait())
                return self._report(process_id, entry, since=started, last=True)
            finally:
                self._drop(process_id)

    async def close(self) -> None:
        """End everything, side by side. Whatever interrupts this, the kills are sent."""
        self._closed = True
        try:
            async with asyncio.TaskGroup() as group:
                for entry in self._entries.values():
                    group.create_task(end(entry.child, grace_s=self.limits.grace_s))
        finally:
            for process_id in list(self._entries):
                self._drop(process_id)

    @contextmanager
    def _using(self, process_id: ProcessId) -> Iterator[Entry]:
        entry = self._entries.get(process_id)
        if entry is None:
            raise UnknownProcessError(process_id)
        entry.used = next(self._uses)
        entry.pins += 1
        try:
            yield entry
        finally:
            entry.pins -= 1

    def _report(
        self, process_id: ProcessId, entry: Entry, *, since: float, last: bool = False
    ) -> Polled:
        exited = entry.done.is_set()
        output = entry.pump.take(final=exited or last)
        if exited:
            self._drop(process_id)
        if entry.pump.failure is not None:
            self._drop(process_id)
            raise entry.pump.failure
        status = entry.status if exited else ExitStatus() if last else None
        waited_ms = round((asyncio.get_running_loop().time() - since) * 1000)
        return Polled(process_id=process_id, output=output, status=status, waited_ms=waited_ms)

    async def _make_room(self) -> None:
        while len(self._entries) + len(self._starting) >= self.limits.processes:
            victim = choose_victim(self.standings(), spared=self.limits.spared)
            if victim is None:
                raise LimitReached(
                    f"{self.limits.processes} commands are running and all are waited for",
                    hint="End one of them first.",
                )
            entry = self._entries.pop(victim)
            try:
                await end(entry.child, grace_s=0)
            finally:
                self._discard(victim, entry)

    def standings(self) -> Iterator[Standing]:
        """How each command stands in the choice of a victim."""
        for process_id, entry in self._entries.items():
            yield Standing(
                process_id=process_id,
                used=entry.used,
                exited=entry.done.is_set(),
                pinned=entry.pins > 0,
            )

    def _free_id(self) -> ProcessId:
        for number in self._ids:
            process_id = ProcessId(number)
            if process_id not in self._entries and process_id not in self._starting:
                return process_id
        raise UsageError("the source of process numbers has run dry")

    def _drop(self, process_id: ProcessId) -> None:
        entry = self._entries.pop(process_id, None)
        if entry is not None:
            self._discard(process_id, entry)

    def _discard(self, process_id: ProcessId, entry: Entry) -> None:
        self._watchers.pop(process_id).cancel()
        entry.release()


def random_ids() -> Iterator[int]:
    """Numbers a model does not guess by counting."""
    while True:
        drawn = int.from_bytes(os.urandom(8), "little")  # so long that no number is likelier
        yield FIRST_ID + drawn % (LAST_ID - FIRST_ID + 1)
