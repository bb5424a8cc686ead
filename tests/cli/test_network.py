"""`octavo network test`."""

import json

import pytest

from octavo.store.audit import AuditLog

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


THREAD = "0198c5a6-0000-7000-8000-000000000001"
REACHED = {"host": "ok.example", "port": 443, "protocol": "tcp", "verdict": "reached",
           "reason": "allowed", "rule": '"ok.example" = "allow"'}  # fmt: skip
REFUSED = {"host": "no.example", "port": 80, "protocol": "http", "verdict": "refused",
           "reason": "not_allowed", "rule": None, "grant": "--allow no.example:80"}  # fmt: skip


def record(octavo, *hosts):
    log = AuditLog(str(octavo.home), THREAD, now_ms=lambda: 1_790_000_000_000)
    log.add("command", {"argv": ["ls"], "status": "completed", "exit_code": 0})
    for one in hosts:
        log.add("host", one)
    return log.path


def test_the_log_names_host_port_rule_and_grant(octavo):
    path = record(octavo, REACHED, REFUSED, {**REACHED, "failure": "dns"})
    lines = octavo("network", "log", path).stdout.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        'reached  ok.example:443  ["ok.example" = "allow"]',
        "refused  no.example:80  not_allowed; to allow: --allow no.example:80",
        'reached  ok.example:443  but not connected: dns  ["ok.example" = "allow"]',
    ]


def test_only_what_did_not_come_about(octavo):
    path = record(octavo, REACHED, REFUSED)
    assert octavo("network", "log", "--refused", path).stdout.count("\n") == 1
    found = json.loads(octavo("network", "log", "--refused", "--json", path).stdout)
    assert found["facts"]["grant"] == "--allow no.example:80"


def test_an_empty_log_says_so(octavo):
    path = record(octavo)
    assert octavo("network", "log", path).stdout == "no host was asked for\n"
    assert octavo("network", "log", "--refused", path).stdout == "no host was refused\n"


def test_a_thread_that_is_not_there_is_an_error(octavo):
    done = octavo("network", "log", THREAD)
    assert done.returncode != 0
    assert THREAD in done.stderr
