"""A model that follows a script, in process: no server, no network, no waiting.

>>> model = ScriptedModel().calls("exec_command", cmd="ls").says("One file.")
Pass it wherever a ModelClient is wanted; afterwards look at `model.requests`.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import assert_never

from octavo.model.events import (
    CallDelta,
    Created,
    Done,
    ItemDone,
    ItemStarted,
    ModelEvent,
    ReasoningDelta,
    ReasoningPart,
    TextDelta,
)
from octavo.model.request import ModelRequest
from octavo.protocol.errors import ModelError, ModelErrorKind
from octavo.protocol.history import (
    CustomToolCall,
    FunctionCall,
    Reasoning,
    SummaryText,
    assistant,
)
from octavo.protocol.ids import CallId, ItemId
from octavo.testing.script import (
    Call,
    Custom,
    Cut,
    Fail,
    Garbage,
    Hold,
    Reply,
    Say,
    Script,
    Slow,
    Stall,
    Step,
    Think,
    words,
)


class ScriptedModel(Script):
    """A ModelClient that plays a `Script` and remembers what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__(*replies)
        self.requests: list[ModelRequest] = []
        """All requests, in the order they came; `requests[1].tool_outputs` is handy."""
        self._gates: dict[str, asyncio.Event] = {}
        self._items = 0

    def release(self, gate: str) -> None:
        """Let the reply that stands at `Hold(gate=…)` go on."""
        self._gate(gate).set()

    def _gate(self, gate: str) -> asyncio.Event:
        return self._gates.setdefault(gate, asyncio.Event())

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Play the next reply. Raises ModelError where the script says so, or when it is over."""
        number = len(self.requests)
        self.requests.append(request)
        reply = self.reply_to(number, request)
        if reply is None:
            raise ModelError(
                f"the script has {len(self.replies)} replies; this is request {number + 1}",
                kind=ModelErrorKind.INVALID_REQUEST,
            )
        response = f"resp_{number + 1}"
        if not (reply.steps and isinstance(reply.steps[0], Fail)):
            yield Created(response_id=response)
        for step in reply.steps:
            await self._pause(step)
            for event in self._events(step):
                # A place to be cancelled at, as there is one before each event from a socket.
                await asyncio.sleep(0)
                yield event
        yield Done(response_id=response, usage=reply.usage, end_turn=reply.end_turn)

    async def _pause(self, step: Step) -> None:
        match step:
            case Stall():
                await asyncio.Event().wait()
            case Hold(gate=gate):
                await self._gate(gate).wait()
            case _:
                pass

    def _events(self, step: Step) -> Iterator[ModelEvent]:
        match step:
            case Think():
                yield from self._think(step)
            case Say():
                yield from self._say(step)
            case Call():
                yield from self._call(step)
            case Custom():
                yield from self._custom(step)
            case Fail(kind=kind, message=message, status=status, retry_after_ms=wait):
                raise ModelError(message, kind=kind, status=status, retry_after_ms=wait)
            case Cut():
                raise ModelError(
                    "stream closed before response.completed", kind=ModelErrorKind.DISCONNECTED
                )
            case Stall() | Garbage() | Slow() | Hold():
                return
            case _:
                assert_never(step)

    def _think(self, step: Think) -> Iterator[ModelEvent]:
        at = self._next("rs")
        yield ItemStarted(item_id=at, kind="reasoning")
        yield ReasoningPart(item_id=at, index=0)
        for piece in words(step.text):
            yield ReasoningDelta(item_id=at, text=piece, kind="summary")
        summary = (SummaryText(text=step.text),) if step.text else ()
        item = Reasoning(id=at, summary=summary, content=None, encrypted_content=step.sealed)
        yield ItemDone(item=item)

    def _say(self, step: Say) -> Iterator[ModelEvent]:
        at = self._next("msg")
        yield ItemStarted(item_id=at, kind="message")
        for piece in words(step.text):
            yield TextDelta(item_id=at, text=piece)
        yield ItemDone(item=assistant(step.text, id=at, phase=step.phase))

    def _call(self, step: Call) -> Iterator[ModelEvent]:
        at = self._next("fc")
        call_id = CallId(f"call_{self._items}")
        yield ItemStarted(item_id=at, kind="call", name=step.name, call_id=call_id)
        yield CallDelta(item_id=at, call_id=call_id, text=step.text)
        item = FunctionCall(
            id=at,
            name=step.name,
            namespace=step.namespace,
            arguments=step.text,
            call_id=call_id,
        )
        yield ItemDone(item=item)

    def _custom(self, step: Custom) -> Iterator[ModelEvent]:
        at = self._next("ctc")
        call_id = CallId(f"call_{self._items}")
        yield ItemStarted(item_id=at, kind="call", name=step.name, call_id=call_id)
        for line in step.input.splitlines(keepends=True):
            yield CallDelta(item_id=at, call_id=call_id, text=line)
        yield ItemDone(
            item=CustomToolCall(id=at, name=step.name, input=step.input, call_id=call_id)
        )

    def _next(self, prefix: str) -> ItemId:
        self._items += 1
        return ItemId(f"{prefix}_{self._items}")
