"""The common forms of `octavo sandbox`, without settings: the fastest way to a confined command."""

import os
import sys

assert sys.platform == "linux"

from octavo.policy import secrets
from octavo.sandbox import ladder, presets, session, spec
from octavo.sandbox.backends import status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Request(Protocol):
        """What was asked on the command line."""

        mode: str
        cwd: str
        roots: list[str]
        network: str
        tmpdir: bool
        slash_tmp: bool
        argv: list[str]


UNAVAILABLE = 5
NOT_EXECUTABLE, NOT_FOUND = 126, 127
ENOENT, ENOTDIR = 2, 20


def run_sandbox(request: "Request", homes: "tuple[str, ...]", package: str) -> int:
    """Carry out a short request; returns the exit code."""
    temporary = os.environ.get("TMPDIR", "")
    temporary = os.path.realpath(temporary) if temporary.startswith("/") else ""
    hidden = credentials(request.cwd, *request.roots)
    if request.mode == "read-only":
        rules = presets.read_only(hidden)
    else:
        rules = presets.workspace_write(
            request.cwd,
            tmpdir=temporary if temporary and request.tmpdir else None,
            slash_tmp=request.slash_tmp,
            roots=tuple(request.roots),
            own=(*homes, package),
            hidden=hidden,
        )
    policy = spec.Policy(tuple(rules), network=request.network)
    command = spec.Command(tuple(request.argv), request.cwd, ladder.environment(os.environ, policy))
    where = session.Session(
        journal=homes[0] + "/state/mountpoints", temporary=(temporary,) if temporary else ()
    )
    try:
        ran = ladder.run(policy, command, where)
    except spec.Unavailable as problem:
        return report_unavailable(problem)
    return report(ran, request.argv[0])


def credentials(*roots: str) -> "tuple[str, ...]":
    """Stores in the home folder that no command reads, unless it works inside one."""
    home = os.path.realpath(os.environ.get("HOME") or os.path.expanduser("~"))
    found = {os.path.realpath(path) for path in secrets.in_home(home, os.path.lexists)}
    return tuple(
        path
        for path in sorted(found)
        if not any(root == path or root.startswith(path + "/") for root in roots)
    )


def report_unavailable(problem: "spec.Unavailable") -> int:
    complain("the sandbox cannot be set up here, so nothing was run")
    for reason in problem.reasons:
        complain("  " + reason)
    complain("what helps: " + problem.remedy)
    return UNAVAILABLE


def report(ran: "ladder.Ran", name: str) -> int:
    """Notes about what was left out, then the exit code of the command."""
    for note in ran.plan.notes:
        complain("note: " + note)
    if ran.plan.weaker:
        complain(f"note: weaker sandbox ({ran.plan.rung}): " + "; ".join(ran.plan.weaker))
    record = ran.ended.record
    if record is not None and record.kind == status.SPAWN_FAILED:
        reason = os.strerror(record.errno)
        complain(f"{name}: {reason}")
        return NOT_FOUND if record.errno in (ENOENT, ENOTDIR) else NOT_EXECUTABLE
    return ran.ended.exit_code


def complain(text: str) -> None:
    if sys.stderr is not None:  # closed by whoever started us: nobody listens
        print("octavo: " + text, file=sys.stderr)
