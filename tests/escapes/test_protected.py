"""Paths inside writable roots that must stay as they are, and those who move them."""

# ruff: noqa: ASYNC221, ASYNC240
# between two commands of a session the test plays the user, and blocks on purpose

import asyncio
import contextlib
import os
import subprocess

import pytest

import octavo
from escapes.doors import PYTHON, cli, sandbox_for
from escapes.targets import snapshot

PROTECTED = (".git", ".codex", ".agents", ".octavo")


def shell(box, script, *words, mode="workspace-write", env=None):
    return cli(box, "-s", mode, *words, "-C", box.workspace, "--", "sh", "-c", script, env=env)


@pytest.fixture(params=["short", "long"])
def words(request):
    """Both ways of the command line have their own reading of the same flags."""
    return () if request.param == "short" else ("--rung", "native")


def tree(path):
    os.makedirs(path + "/hooks")
    with open(path + "/config", "w") as file:
        file.write("as it was")


@pytest.mark.parametrize("name", PROTECTED)
def test_a_protected_folder_cannot_be_changed_or_moved(box, words, name):
    tree(f"{box.workspace}/{name}")
    before = snapshot(f"{box.workspace}/{name}")
    script = f"echo x > {name}/config; echo x > {name}/hooks/pre-commit; rm -rf {name}; mv {name} y; mkdir -p {name}/hooks; chmod 777 {name}"
    shell(box, script, *words)
    assert snapshot(f"{box.workspace}/{name}") == before
    assert not os.path.exists(box.workspace + "/y")
    subprocess.run(["sh", "-c", script], cwd=box.workspace)
    assert snapshot(f"{box.workspace}/{name}") != before


@pytest.mark.parametrize("name", PROTECTED)
def test_a_missing_protected_folder_cannot_be_made(box, words, name):
    script = f"mkdir -p {name}/hooks; echo x > {name}/config; ln -s /etc {name}; rmdir {name}; mkdir {name}; mkdir y; mv -T y {name}; touch other"
    shell(box, script, *words)
    assert not os.path.lexists(f"{box.workspace}/{name}")
    assert os.path.exists(box.workspace + "/other")


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize("target", ["real", "../outside/real", "{outside}/real", "real-link"])
def test_a_protected_symlink_cannot_be_replaced_nor_its_target_changed(box, words, name, target):
    target = target.format(outside=box.outside)
    os.symlink("real", box.workspace + "/real-link")
    os.symlink(target, f"{box.workspace}/{name}")
    real = os.path.realpath(f"{box.workspace}/{name}")
    tree(real)
    before, link = snapshot(real), os.lstat(f"{box.workspace}/{name}")
    script = f"""
rm {name}; mkdir -p {name}; echo x > {name}/config; ln -sfn /tmp {name}; mv {name} y
mkdir z; mv -T z {name}; mv real y; mkdir -p real/hooks; echo x > real/config; chmod 700 real
rm real-link; ln -s /tmp real-link"""
    shell(box, script, *words)
    after = os.lstat(f"{box.workspace}/{name}")
    assert (after.st_ino, after.st_ctime_ns) == (link.st_ino, link.st_ctime_ns)
    assert os.path.realpath(f"{box.workspace}/{name}") == real
    assert snapshot(real) == before


def test_a_dangling_protected_symlink_gets_no_target(box, words):
    os.symlink("nowhere", box.workspace + "/.git")
    shell(box, "mkdir -p nowhere/hooks; echo x > nowhere/config; rm .git; mkdir .git", *words)
    assert os.readlink(box.workspace + "/.git") == "nowhere"
    assert not os.path.exists(box.workspace + "/.git/config")


@pytest.mark.parametrize("root", ["workspace", "slash-tmp"])
def test_parents_of_a_protected_folder_cannot_be_moved(box, tmp_path, words, root):
    """Under /tmp every folder above is writable as well."""
    top = str(tmp_path / "parent") if root == "slash-tmp" else box.workspace
    if root == "slash-tmp" and not top.startswith("/tmp/"):
        pytest.skip("temporary folders are not under /tmp here")
    inner = top + "/a/b/ws"
    os.makedirs(inner)
    tree(inner + "/.git")
    before, where = snapshot(inner + "/.git"), os.stat(inner).st_ino
    script = f"cd {top}; mv a x; mkdir -p a/b/ws/.git/hooks; mv a/b a/c; rm -rf a; echo x > a/b/ws/.git/config"
    more = ("--add-dir", box.workspace) if root == "slash-tmp" else ("--add-dir", inner)
    cwd = inner if root == "slash-tmp" else top
    cli(box, "-s", "workspace-write", *words, "-C", cwd, *more, "--", "sh", "-c", script)
    assert os.stat(inner).st_ino == where
    assert snapshot(inner + "/.git") == before


def test_a_worktrees_pointer_and_the_folder_it_names_are_protected(box, words):
    main = box.workspace + "/main"
    git(["init", "-q", main])
    git(["-C", main, "commit", "-q", "--allow-empty", "-m", "one"])
    git(["-C", main, "worktree", "add", "-q", box.workspace + "/tree"])
    before = snapshot(main + "/.git"), os.lstat(box.workspace + "/tree/.git")
    real = f"{main}/.git/worktrees/tree"
    script = f"""
echo x > .git; rm .git; mkdir .git; echo x > {real}/HEAD; echo x > {real}/gitdir; echo x > {real}/commondir
echo x > {main}/.git/config; echo x > {main}/.git/hooks/pre-commit; rm -rf {real}"""
    ran = cli(box, "-s", "workspace-write", *words, "-C", box.workspace + "/tree",
              "--add-dir", main, "--", "sh", "-c", script)  # fmt: skip
    assert snapshot(main + "/.git") == before[0], ran.output
    assert os.lstat(box.workspace + "/tree/.git") == before[1]


GIT_ENV = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": "/dev/null",
}  # fmt: skip


def git(words):
    subprocess.run(["git", *words], env=os.environ | GIT_ENV, check=True, capture_output=True)


CLOSED = (
    "config", "hooks/pre-commit", "hooks/post-checkout", "info/attributes", "commondir",
    "config.worktree", "modules/x/config", "worktrees/x/gitdir",
)  # fmt: skip


def test_with_git_write_a_commit_works_and_what_runs_later_stays_closed(box):
    git(["init", "-q", box.workspace])
    script = "echo x > f && git add f && git commit -q -m two && git branch side && git tag t && git stash list"
    ran = shell(box, script, "--git-write", env=GIT_ENV)
    assert ran.code == 0, ran.output
    log = subprocess.run(
        ["git", "-C", box.workspace, "log", "--format=%s"], capture_output=True, text=True
    )
    assert log.stdout == "two\n"
    plant = "; ".join(
        f"mkdir -p .git/{os.path.dirname(path) or '.'}; echo planted > .git/{path}"
        for path in CLOSED
    )
    plant += "; mv .git/hooks .git/h; mkdir .git/hooks; echo planted > .git/hooks/pre-commit"
    plant += "; git config core.hooksPath /tmp; git config core.fsmonitor 'touch x'; mv .git y; mkdir .git"
    shell(box, plant, "--git-write", env=GIT_ENV)
    for path in CLOSED:
        try:
            with open(f"{box.workspace}/.git/{path}") as file:
                assert "planted" not in file.read(), path
        except FileNotFoundError:
            pass
    with open(box.workspace + "/.git/config") as file:
        text = file.read()
    assert "hooksPath" not in text
    assert "fsmonitor" not in text


# ---- between commands -------------------------------------------------------------------------


def test_a_nested_root_replaced_by_a_symlink_does_not_open_its_target(box, words):
    os.symlink(box.outside, box.workspace + "/sub")  # as an earlier command could have left it
    shell(box, f"echo x > {box.outside}/planted", *words, "--add-dir", box.workspace + "/sub")
    assert not os.path.exists(box.outside + "/planted")


def test_a_nested_root_reached_through_a_symlink_does_not_open_its_target(box, words):
    os.makedirs(box.outside + "/deep/root")
    os.symlink(box.outside + "/deep", box.workspace + "/sub")
    shell(
        box,
        f"echo x > {box.outside}/deep/root/planted",
        *words,
        "--add-dir",
        box.workspace + "/sub/root",
    )
    assert not os.path.exists(box.outside + "/deep/root/planted")


@pytest.mark.parametrize("inside", ["workspace", "slash-tmp"])
def test_a_temporary_folder_replaced_by_a_symlink_does_not_open_its_target(
    box, tmp_path, words, inside
):
    named = box.workspace + "/tmp" if inside == "workspace" else str(tmp_path / "tmp")
    if inside == "slash-tmp" and not named.startswith("/tmp/"):
        pytest.skip("temporary folders are not under /tmp here")
    os.mkdir(named)
    env = {"TMPDIR": named}
    shell(box, f"rmdir {named} && ln -s {box.outside} {named}", *words, env=env)
    if not os.path.islink(named):  # it could not even be replaced
        os.rmdir(named)
        os.symlink(box.outside, named)
    shell(box, f"echo x > {box.outside}/planted; echo x > {named}/planted", *words, env=env)
    assert not os.path.exists(box.outside + "/planted")


@pytest.mark.parametrize("spare", [False, True])
def test_a_root_replaced_between_two_commands_of_a_session_does_not_open_its_target(box, spare):
    async def session():
        sub = box.workspace + "/sub"
        os.mkdir(sub)
        sandbox = octavo.Sandbox.workspace_write(writable_roots=[sub])
        async with octavo.CommandRunner(environ=box.env, rungs=("native",)) as runner:
            for _ in range(2 if spare else 1):
                await runner.run(["touch", "sub/fine"], sandbox=sandbox, cwd=box.workspace)
            os.rename(sub, sub + "-away")
            os.symlink(box.outside, sub)
            done = await runner.run(
                ["sh", "-c", f"echo x > {box.outside}/planted; echo x > sub/planted"],
                sandbox=sandbox, cwd=box.workspace,
            )  # fmt: skip
            assert not os.path.exists(box.outside + "/planted"), done

    asyncio.run(session())


@pytest.mark.parametrize("hide", [False, True], ids=["plainly", "with the old times put back"])
@pytest.mark.parametrize("change", ["replaced", "removed and made again"])
def test_a_protected_folder_that_is_new_is_protected_in_the_next_command(box, change, hide):
    """A session keeps its view; what the user does to .git meanwhile must not fall out of it."""

    async def session():
        git_folder = box.workspace + "/.git"
        tree(git_folder)
        old = 1_600_000_000 * 10**9
        os.utime(box.workspace, ns=(old, old))
        sandbox = octavo.Sandbox.workspace_write()
        async with octavo.CommandRunner(environ=box.env, rungs=("native",)) as runner:
            for _ in range(3):
                await runner.run(["true"], sandbox=sandbox, cwd=box.workspace)
            os.utime(box.workspace, ns=(old, old))
            await runner.run(["true"], sandbox=sandbox, cwd=box.workspace)
            if change == "replaced":
                os.rename(git_folder, box.workspace + "/old")
            else:
                subprocess.run(["rm", "-rf", git_folder])
            tree(git_folder)
            if hide:  # any command may set the times of a folder it can write
                os.utime(box.workspace, ns=(old, old))
            await runner.run(
                ["sh", "-c", "echo x > .git/hooks/planted"], sandbox=sandbox, cwd=box.workspace
            )
            assert not os.path.exists(git_folder + "/hooks/planted")

    asyncio.run(session())


SWAP = """
import os, sys
real, link, name = sys.argv[1:]
libc = __import__("ctypes").CDLL(None)
print("ready", flush=True)
while True:
    libc.renameat2(-100, name.encode(), -100, link.encode(), 2)
"""


@pytest.mark.slow
def test_a_command_that_swaps_folders_while_another_is_built_gets_nothing(box):
    """`name` is now a folder, now a symlink to the outside, as fast as it can be exchanged."""

    async def session():
        name, link = box.workspace + "/name", box.workspace + "/link"
        os.makedirs(name + "/deep/keep")
        os.makedirs(box.outside + "/deep/keep")
        os.symlink(box.outside, link)
        before = snapshot(box.outside)
        loose = octavo.Sandbox.workspace_write()
        rules = {":root": "read", box.workspace: "write", name + "/deep": "write",
                 name + "/deep/keep": "read", name + "/deep/missing": "read"}  # fmt: skip
        strict = octavo.Sandbox.from_profile(
            octavo.PermissionProfile.from_mapping({"filesystem": rules})
        )
        ready = asyncio.Event()
        async with octavo.CommandRunner(environ=box.env, rungs=("native",)) as runner:

            async def swap():
                await runner.run(
                    [PYTHON, "-I", "-c", SWAP, name, link, name], sandbox=loose, cwd=box.workspace,
                    timeout=4, on_output=lambda *_: ready.set(),
                )  # fmt: skip

            async with asyncio.TaskGroup() as group:
                group.create_task(swap(), name="swap")
                await asyncio.wait_for(ready.wait(), 10)
                script = f"echo x > {box.outside}/planted; echo x > {box.outside}/deep/planted; echo x > {name}/deep/planted"
                for _ in range(10):
                    async with octavo.CommandRunner(environ=box.env, rungs=("native",)) as other:
                        with contextlib.suppress(octavo.OctavoError):
                            await other.run(["sh", "-c", script], sandbox=strict, cwd=box.workspace)
        assert snapshot(box.outside).keys() == before.keys()

    asyncio.run(session())


# ---- our own files ----------------------------------------------------------------------------


def test_octavos_home_inside_a_writable_root_stays_closed(box, words):
    home = box.workspace + "/tool-home"
    os.mkdir(home)
    script = f"echo x > {home}/config.toml; mv {home} y; mkdir -p {home}; echo x > {home}/config.toml; touch works"
    shell(box, script, *words, env={"OCTAVO_HOME": home})
    assert os.path.exists(box.workspace + "/works")
    assert not os.path.exists(home + "/config.toml")


def test_octavos_home_as_the_workspace_stays_closed(box, words):
    env = {"OCTAVO_HOME": box.workspace}
    shell(box, "echo x > config.toml; mkdir -p state; echo x > state/planted", *words, env=env)
    assert not os.path.exists(box.workspace + "/config.toml")


def test_octavos_program_inside_a_writable_root_stays_closed(box):
    import shutil

    package = os.path.dirname(octavo.__file__)
    copy = box.workspace + "/lib/octavo"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = snapshot(copy)
    import sys

    start = f"import sys; sys.path[:0] = [{box.workspace + '/lib'!r}]; from octavo._boot import main; sys.exit(main())"
    script = "echo x >> lib/octavo/_boot.py; echo x > lib/octavo/planted.py; mv lib l; mkdir -p lib/octavo; touch works"
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", start, "sandbox", "-s", "workspace-write", "-C", box.workspace,
         "--", "sh", "-c", script], env=box.env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert os.path.exists(box.workspace + "/works"), done.stderr
    assert snapshot(copy) == before


def test_landlock_alone_refuses_protected_folders_and_runs_nothing(box):
    tree(box.workspace + "/.git")
    ran = cli(
        box,
        "--rung",
        "landlock",
        "-s",
        "workspace-write",
        "-C",
        box.workspace,
        "--",
        "touch",
        "ran",
    )
    assert ran.code == 5
    # the second where this very program lies in a writable folder, such as /tmp
    assert any(name in ran.output for name in (*PROTECTED, "Octavo's own"))
    assert "--unprotected" in ran.output
    assert os.listdir(box.workspace) == [".git"]
    assert sandbox_for("workspace-write", "landlock")
