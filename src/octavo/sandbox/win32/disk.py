"""Files and folders by handle: what is looked at is what is changed, and no link is followed.

The real `octavo.sandbox.windows.world.Disk`: this module itself is one. Every call that fails
raises DiskError with path, call, code and owner.
"""

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from ctypes import wintypes
from dataclasses import dataclass
from typing import Final, NoReturn

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows import acl, descriptor, paths
from octavo.sandbox.windows.acl import Ace, Change, Present
from octavo.sandbox.windows.denyread import MOST_ENTRIES, Found
from octavo.sandbox.windows.descriptor import Descriptor
from octavo.sandbox.windows.plan import Create
from octavo.sandbox.windows.world import ChangedMeanwhile, DiskError

assert sys.platform == "win32"

from octavo.sandbox.win32.winapi import INVALID_HANDLE, Handle

OWNER_AND_LIST: Final = 1 | acl.DACL_SECURITY_INFORMATION
LIST_ALL_EXPLICIT: Final = 0x100 | 0x400
"""Of a descriptor's control: inherited entries are marked as such."""
FILE_OBJECT: Final = 1
KERNEL_OBJECT: Final = 6
OPEN_ALWAYS: Final = 4
CREATE_NEW: Final = 1
SHARE_STAY: Final = 1 | 2
"""Others may read and write, nobody may rename or remove."""
GENERIC_WRITE: Final = 0x40000000
FOLDER: Final = 0x10
REPARSE_POINT: Final = 0x400
ON_DISK: Final = 1
PERSISTENT_LISTS: Final = 0x8
DISPOSITION: Final = 4
PIECE: Final = 64 * 1024
GONE: Final = (2, 3, 267)
"""No such file, no such folder, a file where a folder should be."""
THERE: Final = (80, 183)
NOT_EMPTY: Final = 145
NO_BUFFER: Final = 122
CIRCLE: Final = 1921
BAD_LIST: Final = 1336
REASONS: Final = {
    5: "access is denied",
    19: "the drive is write-protected",
    21: "the drive is not ready",
    32: "another program uses it",
    33: "another program uses it",
    50: "the drive does not do that",
    112: "the drive is full",
    1312: "the session has ended",
}


class _Info(ctypes.Structure):
    _fields_ = (
        ("attributes", wintypes.DWORD),
        ("created", wintypes.FILETIME),
        ("accessed", wintypes.FILETIME),
        ("written", wintypes.FILETIME),
        ("volume", wintypes.DWORD),
        ("size_high", wintypes.DWORD),
        ("size_low", wintypes.DWORD),
        ("links", wintypes.DWORD),
        ("index_high", wintypes.DWORD),
        ("index_low", wintypes.DWORD),
    )


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("length", wintypes.DWORD),
        ("descriptor", ctypes.c_void_p),
        ("inherit", wintypes.BOOL),
    )


_kernel32: Final = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32: Final = ctypes.WinDLL("advapi32", use_last_error=True)
_HANDLE, _POINTER, _DWORD, _TEXT = (
    ctypes.c_void_p,
    ctypes.c_void_p,
    wintypes.DWORD,
    wintypes.LPCWSTR,
)
_kernel32.CreateFileW.argtypes = [_TEXT, _DWORD, _DWORD, _POINTER, _DWORD, _DWORD, _HANDLE]
_kernel32.CreateFileW.restype = _HANDLE
_kernel32.CreateDirectoryW.argtypes = [_TEXT, _POINTER]
_kernel32.GetFileInformationByHandle.argtypes = [_HANDLE, _POINTER]
_kernel32.GetFinalPathNameByHandleW.argtypes = [_HANDLE, wintypes.LPWSTR, _DWORD, _DWORD]
_kernel32.GetFinalPathNameByHandleW.restype = _DWORD
_kernel32.GetFileType.argtypes = [_HANDLE]
_kernel32.GetVolumeInformationByHandleW.argtypes = [
    _HANDLE, _POINTER, _DWORD, _POINTER, _POINTER, _POINTER, _POINTER, _DWORD,
]  # fmt: skip
_kernel32.SetFileInformationByHandle.argtypes = [_HANDLE, ctypes.c_int, _POINTER, _DWORD]
_kernel32.ReadFile.argtypes = [_HANDLE, _POINTER, _DWORD, _POINTER, _POINTER]
_kernel32.WriteFile.argtypes = [_HANDLE, _POINTER, _DWORD, _POINTER, _POINTER]
_kernel32.FlushFileBuffers.argtypes = [_HANDLE]
_advapi32.GetKernelObjectSecurity.argtypes = [_HANDLE, _DWORD, _POINTER, _DWORD, _POINTER]
_advapi32.SetKernelObjectSecurity.argtypes = [_HANDLE, _DWORD, _POINTER]
_advapi32.SetSecurityInfo.argtypes = [
    _HANDLE, ctypes.c_int, _DWORD, _POINTER, _POINTER, _POINTER, _POINTER,
]  # fmt: skip
_advapi32.SetSecurityInfo.restype = _DWORD


# Handles -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Info:
    """What an open handle stands for."""

    folder: bool
    link: bool
    """A symlink, a junction or another reparse point."""
    names: int
    """Hard links, this one counted."""


def long(path: str) -> str:
    """The path as the system takes it whatever its length."""
    if path.startswith(paths.VERBATIM):
        return path
    return paths.VERBATIM_UNC + path[2:] if path.startswith("\\\\") else paths.VERBATIM + path


def opened(
    path: str,
    access: int,
    *,
    share: int = acl.SHARE_ALL,
    how: int = acl.OPEN_EXISTING,
    follow: bool = False,
    flags: int = 0,
    security: bytes | None = None,
) -> Handle:
    """A handle on a file or folder. Raises DiskError; the caller closes it."""
    flags |= acl.FLAG_BACKUP_SEMANTICS | (0 if follow else acl.FLAG_OPEN_REPARSE_POINT)
    attributes, _kept = _security(security)
    value = _kernel32.CreateFileW(long(path), access, share, attributes, how, flags, None)
    if value in (None, INVALID_HANDLE):
        _fail("CreateFile", path)
    return Handle(value)


def _security(data: bytes | None) -> tuple[object, object]:
    """What CreateFile takes, and what has to live as long."""
    if data is None:
        return None, None
    kept = ctypes.create_string_buffer(data, len(data))
    made = _Attributes(ctypes.sizeof(_Attributes), ctypes.addressof(kept), 0)
    return ctypes.byref(made), (kept, made)


def _fail(call: str, path: str, code: int | None = None, *, owner: str = "") -> NoReturn:
    number = ctypes.get_last_error() if code is None else code
    reason = REASONS.get(number) or ctypes.FormatError(number).strip() or "no description"
    raise DiskError(call, number, path=path, reason=reason, owner=owner)


def info(handle: Handle, path: str) -> Info:
    """What the handle is open on."""
    found = _Info()
    if not _kernel32.GetFileInformationByHandle(handle.value, ctypes.byref(found)):
        _fail("GetFileInformationByHandle", path)
    return Info(
        bool(found.attributes & FOLDER), bool(found.attributes & REPARSE_POINT), found.links
    )


def final_path(handle: Handle, path: str) -> str:
    """Where the object of a handle really is, canonical."""
    size = 512
    while True:
        text = ctypes.create_unicode_buffer(size)
        needed = _kernel32.GetFinalPathNameByHandleW(handle.value, text, size, 0)
        if not needed:
            _fail("GetFinalPathNameByHandle", path)
        if needed < size:
            return paths.canonical(text.value, resolved=True)
        size = needed + 1


def is_here(handle: Handle, path: str) -> bool:
    """Is the object where the path says, without a link on the way?"""
    return paths.fold(final_path(handle, path)) == paths.fold(path)


def security(handle: Handle, path: str) -> Descriptor:
    """Owner and list of what a handle is open on."""
    return descriptor.parse(_raw_security(handle, path))


def _raw_security(handle: Handle, path: str) -> bytes:
    size = 4096
    needed = wintypes.DWORD()
    while True:
        data = ctypes.create_string_buffer(size)
        if _advapi32.GetKernelObjectSecurity(
            handle.value, OWNER_AND_LIST, data, size, ctypes.byref(needed)
        ):
            return data.raw
        if ctypes.get_last_error() != NO_BUFFER or needed.value <= size:
            _fail("GetKernelObjectSecurity", path)
        size = needed.value


# Looking -----------------------------------------------------------------------------------------


def look(path: str) -> Present | None:
    """What a canonical path has; None when nothing is there, or only behind a link."""
    try:
        handle = opened(path, acl.OPEN_TO_READ)
    except DiskError as error:
        if error.code in GONE:
            return None
        raise
    with handle:
        if not is_here(handle, path):
            return None
        return _present(path, info(handle, path), security(handle, path))


def _present(path: str, what: Info, found: Descriptor) -> Present:
    if found.foreign:
        raise DiskError(
            "GetKernelObjectSecurity",
            BAD_LIST,
            path=path,
            reason="it has a conditional entry, which would be lost",
            owner=found.owner,
            hint=f"Remove the conditional entries of {path}, or leave it out of the rules.",
        )
    return Present(path, what.folder, found.owner, found.dacl, found.protected)


def looks_open(path: str) -> Present | None:
    """For the audit: a conditional entry counts as if its condition held. None when the list
    cannot be read."""
    try:
        with opened(path, acl.OPEN_TO_READ, follow=False) as handle:
            found = security(handle, path)
    except DiskError:
        return None
    dacl = None if found.dacl is None else (*found.dacl, *found.conditional)
    return Present(path, folder=True, owner=found.owner, dacl=dacl, protected=found.protected)


def owner_of(path: str) -> str:
    """SID of the owner; "" when it cannot be read."""
    try:
        with opened(path, acl.OPEN_TO_READ) as handle:
            return security(handle, path).owner
    except DiskError:
        return ""


def keeps_lists(path: str) -> bool:
    """Does the volume of a path, or of what exists above it, keep access lists?"""
    flags = wintypes.DWORD()
    handle, _missing = _nearest(paths.canonical(path, resolved=True))
    with handle:
        if not _kernel32.GetVolumeInformationByHandleW(
            handle.value, None, 0, None, None, ctypes.byref(flags), None, 0
        ):
            _fail("GetVolumeInformationByHandle", path)
    return bool(flags.value & PERSISTENT_LISTS)


def canonical(path: str) -> str:
    """The path with links and short names resolved, as far as it exists; a share is not asked.

    Raises SandboxUnavailable for spellings no rule can have, for devices, and for links that
    lead in a circle.
    """
    plain = paths.canonical(path, resolved=True)
    if paths.is_network(plain):
        return plain  # no rule can hold there, and asking an absent server takes long
    handle, missing = _nearest(plain)
    with handle:
        if _kernel32.GetFileType(handle.value) != ON_DISK:
            paths.refuse(path, "it names a device, not a folder on a drive")
        real = final_path(handle, plain)
    if missing:
        short = next((name for name in missing if paths.SHORT.fullmatch(name)), None)
        if short is not None:
            paths.refuse(path, f"{short!r} looks like a short (8.3) name of what is not there")
        real = paths.join(real, "\\".join(missing))
    return paths.canonical(real, resolved=True)


def _nearest(path: str) -> tuple[Handle, list[str]]:
    """A handle on what exists of a path, links followed, and the names that do not."""
    missing: list[str] = []
    at = path
    while True:
        try:
            return opened(at, acl.READ_ATTRIBUTES, follow=True), missing[::-1]
        except DiskError as error:
            if error.code == CIRCLE:
                paths.refuse(path, "its links lead in a circle")
            if error.code not in GONE or paths.is_root(at):
                raise
        missing.append(at[at.rindex("\\") + 1 :])
        at = paths.parent(at)


def listing(folder: str) -> list[Found]:
    """The entries of a folder; none when it is missing. Links are told by their attributes."""
    return [
        Found(name, bool(attributes & FOLDER), bool(attributes & REPARSE_POINT))
        for name, attributes, _made in _entries(folder)
    ]


def _entries(folder: str) -> list[tuple[str, int, int]]:
    """(name, attributes, made at in ms) as the folder itself has them."""
    entries: list[tuple[str, int, int]] = []
    try:
        with os.scandir(long(folder)) as found:
            for entry in found:
                stat = entry.stat(follow_symlinks=False)
                made = getattr(stat, "st_birthtime_ns", None) or stat.st_ctime_ns
                entries.append((entry.name, stat.st_file_attributes, made // 1_000_000))
    except OSError as error:
        code = error.winerror or 0
        if code not in GONE:
            _fail("FindFirstFile", folder, code)
    return entries


def strays(folder: str, since_ms: int = 0) -> Iterator[Present | DiskError]:
    """What lies below and has entries of its own or inherits nothing; links are looked at, not
    followed. Raises SandboxUnavailable when there is too much to look at."""
    todo, count = [folder], 0
    while todo:
        at = todo.pop()
        try:
            entries = _entries(at)
        except DiskError as error:
            yield error
            continue
        count += len(entries)
        if count > MOST_ENTRIES:
            raise SandboxUnavailable(
                f"{folder} holds more than {MOST_ENTRIES:,} files and folders, too many to look "
                "at; the command did not run",
                hint="Name a smaller folder in the rules.",
            )
        for name, attributes, made in entries:
            path = paths.join(at, name)
            if attributes & FOLDER and not attributes & REPARSE_POINT:
                todo.append(path)
            found = _stray(path) if made >= since_ms else None
            if found is not None:
                yield found


def _stray(path: str) -> Present | DiskError | None:
    try:
        with opened(path, acl.OPEN_TO_READ) as handle:
            found = security(handle, path)
            own = found.dacl is None or found.protected or found.foreign
            if own or any(not ace.inherited for ace in found.dacl or ()):
                return _present(path, info(handle, path), found)
    except DiskError as error:
        return None if error.code in GONE else error
    return None


# Changing ----------------------------------------------------------------------------------------


def probe(change: Change) -> None:
    """Could this change be written? Raises DiskError with the owner when not."""
    try:
        _opened_to_change(change.path).close()
    except ChangedMeanwhile:
        return  # the write will say so, after what comes before it


def _opened_to_change(path: str) -> Handle:
    try:
        return opened(path, acl.OPEN_TO_CHANGE)
    except DiskError as error:
        if error.code in GONE:
            raise ChangedMeanwhile(path) from error
        owner = owner_of(path)
        raise DiskError(
            error.call, error.code, path=path, reason=error.reason, owner=owner
        ) from error


def write(change: Change) -> None:
    """Write the explicit part of a list. Raises ChangedMeanwhile when something else is there."""
    with _opened_to_change(change.path) as handle:
        what = info(handle, change.path)
        found = security(handle, change.path)
        explicit = tuple(ace for ace in found.dacl or () if not ace.inherited)
        same = (
            what.folder == change.folder
            and explicit == change.before
            and found.protected == change.protected
            and (found.dacl is None) == change.null_before
            and not found.foreign
        )
        if not same or not is_here(handle, change.path):
            raise ChangedMeanwhile(change.path)
        if what.link:
            _set_bare(handle, change, found.dacl or ())
        else:
            _set(handle, change)


def _set(handle: Handle, change: Change) -> None:
    """The system adds what is inherited, and hands the list down to the whole tree."""
    data = descriptor.acl_bytes(change.after)
    kept = ctypes.create_string_buffer(data, len(data))
    which = acl.DACL_SECURITY_INFORMATION
    if change.protected:
        which |= acl.PROTECTED_DACL_SECURITY_INFORMATION
    code = _advapi32.SetSecurityInfo(handle.value, FILE_OBJECT, which, None, None, kept, None)
    if code:
        _fail("SetSecurityInfo", change.path, code, owner=owner_of(change.path))


def _set_bare(handle: Handle, change: Change, dacl: Iterable[Ace]) -> None:
    """A link has nothing below it: nothing may be handed down through it."""
    inherited = [ace for ace in dacl if ace.inherited]
    data = descriptor.descriptor_bytes(
        [*change.after, *inherited], protected=change.protected, control=LIST_ALL_EXPLICIT
    )
    kept = ctypes.create_string_buffer(data, len(data))
    if not _advapi32.SetKernelObjectSecurity(handle.value, acl.DACL_SECURITY_INFORMATION, kept):
        _fail("SetKernelObjectSecurity", change.path, owner=owner_of(change.path))


def create(made: Create) -> None:
    """Make a missing folder or file, with its entries in the call that makes it.

    Raises ChangedMeanwhile when it is there, or when the folder above is not what it was.
    """
    above = paths.parent(made.path)
    try:
        # while this is open nobody can put another folder, or a link, in its place
        parent = opened(above, acl.READ_DATA | acl.READ_ATTRIBUTES, share=SHARE_STAY)
    except DiskError as error:
        if error.code in GONE:
            raise ChangedMeanwhile(above) from error
        raise
    with parent:
        what = info(parent, above)
        if not what.folder or what.link or not is_here(parent, above):
            raise ChangedMeanwhile(above)
        try:
            _make(made)
        except DiskError as error:
            if error.code in THERE:
                raise ChangedMeanwhile(made.path) from error
            owner = error.owner or owner_of(above)
            raise DiskError(
                error.call, error.code, path=made.path, reason=error.reason, owner=owner
            ) from error


def _make(made: Create) -> None:
    # without entries of its own it gets what is inherited; an empty list would lock everybody out
    data = descriptor.descriptor_bytes(made.dacl) if made.dacl else None
    if made.text is None:
        attributes, _kept = _security(data)
        if not _kernel32.CreateDirectoryW(long(made.path), attributes):
            _fail("CreateDirectory", made.path)
        return
    access = GENERIC_WRITE | acl.DELETE
    with opened(made.path, access, share=0, how=CREATE_NEW, security=data) as handle:
        try:
            write_all(handle, made.text.encode(), made.path)
        except DiskError:
            _dispose(handle, made.path)
            raise


def write_all(handle: Handle, data: bytes, path: str) -> None:
    """Write everything and have it on the disk."""
    done = wintypes.DWORD()
    buffer = ctypes.create_string_buffer(data, max(len(data), 1))
    if data and not _kernel32.WriteFile(handle.value, buffer, len(data), ctypes.byref(done), None):
        _fail("WriteFile", path)
    if done.value != len(data):
        _fail("WriteFile", path, 112)
    if not _kernel32.FlushFileBuffers(handle.value):
        _fail("FlushFileBuffers", path)


def read_all(handle: Handle, most: int, path: str) -> bytes:
    """At most so many bytes from where the handle stands."""
    buffer = ctypes.create_string_buffer(PIECE)
    done = wintypes.DWORD()
    found = bytearray()
    while len(found) < most:
        wanted = min(PIECE, most - len(found))
        if not _kernel32.ReadFile(handle.value, buffer, wanted, ctypes.byref(done), None):
            _fail("ReadFile", path)
        if not done.value:
            break
        found += ctypes.string_at(buffer, done.value)
    return bytes(found)


def remove(path: str, text: str | None) -> bool:
    """Remove an empty folder, or a file that has this text; False when it is something else or
    not empty. True when it is gone, or was."""
    access = acl.DELETE | acl.READ_ATTRIBUTES | (0 if text is None else acl.READ_DATA)
    try:
        handle = opened(path, access)
    except DiskError as error:
        if error.code in GONE:
            return True
        owner = owner_of(path)
        raise DiskError(
            error.call, error.code, path=path, reason=error.reason, owner=owner
        ) from error
    with handle:
        what = info(handle, path)
        if what.link or what.folder != (text is None) or not is_here(handle, path):
            return False
        if text is not None:
            wanted = text.encode()
            if read_all(handle, len(wanted) + 1, path) != wanted:
                return False
        return _dispose(handle, path)


def _dispose(handle: Handle, path: str) -> bool:
    """Is it removed, once the handle is closed? False for a folder with something in it."""
    yes = ctypes.c_ubyte(1)
    if _kernel32.SetFileInformationByHandle(handle.value, DISPOSITION, ctypes.byref(yes), 1):
        return True
    if ctypes.get_last_error() == NOT_EMPTY:
        return False
    _fail("SetFileInformationByHandle", path)


# The NUL device ----------------------------------------------------------------------------------


def allow_nul(sids: Iterable[str]) -> bool:
    """Let these SIDs use the NUL device. True when they may; False when only an administrator
    could say so, which changes nothing: usually everybody may.

    Without being asked for: Windows forgets it at the next start.
    """
    wanted = list(sids)
    try:
        with opened_nul() as handle:
            found = security(handle, acl.NUL_DEVICE)
            missing = [
                sid for sid in wanted
                if not acl.granted(found.dacl, (sid, acl.EVERYONE), acl.NUL_GRANT)
            ]  # fmt: skip
            if not missing:
                return True
            kept = [ace for ace in found.dacl or () if ace.sid not in missing or not ace.allow]
            new = [Ace(allow=True, sid=sid, mask=acl.NUL_GRANT) for sid in missing]
            _set_nul(handle, [*kept, *new])
    except DiskError:
        return False
    return True


def opened_nul() -> Handle:
    """The NUL device, to read and to change its list."""
    value = _kernel32.CreateFileW(
        acl.NUL_DEVICE, acl.NUL_ACCESS, SHARE_STAY, None, acl.OPEN_EXISTING, 0, None
    )
    if value in (None, INVALID_HANDLE):
        _fail("CreateFile", acl.NUL_DEVICE)
    return Handle(value)


def _set_nul(handle: Handle, entries: list[Ace]) -> None:
    data = descriptor.acl_bytes(entries)
    kept = ctypes.create_string_buffer(data, len(data))
    code = _advapi32.SetSecurityInfo(
        handle.value, KERNEL_OBJECT, acl.DACL_SECURITY_INFORMATION, None, None, kept, None
    )
    if code:
        _fail("SetSecurityInfo", acl.NUL_DEVICE, code)
