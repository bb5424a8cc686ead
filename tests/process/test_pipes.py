"""Plain children: what they get, what they do not get, and how a failed start looks."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from octavo.process import family
from octavo.process.child import Child, StartError
from octavo.process.pipes import marked, needs_stage, start
from octavo.process.run import run
from octavo.process.spec import ExitStatus, Pipes, ProcessSpec, Terminal
from octavo.protocol.errors import UsageError

LIST_DESCRIPTORS = "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:-1])"
# Without a shell between: some shells clear the mask for their children.
SHOW_SIGNALS = ("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
# Without the two that the C library keeps for itself: no program can change those through it.
OURS = sum(1 << (number - 1) for number in signal.valid_signals())


async def said(spec: ProcessSpec) -> str:
    done = await run(await start(spec))
    assert done.status == ExitStatus(code=0), done
    return done.stdout.text()


async def test_a_plain_child_is_a_child(room):
    child: Child = await start(room.sh("exit 7"))
    try:
        assert await child.wait() == ExitStatus(code=7)
        assert await child.wait() == ExitStatus(code=7)
    finally:
        child.close()
        child.close()


async def test_a_signal_ends_it_with_128_and_the_number(room):
    done = await run(await start(room.sh("kill -SEGV $$")))
    assert done.status == ExitStatus(signal=signal.SIGSEGV)
    assert done.status.shell_code == 139


async def test_only_the_given_environment_arrives(room):
    spec = room.python("import os; print(sorted(os.environ))", env={"LANG": "C.UTF-8", "A": "1"})
    expected = {"A", "LANG", "PATH", "OCTAVO_TEST_TAG"}
    if sys.platform == "linux":
        expected.add(family.MARK_NAME)
    assert await said(spec) == f"{sorted(expected)}\n"


async def test_it_starts_in_the_given_folder(room, tmp_path):
    assert await said(room.sh("pwd -P", cwd=str(tmp_path))) == f"{tmp_path.resolve()}\n"


async def test_a_name_that_is_not_utf_8_passes_unchanged(room):
    odd = os.fsdecode(b"\xff-\xc3")
    done = await run(await start(room.sh('printf %s "$1"', odd)))
    assert done.stdout.head == b"\xff-\xc3"


@pytest.mark.linux
@pytest.mark.parametrize("stdio", [Pipes(), Terminal()])
async def test_no_other_descriptor_is_inherited(room, tmp_path, stdio):
    leak = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        assert (await said(room.python(LIST_DESCRIPTORS, stdio=stdio))).strip() == "[0, 1, 2]"
    finally:
        os.close(leak)


async def test_it_leads_a_session_of_its_own(room):
    spec = room.python("import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))")
    assert await said(spec) == "True\n"


@pytest.mark.linux
async def test_it_finds_no_signal_blocked_or_ignored_whatever_the_host_does(room):
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert needs_stage(Pipes())
        lines = (await said(room.spec(*SHOW_SIGNALS, stdio=Pipes()))).split()
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
    assert [int(word, 16) & OURS for word in lines[1::2]] == [0, 0]


@pytest.mark.linux
async def test_an_ordinary_host_needs_no_stage_and_gives_the_same_signals(room):
    assert not needs_stage(Pipes())
    lines = (await said(room.spec(*SHOW_SIGNALS, stdio=Pipes()))).split()
    assert [int(word, 16) & OURS for word in lines[1::2]] == [0, 0]


@pytest.mark.parametrize("locale", [None, "C", "C.UTF-8", ""])
async def test_the_stage_leaves_no_trace_in_the_environment(room, locale):
    env = {} if locale is None else {"LC_CTYPE": locale}
    spec = room.sh("tr '\\0' '\\n' </proc/$$/environ | grep -c LC_CTYPE", env=env, stdio=Terminal())
    done = await run(await start(spec))
    assert done.stdout.text().strip() == ("0" if locale is None else "1")


@pytest.mark.parametrize("stdio", [Pipes(), Terminal()])
@pytest.mark.parametrize(
    ("program", "code"), [("no-such-program-here", 127), ("/etc/passwd", 126), ("/etc", 126)]
)
async def test_what_cannot_be_started_says_so_and_leaves_nothing(room, stdio, program, code):
    with pytest.raises(StartError, match=program) as caught:
        await start(room.spec(program, stdio=stdio))
    assert caught.value.shell_code == code
    assert caught.value.hint


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read all")
@pytest.mark.parametrize("stdio", [Pipes(), Terminal()])
async def test_a_folder_on_the_path_that_may_not_be_read_does_not_hide_what_is_wrong(
    room, tmp_path, stdio
):
    (tmp_path / "locked").mkdir(mode=0)
    path = f"{tmp_path}/locked:/usr/bin:/bin"
    with pytest.raises(StartError) as caught:
        await start(room.spec("no-such-program-here", stdio=stdio, env={"PATH": path}))
    assert caught.value.shell_code == 127


@pytest.mark.parametrize("stdio", [Pipes(), Terminal()])
async def test_a_missing_folder_is_named(room, stdio):
    with pytest.raises(StartError, match="/no/such/folder"):
        await start(room.spec("true", stdio=stdio, cwd="/no/such/folder"))


async def test_an_environment_that_is_too_large_is_refused_with_a_hint(room):
    with pytest.raises(StartError) as caught:
        await start(room.sh("true", env={f"V{i}": "x" * 100_000 for i in range(200)}))
    assert "file" in (caught.value.hint or "")


async def test_text_that_is_no_text_is_refused(room):
    with pytest.raises(UsageError):
        await start(room.sh("true", "\ud912"))


async def test_a_program_is_found_on_the_path_of_the_command_not_of_the_host(room, tmp_path):
    program = tmp_path / "only-here"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    spec = room.spec("only-here", stdio=Pipes(), env={"PATH": f"{tmp_path}:/bin:/usr/bin"})
    assert await said(spec) == "found\n"


async def test_closing_a_running_child_ends_it(room):
    child = await start(room.sh("sleep 100 & setsid sh -c 'echo ready; sleep 100' & wait"))
    await room.ready(child)
    child.close()
    assert await child.wait() in (ExitStatus(signal=9), ExitStatus())


async def test_a_child_closed_at_once_leaves_nothing_even_in_the_middle_of_a_staged_start(room):
    async def hurried() -> None:
        async with asyncio.timeout(0.001):
            child = await start(room.sh("sleep 100", stdio=Terminal()))
            child.close()

    for _ in range(3):
        with pytest.raises(TimeoutError):
            await hurried()


async def test_signals_reach_the_whole_group_and_a_finished_child_ignores_them(room):
    child = await start(room.sh("trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done"))
    assert child.stdout_fd is not None
    await readable(child.stdout_fd)
    child.send_signal(signal.SIGUSR1)
    assert await child.wait() == ExitStatus(code=9)
    child.send_signal(signal.SIGUSR1)
    child.close()
    child.send_signal(signal.SIGUSR1)
    child.kill()


async def test_a_child_without_a_terminal_cannot_be_resized(room):
    child = await start(room.sh("true"))
    with pytest.raises(UsageError):
        child.resize(1, 2)
    await child.wait()
    child.close()


def test_a_command_inside_a_command_carries_both_marks():
    outer, first = marked({})
    inner, second = marked(outer)
    if sys.platform != "linux":
        assert (first, second) == (None, None)
        return
    assert inner[family.MARK_NAME].encode().split(b":") == [first, second]


@pytest.mark.slow
async def test_two_hundred_quick_children_leak_nothing(room):
    for number in range(200):
        done = await run(await start(room.sh(f"echo {number}")))
        assert done.stdout.text() == f"{number}\n"


@pytest.mark.slow
async def test_many_children_side_by_side_keep_their_outputs_apart(room):
    async def one(number: int) -> None:
        done = await run(
            await start(room.sh(f"cat; exit {number}", stdio=Pipes(stdin=True))),
            stdin=str(number).encode(),
        )
        assert (done.stdout.text(), done.status.code) == (str(number), number)

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(one(number))


async def test_the_hosts_own_children_are_left_alone(room):
    with subprocess.Popen(["sh", "-c", "exit 5"]) as own:  # noqa: ASYNC220  # a blocking host
        await said(room.sh("echo x"))
    assert own.returncode == 5


async def readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        async with asyncio.timeout(5):
            await ready.wait()
    finally:
        loop.remove_reader(fd)
