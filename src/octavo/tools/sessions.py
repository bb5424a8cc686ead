"""The commands of a thread: started by one call, read and written to by later ones.

A command keeps its number until its end has been told. Outputs collect in bounded memory: what is
new since the last answer, and all of it for clients. Use with `async with`; leaving ends all.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import TracebackType
from typing import Final, Literal, Self

from msgspec import Struct

from octavo.policy.paths import printable
from octavo.process.child import end, within
from octavo.process.output import Captured, HeadTailBuffer, Utf8Deltas
from octavo.process.pump import Pump
from octavo.process.run import DRAIN_S
from octavo.process.spec import MIB, OutputCaps
from octavo.process.table import (
    INTERRUPT,
    SIGINT,
    Entry,
    ProcessId,
    Standing,
    TableLimits,
    UnknownProcessError,
    choose_victim,
    random_ids,
)
from octavo.protocol.errors import LimitReached, UsageError
from octavo.protocol.events import CommandOutputDelta, Event, ItemCompleted, ItemStarted
from octavo.protocol.ids import ItemId, TurnId
from octavo.protocol.items import CommandExecution, DenialNote
from octavo.protocol.seams import Clock
from octavo.sandbox.confined import Confined

HOST_GRANT: Final = "--allow "
"""How the grants of hosts begin."""
STOP_S: Final = 0.05
"""A command of an interrupted turn gets so long to end politely."""
MOST_DELTAS: Final = 10_000
"""Live pieces of output per command; the item at the end has the rest."""
MOST_SHOWN: Final = 60
"""Letters of a command in a notice."""

Status = Literal["completed", "failed", "declined"]
Starter = Callable[[], Awaitable[Confined]]


class Told(Struct, frozen=True, kw_only=True):
    """What a command did since the last time somebody asked."""

    process_id: ProcessId
    output: Captured
    lines: int
    exit_code: int | None
    """None while it runs."""
    denials: tuple[DenialNote, ...] = ()
    """Once it has ended."""


class Shown:
    """One command as clients see it: begin, output, end. `emit` takes the events."""

    def __init__(
        self,
        *,
        item_id: ItemId,
        turn_id: TurnId,
        argv: tuple[str, ...],
        cwd: str,
        clock: Clock,
        emit: Callable[[Event], None],
    ) -> None:
        self.item_id = item_id
        self.turn_id = turn_id
        self.argv = argv
        self.cwd = cwd
        self.process_id: ProcessId | None = None
        self._clock = clock
        self._emit = emit
        self._began = clock.monotonic()
        self._all = HeadTailBuffer(head_bytes=MIB // 2, tail_bytes=MIB // 2)
        self._deltas = Utf8Deltas()
        self._sent = 0

    def begin(self) -> None:
        """It is about to start."""
        self._began = self._clock.monotonic()
        self._emit(ItemStarted(turn_id=self.turn_id, item=self._item("in_progress")))

    def output(self, data: bytes) -> None:
        """It wrote something."""
        self._all.append(data)
        text = self._deltas.feed(data)
        if text and self._sent < MOST_DELTAS:
            self._sent += 1
            self._emit(CommandOutputDelta(item_id=self.item_id, text=text))

    @property
    def text(self) -> str:
        """What it wrote, the middle left out when it is long."""
        return self._all.snapshot().text()

    def end(
        self, status: Status, exit_code: int | None, denials: tuple[DenialNote, ...] = ()
    ) -> None:
        """It is over, or was never started."""
        item = self._item(status, exit_code, denials)
        self._emit(ItemCompleted(turn_id=self.turn_id, item=item))

    def _item(
        self,
        status: Literal["in_progress", "completed", "failed", "declined"],
        exit_code: int | None = None,
        denials: tuple[DenialNote, ...] = (),
    ) -> CommandExecution:
        running = status == "in_progress"
        elapsed_ms = round((self._clock.monotonic() - self._began) * 1000)
        return CommandExecution(
            id=self.item_id,
            command=self.argv,
            cwd=self.cwd,
            status=status,
            aggregated_output=self._all.snapshot().text(),
            exit_code=exit_code,
            duration_ms=None if running else elapsed_ms,
            process_id=self.process_id,
            denials=denials,
        )


class Command:
    """One running command."""

    def __init__(self, process_id: ProcessId, shown: Shown, confined: Confined) -> None:
        self.process_id = process_id
        self.shown = shown
        self.confined = confined
        self.pump = Pump(
            confined.child,
            caps=OutputCaps(),
            single_buffer=True,
            on_output=lambda _stream, data: self._heard(data),
        )
        self.entry = Entry(confined.child, self.pump)
        self.turns = asyncio.Lock()
        """Writes and polls of one command come one after the other."""
        self.denials: tuple[DenialNote, ...] = ()
        self._newlines = 0
        self._line_open = False

    def _heard(self, data: bytes) -> None:
        self._newlines += data.count(b"\n")
        self._line_open = not data.endswith(b"\n")
        self.shown.output(data)

    async def watch(self) -> None:
        """Until it is over and clients know."""
        await self.entry.watch()
        # Ends what it left behind in its sandbox: only then are the denials complete.
        self.entry.release()
        assert self.entry.status is not None
        code = self.entry.status.shell_code
        refused = (*self.confined.denials(), *self.confined.hints(self.shown.text))
        self.denials = tuple(
            # a path may hold line ends, or bytes that no record and no request can carry
            DenialNote(
                operation=one.operation,
                subject=printable(one.subject),
                rule=str(one.rule),
                grant=one.grant if one.grant.startswith(HOST_GRANT) else "",
            )
            for one in refused
        )
        self.shown.end("completed" if code == 0 else "failed", code, self.denials)

    def told(self) -> Told:
        """What is new; afterwards it is not new any more."""
        exited = self.entry.done.is_set() and self.entry.status is not None
        output = self.pump.take(final=exited)
        lines = self._newlines + (1 if self._line_open and output.total_bytes else 0)
        self._newlines = 0
        return Told(
            process_id=self.process_id,
            output=output,
            lines=lines,
            exit_code=self.entry.status.shell_code if exited and self.entry.status else None,
            denials=self.denials if exited else (),
        )


class Sessions:
    """Owner of a thread's commands. Numbers come from `ids` (random when not given)."""

    def __init__(
        self, *, limits: TableLimits | None = None, ids: Iterator[int] | None = None
    ) -> None:
        self.limits = limits or TableLimits()
        self._ids = random_ids() if ids is None else ids
        self._commands: dict[ProcessId, Command] = {}
        self._starting: set[ProcessId] = set()
        self._uses = count(1)
        self._group = asyncio.TaskGroup()
        self._watchers: set[asyncio.Task[None]] = set()

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
            await self.end_all()
        finally:
            for command in self._commands.values():
                command.entry.release()
            for watcher in self._watchers:
                watcher.cancel()
            cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
            # The group would wrap an error of the block in one of its own.
            given = (kind, error, trace) if cancelled else (None, None, None)
            await self._group.__aexit__(*given)

    def __len__(self) -> int:
        return len(self._commands)

    def described(self) -> tuple[str, ...]:
        """What still runs, one line each, with the id that `write_stdin` takes."""
        return tuple(
            f"session {process_id}: {command.shown.argv[-1]}"
            for process_id, command in self._commands.items()
            if command.entry.status is None
        )

    def __contains__(self, process_id: object) -> bool:
        return process_id in self._commands

    async def start(self, starter: Starter, shown: Shown) -> tuple[ProcessId, str | None]:
        """Make room, start a command, keep it: its number, and what had to end for it, in words.

        Raises LimitReached when every place is taken by a command that somebody waits for, and
        whatever the starter raises; clients have been told then.
        """
        evicted = await self._make_room()
        process_id = self._free_id()
        shown.process_id = process_id
        self._starting.add(process_id)
        shown.begin()
        try:
            confined = await starter()
        except BaseException:
            shown.end("failed", None)
            raise
        finally:
            self._starting.discard(process_id)
        command = Command(process_id, shown, confined)
        command.entry.used = next(self._uses)
        self._commands[process_id] = command
        watcher = self._group.create_task(command.watch(), name=f"command {process_id}")
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return process_id, evicted

    async def poll(self, process_id: int, *, yield_s: float) -> Told:
        """Wait for the end, at most so long; what is new. Raises UnknownProcessError."""
        with self._using(process_id) as command:
            async with command.turns:
                return await self._wait(command, yield_s)

    async def write(self, process_id: int, data: bytes, *, yield_s: float) -> Told:
        """Type into a command, give it a moment, then as `poll`.

        A command without a terminal takes a single control-C, which interrupts it; for anything
        else UsageError. Raises LimitReached when it has stopped reading, UnknownProcessError.
        """
        with self._using(process_id) as command:
            async with command.turns:
                if not command.entry.done.is_set():
                    self._type(command, data)
                    await within(self.limits.settle_s, command.entry.done.wait())
                return await self._wait(command, yield_s)

    async def stop(self, process_id: int) -> None:
        """End a command with all that belongs to it; nothing happens when there is none."""
        command = self._commands.get(ProcessId(process_id))
        if command is not None:
            await self._end(command, STOP_S)
            self._commands.pop(command.process_id, None)

    async def end_all(self) -> None:
        """End every command, side by side: an interrupted turn, a closed thread."""
        try:
            async with asyncio.TaskGroup() as group:
                for command in self._commands.values():
                    group.create_task(self._end(command, STOP_S))
        finally:
            for command in self._commands.values():
                command.entry.release()
            self._commands.clear()

    async def _wait(self, command: Command, yield_s: float) -> Told:
        await within(yield_s, command.entry.done.wait())
        told = command.told()
        if told.exit_code is not None:
            self._commands.pop(command.process_id, None)
        return told

    @staticmethod
    def _type(command: Command, data: bytes) -> None:
        child = command.confined.child
        if child.terminal_fd is not None:
            command.pump.feeder().write(data)
        elif data == INTERRUPT:
            child.send_signal(SIGINT)
        else:
            raise UsageError(
                f"command {command.process_id} has no terminal: its input is closed",
                hint="Start it with `tty: true` to write to it.",
            )

    @staticmethod
    async def _end(command: Command, grace_s: float) -> None:
        if not command.entry.done.is_set():
            await end(command.confined.child, grace_s=grace_s)
            await within(DRAIN_S * 2, command.entry.done.wait())

    @contextmanager
    def _using(self, process_id: int) -> Iterator[Command]:
        command = self._commands.get(ProcessId(process_id))
        if command is None:
            raise UnknownProcessError(process_id)
        command.entry.used = next(self._uses)
        command.entry.pins += 1
        try:
            yield command
        finally:
            command.entry.pins -= 1

    async def _make_room(self) -> str | None:
        """Words about who had to go; None when there was room."""
        gone: list[str] = []
        while len(self._commands) + len(self._starting) >= self.limits.processes:
            victim = choose_victim(self._standings(), spared=self.limits.spared)
            if victim is None:
                raise LimitReached(
                    f"{self.limits.processes} commands are running and all are waited for",
                    hint="End one of them first.",
                )
            command = self._commands.pop(victim)
            over = command.entry.done.is_set()
            await self._end(command, 0)
            fate = "had ended; its last output is gone" if over else "was ended"
            script = shlex.join(command.shown.argv)
            script = script if len(script) <= MOST_SHOWN else script[:MOST_SHOWN] + "…"
            gone.append(f"session {victim} ({script}) {fate}")
        if not gone:
            return None
        return f"Only {self.limits.processes} commands are kept: {', '.join(gone)}."

    def _standings(self) -> Iterator[Standing]:
        for process_id, command in self._commands.items():
            yield Standing(
                process_id=process_id,
                used=command.entry.used,
                exited=command.entry.done.is_set(),
                pinned=command.entry.pins > 0,
            )

    def _free_id(self) -> ProcessId:
        for number in self._ids:
            process_id = ProcessId(number)
            if process_id not in self._commands and process_id not in self._starting:
                return process_id
        raise UsageError("the source of process numbers has run dry")
