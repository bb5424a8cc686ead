"""Questions about hosts, as published clients read them, and their answers."""

import pytest

from octavo.appserver.questions import decided, question
from octavo.protocol.approvals import CommandApproval, Decision


def about(target="https://h.example:443"):
    rule = ("network-access", target)
    return CommandApproval(call_id="network_1", argv=rule, cwd="/w", proposed_rule=rule)


@pytest.mark.parametrize(
    ("target", "host", "protocol"),
    [
        ("https://h.example:443", "h.example", "https"),
        ("http://h.example:80", "h.example", "http"),
        ("tcp://h.example:22", "h.example", "socks5Tcp"),
        ("https://[2001:db8::1]:443", "2001:db8::1", "https"),
    ],
)
def test_the_host_is_named_and_rules_are_offered(target, host, protocol):
    method, asked = question(about(target), thread_id="t", turn_id="u", now_ms=1)
    assert method == "item/commandExecution/requestApproval"
    assert asked["networkApprovalContext"] == {"host": host, "protocol": protocol}
    allow, deny = asked["proposedNetworkPolicyAmendments"]
    assert (allow, deny) == ({"action": "allow", "host": host}, {"action": "deny", "host": host})
    assert asked["availableDecisions"][2] == {
        "applyNetworkPolicyAmendment": {"network_policy_amendment": allow}
    }
    assert asked["proposedExecpolicyAmendment"] is None


def amendment(action, host):
    said = {"network_policy_amendment": {"action": action, "host": host}}
    return {"decision": {"applyNetworkPolicyAmendment": said}}


def test_a_rule_about_the_host_is_taken():
    rule = ("network-access", "https://h.example")
    assert decided(about(), amendment("allow", "h.example")) == Decision.allow_always(rule)
    assert decided(about(), amendment("deny", "h.example")) == Decision.deny_always(rule)


ELSEWHERE = {"execpolicy_amendment": ["network-access", "https://other.example"]}


@pytest.mark.parametrize(
    "answer",
    [
        amendment("allow", "other.example"),
        amendment("open", "h.example"),
        {"decision": {"applyNetworkPolicyAmendment": {}}},
        {"decision": {"applyNetworkPolicyAmendment": None}},
        {"decision": {"acceptWithExecpolicyAmendment": ELSEWHERE}},
    ],
)
def test_a_rule_about_anything_else_is_a_no(answer):
    assert decided(about(), answer).kind == "deny"
    assert decided(about(), answer).rule is None


def test_a_command_takes_no_rule_about_hosts():
    request = CommandApproval(call_id="c", argv=("ls",), cwd="/w")
    assert decided(request, amendment("allow", "h.example")).kind == "deny"


@pytest.mark.parametrize("word", ["accept", "acceptForSession", "decline", "cancel"])
def test_plain_answers_are_as_everywhere(word):
    kinds = {"accept": "allow_once", "acceptForSession": "allow_for_session",
             "decline": "deny", "cancel": "abort"}  # fmt: skip
    assert decided(about(), {"decision": word}).kind == kinds[word]
