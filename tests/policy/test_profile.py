import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.policy.paths import under
from octavo.policy.profile import (
    Legacy,
    Origin,
    Places,
    effective,
    from_mapping,
    from_tables,
    glob_tuples,
    legacy,
    preset,
    rule_tuples,
    stand_ins,
    with_roots,
    writable_root,
)
from octavo.protocol.errors import PolicyError
from octavo.protocol.permissions import Access, FileRule, PermissionRules, RuleRef
from policy.disk import Disk

GOLDEN = Path(__file__).parent / "golden"
PLACES = Places(cwd="/home/me/ws", home="/home/me", tmpdir="/tmp", own_homes=("/home/me/.octavo",))
DISK = Disk("/home/me/ws/.git", "/home/me/.octavo", "/tmp", "/data", "/usr")


def settled(rules, places=PLACES, disk=DISK):
    return effective(rules, places, look=disk)


def profile(text, places=PLACES, disk=DISK, name="dev"):
    tables = tomllib.loads(text)["permissions"]
    return settled(from_tables(name, tables, lambda _: Origin("c.toml", 1)), places, disk)


def workspace(*roots, places=PLACES, disk=DISK, **more):
    return settled(preset("workspace-write", writable_roots=roots, **more), places, disk)


def entries(found):
    return {path: access for path, access, _ in rule_tuples(found)}


def test_workspace_write_on_an_ordinary_machine():
    found = workspace("/data")
    assert entries(found) == {
        "/": "read",
        "/data": "write",
        "/tmp": "write",
        "/data/.agents": "read",
        "/data/.codex": "read",
        "/data/.git": "read",
        "/data/.octavo": "read",
        "/home/me/ws": "write",
        "/home/me/ws/.agents": "read",
        "/home/me/ws/.codex": "read",
        "/home/me/ws/.git": "read",
        "/home/me/ws/.octavo": "read",
    }
    assert [rule.path for rule in found.rules] == sorted(
        entries(found), key=lambda path: (path.count("/") if path != "/" else 0, path)
    )
    assert found.mode == "workspace-write"
    assert found.warnings == ()


def test_read_only_and_full_access_are_one_rule_each():
    assert entries(settled(preset("read-only"))) == {"/": "read"}
    full = settled(preset("danger-full-access"))
    assert entries(full) == {"/": "write"}
    assert full.unrestricted
    assert full.access("/home/me/ws/.git/config") is Access.WRITE


def test_nothing_matches_means_no_access():
    found = profile('[permissions.dev.filesystem]\n"/data" = "read"')
    assert found.access("/data/x") is Access.READ
    assert found.access("/datax") is Access.NONE
    assert str(found.explain("/etc/passwd")) == (
        "/etc/passwd: may not be read or written: no rule names it or a folder above it (default)"
    )


def test_special_roots_become_folders():
    disk = Disk("/usr", "/etc", "/a", "/b/docs", "/tmp", "/var/t", links={"/bin": "usr/bin"})
    places = Places(cwd="/a", home="/h", tmpdir="/var/t", workspace_roots=("/a", "/b"))
    found = profile(
        """
        [permissions.dev.filesystem]
        ":minimal" = "read"
        ":tmpdir" = "write"
        ":slash_tmp" = "read"
        "~/notes" = "read"
        ":workspace_roots" = { "." = "write", docs = "read", "*.key" = "deny" }
        [permissions.dev]
        protect_metadata = false
        """,
        places,
        disk,
    )
    assert entries(found) == {
        "/usr": "read",
        "/etc": "read",
        "/usr/bin": "read",
        "/var/t": "write",
        "/tmp": "read",
        "/h/notes": "read",
        "/a": "write",
        "/b": "write",
        "/a/docs": "read",
        "/b/docs": "read",
    }
    assert [pattern for pattern, _ in glob_tuples(found)] == ["/a/*.key", "/b/*.key"]


def test_a_program_may_speak_of_the_folder_of_the_command():
    rules = from_mapping({"filesystem": {":root": "read", ":cwd": "write", "./secrets": "none"}})
    found = settled(rules)
    assert found.access("./secrets/key.pem") is Access.NONE
    assert found.access("src/app.py") is Access.WRITE
    assert found.access("/home/me/ws/.git/config") is Access.READ
    assert found.explain("./secrets").rule.source == "program"


def test_a_pattern_denies_also_in_folders_whose_names_look_like_patterns():
    places = Places(cwd="/w[1]", home="/h")
    found = profile(
        '[permissions.dev.filesystem.":workspace_roots"]\n"." = "write"\n"**/*.env" = "deny"',
        places,
        Disk("/w[1]"),
    )
    assert found.access("/w[1]/a/.env") is Access.NONE
    assert found.access("/w[1]/.env/x") is Access.NONE
    assert found.access("/w1/.env") is Access.NONE
    assert found.access("/w[1]/env") is Access.WRITE


def test_below_what_a_pattern_denies_a_deeper_entry_reopens():
    found = profile(
        '[permissions.dev.filesystem]\n"/data" = "write"\n"/data/**/secret" = "deny"\n'
        '"/data/secret/public" = "read"\n"/data/a/secret" = "write"',
        disk=Disk("/data/a/secret"),
    )
    assert found.access("/data/secret") is Access.NONE
    assert found.access("/data/secret/x") is Access.NONE
    assert found.access("/data/secret/public/x") is Access.READ
    assert found.access("/data/a/secret") is Access.NONE


@pytest.mark.parametrize(
    ("cwd", "message"),
    [("/", "/ is the whole disk"), ("/home/me", "/home/me is your home folder")],
)
def test_the_disk_and_the_home_folder_are_no_workspace(cwd, message):
    places = Places(cwd=cwd, home="/home/me")
    with pytest.raises(PolicyError) as caught:
        workspace(places=places)
    assert message in str(caught.value)
    assert caught.value.hint
    assert settled(preset("read-only"), places).access(cwd) is Access.READ
    named = '[permissions.dev.filesystem]\n":root" = "write"\n"~" = "write"'
    assert profile(named, places).access(cwd) is Access.WRITE


def test_an_added_folder_may_not_be_the_home_folder_either():
    with pytest.raises(PolicyError, match="your home folder"):
        workspace("~")
    with pytest.raises(PolicyError, match="whole disk"):
        workspace("/link", disk=Disk("/home/me/ws", links={"/link": "/"}))


def test_a_folder_around_the_home_folder_gives_a_warning():
    found = workspace("/home")
    assert any("contains your home folder" in warning for warning in found.warnings)
    assert found.access("/home/me/.octavo/config.toml") is Access.READ


@pytest.mark.parametrize("tmpdir", ["/", "/home/me"])
def test_a_temporary_folder_that_is_no_such_thing_is_left_out(tmpdir):
    places = Places(cwd="/home/me/ws", home="/home/me", tmpdir=tmpdir)
    found = workspace(places=places)
    assert found.access("/home/me/.bashrc") is Access.READ
    assert any("is left out" in warning for warning in found.warnings)


def test_a_relative_or_missing_folder_is_left_out_with_a_warning():
    found = workspace("/gone", places=Places(cwd="/home/me/ws", home="/h", tmpdir="tmp"))
    assert "/gone" not in entries(found)
    assert [warning.partition(" (")[0] for warning in found.warnings] == [
        "$TMPDIR is left out: tmp is not an absolute path",
        'writable folder "/gone"',
    ]


def test_a_relative_workspace_is_refused():
    with pytest.raises(PolicyError, match="ws is not an absolute path"):
        workspace(places=Places(cwd="ws", home="/h"))


def test_a_file_may_be_a_writable_root():
    found = workspace("/etc/hosts", disk=Disk("/home/me/ws/.git", files={"/etc/hosts": ""}))
    assert found.access("/etc/hosts") is Access.WRITE
    assert "/etc/hosts/.git" not in entries(found)


def test_strange_names_work_and_are_printed_on_one_line():
    name = "/data/a\nb\udc80"
    found = workspace(name, disk=Disk("/home/me/ws", name))
    assert found.access(name + "/x") is Access.WRITE
    assert str(found.explain(name)).isprintable()
    assert "/data/a\\nb\\x80" in str(found.explain(name))


def test_a_symlink_may_name_a_writable_folder_unless_a_command_could_have_made_it():
    disk = Disk(
        "/home/me/ws", "/big/disk", links={"/data": "/big/disk", "/home/me/ws/out": "/home/me"}
    )
    found = workspace("/data", "/home/me/ws/out", disk=disk)
    assert found.access("/big/disk/x") is Access.WRITE
    assert found.access("/home/me/.bashrc") is Access.READ
    assert found.access_links("/data/x", disk) is Access.WRITE
    assert found.access_links("/home/me/ws/out/.bashrc", disk) is Access.READ
    (warning,) = found.warnings
    assert "/home/me/ws/out is a symlink in a writable folder" in warning


def test_a_rule_through_a_symlink_holds_at_both_ends():
    disk = Disk(
        "/home/me/ws/real", "/data", links={"/home/me/ws/docs": "real", "/home/me/ws/out": "/data"}
    )
    text = """
        [permissions.dev.filesystem]
        "/data" = "deny"
        ":root" = "read"
        ":workspace_roots" = { "." = "write", docs = "read", out = "read" }
    """
    found = profile(text, disk=disk)
    assert found.access("/home/me/ws/real/x") is Access.READ
    assert found.access("/home/me/ws/docs") is Access.READ, "the link may not be replaced"
    assert found.access("/data/x") is Access.NONE, "a planted link gives nothing"
    assert any("gives no access to /data" in warning for warning in found.warnings)
    assert found.access_links("/home/me/ws/out/x", disk) is Access.NONE


def test_a_denied_symlink_is_denied_where_it_leads():
    disk = Disk("/home/me/ws", "/data/keys", links={"/home/me/ws/keys": "/data/keys"})
    found = profile(
        '[permissions.dev.filesystem]\n":root" = "write"\n"~/ws/keys" = "deny"', disk=disk
    )
    assert found.access("/data/keys/x") is Access.NONE
    assert found.access("/home/me/ws/keys") is Access.READ
    assert found.access_links("/home/me/ws/keys", disk) is Access.NONE


def test_links_in_a_circle_give_no_access():
    disk = Disk("/home/me/ws", links={"/home/me/ws/a": "b", "/home/me/ws/b": "a"})
    found = workspace(disk=disk)
    assert found.access_links("a/x", disk) is Access.NONE
    assert "circle" in str(found.explain("a", disk))


def test_dots_after_a_symlink_go_up_from_where_it_leads():
    disk = Disk("/home/me/ws", "/data/deep", links={"/home/me/ws/out": "/data/deep"})
    found = workspace(disk=disk)
    assert found.explain("out/../x", disk).resolved == "/data/x"
    assert found.access_links("out/../x", disk) is Access.READ


def test_a_path_through_a_denied_folder_is_denied_wherever_it_leads():
    disk = Disk("/data", "/hidden", links={"/hidden/out": "/data"})
    found = profile('[permissions.dev.filesystem]\n":root" = "read"\n"/hidden" = "deny"', disk=disk)
    assert found.access("/data/x") is Access.READ
    assert found.access_links("/hidden/out/x", disk) is Access.NONE


def test_a_pattern_counts_where_its_folder_leads():
    disk = Disk("/private/tmp", "/home/me/ws", links={"/tmp": "private/tmp"})
    found = profile(
        '[permissions.dev.filesystem]\n":root" = "read"\n"/tmp/a/*.pem" = "deny"', disk=disk
    )
    assert [pattern for pattern, _ in glob_tuples(found)] == [
        "/tmp/a/*.pem",
        "/private/tmp/a/*.pem",
    ]
    assert found.access("/private/tmp/a/x.pem") is Access.NONE


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (preset("read-only"), Legacy(mode="read-only", network_access=False)),
        (preset("danger-full-access"), Legacy(mode="danger-full-access", network_access=True)),
        (
            preset("workspace-write", network=True, writable_roots=["/data"], git_write=True),
            Legacy(mode="workspace-write", network_access=True, writable_roots=("/data",)),
        ),
        (
            preset("workspace-write", exclude_tmpdir=True, exclude_slash_tmp=True),
            Legacy(
                mode="workspace-write",
                network_access=False,
                exclude_tmpdir_env_var=True,
                exclude_slash_tmp=True,
            ),
        ),
        (from_mapping({"filesystem": {"/data": "write", ":root": "read"}}), None),
        (from_mapping({"filesystem": {":cwd": "write"}}), None),
        (from_mapping({"filesystem": {":root": "read", "/data": "none"}}), None),
        (from_mapping({"filesystem": {":root": "read", "./*.key": "none"}}), None),
        (from_mapping({"filesystem": {":root": "write"}}), None),
        (from_mapping({"extends": ":workspace", "filesystem": {"./docs": "read"}}), None),
        (from_mapping({"extends": ":read-only", "network": {"allow": ["x"]}}), None),
        (
            from_mapping({"extends": ":read-only", "filesystem": {"/data": "read"}}),
            Legacy(mode="read-only", network_access=False),
        ),
    ],
)
def test_the_older_form_says_the_same_or_there_is_none(rules, expected):
    assert legacy(settled(rules)) == expected


SAMPLE = """
[permissions.base.filesystem]
":root" = "read"
"~/.ssh" = "deny"
"/srv" = "deny"
"/srv/public" = "read"
[permissions.base.filesystem.":workspace_roots"]
"." = "write"
"docs" = "read"
"docs/drafts" = "write"
"**/*.env" = "deny"
"keys/[a-m]*.pem" = "deny"
[permissions.dev]
extends = "base"
[permissions.dev.filesystem]
":slash_tmp" = "write"
"~/cache" = "write"
[permissions.dev.filesystem.":workspace_roots"]
".agents" = "write"
"""

SAMPLE_PATHS = """\
/
/etc/passwd
/home/me/.ssh/id_ed25519
/home/me/.octavo/config.toml
/home/me/cache/x
/home/me/cache/.git
/srv/private
/srv/public/index.html
/tmp/x
/tmp/.git
src/app.py
./docs/guide.md
docs/drafts/new.md
deep/down/.env
.env/inner
keys/ann.pem
keys/zoe.pem
.git/hooks/pre-commit
.codex/config.toml
.agents/notes.md
.octavo
../other/file
line\nbreak\udcff
link/passwd
""".splitlines()


def test_explanations_are_the_golden_ones():
    lines = [*SAMPLE_PATHS]
    lines[lines.index("line")] = "line\nbreak\udcff"
    lines.remove("break\udcff")
    disk = Disk(
        "/home/me/ws/.git/hooks", "/home/me/ws/docs/drafts", "/home/me/cache", "/tmp",
        "/home/me/ws/.agents", "/etc", links={"/home/me/ws/link": "/etc"},
    )  # fmt: skip
    tables = tomllib.loads(SAMPLE)["permissions"]
    line_of = {line.split(" = ")[0].strip('"'): i for i, line in enumerate(SAMPLE.splitlines(), 1)}
    rules = from_tables("dev", tables, lambda keys: Origin("config.toml", line_of.get(keys[-1])))
    found = effective(rules, PLACES, look=disk)
    text = "".join(f"{found.explain(path, disk)}\n" for path in lines)
    path = GOLDEN / "explanations.txt"
    if os.environ.get("OCTAVO_REWRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


NAMES = ["a", "b", ".git", ".codex", ".agents", ".octavo", "x.env"]
PATHS = st.lists(st.sampled_from(NAMES), max_size=4).map(lambda names: "/" + "/".join(names))
GLOBS = st.sampled_from(["/**/*.env", "/a/*", "/a/**/b", "/*/.git"])


@st.composite
def anything(draw):
    """A disk, places and rules that need not make sense together."""
    disk = Disk(*draw(st.lists(PATHS, max_size=5)))
    for path, target in draw(st.dictionaries(PATHS, PATHS, max_size=2)).items():
        if path != "/" and path not in disk.folders:
            disk = Disk(*disk.folders, links={**disk.links, path: target})
    written = draw(st.lists(st.tuples(PATHS, st.sampled_from(Access)), max_size=5))
    source = st.sampled_from(["preset", "config"])
    rules = [
        FileRule(path=path, access=access, ref=RuleRef(text="r", source=draw(source)))
        for path, access in written
    ]
    rules += [
        FileRule(path=path, access=Access.NONE, glob=True, ref=RuleRef(text="g", source="config"))
        for path in draw(st.lists(GLOBS, max_size=1))
    ]
    rules.append(FileRule(path=":cwd", access=Access.WRITE, ref=RuleRef(text="c", source="preset")))
    places = Places(cwd=draw(PATHS), home="/home/me", own_homes=(draw(PATHS),))
    git_write = draw(st.booleans())
    return PermissionRules(name="any", files=tuple(rules), git_write=git_write), places, disk


@settings(deadline=None)
@given(anything(), PATHS)
def test_an_explanation_agrees_with_the_access(case, path):
    rules, places, disk = case
    found = effective(rules, places, look=disk)
    told = found.explain(path)
    assert told.access is found.access(path)
    assert told.path == told.resolved == path
    assert told.sentence.isprintable()
    followed = found.explain(path, disk)
    assert followed.access is found.access_links(path, disk)
    assert followed.access <= found.access(followed.resolved)


@settings(deadline=None)
@given(anything())
def test_a_protected_folder_is_writable_only_by_an_entry_of_its_own(case):
    rules, places, disk = case
    found = effective(rules, places, look=disk)
    mine = {r.path for r in rules.files if r.access is Access.WRITE and r.ref.source == "config"}
    chosen = {rule.path for rule in rules.files if rule.access is Access.WRITE} | {places.cwd}
    for root in [rule.path for rule in found.rules if rule.access is Access.WRITE]:
        if disk.kind(root) != "dir" or any(name in root.split("/") for name in NAMES[2:6]):
            continue
        for name in (".git", ".codex", ".agents", ".octavo"):
            path = f"{root.rstrip('/')}/{name}"
            in_repository = disk.kind(path) == "missing" and name == ".git"
            if path in mine or in_repository or rules.git_write:
                continue
            assert found.access(path) is not Access.WRITE
            inner = f"{path}/hooks/x"
            if not any(under(inner, entry) and under(entry, path) for entry in chosen):
                assert found.access(inner) is not Access.WRITE


@settings(deadline=None)
@given(anything())
def test_closing_and_git_never_give_what_the_rules_deny(case):
    rules, places, disk = case
    open_rules = PermissionRules(name="any", files=rules.files, protect=False)
    before = effective(open_rules, places, look=disk)
    after = effective(rules, places, look=disk)
    for rule in after.rules:
        if before.access(rule.path) is Access.NONE:
            assert after.access(rule.path) is Access.NONE


@settings(deadline=None)
@given(anything())
def test_settled_rules_are_absolute_sorted_and_one_for_each_path(case):
    rules, places, disk = case
    found = effective(rules, places, look=disk)
    paths = [rule.path for rule in found.rules]
    assert len(paths) == len(set(paths))
    assert all(path.startswith("/") for path in paths)
    assert all(disk.kind(r.path) != "symlink" for r in found.rules if r.access is Access.WRITE)


def test_ten_thousand_entries_are_settled_in_one_go():
    ref = RuleRef(text="r", source="config")
    many = tuple(
        FileRule(path=f"/home/me/ws/d{n % 100}/f{n}", access=Access.READ, ref=ref)
        for n in range(10_000)
    )
    rules = with_roots(preset("workspace-write"), many)
    found = settled(rules)
    assert len(found.rules) > 10_000
    assert found.access("/home/me/ws/d7/f7") is Access.READ
    assert found.access("/home/me/ws/d7/f8") is Access.WRITE


def test_stand_ins_are_only_named_for_missing_files_of_git():
    assert stand_ins(workspace()) == {}


def test_a_flag_reopens_a_protected_folder():
    rules = with_roots(
        preset("workspace-write"),
        [writable_root("/home/me/ws/.git", RuleRef(text="--add-dir .git", source="flag"))],
    )
    assert settled(rules).access("/home/me/ws/.git/hooks/x") is Access.WRITE
