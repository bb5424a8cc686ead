"""Values of secrets taken out of what people, models, logs and rollouts see. Pure.

Whole texts and streams: in a stream, what could be the beginning of a secret waits for the rest.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from octavo.protocol.content import ContentPart, InputText
from octavo.protocol.events import CommandOutputDelta, Event, ItemCompleted
from octavo.protocol.ids import ItemId
from octavo.protocol.wire import JSON

SHORTEST: Final = 8
"""A shorter value stands in too many texts by chance to be taken out."""
PLAIN: Final = re.compile(r"[a-z]+|\d+|/[\w./-]*|https?://[^:@/]*(/[\w./-]*)?", re.ASCII)
"""A single lower-case word, a number, a path, an address without a password: no secret."""

E = TypeVar("E", bound=Event)


class Redactor:
    """Knows some secrets by name; each is replaced by `[redacted:NAME]`."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        found: dict[str, str] = {}
        for name, value in secrets.items():
            if len(value) >= SHORTEST and not PLAIN.fullmatch(value):
                for form in (value, JSON.encode(value).decode()[1:-1], *value.splitlines()):
                    if len(form) >= SHORTEST:
                        found.setdefault(form, name)
        self._names = found
        longest = sorted(found, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest))) if found else None
        self._longest = len(longest[0]) if found else 0
        self._first = frozenset(form[0] for form in found)
        self._waiting: dict[ItemId, str] = {}

    @property
    def any(self) -> bool:
        """There is something to take out."""
        return self._pattern is not None

    def text(self, text: str) -> str:
        """The text without the secrets."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: f"[redacted:{self._names[found[0]]}]", text)

    def content(self, output: str | tuple[ContentPart, ...]) -> str | tuple[ContentPart, ...]:
        """The same for a tool's answer; pictures are left alone."""
        if isinstance(output, str):
            return self.text(output)
        return tuple(
            replace(part, text=self.text(part.text)) if isinstance(part, InputText) else part
            for part in output
        )

    def events(self, event: Event) -> list[Event]:
        """What may be shown instead of this event: it, or nothing yet, or it and what waited."""
        if isinstance(event, CommandOutputDelta):
            shown = self._stream(event.item_id, event.text)
            return [replace(event, text=shown)] if shown else []
        before: list[Event] = []
        if isinstance(event, ItemCompleted):
            rest = self._waiting.pop(event.item.id, "")
            if rest:
                before.append(CommandOutputDelta(item_id=event.item.id, text=self.text(rest)))
        return [*before, self.value(event)]

    def value(self, value: E) -> E:
        """Any event with the secrets in its texts replaced."""
        if self._pattern is None:
            return value
        raw = JSON.encode(value).decode()
        clean = self.text(raw)
        return value if clean == raw else msgspec.json.decode(clean, type=type(value))

    def _stream(self, item: ItemId, text: str) -> str:
        """As much as can be shown: no secret, and no possible beginning of one at the end."""
        whole = self.text(self._waiting.pop(item, "") + text)
        keep = self._beginning(whole)
        if keep:
            self._waiting[item] = whole[-keep:]
            return whole[:-keep]
        return whole

    def _beginning(self, text: str) -> int:
        """How many characters at the end could begin a secret."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if text[-length] not in self._first:
                continue
            end = text[-length:]
            if any(secret.startswith(end) for secret in self._names):
                return length
        return 0
