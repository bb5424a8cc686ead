import os
import shutil
import subprocess

import pytest

from octavo.config.look import DiskLook
from octavo.policy.profile import Places, effective, from_mapping, preset, rule_tuples, stand_ins
from octavo.protocol.permissions import Access
from policy.disk import Disk

NAMES = (".git", ".codex", ".agents", ".octavo")
LOCKED = ("hooks", "config", "config.worktree", "info", "commondir", "worktrees", "modules")


def workspace(disk, cwd="/ws", own=(), roots=(), home="/home/me", tmpdir=None, **more):
    places = Places(cwd=cwd, home=home, own_homes=own, tmpdir=tmpdir)
    more = {"exclude_slash_tmp": tmpdir is None, **more}
    return effective(preset("workspace-write", writable_roots=roots, **more), places, look=disk)


def closed(found):
    return {rule.path for rule in found.rules if rule.protected}


def test_protected_names_are_closed_also_where_they_do_not_exist():
    found = workspace(Disk("/ws"))
    assert closed(found) == {f"/ws/{name}" for name in NAMES}
    assert str(found.explain("/ws/.codex/x").rule) == (
        '".codex" under /ws is kept read-only (protected)'
    )


def test_inside_a_repository_no_git_folder_is_put_in_its_way():
    found = workspace(Disk("/repo/.git", "/repo/sub"), cwd="/repo/sub")
    assert closed(found) == {f"/repo/sub/{name}" for name in NAMES if name != ".git"}


@pytest.mark.parametrize("tmpdir", ["/tmp", "/var/folders/T"])
def test_temporary_folders_get_no_new_names_but_keep_what_is_there(tmpdir):
    found = workspace(Disk("/ws", f"{tmpdir}/.codex"), tmpdir=tmpdir)
    assert {path for path in closed(found) if path.startswith(tmpdir)} == {f"{tmpdir}/.codex"}


def test_protection_can_be_switched_off():
    assert closed(workspace(Disk("/ws/.git"), protect=False)) == set()


def test_our_own_homes_are_closed_when_a_writable_folder_holds_them():
    found = workspace(Disk("/ws/home/.octavo"), own=("/ws/home/.octavo", "/elsewhere/.octavo"))
    assert found.access("/ws/home/.octavo/config.toml") is Access.READ
    assert found.access("/ws/home/x") is Access.WRITE
    assert "/elsewhere/.octavo" not in closed(found)


def test_our_own_home_is_closed_even_as_the_workspace():
    found = workspace(Disk("/home/me/.octavo"), cwd="/home/me/.octavo", own=("/home/me/.octavo",))
    assert found.access("/home/me/.octavo/config.toml") is Access.READ


def test_a_symlinked_git_folder_is_closed_at_both_ends():
    disk = Disk("/ws/repo.git", links={"/ws/.git": "repo.git"})
    found = workspace(disk)
    assert found.access("/ws/.git") is Access.READ
    assert found.access("/ws/repo.git/hooks/x") is Access.READ


def test_a_git_file_closes_the_folders_it_names():
    disk = Disk(
        "/ws/real/worktrees/w",
        files={
            "/ws/.git": "gitdir: real/worktrees/w\n",
            "/ws/real/worktrees/w/commondir": "../..\n",
        },
    )
    assert {"/ws/.git", "/ws/real", "/ws/real/worktrees/w"} <= closed(workspace(disk))


@pytest.mark.parametrize(
    "pointer",
    ["", "gitdir:", "gitdir: \n", "gitdir: /gone", "gitdir: a\0b", "nonsense", "gitdir: ."],
)
def test_a_git_file_that_leads_nowhere_is_closed_itself(pointer):
    found = workspace(Disk("/ws", files={"/ws/.git": pointer}), git_write=True)
    assert found.access("/ws/.git") is Access.READ


def test_a_temporary_folder_inside_a_protected_one_does_not_open_it():
    found = workspace(Disk("/ws/.git/hooks"), tmpdir="/ws/.git/hooks")
    assert found.access("/ws/.git/hooks/pre-commit") is Access.READ


# git_write on made-up disks: what a command may have planted opens nothing


def test_git_write_leaves_closed_what_is_obeyed_later():
    found = workspace(Disk("/ws/.git/hooks"), git_write=True)
    assert found.access("/ws/.git/objects/ab") is Access.WRITE
    assert found.access("/ws/.git/index.lock") is Access.WRITE
    for name in LOCKED:
        assert found.access(f"/ws/.git/{name}") is Access.READ
    assert stand_ins(found) == {
        "/ws/.git/config": "",
        "/ws/.git/commondir": ".\n",
        "/ws/.git/config.worktree": "",
    }


def test_git_write_reaches_the_repository_around_the_workspace():
    found = workspace(Disk("/repo/.git", "/repo/sub"), cwd="/repo/sub", git_write=True)
    assert found.access("/repo/.git/objects/ab") is Access.WRITE
    assert found.access("/repo/.git/config") is Access.READ
    assert found.access("/repo/README") is Access.READ


PLANTED = {
    "file": Disk("/ws", "/other/.git/hooks", files={"/ws/.git": "gitdir: /other/.git"}),
    "home": Disk("/ws", "/home/me", files={"/ws/.git": "gitdir: /home/me"}),
    "worktree": Disk(
        "/ws",
        files={
            "/ws/.git": "gitdir: /other/.git/worktrees/w",
            "/other/.git/worktrees/w/HEAD": "",
            "/other/.git/worktrees/w/commondir": "../..",
            "/other/.git/worktrees/w/gitdir": "/elsewhere/.git",
        },
    ),
    "submodule": Disk(
        "/ws",
        files={
            "/ws/.git": "gitdir: /other/.git/modules/m",
            "/other/.git/modules/m/HEAD": "",
            "/other/.git/modules/m/config": "[core]\n\tworktree = ../../../m\n",
        },
    ),
    "own common": Disk(
        "/ws",
        files={
            "/ws/.git": "gitdir: own",
            "/ws/own/HEAD": "",
            "/ws/own/gitdir": "/ws/.git",
            "/ws/own/commondir": "/other/.git",
            "/other/.git/HEAD": "",
        },
    ),
    "link": Disk("/ws", "/other/.git/hooks", links={"/ws/.git": "/other/.git"}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_pointer_opens_nothing(name):
    found = workspace(PLANTED[name], git_write=True)
    assert found.access("/other/.git/objects/ab") is Access.READ
    assert found.access("/home/me/.bashrc") is Access.READ
    assert found.access("/ws/.git") is Access.READ
    assert any(warning.startswith("git_write: /ws/.git stays closed") for warning in found.warnings)


def test_hooks_that_are_a_symlink_are_closed_where_they_are():
    disk = Disk("/ws/tools/hooks", "/ws/.git", links={"/ws/.git/hooks": "../tools/hooks"})
    found = workspace(disk, git_write=True)
    assert found.access("/ws/tools/hooks/pre-commit") is Access.READ
    assert found.access("/ws/.git/hooks") is Access.READ


def test_a_closed_symlink_does_not_make_a_denied_folder_readable():
    disk = Disk("/secret", "/ws/.git", links={"/ws/.git/hooks": "/secret", "/ws/.codex": "/secret"})
    rules = from_mapping(
        {"extends": ":workspace", "git_write": True, "filesystem": {"/secret": "none"}}
    )
    found = effective(rules, Places(cwd="/ws", home="/home/me"), look=disk)
    assert found.access("/ws/.git/objects") is Access.WRITE
    assert found.access("/ws/.git/hooks") is Access.READ
    assert found.access("/secret/x") is Access.NONE
    inside = Disk("/secret/hooks", "/ws/.git", links={"/ws/.git/hooks": "/secret/hooks"})
    found = effective(rules, Places(cwd="/ws", home="/home/me"), look=inside)
    assert found.access("/secret/hooks/x") is Access.NONE


def test_an_entry_of_the_user_s_own_keeps_the_git_folder_closed():
    rules = from_mapping(
        {"extends": ":workspace", "git_write": True, "filesystem": {"./.git": "read"}}
    )
    found = effective(rules, Places(cwd="/ws", home="/home/me"), look=Disk("/ws/.git"))
    assert found.access("/ws/.git/objects") is Access.READ
    assert str(found.explain("/ws/.git/x").rule) == '"./.git" = "read" (program)'


# git itself is the judge: whatever it writes on commit has to be writable, nothing else is asked


@pytest.fixture
def git(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@localhost",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@localhost",
    }

    def run(folder, *words):
        os.makedirs(folder, exist_ok=True)
        command = ["git", "-c", "protocol.file.allow=always", "-C", folder, *words]
        subprocess.run(command, env=environ, check=True, capture_output=True, timeout=30)

    return run


def snapshot(root):
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            stat = os.lstat(path)
            found[path] = None if name in folders else (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    return found


def changed(before, after):
    """Paths made, changed or removed; folders only when they are new or gone."""
    return {
        path for path in before.keys() | after.keys() if before.get(path, 0) != after.get(path, 0)
    }


def committed(git, root, work, look):
    """What a commit in `work` writes, and the profile it had to happen under."""
    profile = workspace(look, cwd=work, home=os.path.dirname(root), git_write=True)
    before = snapshot(root)
    with open(os.path.join(work, "new"), "w") as file:
        file.write("new")
    git(work, "add", "new")
    git(work, "commit", "-m", "second")
    git(work, "branch", "side")
    git(work, "tag", "-a", "v1", "-m", "v1")
    git(work, "checkout", "-q", "side")
    return profile, changed(before, snapshot(root))


def begun(git, folder):
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")


KINDS = ("plain", "folder inside", "worktree", "submodule")


@pytest.mark.parametrize("kind", KINDS)
def test_git_commits_with_what_is_open_and_nothing_obeyed_later_is(git, tmp_path, kind):
    root = str(tmp_path / "root")
    main = work = f"{root}/main"
    begun(git, main)
    if kind == "folder inside":
        work = f"{main}/sub"
        os.mkdir(work)
    elif kind == "worktree":
        work = f"{root}/tree"
        git(main, "worktree", "add", "-q", work)
    elif kind == "submodule":
        begun(git, f"{root}/lib")
        git(main, "submodule", "--quiet", "add", f"{root}/lib", "lib")
        work = f"{main}/lib"
    look = DiskLook()
    profile, wrote = committed(git, root, work, look)
    assert len(wrote) > 5
    assert {path for path in wrote if profile.access(path) is not Access.WRITE} == set()
    assert profile.warnings == ()
    common = f"{main}/.git/modules/lib" if kind == "submodule" else f"{main}/.git"
    for name in LOCKED:
        assert profile.access(f"{common}/{name}") is Access.READ
    if kind == "worktree":
        for name in ("gitdir", "commondir", "config.worktree"):
            assert profile.access(f"{common}/worktrees/tree/{name}") is Access.READ
        assert profile.access(f"{common}/worktrees/other/HEAD") is Access.READ
    if kind != "plain":
        assert profile.access(f"{main}/README") is Access.READ


def test_git_works_on_with_the_stand_ins_in_place(git, tmp_path):
    root = str(tmp_path / "root")
    begun(git, root)
    found = workspace(DiskLook(), cwd=root, home="/nowhere", git_write=True)
    made = stand_ins(found)
    assert made
    for path, text in made.items():
        with open(path, "x") as file:
            file.write(text)
    for path, access, _ in rule_tuples(found):
        if access == "read" and not os.path.lexists(path) and f"{root}/.git/" in path:
            os.mkdir(path)
    git(root, "config", "extensions.worktreeConfig", "true")
    git(root, "commit", "--allow-empty", "-m", "second")
    git(root, "fsck")
    git(root, "gc", "--quiet")
