"""The engine in this process: threads that are started, resumed, forked, listed.

Everything that touches the world (clock, disk, sandbox, models) is made here and handed down.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from octavo.api.gating import managed_network
from octavo.api.opened import Opened
from octavo.api.options import Given, ThreadOptions
from octavo.api.sandbox import Sandbox, state_home
from octavo.api.thread import Thread
from octavo.api.wiring import Wiring
from octavo.api.workspace import real
from octavo.api.world import SystemClock, SystemIds
from octavo.config.settings import Loaded
from octavo.engine.budget import Budget, Meter
from octavo.model.client import ModelClient
from octavo.protocol.approvals import Approver
from octavo.protocol.ids import ThreadId
from octavo.protocol.seams import Clock, Ids
from octavo.sandbox.launcher import Launcher, session_for
from octavo.store.base import Store, ThreadInfo
from octavo.store.disk import DiskStore
from octavo.tools.base import Tool

if sys.platform == "win32":
    from octavo.api.windows import choice_of

if TYPE_CHECKING:
    from octavo.api.memories import Memories
    from octavo.mcp.base import Elicitor
    from octavo.protocol.mcp import McpStatus
    from octavo.protocol.questions import Questioner


class Engine:
    """Threads of one home. Use `async with Engine.open(...) as engine`; leaving ends everything."""

    def __init__(self, wiring: Wiring, group: asyncio.TaskGroup) -> None:
        self._wiring = wiring
        self._group = group
        self._threads: list[Thread] = []
        self._memories: list[Memories] = []

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        model: str | ModelClient | None = None,
        provider: str | None = None,
        home: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
        overrides: Sequence[str] = (),
        profile: str | None = None,
        flags: Mapping[str, object] | None = None,
        strict: bool = False,
        user_settings: bool = True,
        clock: Clock | None = None,
        ids: Ids | None = None,
        store: Store | None = None,
        rungs: tuple[str, ...] | None = None,
        originator: str = "octavo",
        unreachable_s: float | None = None,
        bounded: bool = False,
        bypass_hook_trust: bool = False,
    ) -> AsyncIterator[Self]:
        """Make an engine.

        `model` is a name, or a client of your own (then no provider is asked). `home` defaults to
        OCTAVO_HOME, CODEX_HOME, `~/.octavo`. `overrides` are `key=value` as for `-c`, `profile`
        is `--profile`, `flags` maps dotted keys to values. `unreachable_s` limits how long a
        provider that does not answer is tried; `bounded` takes that limit from the settings.
        `bypass_hook_trust` runs hooks that nobody has reviewed.
        Raises ConfigError.
        """
        outside = dict(os.environ if environ is None else environ)
        folder = state_home(outside) if home is None else real(home)
        windows = None
        if sys.platform == "win32":
            windows = choice_of(
                folder,
                outside,
                profile=profile,
                overrides=overrides,
                flags=flags,
                user_settings=user_settings,
            )
        clock = clock or SystemClock()
        wiring = Wiring(
            home=folder,
            environ=outside,
            given=Given(
                model=model,
                provider=provider,
                overrides=tuple(overrides),
                profile=profile,
                flags=dict(flags or {}),
                strict=strict,
                user_settings=user_settings,
                unreachable_s=unreachable_s,
                bounded=bounded,
                originator=originator,
                bypass_hook_trust=bypass_hook_trust,
            ),
            clock=clock,
            ids=ids or SystemIds(),
            store=store or DiskStore(folder, now_ms=clock.now_ms),
            launcher=Launcher(
                session_for(folder, outside, rungs, windows=windows),
                managed_network(folder, outside),
            ),
        )
        problem: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                engine = cls(wiring, group)
                try:
                    yield engine
                except BaseException as error:  # noqa: BLE001 - raised again below, not in a group
                    problem = error
                await engine._close_threads()
        finally:
            await wiring.close()
        if problem is not None:
            raise problem

    async def start_thread(
        self,
        *,
        cwd: str | os.PathLike[str] | None = None,
        sandbox: Sandbox | None = None,
        approver: Approver | None = None,
        tools: Sequence[Tool] = (),
        model: str | None = None,
        ephemeral: bool = False,
        source: str = "library",
        record: str | os.PathLike[str] | None = None,
        questioner: "Questioner | None" = None,
        elicitor: "Elicitor | None" = None,
        overlay: bool = False,
        budget: Budget | None = None,
    ) -> Thread:
        """Begin a thread in a folder. `sandbox` beats the settings. `ephemeral` keeps nothing.

        Without an `approver` nobody is asked: what would need a question is refused. `record` is a
        new file for everything that happens, for `octavo replay`. `questioner` answers what the
        model asks in plan mode, `elicitor` what MCP servers ask. With `overlay` (Linux) changes of files in the folder are kept apart
        until `octavo keep` or `octavo drop`. `budget` is the most the thread and its agents may
        spend, instead of the settings'. Raises SandboxUnavailable where something cannot be.
        """
        options = ThreadOptions(
            questioner=questioner,
            elicitor=elicitor,
            cwd=real(cwd),
            sandbox=sandbox,
            approver=approver,
            tools=tuple(tools),
            model=model,
            ephemeral=ephemeral,
            source=source,
            record=None if record is None else os.fspath(record),
            overlay=overlay,
            meter=None if budget is None else Meter(budget),
        )
        return self._opened(await self._wiring.start(options, self._group))

    async def resume_thread(
        self,
        thread: ThreadId | str,
        *,
        cwd: str | os.PathLike[str] | None = None,
        sandbox: Sandbox | None = None,
        approver: Approver | None = None,
        tools: Sequence[Tool] = (),
        model: str | None = None,
        record: str | os.PathLike[str] | None = None,
        questioner: "Questioner | None" = None,
        overlay: bool = False,
    ) -> Thread:
        """Go on with a thread, by id. Its folder is used unless `cwd` names another.

        Raises ThreadNotFound, ThreadBusy when another process has it open.
        """
        options = ThreadOptions(
            questioner=questioner,
            cwd=None if cwd is None else real(cwd),
            sandbox=sandbox,
            approver=approver,
            tools=tuple(tools),
            model=model,
            record=None if record is None else os.fspath(record),
            overlay=overlay,
        )
        return self._opened(await self._wiring.resume(ThreadId(thread), options, self._group))

    async def fork_thread(
        self,
        thread: ThreadId | str,
        *,
        cwd: str | os.PathLike[str] | None = None,
        sandbox: Sandbox | None = None,
        approver: Approver | None = None,
        tools: Sequence[Tool] = (),
        model: str | None = None,
        source: str = "library",
        record: str | os.PathLike[str] | None = None,
        questioner: "Questioner | None" = None,
    ) -> Thread:
        """A new thread with the history of another one, which stays as it is."""
        options = ThreadOptions(
            questioner=questioner,
            cwd=None if cwd is None else real(cwd),
            sandbox=sandbox,
            approver=approver,
            tools=tuple(tools),
            model=model,
            source=source,
            record=None if record is None else os.fspath(record),
        )
        return self._opened(await self._wiring.fork(ThreadId(thread), options, self._group))

    async def open_thread(self, options: ThreadOptions, *, fork: str | None = None) -> Thread:
        """A new thread with all options at once, for doors; with the history of another one when
        `fork` names it. `options.cwd` is a folder."""
        if fork is None or options.ephemeral:
            return self._opened(await self._wiring.start(options, self._group))
        return self._opened(await self._wiring.fork(ThreadId(fork), options, self._group))

    async def reopened(self, thread: ThreadId, options: ThreadOptions, *, kept: bool) -> Opened:
        """The parts of a thread, made anew with other options; `kept`: its file is there."""
        if kept:
            return await self._wiring.resume(thread, options, self._group)
        return await self._wiring.start(options, self._group, thread)

    async def reopen_thread(self, thread: str, options: ThreadOptions) -> Thread:
        """A thread from disk with all options at once, for doors."""
        return self._opened(await self._wiring.resume(ThreadId(thread), options, self._group))

    async def threads(
        self,
        *,
        cwd: str | os.PathLike[str] | None = None,
        search: str | None = None,
        archived: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[ThreadInfo]:
        """Threads, the one last written first; of one folder, or with these words in them."""
        folder = None if cwd is None else real(cwd)
        for info in self._wiring.store.list(
            cwd=folder, search=search, archived=archived, limit=limit
        ):
            yield info

    def settings(self, cwd: str | os.PathLike[str] | None = None) -> Loaded:
        """The settings in force for a folder, with the origin of each. Raises ConfigError."""
        return self._wiring.settings(real(cwd))

    async def mcp_servers(
        self, cwd: str | os.PathLike[str] | None = None
    ) -> "tuple[McpStatus, ...]":
        """The MCP servers of a folder's settings: started, asked what they offer, and ended; those
        of a loaded thread are at `thread.mcp`. Raises ConfigError."""
        return await self._wiring.mcp_servers(real(cwd))

    def resolve(self, wanted: str) -> ThreadId:
        """The thread a person means, by id or by name. Raises ThreadNotFound."""
        store = self._wiring.store
        return store.resolve(wanted) if isinstance(store, DiskStore) else ThreadId(wanted)

    @property
    def store(self) -> Store:
        """Where threads are kept."""
        return self._wiring.store

    def _opened(self, parts: Opened) -> Thread:
        thread = Thread(parts, self._group, engine=self)
        self._threads.append(thread)
        if parts.memories is not None:
            self._memories.append(parts.memories)
            parts.memories.begin(self, parts.session, self._group)
        return thread

    async def _close_threads(self) -> None:
        for memories in self._memories:
            await memories.close()
        for thread in self._threads:
            await thread.close()
        self._threads.clear()
