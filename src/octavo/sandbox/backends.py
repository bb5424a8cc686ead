"""The one place that chooses a platform room."""

import sys

if sys.platform == "linux":
    from octavo.sandbox.linux import disk, oneshot, shared, status

    __all__ = [
        "control_group",
        "disk",
        "find_bubblewrap",
        "linux_relay",
        "linux_warm",
        "mount_points",
        "oneshot",
        "shared",
        "status",
        "step",
    ]

    def mount_points(journal: str, creates: "tuple[tuple[str, str], ...]") -> "MountPoints":
        """Entries to make on the host, and to remove afterwards."""
        from octavo.sandbox.linux import mountpoints  # noqa: PLC0415 - most commands need none

        return mountpoints.MountPoints(journal, creates)

    def control_group(limits: "tuple[tuple[str, int], ...]", rung: str) -> "Group | None":
        """A group that holds the limits on memory and processes, where that is possible."""
        from octavo.sandbox.linux import cgroup  # noqa: PLC0415 - only commands with limits

        return cgroup.make(limits, rung)

    def find_bubblewrap() -> str:
        """An installed bubblewrap, or ""."""
        from octavo.sandbox.linux import bubblewrap  # noqa: PLC0415 - only after the native way failed

        return bubblewrap.find()

    def step(spec: "tuple[str, ...]") -> "Step":
        """The step a plan names, to describe it."""
        from octavo.sandbox.linux import view  # noqa: PLC0415 - only for people who ask

        return view.step(spec)

    def linux_warm() -> "tuple[ModuleType, ModuleType]":
        """The application's side of the warm way, and the reader of refused calls."""
        from octavo.sandbox.linux import launch, notify  # noqa: PLC0415 - not on the short way

        return launch, notify

    def linux_relay() -> "ModuleType":
        """The short way when bytes pass through us."""
        from octavo.sandbox.linux import relay  # noqa: PLC0415 - not on the short way

        return relay

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from types import ModuleType

        from octavo.sandbox.linux.cgroup import Group
        from octavo.sandbox.linux.mountpoints import MountPoints
        from octavo.sandbox.linux.view import Step


if sys.platform == "darwin":

    def macos() -> "tuple[ModuleType, ModuleType]":
        """Starting commands under Seatbelt, and reading its denials from the system log."""
        from octavo.sandbox.macos import denials, launch  # noqa: PLC0415 - only when a command runs

        return launch, denials

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from types import ModuleType


if sys.platform == "win32":

    def windows_tools() -> "tuple[ModuleType, ModuleType, ModuleType]":
        """Set-up, what `doctor` looks at, and taking entries back."""
        from octavo.sandbox.win32 import doctor, elevate, undo  # noqa: PLC0415 - only for people who ask

        return elevate, doctor, undo

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from types import ModuleType


if sys.platform == "win32":

    def windows_platform(session: "Session") -> "Platform":
        """Starting confined commands."""
        from octavo.sandbox.win32 import launch  # noqa: PLC0415 - only when a command runs

        return launch.Platform(session)

    TYPE_CHECKING = False
    if TYPE_CHECKING:
        from octavo.sandbox.session import Session
        from octavo.sandbox.win32.launch import Platform
