"""Who answers a question, in which order, and what is remembered of the answer.

Hooks are asked first, then what was granted before, then a reviewer if there is one, at last the
user. Each may pass a question on by answering None; only the last has to say something. Grants
hold until the thread is closed and for exactly what was asked: every key of a later request has to
be among what was allowed. "Always" becomes a rule as well, which others write down.

Questions of calls that run side by side are put one at a time, in the order the model made the
calls, and each is looked up again when its turn comes: the answer before may have settled it.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Final, Protocol

from octavo.protocol.approvals import (
    NETWORK_ACCESS,
    ApprovalRequest,
    Approver,
    CommandApproval,
    Decider,
    Decision,
    McpApproval,
)
from octavo.protocol.ids import CallId

HEAD_START_S: Final = 2.0
"""A question waits so long for calls before it that have not begun, for hooks as a rule."""

Remember = Callable[[tuple[str, ...]], Awaitable[None]]
"""Writes a rule down, for this thread and those to come; whatever fails, it says so itself."""


class RememberHost(Protocol):
    """The same for `https://HOST` or `https://HOST:PORT`: from now on yes, or no."""

    async def __call__(self, target: str, /, *, allow: bool) -> None: ...


async def forget_host(_target: str, /, *, allow: bool) -> None:
    """Where no rules are kept."""


async def forget(_rule: tuple[str, ...], /) -> None:
    """Where no rules are kept."""


def unheard(_text: str, /) -> None:
    """Where nobody is told."""


class Grants:
    """What was allowed in this thread."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._prefixes: list[tuple[str, ...]] = []

    def __contains__(self, request: ApprovalRequest) -> bool:
        keys = set(request.keys)
        if keys and keys <= self._keys:
            return True
        return isinstance(request, CommandApproval) and self._by_rule(request)

    def keep(self, request: ApprovalRequest) -> None:
        """Exactly this, from now on."""
        self._keys |= set(request.keys)

    def keep_rule(self, words: tuple[str, ...]) -> None:
        """Commands that begin so, for questions that were on their way already."""
        self._prefixes.append(words)

    def _by_rule(self, request: CommandApproval) -> bool:
        if request.proposed_rule is None:  # no rule would do: another one asks, or it is too much
            return False
        return bool(request.pipelines) and all(
            any(command[: len(words)] == words for words in self._prefixes)
            for pipeline in request.pipelines
            for command in pipeline
        )


class Queue:
    """One at a time; of those that wait, the earliest call first."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @asynccontextmanager
    async def turn(self, number: int) -> AsyncIterator[None]:
        """Wait for it; a cancelled wait leaves no trace."""
        if self._busy:
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (number, next(self._arrivals), ready))
            try:
                await ready
            except asyncio.CancelledError:
                if ready.done() and not ready.cancelled():
                    self._next()
                raise
        self._busy = True
        try:
            yield
        finally:
            self._next()

    def _next(self) -> None:
        while self._waiting:
            _, _, ready = heapq.heappop(self._waiting)
            if not ready.done():
                ready.set_result(None)  # busy stays: it is theirs now
                return
        self._busy = False


class Desk:
    """Where a thread's questions go. An `Approver` itself.

    `first` are asked before the grants and may run side by side: permission hooks. `reviewers` are
    asked after the grants, in order; a session may add some. `person` always answers.
    """

    def __init__(
        self,
        person: Approver,
        *,
        first: Sequence[Decider] = (),
        reviewers: Sequence[Decider] = (),
        remember: Remember = forget,
        remember_host: RememberHost = forget_host,
        warn: Callable[[str], None] = unheard,
    ) -> None:
        self.first = list(first)
        self.reviewers = list(reviewers)
        self.grants = Grants()
        self.warn = warn
        """Takes sentences for the user."""
        self.person = person
        self.remember_tool: Callable[[McpApproval], Awaitable[None]] | None = None
        """Writes "always" for a tool of an MCP server down; whatever fails, it says so itself."""
        self._remember = remember
        self._remember_host = remember_host
        self._queue = Queue()
        self._stops = 0
        self._stopped: set[CallId] = set()
        """Calls under way when somebody said stop: nobody is asked about them any more."""
        self._order: dict[CallId, int] = {}
        self._undecided: dict[CallId, int] = {}
        """Calls that may still ask their first question."""
        self._news: list[asyncio.Future[None]] = []
        self._numbers = count()

    def expect(self, call_id: CallId) -> None:
        """The model made this call: its questions come before those of later calls."""
        if call_id not in self._order:
            self._order[call_id] = self._undecided[call_id] = next(self._numbers)

    def passed(self, call_id: CallId) -> None:
        """The call has begun its work, or asks: later ones need not wait for it any more."""
        if self._undecided.pop(call_id, None) is None:
            return
        news, self._news = self._news, []
        for one in news:
            if not one.done():
                one.set_result(None)

    def over(self, call_id: CallId) -> None:
        """The call was answered: no questions come from it any more."""
        self.passed(call_id)
        self._order.pop(call_id, None)
        self._stopped.discard(call_id)

    async def __call__(self, request: ApprovalRequest, /) -> Decision:
        """The first answer that somebody gives."""
        if request.call_id in self._stopped:
            return Decision.abort()
        for decider in self.first:
            decision = await decider(request)
            if decision is not None:
                return await self._kept(request, decision)
        if request in self.grants:
            return Decision.allow_once()
        number, stops = self._order.get(request.call_id), self._stops
        if number is not None:
            await self._earlier(number)
            self.passed(request.call_id)
        async with self._queue.turn(next(self._numbers) if number is None else number):
            if self._stops != stops:
                return Decision.abort()
            if request in self.grants:
                return Decision.allow_once()
            decision = await self._ask(request)
            if decision.kind == "abort":
                self._stops += 1  # whoever waits is not asked any more
                self._stopped |= self._order.keys()
            return await self._kept(request, decision)

    async def _earlier(self, number: int) -> None:
        """Let calls before this one ask first, if they get that far soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEAD_START_S):
                while any(other < number for other in self._undecided.values()):
                    self._news.append(asyncio.get_running_loop().create_future())
                    await self._news[-1]

    async def _ask(self, request: ApprovalRequest) -> Decision:
        for decider in self.reviewers:
            decision = await decider(request)
            if decision is not None:
                return decision
        return await self.person(request)

    async def _kept(self, request: ApprovalRequest, decision: Decision) -> Decision:
        if decision.kind == "allow_for_session":
            self.grants.keep(request)
        elif decision.kind == "deny" and decision.rule:
            await self._remember_host(decision.rule[-1], allow=False)
        elif decision.kind == "allow_always":
            self.grants.keep(request)
            if isinstance(request, CommandApproval) and request.argv[0] == NETWORK_ACCESS:
                await self._remember_host((decision.rule or request.argv)[-1], allow=True)
            elif not isinstance(request, McpApproval):
                await self._ruled(decision.rule or ())
            elif self.remember_tool is not None:
                await self.remember_tool(request)
        return decision

    async def _ruled(self, words: tuple[str, ...]) -> None:
        from octavo.policy.commands import too_broad  # noqa: PLC0415 - few answers make rules

        if too_broad(words):
            shown = " ".join(words)
            self.warn(f"`{shown}` would allow anything: kept for this thread and this command only")
            return
        self.grants.keep_rule(words)
        await self._remember(words)
