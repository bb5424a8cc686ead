from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.paths import (
    components,
    deepest,
    depth,
    join,
    normalise,
    parent,
    printable,
    stronger,
    table,
    under,
    upwards,
)
from octavo.protocol.permissions import Access, FileRule, RuleRef

NAMES = st.sampled_from(["a", "b", "..", ".", "", "c\n", "\udc80", "-", " "])
RAW = st.lists(NAMES, max_size=8).map("/".join)
PATHS = st.lists(st.sampled_from("abc"), max_size=5).map(lambda names: "/" + "/".join(names))
REF = RuleRef(text="r", source="program")


def rule(path, access):
    return FileRule(path=path, access=access, ref=REF)


@given(RAW)
def test_normalising_twice_is_normalising_once(path):
    once = normalise(path)
    assert normalise(once) == once
    assert once.startswith("/") == path.startswith("/")


@given(RAW)
def test_a_normal_absolute_path_is_its_components(path):
    normal = normalise("/" + path)
    names = components(normal)
    assert ".." not in names
    assert "." not in names
    assert "" not in names
    assert "/" + "/".join(names) == normal
    assert depth(normal) == len(names)


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/", "/"),
        ("//", "/"),
        ("//a//b/", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/../..", "/"),
        ("", "."),
        ("a/..", "."),
        ("../a", "../a"),
        ("a/../../b", "../b"),
    ],
)
def test_paths_lose_what_means_nothing(path, normal):
    assert normalise(path) == normal


def test_a_nul_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        normalise("/a\0b")


def test_join_keeps_an_absolute_path_and_places_a_relative_one():
    assert join("/a/b", "/c") == "/c"
    assert join("/a/b", "../c") == "/a/c"
    assert join("/", "c") == "/c"


@given(PATHS, PATHS)
def test_under_means_the_components_begin_alike(path, root):
    assert under(path, root) == (components(path)[: depth(root)] == components(root))


@given(PATHS)
def test_upwards_ends_at_the_root_one_name_at_a_time(path):
    steps = list(upwards(path))
    assert steps[0] == path
    assert steps[-1] == "/"
    assert [depth(step) for step in steps] == list(range(depth(path), -1, -1))
    assert all(parent(low) == high for low, high in pairwise(steps))


FEW = st.sampled_from(["/", "/a", "/b", "/a/a", "/a/b", "/ab"])


@given(PATHS, st.lists(st.tuples(FEW, st.sampled_from(Access)), max_size=12))
def test_most_components_decide_and_on_a_tie_deny_then_write_then_read(path, entries):
    found = deepest(path, table(rule(at, access) for at, access in entries))
    order = (Access.READ, Access.WRITE, Access.NONE)
    expected = max(
        ((depth(at), order.index(access)) for at, access in entries if under(path, at)),
        default=None,
    )
    assert (None if found is None else (depth(found.path), order.index(found.access))) == expected


@given(st.sampled_from(Access), st.sampled_from(Access))
def test_deny_wins_every_tie(one, other):
    winner = stronger(rule("/a", one), rule("/a", other)).access
    assert winner is stronger(rule("/a", other), rule("/a", one)).access
    if Access.NONE in (one, other):
        assert winner is Access.NONE


@given(st.text())
def test_printable_text_is_one_line_and_tells_texts_apart(text):
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown or "\\" in shown


def test_undecodable_bytes_are_shown_as_bytes():
    assert printable("a\udcff\n\x1b[0m\\") == "a\\xff\\n\\x1b[0m\\\\"
