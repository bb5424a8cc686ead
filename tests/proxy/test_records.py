"""Records of decisions, and the event an audit gets."""

import json

from octavo.policy.hosts import read_target
from octavo.policy.network import judge
from octavo.proxy.answers import label, refused
from octavo.proxy.records import EVENT, Record, audit_event
from proxy.world import policy


def record(target, *allow, protocol="http", **more):
    decision = judge(policy(*allow, **more), read_target(target), protocol)
    return Record(at_ms=1_700_000_000_123, execution="x1", decision=decision)


def test_an_event_has_the_published_fields():
    assert audit_event(record("a.example:443", "a.example", protocol="https_connect")) == {
        "event.name": EVENT,
        "event.timestamp": "2023-11-14T22:13:20.123Z",
        "execution.id": "x1",
        "network.policy.scope": "domain",
        "network.policy.decision": "allow",
        "network.policy.source": "baseline_policy",
        "network.policy.reason": "allowed",
        "network.policy.override": False,
        "network.transport.protocol": "https_connect",
        "server.address": "a.example",
        "server.port": 443,
        "http.request.method": "none",
        "client.address": "unknown",
    }


def test_a_record_reads_as_one_line():
    assert str(record("b.example:80", "a.example")) == (
        "refused http b.example:80: This host is not on the allowlist. To allow it: --allow b.example:80."
    )
    line = str(record("[2600::1]:80", "*", deny=["2600::1"]))
    assert line.startswith(
        "refused http [2600::1]:80: A rule of the policy denies this host. Rule: "
    )
    assert "\n" not in line


def test_a_refusal_is_json_or_words():
    decision = record("b.example:80").decision
    said = refused(decision, as_json=True, close=True)
    head, _, body = said.partition(b"\r\n\r\n")
    assert json.loads(body)["reason"] == "not_allowed"
    assert f"content-length: {len(body)}".encode() in head
    assert refused(decision, as_json=False, close=False, head_only=True).endswith(b"\r\n\r\n")
    assert label(decision) == "blocked-by-allowlist"
