"""What a turn leaves in a rollout."""

from octavo.protocol.content import InputText, OutputText, TextInput
from octavo.protocol.history import FunctionCall, FunctionCallOutput, Message
from octavo.protocol.items import AgentMessage, CommandExecution, UserMessage
from octavo.protocol.usage import TokenUsage
from octavo.store.display import completed
from octavo.store.rollout import (
    ResponseItem,
    TaskComplete,
    TaskStarted,
    TokenCount,
    TokenInfo,
    TokenUsageRecord,
    TurnContext,
)

NOON = 1_763_726_412_061


def turn(thread, turn_id, prompt):
    """What a turn with one command leaves."""
    call = f"call_{turn_id}"
    usage = TokenUsage(input=100, output=10, total=110)
    ran = CommandExecution(
        id=call, command=("ls", "-l"), cwd="/work/a b", status="completed",
        aggregated_output="README\n", exit_code=0, duration_ms=1234,
    )  # fmt: skip
    shown = [
        UserMessage(id=f"u_{turn_id}", content=(TextInput(text=prompt),)),
        ran,
        AgentMessage(id=f"a_{turn_id}", text=f"answer to {prompt}", phase="final_answer"),
    ]
    lines = [completed(item, thread_id=thread, turn_id=turn_id, at_ms=NOON) for item in shown]
    return [
        TaskStarted(turn_id=turn_id, started_at=NOON // 1000, model_context_window=1000),
        TurnContext(
            turn_id=turn_id, cwd="/work", model="m", approval_policy="never",
            sandbox_policy={"type": "read-only"},
        ),
        ResponseItem(Message(role="user", content=(InputText(text=prompt),))),
        lines[0],
        ResponseItem(FunctionCall(name="exec_command", arguments="{}", call_id=call)),
        lines[1],
        ResponseItem(FunctionCallOutput(call_id=call, output="README\n")),
        ResponseItem(Message(role="assistant", content=(OutputText(text=f"answer to {prompt}"),))),
        lines[2],
        TokenUsageRecord(turn_id=turn_id, response_id="r1", usage=usage),
        TokenCount(info=TokenInfo(total_token_usage=usage, last_token_usage=usage)),
        TaskComplete(turn_id=turn_id, last_agent_message=f"answer to {prompt}", duration_ms=5),
    ]  # fmt: skip
