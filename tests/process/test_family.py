"""Who belongs to a command: pure rules over process tables, and the real table."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.process.family import (
    MARK_NAME,
    Process,
    carries_mark,
    members,
    parse_stat,
    read_process,
    read_processes,
)

pytestmark = pytest.mark.linux
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)


def process(pid: int, ppid: int, *, pgid: int = 1, sid: int = 1, started: int = 10) -> Process:
    return Process(pid=pid, ppid=ppid, pgid=pgid, sid=sid, started=started)


def pids(processes, **more) -> list[int]:
    rules = {"root": 100, "marked": lambda _one: False, "spare": 50, **more}
    return sorted(one.pid for one in members(processes, **rules))


def test_descendants_belong_however_deep_and_in_whatever_order():
    table = [process(103, 102), process(102, 101), process(101, 100), process(100, 50)]
    assert pids([*table, process(200, 50)]) == [100, 101, 102, 103]


def test_the_group_and_the_session_belong_when_their_parents_are_gone():
    table = [process(101, 1, pgid=100), process(102, 1, sid=100), process(103, 1)]
    assert pids(table) == [101, 102]


def test_a_marked_daemon_belongs_with_its_children():
    table = [process(100, 50), process(101, 1), process(102, 101), process(103, 1)]
    assert pids(table, marked=lambda one: one.pid == 101) == [100, 101, 102]


def test_who_belonged_earlier_still_does_but_not_a_stranger_with_the_same_number():
    table = [process(100, 50), process(101, 1, started=7), process(102, 1, started=8)]
    assert pids(table, known=frozenset({(101, 7), (102, 5)})) == [100, 101]


def test_we_ourselves_never_belong():
    table = [process(100, 50), process(50, 100), process(60, 50)]
    assert pids(table, marked=lambda one: one.pid == 50) == [100]


def test_nobody_older_than_the_leader_is_asked_for_a_mark():
    asked = []
    table = [process(100, 50, started=10), process(7, 1, started=9), process(8, 1, started=10)]
    pids(table, marked=lambda one: bool(asked.append(one.pid)))
    assert asked == [8]


@given(st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name))
def test_a_process_may_call_itself_anything(name):
    tail = b" ".join(b"%d" % number for number in range(7, 25))
    found = parse_stat(b"42 (" + name + b") S 3 4 5 6 " + tail + b"\n")
    assert (found.pid, found.ppid, found.pgid, found.sid) == (42, 3, 4, 5)


def test_we_find_ourselves_in_the_real_table():
    own = read_process(os.getpid())
    assert own is not None
    assert (own.ppid, own.pgid, own.sid) == (os.getppid(), os.getpgid(0), os.getsid(0))
    assert own in read_processes()
    assert read_process(2**22 + 1) is None


def test_an_ended_child_is_dead_until_it_is_collected():
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    found = read_process(child.pid)
    assert found is not None
    assert found.dead
    child.wait()
    assert read_process(child.pid) is None


@pytest.mark.parametrize(
    ("value", "found"), [("abc", True), ("x:abc:y", True), ("abcd", False), ("", False)]
)
def test_a_mark_is_found_whole(value, found):
    env = {"PATH": os.environ["PATH"], MARK_NAME: value, "OTHER": "abc"}
    with subprocess.Popen(["sleep", "100"], env=env) as child:
        one = read_process(child.pid)
        assert one is not None
        while (carries := carries_mark(one, b"abc")) is None:  # still in the middle of its exec
            pass
        child.kill()
    assert carries is found


def test_an_empty_environment_is_not_taken_for_one_to_come():
    with subprocess.Popen(
        ["/bin/sh", "-c", "echo x; read x"], env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        one = read_process(child.pid)
        assert one is not None
        assert carries_mark(one, b"abc") is False
        child.kill()
