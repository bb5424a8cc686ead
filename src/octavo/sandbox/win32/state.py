"""What we keep under our home: capability SIDs, hidden paths, the journal, the last plan.

The real `octavo.sandbox.windows.world.Store`. Every file is opened without following links, and
refused when it has a second name; it is replaced as a whole, or grows line by line, and is on the
disk before anything depends on it.
"""

import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

import pywintypes
import win32event
import win32file
import win32security

from octavo.protocol.errors import ConfigError, SandboxUnavailable
from octavo.sandbox.windows import acl, denyread, journal, paths, setup, sids, world
from octavo.sandbox.windows.journal import Journal, Record
from octavo.sandbox.windows.sids import Capabilities
from octavo.sandbox.windows.world import DiskError, Last

assert sys.platform == "win32"

from octavo.sandbox.win32 import disk, own
from octavo.sandbox.win32.winapi import CallError, Handle

CAPABILITIES: Final = "cap_sid"
JOURNAL: Final = "acl_journal.jsonl"
LAST: Final = "last_plan.json"
HELD: Final = "held"
MUTEX: Final = "Global\\OctavoSandboxHome-"
NOT_OURS: Final = False
LOCK_S: Final = 120.0
"""Writing the list of a folder can take minutes where the tree below it is large."""
MOST_BYTES: Final = 64 * 1024 * 1024
GENERIC_READ: Final = 0x80000000
GENERIC_WRITE: Final = 0x40000000
DELETE_ON_CLOSE: Final = 0x04000000
SHARE_READ_DELETE: Final = 1 | 4
END_OF_FILE: Final = 6
IN_USE: Final = 32


class Home:
    """The files of one home. `home` is created when it is missing."""

    def __init__(self, home: str, *, lock_s: float = LOCK_S) -> None:
        self.path = disk.canonical(home)
        self._folder = paths.join(self.path, setup.FOLDER)
        self._lock_s = lock_s

    # One at a time.

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One at a time per home, on the whole machine. Raises SandboxUnavailable when it is
        not our turn within the deadline."""
        with _mutex(self.path) as mutex:
            waited = win32event.WaitForSingleObject(mutex.value, int(self._lock_s * 1000))
            if waited not in (win32event.WAIT_OBJECT_0, win32event.WAIT_ABANDONED):
                raise SandboxUnavailable(
                    f"another Octavo has been writing access entries for {self.path} for more "
                    f"than {self._lock_s:g} s; the command did not run",
                    hint="Wait until it is done, or end it.",
                )
            try:
                yield
            finally:
                win32event.ReleaseMutex(mutex.value)

    # Capability SIDs.

    def capabilities(self) -> tuple[Capabilities, bool]:
        """The capability SIDs, and whether the file has to be written."""
        file = paths.join(self.path, CAPABILITIES)
        data = read(file)
        if data is None:
            return sids.fresh(secrets.token_bytes), True
        return sids.decode(data, file, secrets.token_bytes)

    def save_capabilities(self, capabilities: Capabilities) -> None:
        """Replace the capability file."""
        _make_folder(self.path)
        replace(paths.join(self.path, CAPABILITIES), sids.encode(capabilities))

    # Hidden paths.

    def hidden(self, group: str) -> tuple[str, ...]:
        """What earlier plans hid from the group."""
        return self._all_hidden().get(group, ())

    def _all_hidden(self) -> dict[str, tuple[str, ...]]:
        file = paths.join(self._folder, setup.STATE)
        data = read(file)
        return {} if data is None else denyread.decode_state(data, file)

    def save_hidden(self, group: str, hidden: Sequence[str]) -> None:
        """Replace that list."""
        self._make_folders()
        everyone = {**self._all_hidden(), group: tuple(hidden)}
        replace(paths.join(self._folder, setup.STATE), denyread.encode_state(everyone))

    # The journal.

    def journal(self) -> Journal:
        """Every record."""
        file = paths.join(self._folder, JOURNAL)
        data = read(file)
        return Journal(()) if data is None else journal.decode(data, file)

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns."""
        self._make_folders()
        file = paths.join(self._folder, JOURNAL)
        data = read(file) or b""
        whole = data.rfind(b"\n") + 1
        access = GENERIC_READ | GENERIC_WRITE
        with disk.opened(file, access, share=1, how=disk.OPEN_ALWAYS) as handle:
            _check(handle, file)
            _cut(handle, whole)
            disk.write_all(handle, journal.encode(record), file)

    def replace_journal(self, records: Sequence[Record]) -> None:
        """Keep only these."""
        self._make_folders()
        data = b"".join(journal.encode(record) for record in records)
        replace(paths.join(self._folder, JOURNAL), data)

    # The last plan.

    def last(self) -> Last | None:
        """The last plan; None when there was none, or when its file is damaged."""
        data = read(paths.join(self._folder, LAST))
        return None if data is None else world.decode_last(data)

    def save_last(self, last: Last | None) -> None:
        """Remember a plan, or forget it."""
        self._make_folders()
        file = paths.join(self._folder, LAST)
        replace(file, b"{}\n" if last is None else world.encode_last(last))

    # What running commands depend on.

    def held(self) -> tuple[str, ...]:
        """What commands that run now need hidden or closed."""
        folder = paths.join(self._folder, HELD)
        found: dict[str, None] = {}
        for entry in disk.listing(folder):
            found.update(dict.fromkeys(_held(paths.join(folder, entry.name))))
        return tuple(found)

    def held_file(self) -> str:
        """A new name in the folder of those files, which exists then."""
        self._make_folders()
        folder = paths.join(self._folder, HELD)
        _make_folder(folder)
        return paths.join(folder, f"{os.getpid()}-{secrets.token_hex(8)}.json")

    def _make_folders(self) -> None:
        _make_folder(self.path)
        _make_folder(self._folder)


class Hold:
    """Says, while it is open, what a running command depends on: others leave it hidden and
    there. It ends with `close`, and with this process whatever happens to it."""

    def __init__(self, home: str) -> None:
        self._home = Home(home)
        self._handles: list[Handle] = []

    def keep(self, depended_on: Iterable[str]) -> None:
        """Depend on these paths too. Call it while the home is locked."""
        file = self._home.held_file()
        handle = disk.opened(
            file,
            GENERIC_WRITE | acl.DELETE,
            share=SHARE_READ_DELETE,
            how=disk.CREATE_NEW,
            flags=DELETE_ON_CLOSE,
        )
        self._handles.append(handle)
        disk.write_all(handle, json.dumps([*depended_on], ensure_ascii=True).encode(), file)

    def close(self) -> None:
        """The command has ended."""
        while self._handles:
            self._handles.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _held(file: str) -> list[str]:
    """What one file says; nothing when whoever wrote it is gone."""
    try:
        # whoever lives writes to it, which this does not allow for
        disk.opened(file, acl.DELETE, share=1, flags=DELETE_ON_CLOSE).close()
    except DiskError as error:
        if error.code in disk.GONE:
            return []
        if error.code != IN_USE:
            raise
    else:
        return []
    data = read(file)
    if data is None:
        return []
    try:
        found = json.loads(data)
    except ValueError as error:
        raise ConfigError("not JSON", file=file, hint="Run the command again.") from error
    if not isinstance(found, list) or not all(isinstance(path, str) for path in found):
        raise ConfigError("not a list of paths", file=file, hint="Run the command again.")
    return found


# Files -------------------------------------------------------------------------------------------


def read(file: str) -> bytes | None:
    """A file of ours; None when it is missing. Raises ConfigError when it is a link, has a second
    name, lies behind a link or is larger than any file of ours."""
    try:
        handle = disk.opened(file, GENERIC_READ)
    except DiskError as error:
        if error.code in disk.GONE:
            return None
        raise
    with handle:
        _check(handle, file)
        data = disk.read_all(handle, MOST_BYTES + 1, file)
    if len(data) > MOST_BYTES:
        raise ConfigError(f"larger than {MOST_BYTES:,} bytes", file=file, hint=journal.HINT)
    return data


def _check(handle: Handle, file: str) -> None:
    what = disk.info(handle, file)
    denyread.check_state_file(file, reparse_point=what.link, links=1 if what.folder else what.names)
    if what.folder or not disk.is_here(handle, file):
        raise ConfigError(
            "it is a folder, or lies behind a link", file=file, hint="Remove the folder or link."
        )


def replace(file: str, data: bytes) -> None:
    """Replace a file of ours as a whole: others find the old one or the new one."""
    read_before = read(file)
    if read_before == data:
        return
    temporary = f"{file}.{secrets.token_hex(8)}.new"
    try:
        with disk.opened(temporary, GENERIC_WRITE, share=0, how=disk.CREATE_NEW) as handle:
            disk.write_all(handle, data, temporary)
            if not disk.is_here(handle, temporary):
                raise ConfigError("it lies behind a link", file=file, hint="Remove the link.")
        flags = win32file.MOVEFILE_REPLACE_EXISTING | win32file.MOVEFILE_WRITE_THROUGH
        win32file.MoveFileExW(disk.long(temporary), disk.long(file), flags)
    except pywintypes.error as error:
        _drop(temporary)
        reason = disk.REASONS.get(error.winerror, str(error.strerror))
        raise DiskError("MoveFileEx", error.winerror, path=file, reason=reason) from error
    except BaseException:
        _drop(temporary)
        raise


def _drop(file: str) -> None:
    with suppress(pywintypes.error):
        win32file.DeleteFileW(disk.long(file))


def _cut(handle: Handle, size: int) -> None:
    """End the file there and go on from there: a line cut short by a crash was never true."""
    try:
        win32file.SetFilePointer(handle.value, size, win32file.FILE_BEGIN)
        win32file.SetEndOfFile(handle.value)
    except pywintypes.error as error:
        raise CallError("SetEndOfFile", error.winerror) from error


def _make_folder(path: str) -> None:
    """A folder of ours, with what it inherits: the home is the user's own place."""
    try:
        os.mkdir(disk.long(path))
    except OSError as error:
        code = error.winerror or 0
        if code not in disk.THERE:
            reason = disk.REASONS.get(code, str(error.strerror))
            raise DiskError("CreateDirectory", code, path=path, reason=reason) from error


def _mutex(home: str) -> Handle:
    """One name per home, for every session of the machine; only its user may touch it."""
    tag = hashlib.sha256(paths.fold(home).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    text = f"D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;{own.user_sid()})"
    attributes = pywintypes.SECURITY_ATTRIBUTES()
    attributes.SECURITY_DESCRIPTOR = (
        win32security.ConvertStringSecurityDescriptorToSecurityDescriptor(text, 1)
    )
    try:
        made: Any = win32event.CreateMutex(attributes, NOT_OURS, MUTEX + tag)
        return Handle(made.Detach())
    except pywintypes.error as error:
        raise CallError("CreateMutex", error.winerror, path=MUTEX + tag) from error
