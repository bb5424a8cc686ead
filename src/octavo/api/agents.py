"""The agents that one thread has started: threads of the same engine, under the same limits.

They share the folder, the sandbox, whoever approves, and one budget. All of them end with the
thread that started them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from octavo.api.options import ThreadOptions
from octavo.protocol.errors import OctavoError, UsageError
from octavo.protocol.events import Ending, TurnCompleted, TurnFailed
from octavo.tools.agents import Spawn, Status

if TYPE_CHECKING:
    from octavo.api.engine import Engine
    from octavo.api.thread import Thread
    from octavo.engine.session import Session

NICKNAMES: Final = (
    "Ada", "Bo", "Cato", "Dora", "Emil", "Fay", "Gus", "Hedy", "Ivo", "Jo", "Kai", "Lea",
)  # fmt: skip
KNOWN: Final = ("enabled", "max_concurrent_threads_per_session", "max_threads", "max_depth",
    "default_subagent_model", "default_subagent_reasoning_effort", "interrupt_message")  # fmt: skip


class Limits(Struct, frozen=True, kw_only=True):
    """What `[agents]` says."""

    enabled: bool = True
    threads: int = 6
    depth: int = 1
    model: str | None = None
    effort: str | None = None
    roles: Mapping[str, str] = {}


def limits_of(table: Mapping[str, object]) -> Limits:
    """The `[agents]` table; wrong kinds of values are as if they were not there."""
    most = table.get("max_concurrent_threads_per_session", table.get("max_threads"))
    depth = table.get("max_depth")
    model = table.get("default_subagent_model")
    effort = table.get("default_subagent_reasoning_effort")
    roles = {
        name: str(one.get("description", ""))
        for name, one in table.items()
        if name not in KNOWN and isinstance(one, Mapping)
    }
    return Limits(
        enabled=table.get("enabled") is not False,
        threads=most if isinstance(most, int) and most > 0 else 6,
        depth=depth if isinstance(depth, int) and depth >= 0 else 1,
        model=model if isinstance(model, str) else None,
        effort=effort if isinstance(effort, str) else None,
        roles=roles,
    )


class Agent:
    """One agent: its thread while it is open, and how far it is."""

    def __init__(self, thread: "Thread", nickname: str, role: str) -> None:
        self.id = str(thread.id)
        self.nickname = nickname
        self.role = role
        self.thread: Thread | None = thread
        self.status = Status(state="pending_init")
        self.inbox: asyncio.Queue[str] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None
        self.objected = False
        """A hook had it go on the last time."""


class Crew:
    """The agents of one thread. `options` are those of the thread itself."""

    def __init__(self, limits: Limits, options: ThreadOptions, group: asyncio.TaskGroup) -> None:
        self._limits = limits
        self._options = options
        self._group = group
        self._agents: dict[str, Agent] = {}
        self._news = asyncio.Condition()
        self.engine: Engine | None = None
        self.parent_session: Session | None = None
        self.parent: str = ""
        self.cwd: str = ""

    @property
    def roles(self) -> Mapping[str, str]:
        """Roles of the settings, each with its description."""
        return self._limits.roles

    # ---- what the tools ask for -------------------------------------------------------------

    async def spawn(self, wish: Spawn) -> tuple[str, str]:
        """Start an agent on its task."""
        self._room(wish.role)
        assert self.engine is not None
        options = self._child(wish)
        thread = await self.engine.open_thread(options, fork=self.parent if wish.fork else None)
        number = len(self._agents)
        nickname = NICKNAMES[number % len(NICKNAMES)]
        agent = Agent(thread, nickname, wish.role or "default")
        self._agents[agent.id] = agent
        await self._announced(agent)
        self._begin(agent, wish.message)
        return agent.id, nickname

    async def send(self, target: str, message: str, *, interrupt: bool) -> None:
        """More work, after what it does now or instead of it."""
        agent = self._open(target)
        assert agent.thread is not None
        if interrupt:
            await agent.thread.interrupt()
        if agent.task is None or agent.task.done():
            self._begin(agent, message)
        else:
            agent.inbox.put_nowait(message)

    async def wait(self, targets: Sequence[str], timeout_s: float) -> Mapping[str, Status]:
        """Those that are final, as soon as one is; none when the time is over."""
        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(lambda: self._final(targets))
        except TimeoutError:
            return {}
        return self._final(targets)

    async def close(self, target: str) -> Status:
        """End it and what it has started."""
        agent = self._open(target)
        before = agent.status
        await self._end(agent)
        await self._tell(agent, Status(state="shutdown"))
        return before

    async def resume(self, target: str) -> Status:
        """Open a closed one again."""
        agent = self._agents.get(target)
        if agent is None:
            raise UsageError(f"there is no agent {target}")
        if agent.thread is not None:
            return agent.status
        self._room(None)
        assert self.engine is not None
        agent.thread = await self.engine.reopen_thread(target, self._child(Spawn(message="")))
        await self._tell(agent, Status(state="interrupted"))
        return agent.status

    async def interrupt_all(self) -> None:
        """The turn that waits for them was stopped: so is what they do."""
        for agent in self._agents.values():
            while not agent.inbox.empty():
                agent.inbox.get_nowait()
            if agent.thread is not None:
                await agent.thread.interrupt()

    async def close_all(self) -> None:
        """The thread ends: so do they."""
        for agent in self._agents.values():
            await self._end(agent)

    # ---- one agent ----------------------------------------------------------------------------

    def _begin(self, agent: Agent, message: str) -> None:
        agent.inbox.put_nowait(message)
        agent.status = Status(state="running")
        agent.task = self._group.create_task(self._work(agent), name=f"agent {agent.nickname}")

    async def _work(self, agent: Agent) -> None:
        """Turn after turn, until nothing more is asked."""
        while not agent.inbox.empty():
            message = agent.inbox.get_nowait()
            thread = agent.thread
            if thread is None:
                return
            await self._tell(agent, Status(state="running"))
            try:
                status = await self._turn(thread, message)
            except OctavoError as error:
                status = Status(state="errored", message=str(error))
            if status.state == "completed":
                await self._objections(agent, status)
            if agent.inbox.empty():
                await self._tell(agent, status)

    @staticmethod
    async def _turn(thread: "Thread", message: str) -> Status:
        ending: Ending | None = None
        async with thread.stream(message) as turn:
            async for event in turn:
                if isinstance(event, Ending):
                    ending = event
        match ending:
            case TurnCompleted(last_message=said):
                return Status(state="completed", message=said)
            case TurnFailed(message=why):
                return Status(state="errored", message=why)
            case _:
                return Status(state="interrupted")

    async def _announced(self, agent: Agent) -> None:
        """Hooks hear of it; what they say stands before its task."""
        session = self.parent_session
        if session is None or session.parts.hooks is None or session.turn_id is None:
            return
        said = await session.parts.hooks.subagent_started(session.turn_id, agent.id, agent.role)
        if said and agent.thread is not None:
            agent.thread.tell(said)

    async def _objections(self, agent: Agent, status: Status) -> None:
        """Hooks may have it go on."""
        session = self.parent_session
        if session is None or session.parts.hooks is None or session.turn_id is None:
            return
        if agent.thread is None:
            return
        said = await session.parts.hooks.subagent_may_end(
            session.turn_id,
            agent.id,
            agent.role,
            transcript=agent.thread.path,
            last_message=status.message,
            active=agent.objected,
        )
        agent.objected = bool(said.messages)
        for message in said.messages:
            agent.inbox.put_nowait(message.text)

    async def _end(self, agent: Agent) -> None:
        thread, agent.thread = agent.thread, None
        if thread is not None:
            await thread.close()
        if agent.task is not None and not agent.task.done():
            agent.task.cancel()
            await asyncio.wait([agent.task])

    async def _tell(self, agent: Agent, status: Status) -> None:
        agent.status = status
        async with self._news:
            self._news.notify_all()

    def _final(self, targets: Sequence[str]) -> dict[str, Status]:
        missing = Status(state="not_found")
        states = {
            target: self._agents[target].status if target in self._agents else missing
            for target in targets
        }
        return {target: status for target, status in states.items() if status.final}

    def _open(self, target: str) -> Agent:
        agent = self._agents.get(target)
        if agent is None or agent.thread is None:
            known = ", ".join(one.id for one in self._agents.values() if one.thread is not None)
            raise UsageError(f"there is no open agent {target}; open are: {known or 'none'}")
        return agent

    def _room(self, role: str | None) -> None:
        """May there be one more? Raises UsageError."""
        if self._options.depth >= self._limits.depth:
            raise UsageError("an agent at this depth starts no others: do the work yourself")
        count = sum(agent.thread is not None for agent in self._agents.values())
        if count >= self._limits.threads:
            raise UsageError(
                f"{count} agents are open, which is the most: close one that is no longer needed"
            )
        if role is not None and role not in self._limits.roles:
            known = ", ".join(self._limits.roles) or "none"
            raise UsageError(f"there is no role {role!r}; roles are: {known}")

    def _child(self, wish: Spawn) -> ThreadOptions:
        role = None if wish.role is None else self._limits.roles.get(wish.role)
        own = self._options
        return ThreadOptions(
            cwd=self.cwd,
            sandbox=own.sandbox,
            approver=own.approver,
            tools=own.tools,
            model=wish.model or self._limits.model or own.model,
            ephemeral=own.ephemeral,
            source="subagent",
            meter=own.meter,
            depth=own.depth + 1,
            parent=self.parent,
            overlay_of=own.overlay_of,
            role=role,
            effort=wish.effort or self._limits.effort,
        )
