"""What set-up is told, what it leaves behind, when it has to run, and what can go wrong.

Pure: payloads, files and decisions as values. The marker is written last: without a good one
nothing counts as set up.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, NoReturn

from octavo.protocol.errors import ConfigError, OctavoError, SandboxUnavailable, UsageError
from octavo.sandbox.windows import acl
from octavo.sandbox.windows.acl import Ace, Present
from octavo.sandbox.windows.plan import Identity
from octavo.sandbox.windows.sids import Random

VERSION: Final = 1
OFFLINE: Final = "OctavoSandboxOffline"
ONLINE: Final = "OctavoSandboxOnline"
GROUP: Final = "OctavoSandboxUsers"
GROUP_COMMENT: Final = "Accounts that run sandboxed commands of Octavo."
ACCOUNT_COMMENT: Final = "Runs sandboxed commands of Octavo."
"""An existing account without it is somebody else's."""
LONGEST_NAME: Final = 20

SETUP_MUTEX: Final = "Global\\OctavoSandboxSetup"
SETUP_MUTEX_SECURITY: Final = "D:P(A;;GA;;;SY)(A;;GA;;;BA)"
READ_MUTEX: Final = "Local\\OctavoSandboxReadAcl"
ADMINISTRATORS: Final = "S-1-5-32-544"

PASSWORD_LENGTH: Final = 24
PASS_CHARS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*()-_=+"  # noqa: S105 - the alphabet
DPAPI_FLAGS: Final = 1 | 4
"""No dialogs; for the machine: set-up encrypts as administrator, runs decrypt as the user."""
ACCOUNT_FLAGS: Final = 0x1 | 0x10000
"""Script, password does not expire."""
ACCOUNT_DISABLED: Final = 0x2
PRIVILEGE_USER: Final = 1
TOLERATED_GROUP: Final = (1379, 2223)
USER_LIST: Final = (
    "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon\\SpecialAccounts\\UserList"
)

ARGUMENT_UNITS: Final = 24_000
PIECE: Final = 16 * 1024
MOST_BYTES: Final = 16 * 1024 * 1024
LAUNCH_ENV: Final = "--launch-payload-env"
LAUNCH_PREFIX: Final = "OCTAVO_SANDBOX_LAUNCH_"
CREATE_NO_WINDOW: Final = 0x08000000
SHELL_MASK: Final = 0x40 | 0x100
CANCELED: Final = 1223

PROXY_PORTS: Final = tuple(range(41280, 41290))
"""Ports of this machine that the offline account reaches: one for each command that runs at the same
time and is held to a proxy. Opened once, by set-up; below those that Windows gives out by itself."""

FOLDER: Final = ".sandbox"
SECRETS: Final = ".sandbox-secrets"
PROGRAMS: Final = ".sandbox-bin"
MARKER: Final = "setup_marker.json"
REPORT: Final = "setup_error.json"
USERS: Final = "sandbox_users.json"
STATE: Final = "deny_read_acl_state.json"

Mode = Literal["full", "interactive-provision", "provision-only", "read-acls-only", "uninstall"]
MODES: Final = ("full", "interactive-provision", "provision-only", "read-acls-only", "uninstall")

CODES: Final = frozenset(
    {f"orchestrator_{name}" for name in (
        "sandbox_dir_create_failed", "elevation_check_failed", "elevation_required",
        "payload_serialize_failed", "helper_launch_failed", "helper_launch_canceled",
        "helper_exit_nonzero", "helper_report_read_failed", "helper_incomplete")}
    | {f"helper_{name}" for name in (
        "request_args_failed", "sandbox_dir_create_failed", "log_failed",
        "user_provision_failed", "users_group_create_failed", "user_create_or_update_failed",
        "dpapi_protect_failed", "users_file_write_failed", "setup_marker_write_failed",
        "sid_resolve_failed", "capability_sid_failed", "firewall_com_init_failed",
        "firewall_policy_access_failed", "firewall_policy_ineffective",
        "firewall_rule_create_or_add_failed", "firewall_rule_verify_failed",
        "read_acl_helper_spawn_failed", "sandbox_lock_failed", "unknown_error")}
)  # fmt: skip

ADVICE: Final = {
    "orchestrator_helper_launch_canceled": "Agree to the Windows prompt, or use the unelevated sandbox.",
    "orchestrator_elevation_required": "Run it from a terminal opened as administrator.",
    "helper_firewall_policy_ineffective": (
        "A policy of your organisation overrides local firewall rules: ask its administrator, "
        "or use the unelevated sandbox."
    ),
    "helper_firewall_policy_access_failed": "Start the Windows Firewall service and try again.",
    "helper_user_create_or_update_failed": (
        "A policy may forbid local accounts: ask your administrator, or use the unelevated sandbox."
    ),
}


class SetupError(OctavoError):
    """Set-up did not finish; `code` is one of `CODES`."""

    exit_code = 5

    def __init__(self, code: str, message: str) -> None:
        super().__init__(
            f"sandbox set-up: {message} ({code})",
            hint=ADVICE.get(code, "Run `octavo sandbox doctor`."),
        )
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What the set-up helper is told."""

    offline_username: str = OFFLINE
    online_username: str = ONLINE
    octavo_home: str
    command_cwd: str
    read_roots: tuple[str, ...] = ()
    write_roots: tuple[str, ...] = ()
    deny_read_paths: tuple[str, ...] = ()
    deny_write_paths: tuple[str, ...] = ()
    proxy_ports: tuple[int, ...] = ()
    allow_local_binding: bool = False
    real_user: str
    """DOMAIN\\name."""
    mode: Mode = "full"
    refresh_only: bool = False
    version: int = VERSION


def encode_payload(payload: Payload) -> str:
    """One argument. Raises SetupError when the payload cannot be passed on."""
    try:
        text = json.dumps(_table(payload), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        code = "orchestrator_payload_serialize_failed"
        raise SetupError(code, "a path has half of a surrogate pair") from error
    if len(text) > MOST_BYTES:
        _fail("orchestrator_payload_serialize_failed", f"more than {MOST_BYTES:,} bytes of paths")
    return base64.b64encode(text).decode("ascii")


def _table(value: Payload) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def launch_arguments(encoded: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Arguments and variables that carry a payload: one argument, or pieces in variables."""
    if len(encoded) <= ARGUMENT_UNITS:
        return (encoded,), {}
    pieces = [encoded[at : at + PIECE] for at in range(0, len(encoded), PIECE)]
    variables = {f"{LAUNCH_PREFIX}{at}": piece for at, piece in enumerate(pieces)}
    variables[f"{LAUNCH_PREFIX}COUNT"] = str(len(pieces))
    variables[f"{LAUNCH_PREFIX}BYTES"] = str(len(encoded))
    return (LAUNCH_ENV,), variables


def received_arguments(arguments: Sequence[str], variables: Mapping[str, str]) -> str:
    """The encoded payload, put together again. Raises SetupError for whatever is missing."""
    code = "helper_request_args_failed"
    if len(arguments) != 1:
        _fail(code, f"{len(arguments)} arguments, not one")
    if arguments[0] != LAUNCH_ENV:
        return arguments[0]
    count, size = (variables.get(LAUNCH_PREFIX + name, "") for name in ("COUNT", "BYTES"))
    if not re.fullmatch("[0-9]{1,5}", count) or not re.fullmatch("[0-9]{1,9}", size):
        _fail(code, f"{LAUNCH_PREFIX}COUNT or …BYTES is no number")
    parts = [variables.get(f"{LAUNCH_PREFIX}{at}") for at in range(int(count))]
    if None in parts:
        _fail(code, f"{LAUNCH_PREFIX}{parts.index(None)} is missing")
    whole = "".join(part for part in parts if part is not None)
    if len(whole) != int(size):
        _fail(code, f"{len(whole):,} characters arrived, {int(size):,} were sent")
    return whole


def decode_payload(encoded: str) -> Payload:
    """The payload in an argument. Raises SetupError naming the field that is wrong."""
    code = "helper_request_args_failed"
    try:
        table = json.loads(base64.b64decode(encoded, validate=True).decode("utf-8"))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise SetupError(code, "the argument is not base64 of JSON in UTF-8") from error
    if not isinstance(table, dict):
        _fail(code, "the argument is no object")
    if table.get("version") != VERSION:
        _fail(code, f"version {table.get('version')!r} was sent, this helper is version {VERSION}")
    found: dict[str, Any] = {}
    for each in fields(Payload):
        if each.name not in table:
            _fail(code, f"{each.name!r} is missing")
        found[each.name] = _field(each.name, table[each.name])
    payload = Payload(**found)
    if payload.mode not in MODES:
        _fail(code, f"'mode' is {payload.mode!r}; known are {', '.join(MODES)}")
    return payload


def _field(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON in, a checked value out
    code = "helper_request_args_failed"
    if name == "proxy_ports":
        if not isinstance(value, list) or not all(type(p) is int and 0 < p < 65536 for p in value):
            _fail(code, f"{name!r} has to be a list of ports, 1 to 65535")
        return tuple(sorted(set(value)))
    if name.endswith(("_roots", "_paths")):
        if not isinstance(value, list) or not all(isinstance(path, str) for path in value):
            _fail(code, f"{name!r} has to be a list of paths")
        wrong = next((path for path in value if not re.match(r"[A-Za-z]:[\\/]", path)), None)
        if wrong is not None:
            _fail(code, f"{name!r}: {wrong!r} is not absolute")
        return tuple(value)
    form = {"version": int, "allow_local_binding": bool, "refresh_only": bool}.get(name, str)
    if type(value) is not form:
        _fail(code, f"{name!r} is {value!r}, not a {form.__name__}")
    if name.endswith("_username") and not account_name_ok(str(value)):
        _fail(code, f"{name!r} is {value!r}: 1 to {LONGEST_NAME} letters, digits, - or _")
    return value


def account_name_ok(name: str) -> bool:
    """Can a local account be called so?"""
    return re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}", name) is not None


def _fail(code: str, message: str) -> NoReturn:
    raise SetupError(code, message)


# Passwords, users file ---------------------------------------------------------------------------


def password(random: Random) -> str:
    """A new password: each character equally likely."""
    whole = 256 // len(PASS_CHARS) * len(PASS_CHARS)
    found = ""
    for _ in range(64):
        found += "".join(PASS_CHARS[b % len(PASS_CHARS)] for b in random(64) if b < whole)
        if len(found) >= PASSWORD_LENGTH:
            return found[:PASSWORD_LENGTH]
    raise UsageError("the generator of random bytes gives no usable ones")


@dataclass(frozen=True, slots=True)
class Account:
    """A sandbox account and its protected password."""

    username: str
    sealed: bytes
    """The password as the system's protection returned it."""


@dataclass(frozen=True, slots=True)
class UsersFile:
    """`.sandbox-secrets/sandbox_users.json`. Never printed."""

    offline: Account
    online: Account

    def __repr__(self) -> str:
        return f"UsersFile({self.offline.username}, {self.online.username})"

    def account(self, identity: Identity) -> Account:
        """The account of an identity."""
        return self.offline if identity == "offline" else self.online


def encode_users(users: UsersFile) -> bytes:
    """The file's content."""
    table: dict[str, Any] = {"version": VERSION}
    for name, each in (("offline", users.offline), ("online", users.online)):
        sealed = base64.b64encode(each.sealed).decode("ascii")
        table[name] = {"username": each.username, "password": sealed}
    return (json.dumps(table, indent=2) + "\n").encode()


def decode_users(data: bytes, file: str) -> UsersFile:
    """What the file says. Raises ConfigError naming file and key; never shows a password."""
    table = _json(data, file)
    if table.get("version") != VERSION:
        _bad(file, "version", f"{table.get('version')!r}; this is version {VERSION}")
    return UsersFile(*(_account(table, name, file) for name in ("offline", "online")))


def _account(table: Mapping[str, Any], name: str, file: str) -> Account:
    found = table.get(name)
    if not isinstance(found, dict):
        _bad(file, name, "missing")
    user, sealed = found.get("username"), found.get("password")
    if not isinstance(user, str) or not account_name_ok(user):
        _bad(file, f"{name}.username", "no name of an account")
    try:
        raw = base64.b64decode(sealed, validate=True) if isinstance(sealed, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if not raw:
        _bad(file, f"{name}.password", "not base64")
    return Account(user, raw)


def _json(data: bytes, file: str) -> dict[str, Any]:
    try:
        table = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        what = "empty" if not data else "not JSON in UTF-8"
        raise ConfigError(f"it is {what}", file=file, hint=AGAIN) from error
    if not isinstance(table, dict):
        raise ConfigError("it is no object", file=file, hint=AGAIN)
    return table


AGAIN: Final = "Run `octavo sandbox setup` again."


def _bad(file: str, name: str, what: str) -> NoReturn:
    raise ConfigError(f"{name} is {what}", file=file, key=name, hint=AGAIN)


def secrets_problem(present: Present | None, *, group: str, user: str) -> str | None:
    """Why the folder of the credentials does not protect them; None when it does.

    Whoever can read the file can decrypt it: the access list is the whole protection.
    """
    if present is None:
        return "it is missing"
    if not present.folder:
        return "it is no folder"
    if present.dacl is None:
        return "it has no access list, so everybody may read it"
    if not present.protected:
        return "it inherits entries from the folder above"
    trusted = {user, acl.SYSTEM, acl.ADMINISTRATORS}
    if present.owner not in trusted:
        return f"it belongs to {present.owner or 'nobody known'}"
    allowed = {ace.sid for ace in present.dacl if ace.allow} - trusted - {acl.OWNER_RIGHTS}
    if allowed:
        return f"{min(allowed)} has rights on it"
    if not acl.denied_first(present.dacl, Ace(allow=False, sid=group, mask=acl.RX, flags=acl.DOWN)):
        return "it is not closed to the sandbox accounts"
    return None


# Marker ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """`.sandbox/setup_marker.json`: what was set up."""

    created_at: str
    offline_username: str = OFFLINE
    online_username: str = ONLINE
    proxy_ports: tuple[int, ...] = ()
    allow_local_binding: bool = False
    version: int = VERSION


def marker_security(user_sid: str) -> str:
    """Who may touch the marker, from the moment it is created, empty."""
    return f"D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;{user_sid})"


def encode_marker(marker: Marker) -> bytes:
    """The file's content, written when everything else is done."""
    table = {each.name: getattr(marker, each.name) for each in fields(marker)}
    return (json.dumps({**table, "read_roots": [], "write_roots": []}, indent=2) + "\n").encode()


def decode_marker(data: bytes, file: str) -> Marker:
    """What the file says. An empty one is set-up that did not finish. Raises ConfigError."""
    table = _json(data, file)
    found: dict[str, Any] = {}
    for each in fields(Marker):
        value = table.get(each.name)
        if each.name == "proxy_ports":
            good = isinstance(value, list) and all(
                type(port) is int and 0 < port < 65536 for port in value
            )
            value = tuple(value) if good and value is not None else None
        else:
            form = {"version": int, "allow_local_binding": bool}.get(each.name, str)
            good = type(value) is form
        if not good:
            _bad(file, each.name, f"{table.get(each.name)!r}, which it cannot be")
        found[each.name] = value
    return Marker(**found)


# When set-up has to run --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was found of an earlier set-up."""

    marker: Marker | None
    """None: missing or damaged."""
    users: UsersFile | None
    """None: missing, damaged or not to be decrypted."""
    accounts_enabled: bool = True
    """Neither disabled nor expired."""


def needed(
    state: State,
    identity: Identity,
    *,
    proxy_ports: Sequence[int] = (),
    allow_local_binding: bool = False,
    keep_network: bool = False,
) -> str | None:
    """Why full set-up has to run for this identity; None when it does not.

    `keep_network`: take the marker's ports and local binding for what is wanted.
    """
    marker = state.marker
    if marker is None:
        return "it was never finished"
    if marker.version != VERSION:
        return f"version {marker.version} was set up, this is version {VERSION}"
    if state.users is None:
        return "the accounts' credentials are missing or cannot be read"
    if not state.accounts_enabled:
        return "its accounts are disabled or expired"
    names = (state.users.offline.username, state.users.online.username)
    if names != (marker.offline_username, marker.online_username):
        return "credentials and marker name different accounts"
    if identity == "online" or keep_network:
        return None
    if marker.allow_local_binding != allow_local_binding:
        return "local binding was set up the other way"
    if not allow_local_binding and marker.proxy_ports != tuple(sorted(set(proxy_ports))):
        return "other proxy ports are wanted"
    return None


def network_after(
    marker: Marker | None,
    identity: Identity,
    *,
    proxy_ports: tuple[int, ...],
    allow_local_binding: bool,
    keep_network: bool,
) -> tuple[tuple[int, ...], bool]:
    """(ports, local binding) for a set-up that has to run: as they were, unless another network is
    what is wanted."""
    if marker is not None and (keep_network or identity == "online"):
        return marker.proxy_ports, marker.allow_local_binding
    return proxy_ports, allow_local_binding


def check_ports(marker: Marker | None, rule: str, port: int | None = None) -> tuple[int, ...]:
    """The ports that a command held to `rule` may be given, one of which `port` has to be.

    Raises SandboxUnavailable naming rule, reason and remedy where set-up opened none, or not it.
    """
    reason = None
    if marker is None:
        reason = "only a firewall tells hosts apart here, and it is not set up"
    elif not marker.proxy_ports:
        reason = "set-up opened no port for a proxy in the firewall"
    elif port is not None and port not in marker.proxy_ports:
        found = ", ".join(map(str, marker.proxy_ports))
        reason = f"port {port} is not open in the firewall; open are {found}"
    if marker is None or reason is not None:
        raise SandboxUnavailable(
            f"the Windows sandbox cannot hold {rule}: {reason}; the command did not run",
            hint="Run `octavo sandbox setup`, or drop the rules about hosts.",
        )
    return marker.proxy_ports


# Reports -----------------------------------------------------------------------------------------


def encode_report(code: str, message: str) -> bytes:
    """`setup_error.json`."""
    known = code if code in CODES else "helper_unknown_error"
    return (json.dumps({"code": known, "message": message}, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def outcome(exit_code: int, report: bytes | None, *, complete: bool) -> SetupError | None:
    """What a finished helper means. `report` is the report file, None when there is none;
    `complete` says that marker and users file are good."""
    if exit_code == 0:
        if complete:
            return None
        return SetupError("orchestrator_helper_incomplete", "it ended well but left no good marker")
    if report is None:
        return SetupError(
            "orchestrator_helper_exit_nonzero", f"the helper ended with code {exit_code}"
        )
    try:
        table = json.loads(report.decode("utf-8"))
        code, message = table["code"], table["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        code = message = None
    if not isinstance(code, str) or not isinstance(message, str):
        return SetupError(
            "orchestrator_helper_report_read_failed",
            f"the helper ended with code {exit_code}, and its report cannot be read",
        )
    return SetupError(code if code in CODES else "helper_unknown_error", message)


def launch_failure(code: int) -> SetupError:
    """The helper could not be started: what Windows' number means."""
    if code == CANCELED:
        return SetupError("orchestrator_helper_launch_canceled", "the Windows prompt was declined")
    return SetupError("orchestrator_helper_launch_failed", f"Windows error {code}")


def metric(value: str, user: str = "") -> str:
    """A value that may be counted: no user name, at most 256 plain characters."""
    plain = re.sub(re.escape(user), "USER", value, flags=re.IGNORECASE) if user else value
    return re.sub(r"[^A-Za-z0-9._/-]", "_", plain)[:256]


def preview(command: Sequence[str], most: int = 200) -> str:
    """A command for the log: at most so many bytes, cut between characters."""
    raw = " ".join(command).encode("utf-8", "backslashreplace")
    return raw[:most].decode("utf-8", "ignore").replace("\r", " ").replace("\n", " ")


# Helper programs ---------------------------------------------------------------------------------


def runner_name(version: str, size: int, modified_ns: int) -> str:
    """The name of a copied runner: versions live side by side; a development one by its file."""
    tag = (
        f"{size}-{modified_ns:x}"
        if version == "0.0.0"
        else re.sub(r"[^A-Za-z0-9.+-]", "_", version)
    )
    return f"octavo-command-runner-{tag}"


def is_fresh(source: tuple[int, int], copy: tuple[int, int] | None) -> bool:
    """Can a copy (size, modified) be used for its source?"""
    return copy is not None and copy[0] == source[0] and copy[1] >= source[1]


STORE_ADVICE: Final = (
    "Install Python from python.org (or with `winget install Python.Python.3.13`), install Octavo "
    "there, and use that one."
)


def is_store_build(executable: str) -> bool:
    """Is this Python from the Microsoft Store? Other accounts cannot start such a program."""
    names = executable.replace("/", "\\").upper().split("\\")
    return "WINDOWSAPPS" in names or any(
        name.startswith("PYTHONSOFTWAREFOUNDATION.PYTHON.") for name in names
    )


LEFT_OUT: Final = frozenset({"site-packages", "test", "tests", "idlelib", "tkinter", "turtledemo",
                             "ensurepip", "__pycache__"})  # fmt: skip
"""Folders of the standard library that no runner needs."""
AT_THE_TOP: Final = (".exe", ".dll", ".zip", "._pth")
"""Files beside the interpreter that it needs."""


def in_copy(relative: str) -> bool:
    """Does a file of a Python installation, named from its folder, belong in a private copy?"""
    names = relative.replace("/", "\\").split("\\")
    if len(names) == 1:
        return names[0].lower().endswith(AT_THE_TOP)
    return names[0].lower() in ("lib", "dlls") and not LEFT_OUT & {each.lower() for each in names}
