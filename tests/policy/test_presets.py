import pytest

from octavo.policy.presets import MODES, preset, writable_root
from octavo.protocol.errors import PolicyError, UsageError
from octavo.protocol.permissions import Access


def files(*args, **kwargs):
    return {rule.path: rule.access.value for rule in preset(*args, **kwargs).files}


def test_the_three_modes():
    assert files("read-only") == {":root": "read"}
    assert files("workspace-write") == {
        ":root": "read",
        ":workspace_roots": "write",
        ":slash_tmp": "write",
        ":tmpdir": "write",
    }
    assert preset("danger-full-access").unrestricted
    assert [preset(mode).network.enabled for mode in MODES] == [False, False, True]


def test_workspace_write_takes_folders_and_leaves_temporary_ones_out():
    found = files(
        "workspace-write",
        writable_roots=["/data/", "~/cache", "/a\nb\udc80"],
        exclude_tmpdir=True,
        exclude_slash_tmp=True,
    )
    assert found == {
        ":root": "read",
        ":workspace_roots": "write",
        "/data": "write",
        "~/cache": "write",
        "/a\nb\udc80": "write",
    }


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("data", UsageError, 'writable folder "data": the path is relative'),
        ("./data", UsageError, "relative"),
        ("", UsageError, "relative"),
        ("~/../etc", UsageError, "`..` cannot follow `~`"),
        ("/a\0", UsageError, "NUL"),
        ("/", PolicyError, "`/` is the whole disk"),
        ("/x/..", PolicyError, "whole disk"),
    ],
)
def test_folders_no_one_can_mean_are_refused(path, kind, message):
    with pytest.raises(kind) as caught:
        preset("workspace-write", writable_roots=[path])
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_unknown_mode_names_the_nearest():
    with pytest.raises(UsageError, match=r'did you mean "workspace-write"\?'):
        preset("workspace-wirte")


def test_a_rule_may_be_given_instead_of_a_path():
    rule = writable_root("/data")
    assert rule.access is Access.WRITE
    assert writable_root(rule) is rule
