"""The one place that chooses a platform room."""

import sys

if sys.platform == "linux":
    from octavo.sandbox.linux import disk, mountpoints, oneshot, status

    __all__ = ["disk", "find_bubblewrap", "mountpoints", "oneshot", "status"]

    def find_bubblewrap() -> str:
        """An installed bubblewrap, or ""."""
        from octavo.sandbox.linux import bubblewrap  # noqa: PLC0415 - only after the native way failed

        return bubblewrap.find()
