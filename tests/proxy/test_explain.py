"""What would happen to a connection."""

import pytest

from octavo.protocol.errors import UsageError
from octavo.proxy.explain import aimed_at, explain
from octavo.proxy.resolve import ScriptedResolver
from proxy.world import policy


@pytest.mark.parametrize(
    ("text", "target", "protocol"),
    [
        ("https://A.example/x?y", "a.example:443", "https_connect"),
        ("http://u:p@a.example:8080", "a.example:8080", "http"),
        ("a.example", "a.example:443", "https_connect"),
        ("[2600::1]:22", "[2600::1]:22", "https_connect"),
        ("ssh://git@a.example/r.git", "a.example:22", "https_connect"),
    ],
)
def test_a_url_or_host_names_a_target(text, target, protocol):
    found = aimed_at(text)
    assert (str(found[0]), found[1]) == (target, protocol)


@pytest.mark.parametrize("text", ["", "gopher://a.example", "a b", "http://127.1/", "a.example:0"])
def test_what_names_no_target_is_a_plain_error(text):
    with pytest.raises(UsageError):
        aimed_at(text)


async def test_the_verdict_comes_with_addresses_rule_and_grant():
    resolver = ScriptedResolver({"a.test": [["1.1.1.1"]], "in.test": [["10.0.0.1"]]})
    made = policy("**.test", deny=["no.test"])
    found = await explain(made, "https://a.test/", resolver=resolver)
    assert (found.decision.verdict, found.addresses, found.target) == (
        "allow",
        ("1.1.1.1",),
        "a.test:443",
    )
    for text, reason in (("in.test", "not_allowed_local"), ("no.test", "denied"), ("x.org", "not_allowed"),
                         ("localhost", "not_allowed_local")):  # fmt: skip
        assert (await explain(made, text, resolver=resolver)).decision.reason == reason
    assert resolver.asked == ["a.test", "in.test"]
    assert not (await explain(made, "gone.test", resolver=resolver)).resolved
    limited = policy("a.test", mode="limited")
    for text, method, reason in (("http://a.test", "POST", "method_not_allowed"), ("http://a.test", None, "allowed"),
                                 ("https://a.test", None, "mitm_required")):  # fmt: skip
        found = await explain(limited, text, method=method, resolver=resolver)
        assert found.decision.reason == reason
