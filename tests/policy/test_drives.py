"""Windows paths in the form the policy reckons with, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.drives import inward, is_named, outward
from octavo.policy.paths import normalise, under


@pytest.mark.parametrize(
    ("written", "inner"),
    [
        ("C:\\work\\a", "/C:/work/a"),
        ("c:/work/a", "/C:/work/a"),
        ("C:\\", "/C:"),
        ("C:", "/C:"),
        ("\\\\?\\C:\\work", "/C:/work"),
        ("\\\\?\\UNC\\server\\share\\x", "/UNC/server/share/x"),
        ("\\\\server\\share\\x", "/UNC/server/share/x"),
        ("//server/share", "/UNC/server/share"),
        ("src\\a", "src/a"),
        ("~\\x", "~/x"),
        (":cwd", ":cwd"),
        (":cwd/**/*.env", ":cwd/**/*.env"),
        ("/tmp", "/tmp"),
        ("C:work", "C:work"),
        ("\\\\.\\PhysicalDrive0", "//./PhysicalDrive0"),
        ("C:\\w\\", "/C:/w"),
    ],
)
def test_what_is_written_becomes_a_path_of_this_room(written, inner):
    assert inward(written) == inner
    assert inward(inner) == inner


@pytest.mark.parametrize("path", ["C:\\work\\a b", "C:\\", "\\\\server\\share\\x", "Z:\\ü"])
def test_there_and_back(path):
    assert outward(inward(path)) == path


@pytest.mark.parametrize(
    ("path", "expected"), [("/C:/x", True), ("/UNC/s/t", True), ("/tmp", False), ("/", False)]
)
def test_only_drives_and_shares_are_named(path, expected):
    assert is_named(path) is expected


names = st.lists(st.text("abcXYZ .~%", min_size=1, max_size=6), max_size=4)


@given(st.sampled_from("CdZ"), names)
def test_a_folder_stays_above_what_lies_in_it(drive, parts):
    root = f"{drive}:\\root"
    path = "\\".join([root, *parts])
    assert under(normalise(inward(path)), normalise(inward(root))) or ".." in parts
    assert outward(inward(path)).startswith(root[0].upper())
