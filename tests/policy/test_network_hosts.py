"""Hosts in one spelling, and patterns."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.hosts import (
    HostError,
    PatternList,
    in_label,
    read_host,
    read_pattern,
    read_port,
    read_target,
)

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=5).map(".".join)


def target(text, port=443):
    return read_target(text, port)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.Org", "example.org"),
        ("example.org.", "example.org"),
        ("a_b.example", "a_b.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[::ffff:10.0.0.1]", "10.0.0.1"),
        ("[2001:DB8::A]", "2001:db8::a"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_a_host_has_one_spelling(text, name):
    assert read_host(text).name == name


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "a..b", "example.org..", ".example.org", "a b", "a\0b", "a\nb", "a@b", "a/b",
        "a\\b", "a%b", "a?b", "a#b", "a,b", "*.a", "bücher.example", "127.1", "127.0.1",
        "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.0.0.01", "256.0.0.1", "1.2.3.4.5",
        "a.0x", "a.1", "[::1", "::1]", "[]", "[127.0.0.1]", "[::1%lo]", "fe80::1%eth0", "[v1.x]",
        "[:::]", "-a.example", "a-.example", "a" * 64, ".".join(["a" * 60] * 5), "１２７.0.0.1",
        "example。org", "[[::1]]",
    ],
)  # fmt: skip
def test_what_two_programs_might_read_differently_is_no_host(text):
    with pytest.raises(HostError):
        read_host(text)


@pytest.mark.parametrize(
    ("text", "port"),
    [("h:1", 1), ("h:65535", 65_535), ("[::1]:80", 80), ("h", 443), ("[::1]", 443)],
)
def test_a_target_has_a_host_and_a_port(text, port):
    assert read_target(text, 443).port == port


@pytest.mark.parametrize(
    "text",
    ["h:", "h:0", "h:65536", "h:0x50", "h:-1", "h:+1", "h: 80", "h:080", "h:８０", "::1:80", "[::1]x",
     "[::1]:", "h:80:80", "h:1e2", ":80", "h:000080"],
)  # fmt: skip
def test_an_odd_port_is_refused(text):
    with pytest.raises(HostError):
        read_target(text, 443)


def test_a_port_may_be_demanded():
    with pytest.raises(HostError, match="port is missing"):
        read_target("example.org")


@given(st.text(max_size=40))
def test_reading_a_host_gives_a_canonical_one_or_an_error(text):
    try:
        host = read_host(text)
    except HostError:
        return
    assert read_host(host.name) == host
    assert read_host(str(host)) == host
    assert set(host.name) <= set(string.ascii_lowercase + string.digits + ".-_:")


@given(st.text(string.hexdigits + "x.:[]%", max_size=24))
def test_reading_an_address_gives_a_canonical_one_or_an_error(text):
    try:
        host = read_host(text)
    except HostError:
        return
    assert read_host(str(host)) == host


@given(st.ip_addresses())
def test_every_address_is_a_host(address):
    host = read_host(str(address))
    assert host.address in (address, getattr(address, "ipv4_mapped", None))


@given(st.integers(-10, 70_000))
def test_ports_are_from_1_to_65535(number):
    if 1 <= number <= 65_535:
        assert read_port(str(number)) == number
    else:
        with pytest.raises(HostError):
            read_port(str(number))


@pytest.mark.parametrize(
    ("pattern", "named", "not_named"),
    [
        ("example.org", ["example.org", "EXAMPLE.org."], ["a.example.org", "example.com", "xexample.org"]),
        ("*.example.org", ["a.example.org", "a.b.example.org"], ["example.org", "aexample.org"]),
        ("**.example.org", ["example.org", "a.b.example.org"], ["aexample.org", "example.org.evil"]),
        ("*", ["anything.example", "localhost"], ["127.0.0.1", "[2600::1]", "93.184.216.34"]),
        ("region*.v2.example", ["region1.v2.example", "region.v2.example"],
         ["region1.x.v2.example", "1.v2.example", "region1.v3.example"]),
        ("a*b*c.example", ["abc.example", "aXbYc.example"], ["ab.example", "a.bc.example", "abcd.example"]),
        ("*.*.example", ["x.a.example"], []),
        ("bücher.example", ["xn--bcher-kva.example"], ["bucher.example"]),
        ("*.BÜCHER.example", ["a.xn--bcher-kva.example"], []),
        ("93.184.216.34", ["93.184.216.34", "[::ffff:93.184.216.34]"], ["93.184.216.35", "example.org"]),
        ("[2600::1]", ["[2600::1]", "[2600:0::0:1]"], ["[2600::2]"]),
        ("2600::1", ["[2600::1]"], []),
        ("x.example.", ["x.example"], []),
    ],
)  # fmt: skip
def test_patterns_name_hosts(pattern, named, not_named):
    one = read_pattern(pattern)
    assert [text for text in named if not one.matches(target(text))] == []
    assert [text for text in not_named if one.matches(target(text))] == []
    both = PatternList((one,))
    assert [text for text in named if both.match(target(text)) is None] == []
    assert [text for text in not_named if both.match(target(text)) is not None] == []


@pytest.mark.parametrize(
    ("pattern", "port", "matches"),
    [("h.x:443", 443, True), ("h.x:443", 80, False), ("*:22", 22, True), ("*:22", 443, False),
     ("**.x:8080", 8080, True), ("h.x:*", 5, True), ("h.x", 5, True)],
)  # fmt: skip
def test_a_pattern_may_name_a_port(pattern, port, matches):
    assert read_pattern(pattern).matches(target(f"h.x:{port}")) is matches


@pytest.mark.parametrize(
    "text",
    ["", "*.", "**.", ".x", "a..b", "http://x", "x/y", "x:0", "x:99999", "x:http", "*.1.2.3.4",
     "1.2.3.*", "127.1", "*.[::1]", "[::1", "a b", "x.*", "**", "xn--*.example", "bü*.example", "user@x",
     "*.*", "a*.1", "\u2100.example"],
)  # fmt: skip
def test_a_pattern_that_names_nothing_is_an_error(text):
    if text == "**":
        assert read_pattern(text).everything
        return
    with pytest.raises(HostError):
        read_pattern(text)


@given(NAME, NAME)
def test_a_star_means_names_below(name, below):
    host = target(f"{below}.{name}")
    assert read_pattern(f"*.{name}").matches(host)
    assert read_pattern(f"**.{name}").matches(host)
    assert read_pattern(f"**.{name}").matches(target(name))
    assert not read_pattern(f"*.{name}").matches(target(name))


@given(
    st.text("ab*", min_size=1, max_size=12).filter(lambda t: "*" in t), st.text("ab", max_size=12)
)
def test_stars_in_a_label_agree_with_another_judge(pattern, label):
    import re

    judge = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), label)
    assert in_label(pattern, label) is (judge is not None)


@given(st.lists(st.tuples(st.sampled_from(["", "*.", "**."]), NAME), max_size=8), NAME)
def test_a_list_finds_what_its_patterns_name_one_by_one(rows, name):
    patterns = tuple(read_pattern(prefix + name) for prefix, name in rows)
    one_by_one = any(one.matches(target(name)) for one in patterns)
    assert (PatternList(patterns).match(target(name)) is not None) is one_by_one


def test_the_most_special_pattern_is_named():
    patterns = tuple(read_pattern(text) for text in ("*", "**.example", "a.example"))
    found = PatternList(patterns).match(target("a.example"))
    assert found is not None
    assert found.text == "a.example"


def test_a_wildcard_is_never_exact():
    patterns = PatternList(tuple(read_pattern(text) for text in ("*", "**.local", "l*.local")))
    assert patterns.match(target("lo.local"), exact=True) is None
