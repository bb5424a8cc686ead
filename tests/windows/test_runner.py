"""The real runner program over real pipes: every message, every limit, every way to end.

It runs in our own account here: Wine has no logon. What it asks of Windows is in `test_requests`.
"""

import ctypes
import hashlib
import json
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from programs import CMD, python
    from runners import S, gone, handles, run_to_end, runner, runs

    from octavo.process.handles_windows import Stopped
    from octavo.sandbox.windows import frames
    from octavo.sandbox.windows.frames import (
        CloseStdin,
        Exit,
        Failure,
        Output,
        Resize,
        SpawnReady,
        Stdin,
        StdinTaken,
        Terminate,
    )


# Good runs ---------------------------------------------------------------------------------------


def test_a_command_runs_and_both_outputs_come_apart_and_in_order(user, request_of):
    code = "import os\nfor i in range(20): os.write(1, b'o%d;' % i); os.write(2, b'e%d;' % i)"
    end, told = run_to_end(user, request_of(*python(code)))
    assert end == Exit(exit_code=0, timed_out=False)
    assert told.output() == b"".join(b"o%d;" % i for i in range(20))
    assert told.output("stderr") == b"".join(b"e%d;" % i for i in range(20))


def test_a_megabyte_comes_through_exactly_in_pieces_of_the_right_size(user, request_of):
    data = bytes(range(256)) * 4096
    code = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)"
    end, told = run_to_end(user, request_of(*python(code)))
    assert end.exit_code == 0
    assert told.output() == data
    assert max(len(each.data) for each in told.said if isinstance(each, Output)) <= frames.PIECE


def test_input_arrives_in_pieces_and_ends(user, request_of):
    code = "import sys; print(repr(sys.stdin.buffer.read()))"
    end, told = run_to_end(
        user,
        request_of(*python(code), stdin_open=True),
        Stdin(data=b"one "),
        Stdin(data=b"two"),
        CloseStdin(),
    )
    assert end.exit_code == 0
    assert told.output() == b"b'one two'\r\n"
    assert sum(each.count for each in told.said if isinstance(each, StdinTaken)) == 7


def test_a_megabyte_of_input_is_written_however_slowly_the_command_reads(user, request_of):
    code = (
        "import sys, hashlib\nfound = hashlib.sha256()\n"
        "while piece := sys.stdin.buffer.raw.read(1000): found.update(piece)\n"
        "print(found.hexdigest())"
    )
    piece = bytes(range(256)) * 256
    end, told = run_to_end(
        user, request_of(*python(code), stdin_open=True), *[Stdin(data=piece)] * 16, CloseStdin()
    )
    assert end.exit_code == 0
    assert told.output().decode().strip() == hashlib.sha256(piece * 16).hexdigest()


def test_closed_input_is_at_its_end_from_the_start(user, request_of):
    code = "import sys; print(repr(sys.stdin.read()))"
    end, told = run_to_end(user, request_of(*python(code)), Stdin(data=b"nobody reads this"))
    assert told.output() == b"''\r\n"
    assert end.exit_code == 0


@pytest.mark.parametrize(
    ("code", "seen"), [(0, 0), (7, 7), (255, 255), (0xC0000005, 0xC0000005 - (1 << 32))]
)
def test_exit_codes_are_the_commands_own(user, request_of, code, seen):
    words = python(f"import ctypes; ctypes.windll.kernel32.ExitProcess({code})")
    end, _ = run_to_end(user, request_of(*words))
    assert end == Exit(exit_code=seen, timed_out=False)


def test_a_log_tells_of_start_and_end(user, request_of, tmp_path):
    run_to_end(user, request_of(CMD, "/c", "exit 3"))
    (log,) = tmp_path.glob("sandbox.*.log")
    first, last = log.read_text().splitlines()
    assert "START: " in first
    assert "FAILURE: " in last
    assert "exit code 3" in last


def test_the_command_is_on_the_private_desktop(user, request_of, room):
    code = (
        "import ctypes; u = ctypes.windll.user32; k = ctypes.windll.kernel32\n"
        "name = ctypes.create_unicode_buffer(256)\n"
        "u.GetThreadDesktop.restype = ctypes.c_void_p\n"
        "u.GetUserObjectInformationW(ctypes.c_void_p(u.GetThreadDesktop(k.GetCurrentThreadId())),"
        " 2, name, 512, None)\n"
        "print(name.value)"
    )
    _, told = run_to_end(user, request_of(*python(code)))
    assert told.output().decode().strip() == room


# What cannot be started --------------------------------------------------------------------------


def refused(user, request):
    with runner(user) as told:
        told.send(request)
        failure = told.until(Failure)
        assert told.started.exit_code(S) == 1
        return failure


def test_a_missing_program_is_told_with_windows_number(user, request_of):
    failure = refused(user, request_of("no-such-program-anywhere", "x"))
    assert (failure.stage, failure.windows_error_code) == ("spawn_child", 2)
    assert "no-such-program-anywhere" in failure.message


def test_a_missing_folder_is_told_with_windows_number(user, request_of, tmp_path):
    failure = refused(user, request_of(CMD, "/c", "exit", cwd=str(tmp_path / "nothing")))
    assert (failure.stage, failure.windows_error_code) == ("spawn_child", 267)
    assert "nothing" in failure.message


def test_a_command_without_capabilities_is_never_started(user, request_of):
    failure = refused(user, request_of(CMD, "/c", "exit", cap_sids=()))
    assert failure.stage == "spawn_child"
    assert "capability" in failure.message


@pytest.mark.parametrize("name", ["Default", "Winlogon", "OctavoSandboxDesktop-xyz", ""])
def test_a_desktop_that_is_none_of_ours_is_never_opened(user, request_of, name):
    failure = refused(user, request_of(CMD, "/c", "exit", private_desktop_name=name))
    assert failure.stage == "spawn_child"
    assert "no private desktop" in failure.message


def test_a_desktop_that_is_gone_is_an_error(user, request_of):
    name = "OctavoSandboxDesktop-" + "0" * 32
    failure = refused(user, request_of(CMD, "/c", "exit", private_desktop_name=name))
    assert failure.stage == "spawn_child"
    assert "OpenDesktop" in failure.message
    assert failure.windows_error_code


# Bad frames --------------------------------------------------------------------------------------


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


def body_of(request, **change) -> bytes:
    whole = json.loads(frames.encode(request)[4:])
    whole["payload"] |= change.pop("payload", {})
    for name in change.pop("without", ()):
        del whole["payload"][name]
    return json.dumps(whole | change).encode()


BAD = {
    "oversized": (lambda _: (frames.LARGEST + 1).to_bytes(4, "little"), "too large"),
    "no bytes": (lambda _: bytes(4), "no bytes"),
    "another version": (lambda r: framed(body_of(r, version=99)), "version 99"),
    "unknown type": (lambda r: framed(body_of(r, type="dance")), "dance"),
    "the other way": (lambda _: frames.encode(SpawnReady(process_id=1)), "other way"),
    "a missing field": (lambda r: framed(body_of(r, without=["cwd"])), "'cwd' is missing"),
    "not UTF-8": (lambda _: framed(b'{"version": 1, "\xff": 1}'), "not UTF-8"),
    "not JSON": (lambda _: framed(b"{nonsense"), "not JSON"),
    "no request": (lambda _: frames.encode(Terminate()), "terminate before a request"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_first_frame_is_answered_with_what_is_wrong(user, request_of, name):
    make, words = BAD[name]
    with runner(user) as told:
        told.raw(make(request_of(CMD, "/c", "exit")))
        failure = told.until(Failure)
        assert failure.stage == "read_spawn_request"
        assert words in failure.message
        assert failure.windows_error_code is None
        assert told.started.exit_code(S) == 1


def test_a_truncated_request_ends_the_runner(user, request_of):
    with runner(user) as told:
        told.raw(frames.encode(request_of(CMD, "/c", "exit"))[:50])
        told.outgoing.close()
        failure = told.until(Failure)
        assert failure.stage == "read_spawn_request"
        assert "inside a frame" in failure.message
        assert told.started.exit_code(S) == 1


@pytest.mark.parametrize(
    "frame",
    [
        framed(b'{"version": 1, "type": "stdin", "payload": {"data_b64": "?"}}'),
        framed(b'{"version": 1, "type": "dance", "payload": {}}'),
        b"\xff\xff\xff\xff",
    ],
    ids=["not base64", "unknown type", "oversized"],
)
def test_a_bad_frame_after_the_start_ends_the_command(user, request_of, frame):
    with runner(user) as told:
        told.send(request_of(*python("input()"), stdin_open=True))
        pid = told.until(SpawnReady).process_id
        told.raw(frame)
        assert told.started.exit_code(S) == 1
        assert gone(pid)


def test_more_input_than_anybody_may_send_ahead_ends_the_command(user, request_of):
    with runner(user) as told:
        told.send(request_of(*python("import time; time.sleep(60)"), stdin_open=True))
        pid = told.until(SpawnReady).process_id
        with pytest.raises((OSError, Stopped)):  # noqa: PT012 - any of them may be refused
            for _ in range(20):
                told.send(Stdin(data=bytes(1 << 20)))
        assert told.started.exit_code(S) == 1
        assert gone(pid)


# Ends --------------------------------------------------------------------------------------------


def test_time_is_up(user, request_of):
    code = "import time; print('up', flush=True); time.sleep(60)"
    end, told = run_to_end(user, request_of(*python(code), timeout_ms=2500))
    assert end == Exit(exit_code=192, timed_out=True)
    assert told.output() == b"up\r\n"


def test_terminate_is_no_timeout(user, request_of):
    end, _ = run_to_end(
        user, request_of(*python("import time; time.sleep(60)"), timeout_ms=60_000), Terminate()
    )
    assert end == Exit(exit_code=1, timed_out=False)


def test_when_octavo_is_gone_the_command_is_ended(user, request_of):
    with runner(user) as told:
        told.send(request_of(*python("import time; time.sleep(60)")))
        pid = told.until(SpawnReady).process_id
        told.outgoing.close()
        assert told.started.exit_code(S) == 1
        assert gone(pid)


def test_when_nobody_reads_the_output_any_more_the_command_is_ended(user, request_of):
    with runner(user) as told:
        told.send(request_of(*python("import os\nwhile True: os.write(1, b'x' * 8192)")))
        pid = told.until(SpawnReady).process_id
        told.incoming.close()
        assert told.started.exit_code(S) == 1
        assert gone(pid)


HOLDER = (
    "import subprocess, sys\n"
    "inner = subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep({s})'])\n"
    "print(inner.pid, flush=True)"
)


TALKER = HOLDER.replace(
    "import time; time.sleep({s})",
    "import time\\nwhile True: print(1, flush=True); time.sleep(0.2)",
)


def test_a_time_limit_holds_while_a_descendant_keeps_the_output_open(user, request_of):
    began = time.monotonic()
    end, told = run_to_end(user, request_of(*python(TALKER), timeout_ms=3000))
    assert end == Exit(exit_code=192, timed_out=True)
    assert time.monotonic() - began < 9
    assert gone(int(told.output().split()[0]))


def test_terminate_is_heard_while_a_descendant_keeps_the_output_open(user, request_of):
    with runner(user) as told:
        told.send(request_of(*python(TALKER)))
        command = told.until(SpawnReady).process_id
        inner = int(told.until(Output).data.split()[0])
        assert gone(command)
        told.send(Terminate())
        assert told.until(Exit) == Exit(exit_code=1, timed_out=False)
        assert gone(inner)


def test_what_a_command_leaves_in_the_background_lives_on(user, request_of):
    end, told = run_to_end(user, request_of(*python(HOLDER.format(s=20))))
    inner = int(told.output())
    assert end == Exit(exit_code=0, timed_out=False)
    assert runs(inner)
    handle = ctypes.windll.kernel32.OpenProcess(1, False, inner)
    ctypes.windll.kernel32.TerminateProcess(handle, 1)
    ctypes.windll.kernel32.CloseHandle(handle)


# Terminals ---------------------------------------------------------------------------------------


def test_a_command_with_a_terminal_prints_reads_and_is_resized(user, request_of, tmp_path):
    (tmp_path / "ask.py").write_text("print('got:' + input() + ':')")
    line = f'"{sys.executable}" -I -S ask.py <CONIN$ >CONOUT$ 2>&1'
    end, told = run_to_end(
        user,
        request_of(CMD, "/c", line, tty=True, stdin_open=True),
        Resize(rows=40, cols=100),
        Stdin(data=b"hel"),
        Stdin(data=b"lo\n"),
    )
    assert end.exit_code == 0
    assert b"got:hello:" in told.output()
    assert told.output("stderr") == b""


def test_a_session_with_a_terminal_is_terminated(user, request_of):
    end, _ = run_to_end(user, request_of(CMD, "/c", "pause <CONIN$", tty=True), Terminate())
    assert end == Exit(exit_code=1, timed_out=False)


def test_many_runs_leave_no_handles_behind(user, request_of):
    request = request_of(CMD, "/c", "echo x")
    run_to_end(user, request)
    before = handles()
    for _ in range(3):
        run_to_end(user, request)
    assert handles() - before <= 2
