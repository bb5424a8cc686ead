"""A private desktop for a command: made by whoever starts it, opened by name in the other account.

It lives as long as a handle on it is open: whoever starts the command keeps this with it.
"""

import secrets
import sys
from typing import Any, Final

import pywintypes
import win32security
import win32service

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import desktops

assert sys.platform == "win32"

from octavo.sandbox.win32.winapi import CallError

INHERITABLE: Final = False


class Desktop:
    """A desktop that is open. Whoever holds it closes it."""

    def __init__(self, name: str, handle: Any) -> None:  # noqa: ANN401 - pywin32's own class
        self.name = name
        self._handle = handle

    @property
    def full_name(self) -> str:
        """As a start takes it."""
        return desktops.full_name(self.name)

    def close(self) -> None:
        """Give it back; again is harmless. With the last handle the desktop is gone."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.CloseDesktop()


def create(owner: str, participant: str) -> Desktop:
    """A new one for `owner`'s programs and those that have the SID `participant`.

    Raises CallError: there is no other desktop to fall back to.
    """
    name = desktops.desktop_name(secrets.token_bytes(16))
    attributes = pywintypes.SECURITY_ATTRIBUTES()
    attributes.SECURITY_DESCRIPTOR = (
        win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(
            desktops.security(owner, participant), 1
        )
    )
    attributes.bInheritHandle = False
    try:
        handle = win32service.CreateDesktop(name, 0, desktops.ALL, attributes)
    except pywintypes.error as error:
        raise CallError("CreateDesktop", error.winerror, path=name) from error
    return Desktop(name, handle)


def open_named(name: str) -> Desktop:
    """One that somebody else made. Raises SandboxUnavailable for a name that is none of ours."""
    if not desktops.is_name(name):
        raise SandboxUnavailable(f"{name!r} is no private desktop; the command did not run")
    try:
        handle = win32service.OpenDesktop(name, 0, INHERITABLE, desktops.PARTICIPANT)
    except pywintypes.error as error:
        raise CallError("OpenDesktop", error.winerror, path=name) from error
    return Desktop(name, handle)
