"""`update_plan`: the model writes down its steps, for people to see."""

from typing import Final, Literal

from msgspec import Struct

from octavo.model.request import FunctionTool
from octavo.protocol.events import PlanStep, PlanUpdated
from octavo.tools.arguments import parsed, schema
from octavo.tools.base import ToolCall, ToolContext, ToolOutput


class Step(Struct):
    """As the model writes it."""

    step: str
    status: Literal["pending", "in_progress", "completed"]


class Arguments(Struct):
    """Of `update_plan`."""

    plan: tuple[Step, ...]
    explanation: str | None = None


SPEC: Final = FunctionTool(
    name="update_plan",
    description="Show your plan to the user: the steps and how far each is. At most one step is "
    "in progress. The plan you send replaces the one before.",
    parameters=schema(
        {
            "plan": {
                "type": "array",
                "items": schema(
                    {
                        "step": {"type": "string"},
                        "status": {
                            "type": "string",
                            "enum": ["pending", "in_progress", "completed"],
                        },
                    },
                    required=("step", "status"),
                ),
            },
            "explanation": {"type": "string", "description": "Why it changed."},
        },
        required=("plan",),
    ),
)


class UpdatePlan:
    """Passes the plan on."""

    spec = SPEC
    parallel = False

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Tell clients. Raises UsageError for bad arguments."""
        asked = parsed(call, Arguments)
        steps = tuple(PlanStep(text=one.step, status=one.status) for one in asked.plan)
        context.emit(
            PlanUpdated(turn_id=context.turn_id, steps=steps, explanation=asked.explanation)
        )
        return ToolOutput(output="Plan updated")
