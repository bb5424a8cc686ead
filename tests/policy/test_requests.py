"""Rules about single requests: what a table says, and which requests meet it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.requests import below, matching, plain
from octavo.policy.tables import from_mapping, from_tables
from octavo.protocol.errors import UsageError

HOOK = {"host": "api.example", "methods": ["get", "POST"], "path_prefixes": ["/repos/mine"]}


def rules(hook=None, *, actions=None, more=None, **keys):
    mitm = {"hooks": {"mine": {**HOOK, **(hook or {}), **keys}}, "actions": actions or {}}
    network = {"enabled": True, "domains": {"api.example": "allow"}, "mitm": mitm, **(more or {})}
    return from_mapping({"network": network}).network.requests


def lets(given_rules, method="GET", path="/repos/mine", *, scheme="https", port=443, **headers):
    fields = {name: [value] for name, value in headers.items()}
    found = matching(
        given_rules, scheme=scheme, port=port, method=method, path=path,
        fields=lambda name: fields.get(name, []),
    )  # fmt: skip
    return found is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/repos/mine", True), ("/repos/mine/issues?x=1", True), ("/repos/mine?a", True),
        ("/repos/minefield", False), ("/repos", False), ("/", False), ("/x/repos/mine", False),
        ("/repos/mine/../theirs", False), ("/repos/mine/%2e%2e/x", False), ("/repos//mine", False),
        ("/repos/mine/%2Fx", False), ("/repos/mine\\x", False), ("/repos/%6dine", False), ("*", False),
        ("/repos/mine/..;/x", False), ("/repos/mine/..;a=b/x", False), ("/repos/mine/.;/x", False),
        ("/repos/mine/..%3b/x", False), ("/repos/mine/%252e%252e/x", False),
        ("/repos/mine/%c0%ae%C0%AE/x", False), ("/repos/mine/a;b", True), ("/repos/mine/a%20b", True),
    ],
)  # fmt: skip
def test_a_path_is_met_part_by_part_and_only_when_it_can_be_read_in_one_way(path, expected):
    assert lets(rules(), path=path) is expected


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("/", "/", True), ("/", "/anything/at/all", True),
        ("/a/", "/a/b", True), ("/a/", "/a", False), ("/a/", "/a/", True),
        ("pattern:/repos/*/issues", "/repos/x/issues/1", True),
        ("pattern:/repos/*/issues", "/repos/x/y/issues", False),
        ("pattern:/v*/x", "/v2/x", True), ("pattern:/v*/x", "/w2/x", False),
        ("literal:/a/*", "/a/*", True), ("literal:/a/*", "/a/b", False), ("/a/*", "/a/b", False),
    ],
)  # fmt: skip
def test_prefixes_and_patterns(prefix, path, expected):
    assert below(prefix, path) is expected


@given(st.text("/ab.%2eEfF\\", max_size=12))
def test_a_path_that_climbs_meets_nothing(text):
    path = "/repos/mine/" + text
    if plain(path):
        assert ".." not in path.split("/")
        assert "%2e" not in path.lower()
    else:
        assert not lets(rules(), path=path)


def test_methods_schemes_and_ports():
    assert lets(rules(), "POST")
    assert not lets(rules(), "DELETE")
    assert not lets(rules(), scheme="http")
    assert lets(rules(schemes=["http"]), scheme="http")
    assert lets(rules(ports=[8443]), port=8443)
    assert not lets(rules(ports=[8443]), port=443)


@pytest.mark.parametrize(
    ("query", "expected"),
    [("state=open", True), ("state=closed", False), ("", False), ("state=open&state=all", False),
     ("a=b&state=open", True), ("st%61te=all&state=open", False),
     ("a=1;state=all&state=open", False)],
)  # fmt: skip
def test_a_query_that_is_named_has_to_be_there_once(query, expected):
    found = rules(query={"state": ["open", "all"]})
    assert lets(found, path=f"/repos/mine?{query}") is expected


def test_a_header_that_is_named_has_to_be_there():
    found = rules(headers={"X-Kind": ["a"]})
    assert lets(found, **{"x-kind": "a"})
    assert not lets(found, **{"x-kind": "b"})
    assert not lets(found)


TOKEN = {"name": "Authorization", "secret_env_var": "TOKEN", "prefix": "Bearer "}


def test_an_action_takes_out_and_puts_in():
    actions = {"auth": {"strip_request_headers": ["Cookie"], "inject_request_headers": [TOKEN]}}
    (rule,) = rules(action="auth", actions=actions)
    assert rule.strip == ("cookie",)
    (one,) = rule.inject
    assert (one.header, one.env, one.prefix) == ("Authorization", "TOKEN", "Bearer ")


@pytest.mark.parametrize(
    ("hook", "actions", "more", "words"),
    [
        ({"host": "*.example"}, None, None, "host"),
        ({"host": "api.example:443"}, None, None, "host"),
        ({"methods": []}, None, None, "has to name methods"),
        ({"methods": ["G T"]}, None, None, "has to name methods"),
        ({"methods": ["GET", "TRACE"]}, None, None, "has to name methods"),
        ({"methods": ["connect"]}, None, None, "has to name methods"),
        ({"path_prefixes": ["repos"]}, None, None, "no path"),
        ({"path_prefixes": []}, None, None, '"/" is all of them'),
        ({"path_prefixes": ["/a?b"]}, None, None, "no path"),
        ({"ports": [70_000]}, None, None, "1 to 65535"),
        ({"schemes": ["ftp"]}, None, None, "ftp"),
        ({"action": "gone"}, None, None, "no mitm action 'gone'"),
        ({"paths": ["/"]}, None, None, "unknown key"),
        ({"action": "a"}, {"a": {"inject_request_headers": [{"name": "Host", "secret_env_var": "X"}]}}, None, "cannot be set"),
        ({"action": "a"}, {"a": {"inject_request_headers": [{"name": "User-Agent", "secret_env_var": "X"}]}}, None, "cannot be set"),
        ({"action": "a"}, {"a": {"inject_request_headers": [{"name": "A"}]}}, None, "and not both"),
        ({"action": "a"}, {"a": {"inject_request_headers": [{**TOKEN, "secret_file": "/x"}]}}, None, "and not both"),
        ({"action": "a"}, {"a": {"inject_request_headers": [{"name": "A", "secret_file": "x"}]}}, None, "absolute path"),
        ({"action": "a"}, {"a": {"inject_request_headers": [{**TOKEN, "prefix": "a\r\n"}]}}, None, "plain ASCII"),
        ({"action": "a"}, {"a": {"strip_request_headers": ["Content-Length"]}}, None, "cannot be set"),
        ({"action": "a", "schemes": ["http"]}, {"a": {"inject_request_headers": [TOKEN]}}, None, "unencrypted"),
        ({}, None, {"mitm_ca": {"certificate_file": "/x"}}, "not known here"),
        ({}, None, {"credential_providers": {"github": {}}}, "not known here"),
    ],
)  # fmt: skip
def test_a_table_that_is_wrong_says_where(hook, actions, more, words):
    with pytest.raises(UsageError) as caught:
        rules(hook, actions=actions, more=more)
    assert words in str(caught.value) + str(caught.value.hint)


@pytest.mark.parametrize("needed", ["host", "methods", "path_prefixes"])
def test_what_a_rule_needs_is_named_when_it_is_missing(needed):
    hook = {key: value for key, value in HOOK.items() if key != needed}
    with pytest.raises(UsageError, match=f"{needed}: is missing"):
        from_mapping({"network": {"enabled": True, "domains": {"api.example": "allow"},
                                  "mitm": {"hooks": {"x": hook}}}})  # fmt: skip


def test_a_secret_may_travel_unencrypted_only_when_that_is_said():
    actions = {"auth": {"inject_request_headers": [TOKEN]}}
    more = {"dangerously_allow_plaintext_credential_injection": True}
    (rule,) = rules(action="auth", schemes=["http"], actions=actions, more=more)
    assert rule.schemes == ("http",)


def test_a_profile_replaces_its_parents_rules_by_name():
    network = {"enabled": True, "domains": {"api.example": "allow"}}
    hooks = {"mine": HOOK, "other": {**HOOK, "host": "o.example"}}
    tables = {
        "parent": {"network": {**network, "mitm": {"hooks": hooks}}},
        "child": {
            "extends": "parent",
            "network": {"mitm": {"hooks": {"mine": {**HOOK, "methods": ["PUT"]}}}},
        },
    }
    found = from_tables("child", tables).network.requests
    assert {(one.name, one.methods) for one in found} == {
        ("mine", ("PUT",)), ("other", ("GET", "POST")),
    }  # fmt: skip
