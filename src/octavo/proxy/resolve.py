"""Names into addresses, with deadlines; which addresses are this machine's own. Hands.

The system's resolver blocks and cannot be interrupted. Each look-up has a thread that nobody
waits for at the end; there are only so many of them, and one that hangs counts until it is back.
"""

import asyncio
import errno
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from octavo.policy.addresses import Address, plain, read_address
from octavo.protocol.errors import UsageError

Resolver = Callable[[str], Awaitable[Sequence[Address]]]
"""The addresses of a name, the best first; none when there is no such name."""
THREADS: Final = 32
"""Of look-ups, the hanging ones included."""
DOCUMENTATION: Final = "192.0.2.1"
"""An address that is nobody's, so no socket can be bound to it."""


class SystemResolver:
    """What this machine makes of a name. No deadline: whoever awaits it has one."""

    def __init__(self, threads: int = THREADS) -> None:
        self._free = asyncio.Semaphore(threads)

    async def __call__(self, name: str) -> Sequence[Address]:
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Address]] = loop.create_future()

        def settle(found: list[Address]) -> None:
            self._free.release()
            if not answer.done():
                answer.set_result(found)

        def look_up() -> None:
            found = addresses_of(name)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, found)

        threading.Thread(target=look_up, name=f"look up {name}", daemon=True).start()
        return await answer


def addresses_of(name: str) -> list[Address]:
    """Blocks. A name that cannot be looked up has no addresses."""
    if "." in name:
        # the dot keeps the search list out of it, and the hosts file as well, which comes second
        rows = _rows(f"{name}.") or _rows(name)
        if rows and rows[0][3].startswith(f"{name}."):
            return []  # another name, made with the search list
    else:
        rows = _rows(name)
    texts = dict.fromkeys(str(row[4][0]) for row in rows)
    return [address for text in texts if (address := read_address(text)) is not None]


def _rows(name: str) -> Sequence[tuple[int, int, int, str, tuple[object, ...]]]:
    try:
        return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    except (OSError, UnicodeError):
        return []


class ScriptedResolver:
    """For tests: the n-th look-up of a name gets the n-th list, the last one repeats.

    A name without a list does not exist. The system is never asked.
    """

    def __init__(self, hosts: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._left = {
            name: [[_address(text) for text in row] for row in rows] for name, rows in hosts.items()
        }
        self.asked: list[str] = []
        """Every name that was looked up."""

    @classmethod
    def read(cls, path: str) -> "ScriptedResolver":
        """From a file `{"hosts": {name: [[address, ...], ...]}}`. Raises UsageError, OSError."""
        try:
            return cls(json.loads(Path(path).read_bytes())["hosts"])
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            raise UsageError(f"{path}: not a table of hosts and addresses: {wrong}") from wrong

    async def __call__(self, name: str) -> Sequence[Address]:
        self.asked.append(name)
        rows = self._left.get(name)
        if not rows:
            return []
        return rows.pop(0) if len(rows) > 1 else rows[0]


def _address(text: str) -> Address:
    address = read_address(text)
    if address is None:
        raise UsageError(f"not an address: {text}")
    return address


def own_addresses(addresses: Iterable[Address]) -> frozenset[Address]:
    """Those that belong to an interface of this machine, now. A few microseconds each."""
    return frozenset(one for one in addresses if is_own(one))


def is_own(address: Address) -> bool:
    """Would a connection to it stay on this machine?"""
    address = plain(address)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with suppress(OSError):  # where binding says nothing, the way a packet would take does
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            if not bindable(probe, str(address)):
                return False
        if not _binds_anything():
            return True
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))  # sends nothing; the kernel chooses a source
            return read_address(str(probe.getsockname()[0])) == address
    except OSError:
        return False  # no way there at all


def bindable(probe: socket.socket, address: str) -> bool:
    """Is it one of this machine's, as far as that can be said? Raises OSError where it cannot."""
    try:
        probe.bind((address, 0))
    except OSError as wrong:
        if wrong.errno == errno.EADDRNOTAVAIL:
            return False
        raise
    return True


def _binds_anything() -> bool:
    """Some machines let everybody bind to foreign addresses; then that says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return bindable(probe, DOCUMENTATION)
