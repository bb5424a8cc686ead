"""What a refresh does to the user's folders: entries for one policy, and reading in the background."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

assert sys.platform == "win32"

import pywintypes
import win32api
import win32process

from octavo.process.argv_windows import command_line
from octavo.protocol.errors import OctavoError
from octavo.sandbox.prepare_windows import Accounts
from octavo.sandbox.win32 import disk, own
from octavo.sandbox.win32.accounts import LocalAccounts
from octavo.sandbox.win32.prepare import prepare
from octavo.sandbox.win32.state import Home
from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import acl, apply, profileroots, setup
from octavo.sandbox.windows.acl import Target
from octavo.sandbox.windows.paths import contains, fold
from octavo.sandbox.windows.repair import NotApplied
from octavo.sandbox.windows.setup import Payload, SetupError

# untyped: the stubs know no None where nothing is asked for
process: Final[Any] = win32process
MODULE: Final = "octavo.sandbox.win32.setup_helper"
WHY: Final = "read grant"
LONGEST: Final = 1024 * 1024
"""Bytes of a configuration of ssh that are looked at."""


class UserGrants:
    """See `setup_run.Grants`."""

    def __init__(
        self, payload: Payload, environ: Mapping[str, str], log: Callable[[str], None]
    ) -> None:
        self._environ = environ
        self._log = log
        self._names = (payload.offline_username, payload.online_username)

    def apply(self, payload: Payload) -> Sequence[str]:
        """All entries of the policy, closing before opening."""
        local = LocalAccounts()
        offline, online = (local.sid_of(name) for name in self._names)
        try:
            plan = prepare(
                rules_of(payload),
                home=payload.octavo_home,
                cwd=payload.command_cwd,
                env=self._environ,
                level="elevated",
                accounts=Accounts(local.sid_of(setup.GROUP), offline, online),
            )
        except NotApplied as error:
            return [f"{each.text} What helps: {each.repair}" for each in error.problems]
        for change in plan.changes:
            self._log(f"granted: {change.path}: {len(change.added)} entries, {change.why}")
        return ()

    def start_reader(self, payload: Payload) -> Sequence[str]:
        """The worker, when there is anything to read."""
        if payload.read_roots:
            start_reader(payload)
        return ()

    def grant_runtime(self, payload: Payload) -> Sequence[str]:
        """Reading where our interpreter is, when that is in the user's profile."""
        folder, profile = disk.canonical(sys.base_prefix), disk.canonical(own.profile())
        if not contains(profile, folder):
            return ()
        return self._grant(payload, (folder,))

    def grant_reading(self, payload: Payload) -> Sequence[str]:
        """Reading for every root that exists and is not readable yet."""
        return self._grant(payload, payload.read_roots)

    def _grant(self, payload: Payload, folders: Iterable[str]) -> Sequence[str]:
        group = LocalAccounts().sid_of(setup.GROUP)
        store = Home(payload.octavo_home)
        found: list[str] = []
        for folder in folders:
            try:
                target = Target(disk.canonical(folder), (acl.allow_read(group),), WHY)
                with store.lock():  # for each, so that commands need not wait for all of them
                    problems = apply.grant_reads(
                        [target],
                        disk,
                        store,
                        user=own.user_sid(),
                        now_ms=time.time_ns() // 1_000_000,
                    )
            except OctavoError as error:
                found.append(f"{folder}: {error}")
            else:
                found += [f"{each.text} What helps: {each.repair}" for each in problems]
        return found


def rules_of(payload: Payload) -> tuple[tuple[str, str, str], ...]:
    """The payload's lists as rules: everything is read, these are written, closed and hidden."""
    lists = (
        (payload.write_roots, "write", "write root"),
        (payload.deny_write_paths, "read", "closed path"),
        (payload.deny_read_paths, "none", "hidden path"),
    )
    found = [("/", "read", "everything")]
    for each, access, why in lists:
        found += [(path, access, why) for path in each]
    return tuple(found)


def start_reader(payload: Payload) -> None:
    """Start the worker; it ends by itself, at once when another one is there. Raises CallError."""
    mine = replace(
        payload,
        mode="read-acls-only",
        refresh_only=False,
        write_roots=(),
        deny_read_paths=(),
        deny_write_paths=(),
    )
    arguments, variables = setup.launch_arguments(setup.encode_payload(mine))
    if variables:
        raise SetupError("helper_read_acl_helper_spawn_failed", "too many folders to read")
    line = command_line((sys.executable, "-I", "-m", MODULE, *arguments))
    try:
        started, thread, _, _ = process.CreateProcess(
            sys.executable,
            line,
            None,  # no descriptor of its own
            None,  # no descriptor of its own
            0,
            setup.CREATE_NO_WINDOW,
            None,
            win32api.GetSystemDirectory(),
            process.STARTUPINFO(),
        )
    except pywintypes.error as error:
        raise CallError("CreateProcess", error.winerror, path=sys.executable) from error
    thread.Close()
    started.Close()


# For commands ------------------------------------------------------------------------------------


def reading_roots(
    rules: Iterable[tuple[str, str, str]],
    *,
    home: str,
    cwd: str,
    env: Mapping[str, str],
    accounts: Accounts,
) -> tuple[str, ...]:
    """Folders that the sandbox accounts have to be able to read where everything may be read.

    Raises SandboxUnavailable or DiskError for a folder that cannot be resolved.
    """
    known = {"group": accounts.group, "offline": accounts.offline, "online": accounts.online}
    facts = own.facts(home, cwd, env, **known)
    given = [(path, access) for path, access, _ in rules if path not in ("/", "\\")]
    writable = [disk.canonical(path) for path, access in given if access == "write"]
    readable = [path for path, access in given if access == "read" and os.path.exists(path)]
    return profileroots.read_roots(facts, writable, readable, read=_text, names=_names)


def _text(path: str) -> str | None:
    """Of a file, as far as anybody reads it; None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST)
    except OSError:
        return None


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


class Readers:
    """Gives the sandbox accounts what a plan says they have to read. In the background once for each
    set of folders: what cannot be given now cannot be given for the next command either."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: set[tuple[str, ...]] = set()

    def let_read(
        self,
        targets: Sequence[Target],
        *,
        home: str,
        first: Sequence[str],
        real_user: Callable[[], str],
    ) -> tuple[str, ...]:
        """What `first` names now, the command's own folder to begin with, the rest in the
        background. What failed, in words: it stops nothing, the accounts just cannot read there."""
        soon = {fold(disk.canonical(path)) for path in first}
        here = [target for target in targets if fold(target.path) in soon]
        rest = tuple(sorted(target.path for target in targets if fold(target.path) not in soon))
        said: list[str] = []
        try:
            if here:
                said += _granted_now(here, home)
            if rest and self._new(home, rest):
                start_reader(
                    Payload(
                        octavo_home=home,
                        command_cwd=first[0],
                        read_roots=rest,
                        real_user=real_user(),
                    )
                )
        except OctavoError as error:
            said.append(str(error))
        return tuple(f"the sandbox accounts may not read everything: {each}" for each in said)

    def _new(self, home: str, folders: tuple[str, ...]) -> bool:
        with self._lock:
            known = (home, *folders) in self._asked
            self._asked.add((home, *folders))
            return not known


READERS: Final = Readers()


def _granted_now(targets: Sequence[Target], home: str) -> list[str]:
    store = Home(home)
    with store.lock():
        problems = apply.grant_reads(
            targets, disk, store, user=own.user_sid(), now_ms=time.time_ns() // 1_000_000
        )
    return [f"{each.text} What helps: {each.repair}" for each in problems]
