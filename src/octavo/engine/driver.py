"""Carries out one turn: what the machine asks for, in one task group. It has no opinions.

Everything that happens comes in through one queue, so that the machine sees it, and listeners hear
of it, in one order. No task outlives `run`.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import aclosing
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from octavo.engine.display import Display
from octavo.engine.history import output_for
from octavo.engine.session import Session, TurnFrame
from octavo.engine.tape import described
from octavo.engine.turn import (
    AskToEnd,
    Begin,
    CancelTools,
    Command,
    Failed,
    Finish,
    Input,
    Interrupt,
    ItemArrived,
    MayEnd,
    Record,
    ResponseDone,
    RunTool,
    Sample,
    SampleFailed,
    State,
    Steer,
    StopSampling,
    ToolDone,
    TurnMachine,
)
from octavo.model import retry
from octavo.model.events import Done, ItemDone, ModelEvent
from octavo.protocol.errors import LimitReached, ModelError, ModelErrorKind, OctavoError
from octavo.protocol.events import Retrying
from octavo.protocol.history import CustomToolCall, FunctionCall, ToolCallItem, Unknown
from octavo.protocol.ids import CallId, ItemId
from octavo.protocol.items import ProposedPlan
from octavo.tools.base import ToolCall, ToolOutput, failed

PREPARE_S: Final = 0.001
STOP_S: Final = 2.0
"""A response that is closed, or a tool that is cancelled, gets so long to let go."""


class Streamed(Struct, frozen=True):
    """One value of the response with this number; those of a stopped response are ignored."""

    sample: int
    event: ModelEvent | ModelError


class Running(Struct):
    """A tool call that runs."""

    call: ToolCallItem
    exclusive: bool
    began: float
    done: asyncio.Event = field(default_factory=asyncio.Event)
    began_work: bool = False
    stop: str | None = None
    """A hook ends the turn after this call; why."""
    task: asyncio.Task[None] | None = None


class Driver:
    """One turn of one session. `run` returns when the turn is over."""

    def __init__(self, session: Session, frame: TurnFrame) -> None:
        self._session = session
        self._frame = frame
        planning = frame.planning
        self._tools = session.parts.tools if planning is None else planning.tools
        self._goals = session.parts.goals if planning is None else None
        self._machine = TurnMachine(retries=session.parts.stream_retries)
        self._inbox: asyncio.Queue[Input | Streamed] = asyncio.Queue()
        self._sample = 0
        self._sampling: asyncio.Task[None] | None = None
        self._running: dict[CallId, Running] = {}
        self._display = Display(frame.turn_id, plans=planning is not None)
        self._unreachable_since: float | None = None
        self._finish: Finish | None = None
        self._prepare: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._beside: set[asyncio.Task[None]] = set()

    def beside(self, work: Coroutine[None, None, None]) -> None:
        """Do this while the turn runs; its end ends it."""
        task = self._group.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def tell(self, event: Input) -> None:
        """Something happened outside: more input, an interrupt."""
        self._inbox.put_nowait(event)

    @property
    def steerable(self) -> bool:
        """Does input still reach this turn?"""
        return self._machine.steerable

    async def run(self, begin: Begin) -> Finish:
        """Work until the turn is over."""
        if self._goals is not None:
            self._goals.begin()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._watch_time()
                await self._feed(begin)
                while self._finish is None:
                    await self._take(await self._inbox.get())
            return self._finish
        finally:
            for timer in (self._prepare, self._deadline):
                if timer is not None:
                    timer.cancel()

    def _watch_time(self) -> None:
        """A budget of time ends the turn in the middle of whatever it does."""
        parts = self._session.parts
        left = parts.meter.seconds_left(parts.clock.monotonic())
        if left is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(left, self._out_of_time)

    def _out_of_time(self) -> None:
        error = self._session.parts.meter.out_of_time()
        self.tell(Failed(str(error), "limit", error.hint, error.exit_code))

    async def _take(self, news: Input | Streamed) -> None:
        if not isinstance(news, Streamed):
            await self._feed(news)
        elif news.sample == self._sample:
            await self._streamed(news.event)

    async def _feed(self, event: Input) -> None:
        for command in self._decided(event):
            try:
                await self._carry_out(command)
            except OctavoError as error:  # the disk, mostly: nothing was published
                self.tell(Failed(str(error), "store", error.hint, error.exit_code))

    def _decided(self, event: Input) -> Iterable[Command]:
        """What the machine makes of it."""
        tape = self._session.parts.tape
        if tape is None:
            return self._machine.feed(event)
        kept = {"kind": type(event).__name__, "value": described(event)}
        with tape.outside("feed", kept):
            commands = list(self._machine.feed(event))
            for command in commands:
                tape.say("command", [type(command).__name__, described(command)])
        return commands

    async def _carry_out(self, command: Command) -> None:
        match command:
            case Record(items=items):
                self._session.record(items)
            case Sample():
                self._begin_sampling(command)
            case StopSampling():
                await self._stop_sampling()
            case RunTool(call=call):
                self._start_tool(call)
            case CancelTools():
                for running in self._running.values():
                    if running.task is not None:
                        running.task.cancel()
            case AskToEnd():
                self._ask_to_end()
            case Finish():
                await self._stop_sampling()
                for task in self._beside:
                    task.cancel()
                self._finish = command

    def _ask_to_end(self) -> None:
        """Whoever may object is asked: hooks, while the queue stays open for the user; then the
        goal."""
        hooks = self._session.parts.hooks
        if hooks is None:
            self.tell(self._may_end())
            return

        async def ask() -> None:
            said = await hooks.may_end(self._frame.turn_id, self._frame.last_message)
            if said.messages:
                self.tell(MayEnd(tuple(self._session.named(one) for one in said.messages)))
            else:
                self.tell(self._may_end())

        self.beside(ask())

    def _may_end(self) -> MayEnd | Failed:
        """What the goal says when nobody else objects."""
        try:
            message = None if self._goals is None else self._goals.go_on()
        except OctavoError as error:  # the disk
            return Failed(str(error), "store", error.hint, error.exit_code)
        return MayEnd(() if message is None else (self._session.named(message),))

    async def _spent_up(self) -> None:
        """The goal's budget may have been spent in the middle of the work."""
        if self._goals is None or self._machine.state not in (State.SAMPLING, State.SETTLING):
            return
        message = self._goals.spent_up()
        if message is not None:
            await self._feed(Steer((self._session.named(message),)))

    # ---- the model ----------------------------------------------------------------------------

    def _begin_sampling(self, command: Sample) -> None:
        self._sample += 1
        self._display = Display(self._frame.turn_id, plans=self._frame.planning is not None)
        work = self._ask(self._sample, command)
        self._sampling = self._group.create_task(work, name=f"response {self._sample}")
        if self._sample == 1:
            # after the request has gone out: while the model thinks, there is time
            loop = asyncio.get_running_loop()
            self._prepare = loop.call_later(PREPARE_S, self._frame.context.launcher.prepare)
            if self._frame.guard is not None:
                self._frame.guard.begin_soon()

    async def _stop_sampling(self) -> None:
        self._sample += 1  # what is still in the queue belongs to nobody
        if self._sampling is not None and not self._sampling.done():
            self._sampling.cancel()
            await asyncio.wait([self._sampling], timeout=STOP_S)
        self._sampling = None

    async def _ask(self, number: int, command: Sample) -> None:
        if command.after_ms or command.attempt:
            self._announce(command)
            await self._session.parts.clock.sleep(command.after_ms / 1000)
        try:
            await self._ready()
            async with aclosing(self._session.stream(self._frame)) as stream:
                async for event in stream:
                    self._inbox.put_nowait(Streamed(number, event))
        except ModelError as error:
            self._inbox.put_nowait(Streamed(number, error))
        except OctavoError as error:
            code = "limit" if isinstance(error, LimitReached) else "other"
            self.tell(Failed(str(error), code, error.hint, error.exit_code))

    async def _ready(self) -> None:
        """Before each request: is there anything left to spend, and does the history fit?"""
        session = self._session
        session.parts.meter.check(session.parts.clock.monotonic())
        if self._goals is not None:
            self._goals.check()
        if session.parts.before_request is not None:
            await session.parts.before_request()
        if session.too_long:
            from octavo.engine.compaction import compact  # noqa: PLC0415 - seldom needed

            await compact(session, self._frame)

    def _announce(self, command: Sample) -> None:
        limit = self._machine.retries
        counted = command.attempt <= limit and self._unreachable_since is None
        number = f"{command.attempt}/{limit} " if counted else ""
        self._session.publish(
            Retrying(
                turn_id=self._frame.turn_id,
                message=f"Reconnecting... {number}({command.reason})",
                attempt=command.attempt,
                limit=limit,
                delay_ms=command.after_ms,
            )
        )

    async def _streamed(self, event: ModelEvent | ModelError) -> None:
        if isinstance(event, ModelError):
            await self._feed(self._failure(event))
            return
        self._unreachable_since = None
        for shown in self._display.show(event):
            self._session.publish(shown)
        match event:
            case ItemDone(item=Unknown() as item):
                self._session.keep_unknown(item)
            case ItemDone(item=item) if not isinstance(item, Unknown):
                named = self._session.named(item)
                await self._feed(ItemArrived(named))
                finished = self._display.finished(named)
                for one in finished:
                    self._session.completed(self._frame, one)
                if any(isinstance(one, ProposedPlan) for one in finished):
                    # the last words of a turn are all of them, the plan too
                    texts = (getattr(one, "text", "") for one in finished)
                    self._frame.last_message = "\n\n".join(texts)
            case Done(usage=usage, end_turn=end_turn, response_id=response_id):
                self._session.counted(self._frame, usage, response_id)
                await self._feed(ResponseDone(end_turn))
                await self._spent_up()
            case _:
                return

    def _failure(self, error: ModelError) -> SampleFailed:
        """The machine's view of an error: may it heal, and when to ask again."""
        parts = self._session.parts
        wait: int | None = None
        if error.kind is ModelErrorKind.CONTEXT_WINDOW and not self._session.fresh:
            self._session.full = True  # shortened before it is asked again
            return SampleFailed(str(error), error.kind, error.hint, error.exit_code, 0)
        counted = error.kind is not ModelErrorKind.UNREACHABLE
        attempt = self._machine.attempt + 1
        if counted:
            notice = retry.next_retry(
                error, attempt, parts.stream_retries, jitter=parts.ids.jitter()
            )
            wait = None if notice is None else notice.delay_ms
        else:
            wait = self._wait_for_connection(attempt)
        return SampleFailed(str(error), error.kind, error.hint, error.exit_code, wait, counted)

    def _wait_for_connection(self, attempt: int) -> int | None:
        parts = self._session.parts
        now = parts.clock.monotonic()
        if self._unreachable_since is None:
            self._unreachable_since = now
        wait = retry.unreachable_ms(attempt)
        if parts.unreachable_s is None:
            return wait
        left_ms = round((self._unreachable_since + parts.unreachable_s - now) * 1000)
        return min(wait, left_ms) if left_ms > 0 else None

    # ---- tools --------------------------------------------------------------------------------

    def _start_tool(self, call: ToolCallItem) -> None:
        asked = tool_call(call)
        running = Running(
            call,
            exclusive=not self._tools.parallel(asked),
            began=self._session.parts.clock.monotonic(),
        )
        earlier = [
            other
            for other in self._running.values()
            if not other.done.is_set() and (running.exclusive or other.exclusive)
        ]
        self._running[asked.call_id] = running
        if self._goals is not None:
            self._goals.called(asked.name)
        if self._session.parts.desk is not None:
            self._session.parts.desk.expect(asked.call_id)
        running.task = self._group.create_task(
            self._run_tool(running, asked, earlier), name=f"tool {asked.name} {asked.call_id}"
        )
        running.task.add_done_callback(lambda _task: self._never_began(running, asked))

    def _never_began(self, running: Running, asked: ToolCall) -> None:
        """A task that is cancelled before its first step answers nothing by itself."""
        if not running.began_work:
            running.done.set()
            answer = failed(self._tools.aborted(asked, 0.0))
            self.tell(self._answered(running.call, asked.call_id, answer))

    async def _run_tool(self, running: Running, asked: ToolCall, earlier: list[Running]) -> None:
        """Run the call and answer, whatever happens: a call without an output spoils a thread."""
        parts = self._session.parts
        running.began_work = True
        try:
            for other in earlier:
                await other.done.wait()
            if self._frame.guard is not None:
                await self._frame.guard.ready(asked.name)
            answer = await self._call(running, asked)
        except asyncio.CancelledError:
            elapsed = parts.clock.monotonic() - running.began
            answer = failed(self._tools.aborted(asked, elapsed))
        except OctavoError as error:
            answer = failed(str(error))
        finally:
            running.done.set()
            if parts.desk is not None:
                parts.desk.over(asked.call_id)
        if parts.redact is not None:
            answer = replace(answer, output=parts.redact.content(answer.output))
        self.tell(self._answered(running.call, asked.call_id, answer))
        if answer.ends_turn:
            self.tell(Interrupt(self._session.stopped_marker()))
        if running.stop is not None:
            self.tell(Failed(running.stop, "hook"))

    async def _call(self, running: Running, asked: ToolCall) -> ToolOutput:
        """The tool itself, with the hooks before and after it."""
        parts, context = self._session.parts, self._frame.context
        hooks = parts.hooks
        if hooks is None:
            return await self._tools.run(asked, context)
        before = await hooks.before(asked, context)
        if before.answer is not None:
            return replace(before.answer, also=(*before.also, *before.answer.also))
        answer = await self._tools.run(before.call, context)
        if parts.redact is not None:
            answer = replace(answer, output=parts.redact.content(answer.output))
        answer = replace(answer, also=(*before.also, *answer.also))
        after = await hooks.after(before.call, answer, context)
        running.stop = after.stop
        return after.answer

    def _answered(self, call: ToolCallItem, call_id: CallId, answer: ToolOutput) -> ToolDone:
        prefix = "ctco" if isinstance(call, CustomToolCall) else "fco"
        item_id = ItemId(f"{prefix}_{self._session.parts.ids.uuid()}")
        output = output_for(call, answer.output, item_id)
        also = tuple(self._session.named(message) for message in answer.also)
        return ToolDone(call_id, output, also)


def tool_call(call: ToolCallItem) -> ToolCall:
    """The call as tools take it."""
    if isinstance(call, FunctionCall):
        return ToolCall(
            call_id=call.call_id,
            name=call.name,
            namespace=call.namespace,
            arguments=call.arguments,
        )
    if isinstance(call, CustomToolCall):
        return ToolCall(
            call_id=call.call_id,
            name=call.name,
            namespace=call.namespace,
            arguments=call.input,
            custom=True,
        )
    return ToolCall(call_id=call.call_id or CallId(call.id or ""), name="local_shell", arguments="")
