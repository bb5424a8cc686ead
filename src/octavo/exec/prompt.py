"""The prompt of `exec`: words on the command line, standard input, or both.

An open pipe that says nothing never blocks a run that has its prompt already: it gets a moment for
its first byte, and once it has begun, time for each next one.
"""

import os
import select
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from octavo.protocol.errors import OctavoError

FIRST_BYTE_S: Final = 0.25
"""For a pipe beside a prompt: whoever is going to write has mostly begun by then."""
NEXT_BYTE_S: Final = 10.0
"""Between two pieces of a pipe beside a prompt."""
LARGEST: Final = 64 * 1024 * 1024
READING: Final = "Reading prompt from stdin..."
READING_MORE: Final = "Reading additional input from stdin..."


class NoPromptError(OctavoError):
    """There is nothing to do."""

    exit_code = 1


class Asked(Struct, frozen=True, kw_only=True):
    """The prompt, and the notes for stderr that came with it."""

    text: str
    notes: tuple[str, ...] = ()


def prompt_from(word: str | None, fd: int, *, resumed: bool = False) -> Asked:
    """The prompt from the argument and the descriptor of standard input.

    Raises NoPromptError when both are empty, OctavoError for bytes that are no text.
    """
    if word == "-":
        return Asked(text=needed(decode(read_all(fd))))
    if word is None:
        if os.isatty(fd):
            raise NoPromptError("no prompt given", hint="octavo exec PROMPT, or pipe it in")
        return Asked(text=needed(decode(read_all(fd))), notes=(READING,))
    if resumed or os.isatty(fd):
        return Asked(text=word)
    more = decode(read_ready(fd))
    if not more.strip():
        return Asked(text=word, notes=(READING_MORE,) if more else ())
    return Asked(text=with_input(word, more), notes=(READING_MORE,))


def needed(text: str) -> str:
    if not text.strip():
        raise NoPromptError("No prompt provided via stdin.")
    return text


def with_input(prompt: str, data: str) -> str:
    """The prompt with what came on standard input marked as such."""
    return f"{prompt}\n\n<stdin>\n{data.removesuffix(chr(10))}\n</stdin>"


def decode(data: bytes) -> str:
    """UTF-8, or UTF-16 with its byte order mark. Raises OctavoError naming the first bad byte."""
    encoding = "utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as wrong:
        name = encoding.removesuffix("-sig").upper()
        raise OctavoError(
            f"Failed to read prompt from stdin: input is not valid {name} "
            f"(invalid byte at offset {wrong.start}).",
            hint="convert it to UTF-8, for example with iconv",
        ) from wrong


def read_all(fd: int) -> bytes:
    """Everything until the end of the input."""
    return read(fd, lambda _begun: None)


def read_ready(fd: int) -> bytes:
    """What is there, waiting only a moment for it to begin; all of it for files."""
    return read(fd, lambda begun: NEXT_BYTE_S if begun else FIRST_BYTE_S)


def read(fd: int, patience: Callable[[bool], float | None]) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while size <= LARGEST:
        limit = patience(bool(pieces))
        if limit is not None and not ready(fd, limit):
            break
        try:
            piece = os.read(fd, 1 << 16)
        except OSError:  # closed, or not for reading: the same as empty
            break
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    if size > LARGEST:
        raise OctavoError(f"standard input has more than {LARGEST >> 20} MB", hint="pass a file")
    return b"".join(pieces)


def ready(fd: int, seconds: float) -> bool:
    """Is there something to read within that time? Always for what cannot be waited on."""
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    except (OSError, ValueError):  # on Windows only sockets can be waited on
        return True
