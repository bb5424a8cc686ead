"""One headless run: open the engine, ask, show what happens, say how it ended with an exit code.

The door decides nothing about the work; it turns options into settings, events into text, and the
ending into a number. See docs/exec.md for the table.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from octavo._version import __version__
from octavo.api.engine import Engine
from octavo.api.sandbox import state_home
from octavo.api.thread import Thread, Turn
from octavo.config.providers import LOCAL, provider
from octavo.config.schema import Settings
from octavo.config.settings import Loaded, load_settings
from octavo.exec.ask import TerminalApprover
from octavo.exec.beside import beside
from octavo.exec.human import Human
from octavo.exec.jsonl import JsonLines
from octavo.exec.options import Options
from octavo.exec.outcome import (
    ExecError,
    code_of,
    git_refusal,
    pictures_from,
    schema_from,
    write_last,
)
from octavo.exec.plain import plain
from octavo.exec.prompt import prompt_from
from octavo.exec.screen import STDIN, Screen
from octavo.model.catalog import lookup
from octavo.protocol import events, items
from octavo.protocol.content import TextInput, UserInput
from octavo.protocol.errors import ConfigError, OctavoError, UsageError
from octavo.protocol.ids import ThreadId
from octavo.protocol.wire import JSON
from octavo.store.errors import ThreadNotFound

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from octavo.engine.modes import Mode
    from octavo.exec.questions import TerminalQuestioner

ORIGINATOR: Final = "codex_exec"
"""What existing servers and clients know a headless run by."""
BROKEN_PIPE: Final = 128 + 13
STOPPING: Final = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))
)
ROOTS: Final = "sandbox_workspace_write.writable_roots"
READ_ONLY: Final = (
    "--add-dir has no effect: the sandbox is read-only (-s workspace-write changes that)"
)
KEEP: Final = "`octavo keep {0}` brings them into the folder, `octavo drop {0}` throws them away"
MOST_SHOWN: Final = 2000
"""Characters of the prompt that people are shown again."""


def run(options: Options, environ: Mapping[str, str]) -> int:
    """Do it; returns the exit code. Raises OctavoError for what is wrong before anything began."""
    folder = options.cwd or os.getcwd()
    if not os.path.isdir(folder):
        raise ExecError(f"No such file or directory: {folder}", hint="check -C")
    if options.ephemeral and (options.last or options.resume is not None):
        raise UsageError("--ephemeral is for new threads; one that is resumed is kept already")
    schema = schema_from(options.schema_file)
    pictures = pictures_from(options.images)
    screen = Screen(colour=options.colour, environ=environ)

    def note(line: str) -> None:
        screen.note(line + "\n")

    if options.review is not None:
        options, text = review_asked(options, note=note)
    else:
        text = prompt_from(options.prompt, STDIN, note=note, resumed=options.resumed)
    for one in options.notes:
        screen.note(f"octavo: {plain(one)}\n")
    inputs: list[UserInput] = [TextInput(text=text), *pictures]
    return asyncio.run(Run(options, environ, folder, schema, inputs, screen).work())


def review_asked(options: Options, *, note: Callable[[str], None]) -> tuple[Options, str]:
    """A review with its words read from standard input where they are there, and what it is."""
    from octavo.engine.review import Custom, words_of  # noqa: PLC0415 - seldom used

    target = options.review
    assert target is not None
    if isinstance(target, Custom) and target.instructions == "-":
        target = Custom(instructions=prompt_from("-", STDIN, note=note))
        options = replace(options, review=target)
    return options, f"review {words_of(target)}"


def silent(_text: str) -> None:
    """For results that are shown in another form."""


class Run:
    """One run, once its options are known to make sense."""

    def __init__(
        self,
        options: Options,
        environ: Mapping[str, str],
        folder: str,
        schema: dict[str, Any] | None,
        inputs: list[UserInput],
        screen: Screen,
    ) -> None:
        self._options = options
        self._environ = environ
        self._folder = folder
        self._schema = schema
        self._inputs = inputs
        self._screen = screen
        self._lines = JsonLines()
        self._human: Human | None = None
        self._review: items.Review | None = None
        self._signal = 0
        self._stopping = asyncio.Event()

    async def work(self) -> int:
        """Until the turn is over and everything is closed."""
        options = self._options
        with suppress(NotImplementedError):  # Windows
            loop = asyncio.get_running_loop()
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, a job in the background
                    loop.add_signal_handler(number, self._stop, number)
        async with Engine.open(
            environ=self._environ,
            overrides=options.overrides,
            profile=options.profile,
            flags=self._flags(),
            strict=options.strict,
            user_settings=options.user_settings,
            originator=ORIGINATOR,
            bounded=True,
            bypass_hook_trust=options.bypass_hook_trust,
        ) as engine:
            loaded = engine.settings(self._folder)
            refusal = None if options.skip_git_check else git_refusal(loaded)
            if refusal is not None:
                raise refusal
            try:
                thread = await self._thread(engine, loaded)
            except ConfigError as error:
                raise self._without_key(error, loaded) from error
            code = await self._ask(thread)
        if self._signal not in (0, signal.SIGINT):
            signal.signal(self._signal, signal.SIG_DFL)
            os.kill(os.getpid(), self._signal)
        return code

    def _flags(self) -> dict[str, object]:
        flags = dict(self._options.flags)
        if self._options.local and "model_provider" not in flags:
            flags["model_provider"] = self._settings(flags).oss_provider or LOCAL[0]
        if self._options.add_dirs:
            known = self._settings(flags).sandbox_workspace_write.writable_roots
            flags[ROOTS] = list(dict.fromkeys((*known, *self._options.add_dirs)))
        return flags

    def _settings(self, flags: Mapping[str, object]) -> Settings:
        """The settings that options only add to."""
        options = self._options
        return load_settings(
            home=state_home(self._environ),
            cwd=os.path.realpath(self._folder),
            environ=self._environ,
            overrides=options.overrides,
            profile=options.profile,
            flags=flags,
            user_settings=options.user_settings,
        ).settings

    async def _thread(self, engine: Engine, loaded: Loaded) -> Thread:
        """Start, resume or fork."""
        options = self._options
        approver = None
        chosen = loaded.chosen("approval_policy") and loaded.settings.approval_policy != "never"
        if chosen and self._screen.can_ask and not options.as_json:
            approver = TerminalApprover(note=self._screen.note, ask=self._screen.ask)
        record = options.record_file
        questioner = self._questioner(loaded)
        if options.fork is not None:
            found = self._find(engine, options.fork)
            return await engine.fork_thread(
                found,
                cwd=self._folder,
                approver=approver,
                source="exec",
                record=record,
                questioner=questioner,
            )
        if options.last or options.resume is not None:
            found = self._find(engine, options.resume)
            return await engine.resume_thread(
                found,
                cwd=self._folder,
                approver=approver,
                record=record,
                questioner=questioner,
                overlay=options.overlay,
            )
        return await engine.start_thread(
            cwd=self._folder,
            approver=approver,
            ephemeral=options.ephemeral,
            source="exec",
            record=record,
            questioner=questioner,
            overlay=options.overlay,
        )

    def _questioner(self, loaded: Loaded) -> "TerminalQuestioner | None":
        """Who answers what the model asks, where it may ask and somebody sits there."""
        default = loaded.settings.features.get("default_mode_request_user_input") is True
        here = self._screen.can_ask and not self._options.as_json
        if not here or not (self._options.plan or default):
            return None
        from octavo.exec.questions import TerminalQuestioner  # noqa: PLC0415 - seldom needed

        return TerminalQuestioner(note=self._screen.note, ask=self._screen.ask)

    def _find(self, engine: Engine, wanted: str | None) -> ThreadId:
        """The thread a person means: an id, a name, or the last one."""
        if wanted is not None:
            return engine.resolve(wanted)
        here = None if self._options.everywhere else os.path.realpath(self._folder)
        latest = engine.store.list(cwd=here, limit=1)
        if not latest:
            where = "" if here is None else f" in {here}"
            raise ThreadNotFound(f"there is no thread{where} yet", hint="--all looks everywhere")
        return latest[0].id

    def _without_key(self, error: ConfigError, loaded: Loaded) -> OctavoError:
        """A key that is not there is no wrong setting; programs get it as events."""
        if error.key is None or error.key != provider(loaded.settings).env_key:
            return error
        if self._options.as_json:
            for line in self._lines.failed(str(error)):
                self._screen.line(line)
        return ExecError(str(error), hint=error.hint)

    async def _ask(self, thread: Thread) -> int:
        try:
            self._begin(thread)
            async with self._begun(thread) as turn:
                helpers = [] if self._options.as_json else [self._screen.tick()]
                async with beside(self._stop_when_told(turn), *helpers):
                    ending = await self._watch(thread, turn)
        except BrokenPipeError:  # whoever read our output has gone; the work so far is kept
            self._screen.let_go()
            return BROKEN_PIPE
        if self._options.overlay:
            self._screen.note(f"octavo: changes are kept apart: {KEEP.format(thread.id)}\n")
        if self._options.last_message_file is not None and isinstance(ending, events.TurnCompleted):
            write_last(self._options.last_message_file, ending.last_message or "")
        if self._options.review_as_json and self._review is not None:
            self._screen.line(JSON.encode(self._review))
        return code_of(ending, thread.sandbox_problem)

    def _begun(self, thread: Thread) -> "AbstractAsyncContextManager[Turn]":
        """The turn this run is for."""
        if self._options.review is not None:
            return thread.stream_review(self._options.review)
        mode: Mode = "plan" if self._options.plan else "default"
        return thread.stream(self._inputs, output_schema=self._schema, mode=mode)

    async def _watch(self, thread: Thread, turn: Turn) -> events.Event | None:
        """Show everything; the ending last, after commands that ran on have been ended."""
        ending: events.Event | None = None
        async for event in turn:
            if isinstance(event, events.Ending):
                ending = event
            else:
                self._show(event)
        await thread.close()
        async for event in turn:
            self._show(event)
        problem = thread.sandbox_problem
        if problem is not None:
            if self._human is None:
                self._screen.line(self._lines.error(str(problem)))
            self._screen.note(f"octavo: {plain(str(problem))}\n")
            if problem.hint:
                self._screen.note(f"octavo: what helps: {plain(problem.hint)}\n")
        if ending is not None:
            self._show(ending)
        return ending

    async def _stop_when_told(self, turn: Turn) -> None:
        await self._stopping.wait()
        await turn.interrupt()

    def _begin(self, thread: Thread) -> None:
        if self._options.as_json:
            self._show(events.ThreadStarted(thread_id=thread.id))
        else:
            self._human = Human(
                note=self._screen.note,
                result=silent if self._options.review_as_json else self._screen.result,
                colour=self._screen.colour,
                streaming=self._screen.streaming,
                result_shown=self._screen.result_shown,
                info=lookup(thread.facts["model"]),
            )
            self._human.header([("octavo", __version__), *self._facts(thread).items()])
            self._human.asked(self._inputs, at_most=MOST_SHOWN)
        idle = self._options.add_dirs and thread.facts["sandbox"] == "read-only"
        for warning in (*thread.warnings, *((READ_ONLY,) if idle else ())):
            self._show(events.Warned(message=warning))

    def _facts(self, thread: Thread) -> dict[str, str]:
        """What this run works with; planning and reviewing only read, whatever is set."""
        options = self._options
        if not options.plan and options.review is None:
            return thread.facts
        return {**thread.facts, "sandbox": f"read-only ({'plan' if options.plan else 'review'})"}

    def _show(self, event: events.Event) -> None:
        if isinstance(event, events.ItemCompleted) and isinstance(event.item, items.ReviewMode):
            self._review = event.item.review or self._review
        if self._human is not None:
            self._screen.still()
            self._human.show(event)
            return
        for line in self._lines.lines(event):
            self._screen.line(line)

    def _stop(self, number: int) -> None:
        """First: end the turn in order. Again: end at once."""
        if self._signal:
            os._exit(128 + number)
        self._signal = number
        self._stopping.set()
