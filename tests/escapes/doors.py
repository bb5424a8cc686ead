"""The ways into a sandbox that the same attempts are tried through."""

import asyncio
import os
import subprocess
import sys

import octavo
from octavo.sandbox.backends import find_bubblewrap

PYTHON = next(
    path
    for path in ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable)
    if os.access(path, os.X_OK)
)
OCTAVO = os.path.join(os.path.dirname(sys.executable), "octavo")
DEADLINE_S = 60


class Ran:
    """How a door's command ended, whichever door it was."""

    def __init__(self, code, output, notes=""):
        self.code = code
        self.output = output
        self.notes = notes


class Box:
    """Folders for one launch: a workspace, a place outside it, and Octavo's home."""

    def __init__(self, folder):
        self.folder = folder
        self.workspace = folder + "/ws"
        self.outside = folder + "/outside"
        self.home = folder + "/home"
        for path in (self.workspace, self.outside, self.home):
            os.mkdir(path)

    @property
    def env(self):
        """The environment of a caller, without what the test runner has in its own."""
        keep = ("PATH", "LANG", "HOME", "USER", "PYTHONDONTWRITEBYTECODE")
        return {name: os.environ[name] for name in keep if name in os.environ} | {
            "OCTAVO_HOME": self.home
        }


def cli(box, *words, env=None, cwd=None, **kw):
    """`octavo sandbox ...` to its end; standard output and error together unless told otherwise."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.STDOUT)
    done = subprocess.run(
        [OCTAVO, "sandbox", *words], env=box.env | (env or {}), cwd=cwd or box.workspace,
        timeout=DEADLINE_S, text=True, errors="replace", **kw,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout or "", done.stdout or "")


def plain(box, argv):
    """No sandbox at all: the control."""
    done = subprocess.run(
        argv, env=box.env, cwd=box.workspace, timeout=DEADLINE_S, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout)


def short(box, mode, argv):
    """One process, no settings: what `octavo sandbox -- CMD` does."""
    return cli(box, "-s", mode, "-C", box.workspace, "--", *argv)


def forced(rung):
    def door(box, mode, argv):
        weaker = ("--unprotected",) if rung == "landlock" and mode == "workspace-write" else ()
        return cli(box, "--rung", rung, "-s", mode, "-C", box.workspace, *weaker, "--", *argv)

    return door


def warm(*, spare, rung="native", watch=False):
    """Through the library: a fresh sandbox, or one that was prepared ahead of time."""

    def door(box, mode, argv):
        return asyncio.run(warm_once(box, mode, argv, spare=spare, rung=rung, watch=watch))

    return door


def sandbox_for(mode, rung):
    if not isinstance(mode, str):
        return mode
    if mode == "read-only":
        return octavo.Sandbox.read_only()
    return octavo.Sandbox.workspace_write(protect=rung != "landlock")


async def warm_once(box, mode, argv, *, spare, rung, watch):
    sandbox = sandbox_for(mode, rung)
    async with octavo.CommandRunner(environ=box.env, rungs=(rung,)) as runner:
        if spare:
            first = await runner.run(
                ["true"], sandbox=sandbox, cwd=box.workspace, watch_denials=watch
            )
            assert first.exit_code == 0, first
            await asyncio.sleep(0)  # the spare is prepared by the next turn of the loop
        done = await runner.run(
            argv, sandbox=sandbox, cwd=box.workspace, watch_denials=watch, timeout=DEADLINE_S
        )
    assert done.rung == rung
    return Ran(done.exit_code, done.output.text, "; ".join(done.notes))


DOORS = {
    "short": short,
    "fresh": warm(spare=False),
    "spare": warm(spare=True),
    "watched": warm(spare=True, watch=True),
    "native-root": forced("native-root"),
    "bubblewrap": forced("bubblewrap"),
}
LANDLOCK = {
    "landlock-short": forced("landlock"),
    "landlock-warm": warm(spare=False, rung="landlock"),
}


def missing(name):
    """Why a door cannot be tried here; "" when it can."""
    if name == "native-root" and os.getuid() != 0:
        return "needs uid 0"
    if name == "bubblewrap" and not find_bubblewrap():
        return "bubblewrap is not installed"
    return ""
