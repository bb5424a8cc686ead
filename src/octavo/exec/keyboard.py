"""One line from whoever sits at the terminal, without a thread that nobody can stop.

A question may be cancelled at any time (Ctrl-C, the end of the turn); then nothing is left reading.
"""

import asyncio
import os
import sys


async def line_from(fd: int) -> str:
    """The next line. Waits as long as the person needs; cancelling ends it. Raises EOFError."""
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    try:
        loop.add_reader(fd, there.set)
    except NotImplementedError:  # Windows: consoles cannot be waited on
        data: bytes = await asyncio.to_thread(sys.stdin.buffer.readline)
    else:
        try:
            await there.wait()
        finally:
            loop.remove_reader(fd)
        data = read_line(fd)
    if not data:
        raise EOFError
    return data.decode(errors="replace")


def read_line(fd: int) -> bytes:
    """A terminal hands over a line at a time."""
    try:
        return os.read(fd, 4096)
    except OSError:  # the terminal has gone
        return b""


def forget_typed(fd: int) -> None:
    """What was typed before a question is no answer to it."""
    if sys.platform != "win32":
        import termios  # noqa: PLC0415 - POSIX only, and only when somebody is asked

        try:
            termios.tcflush(fd, termios.TCIFLUSH)
        except termios.error:
            return
