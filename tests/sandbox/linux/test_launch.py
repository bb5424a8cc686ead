"""The helper processes: built once, used often, prepared ahead, all gone at the end."""

import gc
import os
import select
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("the helpers are Linux's", allow_module_level=True)

from octavo.sandbox import ladder
from octavo.sandbox.linux import cgroup, launch, status
from octavo.sandbox.presets import read_only
from octavo.sandbox.session import Session
from octavo.sandbox.spec import Command, Host, Plan, Policy

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module")
def forks():
    made = launch.ForkServer()
    yield made
    made.close()


def plan_for(**more):
    session = Session(journal="/nonexistent/journal")
    return ladder.make_plan(Policy(tuple(read_only()), **more), session, "native")


@pytest.fixture(scope="module")
def server(forks):
    try:
        made = forks.policy(plan_for())
    except launch.BuildFailed as failure:
        pytest.skip(f"this machine refuses namespaces: {failure.record and failure.record.errno}")
    yield made
    made.close()


def run(server, *argv, cwd="/", env=None, limits=(), group=-1):
    """(record, output)."""
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    command = Command(argv, cwd, env or {"PATH": os.environ["PATH"]}, limits=limits, group=group)
    spawned = server.spawn(command, (null, write, write))
    os.close(write)
    os.close(null)
    spawned.report.settimeout(20)
    record = spawned.wait()
    spawned.close()
    with os.fdopen(read) as pipe:
        return record, pipe.read()


def test_one_view_serves_many_commands(server):
    for number in range(5):
        record, output = run(server, "echo", str(number))
        assert (record.kind, record.value, output) == (status.EXITED, 0, f"{number}\n")


def test_a_prepared_sandbox_is_used_and_gives_the_same(server):
    server.prepare(2)
    assert len(server.spares) == 2
    first = run(server, "sh", "-c", "echo $$; pwd", cwd="/usr")
    assert len(server.spares) == 1
    assert first[1].split()[1] == "/usr"


def test_a_prepared_sandbox_that_died_is_replaced(server):
    server.prepare(1)
    pid, pidfd, channel = server.spares[0]
    select.select([channel], [], [], 20)  # it has said that it is ready
    os.kill(pid, 9)
    select.select([pidfd], [], [], 20)
    output = ""
    try:
        _, output = run(server, "echo", "alive")
    except OSError as problem:
        output = str(problem)
    gc.collect()  # what was lost on the way is found here and not in a later test
    assert output == "alive\n"


def test_commands_of_one_policy_do_not_see_each_other(server):
    _, output = run(server, "sh", "-c", "ls -d /proc/[0-9]*")
    assert output.split()[0] == "/proc/1"
    assert len(output.split()) <= 4


@pytest.mark.parametrize(
    ("argv", "errno"), [(("no-such-program",), 2), (("/etc",), 13), (("/etc/passwd",), 13)]
)
def test_what_cannot_be_started_is_told_with_its_reason(server, argv, errno):
    record, _ = run(server, *argv)
    assert (record.kind, record.errno) == (status.SPAWN_FAILED, errno)


def test_a_missing_folder_is_told_with_its_phase(server):
    record, _ = run(server, "true", cwd="/missing")
    assert (record.kind, status.PHASES[record.index], record.errno) == (
        status.CONFINE_FAILED,
        "cwd",
        2,
    )


@pytest.mark.parametrize("size", [10, 100_000])
def test_arguments_and_environment_of_any_size_arrive(server, size):
    _, output = run(server, "sh", "-c", 'echo "${#1} ${#VALUE}"', "sh", "x" * size,
                    env={"PATH": os.environ["PATH"], "VALUE": "y" * size})  # fmt: skip
    assert output.split() == [str(size), str(size)]


def test_a_policy_that_cannot_be_built_names_the_step(forks):
    good = plan_for()
    steps = (*good.steps[:1], ("hold", "/no/such/place", "dir"), *good.steps[1:])
    broken = Plan("native", steps, (), Policy(()), Host(uid=1, gid=1, machine="x", abi=0))
    with pytest.raises(launch.BuildFailed) as caught:
        forks.policy(broken)
    assert (caught.value.record.kind, caught.value.record.index) == (status.STEP_FAILED, 1)
    assert caught.value.record.errno == 2


def test_closing_a_policy_ends_what_runs_under_it(forks):
    server = forks.policy(plan_for(network="on"))
    null = os.open("/dev/null", os.O_RDWR)
    spawned = server.spawn(Command(("sleep", "60"), "/", {"PATH": os.environ["PATH"]}), (null,) * 3)
    os.close(null)
    spawned.report.settimeout(20)
    while spawned.read().index != status.STARTED:
        pass
    server.close()
    assert spawned.wait() is None  # killed without a word
    spawned.close()


def test_closing_everything_leaves_no_process_and_no_descriptor():
    before = set(os.listdir("/proc/self/fd"))
    forks = launch.ForkServer()
    server = forks.policy(plan_for())
    server.prepare(1)
    pids = (forks.pid, server.pid, server.spares[0][0])
    server.close()
    forks.close()
    assert set(os.listdir("/proc/self/fd")) == before
    for pid in pids:
        assert gone(pid)


def gone(pid):
    """A killed process needs a moment; a zombie of somebody else's counts as gone."""
    for _ in range(500):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        select.select([], [], [], 0.01)
    return False


def test_nothing_of_our_environment_reaches_the_helpers(monkeypatch):
    monkeypatch.setenv("OCTAVO_TEST_SECRET", "x")
    forks = launch.ForkServer()
    try:
        with open(f"/proc/{forks.pid}/environ", "rb") as file:
            assert b"OCTAVO_TEST_SECRET" not in file.read()
    finally:
        forks.close()


@pytest.mark.skipif(
    not os.access(cgroup.own_group() or "/", os.W_OK) or not cgroup.own_group(),
    reason="needs a control group tree this user may write",
)
@pytest.mark.parametrize("spares", [0, 1])
def test_a_command_starts_inside_the_group_it_was_given(server, spares):
    path = f"{cgroup.own_group().rstrip('/')}/octavo-test-{os.getpid()}-{spares}"
    group = cgroup.Group(path, {}, 1)
    server.prepare(spares)
    try:
        _, output = run(server, "cat", "/proc/self/cgroup", group=group.entry)
    finally:
        group.close()
    assert os.path.basename(path) in output
    assert not os.path.exists(path)
