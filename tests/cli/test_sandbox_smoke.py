"""The smoke test's judgement, with rows for a system that has /bin/sh."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("rows for /bin/sh", allow_module_level=True)

from octavo.cli.sandbox_smoke import Bench, Listener, smoke, summary
from octavo.sandbox.windows.smoke_rows import Row

PYTHON = "{python}"
CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), 5)"


def sh(line):
    return ("/bin/sh", "-c", line)


def row(**more):
    return Row(
        **{"number": "1", "name": "x", "mode": "workspace-write", "expected": "denied", **more}
    )


def nothing(tmp_path):
    """A launcher that confines nothing."""
    file = tmp_path / "nothing"
    file.write_text('#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    file.chmod(0o755)
    return str(file)


def saying(tmp_path, line):
    file = tmp_path / "saying"
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)
    return str(file)


def tried(tmp_path, one, launcher):
    told = []
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    bench = Bench(
        folder=str(tmp_path), home=str(home), backend="b", launcher=(launcher,),
        environ=dict(os.environ),
    )  # fmt: skip
    (result,) = smoke([one], bench, told.append)
    assert told == [result]
    left = {path.name for path in tmp_path.iterdir()} - {"nothing", "saying"}
    assert left == {"home"}
    return result


WRITE_OUT = row(command=sh("echo x > {out}/a"), written=("{out}/a", None))


def test_what_gets_out_is_an_escape_whatever_the_exit_code(tmp_path):
    result = tried(tmp_path, WRITE_OUT, nothing(tmp_path))
    assert (result.got, result.passed) == ("escaped", False)
    sneaky = row(command=sh("echo x > {out}/a; exit 1"), written=("{out}/a", None))
    assert tried(tmp_path, sneaky, nothing(tmp_path)).got == "escaped"


def test_what_ends_well_and_did_nothing_is_not_denied(tmp_path):
    result = tried(tmp_path, WRITE_OUT, saying(tmp_path, "exit 0"))
    assert (result.got, result.passed) == ("failed", False)


def test_what_fails_and_did_nothing_is_denied(tmp_path):
    result = tried(tmp_path, WRITE_OUT, saying(tmp_path, "exit 1"))
    assert (result.got, result.passed) == ("denied", True)


def test_a_sandbox_that_starts_nothing_denies_nothing(tmp_path):
    nope = saying(tmp_path, "echo 'octavo: no sandbox here' >&2; exit 5")
    assert tried(tmp_path, WRITE_OUT, nope).passed is False
    wrong = saying(tmp_path, "echo 'octavo: C: is not an absolute path' >&2; exit 4")
    assert tried(tmp_path, WRITE_OUT, wrong).got == "refused"
    assert tried(tmp_path, WRITE_OUT, wrong).passed is False
    nope = saying(tmp_path, "echo 'octavo: no sandbox here' >&2; exit 5")
    assert tried(tmp_path, row(command=sh("true"), expected="refused"), nope).passed is True
    assert tried(tmp_path, row(command=sh("true"), expected="ok"), nope).passed is False


def test_a_remark_of_ours_is_no_refusal(tmp_path):
    noted = saying(tmp_path, "echo 'octavo: note: reading is not held' >&2; exit 1")
    assert tried(tmp_path, WRITE_OUT, noted).passed is True


def test_a_row_that_fails_without_a_sandbox_too_proves_nothing(tmp_path):
    impossible = row(command=sh("echo x > {out}/no/such/a"), written=("{out}/no/such/a", None))
    result = tried(tmp_path, impossible, saying(tmp_path, "exit 1"))
    assert (result.got, result.passed) == ("no control", None)


def test_what_is_allowed_has_to_be_on_the_disk_with_its_content(tmp_path):
    ok = row(command=sh("echo x > a"), expected="ok", written=("{ws}/a", "x\n"))
    assert tried(tmp_path, ok, nothing(tmp_path)).passed is True
    assert "missing" in tried(tmp_path, ok, saying(tmp_path, "exit 0")).detail
    other = row(command=sh("echo y > a"), expected="ok", written=("{ws}/a", "x\n"))
    assert tried(tmp_path, other, nothing(tmp_path)).passed is False


def test_old_files_links_and_what_has_to_be_gone_count(tmp_path):
    before = (("{ws}/old", "old\n"),)
    moved = row(command=sh("mv old new"), expected="ok", before=before, gone=("{ws}/old",))
    assert tried(tmp_path, moved, nothing(tmp_path)).passed is True
    changed = row(command=sh("echo x >> old"), before=before, unchanged=before)
    assert tried(tmp_path, changed, nothing(tmp_path)).got == "escaped"
    through = row(
        command=sh("echo x > j/a"), links=(("{ws}/j", "{out}"),), written=("{out}/a", None)
    )
    assert tried(tmp_path, through, nothing(tmp_path)).got == "escaped"


def test_a_connection_that_arrives_was_not_blocked(tmp_path):
    blocked = row(command=(PYTHON, "-c", CONNECT + "; raise SystemExit(1)"), expected="blocked")
    assert tried(tmp_path, blocked, nothing(tmp_path)).got == "escaped"
    assert tried(tmp_path, blocked, saying(tmp_path, "exit 1")).passed is True


def test_needs_that_are_not_met_are_not_passes(tmp_path):
    result = tried(tmp_path, row(command=sh("true"), needs=("gui",)), nothing(tmp_path))
    assert (result.got, result.passed) == ("skipped", None)
    assert summary([result]) == "0 passed, 0 failed, 1 not tried"


def test_the_exit_code_of_a_command_counts(tmp_path):
    seven = row(command=sh("exit 7"), expected="ok", exit_code=7)
    assert tried(tmp_path, seven, nothing(tmp_path)).passed is True
    assert tried(tmp_path, seven, saying(tmp_path, "exit 0")).passed is False


def test_a_listener_ends():
    listener = Listener()
    listener.close()
    assert listener.came == 0
