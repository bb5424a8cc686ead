"""The one place that chooses a platform room."""

import sys

if sys.platform == "linux":
    from octavo.sandbox.linux import disk, mountpoints, oneshot, status

    __all__ = ["disk", "mountpoints", "oneshot", "status"]
