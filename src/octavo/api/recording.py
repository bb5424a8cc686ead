"""A recording on disk: begun with a session, written as things happen, played back from a file."""

import os
from collections.abc import Iterator, Mapping

from msgspec import to_builtins

from octavo._version import __version__
from octavo.engine.replay import read_header, replayed
from octavo.engine.session import Session
from octavo.engine.tape import FORMAT, Header, Tape
from octavo.protocol.errors import UsageError
from octavo.protocol.events import Event
from octavo.protocol.wire import item_to


def open_tape(path: str) -> Tape:
    """A tape that writes to a new file, readable for this user alone.

    Raises UsageError when the file exists or cannot be made: a recording is never written over.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists already", hint="give --record a new name") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    file = os.fdopen(fd, "wb")

    def keep(line: bytes) -> None:
        if not file.closed:
            file.write(line + b"\n")
            file.flush()

    return Tape(keep, close=file.close)


def header_of(session: Session, facts: Mapping[str, str], warnings: tuple[str, ...]) -> Header:
    """What a session is made of, before anything happened in it."""
    parts = session.parts
    return Header(
        octavo_recording=FORMAT,
        version=__version__,
        thread_id=parts.thread_id,
        model=parts.model_name,
        info=to_builtins(parts.info),
        instructions=parts.instructions,
        tools=parts.tools.specs(),
        surroundings=to_builtins(parts.workspace.surroundings),
        facts=dict(facts),
        warnings=warnings,
        effort=parts.effort,
        summary=parts.summary,
        verbosity=parts.verbosity,
        service_tier=parts.service_tier,
        window=parts.window,
        compact_at=parts.compact_at,
        output_tokens=parts.output_tokens,
        stream_retries=parts.stream_retries,
        history=tuple(item_to(item) for item in session.history.items),
        total=to_builtins(session.total),
        last=to_builtins(session.history.last_usage),
        told=to_builtins(session.told),
        windows=session.windows,
    )


def play_file(path: str) -> tuple[Header, Iterator[Event]]:
    """A recording from a file: its first line, and what people saw, played anew.

    Raises UsageError for what is no recording; the iterator raises ReplayDiffersError.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if lines[-1] == b"":
        lines.pop()
    header = read_header(lines[0] if lines else b"")
    return header, replayed(iter(lines[1:]), header)
