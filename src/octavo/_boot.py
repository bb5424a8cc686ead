"""Entry point. Looks at argv by hand: `--version` and the common forms of `sandbox` take short ways.

Everything else goes to octavo.cli, which loads what its command needs. The short ways import no
argparse, re, json, pathlib or typing: those cost more than the sandbox itself.
"""

import os
import sys

from octavo._version import __version__

UNAVAILABLE = 5
USAGE = 2
NOT_EXECUTABLE, NOT_FOUND = 126, 127
ENOENT, ENOTDIR = 2, 20


def main() -> int:
    """Run the command line of this process; returns the exit code."""
    argv = sys.argv[1:]
    if argv in (["--version"], ["-V"]):
        print(f"octavo {__version__}")
        return 0
    if argv[:1] == ["sandbox"] and sys.platform == "linux":
        request = short_sandbox(argv[1:])
        if request is not None:
            return run_sandbox(request)
    from octavo.cli.main import run

    return run(argv)


class Request:
    """The options of `octavo sandbox` that need no settings."""

    def __init__(self) -> None:
        self.mode = "read-only"
        self.cwd = ""
        self.roots: list[str] = []
        self.network = "off"
        self.argv: list[str] = []


def short_sandbox(args: "list[str]") -> "Request | None":
    """The request, when it is a common one and no settings file has a say; else None."""
    request = Request()
    options = {
        "-s": "mode",
        "--sandbox": "mode",
        "-C": "cwd",
        "--cd": "cwd",
        "--network": "network",
    }
    at = 0
    if args[:1] == ["linux"]:
        at = 1
    while at < len(args) and args[at].startswith("-"):
        if args[at] == "--":
            at += 1
            break
        name = options.get(args[at])
        if at + 1 >= len(args) or not (name or args[at] == "--add-dir"):
            return None
        if name:
            setattr(request, name, args[at + 1])
        else:
            request.roots.append(args[at + 1])
        at += 2
    request.argv = args[at:]
    plain = request.mode in ("read-only", "workspace-write") and request.network in ("off", "on")
    if not plain or not request.argv or has_settings():
        return None
    return request if resolve(request) else None


def own_home() -> str:
    """Octavo's folder: OCTAVO_HOME, else CODEX_HOME, else ~/.octavo."""
    named = os.environ.get("OCTAVO_HOME") or os.environ.get("CODEX_HOME")
    return named or os.path.expanduser("~/.octavo")


def has_settings() -> bool:
    return os.path.lexists(own_home() + "/config.toml")


def resolve(request: Request) -> bool:
    """Absolute, existing folders whose .git is a folder; anything else is for the long way."""
    try:
        cwd = os.path.realpath(request.cwd or os.getcwd(), strict=True)
        roots = [os.path.realpath(os.path.join(cwd, root), strict=True) for root in request.roots]
    except OSError:
        return False
    request.cwd, request.roots = cwd, roots
    if request.mode == "read-only":
        return not roots
    if any(unusual(path) for path in (cwd, *roots)):
        return False
    return not any(os.path.isfile(f"{path}/.git") for path in (cwd, *roots))


def unusual(path: str) -> bool:
    """Not a plain folder, or one so wide that the long way asks twice."""
    return path == "/" or not os.path.isdir(path) or path == os.path.expanduser("~")


def run_sandbox(request: Request) -> int:
    from octavo.sandbox import ladder, presets, spec

    home = os.path.realpath(own_home())
    temporary = os.environ.get("TMPDIR", "")
    temporary = os.path.realpath(temporary) if temporary.startswith("/") else ""
    if request.mode == "read-only":
        rules = presets.read_only()
    else:
        own = (home, os.path.dirname(os.path.realpath(__file__)))
        rules = presets.workspace_write(
            request.cwd, tmpdir=temporary or None, roots=tuple(request.roots), own=own
        )
    policy = spec.Policy(tuple(rules), network=request.network)
    command = spec.Command(tuple(request.argv), request.cwd, ladder.environment(os.environ, policy))
    session = ladder.Session(
        journal=home + "/state/mountpoints", temporary=(temporary,) if temporary else ()
    )
    try:
        ran = ladder.run(policy, command, session)
    except spec.Unavailable as problem:
        return report_unavailable(problem)
    return report(ran, request.argv[0])


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
    if record is not None and record.kind == ladder_spawn_failed():
        reason = os.strerror(record.errno)
        complain(f"{name}: {reason}")
        return NOT_FOUND if record.errno in (ENOENT, ENOTDIR) else NOT_EXECUTABLE
    return ran.ended.exit_code


def ladder_spawn_failed() -> int:
    from octavo.sandbox.backends import status

    return status.SPAWN_FAILED


def complain(text: str) -> None:
    print("octavo: " + text, file=sys.stderr)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from octavo.sandbox import ladder, spec
