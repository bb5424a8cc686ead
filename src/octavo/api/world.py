"""The real clock, real randomness, and what this machine says about its user."""

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from octavo.protocol.ids import RANDOM_BYTES, uuid7

SHELLS: Final = ("bash", "zsh", "sh", "dash", "ksh", "ash")
"""Shells whose `-c` takes a script as we write it."""
USUAL_SHELLS: Final = ("/bin/bash", "/usr/bin/bash", "/bin/sh")
LOCALTIME: Final = "/etc/localtime"


class SystemClock:
    """Time as it passes."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemIds:
    """Names from the clock and the system's randomness."""

    def uuid(self) -> str:
        return uuid7(time.time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))

    def jitter(self) -> float:
        return 0.9 + 0.2 * int.from_bytes(os.urandom(2), "little") / 0xFFFF


def user_shell(environ: Mapping[str, str]) -> str:
    """The shell commands are given to: the user's own where it takes `-c`, else the usual one."""
    named = environ.get("SHELL", "")
    own: tuple[str, ...] = (named,) if os.path.basename(named) in SHELLS else ()
    path: str
    for path in (*own, *USUAL_SHELLS):
        if os.path.isabs(path) and os.access(path, os.X_OK):
            return path
    return "/bin/sh"


def timezone(environ: Mapping[str, str]) -> str:
    """The user's time zone by name where the system tells it, else as an offset."""
    named = environ.get("TZ", "").lstrip(":")
    if named and not named.startswith("/"):
        return named
    place: str = os.path.realpath(LOCALTIME)
    _, found, name = place.partition("/zoneinfo/")
    return name if found else f"UTC{datetime.now(UTC).astimezone():%z}"


def today(now_ms: int) -> str:
    """The date the user sees on the wall."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone().date().isoformat()
