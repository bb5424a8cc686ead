"""One headless run: open the engine, ask, show what happens, say how it ended with an exit code.

The door decides nothing about the work; it turns options into settings, events into text, and the
ending into a number. See docs/exec.md for the table.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from octavo._version import __version__
from octavo.api.engine import Engine
from octavo.api.thread import Thread, Turn
from octavo.config.settings import Loaded
from octavo.exec.ask import TerminalApprover
from octavo.exec.human import Human
from octavo.exec.jsonl import JsonLines
from octavo.exec.options import Options
from octavo.exec.outcome import code_of, git_refusal, schema_from, write_last
from octavo.exec.prompt import Asked, prompt_from
from octavo.exec.screen import Screen
from octavo.model.catalog import lookup
from octavo.protocol import events
from octavo.protocol.content import ImageInput, TextInput, UserInput
from octavo.protocol.errors import OctavoError
from octavo.protocol.ids import ThreadId
from octavo.store.errors import ThreadNotFound

ORIGINATOR: Final = "codex_exec"
"""What existing servers and clients know a headless run by."""
BROKEN_PIPE: Final = 128 + 13


def run(options: Options, environ: Mapping[str, str]) -> int:
    """Do it; returns the exit code. Raises OctavoError for what is wrong before anything began."""
    folder = options.cwd or os.getcwd()
    if not os.path.isdir(folder):
        raise OctavoError(f"No such file or directory: {folder}", hint="check -C")
    schema = schema_from(options.schema_file)
    asked = prompt_from(options.prompt, 0, resumed=options.resumed)
    screen = Screen(colour=options.colour, environ=environ)
    for text in asked.notes:
        screen.note(text + "\n")
    return asyncio.run(Run(options, environ, folder, schema, asked, screen).work())


class Run:
    """One run, once its options are known to make sense."""

    def __init__(
        self,
        options: Options,
        environ: Mapping[str, str],
        folder: str,
        schema: dict[str, Any] | None,
        asked: Asked,
        screen: Screen,
    ) -> None:
        self._options = options
        self._environ = environ
        self._folder = folder
        self._schema = schema
        self._asked = asked
        self._screen = screen
        self._lines = JsonLines()
        self._human: Human | None = None
        self._signal = 0
        self._turn: Turn | None = None

    async def work(self) -> int:
        """Until the turn is over and everything is closed."""
        options = self._options
        with suppress(NotImplementedError):  # Windows
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
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
        ) as engine:
            loaded = engine.settings(self._folder)
            refusal = None if options.skip_git_check else git_refusal(loaded)
            if refusal is not None:
                raise refusal
            thread = await self._thread(engine, loaded)
            code = await self._ask(thread)
        if self._signal == signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        return code

    def _flags(self) -> dict[str, object]:
        flags = dict(self._options.flags)
        if self._options.local:
            flags.setdefault("model_provider", "ollama")
        return flags

    async def _thread(self, engine: Engine, loaded: Loaded) -> Thread:
        """Start, resume or fork."""
        options = self._options
        approver = None
        chosen = loaded.chosen("approval_policy") and loaded.settings.approval_policy != "never"
        if chosen and self._screen.can_ask and not options.as_json:
            approver = TerminalApprover(note=self._screen.note, read=self._screen.read)
        if options.fork is not None:
            found = self._find(engine, options.fork)
            return await engine.fork_thread(
                found, cwd=self._folder, approver=approver, source="exec"
            )
        if options.last or options.resume is not None:
            found = self._find(engine, options.resume)
            return await engine.resume_thread(found, cwd=self._folder, approver=approver)
        return await engine.start_thread(
            cwd=self._folder, approver=approver, ephemeral=options.ephemeral, source="exec"
        )

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

    async def _ask(self, thread: Thread) -> int:
        ending: events.Event | None = None
        try:
            self._begin(thread)
            async with (
                self._screen.busy(enabled=not self._options.as_json),
                thread.stream(self._inputs(), output_schema=self._schema) as turn,
            ):
                self._turn = turn
                if self._signal:
                    await turn.interrupt()
                async for event in turn:
                    self._show(event)
                    ending = event
        except BrokenPipeError:  # whoever read our output has gone; the work so far is kept
            self._screen.let_go()
            return BROKEN_PIPE
        finally:
            self._turn = None
        last = getattr(ending, "last_message", None)
        if self._options.last_message_file is not None and last is not None:
            write_last(self._options.last_message_file, last)
        problem = thread.sandbox_problem
        if problem is not None:
            self._screen.note(f"octavo: {problem}\n")
            if problem.hint:
                self._screen.note(f"octavo: what helps: {problem.hint}\n")
        return code_of(ending, problem)

    def _begin(self, thread: Thread) -> None:
        if self._options.as_json:
            self._show(events.ThreadStarted(thread_id=thread.id))
        else:
            self._human = Human(
                note=self._screen.note,
                result=self._screen.result,
                colour=self._screen.colour,
                streaming=self._screen.streaming,
                result_shown=self._screen.result_shown,
                info=lookup(thread.facts["model"]),
            )
            self._human.header([("octavo", __version__), *thread.facts.items()])
            self._screen.note(f"> {self._asked.text.strip()[:2000]}\n\n")
        for warning in thread.warnings:
            self._show(events.Warned(message=warning))

    def _show(self, event: events.Event) -> None:
        if self._human is not None:
            self._screen.still()
            self._human.show(event)
            return
        if isinstance(event, events.TurnInterrupted):
            return
        for line in self._lines.lines(event):
            self._screen.line(line)

    def _inputs(self) -> list[UserInput]:
        pictures = [ImageInput(path=path) for path in self._options.images]
        return [TextInput(text=self._asked.text), *pictures]

    def _stop(self, number: int) -> None:
        """First: end the turn in order. Again: end at once."""
        if self._signal:
            os._exit(128 + number)
        self._signal = number
        if self._turn is not None:
            asyncio.ensure_future(self._turn.interrupt())  # noqa: RUF006 - it only puts into a queue
