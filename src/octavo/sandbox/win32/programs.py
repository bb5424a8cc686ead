"""The command runner and its interpreter, where the sandbox accounts can start them.

They cannot read the user's profile, where Octavo mostly lies: so the runner's modules are copied
below the home, one copy per version, and the interpreter too when it cannot be read where it is.
"""

import compileall
import os
import py_compile
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

assert sys.platform == "win32"

import win32api

import octavo
from octavo._version import __version__
from octavo.protocol.errors import OctavoError, SandboxUnavailable
from octavo.sandbox.win32 import disk, own, own_files
from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import acl, setup
from octavo.sandbox.windows.acl import Present
from octavo.sandbox.windows.setup_run import Places

Look = Callable[[str], Present | None]
RUNNER: Final = "octavo.sandbox.win32.runner"
ROOMS: Final = ("protocol", "policy", "process", "sandbox")
"""Rooms of the package that the runner may load."""
BESIDE: Final = ("pywin32_system32", "msgspec", "win32com", "win32comext\\shell")
"""What those need, beside pywin32's main folder."""
ELSEWHERE: Final = (("sandbox", "linux"), ("sandbox", "macos"))
START: Final = f'''\
"""Starts the command runner from this copy, and nothing else from anywhere."""

import os
import runpy
import sys

site = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site")
win32 = os.path.join(site, "win32")
sys.path[:1] = [site, win32, os.path.join(win32, "lib")]
for folder in (os.path.join(site, "pywin32_system32"), os.path.dirname(sys.executable)):
    if os.path.isdir(folder):
        os.add_dll_directory(folder)
runpy.run_module({RUNNER!r}, run_name="__main__", alter_sys=True)
'''


@dataclass(frozen=True, slots=True)
class Runner:
    """How to start the command runner."""

    argv: tuple[str, ...]
    """Its own arguments come after these."""
    folders: tuple[str, ...]
    """What it runs from: none of these may lie in a folder that a command can write."""


def package() -> str:
    """The folder of the package."""
    return os.path.dirname(os.path.realpath(octavo.__file__ or ""))


def base_interpreter() -> str:
    """The interpreter itself: a virtual environment's `python.exe` only starts it as a second
    process. Raises SandboxUnavailable for one of the Microsoft Store."""
    found: str = getattr(sys, "_base_executable", "") or sys.executable
    if setup.is_store_build(found):
        raise SandboxUnavailable(
            f"{found} is a Python of the Microsoft Store, which the sandbox accounts cannot start",
            hint=setup.STORE_ADVICE,
        )
    return found


def runner(home: str, group: str, *, look: Look = disk.look, user: str | None = None) -> Runner:
    """The runner, copied where that is needed. `group` is the SID of the sandbox accounts' group,
    `user` the signed-in user's.

    Raises SandboxUnavailable, CallError.
    """
    places, user = Places(home), user or own.user_sid()
    close(places, look=look, group=group, user=user)
    python = interpreter(places, look=look, group=group)
    copy = runner_copy(places)
    argv = (python, "-I", "-S", "-B", copy)
    return Runner(argv, tuple(dict.fromkeys((os.path.dirname(python), places.programs))))


def close(places: Places, *, look: Look, group: str, user: str) -> None:
    """The folder of copies: sandbox accounts read and run there, and write nothing."""
    Path(places.programs).mkdir(parents=True, exist_ok=True)
    wanted = acl.lock(places.programs, "programs", group=group, user=user)
    present = look(places.programs)
    if present is not None and present.protected and present.dacl == wanted.dacl:
        return
    own_files.put_list(wanted)


def readable(path: str, *, look: Look, group: str) -> bool:
    """May the sandbox accounts read and run what is there?"""
    try:
        present = look(path)
    except OctavoError:
        return False
    return present is not None and acl.granted(present.dacl, (group, *acl.READERS), acl.RX)


def interpreter(places: Places, *, look: Look, group: str) -> str:
    """The base interpreter where the sandbox accounts can read it, else a copy of it."""
    python = base_interpreter()
    folder = os.path.realpath(sys.base_prefix)
    needed = (python, folder, os.path.join(folder, "Lib", "os.py"))
    if all(readable(path, look=look, group=group) for path in needed if os.path.exists(path)):
        return python
    files = [each for each in walk(folder) if setup.in_copy(each.relative)]
    version = ".".join(map(str, sys.version_info[:3]))
    copied = copy_of(places, f"python-{version}", files, lambda _folder: None)
    return os.path.join(copied, os.path.relpath(python, folder))


def runner_copy(places: Places) -> str:
    """The folder with the runner's modules."""
    size, newest, files = 0, 0, list(runner_files())
    for each in files:
        size, newest = size + each.size, max(newest, each.modified_ns)
    name = setup.runner_name(__version__, size, newest)
    return copy_of(places, name, files, complete)


def complete(folder: str) -> None:
    """What is no copy: the start, and byte code, so that each start is quick."""
    Path(folder, "__main__.py").write_text(START, encoding="utf-8")
    compileall.compile_dir(
        folder, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )


@dataclass(frozen=True, slots=True)
class Source:
    """A file to copy."""

    path: str
    relative: str
    size: int
    modified_ns: int


def runner_files() -> Iterator[Source]:
    """The package's rooms, pywin32, and msgspec, as they lie below `site`."""
    root = package()
    for each in walk(root, "site\\octavo"):
        names = each.relative.split("\\")[2:]
        ours = len(names) == 1 or (names[0] in ROOMS and tuple(names[:2]) not in ELSEWHERE)
        if ours and each.relative.endswith(".py"):
            yield each
    win32 = os.path.dirname(os.path.realpath(win32api.__file__))
    for each in walk(win32, "site\\win32"):
        names = each.relative.split("\\")[2:]
        if each.relative.endswith((".pyd", ".py")) and names[0] not in ("Demos", "scripts", "test"):
            yield each
    beside = os.path.dirname(win32)
    for name in BESIDE:
        for each in walk(os.path.join(beside, name), f"site\\{name}"):
            if each.relative.endswith((".pyd", ".py", ".dll")) and "\\test" not in each.relative:
                yield each
    yield from walk(os.path.join(beside, "pythoncom.py"), "site")


def walk(folder: str, below: str = "") -> Iterator[Source]:
    """The files of a folder, or the one file; none when it is missing. Links are not followed."""
    if os.path.isfile(folder):
        found = os.stat(folder)
        name = os.path.join(below, os.path.basename(folder))
        yield Source(folder, name, found.st_size, found.st_mtime_ns)
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            path = os.path.join(top, name)
            found = os.lstat(path)
            if not own_files.is_link(found):
                relative = os.path.join(below, os.path.relpath(path, folder))
                yield Source(path, relative, found.st_size, found.st_mtime_ns)


_known: set[str] = set()
"""Copies this process has checked."""


def copy_of(
    places: Places, name: str, files: Iterable[Source], complete: Callable[[str], None]
) -> str:
    """A complete copy below `.sandbox-bin`, the one that is there where it is fresh.

    Made beside and renamed: nobody sees half of one. Raises CallError.
    """
    files = list(files)
    target = os.path.join(places.programs, name)
    if target in _known or fresh(target, files):
        _known.add(target)
        return target
    if os.path.lexists(target):
        # one of the same version from other sources, perhaps in use: it stays, ours lies beside
        newest = max(each.modified_ns for each in files)
        target += f"-{sum(each.size for each in files)}-{newest:x}"
        if fresh(target, files):
            _known.add(target)
            return target
    beside = f"{target}.{os.getpid()}.new"
    try:
        own_files.remove_tree(beside)
        for each in files:
            to = os.path.join(beside, each.relative)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy2(each.path, to)
        complete(beside)
        os.rename(beside, target)
    except OSError as error:
        with suppress(OctavoError):
            own_files.remove_tree(beside)
        if not fresh(target, files):  # else another process was quicker
            raise CallError("copying", error.winerror or 0, path=target) from error
    _known.add(target)
    return target


def fresh(target: str, files: Iterable[Source]) -> bool:
    """Is every file there, and no older than its source?"""
    for each in files:
        try:
            found = os.lstat(os.path.join(target, each.relative))
        except OSError:
            return False
        if not setup.is_fresh((each.size, each.modified_ns), (found.st_size, found.st_mtime_ns)):
            return False
    return os.path.isdir(target)
