"""The plan is passed on as it is."""

import json

import pytest

from octavo.protocol.errors import UsageError
from octavo.protocol.events import PlanStep, PlanUpdated
from octavo.tools.plan import UpdatePlan


async def test_steps_are_told(world):
    plan = [{"step": "look", "status": "completed"}, {"step": "fix", "status": "in_progress"}]
    call = world.call("update_plan", json.dumps({"plan": plan, "explanation": "why"}))
    assert (await UpdatePlan().run(call, world.context())).output == "Plan updated"
    steps = (PlanStep(text="look", status="completed"), PlanStep(text="fix", status="in_progress"))
    assert world.events == [PlanUpdated(turn_id="turn", steps=steps, explanation="why")]


async def test_another_status_is_refused(world):
    call = world.call("update_plan", '{"plan": [{"step": "x", "status": "done"}]}')
    with pytest.raises(UsageError, match="done"):
        await UpdatePlan().run(call, world.context())
    assert world.events == []
