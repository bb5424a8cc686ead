"""Questions about hosts that are not listed: who waits, what was answered, how long it holds. Hands.

One question per execution and host:port, however many connections wait for it. An answer changes
what is remembered in one step, and everybody who waited looks at what is remembered then, so a
session's "never" that comes late still beats a "yes" on its way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Literal

from msgspec import Struct

from octavo.policy.hosts import Target
from octavo.policy.network import Decision
from octavo.proxy.execution import Execution, Key
from octavo.proxy.limits import Limits

Kind = Literal["once", "session", "always", "no", "never"]
Lasting = tuple[str, int | None]
"""Host and port; None for every port."""


class Answer(Struct, frozen=True, kw_only=True):
    """What somebody decided about a host."""

    kind: Kind
    """once, no: this execution. session: every execution from now on. always, never: the same,
    and whoever answered has written it down as a rule (`policy.network.amendments`)."""
    scope: Literal["host", "port"] = "port"
    """Every port of the host, or this one. `once` and `no` are always about one."""


OnMiss = Callable[[str, Decision], Awaitable[Answer]]
"""Asked with the execution and the refusal. An exception counts as no."""
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]

NO: Final = "Somebody was asked and said no."
NEVER: Final = "It was refused for this session."
WITHDRAWN: Final = "The question was withdrawn before anybody decided."
TOO_LATE: Final = "Nobody decided in time."
TOO_MANY: Final = "Too many questions are open."
NOT_ASKED: Final = "Asking failed."


class Approvals:
    """The answers of one session."""

    def __init__(self, on_miss: OnMiss | None, spawn: Spawn, limits: Limits) -> None:
        self._on_miss = on_miss
        self._spawn = spawn
        self._limits = limits
        self._allowed: set[Lasting] = set()
        self._denied: set[Lasting] = set()

    def known(self, execution: Execution, target: Target) -> bool | None:
        """What is remembered; None when nothing is. A session's no comes first."""
        key = (target.host.name, target.port)
        both: tuple[Lasting, Lasting] = (key, (key[0], None))
        if any(one in self._denied for one in both) or key in execution.refused:
            return False
        if any(one in self._allowed for one in both) or key in execution.allowed:
            return True
        return None

    def remember(self, host: str, port: int, answer: Answer, execution: Execution | None) -> None:
        """Take an answer into force. `host` in its one spelling."""
        lasting: Lasting = (host, port if answer.scope == "port" else None)
        match answer.kind:
            case "once" if execution is not None:
                execution.allowed.add((host, port))
            case "no" if execution is not None:
                execution.refused[host, port] = NO
            case "never":
                self._denied.add(lasting)
                self._allowed -= {one for one in self._allowed if covers(lasting, one)}
            case "session" | "always":
                self._allowed.add(lasting)
            case _:
                return

    async def ask(self, execution: Execution, target: Target, decision: Decision) -> str | None:
        """None when it is allowed now; else a sentence about the no, empty when nobody was asked."""
        known = self.known(execution, target)
        if known is None and self._on_miss is not None:
            key = (target.host.name, target.port)
            waiting = execution.questions.get(key)
            if waiting is None:
                if len(execution.questions) >= self._limits.questions:
                    return TOO_MANY
                waiting = self._put(execution, key, decision)
            await asyncio.shield(waiting)
            known = self.known(execution, target)
        if known:
            return None
        return self._why(execution, target)

    def _why(self, execution: Execution, target: Target) -> str:
        key = (target.host.name, target.port)
        if key in self._denied or (key[0], None) in self._denied:
            return NEVER
        if execution.ended:
            return WITHDRAWN
        return execution.refused.get(key, "")

    def _put(self, execution: Execution, key: Key, decision: Decision) -> asyncio.Future[None]:
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        execution.questions[key] = waiting
        task = self._spawn(self._question(execution, key, decision, waiting), f"ask for {key[0]}")
        execution.tasks.add(task)
        task.add_done_callback(execution.tasks.discard)
        return waiting

    async def _question(
        self, execution: Execution, key: Key, decision: Decision, waiting: asyncio.Future[None]
    ) -> None:
        assert self._on_miss is not None
        try:
            async with asyncio.timeout(self._limits.ask_s):
                answer = await self._on_miss(execution.identity, decision)
            self.remember(*key, answer, execution)
        except TimeoutError:
            execution.refused[key] = TOO_LATE
        except asyncio.CancelledError:
            execution.refused[key] = WITHDRAWN
            raise
        except Exception:  # noqa: BLE001 - whoever asks is not ours; what fails is a no
            execution.refused[key] = NOT_ASKED
        finally:
            execution.questions.pop(key, None)
            if not waiting.done():
                waiting.set_result(None)


def covers(wide: Lasting, narrow: Lasting) -> bool:
    """Does what is said of one hold for the other?"""
    return wide[0] == narrow[0] and wide[1] in (None, narrow[1])
