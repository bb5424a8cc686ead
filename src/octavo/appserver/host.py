"""A thread that is loaded in the server: who listens to it, the turn that runs, its questions.

Everything that happens in it is told once and goes to every client that subscribed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from octavo.appserver import views
from octavo.appserver.connection import Connection, GoneError
from octavo.appserver.errors import MethodError, invalid
from octavo.appserver.narrator import Narrator
from octavo.appserver.questions import (
    answered,
    asked_about,
    decided,
    elicitation,
    elicited,
    question,
    user_input,
)
from octavo.protocol import events
from octavo.protocol.approvals import ApprovalRequest, Decision
from octavo.protocol.errors import OctavoError
from octavo.protocol.events import Ending
from octavo.protocol.ids import TurnId
from octavo.protocol.items import FileChange

if TYPE_CHECKING:
    from octavo.api.thread import ExternalOutput, Thread, Turn
    from octavo.engine.modes import Mode
    from octavo.engine.review import Target
    from octavo.protocol.content import UserInput
    from octavo.protocol.mcp import Elicitation, ElicitationAnswer
    from octavo.protocol.questions import Answers, Questions

NOBODY: Final = "nobody is connected who could answer"
UNANSWERED: Final = "it was not answered"


class Host:
    """One loaded thread. `ended` is called when it is closed."""

    def __init__(self, group: asyncio.TaskGroup, now_ms: Callable[[], int]) -> None:
        self._group = group
        self._now_ms = now_ms
        self.thread: Thread | None = None
        self.facts: views.ThreadFacts | None = None
        self.subscribers: list[Connection] = []
        self.status: dict[str, Any] = views.IDLE
        self.settings: dict[str, Any] = {}
        """What thread/start answers beside the thread."""
        self._narrator: Narrator | None = None
        self._turn: Turn | None = None
        self._task: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._waiting: Counter[str] = Counter()

    @property
    def id(self) -> str:
        """The thread's."""
        assert self.thread is not None
        return str(self.thread.id)

    @property
    def turn_id(self) -> str | None:
        """Of the turn that runs."""
        return None if self._turn is None else str(self._turn.id)

    def attach(self, thread: "Thread", facts: views.ThreadFacts) -> None:
        """The thread is there: listen to it."""
        self.thread, self.facts = thread, facts
        self._narrator = Narrator(str(thread.id))
        self._listening = self._group.create_task(self._listen(thread), name="listen")

    def subscribe(self, connection: Connection) -> None:
        """This client hears of everything from now on."""
        if connection not in self.subscribers:
            self.subscribers.append(connection)
            connection.closing.append(lambda: self._left(connection))

    def _left(self, connection: Connection) -> None:
        self.unsubscribe(connection)

    def unsubscribe(self, connection: Connection) -> bool:
        """It hears of nothing more; False when it did not before."""
        if connection not in self.subscribers:
            return False
        self.subscribers.remove(connection)
        return True

    def tell(self, method: str, params: dict[str, Any]) -> None:
        """To everybody who listens."""
        if method == "thread/status/changed":
            self.status = params["status"]
        for subscriber in list(self.subscribers):
            subscriber.tell(method, params)

    # ---- turns ----------------------------------------------------------------------------

    async def start(
        self,
        inputs: "Sequence[UserInput]",
        schema: Mapping[str, Any] | None = None,
        mode: "Mode" = "default",
    ) -> str:
        """Begin a turn, or join the one that runs; its id."""
        if self._turn is not None:
            with suppress(OctavoError):
                await self._turn.steer(inputs)
                return str(self._turn.id)
            if self._task is not None:  # it is just ending
                await asyncio.wait([self._task])
        assert self.thread is not None
        thread = self.thread
        return await self._begin(
            lambda: thread.stream(
                tuple(inputs), output_schema=dict(schema) if schema else None, mode=mode
            )
        )

    async def deliver(self, output: "ExternalOutput") -> str:
        """What another program says, in a turn of its own or the one that runs; the turn's id."""
        if self._turn is not None:
            with suppress(OctavoError):
                self._turn.tell(output)
                return str(self._turn.id)
            if self._task is not None:  # it is just ending
                await asyncio.wait([self._task])
        assert self.thread is not None
        thread = self.thread
        return await self._begin(lambda: thread.stream_output(output))

    async def steer(self, expected: str, inputs: "Sequence[UserInput]") -> str:
        """More input for the turn that is expected to run."""
        turn = self._running("steer")
        if turn.id != expected:
            raise invalid(f"expected active turn id `{expected}` but found `{turn.id}`")
        await turn.steer(inputs)
        return str(turn.id)

    async def interrupt(self, expected: str) -> None:
        """Stop the turn; returns when it has stopped."""
        turn, task = self._running("interrupt"), self._task
        if expected and turn.id != expected:
            raise invalid(f"expected active turn id {expected} but found {turn.id}")
        await turn.interrupt()
        if task is not None:
            await asyncio.wait([task])

    async def compact(self) -> str:
        """Shorten the history, as a turn of its own."""
        assert self.thread is not None
        if self._turn is not None:
            raise invalid("a turn is running in this thread")
        return await self._begin(self.thread.compacting)

    async def review(self, target: "Target") -> str:
        """Have changes reviewed, as a turn."""
        assert self.thread is not None
        thread = self.thread
        return await self._begin(lambda: thread.stream_review(target))

    async def pursue(self) -> None:
        """Work for the goal, in a turn of its own unless one runs."""
        assert self.thread is not None
        if self._turn is None:
            await self._begin(self.thread.stream_goal)

    async def close(self) -> None:
        """End the turn and let go of the thread."""
        if self.thread is not None:
            await self.thread.close()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._listening is not None:
            await asyncio.wait([self._listening], timeout=1.0)
            self._listening.cancel()

    def _running(self, what: str) -> "Turn":
        if self._turn is None:
            raise invalid(f"no active turn to {what}")
        return self._turn

    async def _begin(self, opened: Callable[[], Any]) -> str:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._task = self._group.create_task(self._work(opened, ready), name="turn")
        return await ready

    async def _work(self, opened: Callable[[], Any], ready: "asyncio.Future[str]") -> None:
        try:
            async with opened() as turn:
                self._turn = turn
                ready.set_result(str(turn.id))
                async for event in turn:
                    if isinstance(event, Ending):
                        break
        except OctavoError as error:
            if ready.done():
                self.tell("error", self._problem(str(error)))
            else:
                ready.set_exception(error)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not end the server
            if ready.done():
                self.tell("error", self._problem(f"{type(error).__name__}: {error}"))
            else:
                ready.set_exception(MethodError(-32603, f"{type(error).__name__}: {error}"))
        finally:
            self._turn = None

    def _problem(self, message: str) -> dict[str, Any]:
        error = views.turn_error(message)
        return {
            "threadId": self.id,
            "turnId": self.turn_id or "",
            "error": error,
            "willRetry": False,
        }

    async def _listen(self, thread: "Thread") -> None:
        async for event in thread.events():
            self._show(event)

    # ---- questions ------------------------------------------------------------------------

    async def approve(self, request: ApprovalRequest, /) -> Decision:
        """Ask the client that was here first; one that goes away has said no."""
        if not self.subscribers:
            return Decision.deny(NOBODY)
        await asyncio.sleep(0)  # the item it is about is told first
        method, params = question(
            request, thread_id=self.id, turn_id=self.turn_id or "", now_ms=self._now_ms()
        )
        item = asked_about(request)
        if item is not None:
            self._show(events.ItemStarted(turn_id=self._turn_id, item=item))
        answer = await self.ask(method, params, "waitingOnApproval")
        if answer is None:
            decision = Decision.deny(NOBODY if not self.subscribers else UNANSWERED)
        else:
            decision = decided(request, answer)
        if not decision.allowed and isinstance(item, FileChange):  # commands say so themselves
            declined = replace(item, status="declined")
            self._show(events.ItemCompleted(turn_id=self._turn_id, item=declined))
        return decision

    def _show(self, event: events.Event) -> None:
        assert self._narrator is not None
        for method, params in self._narrator.tell(event, self._now_ms()):
            self.tell(method, params)

    @property
    def _turn_id(self) -> TurnId:
        return TurnId(self.turn_id or "")

    async def put(self, questions: "Questions", /) -> "Answers | None":
        """Ask a person, through the client; None when nobody wants to answer."""
        await asyncio.sleep(0)
        params = user_input(questions, thread_id=self.id, turn_id=self.turn_id or "")
        answer = await self.ask("item/tool/requestUserInput", params, "waitingOnUserInput")
        return None if answer is None else answered(answer)

    async def elicit(self, asked: "Elicitation", /) -> "ElicitationAnswer":
        """Pass a question of an MCP server on to the client."""
        params = elicitation(asked, thread_id=self.id, turn_id=self.turn_id)
        answer = await self.ask("mcpServer/elicitation/request", params, "waitingOnUserInput")
        return elicited(answer)

    async def ask(self, method: str, params: dict[str, Any], flag: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """Put a request to the client that was here first; None when it is not answered."""
        asked = next(iter(self.subscribers), None)
        if asked is None:
            return None
        if flag is not None:
            self._wait(flag, 1)
        try:
            return await asked.ask(method, params)
        except (GoneError, MethodError):
            return None
        finally:
            if flag is not None:
                self._wait(flag, -1)
            resolved = {"threadId": self.id, "requestId": asked.last_question}
            self.tell("serverRequest/resolved", resolved)

    def _wait(self, flag: str, step: int) -> None:
        self._waiting[flag] += step
        status = views.active(*(+self._waiting))
        self.tell("thread/status/changed", {"threadId": self.id, "status": status})
