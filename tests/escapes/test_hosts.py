"""Other kinds of hosts, emulated by a filter: the right rung, or the right refusal."""

import json
import os
import subprocess

import pytest

from escapes.doors import OCTAVO, PYTHON
from escapes.hosts import HOSTS
from octavo.sandbox.backends import disk, find_bubblewrap

HOSTS_PY = os.path.join(os.path.dirname(__file__), "hosts.py")
ROOT = os.getuid() == 0
LANDLOCK = disk.facts()[3] >= 3
WRAP = bool(find_bubblewrap())
NOTHING = ("docker", "no-landlock")
pytestmark = pytest.mark.skipif(not LANDLOCK, reason="this kernel has no Landlock to fall back to")


def on(box, names, *words):
    """Run octavo on the emulated host, as this user."""
    return subprocess.run(
        [PYTHON, "-I", HOSTS_PY, ",".join(names), str(os.getuid()), "--", OCTAVO, *words],
        env=box.env, cwd=box.workspace, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def expected(names):
    """The strongest mechanism such a host leaves."""
    if "docker" in names:
        return "" if "no-landlock" in names else "landlock"
    if "old-kernel" in names:
        blocked = not ROOT and {"no-user-namespaces", "no-namespaces-left"} & set(names)
        wrapped = WRAP and not blocked
        return "bubblewrap" if wrapped else "" if "no-landlock" in names else "landlock"
    if {"no-user-namespaces", "no-namespaces-left"} & set(names):
        if ROOT:
            return "native-root"
        return "" if "no-landlock" in names else "landlock"
    return "native"


CASES = [
    *((name,) for name in HOSTS),
    ("docker", "no-landlock"),
    ("old-kernel", "no-landlock"),
    ("no-user-namespaces", "no-landlock"),
    ("old-kernel", "no-user-namespaces"),
]


@pytest.mark.parametrize("names", CASES, ids=",".join)
def test_the_strongest_rung_that_holds_is_used(box, names):
    done = on(
        box,
        names,
        "sandbox",
        "--json",
        "--",
        "sh",
        "-c",
        f"echo ran; echo x > {box.outside}/planted",
    )
    rung = expected(names)
    assert os.listdir(box.outside) == []
    if rung:
        report = json.loads(done.stdout)
        assert report["rung"] == rung, done.stderr
        assert "ran" in report["stdout"]
    else:
        assert done.returncode == 5, done.stdout + done.stderr


@pytest.mark.parametrize("names", CASES, ids=",".join)
def test_the_short_way_and_the_doctor_agree(box, names):
    done = on(box, names, "sandbox", "--", "sh", "-c", "echo ran")
    doctor = on(box, names, "doctor", "--json")
    facts = {fact["name"]: fact for fact in facts_of(doctor.stdout)}
    rung = expected(names)
    assert facts["sandbox"]["state"] == {"": "problem", "landlock": "weak"}.get(rung, "ok"), (
        doctor.stdout
    )
    assert (done.returncode, done.stdout) == ((0, "ran\n") if rung else (5, "")), done.stderr
    if not rung:
        assert "nothing was run" in done.stderr
        assert "octavo doctor" in done.stderr


def facts_of(text):
    found = json.loads(text)
    return found if isinstance(found, list) else found["facts"]


def test_a_policy_landlock_cannot_hold_is_refused_with_rule_and_remedy(box):
    os.makedirs(box.workspace + "/.git")
    done = on(
        box,
        ("docker",),
        "sandbox",
        "-s",
        "workspace-write",
        "-C",
        box.workspace,
        "--",
        "touch",
        "ran",
    )
    assert done.returncode == 5
    assert "protected" in done.stderr
    assert "Landlock alone cannot take rights away" in done.stderr
    assert "--unprotected" in done.stderr
    assert os.listdir(box.workspace) == [".git"], "nothing may be left behind"


def test_with_protection_given_up_landlock_takes_the_policy(box):
    words = ("sandbox", "-s", "workspace-write", "--unprotected", "-C", box.workspace, "--")
    done = on(box, ("docker",), *words, "sh", "-c", f"touch ran; touch {box.outside}/planted")
    assert os.listdir(box.workspace) == ["ran"]
    assert os.listdir(box.outside) == []
    assert "weaker sandbox (landlock)" in done.stderr


def test_without_landlock_the_view_alone_still_keeps_pipes_of_the_host_closed_or_says_so(box):
    """A read-only mount does not stop writing into a named pipe; Landlock did."""
    os.mkfifo(box.outside + "/fifo")
    reader = os.open(box.outside + "/fifo", os.O_RDONLY | os.O_NONBLOCK)
    code = f"import os; os.write(os.open({box.outside + '/fifo'!r}, os.O_WRONLY | os.O_NONBLOCK), b'x')"
    done = on(box, ("no-landlock",), "sandbox", "--", PYTHON, "-I", "-c", code)
    try:
        written = os.read(reader, 1)
    except BlockingIOError:
        written = b""
    os.close(reader)
    assert not written or "pipe" in done.stderr
