"""The Seatbelt planner, judged by an evaluator for the profile language.

Expected answers come from `decided` below: slow, from the rule tuples alone.
"""

import itertools
import os
import posixpath
import re
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from octavo.policy import globs
from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.plan_macos import ARGUMENT_BYTES, SeatbeltPlan, plan_macos
from octavo.sandbox.presets import PROTECTED, read_only, workspace_write
from octavo.sandbox.seatbelt_base import MINIMAL_READS
from sandbox.seatbelt import Profile

GOLDEN = Path(__file__).parent.parent / "golden" / "macos"
WS = "/Users/me/ws"
TMPDIR = "/private/var/folders/ab/T"
MAC_LINKS = {"/tmp": "/private/tmp", "/var": "/private/var", "/etc": "/private/etc"}


def resolver(links):
    """What `realpath` would say, had the disk these links."""

    def canonical(path):
        real = "/"
        for part in PurePosixPath(path).parts[1:]:
            real = posixpath.join(real, part)
            real = links.get(real, real)
        return real

    return canonical


def workspace(**more):
    return plan_macos(workspace_write(WS, tmpdir=TMPDIR), canonical=resolver(MAC_LINKS), **more)


def profile(plan: SeatbeltPlan) -> Profile:
    return Profile(plan.profile, plan.parameters)


def decided(rules, path, globs=()):
    """The entry with most components decides; on a tie none, then write, then read.

    A pattern is an entry for each path it names.
    """
    for place in (PurePosixPath(path), *PurePosixPath(path).parents):
        if any(names(pattern, str(place)) for pattern, _origin in globs):
            return "none"
        found = {access for at, access, _origin in rules if at == str(place)}
        if found:
            return next(access for access in ("none", "write", "read") if access in found)
    return "none"


def names(pattern, path):
    """Does a deny pattern name exactly this path? By components, without regexes."""
    parts = pattern.split("/")[1:]
    while parts and parts[-1] == "**":
        parts.pop()
    return _names(parts, path.split("/")[1:] if path != "/" else [])


def _names(parts, found):
    if not parts:
        return not found
    if parts[0] == "**":
        return any(_names(parts[1:], found[skip:]) for skip in range(len(found) + 1))
    return bool(found) and fnmatchcase(found[0], parts[0]) and _names(parts[1:], found[1:])


NAMES = ["a", "b", "B", ".git", "é", 'q"u', "back\\slash", "new\nline", "s p", "(x)"]
paths = st.lists(st.sampled_from(NAMES), max_size=4).map(lambda parts: "/" + "/".join(parts))
accesses = st.sampled_from(["write", "read", "none"])
rule_lists = st.lists(st.tuples(paths, accesses, st.just("test")), max_size=8)
roomy = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


PATTERNS = [
    "/a/**/b",
    "/a/*/b",
    "/**/b",
    "/a/b*",
    "/b/**",
    "/a/**/b/*",
    "/a/?",
    "/a/[ab]/*",
    "/a/**/a/**/b",
]
SMALL = ["/" + "/".join(parts) for n in (1, 2, 3) for parts in itertools.product("ab", repeat=n)]


# What is decided ---------------------------------------------------------------------------------


@pytest.mark.slow
@roomy
@given(rules=rule_lists, asked=st.lists(paths, min_size=10, max_size=25), sockets=st.booleans())
def test_the_profile_decides_like_the_rules(rules, asked, sockets):
    found = profile(plan_macos(rules, fold_case=False, unix_sockets=sockets))
    for path in {*asked, *(rule[0] for rule in rules)}:
        access = decided(rules, path)
        assert found.allows("file-read-data", path) == (access != "none"), (path, access)
        assert found.allows("process-exec", path) == (access != "none")
        assert found.allows("file-write-create", path) == (access == "write")
        assert found.allows("file-write-mode", path) == (access == "write")
        if found.allows("file-write-unlink", path):
            assert access == "write"
        if path != "/":
            reachable = sockets and access == "write"
            assert found.allows("network-bind", local=path) == reachable
            assert found.allows("network-outbound", remote=path) == reachable


small_rules = st.lists(
    st.tuples(st.sampled_from(["/", *SMALL]), accesses, st.just("test")), min_size=1, max_size=6
)


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rules=small_rules,
    chosen=st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2, unique=True),
    sockets=st.booleans(),
)
@example(
    rules=[("/", "write", "1"), ("/a/b/a", "write", "2"), ("/a/b/a/b", "read", "3")],
    chosen=["/a/*"],
    sockets=True,
)
@example(rules=[("/", "write", "1"), ("/a/b/a", "write", "2")], chosen=["/**/b"], sockets=False)
def test_patterns_count_with_the_depth_of_what_they_name(rules, chosen, sockets):
    patterns = [(pattern, "test") for pattern in chosen]
    plan = plan_macos(rules, deny_globs=patterns, fold_case=False, unix_sockets=sockets)
    found = profile(plan)
    spread = any("also holds in" in note for note in plan.notes)
    for path in [*SMALL, *(f"{path}/b" for path in SMALL)]:
        access = decided(rules, path, patterns)
        for allowed, expected in (
            (found.allows("file-read-data", path), access != "none"),
            (found.allows("file-write-create", path), access == "write"),
            (found.allows("network-outbound", remote=path), sockets and access == "write"),
        ):
            assert allowed <= expected if spread else allowed == expected, (path, access)


@pytest.mark.slow
@roomy
@given(rules=rule_lists, asked=st.lists(paths, min_size=5, max_size=10))
def test_folding_case_closes_more_and_opens_nothing(rules, asked):
    exact = profile(plan_macos(rules, fold_case=False))
    folded = profile(plan_macos(rules))
    for path in {*asked, *(rule[0] for rule in rules)}:
        for operation in ("file-read-data", "file-write-create"):
            assert folded.allows(operation, path) <= exact.allows(operation, path)
    for path, *_ in rules:
        assert folded.allows("file-write-create", path) == (decided(rules, path) == "write")


def test_a_rule_of_its_own_keeps_a_folder_open_whatever_the_case_of_its_neighbour():
    rules = [("/w", "write", "1"), ("/w/docs", "read", "2"), ("/w/DOCS", "write", "3")]
    found = profile(plan_macos(rules))
    assert found.allows("file-write-create", "/w/DOCS/x")
    assert not found.allows("file-write-create", "/w/docs/x")
    assert not found.allows("file-write-create", "/w/Docs/x")


@pytest.mark.slow
@roomy
@given(
    pattern=st.sampled_from(PATTERNS),
    path=st.lists(
        st.sampled_from(["a", "b", "bb", ".a", "x y", "é", "[a]"]), min_size=1, max_size=4
    ).map(lambda parts: "/" + "/".join(parts)),
)
def test_a_pattern_closes_what_it_names_and_everything_below(pattern, path):
    found = profile(plan_macos([("/", "write", "test")], deny_globs=[(pattern, "test")]))
    closed = decided([("/", "write", "test")], path, [(pattern, "test")]) == "none"
    assert closed == globs.compiled(pattern).touches(path)
    assert found.allows("file-read-data", path) == (not closed)
    assert found.allows("file-write-create", path) == (not closed)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("/w/*.env", ["/w/.env", "/w/a.env", "/w/a.env/x"], ["/w/a/b.env", "/w/a.envy", "/wx.env"]),
        ("/w/**/*.env", ["/w/.env", "/w/a/b/c.env"], ["/w/a.enva", "/v/a.env"]),
        ("/w/a**b/x", ["/w/ab/x", "/w/a1b/x"], ["/w/a/b/x"]),
        ("/w/?.k", ["/w/a.k", "/w/é.k"], ["/w/aa.k", "/w//.k"]),
        ("/w/[a-c!]x", ["/w/ax", "/w/!x"], ["/w/dx"]),
        ("/w/[!a]x", ["/w/bx", "/w/-x"], ["/w/ax", "/w//x"]),
        ("/w/[+-9]x", ["/w/5x", "/w/-x", "/w/.x"], ["/w//x", "/w/ax"]),
        ("/w/[ab-]x", ["/w/-x", "/w/bx"], ["/w/cx"]),
        ("/w/\\*x", ["/w/\\ax"], ["/w/*x", "/w/ax"]),
        ("/w/[*]x", ["/w/*x"], ["/w/ax"]),
        ("/w/a/**", ["/w/a", "/w/a/b"], ["/w/ab"]),
        ("/w/{{x}}*", ["/w/{{x}}y"], ["/w/xy"]),
        ('/w/a"b*', ['/w/a"bc'], ["/w/acb"]),
        ("/w/a\nb*", ["/w/a\nbc"], ["/w/ab"]),
        ("/w/$(x).^|+*", ["/w/$(x).^|+y"], ["/w/$(x)a^|+y"]),
    ],
)
def test_patterns_mean_what_they_say(pattern, inside, outside):
    rules = [("/", "read", "root"), ("/w", "write", "test")]
    found = profile(plan_macos(rules, deny_globs=[(pattern, "settings")]))
    assert [path for path in inside if found.allows("file-read-data", path)] == []
    assert [path for path in outside if not found.allows("file-read-data", path)] == []


def test_a_pattern_holds_for_the_given_and_the_resolved_folder():
    plan = workspace(deny_globs=[("/tmp/*.pem", "settings")])
    found = profile(plan)
    assert not found.allows("file-read-data", "/private/tmp/x.pem")
    assert not found.allows("file-read-data", "/tmp/x.pem")
    assert found.allows("file-read-data", "/private/tmp/x.txt")


def test_a_writable_folder_inside_a_read_only_one_is_open_and_so_on_downwards():
    chain = [
        ("/", "read"),
        ("/w", "write"),
        ("/w/r", "read"),
        ("/w/r/w", "write"),
        ("/w/r/w/n", "none"),
        ("/w/r/w/n/w", "write"),
    ]
    found = profile(plan_macos([(path, access, "test") for path, access in reversed(chain)]))
    for path, access in chain:
        assert found.allows(
            "file-write-create", path + "/new".lstrip() if path != "/" else "/new"
        ) == (access == "write")
        assert found.allows("file-read-data", path) == (access != "none")


def test_rules_are_written_shallow_first_and_patterns_last():
    rules = [("/w/r/w", "write", "3"), ("/w/r", "read", "2"), ("/w", "write", "1")]
    plan = plan_macos(rules, deny_globs=[("/w/*.x", "g")])
    assert [rule.origin for rule in plan.rules] == ["1", "2", "3", "g"]
    places = [plan.profile.index(f'"{rule.parameter}"') for rule in plan.rules[:3]]
    assert places == sorted(places)
    assert plan.profile.index('(regex #"^/w/[^/]*[.]x') > places[-1]


# What must hold ----------------------------------------------------------------------------------


def test_what_no_rule_names_is_denied():
    found = profile(plan_macos([]))
    assert not found.allows("file-read-data", "/private/etc/passwd")
    assert not found.allows("file-write-create", "/private/tmp/x")
    assert not found.allows("process-exec", "/bin/sh")
    assert not found.allows("mach-lookup", name="global:com.apple.coreservices.launchservicesd")
    assert not found.allows("mach-lookup", name="xpc:com.apple.helper")
    assert not found.allows("signal", target="others")
    assert not found.allows("sysctl-write", name="kern.hostname")
    assert not found.allows("system-fcntl", name="80")
    assert not found.allows("file-link", f"{WS}/x")


@pytest.mark.parametrize("name", PROTECTED)
def test_protected_folders_cannot_be_made_changed_moved_or_spelled_otherwise(name):
    found = profile(workspace())
    for root in (WS, "/private/tmp", TMPDIR):
        for spelling in (name, name.upper(), name.title()):
            for path in (f"{root}/{spelling}", f"{root}/{spelling}/hooks/pre-commit"):
                for operation in (
                    "file-write-create",
                    "file-write-data",
                    "file-write-unlink",
                    "file-write-mode",
                ):
                    assert not found.allows(operation, path, kind="DIRECTORY"), (operation, path)
        assert found.allows("file-read-data", f"{root}/{name}/config")
        assert found.allows("file-write-create", f"{root}/x{name}")
        assert found.allows("file-write-create", f"{root}/{name}ignore")


def test_folders_above_a_nested_carve_out_keep_their_names():
    rules = [("/", "read", "root"), (WS, "write", "ws"), (f"{WS}/a/b/keep", "read", "settings")]
    found = profile(plan_macos(rules))
    for path in (WS, f"{WS}/a", f"{WS}/a/b", f"{WS}/a/b/keep"):
        assert not found.allows("file-write-unlink", path, kind="DIRECTORY"), path
    assert found.allows("file-write-unlink", f"{WS}/a/b/other", kind="DIRECTORY")
    assert found.allows("file-write-create", f"{WS}/a/b/other")


def test_a_writable_file_can_be_replaced_but_a_writable_folder_cannot():
    found = profile(plan_macos([("/", "read", "root"), ("/w/file", "write", "settings")]))
    assert found.allows("file-write-unlink", "/w/file")
    assert not found.allows("file-write-unlink", "/w/file", kind="DIRECTORY")


def moves(found, world):
    """Every rename of a folder or file that the profile allows, as a function on paths."""
    for old, new in itertools.permutations(world, 2):
        if new.startswith(old + "/") or not found.allows("file-write-create", new):
            continue
        if found.allows("file-write-unlink", old, kind="DIRECTORY"):
            yield old, new


def renamed(path, old, new):
    return new + path[len(old) :] if path == old or path.startswith(old + "/") else path


TWO_ROOTS = [("/", "read", "test"), ("/a", "write", "test"), ("/b", "write", "test")]


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rules=small_rules,
    patterns=st.lists(st.sampled_from(PATTERNS), max_size=1),
)
@example(rules=TWO_ROOTS, patterns=["/a/**/b"])
@example(rules=TWO_ROOTS, patterns=["/a/**/b/*"])
@example(rules=[("/", "read", "test"), ("/a", "write", "test")], patterns=["/a/a/**/b"])
def test_no_two_renames_make_a_path_more_open(rules, patterns):
    found = profile(
        plan_macos(rules, deny_globs=[(pattern, "test") for pattern in patterns], fold_case=False)
    )
    world = [*SMALL, "/a/a/b/a"]
    allowed = list(moves(found, world))

    def rights(path):
        return found.allows("file-read-data", path), found.allows("file-write-data", path)

    for start in world:
        before = rights(start)
        # what the command owns anyway is free to move
        places = {start} if before != (True, True) else set()
        for _ in range(2):
            places |= {renamed(place, old, new) for place in places for old, new in allowed}
        for place in places:
            after = rights(place)
            assert after[0] <= before[0], f"{start} becomes readable as {place}"
            assert after[1] <= before[1], f"{start} becomes writable as {place}"


def test_a_link_on_the_way_keeps_its_target_and_its_folder():
    links = {f"{WS}/.git": "/Users/me/repos/ws.git", f"{WS}/sub/link": "/Users/me/other"}
    rules = [
        ("/", "read", "root"),
        (WS, "write", "ws"),
        (f"{WS}/.git", "read", "protected"),
        (f"{WS}/sub/link/x", "none", "settings"),
    ]
    plan = plan_macos(rules, canonical=resolver(links))
    found = profile(plan)
    for link in links:
        assert not found.allows("file-write-unlink", link, kind="SYMLINK")
        assert not found.allows("file-write-create", link)
    assert not found.allows("file-write-unlink", f"{WS}/sub", kind="DIRECTORY")
    assert not found.allows("file-read-data", "/Users/me/other/x")
    assert not found.allows("file-write-create", "/Users/me/repos/ws.git/hooks/x")


def test_a_link_planted_in_a_writable_folder_opens_nothing():
    links = {f"{WS}/.codex": "/Users/me/.ssh", f"{WS}/out": "/Users/me/out"}
    rules = [
        (WS, "write", "ws"),
        (f"{WS}/.codex", "read", "protected"),
        (f"{WS}/out", "write", "root two"),
    ]
    plan = plan_macos(rules, minimal=True, canonical=resolver(links))
    found = profile(plan)
    assert not found.allows("file-read-data", "/Users/me/.ssh/id_ed25519")
    assert not found.allows("file-write-create", "/Users/me/out/x")
    assert [note.split(" ")[0] for note in plan.notes] == ["/Users/me/.ssh", "/Users/me/out"]


def test_a_planted_link_still_closes():
    links = {f"{WS}/link": f"{WS}/real"}
    rules = [("/", "read", "root"), (WS, "write", "ws"), (f"{WS}/link", "read", "settings")]
    found = profile(plan_macos(rules, canonical=resolver(links)))
    assert not found.allows("file-write-create", f"{WS}/real/x")


def test_missing_writable_roots_are_left_out_and_said():
    plan = workspace(missing=lambda path: path.startswith(TMPDIR))
    assert not any(value.startswith(TMPDIR) for value in plan.parameters.values())
    assert plan.notes == (f"{TMPDIR} (:tmpdir) is left out: it does not exist",)
    assert not profile(plan).allows("file-write-create", f"{TMPDIR}/x")


def test_system_links_are_resolved():
    plan = workspace()
    assert "/private/tmp" in plan.parameters.values()
    assert "/tmp" not in plan.parameters.values()


@pytest.mark.slow
@roomy
@given(rules=rule_lists)
def test_every_parameter_is_defined_and_used_and_no_path_is_text(rules):
    plan = plan_macos(rules, minimal=True, network="on", unix_sockets=True, tag="t")
    found = profile(plan)  # an undefined parameter is a KeyError, an open bracket an error
    assert found.used == set(plan.parameters)
    strings = re.sub(r'#"[^"]*"', "", plan.profile)
    assert 'q"u' not in plan.profile
    assert "back\\slash" not in strings
    assert "new\nline" not in plan.profile
    assert plan.prefix[:3] == ("/usr/bin/sandbox-exec", "-p", plan.profile)
    assert plan.prefix[3:-1] == tuple(f"-D{key}={value}" for key, value in plan.parameters.items())
    assert plan.prefix[-1] == "--"


def test_hostile_paths_and_origins_leave_no_trace_in_the_text():
    nasty = '/w/x")) (allow default) ;\n(allow file-write*)\\'
    plain = plan_macos([("/w/plain", "write", "a")], fold_case=False)
    plan = plan_macos([(nasty, "write", 'origin\n(allow default) "')], fold_case=False)
    assert plan.profile == plain.profile
    assert plan.parameters["WRITABLE_0"] == nasty


# Reads ------------------------------------------------------------------------------------------


def test_minimal_reads_hold_programs_and_no_personal_folder():
    found = profile(plan_macos([(WS, "write", "ws")], minimal=True, canonical=resolver(MAC_LINKS)))
    for path in (
        "/bin/sh",
        "/usr/lib/dyld",
        "/System/Library/x",
        "/opt/homebrew/bin/python3",
        "/private/etc/hosts",
    ):
        assert found.allows("file-read-data", path), path
        assert found.allows("process-exec", path), path
        assert not found.allows("file-write-data", path), path
    for path in (
        "/Users/me/.ssh/id",
        "/private/tmp/x",
        "/opt/homebrew/var/db",
        "/Library/Keychains/x",
    ):
        assert not found.allows("file-read-data", path), path
        assert not found.allows("process-exec", path), path
    for path in ("/Users", "/Users/me", "/tmp"):
        assert found.allows("file-read-metadata", path), path
        assert path == "/tmp" or not found.allows("file-read-data", path), path


def test_a_rule_wins_over_minimal():
    rules = [("/usr/bin", "none", "settings"), ("/opt/homebrew/bin/secret", "none", "settings")]
    found = profile(plan_macos(rules, minimal=True))
    assert not found.allows("file-read-data", "/usr/bin/env")
    assert not found.allows("file-read-data", "/opt/homebrew/bin/secret")
    assert found.allows("file-read-data", "/opt/homebrew/bin/git")


def test_minimal_paths_are_canonical_and_only_used_where_reads_are_restricted():
    assert all(posixpath.normpath(path) == path for path in MINIMAL_READS)
    assert plan_macos(read_only(), minimal=True).profile == plan_macos(read_only()).profile


def test_the_way_to_a_reopened_folder_can_be_looked_at_but_not_listed():
    rules = [("/", "read", "root"), ("/Users", "none", "settings"), (WS, "write", "ws")]
    found = profile(plan_macos(rules))
    assert found.allows("file-read-metadata", "/Users/me")
    assert not found.allows("file-read-data", "/Users/me")
    assert not found.allows("file-read-metadata", "/Users/you")


def test_so_can_the_way_through_a_folder_that_a_pattern_closes():
    rules = [("/", "read", "root"), ("/w", "write", "ws"), ("/w/x/build/out", "write", "settings")]
    found = profile(plan_macos(rules, deny_globs=[("/w/*/build", "settings")]))
    assert found.allows("file-write-create", "/w/x/build/out/made")
    assert found.allows("file-read-metadata", "/w/x/build")
    assert not found.allows("file-read-data", "/w/x/build")
    assert not found.allows("file-read-metadata", "/w/x/build/other")


def test_devices_and_terminals_work_without_any_rule():
    found = profile(plan_macos([]))
    assert found.allows("file-write-data", "/dev/null", kind="CHARACTER-DEVICE")
    assert not found.allows("file-write-data", "/dev/null")
    assert found.allows("file-read-data", "/dev/urandom")
    assert found.allows("file-ioctl", "/dev/ttys003")
    assert not found.allows("file-write-data", "/dev/ttys003")
    assert found.allows(
        "file-write-data", "/dev/ttys003", extensions=frozenset({"com.apple.sandbox.pty"})
    )
    assert not found.allows("file-write-data", "/dev/disk0", kind="BLOCK-DEVICE")


# Network ----------------------------------------------------------------------------------------

OUTSIDE, HERE, V6, PROXY = "192.0.2.1:443", "127.0.0.1:5432", "[::1]:5432", "localhost:3128"


def connects(plan):
    found = profile(plan)
    return [
        there
        for there in (OUTSIDE, HERE, V6, PROXY)
        if found.allows("network-outbound", remote=there)
    ]


@pytest.mark.parametrize(
    ("network", "loopback", "expected"),
    [
        ("off", False, []),
        ("off", True, [HERE, V6, PROXY]),
        ("none", True, []),
        ("on", False, [OUTSIDE, HERE, V6, PROXY]),
        ("proxy", False, [PROXY]),
        ("proxy", True, [HERE, V6, PROXY]),
    ],
)
def test_a_command_connects_where_the_mode_says(network, loopback, expected):
    plan = workspace(network=network, loopback=loopback, ports=[3128, 3129])
    assert connects(plan) == expected
    assert profile(plan).allows("network-bind", local="127.0.0.1:8000") == (
        network == "on" or (loopback and network != "none")
    )
    assert profile(plan).allows("network-inbound", local="192.0.2.9:80") == (network == "on")


def test_a_proxy_without_ports_leaves_the_network_closed_and_says_so():
    plan = workspace(network="proxy")
    assert connects(plan) == []
    assert plan.notes == ("no proxy is running: the network stays closed",)


def test_loopback_is_said_to_be_the_machines_own():
    assert any("loopback" in note for note in workspace(loopback=True).notes)


@pytest.mark.parametrize("network", ["off", "on", "proxy"])
def test_sockets_in_the_file_system_follow_the_write_rules(network):
    closed = profile(workspace(network=network, ports=[1]))
    opened = profile(workspace(network=network, ports=[1], unix_sockets=True))
    for path in ("/private/var/run/docker.sock", f"{WS}/.git/x.sock", "/private/tmp/.codex/x"):
        assert not opened.allows("network-outbound", remote=path)
        assert not opened.allows("network-bind", local=path)
    assert opened.allows("network-bind", local=f"{WS}/x.sock")
    assert opened.allows("network-outbound", remote=f"{WS}/x.sock")
    assert not closed.allows("network-outbound", remote=f"{WS}/x.sock")


@pytest.mark.parametrize(
    ("network", "flagged"), [("off", True), ("none", True), ("proxy", False), ("on", False)]
)
def test_the_command_is_told_about_its_sandbox(network, flagged):
    expected = {"CODEX_SANDBOX": "seatbelt"}
    if flagged:
        expected["CODEX_SANDBOX_NETWORK_DISABLED"] = "1"
    assert workspace(network=network, ports=[1]).environment == expected


# Tracing and refusing ----------------------------------------------------------------------------


def test_a_denial_leads_back_to_its_rule():
    closed = [(f"{WS}/*.pem", "settings:3"), (f"{WS}/keys/*", "settings:4")]
    plan = workspace(tag="run-7", deny_globs=closed)
    found = profile(plan)

    def origin(operation, path, **more):
        from sandbox.seatbelt import Request

        verdict = found.decide(Request(operation, path, **more))
        assert not verdict.allowed
        rule = plan.rule_named(verdict.message)
        return rule.origin if rule else verdict.message

    assert origin("file-write-create", f"{WS}/.git/config") == "protected: .git"
    assert origin("file-read-data", f"{WS}/k.pem") == "settings:3"
    assert origin("file-write-unlink", WS, kind="DIRECTORY") == "workspace root"
    assert origin("file-write-unlink", f"{WS}/keys", kind="DIRECTORY") == "settings:4"
    assert origin("file-write-create", "/Users/me/x") == "run-7 default"
    assert plan.rule_named("other GLOB_0") is None
    rule = plan.rule_for(f"{WS}/.git/config")
    assert rule is not None
    assert rule.path == f"{WS}/.git"


def test_without_a_tag_the_profile_carries_no_messages():
    plan = workspace()
    assert "with message" not in plan.profile
    assert plan.rule_named(" WRITABLE_0") is None


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([("relative", "read", "config.toml:3")], r"rule 'relative' \(config.toml:3\): .*absolute"),
        ([("/a/../b", "read", "flag")], r"rule '/a/../b' \(flag\): .*normal"),
        ([("/a//b", "read", "flag")], "normal"),
        ([("/a\0b", "read", "flag")], "file name"),
        ([("/a\udcff", "read", "flag")], "file name"),
        ([("/a", "append", "flag")], "'append' is not an access"),
    ],
)
def test_a_rule_that_cannot_be_held_is_refused_by_name(rules, words):
    with pytest.raises(SandboxUnavailable, match=words) as caught:
        plan_macos(rules)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"deny_globs": [("*.pem", "settings:9")]}, r"glob '\*.pem' \(settings:9\): .*absolute"),
        ({"deny_globs": [("/w/[ab", "s")]}, "character class"),
        ({"deny_globs": [("/w/[]", "s")]}, "character class"),
        ({"deny_globs": [("/w/[z-a]", "s")]}, "runs backwards"),
        ({"deny_globs": [("/w/{a,b}", "s")]}, "braces"),
        ({"network": "some"}, "network 'some'"),
        ({"network": "proxy", "ports": [70000]}, "proxy port 70000"),
        ({"tag": 'x" y'}, "tag"),
    ],
)
def test_settings_that_cannot_be_held_are_refused(wrong, words):
    with pytest.raises(SandboxUnavailable, match=words):
        plan_macos(read_only(), **wrong)


@pytest.mark.slow
def test_ten_thousand_carve_outs_are_refused_in_one_line_and_a_thousand_are_not():
    def rules(count):
        return [
            (WS, "write", "ws"),
            *((f"{WS}/folder/{n}/keep", "read", f"line {n}") for n in range(count)),
        ]

    plan = plan_macos(rules(1000))
    assert sum(len(part.encode()) for part in plan.prefix) < ARGUMENT_BYTES + 65536
    with pytest.raises(
        SandboxUnavailable,
        match=r"rule '/Users/me/ws/folder/\d+/keep' \(line \d+\) and those after it",
    ) as caught:
        plan_macos(rules(10_000))
    assert "\n" not in str(caught.value)


# Golden files -----------------------------------------------------------------------------------

GOLDENS = {
    "read-only": lambda: plan_macos(read_only()),
    "workspace-write": workspace,
    "nested": lambda: plan_macos(
        [
            *workspace_write(WS, slash_tmp=False),
            (f"{WS}/docs", "read", "config:4"),
            (f"{WS}/docs/drafts", "write", "config:5"),
            (f"{WS}/a/b/secrets", "none", "config:6"),
        ],
        deny_globs=[(f"{WS}/**/*.env", "config:7"), (f"{WS}/keys/*.pem", "config:8")],
        unix_sockets=True,
        tag="octavo-1",
    ),
    "minimal": lambda: plan_macos(
        [(WS, "write", "ws"), ("/tmp", "write", ":slash_tmp"), ("/opt/data", "read", "config:2")],
        minimal=True,
        canonical=resolver(MAC_LINKS),
    ),
    "network-on": lambda: workspace(network="on"),
    "proxy": lambda: workspace(network="proxy", ports=[3128, 3129], loopback=True),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_profiles_are_the_golden_ones(name):
    plan = GOLDENS[name]()
    lines = [f"; -D{key}={value}" for key, value in plan.parameters.items()]
    lines += [f"; {key}={value}" for key, value in plan.environment.items()]
    lines += [f"; note: {note}" for note in plan.notes]
    text = plan.profile + "\n" + "\n".join(lines) + "\n"
    assert profile(plan).rules  # it parses
    path = GOLDEN / f"{name}.sb"
    if os.environ.get("OCTAVO_REWRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text
