"""Names that stand for addresses, and where connections to them are waited for."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.network import host_policy
from octavo.policy.network import judge as real
from octavo.policy.rules import NetworkRule, RuleSet
from octavo.protocol.permissions import NetworkRules
from octavo.proxy.dns import NoRoom, NotFound
from octavo.proxy.names import LOOPBACK, MOST_NAMES, MOST_WAYS, Names, Resolv, read_resolv, ways


def policy(*allow, rules=(), deny=()):
    network = NetworkRules(enabled=True, allow=allow, deny=deny)
    return host_policy(network, RuleSet(hosts=tuple(rules)))


def rule(host, port, decision="allow"):
    return NetworkRule(host=host, protocol="https", decision=decision, port=port)


def test_a_name_gets_an_address_that_leads_back_to_it():
    names = Names(policy("ok.example"))
    address = str(ipaddress.IPv4Address(names.find("ok.example")))
    assert address == "127.64.0.1"
    assert str(names.target(address, 443)) == "ok.example:443"
    assert names.find("OK.Example") == names.find("ok.example")


@given(st.lists(st.from_regex(r"[a-z]{1,8}\.[a-z]{2,3}", fullmatch=True), max_size=40))
def test_every_name_has_one_address_and_every_address_one_name(wanted):
    names = Names(policy("*"))
    found = {name: str(ipaddress.IPv4Address(names.find(name))) for name in wanted}
    assert len(set(found.values())) == len(found)
    for name, address in found.items():
        assert names.target(address, 80).host.name == name


@pytest.mark.parametrize("name", ["", "a b", "1.2.3.4", "0x7f.1", "-a.example", "ü.example", "a.1"])
def test_what_is_no_name_has_no_address(name):
    with pytest.raises(NotFound):
        Names(policy("*")).find(name)


@pytest.mark.parametrize("name", ["localhost", "app.localhost"])
def test_the_commands_own_machine_is_itself(name):
    assert Names(policy("*")).find(name) == LOOPBACK


def test_a_domain_tried_behind_a_name_is_not_taken_for_a_host():
    names = Names(policy("ok.example"), ["corp.example", "ok.example.test"])
    for name in ("api.example.org.corp.example", "printer", "9.2.0.192.in-addr.arpa"):
        with pytest.raises(NotFound):
            names.find(name)
    assert names.find("api.example.org")


def test_unless_it_is_listed():
    names = Names(policy("**.corp.example:443", "printer:443"), ["corp.example"])
    assert names.find("db.corp.example")
    assert names.find("printer")


def test_there_is_a_bound():
    names = Names(policy("*"))
    for number in range(MOST_NAMES):
        names.find(f"h{number}.example")
    with pytest.raises(NoRoom):
        names.find("one.more.example")
    assert names.find("h3.example")


def test_addresses_that_stand_for_nothing_are_what_they_are():
    names = Names(policy("ok.example"))
    assert names.target("127.0.0.1", 443) is None
    assert names.target("127.64.0.9", 443) is None
    assert str(names.target("192.0.2.1", 443)) == "192.0.2.1:443"
    assert names.target("192.0.2.1", 443).host.address is not None


def test_usual_ports_are_waited_for_on_every_address():
    found = ways(policy("ok.example"), Resolv(servers=("192.0.2.53",)))
    assert found == (
        "udp 192.0.2.53 53", "tcp 0.0.0.0 22", "tcp 0.0.0.0 80", "tcp 0.0.0.0 443",
    )  # fmt: skip


def test_a_higher_port_only_where_a_host_is_listed_with_it():
    given_policy = policy(
        "ok.example:8443", "two.example:8443", "ok.example:9000", "*.wide.example:9100",
        "127.0.0.1:9200", "localhost:9300", "192.0.2.8:9400", "low.example:25",
        rules=[rule("ruled.example", 8080), rule("no.example", 8081, "deny")],
    )  # fmt: skip
    assert ways(given_policy, Resolv())[1:] == (
        "tcp 0.0.0.0 22", "tcp 0.0.0.0 25", "tcp 0.0.0.0 80", "tcp 0.0.0.0 443",
        "tcp 127.64.0.1 8443", "tcp 127.64.0.2 8443", "tcp 127.64.0.1 9000",
        "tcp 192.0.2.8 9400", "tcp 127.64.0.3 8080",
    )  # fmt: skip
    names = Names(given_policy)
    assert str(names.target("127.64.0.3", 8080)) == "ruled.example:8080"


def test_there_are_not_more_ways_than_descriptors_to_spare():
    many = policy(*(f"h{number}.example:{9000 + number}" for number in range(100)))
    assert len(ways(many, Resolv())) == MOST_WAYS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Resolv()),
        ("nameserver 192.0.2.1\nnameserver  192.0.2.2\n", Resolv(servers=("192.0.2.1", "192.0.2.2"))),
        ("nameserver nonsense\n# nameserver 192.0.2.1\nnameserver\n", Resolv()),
        ("nameserver ::1\nsearch a.example  B.example.\n", Resolv(servers=("::1",), search=("a.example", "b.example"))),
        ("domain x.example\n", Resolv(search=("x.example",))),
        ("nameserver 1.1.1.1\n" * 5, Resolv(servers=("1.1.1.1",) * 3)),
    ],
)  # fmt: skip
def test_whom_programs_ask(text, expected):
    assert read_resolv(text) == expected


@given(st.text(max_size=200))
def test_any_file_can_be_read(text):
    assert read_resolv(text).servers


def test_a_made_up_name_is_looked_for_on_its_own_ports_only(monkeypatch):
    asked = []
    monkeypatch.setattr("octavo.proxy.names.judge", lambda *said: asked.append(said) or real(*said))
    names = Names(policy("single:8443", *(f"h{n}.example:{n + 1000}" for n in range(200))))
    assert names.find("single")
    assert len(asked) <= 4
    with pytest.raises(NotFound):
        names.find("another")
    assert len(asked) <= 8
