"""Pipes and frames between Octavo and a runner: who may open them, and how long anybody waits."""

import os
import sys
import threading
import time

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from programs import python
    from runners import Nobody, S, runner_argv

    from octavo.process.handles_windows import Stopped, channel_pair, create_pipe
    from octavo.protocol.errors import SandboxUnavailable
    from octavo.sandbox.win32 import ipc
    from octavo.sandbox.win32.client import Stop
    from octavo.sandbox.win32.logon import OurAccount
    from octavo.sandbox.windows import frames
    from octavo.sandbox.windows.frames import FrameError, Output, SpawnReady, Stdin


def wires():
    """Octavo's side and the runner's, in one process."""
    ours_in, theirs_out = channel_pair()
    theirs_in, ours_out = channel_pair()
    return (
        ipc.Wire(ours_in, ours_out, frames.FROM_RUNNER),
        ipc.Wire(theirs_in, theirs_out, frames.TO_RUNNER),
    )


def test_a_name_that_exists_is_never_taken_a_second_time(user):
    pipes = ipc.Pipes(user)
    try:
        for name, mode in zip(pipes.names, ("in", "out"), strict=True):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is checked
                create_pipe(name, frames.PIPE_FLAGS[mode])
            assert caught.value.winerror in (5, 231)
    finally:
        pipes.close()


def test_a_stranger_at_the_pipe_is_refused(user):
    pipes = ipc.Pipes(user)
    sleeping = OurAccount().start(Nobody(), python("import time; time.sleep(60)"))
    stranger = ipc.open_wire(*pipes.names)  # this very process
    try:
        with pytest.raises(SandboxUnavailable, match=f"process {os.getpid()} opened"):
            pipes.connect(sleeping)
    finally:
        stranger.cancel()
        stranger.close()
        pipes.close()
        sleeping.terminate()
        sleeping.close()


def test_a_runner_that_does_not_connect_is_not_waited_for_for_ever(user):
    pipes = ipc.Pipes(user)
    sleeping = OurAccount().start(Nobody(), python("import time; time.sleep(60)"))
    try:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            pipes.connect(sleeping, timeout_s=0.5)
        assert time.monotonic() - began < 5
    finally:
        pipes.close()
        sleeping.terminate()
        sleeping.close()


def test_a_runner_that_ended_is_not_waited_for_at_all(user):
    pipes = ipc.Pipes(user)
    dead = OurAccount().start(Nobody(), python("raise SystemExit(3)"))
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is checked
            pipes.connect(dead)
        assert caught.value.winerror == 109
        assert dead.exit_code(S) == 3
    finally:
        pipes.close()
        dead.close()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--pipe-in=x"],
        ["--pipe-in=\\\\.\\pipe\\other-in", "--pipe-out=\\\\.\\pipe\\other-out"],
        ["--pipe-in=C:\\file-in", "--pipe-out=C:\\file-out"],
        [
            "--pipe-in=\\\\.\\pipe\\octavo-runner-0-in",
            "--pipe-out=\\\\.\\pipe\\octavo-runner-0-out",
        ],
    ],
)
def test_a_runner_without_good_pipes_ends_at_once(arguments):
    started = OurAccount().start(Nobody(), (*runner_argv(), *arguments))
    assert started.exit_code(S) in (1, 2)
    started.close()


def test_messages_come_through_whole_and_in_order():
    ours, theirs = wires()
    said = [Output(data=bytes([i]) * 8000, stream="stdout") for i in range(40)]
    sender = threading.Thread(target=lambda: [theirs.send(each, timeout_s=S) for each in said])
    sender.start()
    assert [ours.receive(timeout_s=S) for _ in said] == said
    sender.join()
    ours.send(Stdin(data=b"x"))
    assert theirs.receive(timeout_s=S) == Stdin(data=b"x")
    ours.close()
    assert theirs.receive(timeout_s=S) is None
    theirs.close()


def test_what_goes_the_other_way_is_refused():
    ours, theirs = wires()
    ours.send(SpawnReady(process_id=1), timeout_s=S)
    with pytest.raises(FrameError, match="other way"):
        theirs.receive(timeout_s=S)
    ours.close()
    theirs.close()


def test_silence_and_a_full_pipe_have_deadlines():
    ours, theirs = wires()
    with pytest.raises(TimeoutError):
        ours.receive(timeout_s=0.05)
    with pytest.raises(TimeoutError):  # noqa: PT012 - some of them fit into the pipe
        for _ in range(20):
            theirs.send(Output(data=bytes(8000), stream="stdout"), timeout_s=0.05)
    ours.close()
    theirs.close()


def test_a_thread_that_waits_is_woken():
    ours, theirs = wires()
    seen = []

    def wait():
        try:
            ours.receive()
        except Stopped as error:
            seen.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    ours.cancel()
    thread.join(S)
    assert len(seen) == 1
    with pytest.raises(Stopped):
        ours.receive()
    ours.close()
    theirs.close()


def test_who_asks_to_stop_before_the_wait_is_heard_too():
    stop, woken = Stop(), []
    stop.wakes(lambda: woken.append(1))
    stop.ask()
    assert woken == [1]
    with pytest.raises(Stopped):
        stop.wakes(lambda: woken.append(2))
