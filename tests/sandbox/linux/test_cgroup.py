"""Control groups: where one may be made, what is written, and that nothing is left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("control groups are Linux's", allow_module_level=True)

from octavo import Limits, run_command
from octavo.sandbox.linux import cgroup

pytestmark = pytest.mark.linux

MOUNTED = "30 24 0:27 / {mount} rw shared:4 - cgroup2 cgroup2 rw\n"


def tree(tmp_path, own, enabled):
    """A reader of a machine whose group tree is in `tmp_path`."""
    files = {
        "/proc/self/mountinfo": "21 1 8:1 / / rw - ext4 /dev/sda rw\n"
        + MOUNTED.format(mount=tmp_path),
        "/proc/self/cgroup": f"3:pids:/other\n0::{own}\n",
    }
    folder = tmp_path / own.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for place, names in enabled.items():
        where = tmp_path / place.strip("/")
        (where / "cgroup.subtree_control").write_text(names + "\n")
        (where / "cgroup.procs").write_text("")
    return lambda path: files[path] if path in files else cgroup.read(path)


def test_a_neighbour_of_the_own_group_is_best(tmp_path):
    read = tree(tmp_path, "/user/app.slice/me.scope", {"/user/app.slice": "memory pids"})
    assert cgroup.delegated(("memory",), read) == f"{tmp_path}/user/app.slice"


def test_below_the_own_group_will_do(tmp_path):
    read = tree(tmp_path, "/svc", {"/svc": "memory", "/": "cpu"})
    assert cgroup.delegated(("memory",), read) == f"{tmp_path}/svc"


@pytest.mark.parametrize("names", [("memory", "processes"), ("processes",)])
def test_every_limit_needs_its_controller(tmp_path, names):
    read = tree(tmp_path, "/svc/me", {"/svc": "memory"})
    assert cgroup.delegated(names, read) == ""


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_what_another_user_owns_is_not_delegated(tmp_path):
    read = tree(tmp_path, "/svc/me", {"/svc": "memory"})
    (tmp_path / "svc/cgroup.procs").chmod(0o444)
    assert cgroup.delegated(("memory",), read) == ""


def test_without_version_2_there_is_none():
    files = {"/proc/self/mountinfo": "21 1 8:1 / / rw - ext4 /dev/sda rw\n"}
    assert cgroup.own_group(lambda path: files.get(path, "")) == ""


def test_a_group_seen_from_a_namespace_is_found_below_the_mount():
    files = {
        "/proc/self/mountinfo": "30 24 0:27 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
        "/proc/self/cgroup": "0::/box/inner\n",
    }
    assert cgroup.own_group(lambda path: files.get(path, "")) == "/sys/fs/cgroup/inner"


def test_our_own_processes_do_not_count():
    assert cgroup.settings({"processes": 10}, 2) == [("pids.max", "12")]
    assert dict(cgroup.settings({"memory": 5}, 1))["memory.swap.max"] == "0"


def test_counts_are_read_and_anything_else_is_ignored():
    assert cgroup.events("max 3\noom_kill 0\nstrange\nx y\n") == {"max": 3, "oom_kill": 0}


def test_without_a_limit_of_the_kind_nothing_is_asked():
    assert cgroup.make((("cpu", 3), ("files", 9)), "native") is None


def writable_tree():
    own = cgroup.own_group()
    return own if own and os.access(own, os.W_OK) else ""


@pytest.mark.skipif(not writable_tree(), reason="needs a control group tree this user may write")
def test_a_real_group_takes_a_process_and_ends_it():
    path = f"{writable_tree()}/octavo-test-{os.getpid()}"
    group = cgroup.Group(path, {}, 1)
    child = subprocess.Popen(["sleep", "60"])
    try:
        cgroup.put(path + "/cgroup.procs", str(child.pid))
        assert str(child.pid) in Path(path, "cgroup.procs").read_text().split()
        assert group.reached() is None
    finally:
        group.close()
        child.kill()
    assert child.wait() == -9
    assert not Path(path).exists()


@pytest.mark.skipif(not writable_tree(), reason="needs a control group tree this user may write")
def test_a_group_the_kernel_refuses_leaves_nothing():
    path = f"{writable_tree()}/octavo-test-{os.getpid()}-refused"
    with pytest.raises(OSError, match="max"):
        cgroup.Group(path, {"memory": -5, "processes": 3}, 1)  # no controller, or no such number
    assert not Path(path).exists()


needs_pids = pytest.mark.skipif(
    not cgroup.delegated(("processes",)), reason="no control group with `pids` is delegated here"
)
needs_memory = pytest.mark.skipif(
    not cgroup.delegated(("memory",)), reason="no control group with `memory` is delegated here"
)


@needs_pids
def test_a_fork_bomb_ends_at_the_limit_also_for_root():
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait"
    done = run_command(["sh", "-c", script], limits=Limits(processes=4), timeout=30)
    assert done.limit == "processes"


@needs_memory
def test_memory_counts_the_whole_command():
    script = "python3 -c 'x = bytearray(300 << 20); print(len(x))'"
    done = run_command(["sh", "-c", script], limits=Limits(memory_bytes=64 << 20), timeout=30)
    assert (done.limit, done.output.text) == ("memory", "")
