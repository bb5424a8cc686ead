"""Real processes, each carrying a tag, so that a test can prove that none was left behind."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from octavo.process.spec import Pipes, ProcessSpec, Terminal

if sys.platform == "win32":
    collect_ignore_glob = ["test_pipes.py", "test_pty_posix.py", "test_run.py", "test_table.py"]
    collect_ignore_glob += ["test_tree.py", "test_family.py", "test_reap.py", "test_stage.py"]

PATH = os.environ["PATH"]
TAG = "OCTAVO_TEST_TAG"
PATIENCE_S = 5.0


class Room:
    """Makes specs whose processes can be found again."""

    def __init__(self) -> None:
        self.tag = secrets.token_hex(8)

    def sh(self, script: str, *args: str, stdio=Pipes(), env=(), **more) -> ProcessSpec:  # noqa: B008
        return self.spec("sh", "-c", script, "sh", *args, stdio=stdio, env=env, **more)

    def python(self, script: str, *args: str, stdio=Pipes(), env=(), **more) -> ProcessSpec:  # noqa: B008
        return self.spec(
            sys.executable, "-I", "-S", "-c", script, *args, stdio=stdio, env=env, **more
        )

    def spec(self, *argv: str, stdio: Pipes | Terminal, env=(), **more) -> ProcessSpec:
        environment = {"PATH": PATH, TAG: self.tag, **dict(env)}
        return ProcessSpec(argv=argv, env=environment, stdio=stdio, **more)

    async def eventually(self, truth: Callable[[], bool]) -> None:
        """For facts of the kernel that nothing announces; fails after a while."""
        async with asyncio.timeout(PATIENCE_S):
            while not truth():  # noqa: ASYNC110  # the kernel has no event for it
                await asyncio.sleep(0.002)

    async def ready(self, child) -> None:
        """Until the command has said something; what it said is used up."""
        fd = child.terminal_fd if child.stdout_fd is None else child.stdout_fd
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fd, heard.set)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await heard.wait()
        finally:
            loop.remove_reader(fd)
        os.read(fd, 1 << 16)

    def alive(self) -> list[int]:
        """Processes of this test that run, wherever they went."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdecimal():
                try:
                    with open(f"/proc/{name}/environ", "rb") as environment:
                        if f"{TAG}={self.tag}".encode() in environment.read().split(b"\0"):
                            found.append(int(name))
                except OSError:
                    continue
        return found


def descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def unreaped() -> list[int]:
    """Our children that have ended and were not collected."""
    with open(f"/proc/self/task/{os.getpid()}/children") as children:
        return [int(pid) for pid in children.read().split()]


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    """After the test nothing runs, nothing waits to be collected, nothing is open."""
    made = Room()
    if sys.platform != "linux":
        yield made
        return
    before, children = descriptors(), unreaped()
    yield made
    await made.eventually(lambda: not made.alive())
    assert [pid for pid in unreaped() if pid not in children] == []
    assert {fd: what for fd, what in descriptors().items() if before.get(fd) != what} == {}
