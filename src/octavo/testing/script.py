"""What a pretended model says: a list of replies, each a list of steps.

The same script plays in process (`octavo.testing.model`) and over a socket
(`octavo.testing.server`). It is written with `Script`'s methods or as JSON.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

import msgspec
from msgspec import Struct

from octavo.model.request import ModelRequest
from octavo.protocol.errors import ModelErrorKind, UsageError
from octavo.protocol.usage import TokenUsage
from octavo.protocol.wire import JSON

USAGE = TokenUsage(input=100, output=10, total=110)
"""What each reply claims to have cost unless the script says otherwise."""


class Think(Struct, frozen=True, kw_only=True, tag="think"):
    """Reasoning, with a summary and something sealed."""

    text: str
    sealed: str | None = "c2VhbGVk"
    """`encrypted_content`; on the Messages wire the signature."""


class Say(Struct, frozen=True, kw_only=True, tag="say"):
    """A message."""

    text: str
    phase: str | None = None


class Call(Struct, frozen=True, kw_only=True, tag="call"):
    """A function call. Arguments as text are sent as they are, broken or not."""

    name: str
    arguments: dict[str, Any] | str = {}
    namespace: str | None = None

    @property
    def text(self) -> str:
        """The arguments as they travel."""
        if isinstance(self.arguments, str):
            return self.arguments
        return JSON.encode(self.arguments).decode()


class Custom(Struct, frozen=True, kw_only=True, tag="custom"):
    """A call with free text."""

    name: str
    input: str


class Fail(Struct, frozen=True, kw_only=True, tag="fail"):
    """The reply ends in a failure. First in a reply it is the answer to the request itself."""

    kind: ModelErrorKind = ModelErrorKind.SERVER
    message: str = "scripted failure"
    status: int | None = None
    retry_after_ms: int | None = None


class Cut(Struct, frozen=True, kw_only=True, tag="cut"):
    """The connection ends here; in the middle of a line when a server plays."""


class Stall(Struct, frozen=True, kw_only=True, tag="stall"):
    """Nothing more comes, and nobody hangs up."""


class Garbage(Struct, frozen=True, kw_only=True, tag="garbage"):
    """A line that belongs to no protocol. In process: skipped."""

    line: str = "data: {not json"


class Slow(Struct, frozen=True, kw_only=True, tag="slow"):
    """From here on a few bytes at a time. In process: skipped."""

    size: int = 7
    delay_ms: int = 1


class Hold(Struct, frozen=True, kw_only=True, tag="hold"):
    """Go on when `release(gate)` was called on the player."""

    gate: str


Step = Think | Say | Call | Custom | Fail | Cut | Stall | Garbage | Slow | Hold


class Reply(Struct, frozen=True, kw_only=True):
    """The answer to one request."""

    steps: tuple[Step, ...] = ()
    usage: TokenUsage | None = USAGE
    end_turn: bool | None = None


class ScriptFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A script as JSON: `{"replies": [{"steps": [{"type": "say", "text": "Hi."}]}]}`."""

    replies: tuple[Reply, ...]
    repeat_last: bool = False


Answer = Callable[[ModelRequest], Reply]
"""Makes the reply from the request, where it depends on what a tool answered."""


class Script:
    """A list of replies, written by saying what the model does.

    Each `says`, `calls`, … is the reply to one request; `and_says`, `and_calls`, … add to the
    reply before. `thinks` belongs to the reply that follows it.
    """

    def __init__(self, *replies: Reply) -> None:
        self.replies: list[Reply | Answer] = list(replies)
        self.repeat_last = False
        self._open = False

    # one reply each

    def says(self, text: str, *, phase: str | None = None) -> Self:
        """The model answers with a message."""
        return self._step(Say(text=text, phase=phase))

    def calls(self, name: str, /, **arguments: object) -> Self:
        """The model calls a function with these arguments."""
        return self._step(Call(name=name, arguments=arguments))

    def calls_raw(self, name: str, arguments: str, *, namespace: str | None = None) -> Self:
        """The model calls a function with this text as arguments, or one of a namespace."""
        return self._step(Call(name=name, arguments=arguments, namespace=namespace))

    def calls_custom(self, name: str, text: str) -> Self:
        """The model calls a tool with free text, such as a patch."""
        return self._step(Custom(name=name, input=text))

    def thinks(self, text: str, *, sealed: str | None = "c2VhbGVk") -> Self:
        """The model thinks before what comes next in the script."""
        self._step(Think(text=text, sealed=sealed))
        self._open = True
        return self

    def fails(
        self,
        kind: ModelErrorKind | str = ModelErrorKind.SERVER,
        message: str = "scripted failure",
        *,
        status: int | None = None,
        retry_after_ms: int | None = None,
    ) -> Self:
        """The request fails."""
        return self._step(_failure(kind, message, status, retry_after_ms))

    def stalls(self) -> Self:
        """Nothing comes; end it by cancelling, or by an idle limit."""
        return self._step(Stall())

    def says_nothing(self) -> Self:
        """A reply without any item."""
        self.replies.append(Reply())
        return self

    def replies_with(self, answer: Answer) -> Self:
        """The reply is made from the request when it comes."""
        self._open = False
        self.replies.append(answer)
        return self

    # more of the same reply

    def and_says(self, text: str, *, phase: str | None = None) -> Self:
        """In the same reply: a message."""
        return self._more(Say(text=text, phase=phase))

    def and_calls(self, name: str, /, **arguments: object) -> Self:
        """In the same reply: another call."""
        return self._more(Call(name=name, arguments=arguments))

    def and_calls_custom(self, name: str, text: str) -> Self:
        """In the same reply: another call with free text."""
        return self._more(Custom(name=name, input=text))

    def and_fails(
        self,
        kind: ModelErrorKind | str = ModelErrorKind.DISCONNECTED,
        message: str = "scripted failure",
        *,
        retry_after_ms: int | None = None,
    ) -> Self:
        """The same reply breaks here."""
        return self._more(_failure(kind, message, None, retry_after_ms))

    def and_then(self, *steps: Step) -> Self:
        """In the same reply: any steps, such as `Cut()`, `Stall()`, `Hold(gate="x")`."""
        return self._more(*steps)

    def using(self, usage: TokenUsage | None) -> Self:
        """The last reply claims this usage; None: the server does not say."""
        return self._change(usage=usage)

    def wants_more(self) -> Self:
        """The last reply asks for another request although nothing was called."""
        return self._change(end_turn=False)

    def and_so_on(self) -> Self:
        """The last reply answers all further requests too."""
        self.repeat_last = True
        return self

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Read a script file. Raises UsageError naming what is wrong and where."""
        try:
            file = msgspec.json.decode(data, type=ScriptFile)
        except msgspec.DecodeError as wrong:
            raise UsageError(f"not a script: {wrong}") from wrong
        script = cls(*file.replies)
        script.repeat_last = file.repeat_last
        return script

    def reply_to(self, number: int, request: ModelRequest | None) -> Reply | None:
        """The reply to the request with this number, counted from 0. None: the script is over."""
        if number >= len(self.replies):
            if not (self.repeat_last and self.replies):
                return None
            number = -1
        reply = self.replies[number]
        if isinstance(reply, Reply):
            return reply
        if request is None:
            raise UsageError("this script has computed replies; they play in process only")
        return reply(request)

    def _step(self, step: Step) -> Self:
        if self._open:
            self._open = False
            return self._more(step)
        self.replies.append(Reply(steps=(step,)))
        return self

    def _more(self, *steps: Step) -> Self:
        return self._change(steps=(*self._last().steps, *steps))

    def _change(self, **fields: object) -> Self:
        self.replies[-1] = msgspec.structs.replace(self._last(), **fields)
        return self

    def _last(self) -> Reply:
        if not self.replies or not isinstance(self.replies[-1], Reply):
            raise UsageError("there is no reply yet to add to")
        return self.replies[-1]


def _failure(
    kind: ModelErrorKind | str, message: str, status: int | None, retry_after_ms: int | None
) -> Fail:
    return Fail(
        kind=ModelErrorKind(kind), message=message, status=status, retry_after_ms=retry_after_ms
    )


def words(text: str) -> list[str]:
    """The text in pieces, as a model streams it; joined they are the text again."""
    pieces: list[str] = []
    for piece in text.split(" "):
        pieces.append(piece if not pieces else " " + piece)
    return [piece for piece in pieces if piece]


def outputs_of(body: Mapping[str, Any]) -> list[str]:
    """The words of all tool answers in a recorded Responses body, oldest first."""
    return [
        item["output"] if isinstance(item["output"], str) else JSON.encode(item["output"]).decode()
        for item in body.get("input", ())
        if str(item.get("type", "")).endswith("call_output")
    ]
