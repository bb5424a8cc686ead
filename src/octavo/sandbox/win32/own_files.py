"""Our own folders below the home, for set-up: made, closed, written, removed. Links are refused.

A folder is held open while set-up runs, so that nobody puts a link in its place meanwhile.
"""

import os
import stat
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

assert sys.platform == "win32"

import pywintypes
import win32security

from octavo.protocol.errors import OctavoError
from octavo.sandbox.win32 import disk, dpapi, state
from octavo.sandbox.win32.wfp import security as descriptor_of
from octavo.sandbox.win32.winapi import CallError, Handle
from octavo.sandbox.windows import acl, log
from octavo.sandbox.windows.acl import Ace, Fresh

# untyped: the stubs know no None for what stays as it is
security: Final[Any] = win32security
TO_HOLD: Final = acl.READ_DATA | acl.READ_ATTRIBUTES
"""With less than a right to data Windows does not count who shares."""
TO_LOCK: Final = acl.READ_CONTROL | acl.WRITE_DAC | acl.READ_ATTRIBUTES
TO_FILL: Final = acl.WRITE_DATA | acl.READ_ATTRIBUTES | acl.SYNCHRONIZE
TO_APPEND: Final = acl.APPEND_DATA | acl.READ_ATTRIBUTES | acl.SYNCHRONIZE


class OwnFiles:
    """See `setup_run.Files`. Paths are canonical. `close` it."""

    def __init__(self, program: str, now: Callable[[], datetime]) -> None:
        self._program = program
        self._now = now
        self._log = ""
        self._held: dict[str, Handle] = {}

    def close(self) -> None:
        """Let go of the folders."""
        while self._held:
            self._held.popitem()[1].close()

    def folder(self, path: str) -> None:
        if path in self._held:
            return
        try:
            Path(path).mkdir()
        except FileExistsError:
            pass  # a folder, or something that is refused below
        except OSError as error:
            raise CallError("CreateDirectory", error.winerror or 0, path=path) from error
        self._held[path] = plain(path, TO_HOLD, folder=True, share=disk.SHARE_STAY)

    def open_log(self, folder: str) -> None:
        self._log = os.path.join(folder, log.file_name(self._now()))
        append(self._log, b"")

    def log(self, text: str) -> None:
        if self._log:
            append(self._log, log.line(self._now(), self._program, text))

    def create_new(self, path: str, entries: str) -> None:
        self.remove(path)
        disk.opened(
            path, TO_FILL, share=0, how=disk.CREATE_NEW, security=descriptor_of(entries)
        ).close()

    def fill(self, path: str, data: bytes) -> None:
        with plain(path, TO_FILL, folder=False) as handle:
            disk.write_all(handle, data, path)

    def replace(self, path: str, data: bytes) -> None:
        state.replace(path, data)

    def remove(self, path: str) -> None:
        try:
            Path(path).unlink(missing_ok=True)
        except OSError as error:
            raise CallError("DeleteFile", error.winerror or 0, path=path) from error

    def remove_tree(self, path: str) -> None:
        held = self._held.pop(path, None)
        if held is not None:
            held.close()
        if self._log.startswith(path + os.sep):
            self._log = ""
        remove_tree(path)

    def lock(self, fresh: Fresh) -> None:
        put_list(fresh)

    def seal(self, secret: bytes) -> bytes:
        return dpapi.seal(secret)


def plain(
    path: str,
    access: int,
    *,
    folder: bool,
    share: int = acl.SHARE_ALL,
    how: int = acl.OPEN_EXISTING,
) -> Handle:
    """A handle of what has this very name. Raises DiskError; OctavoError for a link, a second
    name, or a file where a folder was expected."""
    handle = disk.opened(path, access, share=share, how=how)
    what = disk.info(handle, path)
    problem = ""
    if what.link or not disk.is_here(handle, path):
        problem = "is a link, or lies behind one"
    elif what.folder != folder:
        problem = "is no folder" if folder else "is a folder"
    elif not folder and what.names > 1:
        problem = f"has {what.names} names"
    if problem:
        handle.close()
        raise OctavoError(f"{path!r} {problem}", hint="Remove it and try again.")
    return handle


def append(path: str, data: bytes) -> None:
    """At the end of a log. Raises DiskError; OctavoError for a link."""
    with plain(path, TO_APPEND, folder=False, how=disk.OPEN_ALWAYS) as handle:
        disk.write_all(handle, data, path)


def remove_tree(path: str) -> None:
    """A folder and what is in it; links in it are removed, not followed. Raises CallError."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CallError("GetFileAttributes", error.winerror or 0, path=path) from error
    try:
        if is_link(found) or (stat.S_ISDIR(found.st_mode) and not _is_here(path)):
            os.rmdir(path) if stat.S_ISDIR(found.st_mode) else Path(path).unlink()
            return
        with os.scandir(path) as entries:
            inside = list(entries)
        for entry in inside:
            mine = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False) or is_link(mine):
                remove_tree(entry.path)
            else:
                Path(entry.path).chmod(stat.S_IWRITE)
                Path(entry.path).unlink()
        Path(path).rmdir()
    except OSError as error:
        raise CallError(
            "removing", error.winerror or 0, path=str(error.filename or path)
        ) from error


def _is_here(path: str) -> bool:
    """Is the folder where the path says? Asked of a handle: attributes do not tell everything."""
    with disk.opened(path, acl.READ_ATTRIBUTES) as handle:
        return disk.is_here(handle, path)


def is_link(found: os.stat_result) -> bool:
    """A symlink, junction or any other reparse point."""
    return bool(found.st_file_attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT)


def put_list(fresh: Fresh) -> None:
    """Replace a folder's access list by this one, for what is in it too. Raises DiskError,
    CallError."""
    kind = security.DACL_SECURITY_INFORMATION
    if fresh.protected:
        kind |= security.PROTECTED_DACL_SECURITY_INFORMATION
    with plain(fresh.path, TO_LOCK, folder=True) as handle:
        try:
            security.SetSecurityInfo(
                handle.value,
                security.SE_FILE_OBJECT,
                kind,
                None,
                None,
                list_of(fresh.dacl),
                None,
            )
        except pywintypes.error as error:
            raise CallError("SetSecurityInfo", error.winerror, path=fresh.path) from error


def list_of(entries: tuple[Ace, ...]) -> Any:  # noqa: ANN401 - pywin32's PyACL
    """An access list with these entries, in this order."""
    made = security.ACL()
    for ace in entries:
        sid = security.ConvertStringSidToSid(ace.sid)
        add = made.AddAccessAllowedAceEx if ace.allow else made.AddAccessDeniedAceEx
        add(security.ACL_REVISION_DS, ace.flags, ace.mask, sid)
    return made
