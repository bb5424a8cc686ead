"""Runs the programs of hooks: side by side, each with a deadline, in a process group of its own.

Hands only: what an answer means is `octavo.engine.hook_answers`. Whatever a program does (hang,
fork, flood, ignore its input), it has ended when its time is up, and nobody waits for a pipe that
something it left behind holds open.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from octavo.engine.hook_answers import Answer, Ended, Said, understood
from octavo.process.output import Captured
from octavo.process.run import Finished, run, start
from octavo.process.spec import MIB, OutputCaps, Pipes, ProcessSpec
from octavo.protocol.errors import OctavoError
from octavo.protocol.hooks import Hook

AT_ONCE: Final = 8
"""Hooks in the background that run at the same time; others wait for their turn."""
WAITING: Final = 64
"""Hooks in the background that may wait."""
CAPS: Final = OutputCaps(head_bytes=MIB, tail_bytes=0, limit_bytes=16 * MIB)
LEAVING_S: Final = 3.0
"""For hooks in the background when the session ends."""

Check = Callable[[Hook, str], str | None]
"""Why a hook is not what was trusted; None when it is. Asked right before it runs."""


def unchecked(_hook: Hook, _cwd: str) -> str | None:
    """For hooks that nobody has to vouch for."""
    return None


class HookRunner:
    """Runs hooks in `cwd` with this environment, outside of any sandbox."""

    def __init__(
        self, *, cwd: str, environment: Mapping[str, str], check: Check = unchecked
    ) -> None:
        self._cwd = cwd
        self._environment = environment
        self._check = check

    async def run_all(self, hooks: Iterable[Hook], data: bytes) -> list[Said]:
        """All of them together; the answers in the order they came. Cancelling ends them all."""
        finished: list[Said] = []

        async def one(hook: Hook) -> None:
            finished.append(await self.run(hook, data))

        async with asyncio.TaskGroup() as group:
            for hook in hooks:
                group.create_task(one(hook), name=hook.name)
        return finished

    async def run(self, hook: Hook, data: bytes) -> Said:
        """One hook, to its end. Never raises for what the program does."""
        return Said(hook=hook, answer=await self._answer(hook, data))

    async def _answer(self, hook: Hook, data: bytes) -> Answer:
        problem = self._check(hook, self._cwd)
        if problem is not None:
            return Answer(failure=f"it did not run: {problem}")
        try:
            finished = await self._finish(hook, data)
        except (OctavoError, OSError) as error:
            return understood(hook.event, Ended(problem=str(error)))
        return understood(hook.event, ended(hook, finished))

    async def _finish(self, hook: Hook, data: bytes) -> Finished:
        spec = ProcessSpec(
            argv=shell(hook.command),
            env=self._environment,
            cwd=self._cwd,
            stdio=Pipes(stdin=True),
        )
        child = await start(spec)
        return await run(child, stdin=data, timeout_s=hook.timeout_s, caps=CAPS)


class Background:
    """Hooks nobody waits for. What they say is kept until somebody takes it."""

    def __init__(self, runner: HookRunner, group: asyncio.TaskGroup) -> None:
        self._runner = runner
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(AT_ONCE)
        self._said: list[Said] = []

    def start(self, hook: Hook, data: bytes) -> None:
        """Run it when there is room."""
        if len(self._tasks) >= AT_ONCE + WAITING:
            self._said.append(
                Said(hook=hook, answer=Answer(failure="too many hooks run in the background"))
            )
            return
        task = self._group.create_task(self._run(hook, data), name=hook.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def take(self) -> list[Said]:
        """What was said since the last time, in the order it came."""
        said, self._said = self._said, []
        return said

    async def close(self) -> None:
        """Let them finish for a moment, then end them."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVING_S)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    async def _run(self, hook: Hook, data: bytes) -> None:
        async with self._free:
            self._said.append(await self._runner.run(hook, data))


def shell(command: str) -> tuple[str, ...]:
    """How the system's own shell is told to run it."""
    return ("/bin/sh", "-c", command) if os.name == "posix" else ("cmd.exe", "/d", "/c", command)


def ended(hook: Hook, finished: Finished) -> Ended:
    """What came out of a program, as far as it can be trusted."""
    if finished.timed_out:
        return Ended(problem=f"no answer after {hook.timeout_s} s; it was ended")
    out = finished.stdout
    if finished.output_limit_reached or (out.omitted_bytes and looks_like_json(out)):
        return Ended(problem=f"more than {CAPS.head_bytes // MIB} MiB of output")
    return Ended(
        code=finished.status.code,
        stdout=out.head.decode("utf-8", "replace"),
        stderr="" if finished.stderr is None else finished.stderr.head.decode("utf-8", "replace"),
    )


def looks_like_json(out: Captured) -> bool:
    """Half an object is no answer; half a text is."""
    return out.head.lstrip()[:1] in (b"{", b"[")
