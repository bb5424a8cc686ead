import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.errors import UsageError
from octavo.sandbox.windows import firewall
from octavo.sandbox.windows.firewall import TCP, UDP

SID = "S-1-5-21-1-2-3-4"


def ports_of(text):
    found = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@given(st.sets(st.integers(1, 65535), max_size=20))
def test_the_ranges_are_all_ports_but_these(without):
    assert ports_of(firewall.port_ranges(without)) == set(range(1, 65536)) - without


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(UsageError):
        firewall.port_ranges([port])


def state_after(steps):
    rules = {}
    for step in steps:
        if step.do == "put":
            rules[step.name] = step.rule
        else:
            rules.pop(step.name, None)
        yield dict(rules)


@given(st.sets(st.integers(1, 65535), max_size=5))
def test_loopback_is_never_more_open_than_asked_once_it_is_closed(allowed):
    closed = False
    for rules in state_after(firewall.firewall_plan(SID, proxy_ports=allowed)):
        tcp = rules.get("octavo_sandbox_offline_block_loopback_tcp")
        udp = rules.get("octavo_sandbox_offline_block_loopback_udp")
        closed = closed or (tcp is not None and udp is not None)
        if closed:
            assert udp.protocol == UDP
            assert tcp.protocol == TCP
            assert set(range(1, 65536)) - ports_of(tcp.remote_ports) <= allowed
    assert closed


def test_local_binding_opens_loopback_and_nothing_else():
    *_, last = state_after(firewall.firewall_plan(SID, allow_local_binding=True))
    assert sorted(last) == [
        "octavo_sandbox_offline_block_inbound", "octavo_sandbox_offline_block_outbound",
    ]  # fmt: skip
    assert {rule.users for rule in last.values()} == {f"O:LSD:(A;;CC;;;{SID})"}


def in_list(text, address):
    for part in text.split(","):
        first, _, last = part.partition("-")
        if "/" in first:
            net = ipaddress.ip_network(first)
            if address.version == net.version and address in net:
                return True
            continue
        low, high = ipaddress.ip_address(first), ipaddress.ip_address(last or first)
        if address.version == low.version and low <= address <= high:
            return True
    return False


@given(st.ip_addresses())
def test_every_address_is_loopback_or_outside(address):
    inside, outside = (in_list(each, address) for each in (firewall.LOOPBACK, firewall.OUTSIDE))
    assert inside or outside
    assert not (inside and outside) or address == ipaddress.ip_address("::")


def test_twelve_filters_in_one_transaction_each_replaced_by_key():
    steps = firewall.wfp_plan(SID)
    added = [step.filter for step in steps if step.do == "add filter"]
    assert len(added) == len({each.key for each in added}) == 12
    assert [step.do for step in steps[:2]] == ["add provider", "add sublayer"]
    for before, after in zip(steps[2::2], steps[3::2], strict=True):
        assert (before.do, after.do) == ("delete filter", "add filter")
        assert before.key == after.key
        assert before.tolerated == (0x80320003, 0x80320008)
        assert after.tolerated == ()
    assert {(each.value, each.bits) for each in added} == {
        (1, 8), (58, 8), (53, 16), (853, 16), (445, 16), (139, 16),
    }  # fmt: skip
    assert all(SID in each.security for each in added)
    assert len(firewall.wfp_removal()) == 14


@pytest.mark.parametrize("bad", ["", "S-1", "S-1-5-21-1)(A;;GA;;;WD"])
def test_only_a_sid_gets_into_a_descriptor(bad):
    with pytest.raises(UsageError):
        firewall.firewall_plan(bad)
    with pytest.raises(UsageError):
        firewall.wfp_plan(bad)
