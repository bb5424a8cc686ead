"""Credentials in the home folder: hidden from commands on every rung, however they are reached."""

import os
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the Linux sandbox", allow_module_level=True)

CANARY = "canary-51c0"
STORES = (".aws/credentials", ".npmrc", ".ssh/id_ed25519", ".config/gcloud/token", ".netrc")
ATTEMPTS = (
    "cat {path}",
    "cat $HOME/{name}",
    "cd {folder}; cat {base}",
    "cat /proc/self/root{path}",
    "ln -s {path} link; cat link",
    "ln {path} hard; cat hard",
    "cp {path} copy; cat copy",
    "cat {work}/planted",
    "mv {path} moved; cat moved",
    "head -c 9 < {path}",
    "tar cf - {path} | tar xOf -",
    "{python} -c \"print(open('{path}').read())\"",
)


@pytest.fixture
def home(tmp_path):
    """A home with credentials, and what is not secret."""
    found = tmp_path / "user"
    for name in STORES:
        path = found / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CANARY + "\n")
    (found / ".gitconfig").write_text("[user]\n")
    (found / ".ssh/config").write_text("Host x\n")
    return found


@pytest.fixture(params=["native", "bubblewrap", "landlock"])
def shell(request, octavo, home, workspace):
    """Runs a script in the sandbox of one rung, with that home."""

    def run(script, *more):
        words = ("sandbox", "--rung", request.param, *more, "--", "sh", "-c", script)
        done = octavo(*words, env={"HOME": str(home)}, cwd=workspace)
        if "cannot be set up" in done.stderr and "deny_secrets" not in done.stderr:
            pytest.skip(f"{request.param} does not work here: {done.stderr.splitlines()[1]}")
        return done

    return run


def test_a_home_with_thousands_of_files_is_no_matter(shell, home):
    """With Landlock alone each neighbour of something hidden needs a rule of its own."""
    for number in range(3_000):
        (home / f"file-{number}").touch()
    done = shell(f"cat {home}/.gitconfig {home}/file-2999; cat {home}/.npmrc")
    assert done.stdout == "[user]\n", done.stderr


@pytest.mark.parametrize("mode", ["read-only", "workspace-write"])
@pytest.mark.parametrize("name", STORES)
def test_no_way_leads_to_a_store(shell, home, workspace, name, mode):
    path = home / name
    os.symlink(path, workspace / "planted")
    script = "\n".join(
        attempt.format(
            path=path, name=name, folder=path.parent, base=path.name, work=workspace,
            python=sys.executable,
        )
        for attempt in ATTEMPTS
    )  # fmt: skip
    done = shell(f"({script}) 2>&1; true", "-s", mode)
    assert CANARY not in done.stdout
    assert path.read_text() == CANARY + "\n"


def test_what_is_no_secret_stays_readable(shell, home):
    done = shell("cat $HOME/.gitconfig $HOME/.ssh/config")
    assert (done.returncode, done.stdout) == (0, "[user]\nHost x\n")


def test_one_key_opens_them(shell):
    done = shell("cat $HOME/.npmrc", "-c", "deny_secrets=none")
    assert done.stdout == CANARY + "\n"


def test_environment_files_are_hidden_on_demand(shell, workspace):
    (workspace / "app").mkdir()
    (workspace / "app/.env").write_text(CANARY)
    (workspace / "app/.env.example").write_text("KEY=\n")
    done = shell("cat app/.env; cat app/.env.example", "-c", "deny_secrets=all")
    assert CANARY not in done.stdout
    assert "KEY=" in done.stdout
    assert CANARY in shell("cat app/.env").stdout


def test_a_workspace_inside_a_store_is_the_users_own_wish(octavo, home):
    inside = home / ".config/gcloud"
    words = ("sandbox", "-s", "workspace-write", "--", "cat", "token")
    done = octavo(*words, env={"HOME": str(home)}, cwd=inside)
    assert done.stdout == CANARY + "\n"


def test_a_wrong_value_names_the_choices(octavo):
    done = octavo("sandbox", "-c", "deny_secrets=some", "--", "true")
    assert done.returncode == 3
    assert "none, home or all" in done.stderr or '"home"' in done.stderr


def test_the_short_way_and_the_settings_hide_the_same(octavo, home, workspace):
    """Without settings and with an empty settings file the same file is hidden."""
    env = {"HOME": str(home)}
    words = ("sandbox", "--", "cat", str(home / ".npmrc"))
    short = octavo(*words, env=env, cwd=workspace)
    Path(octavo.home, "config.toml").write_text("")
    long = octavo(*words, env=env, cwd=workspace)
    assert CANARY not in short.stdout + long.stdout
    assert short.returncode == long.returncode != 0
