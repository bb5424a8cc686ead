"""What was asked of Windows: the record a `wineserver -d1` keeps, as values.

One line per request and one per answer. Handles are numbers of one process, so they are followed
from the answer that gave them, per thread.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from octavo.sandbox.windows.acl import Ace

LINE = re.compile(r"(?P<thread>[0-9a-f]{4}): (?P<call>\w+)\((?P<arguments>.*)\)(?P<answer> = .*)?")
ENTRY = re.compile(
    r"\{type=ACCESS_(?P<kind>ALLOWED|DENIED),flags=(?P<flags>[0-9a-f]+),"
    r"mask=(?P<mask>[0-9a-f]+),sid=(?P<sid>S-[0-9-]+)\}"
)
NAME = re.compile(r'name=L"((?:[^"\\]|\\.)*)"')
ESCAPE = re.compile(r"\\(x[0-9a-f]{1,4}|.)")
GIVEN = re.compile(r"\b(?:new_)?handle=([0-9a-f]+)")
OBJECT = "\\??\\"


@dataclass(frozen=True)
class Request:
    """One request; `answer` is what came back, "" when it was not seen."""

    thread: str
    call: str
    arguments: str
    answer: str = ""

    @property
    def entries(self) -> tuple[Ace, ...]:
        """The access entries in it, in order."""
        return tuple(
            Ace(
                each["kind"] == "ALLOWED",
                each["sid"],
                int(each["mask"], 16),
                int(each["flags"], 16),
            )
            for each in ENTRY.finditer(self.arguments)
        )

    @property
    def name(self) -> str:
        """The name in it, "" without one. Files by path."""
        found = NAME.search(self.arguments)
        return "" if found is None else unescaped(found[1]).removeprefix(OBJECT)

    def number(self, name: str) -> int:
        """A value in it; they are hexadecimal."""
        found = re.search(rf"\b{name}=([0-9a-f]+)", self.arguments)
        assert found is not None, f"{self.call} has no {name}: {self.arguments}"
        return int(found[1], 16)

    @property
    def worked(self) -> bool:
        """Did the answer say yes?"""
        return self.answer.startswith("0")


@dataclass(frozen=True)
class Written:
    """An access list that was set."""

    path: str
    access: int
    """What the handle had been opened for."""
    information: int
    entries: tuple[Ace, ...]

    @property
    def explicit(self) -> tuple[Ace, ...]:
        """Without what is inherited, which Wine adds by itself."""
        return tuple(ace for ace in self.entries if not ace.inherited)


@dataclass
class Trace:
    """The record of a running server."""

    file: Path
    begun: int = field(init=False, default=0)

    def mark(self) -> int:
        """Where the record ends now; `since` begins there."""
        self.begun = self.file.stat().st_size
        return self.begun

    def since(self, mark: int | None = None) -> list[Request]:
        """Everything asked after the last mark, or this one."""
        with self.file.open("rb") as record:
            record.seek(self.begun if mark is None else mark)
            return list(requests(record.read().decode("utf-8", "replace").splitlines()))

    def asked(self, *calls: str) -> list[Request]:
        """The requests of these kinds since the last mark."""
        return [each for each in self.since() if each.call in calls]

    def written(self) -> list[Written]:
        """The access lists set on files since the last mark."""
        return list(written(self.since()))


def wine() -> bool:
    """Is this Windows made by Wine?"""
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


def live() -> Trace | None:
    """The record of the server these tests run on; None when nobody keeps one."""
    file = os.environ.get("OCTAVO_WINE_TRACE")
    return None if file is None else Trace(Path(file))


def requests(lines: Iterable[str]) -> Iterator[Request]:
    """The requests in a record, each with its answer."""
    waiting: dict[tuple[str, str], Request] = {}
    for line in lines:
        found = LINE.fullmatch(line.rstrip())
        if found is None:
            continue
        at = (found["thread"], found["call"])
        if found["answer"] is None:
            if at in waiting:
                yield waiting.pop(at)
            waiting[at] = Request(*at, found["arguments"])
        elif at in waiting:
            asked = waiting.pop(at)
            yield Request(*at, asked.arguments, found["answer"].removeprefix(" = "))
    yield from waiting.values()


def written(all_of_them: Iterable[Request]) -> Iterator[Written]:
    """The access lists set on files."""
    opened: dict[tuple[str, str], Request] = {}
    for each in all_of_them:
        if each.call in ("create_file", "open_file_object") and each.worked:
            given = GIVEN.search(each.answer)
            if given is not None:
                opened[each.thread, given[1]] = each
        elif each.call == "set_security_object":
            handle = GIVEN.search(each.arguments)
            assert handle is not None
            how = opened.get((each.thread, handle[1]))
            yield Written(
                "" if how is None else how.name,
                0 if how is None else how.number("access"),
                each.number("security_info"),
                each.entries,
            )


def unescaped(text: str) -> str:
    """A name as it is: the record doubles backslashes and writes other letters in hexadecimal."""
    return ESCAPE.sub(
        lambda found: chr(int(found[1][1:], 16)) if len(found[1]) > 1 else found[1], text
    )
