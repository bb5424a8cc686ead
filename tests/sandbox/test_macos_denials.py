"""Reading refusals from the system log: the parser with lines as the system writes them, the stream
with a real program in the place of `log`."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.macos.denials import Evidence, LogStream, parse_line, select

HEADER = 'Filtering the log data using "processID == 0"\n'


def kernel(message, **more):
    entry = {
        "timestamp": "2026-09-03 22:02:39.973218-0300",
        "messageType": "Error",
        "eventType": "logEvent",
        "processImagePath": "/kernel",
        "senderImagePath": "/System/Library/Extensions/Sandbox.kext/Contents/MacOS/Sandbox",
        "processID": 0,
        "eventMessage": message,
    }
    return json.dumps({**entry, **more}) + "\n"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Sandbox: touch(42) deny(1) file-write-create /private/tmp/x y",
            (42, "file-write-create", "/private/tmp/x y", ""),
        ),
        (
            "Sandbox: cat(42) deny(1) file-read-data /Users/me/k.pem\noctavo-1 GLOB_0",
            (42, "file-read-data", "/Users/me/k.pem", "octavo-1 GLOB_0"),
        ),
        (
            "Sandbox: Cursor Helper (Plugin)(81300) deny(1) network-outbound remote:*:443",
            (81300, "network-outbound", "remote:*:443", ""),
        ),
        (
            "Sandbox: nc(11) deny(1) network-outbound /private/tmp/hooks.sock",
            (11, "network-outbound", "/private/tmp/hooks.sock", ""),
        ),
        (
            "5 duplicate reports for Sandbox: ls(7) deny(1) file-read-metadata /var",
            (7, "file-read-metadata", "/var", ""),
        ),
        (
            "1 duplicate report for Sandbox: ls(7) deny(1) mach-lookup com.apple.logd",
            (7, "mach-lookup", "com.apple.logd", ""),
        ),
        (
            "Sandbox: sh(9) deny(1) forbidden-sandbox-reinit",
            (9, "forbidden-sandbox-reinit", "", ""),
        ),
        ("Sandbox: sh(9) deny(1) process-exec* /bin/ps", (9, "process-exec*", "/bin/ps", "")),
        (
            "Sandbox: sh(9) deny(1) sysctl-read kern.x\n t kern\nmore",
            (9, "sysctl-read", "kern.x", "t kern"),
        ),
        ("Sandbox: (9) deny(1) signal", (9, "signal", "", "")),
    ],
)
def test_a_report_becomes_evidence(message, expected):
    assert parse_line(kernel(message)) == expected
    assert parse_line(kernel(message).encode()) == expected


@pytest.mark.parametrize(
    "line",
    [
        HEADER,
        "",
        "\n",
        "[]",
        "null",
        '{"eventMessage": 3, "processID": 0}',
        '{"count":3,"finished":1}',
        kernel("Sandbox: cat(1) allow(1) file-read-data /x"),
        kernel("Sandbox: cat deny(1) file-read-data /x"),
        kernel("Sandbox: cat(1) deny file-read-data /x"),
        kernel("kernel: Sandbox: cat(1) deny(1) file-read-data /x"),
        kernel("Sandbox: cat(1) deny(1) file-read-data /x")[:-20],
        kernel("System Policy: cat(1) deny(1) file-read-data /x"),
        "[" * 100_000,
    ],
)
def test_everything_else_is_no_evidence(line):
    assert parse_line(line) is None


def test_what_an_ordinary_process_writes_is_no_evidence():
    message = "Sandbox: cat(1) deny(1) file-read-data /x"
    forged = {"processID": 4711, "subsystem": "com.apple.sandbox.reporting"}
    assert parse_line(kernel(message, **forged, processImagePath="/Users/me/liar")) is None
    assert parse_line(kernel(message, **forged, processImagePath="/usr/libexec/sandboxd"))


def test_a_process_that_calls_itself_a_report_is_still_found_by_its_first_bracket():
    found = parse_line(kernel("Sandbox: x(1) deny(1) y (2) deny(1) signal"))
    assert found is not None
    assert found.pid == 1


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_line_breaks_the_parser(line):
    assert parse_line(line) is None or isinstance(parse_line(line), Evidence)


paths = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\n"), min_size=1, max_size=30
).map(lambda name: "/" + name)


@given(st.integers(1, 99999), st.sampled_from(["file-read-data", "file-write-create"]), paths)
def test_what_the_kernel_writes_is_what_we_read(pid, operation, path):
    line = kernel(f"Sandbox: sh({pid}) deny(1) {operation} {path}\nt WRITABLE_0")
    assert parse_line(line) == Evidence(pid, operation, path, "t WRITABLE_0")


def test_each_refusal_is_listed_once_and_only_ours():
    first = Evidence(7, "file-read-data", "/x")
    tagged = Evidence(7, "file-read-data", "/x", "t DENIED_0")
    other = Evidence(8, "file-read-data", "/x", "u DENIED_0")
    assert select([first, first, tagged, other]) == (tagged, other)
    assert select([first, tagged, other], tag="t") == (tagged,)
    assert select([first, tagged, other], pids={7}) == (tagged,)
    assert select([first, tagged, other], tag="u", pids={7}) == (tagged, other)
    assert select([first], tag="t") == ()


def stand_in(lines, *, ending="import signal; signal.pause()"):
    """A program that writes these lines and then waits, as `log stream` does."""
    text = f"import sys; sys.stdout.write({lines!r}); sys.stdout.flush(); {ending}"
    return [sys.executable, "-I", "-S", "-c", text]


needs_pause = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in waits for a signal")


@needs_pause
def test_the_stream_collects_until_it_is_stopped():
    report = kernel("Sandbox: sh(9) deny(1) file-write-create /x\nt default")
    with LogStream(stand_in(HEADER + report + report)) as log:
        assert log.problem is None
        assert log.stop() == (Evidence(9, "file-write-create", "/x", "t default"),)
        assert log.stop() == (Evidence(9, "file-write-create", "/x", "t default"),)


@needs_pause
def test_a_log_that_stays_silent_is_reported_within_the_deadline():
    log = LogStream(stand_in(""))
    assert not log.start(deadline_s=0.05)
    assert log.problem == "the system log said nothing for 0.05 s"
    assert log.stop(grace_s=0) == ()


def test_a_log_that_ends_at_once_is_reported():
    log = LogStream(stand_in("", ending="sys.exit(64)"))
    assert not log.start(deadline_s=10)
    assert log.problem == "the system log ended at once"
    assert log.stop(grace_s=0) == ()


def test_a_missing_log_program_is_reported():
    with LogStream(["/nonexistent/log"]) as log:
        assert log.problem is not None
        assert "/nonexistent/log" in log.problem
        assert log.stop() == ()
