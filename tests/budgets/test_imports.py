"""What each way in loads: start-up is paid every time, so each module has to earn its place.

The lists are measured with a Python that loads nothing of its own accord (`-I -S`), beside a
plain `pass`: what is left is ours.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__import__("octavo").__file__).resolve().parents[1]
HEAVY = {
    "re", "json", "argparse", "click", "pathlib", "subprocess", "typing", "dataclasses", "logging",
    "asyncio", "msgspec", "enum", "ctypes", "tempfile", "shutil", "threading", "socket", "signal",
    "inspect", "tomllib", "contextlib", "collections", "functools", "importlib.metadata",
}  # fmt: skip
RUN = "from octavo._boot import main\nsys.exit(main())"


def loaded(body, *argv, home, cwd):
    """The modules a script loads, in this process and those it forks, beyond `import os, sys`.

    The interpreter itself reports them, because the short way ends without any clean-up.
    """
    places = [str(SRC), *(path for path in sys.path if path.endswith("site-packages"))]
    start = f"import os, sys; sys.path += {places!r}; sys.argv[1:] = {list(argv)!r}\n"
    env = {"PATH": os.environ["PATH"], "OCTAVO_HOME": str(home), "HOME": str(home)}

    def reported(script):
        command = [sys.executable, "-I", "-S", "-X", "importtime", "-c", script]
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=30)
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        return {line.rpartition("|")[2].strip() for line in lines[1:]}

    return reported(start + body) - reported(start)


@pytest.fixture
def ask(octavo_home, workspace):
    def modules(body, *argv):
        return loaded(body, *argv, home=octavo_home, cwd=workspace)

    return modules


def ours(found):
    return {name for name in found if name.split(".")[0] == "octavo"}


def test_the_version_loads_nothing_but_itself(ask):
    found = ask(RUN, "--version")
    assert found == {"gc", "octavo", "octavo._boot", "octavo._version"}


def test_importing_the_library_loads_nothing_else(ask):
    assert ask("import octavo") == {"octavo", "octavo._version"}


SHORT_WAY = {
    "octavo", "octavo._boot", "octavo._version", "octavo.policy", "octavo.policy.secrets",
    "octavo.sandbox", "octavo.sandbox.backends", "octavo.sandbox.ladder",
    "octavo.sandbox.plan_linux", "octavo.sandbox.presets", "octavo.sandbox.session",
    "octavo.sandbox.short", "octavo.sandbox.spec",
    "octavo.sandbox.linux", "octavo.sandbox.linux.disk", "octavo.sandbox.linux.init",
    "octavo.sandbox.linux.landlock", "octavo.sandbox.linux.mountpoints",
    "octavo.sandbox.linux.oneshot", "octavo.sandbox.linux.programs",
    "octavo.sandbox.linux.shared", "octavo.sandbox.linux.single", "octavo.sandbox.linux.status",
    "octavo.sandbox.linux.stdio", "octavo.sandbox.linux.sysc", "octavo.sandbox.linux.view",
}  # fmt: skip


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="the short way is Linux's")
@pytest.mark.parametrize("argv", [
    ["--", "true"], ["-s", "workspace-write", "--", "true"], ["--network", "on", "--", "true"],
    ["linux", "--", "true"],
])  # fmt: skip
def test_the_short_way_loads_only_what_confines(ask, argv):
    found = ask(RUN, "sandbox", *argv)
    assert ours(found) <= SHORT_WAY
    assert found & HEAVY == set()
    others = found - ours(found)
    assert others <= {"_ctypes", "_socket", "marshal", "fcntl", "errno", "gc"}


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="the fork server is Linux's")
def test_the_helpers_of_the_warm_way_load_as_little(ask):
    found = ask("from octavo.sandbox.linux import forkserver")
    assert found & HEAVY == set()
    assert not any(
        name.startswith(("octavo.policy", "octavo.protocol", "octavo.api")) for name in found
    )


@pytest.mark.linux
@pytest.mark.skipif(sys.platform != "linux", reason="the relay is Linux's")
def test_a_terminal_costs_no_heavy_module(ask):
    assert (
        ask("from octavo.sandbox.linux import relay, relay_child, keeper, bubblewrap") & HEAVY
        == set()
    )


def test_help_does_not_load_what_the_commands_need(ask):
    found = ask(RUN, "--help")
    assert not any(
        name.startswith(("octavo.api", "octavo.sandbox", "octavo.config")) for name in found
    )
    assert found & {"asyncio", "msgspec", "tomllib", "subprocess"} == set()


def test_the_long_way_without_denials_needs_no_event_loop_to_fail(ask):
    found = ask(RUN, "sandbox", "--nonsense")
    assert "octavo.sandbox.linux.notify" not in found


def test_a_public_name_loads_only_its_own_room(ask):
    found = ask("import octavo; octavo.Access")
    assert not any(
        name.startswith(("octavo.sandbox", "octavo.process", "octavo.api")) for name in found
    )


def test_a_headless_run_loads_what_it_needs_until_the_first_request(ask):
    found = ask("import octavo.exec.run")
    never = {
        "click", "rich", "sqlite3", "httpx2", "dataclasses", "tempfile", "shutil", "random", "secrets",
        "json", "argparse", "importlib.metadata", "octavo.model.chat", "octavo.model.messages",
        "octavo.testing", "octavo.store.index", "octavo.model.check",
    }  # fmt: skip
    assert never & found == set()
    assert len(ours(found)) <= 191


def test_a_plain_exec_is_read_without_click(ask):
    body = (
        "from octavo.exec.words import by_hand\nassert by_hand(['--json', '-s', 'read-only', 'hi'])"
    )
    found = ask(body)
    assert not {"click", "asyncio", "octavo.api.engine"} & found
