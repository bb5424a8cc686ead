"""One folder tree, one profile and one warm runner for the tests that provoke denials."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from octavo import CommandRunner, CompletedCommand, PermissionProfile, Sandbox
from octavo.config.load import load_sandbox_settings, resolve_profile
from octavo.sandbox.linux import seccomp

MACHINE = os.uname().machine
NUMBERS = seccomp.numbers(MACHINE)
LINES = {"root": 2, "work": 3, "closed": 4, "hidden": 5, "secret": 6, "network": 8}
"""Where each rule stands in the settings file."""

# One script is one kernel call by number, so that a library's choice of call cannot blur the test.
PRELUDE = f"""
import ctypes, errno, os, sys
W, O, H = sys.argv[1:4]
NR = {NUMBERS!r}
CWD = -100
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    words = [os.fsencode(a) if isinstance(a, str) else a for a in args]
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in words]
    done = libc.syscall(ctypes.c_long(NR[name]), *words)
    if done < 0:
        raise OSError(ctypes.get_errno(), name)
    return done
def address(family, port, host):
    head = family.to_bytes(2, "little") + port.to_bytes(2, "big")
    return head + (host if family == 2 else bytes(4) + host + bytes(4))
try:
"""
EPILOGUE = """
except OSError as problem:
    print("refused", errno.errorcode.get(problem.errno, problem.errno), end="")
else:
    print("worked", end="")
"""


def script(body: str) -> str:
    indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return PRELUDE + indented + EPILOGUE.lstrip("\n")


def plant(top: Path) -> "Tree":
    """Folders and files that the scripts aim at; O is outside, H is hidden."""
    work, out, hidden = top / "work", top / "outside", top / "hidden"
    for folder in (work / ".git/hooks", work / "a/b/closed", work / "own_dir", out / "dir",
                   out / "full", hidden / "inner"):  # fmt: skip
        folder.mkdir(parents=True)
    for file in (work / "own", work / ".git/config", work / ".git/HEAD", work / "a/b/closed/file",
                 out / "file", out / "other", out / "secret", out / "full/inner",
                 hidden / "file"):  # fmt: skip
        file.write_text("content\n")
    (out / "link").symlink_to(out / "file")
    (work / "link_out").symlink_to(out / "file")
    (work / "link_hidden").symlink_to(hidden / "file")
    (hidden / "link").symlink_to(out / "file")
    (hidden / "program").write_text("#!/bin/sh\nexit 0\n")
    (hidden / "program").chmod(0o755)
    os.setxattr(out / "file", "user.mark", b"1")
    return Tree(top)


def mount_points(work: str) -> tuple[str, ...]:
    """Made on the host while commands run, and removed afterwards."""
    return tuple(f"{work}/{name}" for name in (".codex", ".agents", ".octavo"))


class Tree:
    def __init__(self, top: Path) -> None:
        self.work, self.out, self.hidden = (str(top / n) for n in ("work", "outside", "hidden"))

    def named(self, text: str) -> str:
        """W, O and H in front of a slash, or alone, stand for the folders."""
        for name, path in (("W", self.work), ("O", self.out), ("H", self.hidden)):
            if text == name or text.startswith(name + "/"):
                return path + text[1:]
        return text

    @property
    def settings(self) -> str:
        return f"""\
[permissions.case.filesystem]
":root" = "read"
":workspace_roots" = "write"
"{self.work}/a/b/closed" = "read"
"{self.hidden}" = "deny"
"{self.out}/secret" = "deny"
[permissions.case.network]
enabled = false
"""

    def argv(self, body: str) -> list[str]:
        words = [sys.executable, "-I", "-S", "-B", "-c", script(body)]
        return [*words, self.work, self.out, self.hidden]


class Room:
    """The tree, its profile and a runner whose helpers stay warm."""

    def __init__(self, top: Path, *, rungs: tuple[str, ...] | None = None) -> None:
        self.top = top
        self.tree = plant(top)
        self.home = top / "home"
        self.home.mkdir()
        self.config = self.home / "config.toml"
        self.config.write_text(self.tree.settings)
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "OCTAVO_HOME": str(self.home),
        }
        self._loop = asyncio.Runner()
        self.runner = CommandRunner(environ=self.environ, rungs=rungs)

    def close(self) -> None:
        self.runner.close()
        self._loop.close()

    @property
    def profile(self) -> PermissionProfile:
        settings = load_sandbox_settings(str(self.home), cwd=self.tree.work)
        rules = resolve_profile(settings, cwd=self.tree.work, permission_profile="case")
        return PermissionProfile(rules, cwd=self.tree.work)

    def run(self, argv: list[str], *, sandbox: Sandbox | None = None, **more) -> CompletedCommand:
        sandbox = sandbox or Sandbox.from_profile(self.profile)
        more = {"cwd": self.tree.work, "timeout": 20, **more}
        return self._loop.run(self.runner.run(argv, sandbox=sandbox, **more))

    def provoke(self, body: str, **more) -> CompletedCommand:
        """Run a script inside; it says `worked` or `refused ERRNO`."""
        return self.run(self.tree.argv(body), **more)

    def without_sandbox(self, body: str) -> str:
        """What the same script says with no sandbox around it, in a tree of its own."""
        top = self.top / "free"
        top.mkdir()
        try:
            argv = plant(top).argv(body)
            done = subprocess.run(
                argv, cwd=top / "work", env=self.environ, capture_output=True, text=True, timeout=20
            )
            return done.stdout + done.stderr
        finally:
            shutil.rmtree(top)

    def contents(self) -> dict[str, tuple[object, ...]]:
        """Everything a command could have changed in the tree, by path."""
        found = {}
        for folder, names, files in os.walk(self.top):
            for name in (*names, *files):
                path = os.path.join(folder, name)
                if path.startswith((str(self.home), *mount_points(self.tree.work))):
                    continue
                there = os.lstat(path)
                changed = 0 if name in names else there.st_mtime_ns
                found[path] = (there.st_mode, there.st_uid, there.st_size, changed)
        return found


@contextmanager
def room(top: Path, *, rungs: tuple[str, ...] | None = None) -> Iterator[Room]:
    made = Room(top, rungs=rungs)
    try:
        yield made
    finally:
        made.close()
