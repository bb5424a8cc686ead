"""Secrets that only this machine can read again.

For the machine, not the user: set-up seals as administrator, commands unseal as the user. What
keeps other accounts out is the access list of the folder; see `credentials`.
"""

import sys

assert sys.platform == "win32"

import pywintypes
import win32crypt

from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import setup


def seal(secret: bytes) -> bytes:
    """Protect it. Raises CallError."""
    try:
        return bytes(win32crypt.CryptProtectData(secret, None, None, None, None, setup.DPAPI_FLAGS))
    except pywintypes.error as error:
        raise CallError("CryptProtectData", error.winerror) from error


def unseal(sealed: bytes) -> bytes:
    """What was sealed. Raises CallError: 13 when it was changed or is another machine's."""
    try:
        _, secret = win32crypt.CryptUnprotectData(sealed, None, None, None, setup.DPAPI_FLAGS)
    except pywintypes.error as error:
        raise CallError("CryptUnprotectData", error.winerror) from error
    return bytes(secret)
