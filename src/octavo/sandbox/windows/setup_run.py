"""Set-up and its refresh, step by step, against whatever system is handed in.

Pure: order, tolerated numbers, and which failure is which code. What a step does is the system's.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NoReturn, Protocol

from octavo.protocol.errors import OctavoError
from octavo.sandbox.windows import acl, firewall, setup
from octavo.sandbox.windows.firewall import FirewallRule, Step, WfpStep
from octavo.sandbox.windows.paths import join
from octavo.sandbox.windows.setup import Account, Marker, Payload, SetupError, UsersFile
from octavo.sandbox.windows.sids import Random

Now = Callable[[], datetime]
"""The time, with its zone."""
AccountState = Literal["enabled", "disabled", "foreign"]
"""foreign: of that name, but not made by us, or an administrator. It is never touched."""
SHOWN: Final = 5
"""How many problems fit in a message; the log has all."""


class Accounts(Protocol):
    """Local accounts and groups. Every method raises OctavoError or OSError."""

    def make_group(self, name: str, comment: str) -> None: ...
    def sid_of(self, name: str) -> str: ...
    def state(self, name: str) -> AccountState | None:
        """None: there is no such account."""

    def make(
        self, name: str, password: str, *, flags: int, privilege: int, comment: str
    ) -> None: ...
    def set_password(self, name: str, password: str) -> None: ...
    def join(self, name: str, *, group_sid: str) -> None:
        """Harmless for a member."""

    def enable(self, name: str) -> None: ...
    def disable(self, name: str) -> None: ...
    def hide(self, name: str) -> None: ...
    def unhide(self, name: str) -> None: ...
    def stop_processes(self, sid: str) -> None: ...
    def remove_profile(self, sid: str) -> None: ...
    def remove(self, name: str) -> None: ...
    def remove_group(self, name: str) -> None: ...


class Walls(Protocol):
    """Firewall and platform filters. Every method raises OctavoError or OSError."""

    def open(self) -> None:
        """Before the first use."""

    def policy(self) -> int:
        """LocalPolicyModifyState; 0 is good."""

    def put(self, rule: FirewallRule) -> None: ...
    def remove(self, name: str) -> None:
        """Harmless when it is not there."""

    def users_of(self, name: str) -> str:
        """LocalUserAuthorizedList of a rule."""

    def filters(self, steps: Sequence[WfpStep]) -> None:
        """All in one transaction, or none."""

    def remove_filters(self, keys: Sequence[str]) -> None: ...


class Files(Protocol):
    """Our own folders and files. Every method raises OctavoError or OSError."""

    def folder(self, path: str) -> None:
        """Make it where it is missing; refuse links."""

    def open_log(self, folder: str) -> None:
        """Again is harmless."""

    def log(self, text: str) -> None: ...
    def create_new(self, path: str, security: str) -> None:
        """Remove what is there, then create it empty with these entries."""

    def fill(self, path: str, data: bytes) -> None:
        """Write into a file that is there and empty, forced to the disk."""

    def replace(self, path: str, data: bytes) -> None:
        """As a whole or not at all."""

    def remove(self, path: str) -> None:
        """Harmless when it is missing."""

    def remove_tree(self, path: str) -> None:
        """Harmless when it is missing; links are removed, not followed."""

    def lock(self, fresh: acl.Fresh) -> None: ...
    def seal(self, secret: bytes) -> bytes:
        """Protected for this machine."""


class Grants(Protocol):
    """What a refresh does to the user's folders; each returns problems, one line each."""

    def apply(self, payload: Payload) -> Sequence[str]: ...
    def start_reader(self, payload: Payload) -> Sequence[str]: ...
    def grant_runtime(self, payload: Payload) -> Sequence[str]: ...
    def grant_reading(self, payload: Payload) -> Sequence[str]:
        """The worker itself."""


class System(Protocol):
    """The machine."""

    @property
    def accounts(self) -> Accounts: ...
    @property
    def walls(self) -> Walls: ...
    @property
    def files(self) -> Files: ...
    @property
    def grants(self) -> Grants: ...
    def alone(self, name: str, security: str) -> AbstractContextManager[None]:
        """Hold a mutex, waiting for whoever has it; OctavoError when that takes too long."""

    def reader(self, name: str) -> AbstractContextManager[bool]:
        """Hold a mutex; false: another one has it."""


@dataclass(frozen=True, slots=True)
class Places:
    """Paths of our own below a home."""

    home: str

    @property
    def state(self) -> str:
        """Log, marker, reports."""
        return join(self.home, setup.FOLDER)

    @property
    def secrets(self) -> str:
        return join(self.home, setup.SECRETS)

    @property
    def programs(self) -> str:
        return join(self.home, setup.PROGRAMS)

    @property
    def marker(self) -> str:
        return join(self.state, setup.MARKER)

    @property
    def report(self) -> str:
        return join(self.state, setup.REPORT)

    @property
    def users(self) -> str:
        return join(self.secrets, setup.USERS)


# Full set-up -------------------------------------------------------------------------------------


def set_up(payload: Payload, system: System, *, random: Random, now: Now) -> None:
    """Accounts, walls, credentials, marker; then, in mode "full", the user's folders."""
    files, places = system.files, Places(payload.octavo_home)
    open_log(payload, system)
    files.log(f"START: set-up, {payload.mode}, for {payload.real_user}")
    with coded("helper_sid_resolve_failed", f"the account {payload.real_user}"):
        user = system.accounts.sid_of(payload.real_user)
    with coded("helper_setup_marker_write_failed", "the marker"):
        files.create_new(places.marker, setup.marker_security(user))
    with coded("helper_users_file_write_failed", "the old credentials"):
        # from here to the end nobody has a password that works
        files.remove(places.users)
    group = _group(system)
    accounts = _accounts(payload, system, group, random)
    _raise_walls(payload, system, accounts)
    _lock(system, places, group=group, user=user)
    with coded("helper_users_file_write_failed", places.users):
        files.replace(places.users, setup.encode_users(_sealed(system, accounts)))
    marker = Marker(
        created_at=now().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        offline_username=payload.offline_username,
        online_username=payload.online_username,
        proxy_ports=tuple(sorted(set(payload.proxy_ports))),
        allow_local_binding=payload.allow_local_binding,
    )
    with coded("helper_setup_marker_write_failed", "the marker"):
        files.fill(places.marker, setup.encode_marker(marker))
    if payload.mode == "full":
        refresh(payload, system)
    files.log("SUCCESS: set-up")


@dataclass(frozen=True, slots=True)
class _Made:
    name: str
    sid: str
    password: str
    fresh: bool
    """Made, or found disabled: it may be enabled when every wall stands, not before."""

    def __repr__(self) -> str:
        return f"_Made({self.name})"


def _group(system: System) -> str:
    with coded("helper_users_group_create_failed", f"the group {setup.GROUP}"):
        try:
            system.accounts.make_group(setup.GROUP, setup.GROUP_COMMENT)
        except (OctavoError, OSError) as error:
            if number(error) not in setup.TOLERATED_GROUP:
                raise
        return system.accounts.sid_of(setup.GROUP)


def _accounts(payload: Payload, system: System, group: str, random: Random) -> tuple[_Made, _Made]:
    names = (payload.offline_username, payload.online_username)
    if names[0].upper() == names[1].upper():
        _fail("helper_user_create_or_update_failed", f"both accounts are called {names[0]}")
    offline, online = (_account(system, name, group, setup.password(random)) for name in names)
    return offline, online


def _account(system: System, name: str, group: str, password: str) -> _Made:
    accounts = system.accounts
    with coded("helper_user_create_or_update_failed", f"the account {name}"):
        state = accounts.state(name)
        if state == "foreign":
            _fail(
                "helper_user_create_or_update_failed",
                f"there is an account {name} already that Octavo has not made",
            )
        if state is None:
            accounts.make(
                name,
                password,
                flags=setup.ACCOUNT_FLAGS | setup.ACCOUNT_DISABLED,
                privilege=setup.PRIVILEGE_USER,
                comment=setup.ACCOUNT_COMMENT,
            )
        else:
            accounts.set_password(name, password)
            system.files.log(f"{name} has a new password: other homes have to be set up again")
        for sid in (group, acl.USERS):
            accounts.join(name, group_sid=sid)
    with coded("helper_sid_resolve_failed", f"the account {name}"):
        return _Made(name, accounts.sid_of(name), password, state != "enabled")


def _raise_walls(payload: Payload, system: System, accounts: tuple[_Made, _Made]) -> None:
    """Firewall, filters, and only then may new accounts be used."""
    offline = accounts[0]
    raise_firewall(
        system.walls,
        offline.sid,
        firewall.firewall_plan(
            offline.sid,
            proxy_ports=payload.proxy_ports,
            allow_local_binding=payload.allow_local_binding,
        ),
    )
    try:
        system.walls.filters(firewall.wfp_plan(offline.sid))
    except (OctavoError, OSError) as error:
        system.files.log(f"FAILURE: platform filters: {error}")
        if offline.fresh:
            raise SetupError(
                "helper_user_provision_failed",
                f"platform filters are missing, so the new account stays disabled: {error}",
            ) from error
    for each in accounts:
        if each.fresh:
            with coded("helper_user_create_or_update_failed", f"the account {each.name}"):
                system.accounts.enable(each.name)
        try:
            system.accounts.hide(each.name)
        except (OctavoError, OSError) as error:
            system.files.log(f"{each.name} stays visible on the logon screen: {error}")


def raise_firewall(walls: Walls, sid: str, steps: Sequence[Step]) -> None:
    """The rules, in order; each is read back."""
    with coded("helper_firewall_com_init_failed", "COM"):
        walls.open()
    with coded("helper_firewall_policy_access_failed", "the firewall's policy"):
        policy = walls.policy()
    if policy != firewall.POLICY_OK:
        _fail(
            "helper_firewall_policy_ineffective",
            f"local firewall rules have no effect here (state {policy})",
        )
    for step in steps:
        with coded("helper_firewall_rule_create_or_add_failed", f"the rule {step.name}"):
            if step.rule is None:
                walls.remove(step.name)
            else:
                walls.put(step.rule)
        if step.rule is not None:
            _verify(walls, step.name, sid)


def _verify(walls: Walls, name: str, sid: str) -> None:
    code = "helper_firewall_rule_verify_failed"
    with coded(code, f"the rule {name}"):
        users = walls.users_of(name)
    if f";{sid})" not in users:
        _fail(code, f"the rule {name} is not for {sid} but for {users!r}")


def _lock(system: System, places: Places, *, group: str, user: str) -> None:
    """Before the credentials are written into a folder, it is closed."""
    for kind, path in (("state", places.state), ("secrets", places.secrets)):
        with coded("helper_sandbox_dir_create_failed", path):
            system.files.folder(path)
        with coded("helper_sandbox_lock_failed", path):
            system.files.lock(
                acl.lock(path, "state" if kind == "state" else "secrets", group=group, user=user)
            )


def _sealed(system: System, accounts: tuple[_Made, _Made]) -> UsersFile:
    with coded("helper_dpapi_protect_failed", "protecting a password"):
        offline, online = (
            Account(each.name, system.files.seal(each.password.encode())) for each in accounts
        )
    return UsersFile(offline, online)


# Refresh -----------------------------------------------------------------------------------------


def refresh(payload: Payload, system: System) -> None:
    """The user's folders for one policy. Everything is tried; one problem fails the whole."""
    files, places = system.files, Places(payload.octavo_home)
    with coded("helper_sid_resolve_failed", f"the group {setup.GROUP}"):
        group = system.accounts.sid_of(setup.GROUP)
        user = system.accounts.sid_of(payload.real_user)
    grants = system.grants

    def lock_programs() -> Sequence[str]:
        files.folder(places.programs)
        files.lock(acl.lock(places.programs, "programs", group=group, user=user))
        return ()

    code = "helper_unknown_error"
    problems: list[str] = []
    steps = (
        ("", lambda: grants.apply(payload)),
        ("helper_read_acl_helper_spawn_failed", lambda: grants.start_reader(payload)),
        ("", lambda: grants.grant_runtime(payload)),
        ("helper_sandbox_lock_failed", lock_programs),
    )
    for its_code, step in steps:
        found = _tried(step)
        if found and its_code and not problems:
            code = its_code
        elif found:
            code = "helper_unknown_error"
        problems += found
    if problems:
        for problem in problems:
            files.log(f"FAILURE: {problem}")
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        _fail(code, "; ".join(problems[:SHOWN]) + more)


def _tried(step: Callable[[], Sequence[str]]) -> list[str]:
    try:
        return list(step())
    except (OctavoError, OSError) as error:
        return [str(error)]


def read_only_worker(payload: Payload, system: System) -> None:
    """Reading for the group, in the background; what fails is in the log, as nobody waits."""
    with system.reader(setup.READ_MUTEX) as first:
        if not first:
            return
        open_log(payload, system)
        system.files.log(f"START: reading for {len(payload.read_roots)} folders")
        problems = _tried(lambda: system.grants.grant_reading(payload))
        for problem in problems:
            system.files.log(f"FAILURE: {problem}")
        if not problems:
            system.files.log("SUCCESS: reading")


# Shared ------------------------------------------------------------------------------------------


def open_log(payload: Payload, system: System) -> None:
    places = Places(payload.octavo_home)
    with coded("helper_sandbox_dir_create_failed", places.state):
        system.files.folder(places.state)
    with coded("helper_log_failed", "the log"):
        system.files.open_log(places.state)


def number(error: BaseException) -> int | None:
    """Windows' number of a failed call, where there is one."""
    for name in ("code", "winerror"):
        value = getattr(error, name, None)
        if type(value) is int:
            return value
    return None


@contextmanager
def only_one(system: System) -> Iterator[None]:
    """One set-up at a time on this machine."""
    with ExitStack() as stack:
        with coded("helper_unknown_error", "another set-up is running"):
            stack.enter_context(system.alone(setup.SETUP_MUTEX, setup.SETUP_MUTEX_SECURITY))
        yield


@contextmanager
def coded(code: str, what: str) -> Iterator[None]:
    """A failure inside becomes set-up's with this code."""
    try:
        yield
    except SetupError:
        raise
    except (OctavoError, OSError) as error:
        raise SetupError(code, f"{what}: {error}") from error


def _fail(code: str, message: str) -> NoReturn:
    raise SetupError(code, message)
