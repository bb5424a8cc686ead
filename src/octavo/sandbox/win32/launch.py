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

from octavo.policy.paths import outward
from octavo.policy.profile import glob_tuples, stand_ins
from octavo.process.spec import Pipes, ProcessSpec, Terminal
from octavo.protocol.errors import SandboxUnavailable
from octavo.protocol.permissions import Access, FileRule
from octavo.sandbox.confined import Confined
from octavo.sandbox.plan_windows import PROTECTED, Rule, choose
from octavo.sandbox.prepare_windows import Accounts
from octavo.sandbox.request import network_of
from octavo.sandbox.session import Session, WindowsChoice
from octavo.sandbox.windows import desktops, environment, paths, setup
from octavo.sandbox.windows.frames import SpawnRequest
from octavo.sandbox.windows.plan import Level, Network, WindowsPlan
from octavo.sandbox.windows.retry import AttemptError, Launch

assert sys.platform == "win32"

from octavo.process import pipes_windows
from octavo.process.handles_windows import Stopped
from octavo.process.pipes_windows import WindowsChild, WindowsStartError
from octavo.process.plain_windows import command_of
from octavo.process.spawn_windows import BAD_FOLDER, FILE_NOT_FOUND, Command
from octavo.sandbox.win32 import (
    client,
    credentials,
    desktop,
    disk,
    elevate,
    grants,
    own,
    programs,
    token,
)
from octavo.sandbox.win32.logon import Account, Logon, OtherAccount
from octavo.sandbox.win32.prepare import prepare
from octavo.sandbox.win32.runner_child import RunnerChild
from octavo.sandbox.win32.state import Hold
from octavo.sandbox.win32.stubs import write_stubs
from octavo.sandbox.win32.tidying import Tidier
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
        self._tidier = None if self._choice is None else Tidier(self._choice.home)

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
        return Confined(child, rung=plan.backend, notes=(*plan.notes, *ready.notes, *plan.weaker))

    async def ports(self, profile: "EffectiveProfile") -> tuple[int, ...]:
        """Where a proxy may wait for a command with rules per host. Raises SandboxUnavailable."""
        choice = self._choice
        if choice is None:
            choose("disabled", "off")  # says so
        assert choice is not None
        return await asyncio.to_thread(self._elevated.check_ports, choice.home, profile)

    def close(self) -> None:
        """Commands belong to their callers; wait for what is left to do after the last of them."""
        if self._tidier is not None:
            self._tidier.close()

    def _ready(
        self,
        choice: WindowsChoice,
        spec: ProcessSpec,
        profile: "EffectiveProfile",
        wish: "Wish",
        stop: client.Stop,
    ) -> "Ready":
        """In a thread: everything up to the start itself."""
        network: Network = network_of(profile, strict=wish.strict_network)
        if wish.proxy_port:
            network = "proxy"
            self._elevated.check_ports(choice.home, profile, wish.proxy_port)
        level = level_of(choice)
        backend, _ = choose(level, network)
        accounts = self._elevated.accounts() if backend == "elevated" else None
        cwd = spec.cwd or os.getcwd()
        trusted = tuple(wish.readable)
        rules = rules_of(profile)
        rules += [(path, "read", PROTECTED + "the proxy's authority") for path in trusted]
        reading: tuple[str, ...] = ()
        if accounts is not None and not choice.manual:
            reading = grants.reading_roots(
                rules, home=choice.home, cwd=cwd, env=spec.env, accounts=accounts
            )
            reading += trusted
        with ExitStack() as undo:
            if self._tidier is not None and not choice.manual:
                self._tidier.begin()
                undo.callback(self._tidier.end)
            hold = Hold(choice.home)
            undo.callback(hold.close)
            plan = prepare(
                rules,
                home=choice.home,
                cwd=cwd,
                env=spec.env,
                level=level,
                network=network,
                proxy_enforced=network == "proxy",
                acl_mode="manual" if choice.manual else "write",
                accounts=accounts,
                patterns=[outward(path) for path, _ in glob_tuples(profile)],
                glob_scan_max_depth=profile.glob_scan_max_depth,
                stand_ins={outward(path): text for path, text in stand_ins(profile).items()},
                read_roots=reading,
                hold=hold,
            )
            notes = self._elevated.let_read(choice, plan, (cwd, *trusted))
            variables = variables_of(choice, spec, plan, cwd)
            if plan.identity is None:
                start = _unelevated(choice, spec, plan, variables, cwd, undo)
            else:
                assert accounts is not None
                start = self._elevated.begin(
                    choice,
                    spec,
                    profile,
                    plan,
                    variables,
                    cwd,
                    accounts,
                    stop,
                    undo,
                    ports=(wish.proxy_port,) if wish.proxy_port else (),
                )
            return Ready(plan, start, undo.pop_all(), notes)


Start = Callable[[Callable[[], None]], "WindowsChild | RunnerChild"]
"""Starts the child, which calls what it is given when it is closed."""


@dataclass(frozen=True, slots=True)
class Ready:
    """All but started."""

    plan: WindowsPlan
    start: Start
    undo: ExitStack
    notes: tuple[str, ...] = ()


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
            outward(rule.path),
            rule.access.value,
            PROTECTED + str(rule.ref) if rule.protected else str(rule.ref),
        )
        for rule in (*profile.rules, *profile.aliases)
        if not unneeded(rule)
    ]


def unneeded(rule: FileRule) -> bool:
    """Is it one of those that hide credentials in the home folder unasked?

    With an account of its own a command cannot read there anyway, and entries on such folders make
    ssh refuse its own keys. Without one nothing can be hidden, which the plan says.
    """
    return rule.protected and rule.access is Access.NONE


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
        """New ones in place of stale ones; the network stays as it was set up, with the port of
        this launch among its ports."""
        return elevate.refresh(home, launch.identity, environ)

    def marker(self, home: str) -> setup.Marker | None:
        """What was set up; None where that never finished."""
        return credentials.state(home).marker

    def check_ports(
        self, home: str, profile: "EffectiveProfile", port: int | None = None
    ) -> tuple[int, ...]:
        """The ports a proxy may wait at, `port` among them. Raises SandboxUnavailable."""
        rule = f"rules per host ({profile.network.ref})"
        return setup.check_ports(self.marker(home), rule, port)

    def let_read(
        self, choice: WindowsChoice, plan: WindowsPlan, first: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Let the accounts read what the plan says, `first` before the command; what failed, in
        words."""
        return grants.READERS.let_read(
            plan.read_grants, home=choice.home, first=first, real_user=elevate.user_name
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
        *,
        ports: tuple[int, ...] = (),
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
            proxy_ports=ports,
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
