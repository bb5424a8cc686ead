"""Which pieces of a streamed tool call belong together.

Pure. By the book each piece carries an index. Servers leave it out, give every call index 0,
repeat names and ids, or send a whole call at once; arguments may be an object instead of text.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from octavo.model.codec import MakeId, as_json_text, inner, string
from octavo.protocol.ids import CallId, ItemId
from octavo.protocol.wire import ANY


class CallParts(Struct, kw_only=True):
    """A call, as far as it came."""

    item_id: ItemId
    call_id: CallId
    name: str
    arguments: str = ""
    extra: Mapping[str, Any] = {}


class Step(Struct, frozen=True, kw_only=True):
    """What one piece did."""

    complete: tuple[CallParts, ...] = ()
    """Calls that nothing more can be added to."""
    started: CallParts | None = None
    to: CallParts | None = None
    text: str = ""
    """More arguments, of `to`."""


class CallBuilder:
    """Feed it the entries of `tool_calls`, in order."""

    def __init__(self, make_id: MakeId, prefix: Callable[[str], str]) -> None:
        self._make_id = make_id
        self._prefix = prefix
        """Tool name to the prefix of the item's id."""
        self._open: list[tuple[int, CallParts]] = []
        """Place and call, oldest first; the last one at a place is the one that grows."""
        self.empty = True
        """No call has come yet."""

    def feed(self, part: Mapping[str, Any]) -> Step:
        """Add one piece."""
        function = inner(part, "function") or part
        name, said_id = string(function, "name"), string(part, "id")
        arguments = function.get("arguments")
        text = "" if arguments is None else as_json_text(arguments)
        slot = self._slot(part)
        parts = self._at(slot)
        if parts is None and not name and self._open:
            parts = self._open[-1][1]  # a piece nobody claims
        if parts is None and not (name or text):
            return Step()
        if parts is None or self._another(parts, name, said_id):
            return self._start(slot, name, said_id, text, part)
        parts.name = parts.name or name
        parts.arguments += text
        return Step(to=parts, text=text)

    def end(self) -> list[CallParts]:
        """Nothing more comes: the calls that were still open."""
        found = [parts for _, parts in self._open]
        self._open.clear()
        return found

    def _slot(self, part: Mapping[str, Any]) -> int:
        index = part.get("index")
        if isinstance(index, int) and not isinstance(index, bool):
            return index
        return self._open[-1][0] if self._open else 0

    def _at(self, slot: int) -> CallParts | None:
        return next((parts for at, parts in reversed(self._open) if at == slot), None)

    def _another(self, parts: CallParts, name: str, said_id: str) -> bool:
        """A piece for an occupied place begins a new call."""
        if not name or not parts.name:
            return False
        if said_id:
            return said_id != parts.call_id
        return _is_complete(parts.arguments)

    def _start(
        self, slot: int, name: str, said_id: str, text: str, part: Mapping[str, Any]
    ) -> Step:
        self.empty = False
        complete = tuple(self._complete())
        parts = CallParts(
            item_id=ItemId(self._make_id(self._prefix(name))),
            call_id=CallId(said_id or self._make_id("call")),
            name=name,
            arguments=text,
        )
        if part.get("extra_content"):
            parts.extra = {"extra_content": part["extra_content"]}
        self._open.append((slot, parts))
        return Step(complete=complete, started=parts, to=parts, text=text)

    def _complete(self) -> list[CallParts]:
        """The oldest calls whose arguments are whole: they may run. Order is kept."""
        found: list[CallParts] = []
        while self._open and _is_complete(self._open[0][1].arguments):
            found.append(self._open.pop(0)[1])
        return found


def _is_complete(text: str) -> bool:
    try:
        ANY.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True
