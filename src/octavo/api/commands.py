"""Run one command inside a sandbox: values in, values out. No model, no engine.

`run_command` for scripts, `run_command_async` and `CommandRunner` for programs that run many.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from octavo.api.gating import managed_network
from octavo.api.sandbox import Sandbox, state_home
from octavo.process.control import Control
from octavo.process.output import Captured
from octavo.process.run import Finished, run
from octavo.process.spec import OutputCaps, Pipes, ProcessSpec, Terminal
from octavo.protocol.errors import UsageError
from octavo.sandbox.confined import Confined
from octavo.sandbox.denial import Denial
from octavo.sandbox.gate import Gate
from octavo.sandbox.launcher import Launcher, session_for

if sys.platform == "win32":
    from octavo.api.windows import choice_of

LIMIT_SIGNALS: Final = {24: "cpu", 25: "file-size"}
"""SIGXCPU and SIGXFSZ where limits are held: Linux."""


class Limits(Struct, frozen=True, kw_only=True):
    """What one command may use. None is no limit of ours.

    A limit this machine cannot hold is refused (SandboxUnavailable), never ignored.
    """

    memory_bytes: int | None = None
    processes: int | None = None
    cpu_s: int | None = None
    file_bytes: int | None = None
    open_files: int | None = None
    output_bytes: int | None = None
    """All output together; a command that writes more is ended."""


class Output(Struct, frozen=True):
    """What a command wrote: the beginning and the end of it, within fixed memory."""

    captured: Captured

    @property
    def text(self) -> str:
        """As text; broken UTF-8 replaced, one line in place of what was left out."""
        return self.captured.text()

    @property
    def bytes(self) -> bytes:
        """What was kept, as it came."""
        return self.captured.head + self.captured.tail

    @property
    def omitted_bytes(self) -> int:
        """Written but not kept."""
        return self.captured.omitted_bytes

    def __str__(self) -> str:
        return self.text


class CompletedCommand(Struct, frozen=True, kw_only=True):
    """How a command ended."""

    argv: tuple[str, ...]
    exit_code: int
    """The command's own; 128 + n when signal n ended it."""
    signal: int | None
    output: Output
    """Standard output, with standard error in its place when they were merged (the default)."""
    stderr: Output | None
    """None when merged."""
    denials: tuple[Denial, ...]
    """What the sandbox refused, with the rule and the smallest grant."""
    duration_ms: int
    limit: str | None
    """Which limit ended it: "wall", "output", "cpu", "file-size", "memory", "processes"; None when none did,
    or when it cannot be known: memory and processes only with a control group."""
    rung: str
    """How it was confined: "native", "bubblewrap", "landlock", "seatbelt" or "none"."""
    notes: tuple[str, ...]
    """What was left out of the policy, and what this machine cannot hold."""

    @property
    def ok(self) -> bool:
        """The command ended by itself with exit code 0."""
        return self.exit_code == 0


class CommandRunner:
    """Runs many commands quickly: helpers stay warm between them.

    Use as `async with CommandRunner() as runner: await runner.run(["make"], ...)`. Several
    commands may run at once. Leaving the block ends every command and helper.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        rungs: tuple[str, ...] | None = None,
        gate: Callable[[], Gate] | None = None,
        profile: str | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        """`gate`: makes who serves rules per host; for tests. `profile` and `overrides` (`key=value`)
        join the settings that choose the Windows sandbox; no others are read here.

        Raises ConfigError (Windows).
        """
        self._environ = dict(os.environ if environ is None else environ)
        home = state_home(self._environ)
        windows = None
        if sys.platform == "win32":
            windows = choice_of(home, self._environ, profile=profile, overrides=overrides)
        self._launcher = Launcher(
            session_for(home, self._environ, rungs, windows=windows),
            gate or managed_network(home, self._environ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything that still runs."""
        self._launcher.close()

    async def run(
        self,
        argv: Sequence[str],
        *,
        sandbox: Sandbox | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a deadline of the command, reported as a value
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes | str | None = None,  # noqa: A002 - the name `subprocess` taught everybody
        merge_stderr: bool = True,
        limits: Limits | None = None,
        watch_denials: bool = True,
        network: bool | Sequence[str] | None = None,
        on_output: Callable[[str, bytes], None] | None = None,
        control: Control | None = None,
        terminal: Terminal | None = None,
    ) -> CompletedCommand:
        """Run a command to its end and say everything about it.

        `sandbox` defaults to read-only. `timeout` is in seconds; a command that exceeds it is
        ended and the result says `limit="wall"`. `env` replaces the environment. `control` types
        into it, resizes and ends it while it runs; `terminal` gives it one of this size. `network`
        is what `Sandbox.with_network` takes.

        Raises SandboxUnavailable when this machine cannot confine as asked (nothing ran),
        PolicyError for a policy that contradicts itself, StartError when there is no such program.
        """
        if isinstance(argv, str):
            raise UsageError("argv is a list of words", hint='For a shell: ["sh", "-c", "..."].')
        limits = limits or Limits()
        folder = real_folder(cwd)
        chosen = sandbox or Sandbox.read_only()
        if network is not None:
            chosen = chosen.with_network(network)
        caps = OutputCaps(limit_bytes=limits.output_bytes)
        typed = input is not None or (control is not None and control.stdin)
        spec = ProcessSpec(
            argv=tuple(argv),
            env=self._environ if env is None else dict(env),
            cwd=folder,
            stdio=terminal or Pipes(stdin=typed, merge_stderr=merge_stderr),
            caps=caps,
        )
        confined = await self._launcher.start(
            spec,
            chosen.profile.settled(folder, self._environ),
            wish=replace(chosen.wish, watch_denials=watch_denials),
            limits=kernel_limits(limits),
        )
        finished = await run(
            confined.child,
            stdin=input.encode() if isinstance(input, str) else input,
            timeout_s=timeout,
            caps=caps,
            on_output=on_output,
            control=control,
        )
        return completed(spec, finished, confined)


def run_command(
    argv: Sequence[str],
    *,
    sandbox: Sandbox | None = None,
    timeout: float | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | str | None = None,  # noqa: A002 - the name `subprocess` taught everybody
    merge_stderr: bool = True,
    limits: Limits | None = None,
    watch_denials: bool = True,
    network: bool | Sequence[str] | None = None,
) -> CompletedCommand:
    """Run one sandboxed command and wait for it; see `CommandRunner.run` for the arguments.

    Works with or without a running event loop in this thread. For many commands use
    CommandRunner, which keeps its helpers warm.
    """

    async def once() -> CompletedCommand:
        async with CommandRunner() as runner:
            return await runner.run(
                argv,
                sandbox=sandbox,
                timeout=timeout,
                cwd=cwd,
                env=env,
                input=input,
                merge_stderr=merge_stderr,
                limits=limits,
                watch_denials=watch_denials,
                network=network,
            )

    return in_own_loop(once)


async def run_command_async(
    argv: Sequence[str],
    *,
    sandbox: Sandbox | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - a deadline of the command, reported as a value
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | str | None = None,  # noqa: A002 - the name `subprocess` taught everybody
    merge_stderr: bool = True,
    limits: Limits | None = None,
    watch_denials: bool = True,
    network: bool | Sequence[str] | None = None,
) -> CompletedCommand:
    """`run_command` for asynchronous programs. Cancelling it ends the command."""
    async with CommandRunner() as runner:
        return await runner.run(
            argv,
            sandbox=sandbox,
            timeout=timeout,
            cwd=cwd,
            env=env,
            input=input,
            merge_stderr=merge_stderr,
            limits=limits,
            watch_denials=watch_denials,
            network=network,
        )


def real_folder(cwd: str | os.PathLike[str] | None) -> str:
    """The command's folder without symlinks: what it will see as its own."""
    return os.path.realpath(os.getcwd() if cwd is None else cwd)


def in_own_loop(
    work: Callable[[], Coroutine[object, object, CompletedCommand]],
) -> CompletedCommand:
    """Run a coroutine to its end, in another thread when this one already has a loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    found: list[CompletedCommand | BaseException] = []

    def body() -> None:
        try:
            found.append(asyncio.run(work()))
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
            found.append(error)

    thread = threading.Thread(target=body, name="octavo run_command")
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def completed(spec: ProcessSpec, finished: Finished, confined: Confined) -> CompletedCommand:
    return CompletedCommand(
        argv=spec.argv,
        exit_code=finished.status.shell_code,
        signal=finished.status.signal,
        output=Output(finished.stdout),
        stderr=None if finished.stderr is None else Output(finished.stderr),
        denials=confined.denials(),
        duration_ms=finished.duration_ms,
        limit=limit_of(finished) or (confined.reached() if finished.status.shell_code else None),
        rung=confined.rung,
        notes=confined.notes,
    )


def limit_of(finished: Finished) -> str | None:
    """Which limit ended the command, where that can be known."""
    if finished.timed_out:
        return "wall"
    if finished.output_limit_reached:
        return "output"
    return LIMIT_SIGNALS.get(finished.status.signal or 0)


def kernel_limits(limits: Limits) -> tuple[tuple[str, int], ...]:
    named = {
        "memory": limits.memory_bytes,
        "processes": limits.processes,
        "cpu": limits.cpu_s,
        "file-size": limits.file_bytes,
        "files": limits.open_files,
    }
    return tuple((name, value) for name, value in named.items() if value is not None)
