"""Methods that run a command without a model: inside the sandbox, to its end."""

import os
from typing import TYPE_CHECKING, Any, Final

from octavo.api.commands import CommandRunner, Limits
from octavo.api.sandbox import Sandbox
from octavo.appserver import params
from octavo.appserver.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octavo.appserver.connection import Connection
    from octavo.appserver.methods import Table
    from octavo.appserver.server import Server

TIMEOUT_MS: Final = 10_000
TIMED_OUT: Final = 124
CAP: Final = 1 << 20
Json = dict[str, Any]


def declare(table: "Table") -> None:
    """Put the methods of this module into the table."""
    table.method("command/exec", params.CommandExec, tier="extended")(execute)


async def execute(server: "Server", connection: "Connection", asked: params.CommandExec) -> Json:
    """Run a command inside the sandbox and tell what it wrote."""
    if not asked.command:
        raise invalid("command must not be empty")
    timeout = None if asked.disable_timeout else (asked.timeout_ms or TIMEOUT_MS) / 1000
    async with CommandRunner() as runner:
        done = await runner.run(
            asked.command,
            cwd=asked.cwd,
            sandbox=sandbox_of(asked.sandbox_policy),
            env=environment(asked.env),
            timeout=timeout,
            merge_stderr=False,
            limits=Limits(output_bytes=None),
        )
    cap = asked.output_bytes_cap or CAP
    return {
        "exitCode": TIMED_OUT if done.limit == "wall" else done.exit_code,
        "stdout": done.output.text[:cap],
        "stderr": "" if done.stderr is None else done.stderr.text[:cap],
    }


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
