"""Network decisions: every test in its place, its reason, its rule, its grant."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.hosts import read_target
from octavo.policy.network import (
    MESSAGES,
    OFF,
    amendments,
    host_policy,
    judge,
    judge_addresses,
    judge_method,
)
from octavo.policy.rule_file import read_rules
from octavo.protocol.errors import ConfigError
from octavo.protocol.permissions import NetworkRules, RuleRef

REF = RuleRef(text="network on", source="config", file="/etc/octavo/config.toml", line=7)


def policy(*allow, deny=(), rules="", **more):
    asked = {key: more.pop(key) for key in ("askable", "any_server_name") if key in more}
    network = NetworkRules(enabled=True, allow=allow, deny=tuple(deny), ref=REF, **more)
    return host_policy(network, read_rules(rules.encode(), "/r/default.rules"), **asked)


def said(policy, target, protocol="https_connect"):
    decision = judge(policy, read_target(target), protocol)
    return decision.verdict, decision.reason


def resolved(policy, target, *texts, protocol="https_connect", **more):
    found = judge_addresses(
        policy, read_target(target), protocol, [ip_address(one) for one in texts], **more
    )
    return None if found is None else found.reason


# ---- 1: the proxy is off ------------------------------------------------------------------------


def test_1_with_the_network_off_nothing_else_is_looked_at():
    off = host_policy(NetworkRules(enabled=False, allow=("a.example",), deny=("a.example",)))
    assert said(off, "a.example:443") == ("deny", "proxy_disabled")
    assert said(OFF, "127.0.0.1:443") == ("deny", "proxy_disabled")


# ---- 2: the deny list ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deny", "target"),
    [
        ("a.example", "a.example:443"),
        ("a.example:443", "a.example:443"),
        ("*.example", "a.example:443"),
        ("*:443", "a.example:443"),
        ("127.0.0.1", "127.0.0.1:443"),
        ("93.184.216.34", "[::ffff:93.184.216.34]:443"),
        ("93.184.216.34", "[64:ff9b::5db8:d822]:443"),
        ("93.184.216.34", "[2002:5db8:d822::1]:443"),
    ],
)
def test_2_deny_beats_everything_behind_it(deny, target):
    host = target.rpartition(":")[0]
    one = policy("**.example", host, "*", deny=[deny], local_binding=True)
    decision = judge(one, read_target(target), "https_connect")
    assert (decision.verdict, decision.reason) == ("deny", "denied")
    assert decision.rule is not None
    assert deny in decision.rule.text
    assert (decision.rule.file, decision.rule.line) == (REF.file, REF.line)


def test_2_a_denied_port_leaves_the_others():
    one = policy("a.example", deny=["a.example:25"])
    assert said(one, "a.example:443") == ("allow", "allowed")
    assert said(one, "a.example:25") == ("deny", "denied")


def test_2_a_name_that_resolves_to_a_denied_address_is_denied():
    one = policy("a.example", deny=["93.184.216.34"])
    assert resolved(one, "a.example:443", "1.1.1.1", "93.184.216.34") == "denied"


# ---- 3: local by spelling -----------------------------------------------------------------------

LOCAL = [
    "localhost:80", "a.localhost:80", "ip6-localhost:80", "localhost.localdomain:80",
    "127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "10.0.0.1:80", "192.168.0.1:80", "169.254.169.254:80",
    "0.0.0.0:80", "[::]:80", "[::ffff:127.0.0.1]:80", "[64:ff9b::7f00:1]:80", "[2002:7f00:1::]:80",
    "[fe80::1]:80", "[fd00::1]:80", "168.63.129.16:80", "224.0.0.1:80", "203.0.113.1:80",
]  # fmt: skip


@pytest.mark.parametrize("target", LOCAL)
def test_3_local_targets_are_refused_before_anybody_is_asked(target):
    assert said(policy("*"), target) == ("deny", "not_allowed_local")
    assert said(policy(), target) == ("deny", "not_allowed_local")


@pytest.mark.parametrize("target", LOCAL)
def test_3_an_exact_entry_opens_just_that_one(target):
    assert said(policy(target), target) == ("allow", "allowed")
    other_port = target.rpartition(":")[0] + ":81"
    assert said(policy(target), other_port) == ("deny", "not_allowed_local")


def test_3_a_wildcard_opens_nothing_local():
    assert said(policy("*.localhost"), "a.localhost:80") == ("deny", "not_allowed_local")


@pytest.mark.parametrize("target", ["localhost:80", "127.0.0.1:80", "10.0.0.1:80", "[fd00::1]:80"])
def test_3_with_local_binding_the_list_decides(target):
    assert said(policy(local_binding=True), target) == ("ask", "not_allowed")
    assert said(policy(target, local_binding=True), target) == ("allow", "allowed")


@pytest.mark.parametrize(
    "target", ["169.254.169.254:80", "168.63.129.16:80", "[fe80::1]:80", "0.0.0.0:80"]
)
def test_3_local_binding_opens_no_metadata_service(target):
    assert said(policy("*", local_binding=True), target) == ("deny", "not_allowed_local")


# ---- 4: the allow list --------------------------------------------------------------------------


def test_4_a_miss_can_be_asked_about():
    decision = judge(policy("a.example"), read_target("b.example:8443"), "https_connect")
    assert (decision.verdict, decision.reason) == ("ask", "not_allowed")
    assert decision.grant == "--allow b.example:8443"
    assert decision.rule is None
    assert "allowlist" in decision.message


def test_4_a_miss_may_be_final():
    assert said(policy(askable=False), "b.example:443") == ("deny", "not_allowed")


def test_4_an_empty_list_allows_nothing():
    assert said(policy(), "a.example:443") == ("ask", "not_allowed")


def test_4_a_wildcard_never_allows_an_address():
    assert said(policy("*"), "93.184.216.34:443") == ("ask", "not_allowed")
    assert said(policy("*"), "[2600::1]:443") == ("ask", "not_allowed")


def test_4_a_hit_names_its_rule():
    decision = judge(policy("*.example"), read_target("a.example:443"), "http")
    assert decision.rule is not None
    assert str(decision.rule) == '"*.example" = "allow" (/etc/octavo/config.toml:7)'
    assert decision.grant is None


def test_4_flags_add_to_the_list():
    one = host_policy(NetworkRules(enabled=True), allow=["a.example:443"], deny=["b.example"])
    assert said(one, "a.example:443") == ("allow", "allowed")
    assert said(one, "a.example:80") == ("ask", "not_allowed")
    assert said(one, "b.example:80") == ("deny", "denied")
    found = judge(one, read_target("a.example:443"), "http").rule
    assert found is not None
    assert found.source == "flag"


# ---- 5: addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "64:ff9b::7f00:1",
    ],
)
def test_5_a_listed_name_opens_no_private_address(address):
    assert resolved(policy("a.example"), "a.example:443", address) == "not_allowed_local"
    assert resolved(policy("*"), "a.example:443", "1.1.1.1", address) == "not_allowed_local"


def test_5_every_address_has_to_be_public():
    assert resolved(policy("a.example"), "a.example:443", "1.1.1.1", "2600::1") is None
    assert (
        resolved(policy("a.example"), "a.example:443", "1.1.1.1", "10.0.0.1") == "not_allowed_local"
    )


def test_5_the_machines_own_addresses_are_local():
    mine = ip_address("93.184.216.34")
    one = policy("a.example")
    assert resolved(one, "a.example:443", str(mine)) is None
    assert resolved(one, "a.example:443", str(mine), own={mine}) == "not_allowed_local"


def test_5_a_private_address_that_is_listed_with_its_port_is_open_to_names():
    one = policy("a.example", "10.0.0.1:443")
    assert resolved(one, "a.example:443", "10.0.0.1") is None
    assert resolved(one, "a.example:80", "10.0.0.1") == "not_allowed_local"


def test_5_localhost_listed_opens_loopback_and_nothing_else():
    one = policy("localhost:80")
    assert resolved(one, "localhost:80", "127.0.0.1", "::1") is None
    assert resolved(one, "localhost:80", "10.0.0.1") == "not_allowed_local"


def test_5_with_local_binding_names_may_be_private():
    one = policy("a.example", local_binding=True)
    assert resolved(one, "a.example:443", "10.0.0.1", "127.0.0.1") is None
    assert resolved(one, "a.example:443", "169.254.169.254") == "not_allowed_local"


def test_5_addresses_may_count_as_public_for_a_test():
    here = ip_address("127.0.0.1")
    assert resolved(policy("a.example"), "a.example:443", "127.0.0.1", public={here}) is None


@given(st.lists(st.ip_addresses(), min_size=1, max_size=4))
def test_5_the_answer_never_names_an_address(addresses):
    found = judge_addresses(policy("a.example"), read_target("a.example:443"), "http", addresses)
    if found is not None:
        assert not any(str(one) in f"{found.message} {found.grant}" for one in addresses)


# ---- 6 and 7: the mode --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_6_limited_mode_lets_safe_methods_through(method):
    one = policy("a.example", mode="limited")
    assert judge_method(one, read_target("a.example:80"), "http", method, inspected=False) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "PROPFIND"])
def test_6_limited_mode_refuses_every_other_method(method):
    one = policy("a.example", mode="limited")
    found = judge_method(one, read_target("a.example:80"), "http", method, inspected=False)
    assert found is not None
    assert (found.reason, found.source, found.method) == (
        "method_not_allowed",
        "mode_guard",
        method,
    )
    assert (
        judge_method(policy("*"), read_target("a.example:80"), "http", method, inspected=False)
        is None
    )


def test_7_limited_mode_needs_to_look_into_tunnels():
    one = policy("a.example", mode="limited")
    at = read_target("a.example:443")
    found = judge_method(one, at, "https_connect", None, inspected=False)
    assert found is not None
    assert found.reason == "mitm_required"
    assert judge_method(one, at, "https_connect", None, inspected=True) is None


# ---- rules --------------------------------------------------------------------------------------


def rule(decision, protocol="https", port=None, host="a.example"):
    more = f", port={port}" if port else ""
    return f'network_rule(host="{host}", protocol="{protocol}", decision="{decision}"{more})\n'


def test_a_rule_allows_its_host_and_port():
    one = policy(rules=rule("allow", port=443))
    assert said(one, "a.example:443") == ("allow", "allowed")
    assert said(one, "a.example:80") == ("ask", "not_allowed")
    assert said(one, "b.a.example:443") == ("ask", "not_allowed")


@pytest.mark.parametrize(
    ("port", "asked", "refused"),
    [(None, 80, True), (None, 443, False), (80, 80, True), (8080, 8080, True), (8080, 80, False)],
)
@pytest.mark.parametrize("protocol", ["tcp", "https_connect", "socks5_tcp"])
def test_a_tunnel_carries_no_plain_requests_that_are_denied(port, asked, refused, protocol):
    found = policy("a.example", rules=rule("deny", "http", port))
    assert (said(found, f"a.example:{asked}", protocol)[1] == "denied") is refused
    allowing = policy(rules=rule("allow", "http"))
    assert said(allowing, f"a.example:{asked}", protocol)[0] == "ask"


@pytest.mark.parametrize(
    ("written", "asked", "speaks"),
    [("http", "http", True), ("http", "https_connect", False), ("https", "https_connect", True),
     ("https", "socks5_tcp", True), ("https", "tcp", True), ("https", "http", False),
     ("socks5_tcp", "https_connect", True), ("socks5_tcp", "http", False), ("socks5_udp", "tcp", False)],
)  # fmt: skip
def test_a_rule_speaks_of_plain_requests_or_of_tunnels(written, asked, speaks):
    one = policy(rules=rule("allow", protocol=written))
    assert said(one, "a.example:443", asked)[0] == ("allow" if speaks else "ask")


def test_a_rule_that_denies_beats_the_list_and_names_its_line():
    one = policy("a.example", rules="\n" + rule("deny"))
    decision = judge(one, read_target("a.example:443"), "https_connect")
    assert (decision.verdict, decision.reason) == ("deny", "denied")
    assert decision.rule is not None
    assert (decision.rule.file, decision.rule.line) == ("/r/default.rules", 2)


def test_a_rule_may_ask_about_a_listed_host():
    one = policy("a.example", rules=rule("prompt"))
    assert said(one, "a.example:443") == ("ask", "not_allowed")
    assert said(one, "a.example:443", "http") == ("allow", "allowed")


def test_a_rule_for_an_address_opens_it():
    one = policy(rules=rule("allow", host="127.0.0.1", port=8080))
    assert said(one, "127.0.0.1:8080") == ("allow", "allowed")
    assert said(one, "127.0.0.1:8081") == ("deny", "not_allowed_local")


def test_when_a_rule_file_is_broken_no_rule_allows():
    from octavo.policy.rules import RuleSet, merged

    rules = read_rules((rule("allow") + rule("deny", host="b.example")).encode(), "f")
    broken = merged([rules, RuleSet(broken=("g: cannot be read",))])
    one = host_policy(NetworkRules(enabled=True, allow=("b.example",)), broken)
    assert said(one, "a.example:443") == ("ask", "not_allowed")
    assert said(one, "b.example:443") == ("deny", "denied")


# ---- amendments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http", "https_connect", "socks5_tcp", "tcp"])
@pytest.mark.parametrize("target", ["a.example:8443", "[2600::1]:443", "93.184.216.34:80"])
def test_an_amendment_answers_the_question_it_was_made_for(protocol, target):
    miss = judge(policy(), read_target(target), protocol)
    assert miss.verdict == "ask"
    narrow, wide = amendments(miss)
    assert (narrow.scope, wide.scope) == ("port", "host")
    for line in (narrow.line, wide.line):
        assert said(policy(rules=line), target, protocol) == ("allow", "allowed")
    other = target.rpartition(":")[0] + ":1"
    assert said(policy(rules=narrow.line), other, protocol)[0] == "ask"
    assert said(policy(rules=wide.line), other, protocol)[0] == "allow"
    for line in amendments(miss, "deny"):
        assert said(policy("*", target, rules=line.line), target, protocol) == ("deny", "denied")


# ---- bad lists ----------------------------------------------------------------------------------


def test_a_bad_pattern_is_one_error_that_names_it_and_its_place():
    with pytest.raises(ConfigError) as wrong:
        policy("https://a.example/")
    assert "/etc/octavo/config.toml:7" in str(wrong.value)
    assert '"https://a.example/"' in str(wrong.value)
    assert wrong.value.hint is not None


def test_everything_cannot_be_denied_by_a_star():
    with pytest.raises(ConfigError, match="would deny every host"):
        policy("a.example", deny=["*"])


def test_a_rule_for_something_that_is_no_host_names_its_line():
    with pytest.raises(ConfigError, match=r"/r/default.rules:1"):
        policy(rules=rule("deny", host="127.1"))


@given(st.lists(st.sampled_from(["*", "a.example", "*.example", "b.example:80"])),
       st.lists(st.sampled_from(["a.example", "**.example", "*:80", "b.example"])),
       st.sampled_from(["a.example:80", "b.example:80", "b.example:443", "x.y:1"]))  # fmt: skip
def test_deny_always_beats_allow(allow, deny, target):
    only = policy("*", deny=deny)
    both = policy(*allow, deny=deny)
    if said(only, target)[1] == "denied":
        assert said(both, target) == ("deny", "denied")


def test_every_reason_has_a_sentence():
    assert all(text.endswith(".") and len(text) < 80 for text in MESSAGES.values())
