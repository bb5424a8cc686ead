"""A thread that works on a copy-on-write view of its folder: what is different then.

Loaded only for such threads. Every way around the view is closed: nothing runs or is written
outside the sandbox, and what this program reads itself it reads through the layer of changes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from octavo.api.planning import LooksOnly, inside_only
from octavo.policy.paths import printable
from octavo.policy.profile import EffectiveProfile
from octavo.protocol.errors import UsageError
from octavo.protocol.ids import ThreadId
from octavo.sandbox.wish import Wish
from octavo.store.overlay import Layers, Located, Overlay, begin, drop, find, refused

if TYPE_CHECKING:
    from octavo.api.options import ThreadOptions
    from octavo.engine.session import Workspace


class Overlaid(Struct, frozen=True):
    """The view of one thread."""

    overlay: Overlay
    warnings: tuple[str, ...]

    @property
    def root(self) -> str:
        """The folder whose changes are kept apart."""
        return self.overlay.workspace

    @property
    def located(self) -> Callable[[str], Located]:
        """Finds what commands see at a path."""
        return Layers(self.root, self.overlay.upper)

    def wish(self, wish: Wish) -> Wish:
        """What the sandbox is asked for."""
        return replace(wish, overlay=self.overlay.layers)

    def close_in(self, place: "Workspace", profile: EffectiveProfile) -> None:
        """From here on there is no outside, and files are read as commands see them."""
        place.launcher = inside_only(place.launcher)
        place.access = LooksOnly(profile)
        place.located = self.located


def overlaid(
    home: str,
    thread: ThreadId,
    cwd: str,
    profile: EffectiveProfile,
    options: "ThreadOptions",
) -> Overlaid | None:
    """The view a thread works in: the one it was asked to, or the one it worked in before.

    Raises SandboxUnavailable where none can be, UsageError for a thread that is not kept.
    """
    owner = ThreadId(options.overlay_of or thread)
    before = find(home, owner)
    if before is not None and before.empty and not options.overlay and not options.overlay_of:
        drop(before)
        before = None
    if before is None and options.overlay_of is not None and owner != thread:
        raise refused(f"the overlay of thread {owner} is gone", "start again")
    if before is None and not options.overlay:
        return None
    if options.ephemeral and not options.overlay_of:
        raise UsageError("--overlay needs a thread that is kept: leave --ephemeral out")
    if profile.unrestricted:
        raise refused("danger-full-access has no sandbox that could hold it", "use another mode")
    found = begin(home, owner, cwd)
    said: tuple[str, ...] = ()
    if options.overlay_of is None and before is not None:
        where = printable(found.workspace)
        ends = f"`octavo keep {thread}` or `octavo drop {thread}`"
        said = (f"goes on in its overlay of {where}, neither kept nor dropped so far: {ends}",)
    return Overlaid(found, said)
