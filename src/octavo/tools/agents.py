"""Sub-agents: the model gives part of its work to other threads, and waits for what they find.

The tools only translate; who starts threads is given as `Agents`. Names, fields and limits are
those of the published program (`multi_agent_v1`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from octavo.model.request import FunctionTool, NamespaceTool
from octavo.protocol.errors import UsageError
from octavo.protocol.events import ItemCompleted, ItemStarted
from octavo.protocol.items import ToolUse
from octavo.tools.arguments import parsed, schema
from octavo.tools.base import ToolCall, ToolContext, ToolOutput

NAMESPACE: Final = "multi_agent_v1"
WAIT_MS: Final = 30_000
SHORTEST_WAIT_MS: Final = 10_000
LONGEST_WAIT_MS: Final = 3_600_000
FINAL: Final = ("completed", "errored", "interrupted", "shutdown", "not_found")


class Status(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far an agent is."""

    state: str
    """pending_init, running, interrupted, completed, errored, shutdown or not_found."""
    message: str | None = None
    """Its last words, or what went wrong."""

    @property
    def final(self) -> bool:
        """It does nothing more by itself."""
        return self.state in FINAL

    def wire(self) -> str | dict[str, str]:
        """As the model reads it."""
        if self.state in ("completed", "errored"):
            return {self.state: self.message or ""}
        return self.state


class Spawn(Struct, frozen=True, kw_only=True):
    """What a new agent is to do, and with what."""

    message: str
    role: str | None = None
    fork: bool = False
    """It knows the conversation so far."""
    model: str | None = None
    effort: str | None = None


class Agents(Protocol):
    """Starts and ends threads for one thread; `octavo.api.agents.Crew` is the real one."""

    @property
    def roles(self) -> Mapping[str, str]:
        """Roles of the settings, each with its description."""
        ...

    async def spawn(self, wish: Spawn) -> tuple[str, str]:
        """Start one: its id and its nickname. Raises UsageError (too many, too deep)."""
        ...

    async def send(self, target: str, message: str, *, interrupt: bool) -> None:
        """More work for one: after what it does, or instead of it. Raises UsageError."""
        ...

    async def wait(self, targets: Sequence[str], timeout_s: float) -> Mapping[str, Status]:
        """Until one of them is final or the time is over: those that are final."""
        ...

    async def close(self, target: str) -> Status:
        """End one and all it has started; its status before. Raises UsageError."""
        ...

    async def resume(self, target: str) -> Status:
        """Open one again that was closed. Raises UsageError."""
        ...


class Item(Struct):
    """A part of a message."""

    type: str = "text"
    text: str | None = None
    path: str | None = None
    name: str | None = None


class SpawnArguments(Struct):
    """Of `spawn_agent`."""

    message: str | None = None
    items: tuple[Item, ...] | None = None
    agent_type: str | None = None
    fork_context: bool = False
    model: str | None = None
    reasoning_effort: str | None = None


class SendArguments(Struct):
    """Of `send_input`."""

    target: str
    message: str | None = None
    items: tuple[Item, ...] | None = None
    interrupt: bool = False


class WaitArguments(Struct):
    """Of `wait_agent`."""

    targets: tuple[str, ...]
    timeout_ms: float | None = None


class Target(Struct):
    """Of `close_agent`."""

    target: str


class Id(Struct):
    """Of `resume_agent`."""

    id: str


ITEMS: Final = {
    "type": "array",
    "items": schema(
        {"type": {"type": "string"}, "text": {"type": "string"}, "path": {"type": "string"}}
    ),
}
MESSAGE: Final = {"message": {"type": "string"}, "items": ITEMS}


def spec(roles: Mapping[str, str]) -> NamespaceTool:
    """The tools as the model is told, with the user's roles."""
    known = "".join(f" `{name}`: {text}" for name, text in roles.items())
    role = {"type": "string", "description": f"A role of the settings.{known}"}
    agent = {"type": "string", "description": "The id that `spawn_agent` gave."}
    return NamespaceTool(
        name=NAMESPACE,
        description="Work side by side: give clear, independent parts of a task to other agents.",
        tools=(
            FunctionTool(
                name="spawn_agent",
                description="Start an agent on a task of its own, in the same folder and sandbox. "
                "Say all it needs to know; it sees nothing else. Returns its id.",
                parameters=schema(
                    {
                        **MESSAGE,
                        **({"agent_type": role} if roles else {}),
                        "fork_context": {
                            "type": "boolean",
                            "description": "It sees this conversation.",
                        },
                        "model": {"type": "string"},
                        "reasoning_effort": {"type": "string"},
                    }
                ),
            ),
            FunctionTool(
                name="send_input",
                description="Give an agent more to do; `interrupt` stops what it does now.",
                parameters=schema(
                    {"target": agent, **MESSAGE, "interrupt": {"type": "boolean"}},
                    required=("target",),
                ),
            ),
            FunctionTool(
                name="wait_agent",
                description="Wait until one of these agents has ended its turn. Prefer long waits. "
                "An empty status means that the time was over first.",
                parameters=schema(
                    {
                        "targets": {"type": "array", "items": {"type": "string"}},
                        "timeout_ms": {
                            "type": "number",
                            "description": f"{SHORTEST_WAIT_MS} to {LONGEST_WAIT_MS}; "
                            f"usually {WAIT_MS}.",
                        },
                    },
                    required=("targets",),
                ),
            ),
            FunctionTool(
                name="close_agent",
                description="End an agent that is no longer needed, and all it has started.",
                parameters=schema({"target": agent}, required=("target",)),
            ),
            FunctionTool(
                name="resume_agent",
                description="Open a closed agent again.",
                parameters=schema({"id": agent}, required=("id",)),
            ),
        ),
    )


class AgentTools:
    """The five tools over one `Agents`."""

    parallel = True

    def __init__(self, agents: Agents) -> None:
        self._agents = agents
        self.spec = spec(agents.roles)

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Do one of the five. Raises UsageError."""
        item = ToolUse(id=call.item_id, tool=call.name, arguments=call.arguments)
        context.emit(ItemStarted(turn_id=context.turn_id, item=item))
        try:
            found = await self._do(call)
        except UsageError as error:
            ended = msgspec.structs.replace(item, output=str(error), status="failed")
            context.emit(ItemCompleted(turn_id=context.turn_id, item=ended))
            raise
        text = msgspec.json.encode(found).decode()
        ended = msgspec.structs.replace(item, output=text, status="completed")
        context.emit(ItemCompleted(turn_id=context.turn_id, item=ended))
        return ToolOutput(output=text)

    async def _do(self, call: ToolCall) -> dict[str, Any]:
        match call.name:
            case "spawn_agent":
                return await self._spawn(parsed(call, SpawnArguments))
            case "send_input":
                asked = parsed(call, SendArguments)
                text = message_of(asked.message, asked.items)
                await self._agents.send(asked.target, text, interrupt=asked.interrupt)
                return {"submitted": True}
            case "wait_agent":
                return await self._wait(parsed(call, WaitArguments))
            case "close_agent":
                before = await self._agents.close(parsed(call, Target).target)
                return {"previous_status": before.wire()}
            case _:
                now = await self._agents.resume(parsed(call, Id).id)
                return {"status": now.wire()}

    async def _spawn(self, asked: SpawnArguments) -> dict[str, Any]:
        agent, nickname = await self._agents.spawn(
            Spawn(
                message=message_of(asked.message, asked.items),
                role=asked.agent_type,
                fork=asked.fork_context,
                model=asked.model,
                effort=asked.reasoning_effort,
            )
        )
        return {"agent_id": agent, "nickname": nickname}

    async def _wait(self, asked: WaitArguments) -> dict[str, Any]:
        if not asked.targets:
            raise UsageError("`targets` is empty: say which agents to wait for")
        wanted = WAIT_MS if asked.timeout_ms is None else asked.timeout_ms
        ms = min(max(wanted, SHORTEST_WAIT_MS), LONGEST_WAIT_MS)
        found = await self._agents.wait(asked.targets, ms / 1000)
        return {
            "status": {agent: status.wire() for agent, status in found.items()},
            "timed_out": not found,
        }


def message_of(message: str | None, items: Sequence[Item] | None) -> str:
    """The task in words. Raises UsageError when there is none, or it is said twice."""
    if message is not None and items:
        raise UsageError("give `message` or `items`, not both")
    parts = [message] if message is not None else [part_of(item) for item in items or ()]
    text = "\n".join(part for part in parts if part)
    if not text.strip():
        raise UsageError("the message is empty: say what the agent is to do")
    return text


def part_of(item: Item) -> str:
    if item.text is not None:
        return item.text
    return f"[{item.type}: {item.path or item.name}]" if item.path or item.name else ""
