"""Goals: the model works on until something is reached, and says when it is.

The tools only translate; what a goal is and how far it is belongs to whoever is given as `Goals`
(`octavo.engine.goals.GoalKeeper`).
"""

from typing import Any, Final, Literal, Protocol

import msgspec
from msgspec import Struct

from octavo.model.request import FunctionTool
from octavo.protocol.errors import UsageError
from octavo.protocol.events import Goal, ItemCompleted, ItemStarted
from octavo.protocol.items import ToolUse
from octavo.tools.arguments import parsed, schema
from octavo.tools.base import Tool, ToolCall, ToolContext, ToolOutput

NAMES: Final = frozenset({"create_goal", "get_goal", "update_goal"})
Wish = Literal["complete", "blocked", "paused"]


class Goals(Protocol):
    """The goal of one thread; there is at most one that is not over."""

    def get(self) -> Goal | None:
        """The goal as it is now; None: there never was one."""
        ...

    def create(self, objective: str, token_budget: int | None) -> Goal:
        """A new goal. Raises UsageError while another one is being worked on."""
        ...

    def update(self, status: Wish) -> Goal:
        """Say how far it is. Raises UsageError when there is none, or it is too early."""
        ...


class CreateArguments(Struct):
    """Of `create_goal`."""

    objective: str
    token_budget: int | None = None


class UpdateArguments(Struct):
    """Of `update_goal`."""

    status: Wish


SPECS: Final = (
    FunctionTool(
        name="create_goal",
        description="Begin a goal: you are asked to go on until it is reached. Only when the user "
        "asks for a goal in so many words; not for ordinary tasks.",
        parameters=schema(
            {
                "objective": {
                    "type": "string",
                    "description": "What has to be true at the end, in the user's terms.",
                },
                "token_budget": {
                    "type": "integer",
                    "description": "Only when the user named one: the most tokens to spend.",
                },
            },
            required=("objective",),
        ),
    ),
    FunctionTool(
        name="get_goal",
        description="The goal of this thread, how far it is, and what is left of its budget.",
        parameters=schema({}),
    ),
    FunctionTool(
        name="update_goal",
        description="`complete`: everything the goal asks for is there, and you have looked. "
        "`blocked`: the same obstacle has stopped you three times in a row and only the user can "
        "remove it. `paused`: the user wants to stop for now. Being nearly done, or low on "
        "budget, is none of these.",
        parameters=schema(
            {"status": {"type": "string", "enum": ["complete", "blocked", "paused"]}},
            required=("status",),
        ),
    ),
)


class GoalTool:
    """One of the three."""

    parallel = False

    def __init__(self, spec: FunctionTool, goals: Goals) -> None:
        self.spec = spec
        self._goals = goals

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Do it. Raises UsageError."""
        item = ToolUse(id=call.item_id, tool=call.name, arguments=call.arguments)
        context.emit(ItemStarted(turn_id=context.turn_id, item=item))
        try:
            goal = self._do(call)
        except UsageError as error:
            ended = msgspec.structs.replace(item, output=str(error), status="failed")
            context.emit(ItemCompleted(turn_id=context.turn_id, item=ended))
            raise
        text = msgspec.json.encode(shown(goal)).decode()
        ended = msgspec.structs.replace(item, output=text, status="completed")
        context.emit(ItemCompleted(turn_id=context.turn_id, item=ended))
        return ToolOutput(output=text)

    def _do(self, call: ToolCall) -> Goal | None:
        match call.name:
            case "create_goal":
                asked = parsed(call, CreateArguments)
                return self._goals.create(asked.objective, asked.token_budget)
            case "update_goal":
                return self._goals.update(parsed(call, UpdateArguments).status)
            case _:
                return self._goals.get()


def goal_tools(goals: Goals) -> tuple[Tool, ...]:
    """The three tools for one thread's goal."""
    return tuple(GoalTool(spec, goals) for spec in SPECS)


def shown(goal: Goal | None) -> dict[str, Any]:
    """A goal as the model reads it."""
    if goal is None:
        return {"goal": None}
    return {"goal": msgspec.to_builtins(goal), "tokens_left": goal.tokens_left}
