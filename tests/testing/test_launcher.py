"""The pretended launcher beside the real one: what callers see is the same."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("children with pipes are POSIX only so far", allow_module_level=True)

from octavo.process import pipes
from octavo.process.run import run
from octavo.process.spec import ExitStatus, Pipes, ProcessSpec, Terminal
from octavo.protocol.errors import UsageError
from octavo.sandbox.confined import Confined
from octavo.testing.launcher import PretendLauncher


class Real:
    async def start(self, spec, *, escalated=False):
        return Confined(await pipes.start(spec), rung="none")


def spec(script, **stdio):
    return ProcessSpec(
        argv=("/bin/sh", "-c", script), env={"PATH": os.defpath}, cwd="/", stdio=Pipes(**stdio)
    )


@pytest.fixture(params=["pretended", "real"])
def launcher(request):
    return PretendLauncher() if request.param == "pretended" else Real()


def scripted(launcher, output, **more):
    if isinstance(launcher, PretendLauncher):
        launcher.says(output, **more)


async def test_output_and_exit_code_arrive(launcher):
    scripted(launcher, "no such file\n", exit_code=3)
    confined = await launcher.start(spec("echo no such file; exit 3", merge_stderr=True))
    done = await run(confined.child)
    assert (done.stdout.text(), done.status) == ("no such file\n", ExitStatus(code=3))


async def test_a_command_that_does_not_end_is_ended_by_its_deadline(launcher):
    if isinstance(launcher, PretendLauncher):
        launcher.runs("working\n")
    confined = await launcher.start(spec("echo working; sleep 600", merge_stderr=True))
    done = await run(confined.child, timeout_s=0.3)
    assert done.timed_out
    assert done.stdout.text() == "working\n"


async def test_nothing_is_left_open(launcher):
    before = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()
    scripted(launcher, "x")
    confined = await launcher.start(spec("echo x", merge_stderr=False, stdin=True))
    await run(confined.child, stdin=b"words")
    if sys.platform == "linux":
        assert set(os.listdir("/proc/self/fd")) == before


async def test_it_remembers_what_it_was_asked():
    launcher = PretendLauncher()
    await run((await launcher.start(spec("make"), escalated=True)).child)
    assert [one.argv[-1] for one in launcher.started] == ["make"]
    assert launcher.escalated == launcher.started


async def test_what_it_cannot_pretend_it_refuses():
    launcher = PretendLauncher()
    with pytest.raises(UsageError, match="terminal"):
        await launcher.start(ProcessSpec(argv=("sh",), env={}, cwd="/", stdio=Terminal()))
    with pytest.raises(UsageError, match="fit"):
        launcher.says("x" * 100_000)
