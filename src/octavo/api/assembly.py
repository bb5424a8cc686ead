"""One session, put together from settings, options and a thread's past.

The order matters: what may be done comes first, then what is told, then who does it.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from octavo.api.agents import Crew, limits_of
from octavo.api.chosen import (
    approval_word,
    compact_prompt,
    effort_of,
    instructions,
    loaded_session,
    meter_of,
    model_name,
    priced,
    redactor,
    unreachable_s,
)
from octavo.api.keeping import Audit, checkpoints_for
from octavo.api.opened import Commands, Opened, refuse
from octavo.api.options import Given, ThreadOptions
from octavo.api.pictures import data_url
from octavo.api.providers import Clients
from octavo.api.ruling import HostQuestions, Ruling, granular_of
from octavo.api.sandbox import PermissionProfile, Sandbox, settle
from octavo.api.seldom import (
    asking,
    begin_tape,
    goals_for,
    hooks_for,
    looking,
    mcp_for,
    memories_for,
    notify_for,
    only_inside,
    overlay_for,
    repl_for,
    reviewer_for,
    skills_for,
    tape_for,
)
from octavo.api.workspace import short_hash, workspace
from octavo.api.world import timezone, today, user_shell
from octavo.config.environment import held_back, shape_environment
from octavo.config.instructions import project_instructions
from octavo.config.load import resolve_profile
from octavo.config.settings import Loaded
from octavo.engine.approvals import Desk
from octavo.engine.context import Surroundings
from octavo.engine.session import Parts, Planning, Session, Workspace
from octavo.engine.tape import TapedClock, TapedIds
from octavo.model.catalog import lookup
from octavo.protocol import events
from octavo.protocol.approvals import Approver
from octavo.protocol.ids import ThreadId, TurnId
from octavo.protocol.seams import Clock, Ids
from octavo.protocol.usage import BYTES_PER_TOKEN
from octavo.sandbox.launcher import GATES, HOSTS_NOTE, Launcher
from octavo.sandbox.request import is_limited
from octavo.store.base import ThreadLog
from octavo.store.layout import has_overlay
from octavo.store.thread import LoadedThread
from octavo.tools.agents import AgentTools
from octavo.tools.defaults import default_registry
from octavo.tools.registry import Registry
from octavo.tools.sessions import Sessions
from octavo.tools.web_search import web_search

if TYPE_CHECKING:
    from octavo.api.mcp import McpSession
    from octavo.engine.checkpoints import Checkpoints
    from octavo.engine.reviewer import Reviewer
    from octavo.tools.base import Tool


class Common(Struct, frozen=True, kw_only=True):
    """What all sessions of an engine share."""

    home: str
    environ: Mapping[str, str]
    given: Given
    clock: Clock
    ids: Ids
    launcher: Launcher
    clients: Clients


class Assembly:
    """The parts of one session while it is made. Raises ConfigError, SandboxUnavailable."""

    def __init__(
        self,
        common: Common,
        loaded: Loaded,
        options: ThreadOptions,
        log: ThreadLog,
        thread_id: ThreadId,
        group: asyncio.TaskGroup,
        before: LoadedThread | None = None,
    ) -> None:
        self.common = common
        self.loaded = loaded
        self.settings = loaded.settings
        self.log = log
        self.thread_id = thread_id
        self.group = group
        self.before = before
        self.mcp: McpSession | None = None
        self._choose_model(options)
        self._draw_borders()
        self._find_texts()
        self._decide_who_is_asked()

    # ---- what may be done -----------------------------------------------------------------

    def _choose_model(self, options: ThreadOptions) -> None:
        self.model = model_name(self.common.given, options, self.settings, self.before)
        self.info = priced(lookup(self.model), self.settings)
        self.window = self.settings.model_context_window or self.info.context_window
        self.client, self.provider, self.retries = self.common.clients.client(self.settings)
        meter = meter_of(options.meter, self.settings, self.info)
        self.options = replace(options, meter=meter)
        self.meter = meter

    def _draw_borders(self) -> None:
        """The profile of commands, and the view they work in."""
        common, options, cwd = self.common, self.options, self.loaded.cwd
        sandbox = options.sandbox or usual_sandbox(self.loaded)
        rules = sandbox.profile.rules
        self.profile = self.worked = settle(rules, cwd, common.environ, home=common.home)
        self.memories = memories_for(
            common.home, common.environ, common.clock, self.settings, options
        )
        if self.memories is not None:  # undo is about `worked`: memories are not the user's work
            opened = self.memories.opened(rules)
            self.profile = settle(opened, cwd, common.environ, home=common.home)
        if options.reviewing:
            self.profile = looking(self.profile)
        self.apart = overlay_for(
            common.home, self.thread_id, cwd, self.profile, options, self.before
        )
        self.wish = sandbox.wish
        if self.apart is not None:
            self.wish = self.apart.wish(self.wish)
            owner = options.overlay_of or self.thread_id
            self.options = replace(options, overlay_of=owner)

    # ---- what is told ---------------------------------------------------------------------

    def _find_texts(self) -> None:
        common, settings = self.common, self.settings
        self.skills = skills_for(self.loaded, common.environ, self.window)
        self.documents = project_instructions(self.loaded.cwd, common.home, settings)
        self.held = held_back(common.environ, settings.shell_environment_policy)
        self.hidden = redactor(self.held)
        self.ruling = Ruling(self.loaded)

    def _decide_who_is_asked(self) -> None:
        options = self.options
        self.hooks, self.said_of_hooks = hooks_for(
            self.loaded,
            options,
            self.group,
            thread_id=self.thread_id,
            model=self.model,
            environ=self.common.environ,
            transcript=self.log.path,
            resumed=self.before is not None,
            bypass=self.common.given.bypass_hook_trust,
        )
        self.reviewed = self.settings.approvals_reviewer != "user"
        hook_answers = self.hooks is not None and self.hooks.wants("PermissionRequest")
        asked = options.approver is not None or hook_answers or self.reviewed
        asked = asked and not options.reviewing
        self.approval = approval_word(self.settings) if asked else "never"
        self.hosts = HostQuestions(
            self.ruling, self.common.ids, self.loaded.cwd, asks=self.approval != "never"
        )
        self.desk = Desk(
            refuse,
            first=() if self.hooks is None else (self.hooks.permit,),
            remember=self.ruling.remember,
            remember_host=self.ruling.remember_host,
        )

    def _surroundings(self, shell: str) -> Surroundings:
        settings, options, project = self.settings, self.options, self.documents.text
        texts = (options.role, settings.developer_instructions)
        return Surroundings(
            cwd=self.loaded.cwd,
            shell=os.path.basename(shell),
            date=today(self.common.clock.now_ms()),
            timezone=timezone(self.common.environ),
            approval=self.approval,
            developer="\n\n".join(text for text in texts if text),
            project=project,
            project_folder=self.loaded.cwd if project else "",
            skills="" if self.skills is None else self.skills.text,
            memories="" if self.memories is None else self.memories.text,
            held_back=tuple(self.held),
            approved=() if options.reviewing else self.ruling.approved,
            with_environment=settings.include_environment_context,
        )

    # ---- who does it ----------------------------------------------------------------------

    def _workspace(self) -> Workspace:
        shell = user_shell(self.common.environ)
        place = workspace(
            self.profile,
            cwd=self.loaded.cwd,
            launcher=self.common.launcher,
            wish=self.wish,
            environment=shape_environment(
                self.common.environ, self.settings.shell_environment_policy, self.thread_id
            ),
            shell=shell,
            surroundings=self._surroundings(shell),
            asker=self.hosts,
        )
        if self.apart is not None:
            self.apart.close_in(place, self.profile)
        elif self.options.reviewing:
            only_inside(place, self.profile)
        return place

    def _audit(self, place: Workspace) -> Audit | None:
        if not self.settings.audit.enabled or self.options.ephemeral:
            return None
        audit = Audit(
            self.settings,
            self.profile,
            home=self.common.home,
            thread=self.thread_id,
            approval=self.approval,
            redact=None if self.hidden is None else self.hidden.text,
        )
        audit.workspace(place)
        self.hosts.audit = audit.add
        return audit

    def _crew(self) -> Crew | None:
        """Who may be started to help; None where nobody may."""
        limits = limits_of(self.settings.agents)
        if not limits.enabled or self.options.depth >= limits.depth or self.options.reviewing:
            return None
        crew = Crew(limits, self.options, self.group)
        crew.parent, crew.cwd = self.thread_id, self.loaded.cwd
        return crew

    def _tools(self, sessions: Sessions, more: "Iterable[Tool]") -> Registry:
        settings, info = self.settings, self.info
        patch = "freeform" if info.freeform_patch else "function"
        return default_registry(
            sessions,
            patch=None if self.options.reviewing else patch,
            plan=settings.tools.update_plan.enabled,
            search=web_search(settings.web_search) if info.known else None,
            more=(*more, *self.options.tools),
            allow_login=settings.allow_login_shell,
            poll_ms=settings.background_terminal_max_timeout,
        )

    def _approver(self, audit: Audit | None) -> Approver:
        person = self.options.approver or refuse

        def decides(approver: Approver) -> Approver:
            self.desk.person = approver
            return self.desk

        return decides(person) if audit is None else audit.approver(person, decides)

    def _planning(self, tools: Registry, audit: Audit | None) -> Callable[[Workspace], Planning]:
        """What is different in a turn of plan mode, once there is one."""
        made: list[Callable[[Workspace], Planning]] = []

        def planning(usual: Workspace) -> Planning:
            if not made:
                from octavo.api.planning import InPlanMode  # noqa: PLC0415 - with the first plan

                made.append(
                    InPlanMode(
                        self.profile,
                        launcher=self.common.launcher,
                        wish=self.wish,
                        tools=tools,
                        more=asking(self.settings, self.options, plan=True),
                        trusted=self.options.tools,
                        effort=self.settings.plan_mode_reasoning_effort,
                        told=self.settings.include_collaboration_mode_instructions,
                        watch=None if audit is None else audit.workspace,
                    )
                )
            return made[0](usual)

        return planning

    def _warnings(self) -> tuple[str, ...]:
        """What users should know before the first turn."""
        said = [*self.loaded.warnings, *self.documents.warnings, *self.profile.warnings]
        said += [*self.said_of_hooks, *self.ruling.warnings]
        before = self.before
        if self.apart is not None:
            said += self.apart.warnings
        elif before and before.id != self.thread_id and has_overlay(self.common.home, before.id):
            said.append(f"begins without the overlay of thread {before.id}: in the real folder")
        said += () if self.skills is None else self.skills.warnings
        said += () if self.memories is None else self.memories.warnings
        said += () if self.mcp is None else self.mcp.warnings
        if is_limited(self.profile) and not GATES:
            said.append(HOSTS_NOTE)
        if not self.info.known:
            said.append(
                f"nothing is known about the model {self.model!r}: usual limits are assumed"
            )
        return tuple(dict.fromkeys(said))

    def _speak_through(self, session: Session, audit: Audit | None, crew: Crew | None) -> None:
        """Parts that were made before the session learn where to say things."""

        def warn(text: str) -> None:
            session.publish(events.Warned(message=text))

        self.ruling.warn = self.desk.warn = warn
        if audit is not None:
            audit.warn = warn
        if crew is not None:
            crew.parent_session = session
        if self.hooks is not None:
            self.hooks.publish = session.publish

    async def _with_servers(self, mcp: "McpSession", parts: Parts) -> None:
        """The tools of MCP servers join the others. Raises McpError when a required one fails."""
        from octavo.api.mcp import remember_for  # noqa: PLC0415 - loaded by now

        parts.tools.sources = (mcp.source,)
        parts.before_request = mcp.ready
        self.desk.remember_tool = remember_for(self.loaded, self.common.home, self.desk.warn)
        await mcp.required()
        if parts.tape is not None:  # a recording knows its tools from the beginning
            await mcp.ready()

    def _reviewer(self, session: Session) -> "Reviewer | None":
        if not self.reviewed or self.approval not in ("on-request", "granular"):
            return None
        reviewer = reviewer_for(session, self.settings, self.options)
        self.desk.reviewers.append(reviewer)
        return reviewer

    async def build(self) -> Opened:
        """The session. What runs for it belongs to the group."""
        commands = Commands(self.group)
        try:
            return await self._build(commands)
        except BaseException:
            if self.mcp is not None:
                await self.mcp.close()
            await commands.close()
            raise

    async def _build(self, commands: Commands) -> Opened:
        settings, options = self.settings, self.options
        place = self._workspace()
        self.ruling.place = place
        self.mcp = mcp_for(
            self.loaded,
            options,
            self.group,
            home=self.common.home,
            environ=self.common.environ,
            launcher=place.launcher,
        )
        sessions = await commands.sessions()
        repl, crew = repl_for(settings), self._crew()
        goals = goals_for(settings, options, self.meter, self.common.clock, self.before)
        audit = self._audit(place)
        more = [*asking(settings, options, plan=False)]
        more[:0] = () if goals is None else goals.tools
        more[:0] = () if repl is None else (repl,)
        more[:0] = () if crew is None else (AgentTools(crew),)
        parts = self._parts(place, sessions, self._tools(sessions, more), audit)
        parts.end_commands = commands.end_all if crew is None else ending(commands, crew)
        parts.goals = None if goals is None else goals.keeper
        self.hosts.approver = parts.approver
        session = loaded_session(parts, self.before)
        if goals is not None:
            goals.begin(session)
        self._speak_through(session, audit, crew)
        if self.mcp is not None:
            await self._with_servers(self.mcp, parts)
        opened = Opened(
            session=session,
            load=data_url,
            home=self.common.home,
            warnings=self._warnings(),
            commands=commands,
            crew=crew,
            repl=repl,
            mcp=self.mcp,
            reviewer=self._reviewer(session),
            memories=self.memories,
            options=options,
            facts=self._facts(),
        )
        if parts.tape is not None:
            begin_tape(parts.tape, opened)
        if self.mcp is not None:  # after the first line of a recording
            self.mcp.speak_through(session.publish)
        return opened

    def _parts(
        self, place: Workspace, sessions: Sessions, tools: Registry, audit: Audit | None
    ) -> Parts:
        common, settings, options, info = self.common, self.settings, self.options, self.info
        cwd, tape = self.loaded.cwd, tape_for(options)
        limit = settings.tool_output_token_limit or info.output_limit_bytes // BYTES_PER_TOKEN
        return Parts(
            thread_id=self.thread_id,
            model=self.client,
            model_name=self.model,
            info=info,
            tools=tools,
            log=self.log,
            clock=common.clock if tape is None else TapedClock(common.clock, tape),
            ids=common.ids if tape is None else TapedIds(common.ids, tape),
            tape=tape,
            approver=self._approver(audit),
            checkpoints=self._checkpoints(),
            audit=audit,
            end_commands=sessions.end_all,
            workspace=place,
            instructions=options.base_instructions or instructions(settings),
            approval_policy=self.approval,
            granular=granular_of(settings),
            rules=self.ruling,
            desk=self.desk,
            effort=effort_of(options, settings) or info.default_effort,
            summary=settings.model_reasoning_summary if info.reasoning_summary else None,
            verbosity=settings.model_verbosity if info.verbosity else None,
            service_tier=settings.service_tier,
            stream_retries=self.retries,
            unreachable_s=unreachable_s(common.given, settings),
            window=self.window,
            output_tokens=limit,
            compact_at=settings.model_auto_compact_token_limit,
            compact_prompt=compact_prompt(settings),
            running_commands=sessions.described,
            hash_file=lambda path: short_hash(cwd, path, place.located),
            meter=self.meter,
            redact=self.hidden,
            hooks=self.hooks,
            notify=self._notify(),
            named_skills=None if self.skills is None else self.skills.named,
            planning=self._planning(tools, audit),
        )

    def _checkpoints(self) -> "Checkpoints | None":
        if self.options.ephemeral:
            return None
        return checkpoints_for(
            self.settings,
            self.worked,
            home=self.common.home,
            thread=self.thread_id,
            cwd=self.loaded.cwd,
            apart=None if self.apart is None else self.apart.root,
        )

    def _notify(self) -> Callable[[TurnId, str, str | None], None] | None:
        if self.options.reviewing:
            return None
        return notify_for(
            self.settings,
            thread_id=self.thread_id,
            cwd=self.loaded.cwd,
            environ=self.common.environ,
            client=self.common.given.originator,
        )

    def _facts(self) -> dict[str, str]:
        """What a door shows of a session."""
        return {
            "folder": self.loaded.cwd,
            "model": self.model,
            "provider": self.provider,
            "sandbox": self.profile.mode or self.profile.name,
            "approval": self.approval,
            "thread": self.thread_id,
        }


def usual_sandbox(loaded: Loaded) -> Sandbox:
    """The sandbox of the settings."""
    rules = resolve_profile(loaded.sandbox, cwd=loaded.cwd, default_mode=loaded.default_mode)
    return Sandbox(PermissionProfile(rules, cwd=loaded.cwd))


def ending(commands: Commands, crew: Crew) -> Callable[[], Awaitable[None]]:
    """Ends what a stopped turn leaves: commands, and agents at work."""

    async def end() -> None:
        await commands.end_all()
        await crew.interrupt_all()

    return end
