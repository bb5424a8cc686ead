"""One turn from its first line on disk to its last event.

The driver does the work; this is what stands around it: the records that say a turn began and how
it ended, and the promise that every turn has exactly one ending event.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import to_builtins

from octavo.engine.driver import Driver
from octavo.engine.inputs import Load, user_message, words_of
from octavo.engine.session import Session, TurnFrame
from octavo.engine.turn import Begin, Failed, Finish, Interrupt, Outcome, Steer
from octavo.model.request import OutputSchema
from octavo.protocol import events, items
from octavo.protocol.content import UserInput
from octavo.protocol.errors import InternalError, LimitReached, OctavoError, UsageError
from octavo.protocol.history import KnownItem
from octavo.protocol.ids import CallId, ItemId, TurnId
from octavo.store.rollout import TaskComplete, TaskStarted, TurnAborted, TurnContext
from octavo.tools.base import ToolContext

if TYPE_CHECKING:
    from octavo.engine.hooks import Beginning, SessionHooks


class RunningTurn:
    """A turn that has been asked for. `run` does it; the rest may be called meanwhile."""

    def __init__(
        self,
        session: Session,
        inputs: Iterable[UserInput],
        *,
        load: Load,
        schema: OutputSchema | None = None,
        mode: str = "",
        given: tuple[KnownItem, ...] = (),
    ) -> None:
        """`given`: items that come after the inputs. Raises UsageError for a mode that is none."""
        parts = session.parts
        self._place = parts.workspace
        planning = None
        if mode == "plan" and parts.planning is not None:
            planning = parts.planning(parts.workspace)
            self._place = planning.workspace
        elif mode not in ("", "default"):
            raise UsageError(f"there is no mode {mode!r} here", hint="default or plan")
        self.turn_id = TurnId(parts.ids.uuid())
        self._session = session
        self._inputs = tuple(inputs)
        self._given = given
        self._load = load
        self._frame = TurnFrame(self.turn_id, self._context(), schema)
        self._frame.planning = planning
        self._driver = Driver(session, self._frame)
        if parts.checkpoints is not None and planning is None:
            self._frame.guard = parts.checkpoints.guard(self.turn_id, self._warn, self._unguarded)
        if parts.tape is not None:
            kept = {"turn_id": self.turn_id, "schema": to_builtins(schema)}
            if planning is not None:
                tools = to_builtins(planning.tools.specs())
                kept["planning"] = {"tools": tools, "effort": planning.effort}
            with parts.tape.outside("turn", kept):
                pass
        self._began = parts.clock.monotonic()
        self._started_at = parts.clock.now_ms() // 1000
        self.ending: events.Ending | None = None
        self._early: asyncio.Task[Beginning] | None = None
        """Hooks that are asked before anything begins."""

    async def run(self) -> events.Ending:
        """Do the turn. Never raises for what goes wrong inside: the ending says it."""
        session = self._session
        session.turn_id = self.turn_id
        session.here = self._place
        session.publish(events.TurnStarted(turn_id=self.turn_id))
        try:
            self._count()
            self._write_beginning()
            finish = await self._work()
            if session.parts.goals is not None and self._frame.planning is None:
                session.parts.goals.over(interrupted=finish.outcome is Outcome.INTERRUPTED)
            if finish.outcome is Outcome.INTERRUPTED:
                await session.parts.end_commands()
            if self._frame.guard is not None:
                await self._frame.guard.finish()
        except OctavoError as error:
            finish = failure(error)
        except asyncio.CancelledError:
            if self._frame.guard is not None:
                self._frame.guard.abandon()
            self._end(Finish(Outcome.INTERRUPTED))
            raise
        except BaseExceptionGroup as group:
            first = group.exceptions[0]
            known = isinstance(first, OctavoError)
            finish = failure(first if isinstance(first, OctavoError) else defect(first))
            self._end(finish)
            if not known:
                raise first from None
        return self._end(finish)

    def _count(self) -> None:
        """One more of the turns that may be had. Raises LimitReached."""
        self._session.parts.meter.begin_turn()

    async def _work(self) -> Finish:
        hooks = self._session.parts.hooks
        if hooks is None:
            return await self._driver.run(Begin(self._beginning()))
        async with asyncio.TaskGroup() as group:
            self._early = group.create_task(hooks.begin(self.turn_id, words_of(self._inputs)))
        asked, self._early = self._early, None
        if asked.cancelled():
            return Finish(Outcome.INTERRUPTED)
        begun = asked.result()
        if begun.refused is None:
            return await self._driver.run(Begin(self._beginning(begun.messages)))
        if begun.messages:
            self._session.record((*self._session.context_items(), *begun.messages))
        return Finish(Outcome.FAILED, Failed(begun.refused, "hook"))

    def steer(self, inputs: Iterable[UserInput]) -> None:
        """More input for this turn. Raises UsageError when it takes none any more."""
        if not self._driver.steerable:
            raise UsageError("this turn takes no more input", hint="Start another turn.")
        given = tuple(inputs)
        hooks = self._session.parts.hooks
        if hooks is not None and hooks.wants("UserPromptSubmit"):
            self._driver.beside(self._steered(hooks, given))
            return
        self._driver.tell(Steer(self._messages(given)))
        self._show_user(given)

    def add(self, items_: tuple[KnownItem, ...]) -> None:
        """Items for the model, in this turn. Raises UsageError when it takes none any more."""
        if not self._driver.steerable:
            raise UsageError("this turn takes no more input", hint="Start another turn.")
        self._driver.tell(Steer(items_))

    async def _steered(self, hooks: "SessionHooks", given: tuple[UserInput, ...]) -> None:
        """Words that hooks look at first."""
        begun = await hooks.prompt(self.turn_id, words_of(given))
        if begun.refused is not None:
            self._session.publish(events.Warned(message=begun.refused))
            return
        self._driver.tell(Steer((*self._messages(given), *begun.messages)))
        self._show_user(given)

    def interrupt(self) -> None:
        """Stop as soon as everything that runs has been stopped."""
        if self._early is not None:
            self._early.cancel()
        self._driver.tell(Interrupt(self._session.stopped_marker()))

    # ---- the frame ------------------------------------------------------------------------

    def _context(self) -> ToolContext:
        parts, place = self._session.parts, self._place
        return ToolContext(
            cwd=place.cwd,
            thread_id=parts.thread_id,
            turn_id=self.turn_id,
            launcher=place.launcher,
            access=place.access,
            approver=parts.approver,
            approval_policy=parts.approval_policy,
            granular=parts.granular,
            rules=parts.rules,
            emit=self._emit,
            clock=parts.clock,
            ids=parts.ids,
            environment=place.environment,
            shell=place.shell,
            sandboxed=place.sandboxed,
            located=place.located,
            output_tokens=parts.output_tokens,
            pictures=parts.info.images,
        )

    def _warn(self, text: str) -> None:
        self._session.publish(events.Warned(message=text))

    def _unguarded(self, error: OctavoError) -> None:
        """The files could not be kept, and nothing may be changed without that."""
        self._driver.tell(Failed(str(error), "store", error.hint, error.exit_code))

    def _emit(self, event: events.Event) -> None:
        """From tools: secrets taken out, finished items written first."""
        desk = self._session.parts.desk
        if desk is not None and isinstance(event, events.ItemStarted):
            desk.passed(CallId(event.item.id))
        redact = self._session.parts.redact
        for shown in (event,) if redact is None else redact.events(event):
            self._show(shown)

    def _show(self, event: events.Event) -> None:
        if not isinstance(event, events.ItemCompleted):
            self._session.publish(event)
            return
        try:
            self._session.completed(self._frame, event.item)
        except OctavoError as error:  # the disk's fault, not the tool's
            self._driver.tell(Failed(str(error), "store", error.hint, error.exit_code))

    def _beginning(self, more: tuple[KnownItem, ...] = ()) -> tuple[KnownItem, ...]:
        messages: tuple[KnownItem, ...] = ()
        if self._inputs:
            messages = self._messages(self._inputs)
            self._show_user(self._inputs)
        elif not self._given and self._session.parts.goals is not None:
            first = self._session.parts.goals.take_up()
            messages = () if first is None else (first,)
        return (*self._session.context_items(), *messages, *self._given, *more)

    def _messages(self, inputs: tuple[UserInput, ...]) -> tuple[KnownItem, ...]:
        """The user's words, and the skills they name."""
        message = user_message(inputs, self._load)
        named = self._session.parts.named_skills
        return (message,) if named is None else (message, *named([words_of(inputs)]))

    def _show_user(self, inputs: tuple[UserInput, ...]) -> None:
        item = items.UserMessage(
            id=ItemId(f"item_{self._session.parts.ids.uuid()}"), content=inputs
        )
        self._session.completed(self._frame, item)

    # ---- the record -----------------------------------------------------------------------

    def _write_beginning(self) -> None:
        parts = self._session.parts
        self._session.write(
            TaskStarted(
                turn_id=self.turn_id,
                started_at=self._started_at,
                model_context_window=parts.window,
            ),
            TurnContext(
                turn_id=self.turn_id,
                cwd=self._place.cwd,
                model=parts.model_name,
                approval_policy=parts.approval_policy,
                sandbox_policy=self._place.policy,
                effort=parts.effort,
                summary=parts.summary or "auto",
            ),
        )

    def _end(self, finish: Finish) -> events.Ending:
        """The last lines and the last event, once."""
        if self.ending is not None:
            return self.ending
        try:
            self._write_end(finish)
        except OctavoError as error:
            if finish.outcome is Outcome.COMPLETED:
                finish = failure(error)
        if self._session.broken is not None and finish.outcome is Outcome.COMPLETED:
            finish = failure(self._session.broken)  # what was said last is not on disk
        self.ending = self._ending(finish)
        self._notify(finish)
        self._session.publish(self.ending)
        return self.ending

    def _notify(self, finish: Finish) -> None:
        """Whoever wants to know that a turn is complete; nobody waits for them."""
        notify = self._session.parts.notify
        if notify is None or finish.outcome is not Outcome.COMPLETED:
            return
        try:
            notify(self.turn_id, words_of(self._inputs), self._frame.last_message)
        except OctavoError as error:
            self._session.publish(events.Warned(message=f"notify: {error}"))

    def _write_end(self, finish: Finish) -> None:
        clock = self._session.parts.clock
        completed_at = clock.now_ms() // 1000
        if finish.outcome is Outcome.INTERRUPTED:
            self._session.write(
                TurnAborted(
                    turn_id=self.turn_id,
                    started_at=self._started_at,
                    completed_at=completed_at,
                    duration_ms=self._elapsed_ms(),
                )
            )
            return
        self._session.write(
            TaskComplete(
                turn_id=self.turn_id,
                last_agent_message=self._frame.last_message,
                started_at=self._started_at,
                completed_at=completed_at,
                duration_ms=self._elapsed_ms(),
            )
        )

    def _ending(self, finish: Finish) -> events.Ending:
        match finish.outcome, finish.error:
            case Outcome.COMPLETED, _:
                return events.TurnCompleted(
                    turn_id=self.turn_id,
                    usage=self._session.total,
                    last_message=self._frame.last_message,
                    duration_ms=self._elapsed_ms(),
                )
            case Outcome.INTERRUPTED, _:
                return events.TurnInterrupted(turn_id=self.turn_id)
            case _, error:
                assert error is not None
                return events.TurnFailed(
                    turn_id=self.turn_id,
                    message=error.message,
                    code=error.code,
                    hint=error.hint,
                    exit_code=error.exit_code,
                )

    def _elapsed_ms(self) -> int:
        return round((self._session.parts.clock.monotonic() - self._began) * 1000)


class CompactingTurn(RunningTurn):
    """A turn that only shortens the history. It takes no input."""

    _job: asyncio.Task[None] | None = None

    async def _work(self) -> Finish:
        from octavo.engine.compaction import compact  # noqa: PLC0415 - seldom needed

        self._session.parts.meter.check(self._session.parts.clock.monotonic())
        async with asyncio.TaskGroup() as group:
            self._job = group.create_task(
                compact(self._session, self._frame, trigger="manual"), name="compaction"
            )
        return Finish(Outcome.INTERRUPTED if self._job.cancelled() else Outcome.COMPLETED)

    def steer(self, inputs: Iterable[UserInput]) -> None:
        """Raises UsageError: the history is being shortened."""
        raise UsageError("the history is being shortened", hint="Wait for the end of it.")

    def interrupt(self) -> None:
        """Leave the history as it was."""
        if self._job is not None:
            self._job.cancel()


def defect(error: BaseException) -> InternalError:
    """Ours, whatever it is; the log has the rest."""
    return InternalError(f"{type(error).__name__}: {error}", hint="Please report this.")


def failure(error: OctavoError) -> Finish:
    """The end of a turn that could not go on."""
    code = "limit" if isinstance(error, LimitReached) else "other"
    return Finish(Outcome.FAILED, Failed(str(error), code, error.hint, error.exit_code))
