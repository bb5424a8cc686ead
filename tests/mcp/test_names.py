"""Names of tools for models."""

import re

from hypothesis import given
from hypothesis import strategies as st

from octavo.mcp.names import LONGEST, Name, named

word = st.text(min_size=1, max_size=80) | st.sampled_from(["a", "a_b", "a.b", "a__b", "b__c", "c"])
pairs = st.lists(st.tuples(word, word), max_size=12)
ALLOWED = re.compile(r"[A-Za-z0-9_-]{1,64}")


def test_plain_names_stay_as_they_are():
    assert named([("echo", "say")]) == {("echo", "say"): Name("mcp__echo", "say")}
    assert named([("echo", "say it!")])["echo", "say it!"].flat == "mcp__echo__say_it_"


def test_long_names_end_in_a_hash():
    found = named([("server", "t" * 100)])["server", "t" * 100]
    assert len(found.flat) == LONGEST
    assert re.fullmatch(r"t+_[0-9a-f]{12}", found.tool)


def test_tools_that_would_share_a_name_both_end_in_a_hash():
    found = named([("s", "a.b"), ("s", "a b"), ("s", "c")])
    assert found["s", "c"].tool == "c"
    for tool in ("a.b", "a b"):
        assert re.fullmatch(r"a_b_[0-9a-f]{12}", found["s", tool].tool)


def test_servers_that_would_share_a_name_do_not():
    found = named([("a.b", "t"), ("a b", "t")])
    assert len({name.space for name in found.values()}) == 2


def test_names_that_only_clash_when_joined_do_not():
    found = named([("a", "b__c"), ("a__b", "c")])
    assert len({name.flat for name in found.values()}) == 2


@given(pairs)
def test_names_are_different_and_fit_everywhere(tools):
    found = named(tools)
    assert set(found) == set(tools)
    flats = [name.flat for name in found.values()]
    assert len(set(flats)) == len(flats)
    for name in found.values():
        assert ALLOWED.fullmatch(name.flat)
        assert ALLOWED.fullmatch(name.space)
        assert ALLOWED.fullmatch(name.tool)


@given(pairs, st.randoms())
def test_names_do_not_depend_on_the_order(tools, random):
    shuffled = list(tools)
    random.shuffle(shuffled)
    assert named(tools) == named(shuffled)


@given(pairs)
def test_one_server_has_one_name(tools):
    found = named(tools)
    spaces = {}
    for (server, _), name in found.items():
        assert spaces.setdefault(server, name.space) == name.space
    assert len(set(spaces.values())) == len(spaces)
