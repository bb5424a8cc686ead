"""What few sessions have: each part is loaded only where settings or options ask for it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from octavo.api.chosen import approval_word, priced
from octavo.api.options import ThreadOptions
from octavo.api.ruling import granular_of
from octavo.config.environment import shape_environment
from octavo.config.extras import any_hooks, skill_roots
from octavo.config.schema import Settings
from octavo.config.settings import Loaded
from octavo.engine.budget import Meter
from octavo.engine.session import Session, Workspace
from octavo.engine.tape import Tape
from octavo.model.catalog import lookup
from octavo.policy.profile import EffectiveProfile
from octavo.protocol.ids import ThreadId, TurnId
from octavo.protocol.seams import Clock
from octavo.store.layout import has_overlay
from octavo.store.thread import LoadedThread

if TYPE_CHECKING:
    from octavo.api.goaling import Goaling
    from octavo.api.mcp import McpSession
    from octavo.api.memories import Memories
    from octavo.api.opened import Opened
    from octavo.api.overlaid import Overlaid
    from octavo.api.skilled import SkillBook
    from octavo.engine.hooks import SessionHooks
    from octavo.engine.reviewer import Reviewer
    from octavo.tools.base import Launcher, Tool
    from octavo.tools.python_repl import PythonRepl


def overlay_for(
    home: str,
    thread_id: ThreadId,
    cwd: str,
    profile: EffectiveProfile,
    options: ThreadOptions,
    before: LoadedThread | None,
) -> "Overlaid | None":
    """The view a thread works in instead of its folder; None for most."""
    asked = options.overlay or options.overlay_of is not None
    if not asked and (before is None or not has_overlay(home, thread_id)):
        return None
    from octavo.api.overlaid import overlaid  # noqa: PLC0415 - seldom wanted

    return overlaid(home, thread_id, cwd, profile, options)


def looking(profile: EffectiveProfile) -> EffectiveProfile:
    """The profile of a reviewer."""
    from octavo.api.planning import read_only  # noqa: PLC0415 - seldom needed

    return read_only(profile)


def only_inside(place: Workspace, profile: EffectiveProfile) -> None:
    """Nothing of a reviewer runs outside the sandbox, whatever rules say."""
    from octavo.api.planning import LooksOnly, inside_only  # noqa: PLC0415 - seldom needed

    place.launcher, place.access = inside_only(place.launcher), LooksOnly(profile)


def skills_for(
    loaded: Loaded, environ: Mapping[str, str], window: int | None
) -> "SkillBook | None":
    """The skills of a folder; None where there are none."""
    if not skill_roots(loaded, environ):
        return None
    from octavo.api.skilled import SkillBook  # noqa: PLC0415 - few folders have any

    return SkillBook(loaded, environ, window)


def memories_for(
    home: str, environ: Mapping[str, str], clock: Clock, settings: Settings, options: ThreadOptions
) -> "Memories | None":
    """What earlier threads taught; None where that is off, and for agents."""
    if settings.features.get("memories") is not True or options.depth or options.reviewing:
        return None
    from octavo.api.memories import Memories  # noqa: PLC0415 - off by default

    return Memories(
        home,
        settings.memories,
        environ=environ,
        now_ms=clock.now_ms,
        info_of=lambda name: priced(lookup(name), settings),
        generate=not options.ephemeral and options.record is None,
    )


def hooks_for(
    loaded: Loaded,
    options: ThreadOptions,
    group: asyncio.TaskGroup,
    *,
    thread_id: ThreadId,
    model: str,
    environ: Mapping[str, str],
    transcript: str | None,
    resumed: bool,
    bypass: bool,
) -> "tuple[SessionHooks | None, tuple[str, ...]]":
    """The hooks of a folder, and what is to be said of them."""
    if not any_hooks(loaded):
        return None, ()
    from octavo.api.hooking import hooked  # noqa: PLC0415 - few folders have any

    settings = loaded.settings
    found = hooked(
        loaded,
        environment=shape_environment(environ, settings.shell_environment_policy, thread_id),
        group=group,
        thread_id=thread_id,
        model=model,
        approval=approval_word(settings),
        somebody=options.approver is not None,
        transcript=transcript,
        resumed=resumed,
        bypass=bypass,
    )
    return found.hooks, found.warnings


def goals_for(
    settings: Settings,
    options: ThreadOptions,
    meter: Meter,
    clock: Clock,
    before: LoadedThread | None,
) -> "Goaling | None":
    """The goal of a thread, where threads may have one."""
    wanted = settings.features.get("goals", options.goals) is True
    if not wanted or options.depth or options.reviewing:
        return None
    from octavo.api.goaling import Goaling  # noqa: PLC0415 - only where the switch is on

    return Goaling(settings.goals.max_goal_token_budget, meter, clock, before)


def asking(settings: Settings, options: ThreadOptions, *, plan: bool) -> "tuple[Tool, ...]":
    """The tool that asks a person, where one answers and the mode allows it."""
    allowed = settings.tools.experimental_request_user_input.enabled and not options.depth
    wanted = plan or settings.features.get("default_mode_request_user_input") is True
    if options.questioner is None or not (allowed and wanted):
        return ()
    from octavo.tools.ask import RequestUserInput  # noqa: PLC0415 - seldom offered

    return (RequestUserInput(options.questioner),)


def mcp_for(
    loaded: Loaded,
    options: ThreadOptions,
    group: asyncio.TaskGroup,
    *,
    home: str,
    environ: Mapping[str, str],
    launcher: "Launcher",
) -> "McpSession | None":
    """The MCP servers of a thread, starting; None for most. Raises ConfigError."""
    if not loaded.settings.mcp_servers or options.reviewing:
        return None
    from octavo.api.mcp import session_for  # noqa: PLC0415 - few have servers

    granular = granular_of(loaded.settings)
    silent = approval_word(loaded.settings) == "never"
    silent = silent or (granular is not None and not granular.mcp_elicitations)
    return session_for(
        loaded,
        group,
        home=home,
        environ=environ,
        launcher=launcher,
        elicit=None if silent else options.elicitor,
    )


def repl_for(settings: Settings) -> "PythonRepl | None":
    """The Python tool, where it is switched on."""
    if settings.features.get("python_repl") is not True:
        return None
    from octavo.tools.python_repl import PythonRepl  # noqa: PLC0415 - seldom wanted

    return PythonRepl()


def reviewer_for(session: Session, settings: Settings, options: ThreadOptions) -> "Reviewer":
    """A model that answers in place of a person."""
    from octavo.engine.reviewer import Reviewer  # noqa: PLC0415 - seldom wanted

    own = settings.auto_review
    return Reviewer(
        session, policy=own.policy, model=own.model, user_present=options.approver is not None
    )


def notify_for(
    settings: Settings,
    *,
    thread_id: ThreadId,
    cwd: str,
    environ: Mapping[str, str],
    client: str,
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
            client=client,
        )
        start(program, text, env=environ, cwd=cwd)

    return tell


def tape_for(options: ThreadOptions) -> Tape | None:
    """A recording to a file, where one is wanted."""
    if options.record is None:
        return None
    from octavo.api.recording import open_tape  # noqa: PLC0415 - seldom wanted

    return open_tape(options.record)


def begin_tape(tape: Tape, opened: "Opened") -> None:
    """Write what a recording has to know of its session."""
    from octavo.api.recording import header_of  # noqa: PLC0415 - seldom wanted

    tape.begin(header_of(opened.session, opened.facts, opened.warnings))
