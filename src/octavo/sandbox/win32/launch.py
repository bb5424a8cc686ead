"""The library's side of starting commands on Windows, in both backends.

What takes time (entries on folders, the logon) runs in a worker thread; the command itself is
started from the loop. Whatever fails before the command runs, nothing of it is left.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import win32api

from octavo.policy.profile import glob_tuples, stand_ins
from octavo.process.spec import Pipes, ProcessSpec, Terminal
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.confined import Confined
from octavo.sandbox.plan_windows import PROTECTED, Rule, choose
from octavo.sandbox.prepare_windows import Accounts
from octavo.sandbox.request import network_of
from octavo.sandbox.session import Session, WindowsChoice
from octavo.sandbox.windows import argv, desktops, environment, paths, setup
from octavo.sandbox.windows.frames import SpawnRequest
from octavo.sandbox.windows.plan import Level, WindowsPlan
from octavo.sandbox.windows.retry import AttemptError, Launch

assert sys.platform == "win32"

from octavo.process import pipes_windows
from octavo.process.handles_windows import Stopped
from octavo.process.pipes_windows import WindowsChild, WindowsStartError
from octavo.process.spawn_windows import BAD_FOLDER, FILE_NOT_FOUND, Command
from octavo.sandbox.win32 import client, credentials, desktop, disk, elevate, own, programs, token
from octavo.sandbox.win32.logon import Account, Logon, OtherAccount
from octavo.sandbox.win32.prepare import prepare
from octavo.sandbox.win32.runner_child import RunnerChild
from octavo.sandbox.win32.state import Hold
from octavo.sandbox.win32.stubs import write_stubs
from octavo.sandbox.win32.winapi import CallError, Handle

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.sandbox.wish import Wish

STARTING: Final = {FILE_NOT_FOUND: None, 3: None, 193: None, BAD_FOLDER: "folder"}
"""Errors of a start that are the command's, not the sandbox's: no program, no program file."""


class Platform:
    """Windows' side of `launcher.Launcher`."""

    def __init__(self, session: Session, *, elevated: "Elevated | None" = None) -> None:
        """`elevated`: how the other account is reached, where it is not the usual way."""
        self._choice = session.windows
        self._elevated = elevated or Elevated()

    async def start(
        self,
        spec: ProcessSpec,
        profile: "EffectiveProfile",
        wish: "Wish",
        *,
        limits: tuple[tuple[str, int], ...],
    ) -> Confined:
        """Raises SandboxUnavailable (nothing ran), StartError, CallError."""
        check(wish, limits)
        choice = self._choice
        if choice is None:
            choose("disabled", "off")  # says so
        assert choice is not None
        stop = client.Stop()
        work = asyncio.ensure_future(
            asyncio.to_thread(self._ready, choice, spec, profile, wish, stop)
        )
        try:
            ready = await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.ask()
            work.add_done_callback(_drop)
            raise
        try:
            child = ready.start(ready.undo.close)
        except BaseException:
            ready.undo.close()
            raise
        plan = ready.plan
        return Confined(child, rung=plan.backend, notes=(*plan.notes, *plan.weaker))

    def close(self) -> None:
        """Commands belong to their callers; there are no helpers."""

    def _ready(
        self,
        choice: WindowsChoice,
        spec: ProcessSpec,
        profile: "EffectiveProfile",
        wish: "Wish",
        stop: client.Stop,
    ) -> "Ready":
        """In a thread: everything up to the start itself."""
        network = network_of(profile, strict=wish.strict_network)
        level = level_of(choice)
        backend, _ = choose(level, network)
        accounts = self._elevated.accounts() if backend == "elevated" else None
        cwd = spec.cwd or os.getcwd()
        with ExitStack() as undo:
            hold = Hold(choice.home)
            undo.callback(hold.close)
            plan = prepare(
                rules_of(profile),
                home=choice.home,
                cwd=cwd,
                env=spec.env,
                level=level,
                network=network,
                acl_mode="manual" if choice.manual else "write",
                accounts=accounts,
                patterns=[path for path, _ in glob_tuples(profile)],
                glob_scan_max_depth=profile.glob_scan_max_depth,
                stand_ins=stand_ins(profile),
                hold=hold,
            )
            variables = variables_of(choice, spec, plan, cwd)
            if plan.identity is None:
                start = _unelevated(choice, spec, plan, variables, cwd, undo)
            else:
                assert accounts is not None
                start = self._elevated.begin(
                    choice, spec, profile, plan, variables, cwd, accounts, stop, undo
                )
            return Ready(plan, start, undo.pop_all())


Start = Callable[[Callable[[], None]], "WindowsChild | RunnerChild"]
"""Starts the child, which calls what it is given when it is closed."""


@dataclass(frozen=True, slots=True)
class Ready:
    """All but started."""

    plan: WindowsPlan
    start: Start
    undo: ExitStack


def _drop(work: "asyncio.Future[Ready]") -> None:
    """Nobody wants it any more."""
    if not work.cancelled() and work.exception() is None:
        work.result().undo.close()


def check(wish: "Wish", limits: tuple[tuple[str, int], ...]) -> None:
    """Raises SandboxUnavailable for what is not held here."""
    if limits:
        names = ", ".join(name for name, _ in limits)
        raise SandboxUnavailable(f"limits ({names}) are not held on Windows in this version")
    if wish.nested_namespaces or wish.devices:
        raise SandboxUnavailable(
            "namespaces and device nodes are Linux's; Windows has neither",
            hint="leave --nested and --device out",
        )
    if wish.overlay is not None:
        raise SandboxUnavailable(
            "overlays are Linux's; Windows has none", hint="work without --overlay"
        )


def rules_of(profile: "EffectiveProfile") -> list[Rule]:
    """The rules as the planner takes them."""
    return [
        (
            rule.path,
            rule.access.value,
            PROTECTED + str(rule.ref) if rule.protected else str(rule.ref),
        )
        for rule in (*profile.rules, *profile.aliases)
    ]


def level_of(choice: WindowsChoice) -> Level:
    """The level as the planner knows it. Raises SandboxUnavailable for another word."""
    match choice.level:
        case "disabled" | "unelevated" | "elevated":
            return choice.level
        case _:
            raise SandboxUnavailable(
                f"{choice.level!r} is no level of the Windows sandbox; the command did not run"
            )


def variables_of(
    choice: WindowsChoice, spec: ProcessSpec, plan: WindowsPlan, cwd: str
) -> dict[str, str]:
    """The command's variables for its backend."""
    elevated = plan.backend == "elevated"
    off = plan.network in ("off", "none")
    stubs = write_stubs(choice.home) if off and not elevated else None
    repository = environment.repository_of(disk.canonical(cwd), os.path.lexists)
    return environment.child(
        spec.env,
        choice.environ,
        elevated=elevated,
        network_off=off,
        stubs=stubs,
        repository=repository,
    )


def command_of(spec: ProcessSpec, variables: dict[str, str], cwd: str) -> Command:
    """The command as Windows takes it. Raises StartError for a missing program, UsageError."""
    comspec = os.path.join(win32api.GetSystemDirectory(), "cmd.exe")
    try:
        application, line = argv.resolved(
            spec.argv, cwd, variables, is_file=os.path.isfile, comspec=comspec
        )
    except argv.NotFoundError as error:
        raise WindowsStartError(spec.argv[0], FILE_NOT_FOUND, str(error)) from error
    return Command(
        application=application,
        line=line,
        block=environment.block(variables),
        cwd=cwd,
        name=spec.argv[0],
    )


async def plain(spec: ProcessSpec) -> WindowsChild:
    """Start a command without any sandbox. Raises StartError."""
    cwd = spec.cwd or os.getcwd()
    return await pipes_windows.start(command_of(spec, dict(spec.env), cwd), spec.stdio)


# Unelevated --------------------------------------------------------------------------------------


def _unelevated(
    choice: WindowsChoice,
    spec: ProcessSpec,
    plan: WindowsPlan,
    variables: dict[str, str],
    cwd: str,
    undo: ExitStack,
) -> Start:
    """Our own account with a restricted token, on a desktop of its own."""
    assert plan.token is not None, "a plan of this backend has a token"
    command = command_of(spec, variables, cwd)
    place = desktops.SHARED
    if choice.private_desktop:
        made = desktop.create(own.user_sid(), own.logon_sid())
        undo.callback(made.close)
        place = made.full_name
    restricted = token.restricted(plan.token)
    undo.callback(restricted.close)
    return lambda also: _start_here(command, spec, restricted, place, also)


def _start_here(
    command: Command, spec: ProcessSpec, restricted: Handle, place: str, also: Callable[[], None]
) -> WindowsChild:
    return pipes_windows.launch(
        command, spec.stdio, token=restricted.value, desktop=place, also=also
    )


# Elevated ----------------------------------------------------------------------------------------


class Elevated:
    """How the sandbox accounts are reached: by what set-up left behind. Tests bring another."""

    logon: Logon = OtherAccount()

    def accounts(self) -> Accounts | None:
        """SIDs of group and accounts; None before set-up."""
        try:
            return Accounts(
                group=own.account_sid(setup.GROUP),
                offline=own.account_sid(setup.OFFLINE),
                online=own.account_sid(setup.ONLINE),
            )
        except CallError as error:
            if error.code == own.NO_SUCH_NAME:
                return None
            raise

    def load(self, home: str, launch: Launch) -> Account:
        """The credentials that are there."""
        return credentials.load(home, launch.identity)

    def refresh(self, home: str, environ: dict[str, str], launch: Launch) -> Account:
        """New ones in place of stale ones, with the network of this very launch."""
        return elevate.refresh(
            home,
            launch.identity,
            environ,
            proxy_ports=launch.proxy_ports,
            allow_local_binding=launch.allow_local_binding,
        )

    def runner(self, home: str, accounts: Accounts) -> programs.Runner:
        """How the runner is started."""
        return programs.runner(home, look=disk.look, group=accounts.group, user=own.user_sid())

    def begin(
        self,
        choice: WindowsChoice,
        spec: ProcessSpec,
        profile: "EffectiveProfile",
        plan: WindowsPlan,
        variables: dict[str, str],
        cwd: str,
        accounts: Accounts,
        stop: client.Stop,
        undo: ExitStack,
    ) -> Start:
        """Start it in the account; what is left for the loop is to talk to it."""
        assert plan.identity is not None
        runner = self.runner(choice.home, accounts)
        check_runtime(runner.folders, profile)
        account = accounts.offline if plan.identity == "offline" else accounts.online
        name = desktops.SHARED
        if choice.private_desktop:
            made = desktop.create(own.user_sid(), account)
            undo.callback(made.close)
            name = made.name
        launch = Launch(
            request=request_of(choice, spec, profile, plan, variables, cwd, name),
            identity=plan.identity,
            proxy_enforced=plan.network == "proxy",
            private_desktop=choice.private_desktop,
        )
        try:
            session = client.open_session(
                launch,
                argv=runner.argv,
                logon=self.logon,
                load=lambda: self.load(choice.home, launch),
                refresh=lambda given: self.refresh(choice.home, choice.environ, given),
                stop=stop,
            )
        except AttemptError as error:
            code = error.failed.code
            if error.failed.where == "spawn_child" and code in STARTING:
                raise WindowsStartError(
                    spec.argv[0], code, str(error), folder=cwd if STARTING[code] else None
                ) from error
            raise
        except Stopped as error:
            raise SandboxUnavailable("the start was cancelled; the command did not run") from error
        undo.callback(session.close)
        return lambda also: RunnerChild(session, spec.stdio, also=also)


def check_runtime(folders: tuple[str, ...], profile: "EffectiveProfile") -> None:
    """Whoever could write there could change what confines. Raises SandboxUnavailable."""
    for path, access, origin in rules_of(profile):
        for folder in folders:
            if access == "write" and paths.contains(path, folder):
                raise SandboxUnavailable(
                    f"{path} is writable ({origin}), and the command runner lies in {folder}; "
                    "the command did not run",
                    hint="Set OCTAVO_HOME to a folder outside the ones commands may write.",
                )


def request_of(
    choice: WindowsChoice,
    spec: ProcessSpec,
    profile: "EffectiveProfile",
    plan: WindowsPlan,
    variables: dict[str, str],
    cwd: str,
    desktop_name: str,
) -> SpawnRequest:
    """What the runner is asked to start."""
    rules = rules_of(profile)
    stdio = spec.stdio
    size = (stdio.rows, stdio.cols) if isinstance(stdio, Terminal) else (24, 80)
    return SpawnRequest(
        command=spec.argv,
        cwd=cwd,
        env=variables,
        permission_profile={"network": plan.network, "rules": [list(rule) for rule in rules]},
        workspace_roots=tuple(path for path, access, _ in rules if access == "write"),
        octavo_home=paths.join(choice.home, setup.FOLDER),
        real_octavo_home=choice.home,
        cap_sids=plan.active,
        tty=isinstance(stdio, Terminal),
        stdin_open=isinstance(stdio, Pipes) and stdio.stdin,
        private_desktop_name=desktop_name,
        rows=min(size[0], 0x7FFF),
        cols=min(size[1], 0x7FFF),
    )
