"""What every module with hands on Windows needs: owned handles, and errors that say what failed.

`ctypes` types and libraries are declared where they are used; this only checks and owns.
"""

import ctypes
import sys
from types import TracebackType
from typing import Final, Self

from octavo.protocol.errors import OctavoError

assert sys.platform == "win32"

ACCESS_DENIED: Final = 5
INVALID_HANDLE: Final = ctypes.c_void_p(-1).value

kernel32: Final = ctypes.WinDLL("kernel32", use_last_error=True)
kernel32.CloseHandle.argtypes = [ctypes.c_void_p]
kernel32.CloseHandle.restype = ctypes.c_int


class CallError(OctavoError):
    """A call to Windows failed: `call`, `code` (the number Windows gave) and `path` say what."""

    exit_code = 5

    def __init__(
        self, call: str, code: int, *, path: str | None = None, hint: str | None = None
    ) -> None:
        subject = "" if path is None else f" for {path!r}"
        reason = ctypes.FormatError(code).strip() or "no description"
        super().__init__(f"{call}{subject} failed: {reason} (Windows error {code})", hint=hint)
        self.call = call
        self.code = code
        self.path = path


def last_error(call: str, *, path: str | None = None) -> CallError:
    """What the last call through `ctypes` of this thread failed with."""
    return CallError(call, ctypes.get_last_error(), path=path)


class Handle:
    """A handle with an owner: closed once, at the end of `with` or by `close`."""

    __slots__ = ("_value",)

    def __init__(self, value: int) -> None:
        self._value: int | None = value

    @property
    def value(self) -> int:
        """The number; ValueError once it is closed."""
        if self._value is None:
            raise ValueError("the handle is closed")
        return self._value

    def detach(self) -> int:
        """The number, which the caller owns from now on."""
        value, self._value = self.value, None
        return value

    def close(self) -> None:
        """Give it back; again is harmless."""
        value, self._value = self._value, None
        if value is not None:
            kernel32.CloseHandle(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
