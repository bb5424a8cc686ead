"""Firewall rules through COM, late bound and without generated code.

Values and their order come from `octavo.sandbox.windows.firewall`.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final

assert sys.platform == "win32"

import pythoncom

from octavo.sandbox.win32 import wfp
from octavo.sandbox.win32.winapi import CallError
from octavo.sandbox.windows import firewall
from octavo.sandbox.windows.firewall import FirewallRule, WfpStep

com: Final[Any] = pythoncom
"""Untyped: the stubs know neither names of classes nor the fields of errors."""
FILE_NOT_FOUND: Final = -2147024894
"""HRESULT of Windows error 2: no such rule."""
GET: Final = com.DISPATCH_PROPERTYGET
PUT: Final = com.DISPATCH_PROPERTYPUT
METHOD: Final = com.DISPATCH_METHOD


class Late:
    """An automation object, by names. `win32com.client` would do the same, but reads a cache from
    the temporary folder, which a program that runs as administrator must not."""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - COM has no types here
        self.raw = raw

    def get(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - COM has no types here
        """A property. Raises CallError."""
        return self._invoke(name, GET, *arguments)

    def put(self, name: str, value: object) -> None:
        """Set a property. Raises CallError."""
        self._invoke(name, PUT, value)

    def call(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - COM has no types here
        """A method. Raises CallError."""
        return self._invoke(name, METHOD, *arguments)

    def _invoke(self, name: str, kind: int, *arguments: object) -> Any:  # noqa: ANN401 - COM has no types here
        try:
            identity = self.raw.GetIDsOfNames(name)
            return self.raw.Invoke(identity, 0, kind, kind != PUT, *arguments)
        except com.com_error as error:
            raise CallError(name, result_of(error)) from error


def result_of(error: Any) -> int:  # noqa: ANN401 - pywin32's error, whose class has no stub
    """The number behind a COM error: that of the object itself, where it gave one."""
    inner = error.excepinfo[5] if getattr(error, "excepinfo", None) else None
    return int(inner or error.hresult)


def create(name: str) -> Late:
    """A COM object. Raises CallError."""
    try:
        made = com.CoCreateInstance(name, None, com.CLSCTX_INPROC_SERVER, com.IID_IDispatch)
    except com.com_error as error:
        raise CallError(f"CoCreateInstance {name}", result_of(error)) from error
    return Late(made)


class MachineWalls:
    """See `setup_run.Walls`. Use it from one thread."""

    def __init__(self) -> None:
        self._policy: Late | None = None

    def open(self) -> None:
        """Single-threaded COM; a thread that chose another way before is fine."""
        try:
            com.CoInitializeEx(com.COINIT_APARTMENTTHREADED)
        except com.com_error as error:
            if error.hresult & 0xFFFFFFFF != firewall.RPC_E_CHANGED_MODE:
                raise CallError("CoInitializeEx", error.hresult) from error
        self._policy = create("HNetCfg.FwPolicy2")

    def policy(self) -> int:
        return int(self._opened().get("LocalPolicyModifyState"))

    def put(self, rule: FirewallRule) -> None:
        found = self._find(rule.name)
        made = found or create("HNetCfg.FWRule")
        configure(made, rule)
        if found is None:
            # only a complete rule is added: half of one would block too little, or everything
            self._rules().call("Add", made.raw)

    def remove(self, name: str) -> None:
        while self._find(name) is not None:  # the same name may be there more than once
            self._rules().call("Remove", name)

    def users_of(self, name: str) -> str:
        found = self._find(name)
        if found is None:
            return ""
        return str(found.get("LocalUserAuthorizedList") or "")

    def filters(self, steps: Sequence[WfpStep]) -> None:
        wfp.carry_out(steps)

    def remove_filters(self, keys: Sequence[str]) -> None:
        wfp.remove(keys)

    def _opened(self) -> Late:
        assert self._policy is not None, "open it first"
        return self._policy

    def _rules(self) -> Late:
        return Late(self._opened().get("Rules"))

    def _find(self, name: str) -> Late | None:
        try:
            found = self._rules().call("Item", name)
        except CallError as error:
            if error.code in (FILE_NOT_FOUND, FILE_NOT_FOUND & 0xFFFFFFFF):
                return None
            raise
        return Late(found)


def configure(made: Late, rule: FirewallRule) -> None:
    """All fields of a rule. The protocol comes before the ports, which are refused otherwise."""
    made.put("Name", rule.name)
    made.put("Description", rule.description)
    made.put("Direction", rule.direction)
    made.put("Protocol", rule.protocol)
    made.put("RemoteAddresses", rule.remote_addresses)
    if rule.remote_ports is not None:
        made.put("RemotePorts", rule.remote_ports)
    made.put("LocalUserAuthorizedList", rule.users)
    made.put("Profiles", rule.profiles)
    made.put("Action", rule.action)
    made.put("Enabled", rule.enabled)
