import os

from hypothesis import given
from hypothesis import strategies as st

from octavo.config.look import DiskLook
from octavo.policy.links import Seen, resolve
from policy.disk import Disk

NAMES = st.sampled_from(["a", "b", "c"])
TARGETS = st.lists(st.sampled_from(["a", "b", "..", "."]), min_size=1, max_size=3).map("/".join)


def test_links_are_followed_like_the_kernel_does():
    disk = Disk("/real/deep", links={"/ws/link": "../real/deep", "/top": "/ws/link"})
    found = resolve("/top/../x", disk)
    assert found.path == "/real/x"
    assert found.links == ("/top", "/ws/link")


def test_a_circle_is_said_to_be_endless():
    disk = Disk(links={"/a": "/b", "/b": "a"})
    assert resolve("/a/x", disk).endless


def test_names_below_a_missing_one_are_kept():
    assert resolve("/gone/./a/b", Disk()).path == "/gone/a/b"
    assert resolve("/gone/a/../../b", Disk(links={"/b": "/c"})).path == "/c"


def test_the_disk_is_asked_once_for_each_path():
    asked = []

    class Counting(Disk):
        def kind(self, path):
            asked.append(path)
            return super().kind(path)

    seen = Seen(Counting("/a/b"))
    resolve("/a/b", seen)
    resolve("/a/b", seen)
    assert asked == ["/a", "/a/b"]


@given(
    st.lists(st.tuples(NAMES, NAMES, TARGETS), max_size=5, unique_by=lambda t: t[:2]),
    st.lists(st.sampled_from(["a", "b", "c", ".."]), max_size=5).map("/".join),
)
def test_resolving_agrees_with_the_real_disk(tmp_path_factory, links, path):
    root = os.path.realpath(tmp_path_factory.mktemp("links"))
    for folder in "abc":
        os.mkdir(f"{root}/{folder}")
    for folder, name, target in links:
        os.symlink(target, f"{root}/{folder}/{name}")
    found = resolve(f"{root}/{path}", DiskLook())
    if not found.endless:
        assert found.path == os.path.realpath(f"{root}/{path}")
    else:
        assert os.path.islink(found.path)
