"""Run one command to its end and say everything about it.

Whatever happens on the way (deadline, too much output, cancellation, an error of the caller's
callback), nothing of the command is left running and no descriptor stays open. Only a command
that ends by itself may leave background children behind, as in a shell.
"""

import asyncio
import sys
from typing import Final

from msgspec import Struct

from octavo.process.child import GRACE_S, Child, end, within
from octavo.process.control import Control
from octavo.process.output import Captured
from octavo.process.pump import OnOutput, Pump
from octavo.process.spec import ExitStatus, OutputCaps

if sys.platform == "win32":
    from octavo.process.plain_windows import start
else:
    from octavo.process.pipes import start

__all__ = ["Finished", "run", "start"]

DRAIN_S: Final = 0.05
"""After the exit: this long for the outputs to close. A background child may hold them."""


class Finished(Struct, frozen=True, kw_only=True):
    """What came out of one command."""

    status: ExitStatus
    stdout: Captured
    """With a terminal or merged outputs: everything."""
    stderr: Captured | None
    """None when it was not kept apart."""
    duration_ms: int
    """From the call to the exit, without draining."""
    timed_out: bool = False
    """Ended by us after `timeout_s`."""
    output_limit_reached: bool = False
    """Ended by us after `caps.limit_bytes` of output."""
    left_open: bool = False
    """Something that lives on still held the outputs when reading stopped."""


async def run(
    child: Child,
    *,
    stdin: bytes | None = None,
    timeout_s: float | None = None,
    caps: OutputCaps | None = None,
    grace_s: float = GRACE_S,
    drain_s: float = DRAIN_S,
    on_output: OnOutput | None = None,
    control: Control | None = None,
) -> Finished:
    """Take over a started child, wait for its end, and close it.

    `stdin` is everything the command will ever read, None is nothing; a command that does not
    read it is not an error; with `control` input comes through that. `on_output` is called with each piece as it arrives; what it raises
    ends the command and comes out here. Raises UsageError for input without a place to put it.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    pump: Pump | None = None
    ended = True
    try:
        pump = Pump(child, caps=caps or OutputCaps(), on_output=on_output)
        if control is None:
            _feed(pump, child, stdin)
        else:
            control.attach(child, pump)
        timed_out = timeout_s is not None and not await within(timeout_s, child.wait())
        if timed_out:
            ended = await end(child, grace_s=grace_s)
        # A process stuck in the kernel outlives even a kill: its status stays unknown.
        status = await child.wait() if ended else ExitStatus()
        duration_ms = round((loop.time() - started) * 1000)
        await pump.drain(drain_s)
        if pump.failure is not None:
            raise pump.failure
        return Finished(
            status=status,
            stdout=pump.take(final=True),
            stderr=pump.take("stderr", final=True) if pump.splits else None,
            duration_ms=duration_ms,
            timed_out=timed_out,
            output_limit_reached=pump.limit_reached,
            left_open=not pump.ended,
        )
    except asyncio.CancelledError:
        await end(child, grace_s=grace_s)
        raise
    finally:
        if control is not None:
            control.detach()
        if pump is not None:
            pump.close()
        child.close()


def _feed(pump: Pump, child: Child, stdin: bytes | None) -> None:
    if stdin is None:
        child.close_stdin()
        return
    feeder = pump.feeder()
    feeder.write(stdin)
    feeder.end()
