"""A settled profile becomes the planner's rules: patterns expanded, limits said."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("paths as POSIX has them", allow_module_level=True)

from octavo import PermissionProfile
from octavo.sandbox import request
from octavo.sandbox.spec import Refused
from octavo.sandbox.wish import Wish


def settled(folder, filesystem, **more):
    mapping = {"filesystem": {":root": "read", ":cwd": "write", **filesystem}, **more}
    environ = {**os.environ, "HOME": str(folder.parent / "nobody")}  # without credentials
    return PermissionProfile.from_mapping(mapping, cwd=folder).settled(environ=environ)


def hidden(policy):
    return [path for path, access, _ in policy.rules if access == "none"]


def test_a_pattern_becomes_what_it_names_now(workspace):
    for name in ("a.pem", "b.pem", "sub/c.pem", "sub/other"):
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).touch()
    policy = request.policy_of(settled(workspace, {"./**/*.pem": "none"}), Wish())
    assert sorted(hidden(policy)) == [str(workspace / n) for n in ("a.pem", "b.pem", "sub/c.pem")]


def test_a_folder_that_matches_is_hidden_as_a_whole(workspace):
    (workspace / "secret/deep").mkdir(parents=True)
    (workspace / "secret/deep/secret").touch()
    policy = request.policy_of(settled(workspace, {"./**/secret": "none"}), Wish())
    assert hidden(policy) == [str(workspace / "secret")]


def test_patterns_do_not_follow_symlinks(workspace, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.pem").touch()
    (workspace / "link").symlink_to(tmp_path / "outside")
    assert hidden(request.policy_of(settled(workspace, {"./**/*.pem": "none"}), Wish())) == []


def test_a_folder_nobody_may_list_is_no_error(workspace):
    (workspace / "shut").mkdir(mode=0)
    request.policy_of(settled(workspace, {"./**/*.pem": "none"}), Wish())
    assert request.listing(str(workspace / "missing")) == []


def test_too_many_matches_are_refused_with_the_pattern(workspace, monkeypatch):
    monkeypatch.setattr(request, "MOST_MATCHES", 3)
    for n in range(5):
        (workspace / f"{n}.pem").touch()
    with pytest.raises(Refused) as caught:
        request.policy_of(settled(workspace, {"./*.pem": "none"}), Wish())
    assert "*.pem" in caught.value.rule
    assert "glob_scan_max_depth" in caught.value.remedy


@pytest.mark.parametrize(("network", "strict", "expected"), [
    (False, False, "off"), (False, True, "none"), (True, False, "on"), (True, True, "on"),
    ({"allow": ["host.example"]}, False, "off"), ({"allow": ["host.example"]}, True, "none"),
])  # fmt: skip
def test_rules_per_host_are_never_widened_to_the_whole_network(
    workspace, network, strict, expected
):
    policy = request.policy_of(settled(workspace, {}, network=network), Wish(strict_network=strict))
    assert policy.network == expected


def test_wishes_arrive(workspace):
    wish = Wish(watch_denials=True, nested_namespaces=True, devices=("dri",))
    policy = request.policy_of(settled(workspace, {}), wish)
    assert (policy.notify, policy.nested, policy.devices) == (True, True, ("dri",))


def test_protected_rules_are_marked_for_the_planner(workspace):
    (workspace / ".git").mkdir()
    rules = request.policy_of(settled(workspace, {}), Wish()).rules
    origins = {os.path.basename(path): origin for path, _, origin in rules}
    assert origins[".git"].startswith("protected")
