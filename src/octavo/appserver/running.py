"""Methods that run a command without a model, inside the sandbox: to its end, or to be watched.

A command with a `processId` belongs to the client that started it and ends with it.
"""

import base64
import binascii
import os
from typing import TYPE_CHECKING, Any, Final

from octavo.api.commands import CommandRunner, CompletedCommand, Limits
from octavo.api.sandbox import Sandbox
from octavo.appserver import params
from octavo.appserver.errors import invalid
from octavo.process.control import Control
from octavo.process.spec import Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

TIMEOUT_MS: Final = 10_000
TIMED_OUT: Final = 124
TERMINATED: Final = 1
CAP: Final = 1 << 20
OUTPUT: Final = "command/exec/outputDelta"
Json = dict[str, Any]


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("command/exec", params.CommandExec, tier="extended")(execute)
    table.method("command/exec/write", params.CommandWrite, tier="extended")(write)
    table.method("command/exec/resize", params.CommandResize, tier="extended")(resize)
    table.method("command/exec/terminate", params.OfProcess, tier="extended")(terminate)


class Output:
    """Sends what a command writes as it comes, up to `cap` bytes of each stream."""

    def __init__(self, connection: "Connection", process: str, cap: int | None) -> None:
        self._connection = connection
        self._process = process
        self._left = {"stdout": cap, "stderr": cap}

    def __call__(self, stream: str, data: bytes) -> None:
        """One piece."""
        left = self._left[stream]
        if left == 0:
            return
        reached = left is not None and len(data) >= left
        sent = data if left is None else data[:left]
        self._left[stream] = None if left is None else left - len(sent)
        self._connection.tell(
            OUTPUT,
            {
                "processId": self._process,
                "stream": stream,
                "deltaBase64": base64.b64encode(sent).decode(),
                "capReached": reached,
            },
        )


async def execute(server: "Server", connection: "Connection", asked: params.CommandExec) -> Json:
    """Run a command inside the sandbox and tell what it wrote; with `processId` it can be typed
    into, resized and ended while it runs."""
    checked(asked, connection)
    cap = None if asked.disable_output_cap else (asked.output_bytes_cap or CAP)
    streams = asked.stream_stdout_stderr or asked.tty
    control = Control(stdin=asked.stream_stdin or asked.tty)
    output = Output(connection, asked.process_id, cap) if streams and asked.process_id else None
    if asked.process_id is not None:
        connection.processes[asked.process_id] = control
    timeout = None if asked.disable_timeout else (asked.timeout_ms or TIMEOUT_MS) / 1000
    try:
        done = await server.runner().run(
            asked.command,
            cwd=asked.cwd,
            sandbox=sandbox_of(asked.sandbox_policy),
            env=environment(asked.env),
            timeout=timeout,
            merge_stderr=False,
            limits=Limits(output_bytes=None),
            on_output=output,
            control=control,
            terminal=terminal_of(asked),
        )
    finally:
        if asked.process_id is not None:
            connection.processes.pop(asked.process_id, None)
    return result(done, control, None if output is None else 0, cap)


def checked(asked: params.CommandExec, connection: "Connection") -> None:
    """Raises MethodError for what makes no sense."""
    if not asked.command:
        raise invalid("command must not be empty")
    live = asked.stream_stdin or asked.stream_stdout_stderr or asked.tty
    if live and asked.process_id is None:
        raise invalid("a command that is streamed or has a terminal needs a processId")
    if asked.process_id in connection.processes:
        raise invalid(f'there is an active command/exec for process id "{asked.process_id}"')


def terminal_of(asked: params.CommandExec) -> Terminal | None:
    """The terminal of a command, where it has one."""
    if not asked.tty:
        return None
    return (
        Terminal() if asked.size is None else Terminal(rows=asked.size.rows, cols=asked.size.cols)
    )


def result(done: CompletedCommand, control: Control, shown: int | None, cap: int | None) -> Json:
    """How it ended. What was streamed is not said again (`shown` is 0)."""
    most = shown if shown is not None else cap
    code = TIMED_OUT if done.limit == "wall" else done.exit_code
    return {
        "exitCode": TERMINATED if control.terminated else code,
        "stdout": done.output.text[:most],
        "stderr": "" if done.stderr is None else done.stderr.text[:most],
    }


async def write(server: "Server", connection: "Connection", asked: params.CommandWrite) -> Json:
    """Type into a command that runs, or close its input."""
    control = active(connection, asked.process_id)
    if asked.delta_base64:
        try:
            control.write(base64.b64decode(asked.delta_base64, validate=True))
        except binascii.Error as error:
            raise invalid(f"Invalid request: deltaBase64: {error}") from error
    if asked.close_stdin:
        control.end_input()
    return {}


async def resize(server: "Server", connection: "Connection", asked: params.CommandResize) -> Json:
    """Give the terminal of a command another size."""
    Terminal(rows=asked.size.rows, cols=asked.size.cols)  # raises for sizes that cannot be
    active(connection, asked.process_id).resize(asked.size.rows, asked.size.cols)
    return {}


async def terminate(server: "Server", connection: "Connection", asked: params.OfProcess) -> Json:
    """End a command, everything it started included."""
    active(connection, asked.process_id).terminate()
    return {}


def active(connection: "Connection", process: str) -> Control:
    """A command of this client that runs. Raises MethodError."""
    found = connection.processes.get(process)
    if found is None:
        raise invalid(f'no active command/exec for process id "{process}"')
    return found


def environment(more: "Mapping[str, str | None] | None") -> dict[str, str] | None:
    """The server's own, changed; None takes a name away."""
    if more is None:
        return None
    found = {**os.environ, **{key: value for key, value in more.items() if value is not None}}
    for key, value in more.items():
        if value is None:
            found.pop(key, None)
    return found


def sandbox_of(policy: "Mapping[str, Any] | None") -> Sandbox:
    """The policy as a sandbox. Raises MethodError for one that is not known."""
    kind = "readOnly" if policy is None else policy.get("type")
    given = policy or {}
    network = bool(given.get("networkAccess"))
    match kind:
        case "readOnly":
            return Sandbox.read_only(network=network)
        case "workspaceWrite":
            roots = [str(root) for root in given.get("writableRoots") or ()]
            return Sandbox.workspace_write(writable_roots=roots, network=network)
        case "dangerFullAccess":
            return Sandbox.danger_full_access()
        case _:
            raise invalid(f"Invalid request: unknown sandbox policy `{kind}`")


def new_runner() -> CommandRunner:
    """Runs the commands of one server; its helpers stay warm."""
    return CommandRunner()
