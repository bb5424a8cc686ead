"""Settings, provider, profile, tools and store, put together into sessions.

The only place that knows how all rooms fit. What it makes it owns until `close`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct, ValidationError, convert
from msgspec.structs import replace

from octavo._version import __version__
from octavo.api.agents import Crew, limits_of
from octavo.api.keeping import Audit, checkpoints_for
from octavo.api.options import Given, ThreadOptions
from octavo.api.pictures import data_url
from octavo.api.ruling import Ruling, granular_of
from octavo.api.sandbox import PermissionProfile, Sandbox, settle
from octavo.api.tokens import CommandToken
from octavo.api.workspace import short_hash, workspace
from octavo.api.world import timezone, today, user_shell
from octavo.config.auth import api_key
from octavo.config.environment import held_back, shape_environment
from octavo.config.extras import any_hooks, skill_roots
from octavo.config.instructions import project_instructions
from octavo.config.load import resolve_profile
from octavo.config.providers import provider as provider_settings
from octavo.config.schema import ModelProvider, Settings, TokenCommand
from octavo.config.settings import Loaded, load_settings
from octavo.engine.approvals import Desk
from octavo.engine.budget import Budget, Meter
from octavo.engine.context import Surroundings
from octavo.engine.inputs import Load
from octavo.engine.instructions import BASE
from octavo.engine.redact import Redactor
from octavo.engine.session import Parts, Planning, Session, Workspace
from octavo.engine.tape import Header, Tape, TapedClock, TapedIds
from octavo.model.catalog import ModelInfo, Price, lookup
from octavo.model.client import ModelClient
from octavo.model.http import HttpModelClient
from octavo.model.provider import Provider
from octavo.model.request import Effort
from octavo.policy.profile import EffectiveProfile
from octavo.protocol import events
from octavo.protocol.approvals import ApprovalRequest, Approver, Decision
from octavo.protocol.errors import ConfigError, UsageError
from octavo.protocol.ids import ThreadId, TurnId
from octavo.protocol.seams import Clock, Ids
from octavo.protocol.usage import BYTES_PER_TOKEN
from octavo.sandbox.launcher import HOSTS_NOTE, Launcher
from octavo.sandbox.request import is_limited
from octavo.sandbox.wish import Wish
from octavo.store.base import EphemeralLog, Store, ThreadLog
from octavo.store.layout import has_overlay
from octavo.store.rollout import SessionMeta, stamp
from octavo.store.thread import LoadedThread
from octavo.tools.agents import AgentTools
from octavo.tools.defaults import default_registry
from octavo.tools.registry import Registry
from octavo.tools.sessions import Sessions
from octavo.tools.web_search import web_search

if TYPE_CHECKING:
    from octavo.api.goaling import Goaling
    from octavo.api.memories import Memories
    from octavo.api.overlaid import Overlaid
    from octavo.api.skilled import SkillBook
    from octavo.engine.hooks import SessionHooks
    from octavo.engine.reviewer import Reviewer
    from octavo.tools.base import Tool
    from octavo.tools.python_repl import PythonRepl

NOBODY: Final = "nobody is there to answer"
HAND_OVER_S: Final = 10.0
"""For a thread's commands to end when it is closed."""
CA_VARIABLES: Final = ("CODEX_CA_CERTIFICATE", "SSL_CERT_FILE")


class Opened(Struct):
    """A session and what its door wants to know."""

    session: Session
    load: Load
    warnings: tuple[str, ...]
    commands: "Commands"
    crew: Crew | None = None
    repl: "PythonRepl | None" = None
    memories: "Memories | None" = None
    reviewer: "Reviewer | None" = None
    options: ThreadOptions = ThreadOptions()
    facts: dict[str, str] = {}
    home: str = ""


async def refuse(request: ApprovalRequest, /) -> Decision:
    """Where nobody can be asked."""
    return Decision.deny(NOBODY)


class Commands:
    """Owns the commands of one thread in a task of its own: they end where they began."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._over = asyncio.Event()
        self._ready: asyncio.Future[Sessions] = asyncio.get_running_loop().create_future()
        self._task = group.create_task(self._own(), name="commands of a thread")

    async def _own(self) -> None:
        async with Sessions() as sessions:
            self._ready.set_result(sessions)
            await self._over.wait()

    async def sessions(self) -> Sessions:
        """The table of commands, once it is there."""
        return await self._ready

    async def end_all(self) -> None:
        """End every command that still runs; new ones may be started."""
        await (await self._ready).end_all()

    async def close(self) -> None:
        """End every command, for good."""
        self._over.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER_S):
                await asyncio.shield(asyncio.wait([self._task]))
        self._task.cancel()
        await asyncio.wait([self._task])


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
        self._environ = environ
        self._given = given
        self._clock = clock
        self._ids = ids
        self._launcher = launcher
        self._clients: dict[str, HttpModelClient] = {}

    async def close(self) -> None:
        """End all commands and connections."""
        self._launcher.close()
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    # ---- threads --------------------------------------------------------------------------

    async def start(
        self, options: ThreadOptions, group: asyncio.TaskGroup, thread_id: ThreadId | None = None
    ) -> Opened:
        """A new thread."""
        assert options.cwd is not None
        loaded = self.settings(options.cwd, options.flags)
        thread_id = thread_id or ThreadId(self._ids.uuid())
        meta = self._meta(thread_id, options.cwd, options, loaded)
        log: ThreadLog = EphemeralLog() if options.ephemeral else self.store.create(meta)
        return await self._session(loaded, options, log, thread_id, group)

    async def resume(
        self, thread: ThreadId, options: ThreadOptions, group: asyncio.TaskGroup
    ) -> Opened:
        """A thread from disk."""
        before, log = self.store.open(thread)
        try:
            loaded = self.settings(options.cwd or before.meta.cwd, options.flags)
            return await self._session(loaded, options, log, before.id, group, before)
        except BaseException:
            log.close()
            raise

    async def fork(
        self, thread: ThreadId, options: ThreadOptions, group: asyncio.TaskGroup
    ) -> Opened:
        """A new thread that begins as another one is now."""
        before = self.store.read(thread)
        loaded = self.settings(options.cwd or before.meta.cwd, options.flags)
        thread_id = ThreadId(self._ids.uuid())
        log = self.store.fork(thread, self._meta(thread_id, loaded.cwd, options, loaded))
        return await self._session(loaded, options, log, thread_id, group, before)

    # ---- parts ----------------------------------------------------------------------------

    def settings(self, cwd: str, more: Mapping[str, object] | None = None) -> Loaded:
        """The settings in force for a folder. Raises ConfigError."""
        given = self._given
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
            environ=self._environ,
            overrides=given.overrides,
            profile=given.profile,
            flags=flags,
            strict=given.strict,
            user_settings=given.user_settings,
        )

    async def _session(
        self,
        loaded: Loaded,
        options: ThreadOptions,
        log: ThreadLog,
        thread_id: ThreadId,
        group: asyncio.TaskGroup,
        before: LoadedThread | None = None,
    ) -> Opened:
        settings = loaded.settings
        model_name = self._model_name(options, settings, before)
        info = priced(lookup(model_name), settings)
        meter = options.meter or meter_of(settings, info)
        client, provider_name, retries = self._client(settings)
        sandbox = options.sandbox or self._sandbox(loaded)
        cwd = loaded.cwd
        profile = worked = settle(sandbox.profile.rules, cwd, self._environ, home=self.home)
        remembered = self._remembered(settings, options)
        if remembered is not None:  # undo is about `worked`: memories are not the user's work
            profile = settle(
                remembered.opened(sandbox.profile.rules), cwd, self._environ, home=self.home
            )
        if options.reviewing:
            profile = looking(profile)
        apart = self._overlaid(thread_id, cwd, profile, options, before)
        wish = sandbox.wish
        if apart is not None:
            wish = apart.wish(wish)
            options = replace(options, overlay_of=options.overlay_of or thread_id)
        shell = user_shell(self._environ)
        book = self._skills(loaded, settings.model_context_window or info.context_window)
        hooks, said_of_hooks = self._hooks(
            loaded, options, group, thread_id, model_name, log, resumed=before is not None
        )
        reviewed = settings.approvals_reviewer != "user"
        asked = options.approver is not None or answers(hooks) or reviewed
        asked = asked and not options.reviewing
        approval = approval_word(settings) if asked else "never"
        held = held_back(self._environ, settings.shell_environment_policy)
        ruling = Ruling(loaded)
        documents = project_instructions(cwd, self.home, settings)
        place = workspace(
            profile,
            cwd=cwd,
            launcher=self._launcher,
            wish=wish,
            environment=shape_environment(
                self._environ, settings.shell_environment_policy, thread_id
            ),
            shell=shell,
            surroundings=Surroundings(
                cwd=cwd,
                shell=os.path.basename(shell),
                date=today(self._clock.now_ms()),
                timezone=timezone(self._environ),
                approval=approval,
                developer="\n\n".join(
                    text for text in (options.role, settings.developer_instructions) if text
                ),
                project=documents.text,
                project_folder=cwd if documents.text else "",
                skills="" if book is None else book.text,
                memories="" if remembered is None else remembered.text,
                held_back=tuple(held),
                approved=() if options.reviewing else ruling.approved,
                with_environment=settings.include_environment_context,
            ),
        )
        if apart is not None:
            apart.close_in(place, profile)
        elif options.reviewing:
            only_inside(place, profile)
        tape = None if options.record is None else taped_to(options.record)
        clock = self._clock if tape is None else TapedClock(self._clock, tape)
        ids = self._ids if tape is None else TapedIds(self._ids, tape)
        commands = Commands(group)
        sessions = await commands.sessions()
        repl = python_repl() if settings.features.get("python_repl") is True else None
        crew = self._crew(settings, replace(options, meter=meter), group, thread_id, cwd)
        goals = goals_of(settings, options, meter, before)
        more = *(() if goals is None else goals.tools), *asking(settings, options, plan=False)
        tools = self._tools(sessions, settings, info, options, crew, repl, more)
        hidden = redactor(held)
        audit = None
        if settings.audit.enabled and not options.ephemeral:
            secrets = None if hidden is None else hidden.text
            audit = Audit(
                settings,
                profile,
                home=self.home,
                thread=thread_id,
                approval=approval,
                redact=secrets,
            )
            audit.workspace(place)

        desk = Desk(
            refuse, first=() if hooks is None else (hooks.permit,), remember=ruling.remember
        )

        def decides(approver: Approver) -> Approver:
            return desk_for(desk, approver)

        parts = Parts(
            thread_id=thread_id,
            model=client,
            model_name=model_name,
            info=info,
            tools=tools,
            log=log,
            clock=clock,
            ids=ids,
            tape=tape,
            approver=decides(options.approver or refuse)
            if audit is None
            else audit.approver(options.approver or refuse, decides),
            checkpoints=None
            if options.ephemeral
            else checkpoints_for(
                settings,
                worked,
                home=self.home,
                thread=thread_id,
                cwd=cwd,
                apart=None if apart is None else apart.root,
            ),
            audit=audit,
            end_commands=commands.end_all if crew is None else ending(commands, crew),
            workspace=place,
            instructions=options.base_instructions or self._instructions(settings),
            approval_policy=approval,
            granular=granular_of(settings),
            rules=ruling,
            desk=desk,
            effort=effort_of(options, settings) or info.default_effort,
            summary=settings.model_reasoning_summary if info.reasoning_summary else None,
            verbosity=settings.model_verbosity if info.verbosity else None,
            service_tier=settings.service_tier,
            stream_retries=retries,
            unreachable_s=self._unreachable_s(settings),
            window=settings.model_context_window or info.context_window,
            output_tokens=settings.tool_output_token_limit
            or info.output_limit_bytes // BYTES_PER_TOKEN,
            compact_at=settings.model_auto_compact_token_limit,
            compact_prompt=self._compact_prompt(settings),
            running_commands=sessions.described,
            hash_file=lambda path: short_hash(cwd, path, place.located),
            meter=meter,
            redact=hidden,
            hooks=hooks,
            notify=None if options.reviewing else self._notify(settings, thread_id, cwd),
            named_skills=None if book is None else book.named,
            goals=None if goals is None else goals.keeper,
            planning=self._planning(settings, options, profile, tools, wish, audit),
        )
        warnings = [*loaded.warnings, *documents.warnings, *profile.warnings, *said_of_hooks]
        warnings += ruling.warnings
        if apart is not None:
            warnings += apart.warnings
        elif before is not None and before.id != thread_id and has_overlay(self.home, before.id):
            warnings.append(f"begins without the overlay of thread {before.id}: in the real folder")
        warnings += () if book is None else book.warnings
        warnings += () if remembered is None else remembered.warnings
        if is_limited(profile):
            warnings.append(HOSTS_NOTE)
        if not info.known:
            warnings.append(
                f"nothing is known about the model {model_name!r}: usual limits are assumed"
            )
        session = loaded_session(parts, before)
        if goals is not None:
            goals.begin(session)
        ruling.place = place
        reviewer = None
        if reviewed and approval in ("on-request", "granular"):
            reviewer = reviewer_for(session, settings, options)
            desk.reviewers.append(reviewer)
        ruling.warn = desk.warn = lambda text: session.publish(events.Warned(message=text))
        if audit is not None:
            audit.warn = lambda text: session.publish(events.Warned(message=text))
        if crew is not None:
            crew.parent_session = session
        if hooks is not None:
            hooks.publish = session.publish
        opened = Opened(
            session=session,
            load=data_url,
            home=self.home,
            warnings=tuple(dict.fromkeys(warnings)),
            commands=commands,
            crew=crew,
            repl=repl,
            reviewer=reviewer,
            memories=remembered,
            options=replace(options, meter=meter),
            facts={
                "folder": cwd,
                "model": model_name,
                "provider": provider_name,
                "sandbox": profile.mode or profile.name,
                "approval": approval,
                "thread": thread_id,
            },
        )
        if tape is not None:
            tape.begin(recorded_header(opened))
        return opened

    def _overlaid(
        self,
        thread_id: ThreadId,
        cwd: str,
        profile: EffectiveProfile,
        options: ThreadOptions,
        before: LoadedThread | None,
    ) -> "Overlaid | None":
        """The view a thread works in instead of its folder; None for most, and nothing is loaded."""
        asked = options.overlay or options.overlay_of is not None
        if not asked and (before is None or not has_overlay(self.home, thread_id)):
            return None
        from octavo.api.overlaid import overlaid  # noqa: PLC0415 - seldom wanted

        return overlaid(self.home, thread_id, cwd, profile, options)

    def _model_name(
        self, options: ThreadOptions, settings: Settings, before: LoadedThread | None
    ) -> str:
        named = options.model or settings.model
        if named is None and before is not None and before.turn_context is not None:
            named = before.turn_context.model or None
        if named is None and isinstance(self._given.model, str | None):
            raise ConfigError(
                "no model is chosen",
                key="model",
                hint='say `-m MODEL`, or set model = "..." in config.toml',
            )
        return named or "scripted"

    def _client(self, settings: Settings) -> tuple[ModelClient, str, int]:
        """The client for the provider in force; one for each provider of an engine."""
        given = self._given.model
        if given is not None and not isinstance(given, str):
            return given, "given", 5
        chosen = provider_settings(settings)
        name = settings.model_provider
        if name not in self._clients:
            key = api_key(chosen, home=self.home, environ=self._environ)
            token = None if chosen.auth is None else self._token(chosen.auth)
            self._clients[name] = HttpModelClient(
                wire_provider(name, chosen, key.reveal() if key else None, self._environ),
                ca_file=next((v for n in CA_VARIABLES if (v := self._environ.get(n))), None),
                originator=self._given.originator,
                token=token,
            )
        return self._clients[name], name, chosen.stream_max_retries

    def _token(self, command: TokenCommand) -> CommandToken:
        folder = self.home if os.path.isdir(self.home) else os.getcwd()
        return CommandToken(command, cwd=folder, environ=self._environ, clock=self._clock)

    def _unreachable_s(self, settings: Settings) -> float | None:
        given = self._given
        if given.unreachable_s is None and given.bounded:
            return settings.unreachable_timeout_ms / 1000
        return given.unreachable_s

    def _sandbox(self, loaded: Loaded) -> Sandbox:
        rules = resolve_profile(loaded.sandbox, cwd=loaded.cwd, default_mode=loaded.default_mode)
        return Sandbox(PermissionProfile(rules, cwd=loaded.cwd))

    @staticmethod
    def _crew(
        settings: Settings,
        options: ThreadOptions,
        group: asyncio.TaskGroup,
        thread_id: ThreadId,
        cwd: str,
    ) -> Crew | None:
        """Who may be started to help; None where nobody may."""
        limits = limits_of(settings.agents)
        if not limits.enabled or options.depth >= limits.depth or options.reviewing:
            return None
        crew = Crew(limits, options, group)
        crew.parent, crew.cwd = thread_id, cwd
        return crew

    @staticmethod
    def _tools(
        sessions: Sessions,
        settings: Settings,
        info: ModelInfo,
        options: ThreadOptions,
        crew: Crew | None,
        repl: "PythonRepl | None",
        more: "tuple[Tool, ...]" = (),
    ) -> Registry:
        agents: tuple[Tool, ...] = () if crew is None else (AgentTools(crew),)
        if repl is not None:
            agents += (repl,)
        return default_registry(
            sessions,
            patch=None
            if options.reviewing
            else ("freeform" if info.freeform_patch else "function"),
            plan=settings.tools.update_plan.enabled,
            search=web_search(settings.web_search) if info.known else None,
            more=(*agents, *more, *options.tools),
            allow_login=settings.allow_login_shell,
            poll_ms=settings.background_terminal_max_timeout,
        )

    def _planning(
        self,
        settings: Settings,
        options: ThreadOptions,
        profile: EffectiveProfile,
        tools: Registry,
        wish: Wish,
        audit: Audit | None,
    ) -> "Callable[[Workspace], Planning]":
        """What is different in a turn of plan mode, once there is one."""
        made: list[Callable[[Workspace], Planning]] = []

        def planning(usual: "Workspace") -> "Planning":
            if not made:
                from octavo.api.planning import InPlanMode  # noqa: PLC0415 - with the first plan

                made.append(
                    InPlanMode(
                        profile,
                        launcher=self._launcher,
                        wish=wish,
                        tools=tools,
                        more=asking(settings, options, plan=True),
                        trusted=options.tools,
                        effort=settings.plan_mode_reasoning_effort,
                        told=settings.include_collaboration_mode_instructions,
                        watch=None if audit is None else audit.workspace,
                    )
                )
            return made[0](usual)

        return planning

    def _skills(self, loaded: Loaded, window: int | None) -> "SkillBook | None":
        """The skills of a folder; None where there are none, and nothing is loaded."""
        if not skill_roots(loaded, self._environ):
            return None
        from octavo.api.skilled import SkillBook  # noqa: PLC0415 - few folders have any

        return SkillBook(loaded, self._environ, window)

    def _remembered(self, settings: Settings, options: ThreadOptions) -> "Memories | None":
        """What earlier threads taught; None where that is off, and for agents."""
        if settings.features.get("memories") is not True or options.depth or options.reviewing:
            return None
        from octavo.api.memories import Memories  # noqa: PLC0415 - off by default

        return Memories(
            self.home,
            settings.memories,
            environ=self._environ,
            now_ms=self._clock.now_ms,
            info_of=lambda name: priced(lookup(name), settings),
            generate=not options.ephemeral and options.record is None,
        )

    def _notify(
        self, settings: Settings, thread_id: ThreadId, cwd: str
    ) -> Callable[[TurnId, str, str | None], None] | None:
        """Tells the program of the settings that a turn is complete."""
        program = settings.notify
        if not program:
            return None

        def tell(turn_id: TurnId, words: str, last_message: str | None) -> None:
            from octavo.notify.program import message, start  # noqa: PLC0415 - only when it is set

            text = message(
                thread_id=thread_id,
                turn_id=turn_id,
                cwd=cwd,
                inputs=[words],
                last_message=last_message,
                client=self._given.originator,
            )
            start(program, text, env=self._environ, cwd=cwd)

        return tell

    def _hooks(
        self,
        loaded: Loaded,
        options: ThreadOptions,
        group: asyncio.TaskGroup,
        thread_id: ThreadId,
        model: str,
        log: ThreadLog,
        *,
        resumed: bool,
    ) -> "tuple[SessionHooks | None, tuple[str, ...]]":
        """The hooks of a folder, and what is to be said; without any, nothing is loaded."""
        if not any_hooks(loaded):
            return None, ()
        from octavo.api.hooking import hooked  # noqa: PLC0415 - few folders have any

        settings = loaded.settings
        found = hooked(
            loaded,
            environment=shape_environment(
                self._environ, settings.shell_environment_policy, thread_id
            ),
            group=group,
            thread_id=thread_id,
            model=model,
            approval=approval_word(settings),
            somebody=options.approver is not None,
            transcript=log.path,
            resumed=resumed,
            bypass=self._given.bypass_hook_trust,
        )
        return found.hooks, found.warnings

    @staticmethod
    def _instructions(settings: Settings) -> str:
        path = settings.model_instructions_file
        return BASE if path is None else text_of_file("model_instructions_file", path)

    @staticmethod
    def _compact_prompt(settings: Settings) -> str | None:
        path = settings.experimental_compact_prompt_file
        if settings.compact_prompt is not None or path is None:
            return settings.compact_prompt
        return text_of_file("experimental_compact_prompt_file", path)

    def _meta(
        self, thread_id: ThreadId, cwd: str, options: ThreadOptions, loaded: Loaded
    ) -> SessionMeta:
        return SessionMeta(
            id=thread_id,
            timestamp=stamp(self._clock.now_ms()),
            cwd=cwd,
            originator=self._given.originator,
            cli_version=__version__,
            session_id=thread_id,
            source=options.source,
            thread_source="user" if options.parent is None else "subagent",
            parent_thread_id=None if options.parent is None else ThreadId(options.parent),
            model_provider=loaded.settings.model_provider,
            base_instructions={
                "text": options.base_instructions or self._instructions(loaded.settings)
            },
            runtime_workspace_roots=(cwd,),
        )


def looking(profile: EffectiveProfile) -> EffectiveProfile:
    """The profile of a reviewer."""
    from octavo.api.planning import read_only  # noqa: PLC0415 - seldom needed

    return read_only(profile)


def only_inside(place: "Workspace", profile: EffectiveProfile) -> None:
    """Nothing of a reviewer runs outside the sandbox, whatever rules say."""
    from octavo.api.planning import LooksOnly, inside_only  # noqa: PLC0415 - seldom needed

    place.launcher, place.access = inside_only(place.launcher), LooksOnly(profile)


def goals_of(
    settings: Settings, options: ThreadOptions, meter: Meter, before: LoadedThread | None
) -> "Goaling | None":
    """The goal of a thread, where threads may have one; else nothing is loaded."""
    if settings.features.get("goals") is not True or options.depth or options.reviewing:
        return None
    from octavo.api.goaling import Goaling  # noqa: PLC0415 - only where the switch is on

    return Goaling(settings.goals.max_goal_token_budget, meter, before)


def asking(settings: Settings, options: ThreadOptions, *, plan: bool) -> "tuple[Tool, ...]":
    """The tool that asks a person, where one answers and the mode allows it."""
    allowed = settings.tools.experimental_request_user_input.enabled and not options.depth
    wanted = plan or settings.features.get("default_mode_request_user_input") is True
    if options.questioner is None or not (allowed and wanted):
        return ()
    from octavo.tools.ask import RequestUserInput  # noqa: PLC0415 - seldom offered

    return (RequestUserInput(options.questioner),)


def loaded_session(parts: Parts, before: LoadedThread | None) -> Session:
    """A session with everything a thread from disk has seen."""
    if before is None:
        return Session(parts)
    return Session(
        parts,
        history=before.items,
        total=before.usage,
        last=before.tokens.last_token_usage if before.items else None,
        told=surroundings_of(before),
        windows=before.compactions,
    )


def answers(hooks: "SessionHooks | None") -> bool:
    """May hooks answer questions, where nobody else can?"""
    return hooks is not None and hooks.wants("PermissionRequest")


def desk_for(desk: Desk, person: Approver) -> Approver:
    """The desk, with whoever is asked at last."""
    desk.person = person
    return desk


def surroundings_of(before: LoadedThread) -> Surroundings | None:
    """What the model was told last, where this program wrote it down; else it is told again."""
    try:
        return convert(before.world_state, Surroundings)
    except ValidationError:
        return None


def ending(commands: Commands, crew: Crew) -> Callable[[], Awaitable[None]]:
    """Ends what a stopped turn leaves: commands, and agents at work."""

    async def end() -> None:
        await commands.end_all()
        await crew.interrupt_all()

    return end


def effort_of(options: ThreadOptions, settings: Settings) -> Effort | None:
    """How hard the model thinks, where somebody said it."""
    named = options.effort
    if named is None:
        return settings.model_reasoning_effort
    try:
        found: Effort = convert(named, Effort)
    except ValidationError:
        raise UsageError(f"{named!r} is no reasoning effort") from None
    return found


def python_repl() -> "PythonRepl":
    """The Python tool, which is seldom switched on."""
    from octavo.tools.python_repl import PythonRepl  # noqa: PLC0415 - seldom wanted

    return PythonRepl()


def reviewer_for(session: Session, settings: Settings, options: ThreadOptions) -> "Reviewer":
    """A model that answers in place of a person."""
    from octavo.engine.reviewer import Reviewer  # noqa: PLC0415 - seldom wanted

    own = settings.auto_review
    return Reviewer(
        session, policy=own.policy, model=own.model, user_present=options.approver is not None
    )


def taped_to(path: str) -> Tape:
    """A recording to a file."""
    from octavo.api.recording import open_tape  # noqa: PLC0415 - seldom wanted

    return open_tape(path)


def recorded_header(opened: Opened) -> Header:
    """What a recording has to know of a session."""
    from octavo.api.recording import header_of  # noqa: PLC0415 - seldom wanted

    return header_of(opened.session, opened.facts, opened.warnings)


def text_of_file(key: str, path: str) -> str:
    """A text that the settings name by its file. Raises ConfigError."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"{key}: cannot be read: {reason}", file=path) from error


def priced(info: ModelInfo, settings: Settings) -> ModelInfo:
    """What is known about a model, with the settings' own price."""
    given = settings.model_prices.get(info.name)
    if given is None:
        return info
    cached = given.input if given.cached_input is None else given.cached_input
    return replace(info, price=Price(input=given.input, cached_input=cached, output=given.output))


def meter_of(settings: Settings, info: ModelInfo) -> Meter:
    """What may be spent. Raises LimitReached for a budget in money nobody can count."""
    limits = settings.budget
    meter = Meter(
        Budget(tokens=limits.tokens, usd=limits.usd, seconds=limits.seconds, turns=limits.turns)
    )
    meter.priced(info)
    return meter


def redactor(held: Mapping[str, str]) -> Redactor | None:
    """Takes the values of held-back variables out of what commands print; None: there are none."""
    if not held:
        return None
    found = Redactor(held)
    return found if found.any else None


def approval_word(settings: Settings) -> str:
    """The approval policy in one word."""
    policy = settings.approval_policy
    if not isinstance(policy, str):
        return "granular"
    return "on-request" if policy == "on-failure" else policy


def wire_provider(
    name: str, chosen: ModelProvider, key: str | None, environ: Mapping[str, str]
) -> Provider:
    """The settings of a provider with everything from the environment put in."""
    headers = dict(chosen.http_headers)
    for header, variable in chosen.env_http_headers.items():
        if environ.get(variable):
            headers[header] = environ[variable]
    return Provider(
        id=name,
        name=chosen.name or name,
        base_url=chosen.base_url or "",
        wire_api=chosen.wire_api,
        env_key=chosen.env_key,
        api_key=key,
        headers=headers,
        query=chosen.query_params,
        request_max_retries=chosen.request_max_retries,
        stream_max_retries=chosen.stream_max_retries,
        stream_idle_timeout_ms=chosen.stream_idle_timeout_ms,
        connect_timeout_ms=chosen.websocket_connect_timeout_ms,
    )
