"""Memories of earlier threads: made in the background, told to new threads. Off by default.

A root thread that has begun to answer reads a few idle threads (phase 1, one request each) and,
when there is something new, lets an agent merge the notes (phase 2). Both are stopped when the
engine closes, lose nothing by it, and are paid from the thread's own budget.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from octavo.api.memory_history import MemoryHistory
from octavo.api.options import ThreadOptions
from octavo.api.sandbox import PermissionProfile, Sandbox
from octavo.config.schema import MemorySettings
from octavo.engine import memories as mind
from octavo.model.catalog import ModelInfo
from octavo.model.events import Done, ItemDone
from octavo.model.request import ModelRequest
from octavo.policy.presets import preset, with_roots, writable_root
from octavo.protocol import events, items
from octavo.protocol.content import InputText
from octavo.protocol.errors import ModelError, ModelErrorKind, OctavoError
from octavo.protocol.history import Message
from octavo.protocol.ids import ThreadId
from octavo.protocol.permissions import PermissionRules, RuleRef
from octavo.store.base import Store, ThreadInfo
from octavo.store.lock import ThreadLock
from octavo.store.memories import MERGING, SUMMARY, Memory, MemoryStore

if TYPE_CHECKING:
    from octavo.api.engine import Engine
    from octavo.api.thread import Thread
    from octavo.engine.bus import Listener
    from octavo.engine.session import Session

EXTRACT_S: Final = 300.0
MERGE_S: Final = 1_800.0
LISTEN_S: Final = 5.0
"""For the last uses to be written when everything ends."""
ALONE: Final[Mapping[str, object]] = {
    "features.memories": False,
    "features.hooks": False,
    "features.python_repl": False,
    "agents.enabled": False,
    "approvals_reviewer": "user",
    "approval_policy": "never",
    "web_search": "disabled",
    "notify": (),
    "project_doc_max_bytes": 0,
    "project_root_markers": (),
    "developer_instructions": "",
}
"""The agent that merges: nobody to ask, nobody to start, nothing to look up."""


class Memories:
    """The memories of one home, for one root thread. What is wrong with them is a warning."""

    def __init__(
        self,
        home: str,
        settings: MemorySettings,
        *,
        environ: Mapping[str, str],
        now_ms: Callable[[], int],
        info_of: Callable[[str], ModelInfo],
        generate: bool,
    ) -> None:
        self._info_of = info_of
        self._store = MemoryStore(home, now_ms=now_ms)
        self._settings = settings
        self._now_ms = now_ms
        self._generate = generate and settings.generate_memories
        self._history = MemoryHistory(f"{self._store.state}/history.git", environ)
        self._answered = asyncio.Event()
        self._session: Session | None = None
        self._group: asyncio.TaskGroup | None = None
        self._listener: Listener | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._working: asyncio.Task[None] | None = None
        self.text = ""
        """What a new thread is told."""
        self.warnings: tuple[str, ...] = ()
        """What is wrong with them, one sentence each."""
        self._there = self._prepared()

    def _prepared(self) -> bool:
        """The folders are there, and what a thread is told is read."""
        try:
            self._store.prepare()
        except OctavoError as error:
            self.warnings = (f"no memories: {error}",)
            return False
        if self._settings.use_memories:
            self.text = mind.injected(self._store.read(SUMMARY), self._store.folder)
        self.warnings = tuple(self._store.warnings)
        return True

    def opened(self, rules: PermissionRules) -> PermissionRules:
        """The rules with the folder of the memories writable, where work may write at all."""
        if rules.name != ":workspace" or not self._there:
            return rules
        ref = RuleRef(text="features.memories opens it", source="config")
        return with_roots(rules, (writable_root(self._store.folder, ref),))

    def begin(self, engine: "Engine", session: "Session", group: asyncio.TaskGroup) -> None:
        """Listen to the thread, and work in the background once it is answered."""
        if not self._there:
            return
        self._session, self._group = session, group
        self._listener = session.bus.listen()
        hearing = self._hear(session, self._listener)
        self._hearing = group.create_task(hearing, name="memories: what is used")
        if self._generate:
            work = self._work(engine, session)
            self._working = group.create_task(work, name="memories")

    async def done(self) -> None:
        """Wait for the background to have nothing more to do; only for those who have the time."""
        if self._working is not None:
            await asyncio.wait([self._working])

    async def close(self) -> None:
        """Stop. What was half done is done again another time."""
        if self._session is not None and self._listener is not None:
            self._session.bus.forget(self._listener)
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        if self._hearing is not None:
            await asyncio.wait([self._hearing], timeout=LISTEN_S)
            self._hearing.cancel()
            await asyncio.wait([self._hearing])

    # ---- listening ------------------------------------------------------------------------

    async def _hear(self, session: "Session", listener: "Listener") -> None:
        """Commands that read a memory count as uses of it; text from outside marks the thread."""
        polluted = False
        async for event in listener:
            if not self._answered.is_set() and begins_an_answer(event):
                self._answered.set()
            if not isinstance(event, events.ItemCompleted):
                continue
            match event.item:
                case items.CommandExecution(command=command):
                    slugs = mind.slugs_in(command)
                    if slugs:
                        await self._quietly(partial(self._store.used, slugs))
                case items.WebSearch() | items.McpToolCall() if not polluted:
                    polluted = True
                    await self._quietly(partial(self._store.pollute, session.parts.thread_id))
                case _:
                    pass

    async def _quietly(self, write: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(write)
        except Exception as error:  # noqa: BLE001 - counting uses must not end the thread
            self._warn(str(error))

    # ---- the background -------------------------------------------------------------------

    async def _work(self, engine: "Engine", session: "Session") -> None:
        """Both phases. Whatever goes wrong is one warning and never ends the thread."""
        try:
            await self._answered.wait()
            await self._read_threads(engine.store, session)
            await self._merge(engine, session)
        except OctavoError as error:
            self._warn(str(error))
        except Exception as error:  # noqa: BLE001 - the owner of the task; the thread goes on
            self._warn(f"{type(error).__name__}: {error}")
        for warning in self._store.warnings:
            if warning not in self.warnings:
                self._warn(warning)

    def _warn(self, text: str) -> None:
        if self._session is not None:
            self._session.publish(events.Warned(message=f"memories: {text}"))

    async def _read_threads(self, threads: Store, session: "Session") -> None:
        """Phase 1: each thread in one request, a few at once."""
        running = session.parts.thread_id
        wanted = await asyncio.to_thread(self._eligible, threads, running)
        gate = asyncio.Semaphore(mind.AT_ONCE)
        leased = self._leased(wanted)
        mine = {info.id for info in leased}

        async def one(info: ThreadInfo) -> None:
            async with gate:
                if await self._read_one(threads, session, info):
                    self._store.release(info.id)
                else:
                    self._store.failed(info.id)
                mine.discard(info.id)

        try:
            async with asyncio.TaskGroup() as group:
                for info in leased:
                    group.create_task(one(info), name="memories: one thread")
        finally:
            for left in mine:  # stopped before they were done
                self._store.release(left)

    def _eligible(self, threads: Store, running: ThreadId) -> list[ThreadInfo]:
        """The threads worth reading now. In a worker thread: it only looks."""
        settings = self._settings
        return mind.eligible(
            threads.list(limit=mind.SCANNED),
            now_ms=self._now_ms(),
            known={memory.thread: memory for memory in self._store.all()},
            running=(running,),
            idle_hours=settings.min_rollout_idle_hours,
            age_days=settings.max_rollout_age_days,
            unpolluted=settings.disable_on_external_context,
        )

    def _leased(self, wanted: Iterable[ThreadInfo]) -> list[ThreadInfo]:
        """As many as one start reads, of those that nobody else has."""
        most = self._settings.max_rollouts_per_startup
        return list(islice((info for info in wanted if self._store.lease(info.id)), most))

    async def _read_one(self, threads: Store, session: "Session", info: ThreadInfo) -> bool:
        """One thread: its notes are kept, or it waits an hour for the next try."""
        try:
            async with asyncio.timeout(EXTRACT_S):
                await self._extract(threads, session, info)
        except (OctavoError, TimeoutError) as error:
            self._warn(f"thread {info.id}: {str(error) or 'no answer in time'}")
            return False
        return True

    async def _extract(self, threads: Store, session: "Session", info: ThreadInfo) -> None:
        loaded = await asyncio.to_thread(threads.read, info.id)
        nothing = mind.Extracted(raw_memory="", rollout_summary="", rollout_slug="")
        polluted = mind.from_outside(loaded.items)
        unwanted = polluted and self._settings.disable_on_external_context
        name = self._settings.extract_model or session.parts.model_name
        own = self._settings.extract_model is None
        window = session.parts.window if own else self._info_of(name).context_window
        redact = session.parts.redact
        hide = str if redact is None else redact.text
        shown = "" if unwanted else mind.transcript(loaded.items, window, hide)
        found: mind.Extracted | None = nothing
        if shown:
            found = mind.read_answer(await self._ask(session, name, mind.question(shown, info.cwd)))
        if found is None:
            raise ModelError("its notes could not be read", kind=ModelErrorKind.INCOMPLETE)
        memory = mind.memory_of(info, found, now_ms=self._now_ms())
        self._store.keep(replace(memory, polluted=polluted))

    async def _ask(self, session: "Session", name: str, text: str) -> str:
        """One request at low effort, paid from the thread's budget."""
        parts, info = session.parts, self._info_of(name)
        parts.meter.priced(info)
        parts.meter.check(parts.clock.monotonic())
        request = ModelRequest(
            model=name,
            instructions=mind.EXTRACT,
            input=(Message(role="user", content=(InputText(text=text),)),),
            output_schema=mind.SCHEMA,
            effort="low" if parts.effort is not None else None,
            thread_id=parts.thread_id,
            prompt_cache_key="memories",
        )
        said: list[str] = []
        async with aclosing(parts.model.stream(request)) as stream:
            async for event in stream:
                match event:
                    case ItemDone(item=Message(role="assistant") as item):
                        said.append(item.text)
                    case Done(usage=usage) if usage is not None:
                        parts.meter.spent(usage, info)
                    case _:
                        pass
        return "\n".join(said)

    # ---- merging --------------------------------------------------------------------------

    async def _merge(self, engine: "Engine", session: "Session") -> None:
        """Phase 2, when there is something new and nobody else is at it."""
        chosen = await asyncio.to_thread(self._chosen)
        digest = mind.digest(chosen)
        if not chosen or digest == self._store.merged() or not self._store.lease(MERGING):
            return
        try:
            done = await self._merge_these(engine, session, chosen)
        except (OctavoError, TimeoutError) as error:
            self._store.failed(MERGING)
            self._warn(f"not merged: {str(error) or 'it took too long'}")
        except BaseException:
            self._store.release(MERGING)
            raise
        else:
            if done:
                self._store.set_merged(digest)
                self._store.release(MERGING)
            else:
                self._store.failed(MERGING)

    def _chosen(self) -> list[Memory]:
        settings = self._settings
        return mind.chosen(
            self._store.all(),
            now_ms=self._now_ms(),
            most=settings.max_raw_memories_for_consolidation,
            max_unused_days=settings.max_unused_days,
            unpolluted=settings.disable_on_external_context,
        )

    async def _merge_these(
        self, engine: "Engine", session: "Session", chosen: list[Memory]
    ) -> bool:
        """The files in place, an agent to merge them, and the history of it."""
        store, now_s = self._store, self._now_ms() // 1000
        strange = store.strange()
        if strange:
            names = ", ".join(sorted(strange)[:3])
            self._warn(f"not merged: {store.folder} holds {names}, which does not belong there")
            return False
        lock = ThreadLock(store.home, ThreadId("memory-merging"))
        try:
            raw, summaries = mind.raw_text(chosen), mind.summary_files(chosen)
            await asyncio.to_thread(store.write_inputs, raw, summaries)
            files = await asyncio.to_thread(store.files)
            diff = await self._history.changes(files, now_s=now_s)
            store.write_diff(diff)
            async with asyncio.timeout(MERGE_S):
                problem = await self._agent(engine, session, diff=diff is not None)
            store.write_diff(None)
            if problem is not None:
                self._warn(f"not merged: {problem}")
                return False
            await self._history.merged(await asyncio.to_thread(store.files), now_s=now_s)
            return True
        finally:
            lock.release()

    async def _agent(self, engine: "Engine", session: "Session", *, diff: bool) -> str | None:
        """The agent's one turn; why it did not come to its end, if so."""
        parts = session.parts
        thread = await self._opened_whole(
            engine,
            ThreadOptions(
                cwd=self._store.folder,
                sandbox=only_here(),
                model=self._settings.consolidation_model or parts.model_name,
                ephemeral=True,
                source="subagent",
                flags=ALONE,
                depth=1,
                parent=parts.thread_id,
                meter=parts.meter,
            ),
        )
        ending: events.Ending | None = None
        try:
            async with thread.stream(mind.merge_prompt(diff=diff)) as turn:
                async for event in turn:
                    if isinstance(event, events.Ending):
                        ending = event
            problem = thread.sandbox_problem
        finally:
            await thread.close()
        if problem is not None:
            return str(problem)
        match ending:
            case events.TurnCompleted():
                return None
            case events.TurnFailed(message=why):
                return why
            case _:
                return "it was stopped"

    async def _opened_whole(self, engine: "Engine", options: ThreadOptions) -> "Thread":
        """A thread is opened to its end even when this work is stopped meanwhile: half of one
        would be nobody's to close."""
        assert self._group is not None
        opening = self._group.create_task(engine.open_thread(options), name="memories: an agent")
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])
            raise  # the engine closes the thread with all others


def only_here() -> Sandbox:
    """Reads everything, writes the folder it works in and nothing else, has no network."""
    rules = preset("workspace-write", exclude_tmpdir=True, exclude_slash_tmp=True)
    return Sandbox(PermissionProfile(rules))


def begins_an_answer(event: events.Event) -> bool:
    """The model has begun to answer, so nothing can be in its way any more."""
    match event:
        case events.ItemStarted(item=item) | events.ItemCompleted(item=item):
            return not isinstance(item, items.UserMessage)
        case events.AgentMessageDelta() | events.ReasoningDelta() | events.UsageUpdated():
            return True
        case _:
            return isinstance(event, events.Ending)
