"""What is different in a turn of plan mode: the same place, where nothing can be written.

Loaded with the first such turn.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from octavo.api.workspace import workspace
from octavo.engine.modes import PLAN
from octavo.engine.session import Planning, Workspace
from octavo.policy.paths import depth, parent
from octavo.policy.profile import EffectiveProfile
from octavo.protocol.permissions import Access, FileRule
from octavo.sandbox.launcher import Launcher
from octavo.sandbox.wish import Wish
from octavo.tools.launcher import ProfileAccess
from octavo.tools.planning import InsideOnly, PlanRegistry
from octavo.tools.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from octavo.model.request import Effort
    from octavo.tools.base import Launcher as Starts
    from octavo.tools.base import Tool


class InPlanMode:
    """Makes the frame of such turns for one thread."""

    def __init__(
        self,
        profile: EffectiveProfile,
        *,
        launcher: Launcher,
        wish: Wish,
        tools: Registry,
        more: Iterable["Tool"],
        trusted: Iterable["Tool"],
        effort: "Effort | None",
        told: bool,
        watch: "Callable[[Workspace], None] | None",
    ) -> None:
        """`told`: the model is told of the mode; `watch` stands beside each start of a command."""
        self._profile = read_only(profile)
        self._launcher = launcher
        self._wish = wish
        self._tools = PlanRegistry(tools, more=more, trusted=trusted)
        self._effort = effort
        self._told = told
        self._watch = watch

    def __call__(self, usual: Workspace) -> Planning:
        """For a turn that begins now."""
        place = workspace(
            self._profile,
            cwd=usual.cwd,
            launcher=self._launcher,
            wish=self._wish,
            environment=usual.environment,
            shell=usual.shell,
            surroundings=replace(
                usual.surroundings,
                entries=(),
                approved=(),
                approval=PLAN,
                mode=PLAN if self._told else usual.surroundings.mode,
            ),
        )
        place.launcher = inside_only(place.launcher)
        place.access = LooksOnly(self._profile)
        place.located = usual.located
        if self._watch is not None:
            self._watch(place)
        return Planning(workspace=place, tools=self._tools, effort=self._effort)


def inside_only(launcher: "Starts") -> "Starts":
    """The launcher, for which there is no outside."""
    return InsideOnly(launcher)


class LooksOnly(ProfileAccess):
    """What may be touched while planning: nothing runs outside the sandbox, no rule changes that."""

    @property
    def hides(self) -> bool:
        return True


def read_only(profile: EffectiveProfile) -> EffectiveProfile:
    """The same reads, no writes, the same network.

    What is hidden stays hidden; a profile without limits becomes one that reads everything.
    """
    kept: dict[str, FileRule] = {}
    for rule in sorted(profile.rules, key=lambda one: (depth(one.path), one.path)):
        reads = rule.access is not Access.NONE
        same = reads and rule.path != "/" and reads_at(kept, parent(rule.path))
        if not same:
            access = Access.READ if reads else Access.NONE
            kept[rule.path] = replace(rule, access=access, stand_in=None)
    aliases = tuple(replace(rule, access=min(rule.access, Access.READ)) for rule in profile.aliases)
    known = profile.mode is not None
    return replace(
        profile,
        name="read-only" if known else profile.name,
        mode="read-only" if known else None,
        rules=tuple(kept.values()),
        aliases=aliases,
        unrestricted=False,
        tmpdir=None,
        slash_tmp=None,
    )


def reads_at(kept: dict[str, FileRule], path: str) -> bool:
    """May this path be read by the rules kept so far?"""
    while path not in kept:
        if path == "/":
            return False
        path = parent(path)
    return kept[path].access is not Access.NONE
