"""`octavo sandbox` for a command that reaches some hosts: this process stays, and serves them."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from octavo.api.commands import CommandRunner, CompletedCommand
from octavo.api.sandbox import PermissionProfile, Sandbox
from octavo.cli.sandbox_ask import Ask, note, rules_of
from octavo.cli.words import one_line
from octavo.process.child import StartError
from octavo.process.control import Control
from octavo.protocol.errors import UsageError

if sys.platform == "win32":
    from octavo.cli.sandbox_bridge_windows import type_into

if TYPE_CHECKING:
    from octavo.cli.limits import Parsed

WALL: Final = 124
LIMIT: Final = 7
CHUNK: Final = 1 << 16
FORWARDED: Final = ("SIGINT", "SIGTERM", "SIGHUP")


def run_with_hosts(ask: Ask, wanted: "Parsed") -> int:
    """Run with our standard input and output in between; say what was refused."""
    done = asyncio.run(run(ask, wanted))
    for text in done.notes:
        note(text)
    hosts = [one for one in done.denials if one.operation == "connect"]
    for denial in done.denials if ask.log_denials else hosts:
        click.echo(f"octavo: denied: {one_line(str(denial))}", err=True)
    if done.limit is not None:
        click.echo(f"octavo: ended by the limit on {done.limit}", err=True)
        return WALL if done.limit == "wall" else LIMIT
    return done.exit_code


async def run(ask: Ask, wanted: "Parsed") -> CompletedCommand:
    """The command, with bytes passed on both ways. Raises SandboxUnavailable, StartError."""
    control = Control()
    feeding = feed(control)
    pass_signals(control)
    outputs = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}

    def show(stream: str, data: bytes) -> None:
        outputs[stream].write(data)
        outputs[stream].flush()

    async with CommandRunner(
        rungs=ask.rungs or None, profile=ask.settings_profile, overrides=ask.overrides
    ) as runner:
        try:
            return await runner.run(
                ask.argv,
                sandbox=Sandbox(PermissionProfile(rules_of(ask), cwd=ask.folder), wish=ask.wish),
                timeout=wanted.wall_s,
                cwd=ask.folder,
                merge_stderr=False,
                limits=wanted.limits,
                watch_denials=True,
                on_output=show,
                control=control,
            )
        except StartError as problem:
            raise click.exceptions.Exit(complained(problem)) from problem
        finally:
            feeding()


def complained(problem: StartError) -> int:
    """One line; the code a shell would give."""
    click.echo(f"octavo: {problem}", err=True)
    return problem.shell_code


def feed(control: Control) -> Callable[[], object]:
    """Our input becomes the command's, as fast as that reads; a terminal's stays ours. Call what
    comes back to end that."""
    if sys.platform == "win32":
        if sys.stdin is None or sys.stdin.isatty():
            control.end_input()
        else:
            type_into(control)
        return lambda: None
    else:  # noqa: RET505 - the checker takes only an else for the other platforms
        return asyncio.ensure_future(feeding(control)).cancel


async def feeding(control: Control) -> None:
    """See `feed`, where the loop can watch our input."""
    if sys.stdin is not None and not sys.stdin.isatty():
        with suppress(UsageError):  # the command is over
            while data := await some_input():
                control.write(data)
                await control.drained()
    control.end_input()


async def some_input() -> bytes:
    """What is there to read, once there is something; nothing at the end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(0, ready.set)
    except PermissionError:  # a file can always be read
        return os.read(0, CHUNK)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(0)
    return os.read(0, CHUNK)


def pass_signals(control: Control) -> None:
    """What ends us ends the command first; its exit code is ours then."""
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        end = partial(loop.call_soon_threadsafe, control.terminate)
        signal.signal(signal.SIGINT, lambda *_: end())
    for name in FORWARDED:
        number = getattr(signal, name, None)
        if number is not None:
            with suppress(NotImplementedError, RuntimeError):
                loop.add_signal_handler(number, control.terminate)
