"""The set-up helper: `python -I -m octavo.sandbox.win32.setup_helper PAYLOAD`.

One argument in, exit code and report file out. What it does is `octavo.sandbox.windows.helper_run`;
this is the machine it does it to.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Self

assert sys.platform == "win32"

import pywintypes
import win32api
import win32con
import win32event
import win32security

from octavo.protocol.errors import OctavoError
from octavo.sandbox.win32 import disk
from octavo.sandbox.win32.accounts import LocalAccounts
from octavo.sandbox.win32.grants import UserGrants
from octavo.sandbox.win32.own_files import OwnFiles
from octavo.sandbox.win32.walls import MachineWalls
from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import setup
from octavo.sandbox.windows.helper_run import carry_out, reported
from octavo.sandbox.windows.setup import Payload, SetupError

# untyped: the stubs take numbers where these take handle objects
event: Final[Any] = win32event
PROGRAM: Final = "octavo-setup-helper"
WRONG_ARGUMENTS: Final = 2
ALONE_MS: Final = 10 * 60 * 1000
"""How long to wait for a set-up that is under way."""
MUTEX_EXISTS: Final = 183
MISSING: Final = 2


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Exit code 0: done; 1: failed, and the report says how; 2: no payload, so no report."""
    try:
        payload = setup.decode_payload(setup.received_arguments(arguments, environ))
    except SetupError as error:
        tell(str(error))
        return WRONG_ARGUMENTS
    try:
        # names below it are then what they say, and a link in the place of one is seen
        payload = replace(payload, octavo_home=disk.canonical(payload.octavo_home))
    except OctavoError as error:
        tell(str(error))
        return WRONG_ARGUMENTS
    with Machine(payload, environ) as machine:
        return reported(
            payload,
            machine,
            lambda: carry_out(payload, machine, random=secrets.token_bytes, now=local_time),
        )


def tell(text: str) -> None:
    """On stderr, where there is one: a hidden helper has none."""
    if sys.stderr is not None:
        sys.stderr.buffer.write(f"{PROGRAM}: {text}\n".encode("utf-8", "backslashreplace"))


def local_time() -> datetime:
    """Now, with the zone of this machine."""
    return datetime.now().astimezone()


class Machine:
    """See `setup_run.System`. Use it in a `with` statement, from one thread."""

    def __init__(
        self,
        payload: Payload,
        environ: Mapping[str, str],
        now: Callable[[], datetime] = local_time,
    ) -> None:
        self.accounts = LocalAccounts()
        self.walls = MachineWalls()
        self.files = OwnFiles(PROGRAM, now)
        self.grants = UserGrants(payload, environ, self.files.log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.files.close()

    @contextmanager
    def alone(self, name: str, security: str) -> Iterator[None]:
        handle = create_mutex(name, security)
        try:
            found = event.WaitForSingleObject(handle, ALONE_MS)
            if found not in (event.WAIT_OBJECT_0, event.WAIT_ABANDONED):
                raise OctavoError(f"it did not end within {ALONE_MS // 60_000} minutes")
            try:
                yield
            finally:
                event.ReleaseMutex(handle)
        finally:
            handle.Close()

    @contextmanager
    def reader(self, name: str) -> Iterator[bool]:
        try:
            event.OpenMutex(win32con.SYNCHRONIZE, False, name).Close()  # noqa: FBT003 - not inherited
        except pywintypes.error as error:
            if error.winerror != MISSING:
                raise CallError("OpenMutex", error.winerror, path=name) from error
        else:
            yield False
            return
        handle, existed = create_named(name, None)
        try:
            yield not existed
        finally:
            handle.Close()


def create_mutex(name: str, security: str) -> Any:  # noqa: ANN401 - pywin32's own handle type
    """A mutex that only those named in `security` may open. Raises CallError."""
    attributes = pywintypes.SECURITY_ATTRIBUTES()
    try:
        attributes.SECURITY_DESCRIPTOR = (
            win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(security, 1)
        )
    except pywintypes.error as error:
        raise CallError("ConvertStringSecurityDescriptor", error.winerror) from error
    return create_named(name, attributes)[0]


def create_named(
    name: str,
    attributes: Any,  # noqa: ANN401 - pywin32's own type
) -> tuple[Any, bool]:
    """The mutex, and whether it was there before. Raises CallError."""
    try:
        handle = event.CreateMutex(attributes, False, name)  # noqa: FBT003 - not ours yet
    except pywintypes.error as error:
        raise CallError("CreateMutex", error.winerror, path=name) from error
    return handle, last_error() == MUTEX_EXISTS


def last_error() -> int:
    """Of the last call through pywin32 in this thread."""
    return int(win32api.GetLastError())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
