"""Rules in, steps out: golden plans for people to read, properties for every other policy."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox import plan_linux
from octavo.sandbox.presets import read_only, workspace_write
from octavo.sandbox.spec import Host, Policy, Refused
from sandbox.fake_disk import FakeDisk, landlock_access, seen_access, text, under

GOLDEN = Path(__file__).parent.parent / "golden" / "linux"
USER = Host(uid=1000, gid=1000, machine="x86_64", abi=7)
ROOT = Host(uid=0, gid=0, machine="x86_64", abi=7, user_namespace=False)
SYSTEM = ("/etc", "/usr/bin", "/usr/lib", "/tmp", "/var/tmp", "/dev", "/proc", "/home/me")
USUAL_LINKS = {"/bin": "usr/bin", "/lib": "usr/lib"}


def disk(*folders, **more):
    links = {**USUAL_LINKS, **more.pop("links", {})}
    return FakeDisk(*SYSTEM, *folders, links=links, **more)


def plan(rules, look, host=USER, *, rung="native", temporary=(), **policy):
    return plan_linux.plan(
        Policy(tuple(rules), **policy), host, look, rung=rung, temporary=temporary
    )


def rule(path, access, origin="rule"):
    return (path, access, f"{origin} {path}")


WORK = "/home/me/work"
LAYERS = "/home/me/.octavo/overlays"
REPOSITORY = disk(f"{WORK}/.git", f"{WORK}/src")
CASES = {
    "read-only": lambda: plan(read_only(), disk()),
    "read-only-as-root": lambda: plan(read_only(), disk(), ROOT, rung="native-root"),
    "read-only-without-landlock": lambda: plan(
        read_only(), disk(), Host(uid=1, gid=2, machine="aarch64", abi=0)
    ),
    "read-only-on-landlock": lambda: plan(read_only(), disk(), rung="landlock"),
    "workspace-write": lambda: plan(
        workspace_write(WORK, tmpdir="/var/tmp/me"), REPOSITORY, temporary=("/var/tmp/me",)
    ),
    "workspace-write-as-root": lambda: plan(
        workspace_write(WORK), REPOSITORY, ROOT, rung="native-root"
    ),
    "workspace-write-overlay": lambda: plan(
        [*workspace_write(WORK), rule(f"{WORK}/a/b/closed", "read"), rule(LAYERS, "none")],
        disk(f"{WORK}/.git", f"{WORK}/a/b/closed", LAYERS),
        overlay=(WORK, f"{LAYERS}/one/upper", f"{LAYERS}/one/work"),
    ),
    "workspace-write-network-on": lambda: plan(workspace_write(WORK), REPOSITORY, network="on"),
    "workspace-write-no-sockets": lambda: plan(workspace_write(WORK), REPOSITORY, network="none"),
    "unprotected-on-landlock": lambda: plan(
        [rule("/", "read"), rule(WORK, "write")], REPOSITORY, rung="landlock"
    ),
    "closed-inside-writable": lambda: plan(
        [rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/a/b/closed", "read")],
        disk(f"{WORK}/a/b/closed"),
    ),
    "open-inside-closed": lambda: plan(
        [rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/a", "read"),
         rule(f"{WORK}/a/out", "write")],
        disk(f"{WORK}/a/out"),
    ),
    "hidden": lambda: plan(
        [rule("/", "read"), rule("/home/me/.ssh", "none"), rule("/home/me/.netrc", "none")],
        disk("/home/me/.ssh", files=("/home/me/.netrc",)),
    ),
    "writable-inside-hidden": lambda: plan(
        [rule("/", "read"), rule("/home", "none"), rule(WORK, "write")], disk(WORK)
    ),
    "everything-writable-but": lambda: plan(
        [rule("/", "write"), rule(f"{WORK}/keep/this", "read")], disk(f"{WORK}/keep/this")
    ),
    "minimal": lambda: plan([rule(":minimal", "read"), rule(WORK, "write")], disk(WORK)),
    "links": lambda: plan(
        [rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/.codex", "read", "protected:")],
        disk(f"{WORK}/real", links={f"{WORK}/.codex": "real"}),
    ),
    "devices-and-nesting": lambda: plan(read_only(), disk(), devices=("dri",), nested=True),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_plan_is_the_golden_one(name):
    made, golden = text(CASES[name]()), GOLDEN / f"{name}.txt"
    if os.environ.get("OCTAVO_REWRITE_GOLDEN") == "1":
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(made)
    assert made == golden.read_text()


def test_every_golden_plan_has_its_case():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_the_same_every_time(name):
    assert text(CASES[name]()) == text(CASES[name]())


# what a view comes to ----------------------------------------------------------------------------

FOLDERS = ["/" + "/".join(parts) for parts in (
    ("a",), ("b",), ("a", "a"), ("a", "b"), ("b", "a"), ("a", "a", "a"), ("a", "a", "b"),
    ("a", "b", "a"), ("b", "a", "a"), ("a", "a", "a", "a"), ("a", "a", "a", "b"),
)]  # fmt: skip
FULL = FakeDisk(*FOLDERS, "/dev", "/proc")
RULES = st.dictionaries(
    st.sampled_from(FOLDERS), st.sampled_from(["write", "read", "none"]), max_size=7
).map(lambda found: [rule(path, access) for path, access in found.items()])
BASES = st.sampled_from(["read", "write", "none"])


def decided(rules, path):
    """The deepest rule; nothing matches: none."""
    matching = [r for r in rules if under(path, r[0])]
    return max(matching, key=lambda r: plan_linux.depth(r[0]))[1] if matching else "none"


@given(base=BASES, rules=RULES, path=st.sampled_from(FOLDERS))
def test_the_mounts_give_every_path_the_access_of_its_deepest_rule(base, rules, path):
    everything = [*rules, rule("/", base)]
    assert seen_access(plan(everything, FULL), path) == decided(everything, path)


@given(base=BASES, rules=RULES, path=st.sampled_from(FOLDERS))
def test_landlock_behind_the_mounts_never_allows_a_write_no_rule_allows(base, rules, path):
    everything = [*rules, rule("/", base)]
    writable = {r[0] for r in everything if r[1] == "write"}
    if landlock_access(plan(everything, FULL), path) == "write":
        assert any(under(path, root) for root in writable)


@given(base=BASES, rules=RULES, path=st.sampled_from(FOLDERS))
def test_landlock_alone_holds_the_policy_exactly_or_refuses(base, rules, path):
    everything = [*rules, rule("/", base)]
    with contextlib.suppress(Refused):
        made = plan(everything, FULL, rung="landlock")
        assert landlock_access(made, path) == decided(everything, path)


@given(base=BASES, rules=RULES)
def test_the_order_of_the_rules_does_not_matter(base, rules):
    everything = [rule("/", base), *rules]
    assert text(plan(everything, FULL)) == text(plan(everything[::-1], FULL))


@given(base=BASES, rules=RULES)
def test_what_is_mounted_was_held_before_the_tree_was_touched(base, rules):
    made = plan([*rules, rule("/", base)], FULL)
    names = [step[0] for step in made.steps]
    touched = next(i for i, name in enumerate(names) if name in ("seal", "new-root"))
    held = {step[1] for step in made.steps[:touched] if step[0] == "hold"}
    pinned = {step[1] for step in made.steps[:touched] if step[0] == "hold-pin"}
    later = made.steps[touched:]
    assert "hold" not in names[touched:]
    assert {step[1] for step in later if step[0] in ("write", "read", "link")} == held
    assert {step[1] for step in later if step[0] in ("pin", "pin-open")} == pinned


@given(base=BASES, rules=RULES)
def test_a_folder_between_a_writable_root_and_a_deeper_rule_cannot_be_moved(base, rules):
    everything = [*rules, rule("/", base)]
    made = plan(everything, FULL)
    mounted = {
        step[1] for step in made.steps if step[0] in ("write", "read", "mask", "pin", "pin-open")
    }
    for path in [step[1] for step in made.steps if step[0] in ("read", "mask")]:
        folder = os.path.dirname(path)
        while folder != "/" and decided(everything, folder) == "write":
            if folder not in mounted:
                assert folder in {step[1] for step in made.steps if step[0].startswith("pin")}, (
                    folder
                )
            folder = os.path.dirname(folder)


# single cases ------------------------------------------------------------------------------------


def test_a_missing_protected_name_is_created_unless_nobody_could():
    rules = workspace_write(WORK, slash_tmp=False)
    assert plan(rules, disk(WORK)).creates == tuple(
        (f"{WORK}/{name}", "dir") for name in (".git", ".codex", ".agents", ".octavo")
    )
    assert plan(rules, disk(WORK, closed=[WORK])).creates == ()


def test_no_git_folder_is_made_inside_a_repository():
    made = plan(
        workspace_write(f"{WORK}/sub", slash_tmp=False), disk(f"{WORK}/.git", f"{WORK}/sub")
    )
    assert f"{WORK}/sub/.git" not in dict(made.creates)


@pytest.mark.parametrize("folder", ["/tmp", "/var/tmp", "/scratch"])
def test_nothing_protected_is_made_in_temporary_folders(folder):
    made = plan(
        [rule("/", "read"), rule(folder, "write"), rule(f"{folder}/.git", "read", "protected:")],
        disk("/scratch"),
        temporary=("/scratch",),
    )
    assert made.creates == ()


def test_a_missing_name_of_the_users_own_rule_is_made_even_there():
    made = plan([rule("/", "read"), rule("/tmp", "write"), rule("/tmp/keep", "read")], disk())
    assert made.creates == (("/tmp/keep", "dir"),)


def test_only_the_first_missing_folder_of_a_path_is_made():
    made = plan([rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/x/y/z", "none")], disk(WORK))
    assert made.creates == ((f"{WORK}/x", "dir"),)
    assert seen_access(made, f"{WORK}/x/y/z") == "read"


def test_a_mount_point_of_another_command_is_kept_for_this_one():
    look = disk(f"{WORK}/.codex", made={f"{WORK}/.codex": "dir"})
    made = plan(
        [rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/.codex", "read", "protected:")], look
    )
    assert made.creates == ((f"{WORK}/.codex", "dir"),)


def test_a_missing_writable_root_is_skipped_and_said():
    made = plan([rule("/", "read"), rule("/gone", "write")], disk())
    assert "does not exist" in made.notes[0]
    assert seen_access(made, "/gone") == "read"


@pytest.mark.parametrize("path", ["/dev/shm", "/proc/self", "/dev", "/proc"])
def test_private_trees_cannot_be_writable_roots(path):
    made = plan([rule("/", "read"), rule(path, "write")], disk(path))
    assert "private here" in made.notes[0]
    assert not any(step[0] == "write" for step in made.steps)


def test_a_root_behind_a_symlink_the_command_could_plant_is_skipped():
    look = disk(WORK, "/home/me/secret", links={f"{WORK}/out": "/home/me/secret"})
    made = plan([rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/out", "write")], look)
    assert "through a symlink" in made.notes[0]
    assert seen_access(made, "/home/me/secret") == "read"


def test_a_root_behind_somebody_elses_symlink_is_its_target():
    look = disk("/data/work", links={"/home/me/link": "/data/work"})
    made = plan([rule("/", "read"), rule("/home/me/link", "write")], look)
    assert seen_access(made, "/data/work") == "write"
    assert seen_access(made, "/home/me") == "read"


def test_a_restriction_follows_symlinks_and_fixes_those_that_could_be_replaced():
    look = disk(f"{WORK}/real", links={f"{WORK}/one": "two", f"{WORK}/two": f"{WORK}/real"})
    made = plan([rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/one", "none")], look)
    assert {step[1] for step in made.steps if step[0] == "link"} == {f"{WORK}/one", f"{WORK}/two"}
    assert seen_access(made, f"{WORK}/real") == "none"


def test_symlinks_in_a_circle_are_refused_with_the_rule():
    look = disk(WORK, links={f"{WORK}/a": "b", f"{WORK}/b": "a"})
    with pytest.raises(Refused, match="symlinks") as caught:
        plan([rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/a", "read")], look)
    assert caught.value.rule == f"rule {WORK}/a"


def test_a_rule_below_a_file_needs_nothing():
    made = plan([rule("/", "read"), rule(WORK, "write"), rule(f"{WORK}/file/x", "none")],
                disk(WORK, files=[f"{WORK}/file"]))  # fmt: skip
    assert [step[0] for step in made.steps if step[0] in ("mask", "read")] == []


def test_too_many_paths_are_refused_not_cut():
    many = [f"/many/{n}" for n in range(plan_linux.MAX_ENTRIES + 1)]
    look = disk("/many", files=many)
    rules = [rule("/", "read"), rule("/many", "write"), *(rule(path, "read") for path in many)]
    with pytest.raises(Refused, match="paths need a mount each") as caught:
        plan(rules, look)
    assert "at most" in caught.value.remedy


def test_ten_thousand_carve_outs_are_planned():
    many = [f"/many/{n}" for n in range(10_000)]
    rules = [rule("/", "read"), rule("/many", "write"), *(rule(path, "read") for path in many)]
    made = plan(rules, disk("/many", files=many))
    assert sum(step[0] == "read" for step in made.steps) == 10_000


def test_landlock_hides_inside_what_may_only_be_read():
    rules = [rule("/", "read"), rule(WORK, "none")]
    made = plan(rules, disk(WORK), rung="landlock")
    assert (WORK, "none") in made.landlock
    assert any("cannot be read" in what for what in made.weaker)


@pytest.mark.parametrize(("access", "around"), [("read", "write"), ("none", "write")])
def test_landlock_refuses_a_carve_out_with_its_rule_and_a_remedy(access, around):
    rules = [rule("/", "read"), rule("/home", around), rule(WORK, access)]
    with pytest.raises(Refused) as caught:
        plan(rules, disk(WORK), rung="landlock")
    assert f"rule {WORK}" in caught.value.rule
    assert "octavo doctor" in caught.value.remedy
    assert "--unprotected" not in caught.value.remedy


def test_landlock_says_how_to_give_up_a_protection():
    with pytest.raises(Refused) as caught:
        plan(workspace_write(WORK), REPOSITORY, rung="landlock")
    assert "--unprotected" in caught.value.remedy


@pytest.mark.parametrize("abi", [0, 1, 2])
def test_landlock_without_truncation_is_refused(abi):
    host = Host(uid=1, gid=1, machine="x86_64", abi=abi)
    with pytest.raises(Refused, match=f"version {abi}"):
        plan(read_only(), disk(), host, rung="landlock")


def test_landlock_has_no_loopback_and_says_so():
    made = plan(read_only(), disk(), rung="landlock")
    assert made.network == "none"
    assert any("loopback" in what for what in made.weaker)


@given(st.text(st.sampled_from("ab./"), max_size=12), st.sampled_from(["/", "/a", "/a/b"]))
def test_a_joined_path_is_absolute_and_normal(target, folder):
    found = plan_linux.join(folder, target)
    assert found == os.path.normpath(
        "/" + (target if target.startswith("/") else f"{folder}/{target}")
    ).replace("//", "/")


@pytest.mark.parametrize("rung", ["bubblewrap", "landlock"])
def test_changes_are_kept_apart_by_the_strongest_mechanism_only(rung):
    rules = [rule("/", "read"), rule(WORK, "write")]
    with pytest.raises(Refused, match="apart") as refused:
        plan(rules, REPOSITORY, rung=rung, overlay=(WORK, "/layers/o/upper", "/layers/o/work"))
    assert refused.value.remedy


def test_a_folder_inside_a_writable_one_still_gets_its_layer():
    rules = [rule("/", "read"), rule("/home/me", "write"), rule(WORK, "write")]
    steps = plan(rules, REPOSITORY, overlay=(WORK, "/layers/o/upper", "/layers/o/work")).steps
    assert ("overlay", WORK, "/layers/o/upper", "/layers/o/work") in steps
    assert ("hold", WORK, "dir") not in steps
    assert steps.index(("write", "/home/me")) < steps.index(("write", WORK))
