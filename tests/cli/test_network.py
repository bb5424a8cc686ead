"""`octavo network test`."""

import json

import pytest

PROFILE = (
    '[permissions.build.filesystem]\n":root" = "read"\n'
    "[permissions.build.network]\nenabled = true\n"
    'domains = { "**.example.org" = "allow", "bad.example.org" = "deny" }\n'
)


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("https://api.example.org/x", 0, "allowed, by"),
        ("bad.example.org:443", 1, "refused, by"),
        ("elsewhere.example", 1, "to allow: --allow elsewhere.example:443"),
        ("http://127.0.0.1:80/", 1, "refused"),
        ("gopher://x", 2, "nothing the proxy knows"),
        ("https://1.2.3/", 2, "1.2.3"),
    ],
)
def test_each_answer_has_its_code(octavo, target, code, words):
    octavo.config(PROFILE)
    done = octavo("network", "test", "-P", "build", target)
    assert words in done.stdout + done.stderr
    assert done.returncode == code


def test_without_rules_it_says_what_is_in_force(octavo):
    off = octavo("network", "test", "example.org")
    assert (off.returncode, "to allow: --allow example.org" in off.stdout) == (1, True)
    on = octavo("network", "test", "-s", "danger-full-access", "example.org")
    assert (on.returncode, "every host" in on.stdout) == (0, True)


def test_programs_get_an_object(octavo):
    octavo.config(PROFILE)
    done = octavo("network", "test", "-P", "build", "--json", "elsewhere.example")
    found = json.loads(done.stdout)
    assert found["decision"]["reason"] == "not_allowed"
    assert found["target"] == "elsewhere.example:443"
