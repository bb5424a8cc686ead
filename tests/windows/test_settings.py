"""What the settings say about the Windows sandbox reaches whoever starts commands."""

import asyncio
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from programs import CMD, env

    from octavo.api.commands import CommandRunner
    from octavo.api.sandbox import PermissionProfile, Sandbox
    from octavo.protocol.errors import SandboxUnavailable


@pytest.fixture
def places(tmp_path):
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    return work, home


def ran(places, settings, *overrides, network=None):
    work, home = places
    (home / "config.toml").write_text(settings)
    profile = PermissionProfile.from_mapping(
        {"filesystem": {":root": "read", str(work): "write"}, "network": network or {}}
    )
    environ = env(OCTAVO_HOME=str(home), PATHEXT=os.environ["PATHEXT"])

    async def once():
        async with CommandRunner(environ=environ, overrides=overrides) as runner:
            return await runner.run(
                (CMD, "/c", "echo x > made"), sandbox=Sandbox(profile), cwd=work, timeout=60
            )

    return asyncio.run(once())


def test_the_level_of_the_settings_is_the_one_that_confines(places):
    done = ran(places, "[windows]\nsandbox = 'unelevated'\nsandbox_private_desktop = false\n")
    assert done.exit_code == 0, done.output.text
    assert done.rung == "unelevated"
    assert [each.name for each in places[0].iterdir()] == ["made"]


def test_without_a_level_nothing_runs(places):
    with pytest.raises(SandboxUnavailable, match="no Windows sandbox is chosen"):
        ran(places, "")
    assert list(places[0].iterdir()) == []


def test_entries_that_are_left_to_people_are_asked_for_and_nothing_is_written(places):
    with pytest.raises(SandboxUnavailable, match="acl_mode = manual"):
        ran(places, "[windows]\nsandbox = 'unelevated'\n", "windows.acl_mode=manual")
    assert list(places[0].iterdir()) == []


def test_rules_per_host_without_a_firewall_are_refused(places):
    with pytest.raises(SandboxUnavailable, match="rules per host") as caught:
        ran(
            places,
            "[windows]\nsandbox = 'unelevated'\n",
            network={"allow": ["example.com"]},
        )
    assert "it is not set up" in str(caught.value)
    assert list(places[0].iterdir()) == []


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--json",), 0), (("--allow", "a.test"), 5)])
def test_the_program_takes_the_same_settings_on_every_way(places, words, code):
    work, home = places
    (home / "config.toml").write_text(
        "[windows]\nsandbox = 'unelevated'\nsandbox_private_desktop = false\n"
    )
    start = "import sys; from octavo._boot import main; sys.exit(main())"
    mode = () if "--allow" in words else ("-s", "workspace-write")
    done = subprocess.run(
        (sys.executable, "-c", start, "sandbox", *words, *mode, "--", CMD, "/c", "echo x > made"),
        env={**os.environ, "OCTAVO_HOME": str(home)},
        cwd=work,
        input="",
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == code, done.stderr
    assert [each.name for each in work.iterdir()] == ([] if code else ["made"])
    assert ("it is not set up" in done.stderr) == bool(code)
