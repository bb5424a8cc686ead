"""Steps as values: every name has a step, every step a sentence, places are made safely."""

import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("mounts are Linux's", allow_module_level=True)

from octavo.sandbox.linux import view

pytestmark = pytest.mark.linux

SPECS = {
    "identity": ("identity", 1000, 1000),
    "hold": ("hold", "/work", "dir"),
    "hold-pin": ("hold-pin", "/work/a"),
    "hold-devices": ("hold-devices", ("dri",)),
    "overlay": ("overlay", "/work", "/layers/upper", "/layers/work"),
    "overlay-under": ("overlay-under", "/work"),
    "seal": ("seal", True),
    "new-root": ("new-root",),
    "enter-root": ("enter-root",),
    "place": ("place", "/usr", "dir"),
    "symlink": ("symlink", "/bin", "usr/bin"),
    "devices": ("devices", "256m"),
    "pin": ("pin", "/work/a"),
    "pin-open": ("pin-open", "/work/a"),
    "write": ("write", "/work"),
    "read": ("read", "/work/.git"),
    "link": ("link", "/work/link"),
    "mask": ("mask", "/secret", "dir", ()),
    "loopback": ("loopback",),
}


def test_every_step_is_described():
    assert set(SPECS) == set(view.STEPS)


@pytest.mark.parametrize("name", SPECS)
def test_a_step_says_in_words_what_it_does(name):
    text = view.step(SPECS[name]).describe()
    assert text
    assert "{" not in text
    for value in SPECS[name][1:2]:
        if isinstance(value, str):
            assert value in text


def test_an_unknown_step_is_an_error():
    with pytest.raises(KeyError):
        view.step(("nonsense",))


@pytest.fixture
def root(tmp_path):
    fd = os.open(tmp_path, os.O_PATH)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(("path", "kind"), [("/a/b/c", "dir"), ("/a/file", "file"), ("x", "file")])
def test_a_place_is_made_with_its_parents(tmp_path, root, path, kind):
    view.make_place(root, path, kind)
    made = tmp_path / path.strip("/")
    assert made.is_dir() if kind == "dir" else made.is_file()
    view.make_place(root, path, kind)  # twice is fine


def test_a_place_never_goes_through_a_symlink(tmp_path, root):
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to("outside")
    with pytest.raises(OSError, match=r"."):
        view.make_place(root, "/link/x", "dir")
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(
    ("planned", "there"), [("dir", "file"), ("file", "link"), ("link", "dir"), ("file", "other")]
)
def test_what_was_swapped_since_planning_stops_the_launch(tmp_path, planned, there):
    path = tmp_path / "x"
    {"dir": path.mkdir, "file": path.touch, "link": lambda: path.symlink_to("/"),
     "other": lambda: os.mkfifo(path)}[there]()  # fmt: skip
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        view.check_kind(fd, there, str(path))
        with pytest.raises(OSError, match=f"from {planned} to {there}"):
            view.check_kind(fd, planned, str(path))
    finally:
        os.close(fd)
