"""A conversation with a model, recorded once and played for ever.

`Cassette(path, live=client)` asks the real model and keeps what it said; `Cassette(path)` plays it.
While it plays, every request has to be the recorded one: a prompt, a tool or an answer of a tool
that is different fails with the first difference named. Names that are new in every run (threads,
turns, items), the folder and the date do not count.
"""

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from octavo.engine.replay import first_difference
from octavo.model.client import ModelClient
from octavo.model.events import (
    CallDelta,
    Created,
    Done,
    ItemDone,
    ItemStarted,
    ModelEvent,
    ReasoningDelta,
    ReasoningPart,
    Retrying,
    TextDelta,
)
from octavo.model.request import ModelRequest
from octavo.protocol.errors import ModelError, ModelErrorKind
from octavo.protocol.wire import ANY, JSON, item_from, item_to

FORMAT: Final = 1
Plain = (
    Created | ItemStarted | TextDelta | ReasoningDelta | ReasoningPart | CallDelta | Retrying | Done
)
VOLATILE: Final = (
    "thread_id",
    "session_id",
    "turn_id",
    "window_id",
    "prompt_cache_key",
    "metadata",
)
CWD: Final = re.compile(r"<cwd>([^<]+)</cwd>")
CHANGING: Final = (
    (re.compile(r"<current_date>[^<]*</current_date>"), "<current_date/>"),
    (re.compile(r"<timezone>[^<]*</timezone>"), "<timezone/>"),
    (re.compile(r"Wall time: [\d.]+"), "Wall time: -"),
    (re.compile(r"Chunk ID: [0-9a-f]{6}"), "Chunk ID: -"),
    (re.compile(r"session(_id| ID|) ?:? ?\d{4,5}"), "session"),
)


class CassetteDiffersError(AssertionError):
    """A request is not the recorded one. The message names the first difference."""


class Cassette:
    """A ModelClient that records (with `live`) or plays.

    `ignore`: patterns of text that changes from run to run; what they match does not count.
    """

    def __init__(
        self, path: str | Path, *, live: ModelClient | None = None, ignore: Iterable[str] = ()
    ) -> None:
        self._path = Path(path)
        self._live = live
        self._ignore = [re.compile(pattern) for pattern in ignore]
        self._played = 0
        self._lines: list[dict[str, Any]] = [] if live is not None else read(self._path)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """The recorded answer, or the live one. Raises CassetteDiffersError."""
        if self._live is None:
            for event in self._play(request):
                yield event
            return
        said: list[Any] = []
        try:
            async with aclosing(self._live.stream(request)) as stream:
                async for event in stream:
                    said.append(kept(event))
                    yield event
        except ModelError as error:
            said.append({"type": "failed", "kind": error.kind, "message": str(error)})
            raise
        finally:
            self._keep({"request": self._comparable(request), "said": said})

    @property
    def left(self) -> int:
        """Recorded answers nobody asked for yet."""
        return len(self._lines) - self._played

    def _play(self, request: ModelRequest) -> list[ModelEvent]:
        if self._played >= len(self._lines):
            differs(f"{self._path}: request {self._played + 1} is not recorded")
        line = self._lines[self._played]
        self._played += 1
        now = ANY.decode(JSON.encode(self._comparable(request)))
        found = first_difference(line["request"], now)
        if found is not None:
            differs(
                f"{self._path}: request {self._played} differs at {found.path}: "
                f"recorded {found.recorded}, now {found.now}"
            )
        return [event_of(one) for one in line["said"]]

    def _keep(self, line: dict[str, Any]) -> None:
        self._lines.append(line)
        self._played += 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [JSON.encode({"octavo_cassette": FORMAT}), *map(JSON.encode, self._lines)]
        self._path.write_bytes(b"\n".join(rows) + b"\n")

    def _comparable(self, request: ModelRequest) -> Any:  # noqa: ANN401 - any JSON value
        """The request without what is new in every run."""
        fields = {
            name: msgspec.to_builtins(getattr(request, name))
            for name in request.__struct_fields__
            if name not in VOLATILE and name != "input"
        }
        items = [msgspec.to_builtins(item_to(item)) for item in request.input]
        for item in items:
            item.pop("id", None)
        return self._steady({**fields, "input": items})

    def _steady(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        text = JSON.encode(value).decode()
        cwd = CWD.search(text)
        if cwd is not None:
            text = text.replace(cwd[1], "[cwd]")
        for pattern, instead in CHANGING:
            text = pattern.sub(instead, text)
        for pattern in self._ignore:
            text = pattern.sub("[ignored]", text)
        return ANY.decode(text)


def differs(text: str) -> NoReturn:
    raise CassetteDiffersError(f"{text}\n(record it anew if the change is meant)")


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a cassette. Raises CassetteDiffersError in one line when it is none."""
    try:
        first, *rest = path.read_bytes().splitlines()
        if ANY.decode(first)["octavo_cassette"] == FORMAT:
            return [ANY.decode(line) for line in rest]
    except OSError as error:
        differs(f"{path}: cannot be read: {error.strerror}")
    except (msgspec.DecodeError, ValueError, KeyError, TypeError):
        pass
    differs(f"{path}: is no cassette of this version")


def kept(event: ModelEvent) -> Any:  # noqa: ANN401 - any JSON value
    """An event of a stream as it is kept."""
    if isinstance(event, ItemDone):
        return {"type": "item_done", "item": item_to(event.item)}
    return msgspec.to_builtins(event)


def event_of(raw: Any) -> ModelEvent:  # noqa: ANN401 - any JSON value
    """A kept event. Raises ModelError where the model failed then."""
    if raw["type"] == "failed":
        raise ModelError(raw["message"], kind=ModelErrorKind(raw["kind"]))
    if raw["type"] == "item_done":
        return ItemDone(item=item_from(raw["item"]))
    event: ModelEvent = msgspec.convert(raw, Plain)
    return event
