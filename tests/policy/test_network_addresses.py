"""Which addresses are not public, in every spelling."""

import sys
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.addresses import carried, kind_of, plain, read_address

V4 = {
    "unspecified": ["0.0.0.0", "0.1.2.3"],
    "loopback": ["127.0.0.1", "127.1.2.3", "127.255.255.255"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255"],
    "link-local": ["169.254.0.1", "169.254.255.254"],
    "metadata": ["169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192"],
    "multicast": ["224.0.0.1", "239.255.255.255"],
    "reserved": ["192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
                 "203.0.113.9", "240.0.0.1", "255.255.255.255"],
}  # fmt: skip
V6 = {
    "unspecified": ["::"],
    "loopback": ["::1"],
    "private": ["fc00::1", "fd12::1", "fec0::1"],
    "link-local": ["fe80::1", "febf::1"],
    "metadata": ["fd00:ec2::254", "fd20:ce::254"],
    "multicast": ["ff02::1"],
    "reserved": ["2001::1", "2001:0:4136:e378::1", "2001:10::1", "2001:db8::1", "3fff::1", "64:ff9b:1::1",
                 "100::1", "5f00::1", "4000::1", "1::1"],
}  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1",
          "192.0.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "11.0.0.1", "2606:4700::1111",
          "2a00:1450::1", "2001:200::1", "2003::1"]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text"),
    [(kind, text) for rows in (V4, V6) for kind, row in rows.items() for text in row],
)
def test_an_address_that_is_not_public_is_known_by_its_kind(kind, text):
    assert kind_of(ip_address(text)) == kind


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_public(text):
    assert kind_of(ip_address(text)) is None


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k, row in V4.items() for t in row])
@pytest.mark.parametrize("block", ["::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "::", "6to4"])
def test_an_address_inside_an_address_is_judged_by_what_it_is(block, kind, text):
    inner = int(IPv4Address(text))
    outer = (0x2002 << 112) | inner << 80 if block == "6to4" else int(IPv6Address(block)) | inner
    if outer < 2:
        return
    assert kind_of(IPv6Address(outer)) == kind


@pytest.mark.parametrize(
    "outer", ["::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::5", "::1.1.1.1"]
)
def test_a_public_address_inside_an_address_is_public(outer):
    assert kind_of(IPv6Address(outer)) is None
    assert carried(IPv6Address(outer)) == IPv4Address("1.1.1.1")


def test_an_address_of_this_machine_is_not_public_however_it_looks():
    mine = ip_address("93.184.216.34")
    assert kind_of(mine, {mine}) == "own interface"
    assert kind_of(IPv6Address("::ffff:93.184.216.34"), {mine}) == "own interface"
    assert kind_of(ip_address("93.184.216.35"), {mine}) is None


def test_a_zone_is_never_public():
    assert kind_of(IPv6Address("2600::1%eth0")) == "link-local"


@given(st.ip_addresses())
@pytest.mark.skipif(sys.version_info < (3, 13), reason="older tables differ on several blocks")
def test_what_the_standard_library_calls_private_is_not_public(address):
    if kind_of(address) is None and carried(address) is None:
        assert address.is_global


@given(st.ip_addresses(v=6, network="2000::/3"))
def test_every_address_of_ipv6_has_an_answer(address):
    inner = carried(address)
    assert kind_of(address) == (kind_of(inner) if inner is not None else kind_of(address))
    assert plain(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.1",
        "0x7f.0.0.1",
        "127.0.0.01",
        "::1%lo",
        "[::1]",
        "１.1.1.1",
        "1.1.1.1 ",
        "1.1.1.1/32",
    ],
)
def test_an_odd_spelling_is_no_address(text):
    assert read_address(text) is None
