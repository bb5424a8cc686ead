"""What a refresh does to the user's folders: entries for one policy, and reading in the background."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

assert sys.platform == "win32"

import pywintypes
import win32api
import win32process

from octavo.protocol.errors import OctavoError
from octavo.sandbox.prepare_windows import Accounts
from octavo.sandbox.win32 import disk, own
from octavo.sandbox.win32.accounts import LocalAccounts
from octavo.sandbox.win32.prepare import prepare
from octavo.sandbox.win32.state import Home
from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import acl, apply, setup
from octavo.sandbox.windows.acl import Target
from octavo.sandbox.windows.argv import command_line
from octavo.sandbox.windows.paths import contains
from octavo.sandbox.windows.repair import NotApplied
from octavo.sandbox.windows.setup import Payload, SetupError

# untyped: the stubs know no None where nothing is asked for
process: Final[Any] = win32process
MODULE: Final = "octavo.sandbox.win32.setup_helper"
WHY: Final = "read grant"


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
