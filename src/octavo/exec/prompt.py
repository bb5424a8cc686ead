"""The prompt of `exec`: words on the command line, standard input, or both.

An open pipe that says nothing never blocks a run that has its prompt already: it gets a moment for
its first byte, and once it has begun, time for each next one.
"""

import os
import select
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from typing import Final

from octavo.protocol.errors import OctavoError

FIRST_BYTE_S: Final = 0.25
"""For a pipe beside a prompt: whoever is going to write has mostly begun by then."""
NEXT_BYTE_S: Final = 10.0
"""Between two pieces of a pipe beside a prompt."""
LARGEST: Final = 64 * 1024 * 1024
READING: Final = "Reading prompt from stdin..."
READING_MORE: Final = "Reading additional input from stdin..."
SILENT: Final = "Nothing on stdin yet: going on without it (`octavo exec -` waits for all of it)."
PAUSED: Final = "stdin paused for {:g} s: going on with what came until then."
Note = Callable[[str], None]


class NoPromptError(OctavoError):
    """There is nothing to do."""

    exit_code = 1


def prompt_from(word: str | None, fd: int, *, note: Note, resumed: bool = False) -> str:
    """The prompt from the argument and the descriptor of standard input. `note` tells people.

    Raises NoPromptError when both are empty, OctavoError for bytes that are no text.
    """
    if word == "-":
        return needed(decode(read_all(fd)))
    if word is None:
        if os.isatty(fd):
            raise NoPromptError("no prompt given", hint="octavo exec PROMPT, or pipe it in")
        note(READING)
        return needed(decode(read_all(fd)))
    if resumed or os.isatty(fd):
        return word
    more = decode(read_ready(fd, note))
    return with_input(word, more) if more.strip() else word


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


def read_all(fd: int, *, at_most: int = LARGEST) -> bytes:
    """Everything until the end of the input."""
    pieces: list[bytes] = []
    size = 0
    while piece := read_piece(fd):
        pieces.append(piece)
        size += len(piece)
        if size > at_most:
            raise OctavoError(f"standard input has more than {at_most:,} bytes", hint="pass a file")
    return b"".join(pieces)


def read_ready(
    fd: int, note: Note, *, pause_s: float = NEXT_BYTE_S, at_most: int = LARGEST
) -> bytes:
    """What is there, waiting only a moment for it to begin; all of it for files."""
    if not ready(fd, FIRST_BYTE_S):
        note(SILENT)
        return b""
    piece = read_piece(fd)
    if piece:
        note(READING_MORE)
    pieces: list[bytes] = []
    size = 0
    while piece:
        pieces.append(piece)
        size += len(piece)
        if size > at_most:
            raise OctavoError(f"standard input has more than {at_most:,} bytes", hint="pass a file")
        if not ready(fd, pause_s):
            note(PAUSED.format(pause_s))
            break
        piece = read_piece(fd)
    return b"".join(pieces)


def read_piece(fd: int) -> bytes:
    """What comes next; empty at the end, and for what is closed or not for reading."""
    try:
        return os.read(fd, 1 << 16)
    except OSError:
        return b""


def ready(fd: int, seconds: float) -> bool:
    """Is there something to read within that time? Always for what cannot be waited on."""
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    except (OSError, ValueError):  # on Windows only sockets can be waited on
        return True
