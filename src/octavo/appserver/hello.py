"""How a client and the server introduce themselves. Light: answered before an engine is loaded."""

import os
import sys
from typing import Final

from msgspec import Struct

from octavo._version import __version__

PROTOCOL: Final = "0.169.0"
"""The release whose protocol this is; clients look at the number after their own name."""


class ClientInfo(Struct, frozen=True, kw_only=True, rename="camel"):
    """Who connects."""

    name: str
    version: str
    title: str | None = None


class Capabilities(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client can do and wants."""

    experimental_api: bool = False
    opt_out_notification_methods: tuple[str, ...] | None = None


class Initialize(Struct, frozen=True, kw_only=True, rename="camel"):
    """`initialize`."""

    client_info: ClientInfo
    capabilities: Capabilities | None = None


def welcome(asked: Initialize, home: str) -> dict[str, str]:
    """What the server says of itself."""
    info = asked.client_info
    return {
        "userAgent": f"{info.name}/{PROTOCOL} ({system()}) octavo/{__version__} "
        f"({info.name}; {info.version})",
        "codexHome": home,
        "platformFamily": "windows" if sys.platform == "win32" else "unix",
        "platformOs": {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux"),
    }


def system() -> str:
    """The system with its version and its machine."""
    if sys.platform == "win32":
        found = sys.getwindowsversion()
        return f"Windows {found.major}.{found.minor}; {os.environ.get('PROCESSOR_ARCHITECTURE')}"
    else:  # noqa: RET505 - the checker takes only an else for the other platforms
        name = os.uname()
        return f"{name.sysname} {name.release}; {name.machine}"
