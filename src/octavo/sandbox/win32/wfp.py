"""Platform filters: the structures of `fwpmtypes.h` by hand, and one transaction for all of them.

Follows the plan of `octavo.sandbox.windows.firewall`. The engine's names are kept.
"""

import ctypes
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

assert sys.platform == "win32"

from ctypes import wintypes

from octavo.sandbox.win32.winapi import CallError, kernel32, last_error
from octavo.sandbox.windows import firewall
from octavo.sandbox.windows.firewall import WfpFilter, WfpStep

RPC_C_AUTHN_WINNT: Final = 10
FWP_UINT8: Final = 1
FWP_UINT16: Final = 2
FWP_SECURITY_DESCRIPTOR_TYPE: Final = 14
FWP_MATCH_EQUAL: Final = 0
WAIT_MS: Final = 60_000
"""How long to wait for another program's transaction."""
GONE: Final = (
    firewall.FILTER_NOT_FOUND,
    firewall.NOT_FOUND,
    0x80320005,  # provider
    0x80320007,  # sublayer
)


class GUID(ctypes.Structure):
    """As Windows lays it out."""

    _fields_ = (
        ("Data1", ctypes.c_uint32),
        ("Data2", ctypes.c_uint16),
        ("Data3", ctypes.c_uint16),
        ("Data4", ctypes.c_uint8 * 8),
    )


class FWPM_DISPLAY_DATA0(ctypes.Structure):  # noqa: N801 - Windows' name
    _fields_ = (("name", wintypes.LPCWSTR), ("description", wintypes.LPCWSTR))


class FWP_BYTE_BLOB(ctypes.Structure):  # noqa: N801 - Windows' name
    _fields_ = (("size", ctypes.c_uint32), ("data", ctypes.c_void_p))


class FWP_UNION(ctypes.Union):  # noqa: N801 - it has no name there
    _fields_ = (
        ("uint8", ctypes.c_uint8),
        ("uint16", ctypes.c_uint16),
        ("uint64", ctypes.POINTER(ctypes.c_uint64)),
        ("sd", ctypes.POINTER(FWP_BYTE_BLOB)),
    )


class FWP_VALUE0(ctypes.Structure):  # noqa: N801 - Windows' name
    """Also FWP_CONDITION_VALUE0, which is laid out alike."""

    _fields_ = (("type", ctypes.c_uint32), ("value", FWP_UNION))


class FWPM_FILTER_CONDITION0(ctypes.Structure):  # noqa: N801 - Windows' name
    _fields_ = (
        ("fieldKey", GUID),
        ("matchType", ctypes.c_uint32),
        ("conditionValue", FWP_VALUE0),
    )


class FWPM_ACTION0(ctypes.Structure):  # noqa: N801 - Windows' name
    _fields_ = (("type", ctypes.c_uint32), ("filterType", GUID))


class FilterContext(ctypes.Union):
    """It has no name there."""

    _fields_ = (("rawContext", ctypes.c_uint64), ("providerContextKey", GUID))


class FWPM_FILTER0(ctypes.Structure):  # noqa: N801 - Windows' name
    _fields_ = (
        ("filterKey", GUID),
        ("displayData", FWPM_DISPLAY_DATA0),
        ("flags", ctypes.c_uint32),
        ("providerKey", ctypes.POINTER(GUID)),
        ("providerData", FWP_BYTE_BLOB),
        ("layerKey", GUID),
        ("subLayerKey", GUID),
        ("weight", FWP_VALUE0),
        ("numFilterConditions", ctypes.c_uint32),
        ("filterCondition", ctypes.POINTER(FWPM_FILTER_CONDITION0)),
        ("action", FWPM_ACTION0),
        ("context", FilterContext),
        ("reserved", ctypes.POINTER(GUID)),
        ("filterId", ctypes.c_uint64),
        ("effectiveWeight", FWP_VALUE0),
    )


class FWPM_PROVIDER0(ctypes.Structure):  # noqa: N801 - Windows' name
    _fields_ = (
        ("providerKey", GUID),
        ("displayData", FWPM_DISPLAY_DATA0),
        ("flags", ctypes.c_uint32),
        ("providerData", FWP_BYTE_BLOB),
        ("serviceName", wintypes.LPCWSTR),
    )


class FWPM_SUBLAYER0(ctypes.Structure):  # noqa: N801 - Windows' name
    _fields_ = (
        ("subLayerKey", GUID),
        ("displayData", FWPM_DISPLAY_DATA0),
        ("flags", ctypes.c_uint32),
        ("providerKey", ctypes.POINTER(GUID)),
        ("providerData", FWP_BYTE_BLOB),
        ("weight", ctypes.c_uint16),
    )


class FWPM_SESSION0(ctypes.Structure):  # noqa: N801 - Windows' name
    _fields_ = (
        ("sessionKey", GUID),
        ("displayData", FWPM_DISPLAY_DATA0),
        ("flags", ctypes.c_uint32),
        ("txnWaitTimeoutInMSec", ctypes.c_uint32),
        ("processId", ctypes.c_uint32),
        ("sid", ctypes.c_void_p),
        ("username", wintypes.LPWSTR),
        ("kernelMode", ctypes.c_int32),
    )


Call = Callable[..., int]
"""A function of the engine: its name, then its arguments; returns its number, 0 when it is good."""

SIGNATURES: Final[dict[str, list[Any]]] = {
    "FwpmEngineOpen0": [
        wintypes.LPCWSTR,
        ctypes.c_uint32,
        ctypes.c_void_p,
        ctypes.POINTER(FWPM_SESSION0),
        ctypes.POINTER(ctypes.c_void_p),
    ],
    "FwpmEngineClose0": [ctypes.c_void_p],
    "FwpmTransactionBegin0": [ctypes.c_void_p, ctypes.c_uint32],
    "FwpmTransactionCommit0": [ctypes.c_void_p],
    "FwpmTransactionAbort0": [ctypes.c_void_p],
    "FwpmProviderAdd0": [ctypes.c_void_p, ctypes.POINTER(FWPM_PROVIDER0), ctypes.c_void_p],
    "FwpmProviderDeleteByKey0": [ctypes.c_void_p, ctypes.POINTER(GUID)],
    "FwpmSubLayerAdd0": [ctypes.c_void_p, ctypes.POINTER(FWPM_SUBLAYER0), ctypes.c_void_p],
    "FwpmSubLayerDeleteByKey0": [ctypes.c_void_p, ctypes.POINTER(GUID)],
    "FwpmFilterAdd0": [
        ctypes.c_void_p,
        ctypes.POINTER(FWPM_FILTER0),
        ctypes.c_void_p,
        ctypes.c_void_p,
    ],
    "FwpmFilterDeleteByKey0": [ctypes.c_void_p, ctypes.POINTER(GUID)],
}


def library() -> Call:
    """The engine of this machine."""
    dll = ctypes.WinDLL("fwpuclnt", use_last_error=True)
    for name, types in SIGNATURES.items():
        function = getattr(dll, name)
        function.argtypes = types
        function.restype = ctypes.c_uint32

    def call(name: str, *arguments: object) -> int:
        return int(getattr(dll, name)(*arguments))

    return call


def carry_out(steps: Sequence[WfpStep], call: Call | None = None) -> None:
    """All steps or none. Raises CallError with the engine's number; then nothing was changed."""
    call = call or library()
    with engine(call) as handle, transaction(call, handle):
        for step in steps:
            _step(call, handle, step)


def remove(keys: Sequence[str], call: Call | None = None) -> None:
    """Delete these filters, then sublayer and provider; what is missing is fine."""
    call = call or library()
    with engine(call) as handle, transaction(call, handle):
        for key in keys:
            name = {
                firewall.SUBLAYER: "FwpmSubLayerDeleteByKey0",
                firewall.PROVIDER: "FwpmProviderDeleteByKey0",
            }.get(key, "FwpmFilterDeleteByKey0")
            _check(call(name, handle, ctypes.byref(guid(key))), f"{name} {key}", GONE)


@contextmanager
def engine(call: Call) -> Iterator[int]:
    """An open engine."""
    session = FWPM_SESSION0(
        displayData=FWPM_DISPLAY_DATA0("Octavo sandbox set-up", None), txnWaitTimeoutInMSec=WAIT_MS
    )
    handle = ctypes.c_void_p()
    _check(
        call(
            "FwpmEngineOpen0",
            None,
            RPC_C_AUTHN_WINNT,
            None,
            ctypes.byref(session),
            ctypes.byref(handle),
        ),
        "FwpmEngineOpen0",
    )
    try:
        yield int(handle.value or 0)
    finally:
        call("FwpmEngineClose0", handle)


@contextmanager
def transaction(call: Call, handle: int) -> Iterator[None]:
    """Committed at the end, aborted by whatever goes wrong inside."""
    _check(call("FwpmTransactionBegin0", handle, 0), "FwpmTransactionBegin0")
    try:
        yield
        _check(call("FwpmTransactionCommit0", handle), "FwpmTransactionCommit0")
    except BaseException:
        call("FwpmTransactionAbort0", handle)
        raise


def _step(call: Call, handle: int, step: WfpStep) -> None:
    match step.do:
        case "add provider":
            made = provider(step.key)
            code = call("FwpmProviderAdd0", handle, ctypes.byref(made), None)
        case "add sublayer":
            layer = sublayer(step.key)
            code = call("FwpmSubLayerAdd0", handle, ctypes.byref(layer), None)
        case "delete filter":
            code = call("FwpmFilterDeleteByKey0", handle, ctypes.byref(guid(step.key)))
        case "add filter":
            assert step.filter is not None
            wall = Filter(step.filter)
            code = call("FwpmFilterAdd0", handle, ctypes.byref(wall.raw), None, None)
    _check(code, f"{step.do} {step.key}", step.tolerated)


def _check(code: int, call: str, tolerated: Sequence[int] = ()) -> None:
    if code and code & 0xFFFFFFFF not in tolerated:
        raise CallError(call, code)


def guid(text: str) -> GUID:
    """The 16 bytes Windows means by this text."""
    return GUID.from_buffer_copy(uuid.UUID(text).bytes_le)


def provider(key: str) -> FWPM_PROVIDER0:
    """Ours, persistent."""
    return FWPM_PROVIDER0(
        providerKey=guid(key),
        displayData=FWPM_DISPLAY_DATA0(
            "Octavo sandbox", "Keeps sandboxed commands off the network"
        ),
        flags=firewall.PERSISTENT,
    )


def sublayer(key: str) -> FWPM_SUBLAYER0:
    """Ours, persistent."""
    return FWPM_SUBLAYER0(
        subLayerKey=guid(key),
        displayData=FWPM_DISPLAY_DATA0("Octavo sandbox", None),
        flags=firewall.PERSISTENT,
        providerKey=ctypes.pointer(guid(firewall.PROVIDER)),
        weight=firewall.SUBLAYER_WEIGHT,
    )


class Filter:
    """A filter and everything it points to; use `raw` while this lives."""

    def __init__(self, wanted: WfpFilter) -> None:
        descriptor = security(wanted.security)
        self._descriptor = ctypes.create_string_buffer(descriptor, len(descriptor))
        self._blob = FWP_BYTE_BLOB(len(descriptor), ctypes.addressof(self._descriptor))
        user = FWP_VALUE0(FWP_SECURITY_DESCRIPTOR_TYPE, FWP_UNION(sd=ctypes.pointer(self._blob)))
        value = (
            FWP_VALUE0(FWP_UINT8, FWP_UNION(uint8=wanted.value))
            if wanted.bits == 8
            else FWP_VALUE0(FWP_UINT16, FWP_UNION(uint16=wanted.value))
        )
        self._conditions = (FWPM_FILTER_CONDITION0 * 2)(
            FWPM_FILTER_CONDITION0(guid(firewall.USER_ID), FWP_MATCH_EQUAL, user),
            FWPM_FILTER_CONDITION0(guid(wanted.field), FWP_MATCH_EQUAL, value),
        )
        self._provider = guid(firewall.PROVIDER)
        self.raw = FWPM_FILTER0(
            filterKey=guid(wanted.key),
            displayData=FWPM_DISPLAY_DATA0(wanted.name, None),
            flags=firewall.PERSISTENT,
            providerKey=ctypes.pointer(self._provider),
            layerKey=guid(wanted.layer),
            subLayerKey=guid(firewall.SUBLAYER),
            numFilterConditions=2,
            filterCondition=ctypes.cast(self._conditions, ctypes.POINTER(FWPM_FILTER_CONDITION0)),
            action=FWPM_ACTION0(type=firewall.WFP_BLOCK),
        )


_advapi32: Final = ctypes.WinDLL("advapi32", use_last_error=True)
_convert: Final = _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW
_convert.argtypes = [
    wintypes.LPCWSTR,
    ctypes.c_uint32,
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.POINTER(ctypes.c_uint32),
]
_convert.restype = ctypes.c_int
kernel32.LocalFree.argtypes = [ctypes.c_void_p]
kernel32.LocalFree.restype = ctypes.c_void_p


def security(text: str) -> bytes:
    """A descriptor in one piece. Raises CallError for a text that is none."""
    found, size = ctypes.c_void_p(), ctypes.c_uint32()
    if not _convert(text, 1, ctypes.byref(found), ctypes.byref(size)):
        raise last_error("ConvertStringSecurityDescriptorToSecurityDescriptorW")
    try:
        return ctypes.string_at(found, size.value)
    finally:
        kernel32.LocalFree(found)
