"""Starting the set-up helper: as it is for an administrator, else after the Windows prompt.

One helper per payload at a time: whoever asks for the same meanwhile waits for it.
"""

import ctypes
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

assert sys.platform == "win32"

from ctypes import wintypes

import pythoncom
import pywintypes
import win32api
import win32security

from octavo.process.argv_windows import command_line
from octavo.protocol.errors import OctavoError
from octavo.sandbox.win32 import credentials
from octavo.sandbox.win32.grants import MODULE
from octavo.sandbox.win32.winapi import CallError, Handle, kernel32
from octavo.sandbox.windows import setup
from octavo.sandbox.windows.plan import Identity
from octavo.sandbox.windows.setup import Payload, SetupError
from octavo.sandbox.windows.setup_run import Places

SAM_COMPATIBLE: Final = 2
WAIT_S: Final = 15 * 60
"""Entries on a large tree take minutes."""
SW_HIDE: Final = 0
WAIT_OBJECT_0: Final = 0
LONGEST_REPORT: Final = 1024 * 1024


class SHELLEXECUTEINFOW(ctypes.Structure):
    """As Windows lays it out."""

    _fields_ = (
        ("cbSize", wintypes.DWORD),
        ("fMask", wintypes.ULONG),
        ("hwnd", wintypes.HWND),
        ("lpVerb", wintypes.LPCWSTR),
        ("lpFile", wintypes.LPCWSTR),
        ("lpParameters", wintypes.LPCWSTR),
        ("lpDirectory", wintypes.LPCWSTR),
        ("nShow", ctypes.c_int),
        ("hInstApp", wintypes.HINSTANCE),
        ("lpIDList", ctypes.c_void_p),
        ("lpClass", wintypes.LPCWSTR),
        ("hkeyClass", wintypes.HKEY),
        ("dwHotKey", wintypes.DWORD),
        ("hIcon", wintypes.HANDLE),
        ("hProcess", ctypes.c_void_p),
    )


_shell32: Final = ctypes.WinDLL("shell32", use_last_error=True)
_shell32.ShellExecuteExW.argtypes = [ctypes.POINTER(SHELLEXECUTEINFOW)]
_shell32.ShellExecuteExW.restype = ctypes.c_int
kernel32.WaitForSingleObject.argtypes = [ctypes.c_void_p, wintypes.DWORD]
kernel32.WaitForSingleObject.restype = wintypes.DWORD
kernel32.GetExitCodeProcess.argtypes = [ctypes.c_void_p, ctypes.POINTER(wintypes.DWORD)]
kernel32.GetExitCodeProcess.restype = ctypes.c_int


def is_administrator() -> bool:
    """Can this process do what set-up does? Raises SetupError."""
    administrators = win32security.ConvertStringSidToSid(setup.ADMINISTRATORS)
    try:
        return bool(win32security.CheckTokenMembership(None, administrators))  # type: ignore[arg-type]  # None: our own token
    except pywintypes.error as error:
        raise SetupError(
            "orchestrator_elevation_check_failed", f"Windows error {error.winerror}"
        ) from error


def user_name() -> str:
    """DOMAIN\\name of who is signed in, from the token."""
    try:
        return str(win32api.GetUserNameEx(SAM_COMPATIBLE))
    except pywintypes.error as error:
        raise CallError("GetUserNameEx", error.winerror) from error


def set_up(
    payload: Payload, environ: Mapping[str, str], *, prompt: bool = True, wait_s: float = WAIT_S
) -> None:
    """Run the helper for a payload and wait for it.

    Raises SetupError with the code of what failed; without `prompt`, and where an administrator
    is needed, that is `orchestrator_elevation_required`.
    """
    encoded = setup.encode_payload(payload)
    FLIGHTS.once(encoded, lambda: _helped(payload, encoded, environ, prompt=prompt, wait_s=wait_s))


def ensure(
    home: str,
    identity: Identity,
    environ: Mapping[str, str],
    *,
    proxy_ports: tuple[int, ...] = setup.PROXY_PORTS,
    allow_local_binding: bool = False,
    keep_network: bool = False,
    prompt: bool = True,
) -> bool:
    """Set up for this identity where that is needed; true when it was. Raises SetupError.

    `keep_network`: take the ports and local binding of the marker, whatever is given here.
    """
    found = credentials.state(home)
    why = setup.needed(
        found,
        identity,
        proxy_ports=proxy_ports,
        allow_local_binding=allow_local_binding,
        keep_network=keep_network,
    )
    if why is None:
        return False
    ports, binding = setup.network_after(
        found.marker,
        identity,
        proxy_ports=proxy_ports,
        allow_local_binding=allow_local_binding,
        keep_network=keep_network,
    )
    set_up(provision(home, proxy_ports=ports, allow_local_binding=binding), environ, prompt=prompt)
    return True


def refresh(home: str, identity: Identity, environ: Mapping[str, str]) -> credentials.Credentials:
    """New credentials in place of stale ones, with the network as it was set up. Raises SetupError."""
    credentials.discard(home)
    ensure(home, identity, environ, keep_network=True)
    return credentials.load(home, identity)


def provision(
    home: str,
    *,
    proxy_ports: tuple[int, ...] = setup.PROXY_PORTS,
    allow_local_binding: bool = False,
) -> Payload:
    """The payload of a first elevated run: accounts and walls, for who is signed in."""
    return Payload(
        octavo_home=home,
        command_cwd=home,
        proxy_ports=proxy_ports,
        allow_local_binding=allow_local_binding,
        real_user=user_name(),
        mode="interactive-provision",
    )


# One at a time -----------------------------------------------------------------------------------


class Flights:
    """Work that is under way, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, tuple[threading.Event, list[BaseException]]] = {}

    def once(self, name: str, work: Callable[[], None]) -> None:
        """Do it, or wait for whoever does it already and end as that did."""
        with self._lock:
            found = self._running.get(name)
            done, failure = found or (threading.Event(), [])
            if found is None:
                self._running[name] = (done, failure)
        if found is not None:
            if not done.wait(2 * WAIT_S):
                raise SetupError("orchestrator_helper_launch_failed", "another one does not end")
            if failure:
                raise failure[0]
            return
        try:
            work()
        except BaseException as error:
            failure.append(error)
            raise
        finally:
            with self._lock:
                del self._running[name]
            done.set()


FLIGHTS: Final = Flights()


# The helper --------------------------------------------------------------------------------------


def _helped(
    payload: Payload, encoded: str, environ: Mapping[str, str], *, prompt: bool, wait_s: float
) -> None:
    places = Places(payload.octavo_home)
    _make_folder(payload.octavo_home, places.state)
    _clear_report(places)
    code = launch(
        helper_argv(),
        encoded,
        environ,
        elevated=needs_administrator(payload) and not is_administrator(),
        prompt=prompt,
        wait_s=wait_s,
    )
    problem = setup.outcome(code, read_report(places), complete=_complete(payload))
    if problem is not None:
        raise problem


def needs_administrator(payload: Payload) -> bool:
    """A refresh and the worker run as the user, and never ask."""
    return not payload.refresh_only and payload.mode != "read-acls-only"


def helper_argv() -> tuple[str, ...]:
    """How the helper is started: isolated, so that no variable and no folder adds code to it."""
    return (sys.executable, "-I", "-m", MODULE)


def launch(
    argv: tuple[str, ...],
    encoded: str,
    environ: Mapping[str, str],
    *,
    elevated: bool,
    prompt: bool = True,
    wait_s: float = WAIT_S,
) -> int:
    """Start it with the payload, hidden, and wait; returns its exit code. Raises SetupError."""
    arguments, variables = setup.launch_arguments(encoded)
    if not elevated:
        return _hidden((*argv, *arguments), {**environ, **variables}, wait_s)
    if not prompt:
        raise SetupError("orchestrator_elevation_required", "an administrator has to run it once")
    if variables:
        # the program behind the prompt gets a new environment
        raise SetupError(
            "orchestrator_payload_serialize_failed",
            "more paths than can be passed through the Windows prompt",
        )
    return _prompted((*argv, *arguments), wait_s)


def _hidden(argv: tuple[str, ...], environ: Mapping[str, str], wait_s: float) -> int:
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            cwd=win32api.GetSystemDirectory(),  # wherever we are, a library lying there is not loaded
            creationflags=setup.CREATE_NO_WINDOW,
        )
    except OSError as error:
        raise setup.launch_failure(error.winerror or 0) from error
    with child:
        try:
            return child.wait(wait_s)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise _too_long(wait_s) from error


def _prompted(argv: tuple[str, ...], wait_s: float, verb: str = "runas") -> int:
    pythoncom.CoInitialize()  # the shell may ask its extensions
    asked = SHELLEXECUTEINFOW(
        cbSize=ctypes.sizeof(SHELLEXECUTEINFOW),
        fMask=setup.SHELL_MASK,
        lpVerb=verb,
        lpFile=argv[0],
        lpParameters=command_line(("helper", *argv[1:])).partition(" ")[2],
        lpDirectory=win32api.GetSystemDirectory(),
        nShow=SW_HIDE,
    )
    if not _shell32.ShellExecuteExW(ctypes.byref(asked)):
        raise setup.launch_failure(ctypes.get_last_error())
    if not asked.hProcess:
        raise SetupError("orchestrator_helper_launch_failed", "Windows gave no handle of it")
    with Handle(asked.hProcess) as process:
        if kernel32.WaitForSingleObject(process.value, round(wait_s * 1000)) != WAIT_OBJECT_0:
            raise _too_long(wait_s)
        code = wintypes.DWORD()
        if not kernel32.GetExitCodeProcess(process.value, ctypes.byref(code)):
            raise setup.launch_failure(ctypes.get_last_error())
        return code.value


def _too_long(wait_s: float) -> SetupError:
    return SetupError(
        "orchestrator_helper_exit_nonzero", f"the helper did not end within {wait_s:.0f} s"
    )


def _make_folder(home: str, state: str) -> None:
    try:
        Path(home).mkdir(parents=True, exist_ok=True)
        Path(state).mkdir(exist_ok=True)
    except OSError as error:
        raise SetupError(
            "orchestrator_sandbox_dir_create_failed", f"{state}: Windows error {error.winerror}"
        ) from error


def _clear_report(places: Places) -> None:
    path = Path(places.report)
    try:
        path.unlink(missing_ok=True)
    except OSError:
        try:
            path.write_bytes(b"")  # made by an administrator: it may be emptied, not removed
        except OSError as error:
            raise SetupError(
                "orchestrator_sandbox_dir_create_failed",
                f"{path}: an earlier report cannot be removed, Windows error {error.winerror}",
            ) from error


def read_report(places: Places) -> bytes | None:
    """The report a helper left; None when there is none. One that cannot be read is damaged."""
    try:
        with Path(places.report).open("rb") as file:
            return file.read(LONGEST_REPORT) or None
    except FileNotFoundError:
        return None
    except OSError:
        return b"?"


def _complete(payload: Payload) -> bool:
    """Did it leave what it should?"""
    if payload.mode == "uninstall" or not needs_administrator(payload):
        return True
    try:
        marker = credentials.read_marker(payload.octavo_home)
        users = credentials.read_users(payload.octavo_home)
    except OctavoError:
        return False
    names = (users.offline.username, users.online.username)
    return names == (marker.offline_username, marker.online_username)
