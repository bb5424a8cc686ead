"""The goal of one thread, from its file and into it; loaded only where goals are switched on."""

from typing import TYPE_CHECKING, Final

from msgspec import ValidationError, convert, to_builtins

from octavo.engine.goals import GoalKeeper
from octavo.protocol.events import Goal, GoalCleared, GoalUpdated, Warned
from octavo.store.rollout import Other
from octavo.tools.goals import goal_tools

if TYPE_CHECKING:
    from octavo.engine.budget import Meter
    from octavo.engine.session import Session
    from octavo.protocol.seams import Clock
    from octavo.store.thread import LoadedThread

LINE: Final = "goal"
"""The kind of line in a rollout."""


class Goaling:
    """The keeper of a goal, and the tools that speak of it. `cap`: the most a goal may spend."""

    def __init__(
        self, cap: int | None, meter: "Meter", clock: "Clock", before: "LoadedThread | None"
    ) -> None:
        self.keeper = GoalKeeper(
            spent=lambda: meter.tokens,
            cap=cap,
            goal=None if before is None else goal_of(before.goal),
            now_s=lambda: clock.now_ms() // 1000,
        )
        self.tools = goal_tools(self.keeper)

    def begin(self, session: "Session") -> None:
        """From here on changes are written down and told."""

        def keep(goal: Goal | None) -> None:
            session.write(Other(LINE, to_builtins(goal)))
            session.publish(GoalCleared() if goal is None else GoalUpdated(goal=goal))

        self.keeper.keep = keep
        self.keeper.warn = lambda text: session.publish(Warned(message=text))


def goal_of(raw: object) -> Goal | None:
    """A goal as it was written down; None for anything else."""
    try:
        return convert(raw, Goal)
    except ValidationError:
        return None
