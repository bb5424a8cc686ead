"""A model that says what was recorded: for demonstrations, without a network.

A recording is JSON: `{"replies": [[{"say": "..."}, {"call": "exec_command", "with": {...}}]]}`.
Each reply answers one request, in order.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from octavo.model.events import Created, Done, ItemDone, ItemStarted, ModelEvent, TextDelta
from octavo.model.request import ModelRequest
from octavo.protocol.errors import ModelError, ModelErrorKind
from octavo.protocol.history import FunctionCall, assistant
from octavo.protocol.ids import CallId, ItemId
from octavo.protocol.usage import TokenUsage, estimate_items
from octavo.protocol.wire import JSON


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing in a reply: words, or a call."""

    say: str | None = None
    call: str | None = None
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict, name="with")


class Recording(Struct, frozen=True, kw_only=True):
    """All replies, in order."""

    replies: tuple[tuple[Step, ...], ...]


class RecordedModel:
    """Plays a recording through the same seam as a real model."""

    def __init__(self, recording: Recording) -> None:
        self._replies = list(recording.replies)
        self._asked = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The next reply. Raises ModelError when the recording is over."""
        if self._asked >= len(self._replies):
            raise ModelError(
                "the recording is over, and the engine asked once more",
                kind=ModelErrorKind.INVALID_REQUEST,
            )
        reply = self._replies[self._asked]
        self._asked += 1
        yield Created(response_id=f"recorded_{self._asked}")
        written = 0
        for number, step in enumerate(reply):
            name = f"{self._asked}_{number}"
            if step.say is not None:
                item = assistant(step.say, id=ItemId(f"msg_{name}"))
                yield ItemStarted(item_id=ItemId(f"msg_{name}"), kind="message")
                yield TextDelta(item_id=ItemId(f"msg_{name}"), text=step.say)
                yield ItemDone(item=item)
                written += estimate_items((item,))
            if step.call is not None:
                call = FunctionCall(
                    id=ItemId(f"fc_{name}"),
                    call_id=CallId(f"call_{name}"),
                    name=step.call,
                    arguments=JSON.encode(step.arguments).decode(),
                )
                yield ItemDone(item=call)
                written += estimate_items((call,))
        read = estimate_items(request.input)
        yield Done(
            response_id=f"recorded_{self._asked}",
            usage=TokenUsage(input=read, output=written, total=read + written),
        )
