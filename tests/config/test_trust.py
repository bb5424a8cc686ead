import subprocess

from octavo.config.trust import Trust, folders_between, main_worktree, project_root, trust_of


def test_a_project_begins_at_the_nearest_marker(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / ".hg").touch()
    assert project_root(str(inner), (".git",)) == str(tmp_path)
    assert project_root(str(inner), (".git", ".hg")) == str(tmp_path / "a")
    assert project_root(str(inner), ()) == str(inner)
    assert folders_between(str(tmp_path), str(inner)) == (
        str(tmp_path), str(tmp_path / "a"), str(inner),
    )  # fmt: skip


def test_the_folder_itself_counts_before_its_repository(tmp_path):
    (tmp_path / ".git").mkdir()
    inner = tmp_path / "sub"
    inner.mkdir()
    table = {str(tmp_path): {"trust_level": "trusted"}, str(inner): {"trust_level": "untrusted"}}
    assert trust_of(str(inner), table) == Trust(level="untrusted", path=str(inner))
    del table[str(inner)]
    assert trust_of(str(inner), table) == Trust(level="trusted", path=str(tmp_path))
    assert trust_of(str(inner), None) == Trust(level=None, path=str(tmp_path))


def git(*args, cwd):
    name = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    subprocess.run(["git", *name, *args], cwd=cwd, check=True, capture_output=True)


def test_a_linked_worktree_counts_as_its_main_one(tmp_path):
    main, linked = tmp_path / "main", tmp_path / "linked"
    main.mkdir()
    git("init", cwd=main)
    git("commit", "--allow-empty", "-m", "x", cwd=main)
    git("worktree", "add", str(linked), cwd=main)
    assert main_worktree(str(linked)) == str(main)
    assert trust_of(str(linked), {str(main): {"trust_level": "trusted"}}).level == "trusted"


def test_a_folder_cannot_claim_a_repository_that_does_not_know_it(tmp_path):
    main, evil, linked = tmp_path / "main", tmp_path / "evil", tmp_path / "linked"
    main.mkdir()
    git("init", cwd=main)
    git("commit", "--allow-empty", "-m", "x", cwd=main)
    git("worktree", "add", str(linked), cwd=main)
    evil.mkdir()
    trusted = {str(main): {"trust_level": "trusted"}}
    for pointer in (main / ".git", main / ".git/worktrees/linked", main / ".git/worktrees/none"):
        (evil / ".git").write_text(f"gitdir: {pointer}\n")
        assert trust_of(str(evil), trusted).level is None
    own = evil / "fake" / ".git" / "worktrees" / "x"
    own.mkdir(parents=True)
    (own / "commondir").write_text(str(main / ".git"))
    (own / "gitdir").write_text(str(evil / ".git"))
    (evil / ".git").write_text(f"gitdir: {own}\n")
    assert trust_of(str(evil), trusted).level is None
