"""Threads begun, resumed and forked for one engine: settings, log and session of each."""

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from octavo._version import __version__
from octavo.api.assembly import Assembly, Common
from octavo.api.chosen import instructions
from octavo.api.opened import Opened
from octavo.api.options import Given, ThreadOptions
from octavo.api.providers import Clients
from octavo.config.settings import Loaded, load_settings
from octavo.protocol.errors import UsageError
from octavo.protocol.ids import ThreadId
from octavo.protocol.seams import Clock, Ids
from octavo.sandbox.launcher import Launcher
from octavo.store.base import EphemeralLog, Store, ThreadLog
from octavo.store.rollout import SessionMeta, stamp
from octavo.store.thread import LoadedThread

if TYPE_CHECKING:
    from octavo.protocol.mcp import McpStatus


class Wiring:
    """Makes sessions for one engine."""

    def __init__(
        self,
        *,
        home: str,
        environ: Mapping[str, str],
        given: Given,
        clock: Clock,
        ids: Ids,
        store: Store,
        launcher: Launcher,
    ) -> None:
        self.home = home
        self.store = store
        self._common = Common(
            home=home,
            environ=environ,
            given=given,
            clock=clock,
            ids=ids,
            launcher=launcher,
            clients=Clients(given, home=home, environ=environ, clock=clock),
        )

    async def close(self) -> None:
        """End all commands and connections."""
        self._common.launcher.close()
        await self._common.clients.close()

    async def start(
        self, options: ThreadOptions, group: asyncio.TaskGroup, thread_id: ThreadId | None = None
    ) -> Opened:
        """A new thread."""
        assert options.cwd is not None
        loaded = self.settings(options.cwd, options.flags)
        thread_id = thread_id or ThreadId(self._common.ids.uuid())
        meta = self._meta(thread_id, options.cwd, options, loaded)
        log: ThreadLog = EphemeralLog() if options.ephemeral else self.store.create(meta)
        return await self._assembled(loaded, options, log, thread_id, group)

    async def resume(
        self, thread: ThreadId, options: ThreadOptions, group: asyncio.TaskGroup
    ) -> Opened:
        """A thread from disk."""
        before, log = self.store.open(thread)
        try:
            loaded = self.settings(options.cwd or before.meta.cwd, options.flags)
            return await self._assembled(loaded, options, log, before.id, group, before)
        except BaseException:
            log.close()
            raise

    async def fork(
        self, thread: ThreadId, options: ThreadOptions, group: asyncio.TaskGroup
    ) -> Opened:
        """A new thread that begins as another one is now."""
        before = self.store.read(thread)
        loaded = self.settings(options.cwd or before.meta.cwd, options.flags)
        thread_id = ThreadId(self._common.ids.uuid())
        log = self.store.fork(thread, self._meta(thread_id, loaded.cwd, options, loaded))
        return await self._assembled(loaded, options, log, thread_id, group, before)

    def settings(self, cwd: str, more: Mapping[str, object] | None = None) -> Loaded:
        """The settings in force for a folder. Raises ConfigError."""
        given = self._common.given
        flags = dict(given.flags)
        if isinstance(given.model, str):
            flags["model"] = given.model
        if given.provider is not None:
            flags["model_provider"] = given.provider
        flags |= more or {}
        if not os.path.isdir(cwd):
            raise UsageError(f"there is no folder {cwd}", hint="check -C, or where you are")
        return load_settings(
            home=self.home,
            cwd=cwd,
            environ=self._common.environ,
            overrides=given.overrides,
            profile=given.profile,
            flags=flags,
            strict=given.strict,
            user_settings=given.user_settings,
        )

    async def mcp_servers(self, cwd: str) -> "tuple[McpStatus, ...]":
        """The MCP servers of a folder's settings, and what they offer. Raises ConfigError."""
        loaded = self.settings(cwd)
        if not loaded.settings.mcp_servers:
            return ()
        from octavo.api.mcp import look  # noqa: PLC0415 - few have servers

        return await look(loaded, home=self.home, environ=self._common.environ)

    def _meta(
        self, thread_id: ThreadId, cwd: str, options: ThreadOptions, loaded: Loaded
    ) -> SessionMeta:
        return SessionMeta(
            id=thread_id,
            timestamp=stamp(self._common.clock.now_ms()),
            cwd=cwd,
            originator=self._common.given.originator,
            cli_version=__version__,
            session_id=thread_id,
            source=options.source,
            thread_source="user" if options.parent is None else "subagent",
            parent_thread_id=None if options.parent is None else ThreadId(options.parent),
            model_provider=loaded.settings.model_provider,
            base_instructions={"text": options.base_instructions or instructions(loaded.settings)},
            runtime_workspace_roots=(cwd,),
        )

    async def _assembled(
        self,
        loaded: Loaded,
        options: ThreadOptions,
        log: ThreadLog,
        thread_id: ThreadId,
        group: asyncio.TaskGroup,
        before: LoadedThread | None = None,
    ) -> Opened:
        made = Assembly(self._common, loaded, options, log, thread_id, group, before)
        return await made.build()
