"""What starting commands asks of Windows, as Wine's server records it, against what was planned."""

import asyncio
import re
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
    ),
    pytest.mark.traced,
]

if sys.platform == "win32":
    from programs import CMD, command
    from runners import run_to_end

    from octavo.process import pipes_windows, spawn_windows
    from octavo.process.run import run
    from octavo.process.spec import Terminal
    from octavo.sandbox.win32 import desktop
    from octavo.sandbox.windows import acl, desktops, frames
    from octavo.sandbox.windows.acl import Ace
    from octavo.sandbox.windows.tokens import FLAGS

ENDLESS = spawn_windows.KILL_ON_CLOSE if sys.platform == "win32" else 0
GENERIC_ALL = 0x10000000


def listed(request, name):
    """The numbers of a list in a request."""
    found = re.search(rf"\b{name}=\{{([0-9a-f,]*)\}}", request.arguments)
    assert found is not None, f"{request.call} has no {name}"
    return [int(each, 16) for each in found[1].split(",") if each]


def starts(trace, program):
    """The starts of that program."""
    image = re.compile(rf'imagepath=L"[^"]*{re.escape(program)}"')
    return [each for each in trace.asked("new_process") if image.search(each.arguments)]


def test_the_runner_asks_for_what_the_facts_say(trace, user, room, request_of):
    run_to_end(user, request_of(CMD, "/c", "echo x"))
    into, out = [each for each in trace.asked("create_named_pipe") if "octavo-runner-" in each.name]
    for pipe, end in ((into, "-in"), (out, "-out")):
        assert pipe.name.endswith(end)
        assert pipe.number("maxinstances") == 1
        assert pipe.number("insize") == pipe.number("outsize") == frames.PIPE_BUFFER
        assert pipe.entries == (Ace(True, user, GENERIC_ALL),)
    (opened,) = trace.asked("open_desktop")
    assert room in opened.arguments
    assert opened.number("access") == desktops.PARTICIPANT
    (filtered,) = trace.asked("filter_token")
    assert filtered.number("flags") == FLAGS
    limits = [each.number("limit_flags") for each in trace.asked("set_job_limits")]
    assert limits == [ENDLESS, spawn_windows.NO_LIMITS]
    (child,) = starts(trace, "cmd.exe")
    assert child.number("token") != 0
    assert len(listed(child, "jobs")) == 1
    assert listed(child, "handles") == [
        child.number(f"hstd{each}") for each in ("in", "out", "err")
    ]
    assert f"Winsta0\\\\{room}" in child.arguments
    assert re.search(r"chars=\d+,attribute=00,flags=100", child.arguments)


def test_token_empty_device_and_desktop_come_before_the_command(trace, user, request_of):
    run_to_end(user, request_of(CMD, "/c", "echo x"))
    asked = trace.since()
    (token,) = [each for each in asked if each.call == "filter_token"]
    runner = token.thread
    steps = {"filter_token": "token", "open_desktop": "desktop", "create_job": "job"}
    order = []
    for each in asked[asked.index(token) :]:
        if each.thread != runner:
            continue
        if each.call == "open_file_object" and each.name == "NUL":
            order.append(each.number("access"))
        elif each.call in steps:
            order.append(steps[each.call])
        elif each.call == "new_process":
            order.append("start")
    # CreateFile itself always asks for attributes and waiting; the last one is the command's input
    device = acl.NUL_ACCESS | 0x100080
    assert order == ["token", device, "desktop", "job", 0x80100080, "start"]


def test_the_runners_ends_are_opened_for_one_direction_each(trace, user, request_of):
    run_to_end(user, request_of(CMD, "/c", "echo x"))
    opened = {
        each.name.rpartition("-")[2]: each
        for each in trace.asked("open_file_object")
        if "octavo-runner-" in each.name
    }
    # CreateFile itself always asks for attributes and waiting
    wanted = {name: mask | 0x100080 for name, mask in frames.RUNNER_ACCESS.items()}
    assert {name: each.number("access") for name, each in opened.items()} == wanted
    assert {each.number("sharing") for each in opened.values()} == {0}


def test_a_command_that_was_cut_off_keeps_the_job_that_ends_all(trace, user, request_of):
    run_to_end(user, request_of(CMD, "/c", "ping -n 60 127.0.0.1", timeout_ms=1500))
    assert [each.number("limit_flags") for each in trace.asked("set_job_limits")] == [ENDLESS]
    assert trace.asked("terminate_job")


def test_a_desktop_is_made_with_all_rights_for_its_maker(trace, user):
    desktop.create(user, "S-1-5-21-1-2-3-4").close()
    (made,) = trace.asked("create_desktop")
    assert made.number("access") == desktops.ALL


def test_a_terminal_comes_with_a_job_and_no_handles_of_ours(trace, tmp_path):
    async def once():
        child = await pipes_windows.start(
            command((CMD, "/c", "echo x >CONOUT$"), str(tmp_path)), Terminal()
        )
        await run(child, timeout_s=30)

    asyncio.run(once())
    (child,) = starts(trace, "cmd.exe")
    assert listed(child, "handles") == []
    assert len(listed(child, "jobs")) == 1
    assert [child.number(f"hstd{each}") for each in ("in", "out", "err")] == [0, 0, 0]
