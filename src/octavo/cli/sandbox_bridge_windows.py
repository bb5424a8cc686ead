"""`octavo sandbox -- CMD` on Windows: our stdin, stdout and stderr are the command's, through us.

What is typed is passed on in pieces as fast as the command reads; output is flushed per piece;
Ctrl-C ends the command, and its exit code is ours.
"""

import asyncio
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import click

assert sys.platform == "win32"

from octavo.api.commands import kernel_limits
from octavo.api.sandbox import state_home
from octavo.api.windows import choice_of
from octavo.cli.sandbox_ask import note
from octavo.process.control import Control
from octavo.process.run import Finished
from octavo.process.run import run as run_child
from octavo.process.spec import OutputCaps, Pipes, ProcessSpec
from octavo.protocol.errors import LimitReached, UsageError
from octavo.sandbox.launcher import Launcher, session_for

if TYPE_CHECKING:
    from octavo.cli.limits import Parsed
    from octavo.cli.sandbox_ask import Ask
    from octavo.policy.profile import EffectiveProfile
    from octavo.sandbox.session import WindowsChoice
    from octavo.sandbox.wish import Wish

PIECE: Final = 8192
DRAIN_S: Final = 5.0
"""After the command's end: so long for what it left behind to close our outputs."""
WALL: Final = 124
LIMIT: Final = 7


def run(ask: "Ask", profile: "EffectiveProfile", wanted: "Parsed") -> int:
    """Run with our own stdin, stdout and stderr; the command's exit code."""
    choice = choice_of(
        state_home(os.environ),
        os.environ,
        profile=ask.settings_profile,
        overrides=ask.overrides,
    )
    spec = ProcessSpec(argv=ask.argv, env=dict(os.environ), cwd=ask.folder, stdio=Pipes(stdin=True))
    bounds = Bounds(
        wall_s=wanted.wall_s,
        output_bytes=wanted.limits.output_bytes,
        kernel=kernel_limits(wanted.limits),
    )
    return bridged(spec, profile, ask.wish, choice, bounds)


class Bounds(NamedTuple):
    """What the command may use."""

    wall_s: float | None = None
    output_bytes: int | None = None
    kernel: tuple[tuple[str, int], ...] = ()


def bridged(
    spec: ProcessSpec,
    profile: "EffectiveProfile",
    wish: "Wish",
    choice: "WindowsChoice",
    bounds: Bounds,
) -> int:
    """Run the command with our three streams as its own; the exit code."""
    done = asyncio.run(_run(spec, profile, wish, choice, bounds))
    if done.timed_out:
        click.echo("octavo: ended by the limit on wall", err=True)
        return WALL
    if done.output_limit_reached:
        click.echo("octavo: ended by the limit on output", err=True)
        return LIMIT
    return done.status.shell_code


async def _run(
    spec: ProcessSpec,
    profile: "EffectiveProfile",
    wish: "Wish",
    choice: "WindowsChoice",
    bounds: Bounds,
) -> Finished:
    loop = asyncio.get_running_loop()
    control = Control()
    launcher = Launcher(session_for(choice.home, choice.environ, windows=choice))
    before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(control.terminate))
    try:
        confined = await launcher.start(spec, profile, wish=wish, limits=bounds.kernel)
        for text in confined.notes:
            note(text)
        type_into(control)
        return await run_child(
            confined.child,
            timeout_s=bounds.wall_s,
            caps=OutputCaps(head_bytes=0, tail_bytes=0, limit_bytes=bounds.output_bytes),
            drain_s=DRAIN_S,
            on_output=_show,
            control=control,
        )
    finally:
        signal.signal(signal.SIGINT, before)
        launcher.close()


def _show(stream: str, data: bytes) -> None:
    out = sys.stderr if stream == "stderr" else sys.stdout
    out.buffer.write(data)
    out.buffer.flush()


def type_into(control: Control) -> None:
    """Our input becomes the command's from now on, as fast as that reads; nothing waits for it."""
    loop = asyncio.get_running_loop()
    threading.Thread(target=_type, args=(loop, control), name="stdin", daemon=True).start()


def _type(loop: asyncio.AbstractEventLoop, control: Control) -> None:
    """In a thread: what comes in, until its end or the command's."""

    async def pass_on(data: bytes) -> None:
        control.write(data)
        await control.drained()

    # the loop is closed, or the command takes no more: nobody needs what else comes
    with suppress(RuntimeError, UsageError, LimitReached, OSError, asyncio.CancelledError):
        while data := os.read(0, PIECE):
            asyncio.run_coroutine_threadsafe(pass_on(data), loop).result()
        loop.call_soon_threadsafe(control.end_input)
