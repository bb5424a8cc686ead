"""A thread as programs use it: ask, watch, steer, stop, fork."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from os.path import exists
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from octavo.api.opened import Opened
from octavo.engine.bus import Listener
from octavo.engine.running import CompactingTurn, RunningTurn
from octavo.model.request import OutputSchema
from octavo.protocol.content import ContentPart, TextInput, UserInput
from octavo.protocol.errors import OctavoError, SandboxUnavailable, UsageError
from octavo.protocol.events import Ending, Event, Goal, ItemCompleted, TurnFailed, TurnInterrupted
from octavo.protocol.history import FunctionCall, FunctionCallOutput, KnownItem, Message
from octavo.protocol.ids import CallId, ThreadId, TurnId
from octavo.protocol.items import Item
from octavo.protocol.usage import TokenUsage

if TYPE_CHECKING:
    from octavo.api.engine import Engine
    from octavo.engine.goals import GoalKeeper
    from octavo.engine.modes import Mode
    from octavo.engine.review import Target
    from octavo.engine.reviewer import Denied

END_S: Final = 10.0
"""A turn that is stopped gets so long to end its commands; then its task is cancelled."""
PROMPT_CALL: Final = "/prompts:"
Prompt = str | UserInput | Sequence[UserInput]


class TurnFailedError(OctavoError):
    """The turn could not be finished; `ending` says why."""

    def __init__(self, ending: TurnFailed) -> None:
        super().__init__(ending.message, hint=ending.hint)
        self.ending = ending


class TurnResult(Struct, frozen=True, kw_only=True):
    """How a turn went."""

    turn_id: TurnId
    final_message: str
    """The last thing the model said; empty when it said nothing."""
    items: tuple[Item, ...]
    """Everything that was finished, in order."""
    usage: TokenUsage
    """Of the whole thread so far."""
    ending: Ending

    @property
    def interrupted(self) -> bool:
        """Somebody stopped it."""
        return isinstance(self.ending, TurnInterrupted)


class BudgetExceeded(TurnFailedError):  # noqa: N818 - says what is
    """The turn ended because nothing more may be spent."""


class ExternalOutput(Struct, frozen=True, kw_only=True):
    """Words or pictures of another program, for the model to read as it reads a tool's output."""

    name: str
    """Of the tool that brings it."""
    output: str | tuple[ContentPart, ...]
    call_id: CallId
    """Not used in this thread before."""
    namespace: str | None = None

    @property
    def items(self) -> tuple[KnownItem, ...]:
        """As the history has it."""
        call = FunctionCall(
            name=self.name, namespace=self.namespace, arguments="{}", call_id=self.call_id
        )
        return call, FunctionCallOutput(call_id=self.call_id, output=self.output)


class Turn:
    """A turn that runs. Iterate over its events; the last one is its ending."""

    def __init__(self, running: RunningTurn, events: AsyncIterator[Event], home: str) -> None:
        self._running = running
        self._events = events
        self._home = home

    @property
    def id(self) -> TurnId:
        return self._running.turn_id

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self._events:
            yield event
            if isinstance(event, Ending) and event.turn_id == self.id:
                return

    async def steer(self, prompt: Prompt) -> None:
        """More input for this turn. Raises UsageError when it takes none any more."""
        self._running.steer(inputs_of(prompt, self._home))

    def tell(self, output: "ExternalOutput") -> None:
        """What another program says, in this turn. Raises UsageError when it takes none any more."""
        self._running.add(output.items)

    async def interrupt(self) -> None:
        """Stop it; the ending event comes when all that ran is gone."""
        self._running.interrupt()


class Thread:
    """One conversation. At most one turn runs at a time."""

    def __init__(
        self,
        opened: Opened,
        group: asyncio.TaskGroup,
        *,
        engine: "Engine",
    ) -> None:
        self._group = group
        self._engine = engine
        self._running: RunningTurn | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._take(opened)

    def _take(self, opened: Opened) -> None:
        """These are the parts from now on."""
        self._session = opened.session
        self._load = opened.load
        self._home = opened.home
        self._commands = opened.commands
        self._crew = opened.crew
        if opened.crew is not None:
            opened.crew.engine = self._engine
        self._options = opened.options
        self._repl = opened.repl
        self.mcp = opened.mcp
        """The MCP servers of this thread; None: there are none."""
        self._reviewer = opened.reviewer
        self.warnings = opened.warnings
        """What the settings made doubtful, one sentence each."""
        self.facts = opened.facts
        """Model, provider, sandbox and so on, for people."""

    @property
    def id(self) -> ThreadId:
        return self._session.parts.thread_id

    @property
    def path(self) -> str | None:
        """The file it is kept in; None when it is not kept."""
        return self._session.parts.log.path

    @property
    def usage(self) -> TokenUsage:
        """All tokens so far."""
        return self._session.total

    @property
    def sandbox_problem(self) -> SandboxUnavailable | None:
        """Why a command could not be confined, if that happened: it was not started."""
        for place in (self._session.parts.workspace, self._session.here):
            problem = getattr(place.launcher, "problem", None)
            if isinstance(problem, SandboxUnavailable):
                return problem
        return None

    async def run(
        self,
        prompt: Prompt,
        *,
        output_schema: dict[str, Any] | None = None,
        mode: "Mode" = "default",
    ) -> TurnResult:
        """Ask, and wait for the end; see `stream` for `mode`.

        Raises TurnFailedError when the turn could not go on.
        """
        return await self._result(self.stream(prompt, output_schema=output_schema, mode=mode))

    async def review(self, target: "Target") -> TurnResult:
        """Have changes reviewed, and wait for the end: `final_message` is the review in words, the
        item `ReviewMode` (exited) has it as values.

        `target` is one of `octavo.api.review`: Uncommitted, BaseBranch, Commit, Custom. The
        reviewer reads everything the thread may read and writes nothing; later turns know what it
        said. Raises TurnFailedError, UsageError for a target that can be none.
        """
        return await self._result(self.stream_review(target))

    async def _result(self, watched: AbstractAsyncContextManager[Turn]) -> TurnResult:
        items: list[Item] = []
        ending: Ending | None = None
        async with watched as turn:
            async for event in turn:
                if isinstance(event, ItemCompleted):
                    items.append(event.item)
                elif isinstance(event, Ending):
                    ending = event
        if isinstance(ending, TurnFailed):
            raise (BudgetExceeded if ending.code == "limit" else TurnFailedError)(ending)
        assert ending is not None
        return TurnResult(
            turn_id=ending.turn_id,
            final_message=getattr(ending, "last_message", None) or "",
            items=tuple(items),
            usage=self._session.total,
            ending=ending,
        )

    @asynccontextmanager
    async def stream(
        self,
        prompt: Prompt,
        *,
        output_schema: dict[str, Any] | None = None,
        mode: "Mode" = "default",
    ) -> AsyncIterator[Turn]:
        """Ask, and watch. Leaving the block early stops the turn and waits until it is over.

        `mode="plan"`: nothing is changed in this turn, whatever the sandbox allows otherwise; it
        ends with a plan, the item `ProposedPlan`. Raises UsageError while another turn runs or after `close`.
        """
        schema = None if output_schema is None else OutputSchema(schema=output_schema)
        inputs = inputs_of(prompt, self._home)
        running = RunningTurn(self._session, inputs, load=self._load, schema=schema, mode=mode)
        async with self._watched(running) as turn:
            yield turn

    @asynccontextmanager
    async def stream_output(self, output: "ExternalOutput") -> AsyncIterator[Turn]:
        """A turn about what another program says. It has the authority of a tool's output: the
        model reads it, and it approves nothing."""
        given = output.items
        running = RunningTurn(self._session, (), load=self._load, given=given)
        async with self._watched(running) as turn:
            yield turn

    @asynccontextmanager
    async def stream_review(self, target: "Target") -> AsyncIterator[Turn]:
        """Like `review`, to watch. It takes no further input."""
        from octavo.api import review  # noqa: PLC0415 - seldom used
        from octavo.engine.reviewing import Hear, Reviewed, ReviewingTurn  # noqa: PLC0415

        session = self._session

        async def do(hear: Hear) -> Reviewed:
            return await review.reviewed(
                self._engine,
                target,
                self._options,
                parent=self.id,
                cwd=session.parts.workspace.cwd,
                model=session.parts.model_name,
                environ=session.parts.workspace.environment,
                hear=hear,
            )

        running = ReviewingTurn(session, review.checked(target), do, load=self._load)
        async with self._watched(running) as turn:
            yield turn

    @property
    def goal(self) -> Goal | None:
        """What this thread works for by itself; None: nothing, or goals are switched off."""
        goals = self._session.parts.goals
        return None if goals is None else goals.get()

    def set_goal(self, objective: str, *, token_budget: int | None = None) -> Goal:
        """Give the thread a goal, in place of any other; the next turn works for it until it is
        reached. Raises UsageError for a goal without words or budget."""
        return self._goals().assign(objective, token_budget)

    def resume_goal(self, *, token_budget: int | None = None) -> Goal:
        """Make a goal active again that was paused, blocked, or out of tokens; the next turn goes
        on with it. `token_budget` replaces the one before and counts from the goal's beginning.

        Raises UsageError when there is none.
        """
        return self._goals().resume(token_budget)

    def pause_goal(self) -> Goal:
        """Work for the goal ends with the turn that runs. Raises UsageError when there is none."""
        return self._goals().pause()

    def clear_goal(self) -> bool:
        """Take the goal away; False: there was none."""
        return self._goals().clear()

    @asynccontextmanager
    async def stream_goal(self) -> AsyncIterator[Turn]:
        """Work for the goal without another word, and watch. Raises UsageError when none is
        active."""
        goal = self.goal
        if goal is None or goal.status != "active":
            raise UsageError("there is no active goal")
        async with self._watched(RunningTurn(self._session, (), load=self._load)) as turn:
            yield turn

    def _goals(self) -> "GoalKeeper":
        goals = self._session.parts.goals
        if goals is None:
            raise UsageError("goals are switched off", hint="set features.goals = true")
        return goals

    async def compact(self) -> None:
        """Shorten what the model has to read: a summary, the last steps, and what must not be
        forgotten take the place of the conversation so far.

        Raises TurnFailedError when no summary could be asked for, UsageError while a turn runs.
        """
        running = CompactingTurn(self._session, (), load=self._load)
        async with self._watched(running) as turn:
            async for event in turn:
                if isinstance(event, TurnFailed):
                    raise TurnFailedError(event)

    @asynccontextmanager
    async def compacting(self) -> AsyncIterator[Turn]:
        """The same as `compact`, to be watched: a turn that only shortens the history."""
        async with self._watched(CompactingTurn(self._session, (), load=self._load)) as turn:
            yield turn

    async def events(self) -> AsyncIterator[Event]:
        """Everything that happens in this thread from now on, until it is closed."""
        listener = self._session.bus.listen()
        try:
            async for event in listener:
                yield event
        finally:
            self._session.bus.forget(listener)

    @asynccontextmanager
    async def _watched(self, running: RunningTurn) -> AsyncIterator[Turn]:
        if self._closed:
            raise UsageError("this thread is closed")
        if self._running is not None:
            raise UsageError("a turn is running in this thread", hint="Steer it, or wait for it.")
        listener = self._session.bus.listen()
        problem: list[BaseException] = []
        self._running = running
        work = self._work(running, problem, listener)
        self._task = self._group.create_task(work, name="turn")
        try:
            yield Turn(running, aiter(listener), self._home)
        finally:
            try:
                await self._stop()
            finally:
                self._session.bus.forget(listener)
                self._running = self._task = None
        if problem:
            raise problem[0]

    async def reconfigure(self, flags: Mapping[str, object], *, cwd: str | None = None) -> None:
        """Other settings from the next turn on, by dotted key, or another folder.

        Raises UsageError while a turn runs and for a thread that is not kept, ConfigError for
        settings that are wrong; the thread is closed then.
        """
        if self._running is not None:
            raise UsageError("a turn is running in this thread", hint="Wait for the end of it.")
        path = self.path
        if path is None:
            raise UsageError("the settings of a thread that is not kept cannot be changed")
        kept = exists(path)  # noqa: ASYNC240 - one look, at a local file
        options = replace(
            self._options,
            flags={**self._options.flags, **flags},
            cwd=cwd or self._session.parts.workspace.cwd,
        )
        bus = self._session.bus
        await self._release()
        opened = await self._engine.reopened(self.id, options, kept=kept)
        opened.session.bus = bus
        self._take(opened)

    @property
    def denied_actions(self) -> "tuple[Denied, ...]":
        """What the automatic review refused in this thread, oldest first."""
        reviewer = self._reviewer
        return () if reviewer is None else tuple(reviewer.denied.values())

    def approve(self, denied_id: str) -> None:
        """Allow one retry of an action that the automatic review refused, by its id.

        Raises UsageError for an id that names none.
        """
        reviewer = self._reviewer
        if reviewer is None or denied_id not in reviewer.denied:
            known = ", ".join(one.id for one in self.denied_actions) or "none"
            raise UsageError(f"there is no refused action {denied_id!r}; there are: {known}")
        self.tell((reviewer.approve(denied_id),))

    def tell(self, messages: Sequence[Message]) -> None:
        """Something the model has to know before its next turn. Raises StoreError."""
        self._session.record((*self._session.context_items(), *messages))

    async def interrupt(self) -> None:
        """Stop the turn that runs, if one does; returns when it is over."""
        await self._stop()

    async def fork(self) -> "Thread":
        """A new thread with everything that was said so far; this one stays as it is."""
        return await self._engine.fork_thread(self.id, cwd=self._session.parts.workspace.cwd)

    async def close(self) -> None:
        """Stop what runs and let go of the thread's file."""
        if self._closed:
            return
        self._closed = True
        await self._stop()
        await self._release()
        self._session.bus.close()

    async def _release(self) -> None:
        """Let go of everything but the listeners."""
        hooks = self._session.parts.hooks
        if hooks is not None:
            await hooks.close()
        if self._crew is not None:
            await self._crew.close_all()
        if self._repl is not None:
            await self._repl.close()
        if self.mcp is not None:
            await self.mcp.close()
        await self._commands.close()
        self._session.parts.log.close()
        if self._session.parts.tape is not None:
            self._session.parts.tape.close()

    async def _work(
        self, running: RunningTurn, problem: list[BaseException], listener: Listener
    ) -> None:
        try:
            await running.run()
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            problem.append(error)
            listener.close()

    async def _stop(self) -> None:
        task, running = self._task, self._running
        if task is None or running is None or task.done():
            return
        running.interrupt()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await asyncio.shield(asyncio.wait([task]))
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=END_S)


def inputs_of(prompt: Prompt, home: str) -> tuple[UserInput, ...]:
    """Any form of prompt as inputs; `/prompts:NAME words` becomes the prompt in that file.

    Raises UsageError when there is no such prompt, or it cannot use the words.
    """
    if isinstance(prompt, str):
        prompt = TextInput(text=prompt)
    given = (prompt,) if isinstance(prompt, UserInput) else tuple(prompt)
    return tuple(expanded_input(one, home) for one in given)


def expanded_input(given: UserInput, home: str) -> UserInput:
    """The prompt a text calls, where it calls one."""
    if not isinstance(given, TextInput) or not given.text.startswith(PROMPT_CALL):
        return given
    from octavo.config.prompts import expanded  # noqa: PLC0415 - seldom used

    return TextInput(text=expanded(given.text, home))
