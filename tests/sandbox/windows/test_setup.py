import base64
import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.protocol.errors import ConfigError, SandboxUnavailable, UsageError
from octavo.sandbox.windows import setup
from octavo.sandbox.windows.setup import Account, Marker, Payload, SetupError, State, UsersFile

paths = st.lists(
    st.text(st.characters(codec="utf-8"), max_size=9).map(lambda name: "C:\\" + name), max_size=4
).map(tuple)
payloads = st.builds(
    Payload,
    octavo_home=st.just("C:\\h"),
    command_cwd=st.just("C:\\w"),
    read_roots=paths,
    write_roots=paths,
    deny_read_paths=paths,
    deny_write_paths=paths,
    proxy_ports=st.lists(st.integers(1, 65535), unique=True).map(lambda p: tuple(sorted(p))),
    allow_local_binding=st.booleans(),
    real_user=st.text(st.characters(codec="utf-8"), max_size=9),
    mode=st.sampled_from(setup.MODES),
    refresh_only=st.booleans(),
)
ONE = Payload(octavo_home="C:\\h", command_cwd="C:\\w", real_user="D\\me")
USERS = UsersFile(Account(setup.OFFLINE, b"\1\2"), Account(setup.ONLINE, b"\3"))
MARKER = Marker(created_at="2026-01-01T00:00:00Z", proxy_ports=(8080,))


@given(payloads)
def test_a_payload_arrives_as_it_was_sent(payload):
    arguments, variables = setup.launch_arguments(setup.encode_payload(payload))
    assert setup.decode_payload(setup.received_arguments(arguments, variables)) == payload


def test_a_long_payload_goes_in_pieces_and_each_piece_is_needed():
    long = Payload(
        octavo_home="C:\\h", command_cwd="C:\\w", real_user="me",
        read_roots=tuple(f"C:\\folder {at}" for at in range(3000)),
    )  # fmt: skip
    arguments, variables = setup.launch_arguments(setup.encode_payload(long))
    assert arguments == (setup.LAUNCH_ENV,)
    assert all(len(value) <= setup.PIECE for value in variables.values())
    assert setup.decode_payload(setup.received_arguments(arguments, variables)) == long
    for name in variables:
        less = {key: value for key, value in variables.items() if key != name}
        with pytest.raises(SetupError) as caught:
            setup.received_arguments(arguments, less)
        assert caught.value.code == "helper_request_args_failed"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("version", 99, "version 99"),
        ("mode", "other", "'mode' is 'other'"),
        ("proxy_ports", [0], "list of ports"),
        ("proxy_ports", [True], "list of ports"),
        ("read_roots", "C:\\x", "list of paths"),
        ("write_roots", ["relative"], "not absolute"),
        ("refresh_only", 1, "not a bool"),
        ("offline_username", "x" * 21, "1 to 20"),
        ("offline_username", 'a"b', "letters"),
        ("real_user", None, "not a str"),
    ],
)
def test_a_wrong_field_is_named(name, value, reason):
    table = json.loads(base64.b64decode(setup.encode_payload(ONE)))
    encoded = base64.b64encode(json.dumps({**table, name: value}).encode()).decode()
    with pytest.raises(SetupError, match=re.escape(reason)):
        setup.decode_payload(encoded)
    del table[name]
    encoded = base64.b64encode(json.dumps(table).encode()).decode()
    with pytest.raises(SetupError, match=name):
        setup.decode_payload(encoded)


@pytest.mark.parametrize("junk", ["", "!", "YQ==", "gICA", base64.b64encode(b"[]").decode()])
def test_an_argument_that_is_no_payload_is_an_error(junk):
    with pytest.raises(SetupError):
        setup.decode_payload(junk)


def test_a_password_has_24_characters_of_the_alphabet():
    made = setup.password(os.urandom)
    assert len(made) == 24
    assert set(made) <= set(setup.PASS_CHARS)
    assert made != setup.password(os.urandom)
    with pytest.raises(UsageError):
        setup.password(lambda size: b"\xff" * size)


def test_the_users_file_says_what_was_written_and_shows_no_password():
    again = setup.decode_users(setup.encode_users(USERS), "f")
    assert again == USERS
    assert again.account("online").sealed == b"\3"
    assert "sealed" not in repr(again)


def users_table(**more):
    return {**json.loads(setup.encode_users(USERS)), **more}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"", "empty"),
        (b"\xff", "not JSON"),
        (b"[]", "no object"),
        (users_table(version=9), "version is 9"),
        (users_table(offline=None), "offline is missing"),
        (users_table(online={"username": "", "password": "YQ=="}), "online.username"),
        (users_table(online={"username": "a", "password": "secret!"}), "online.password"),
    ],
)
def test_a_damaged_users_file_is_named_without_its_content(table, reason):
    raw = table if isinstance(table, bytes) else json.dumps(table).encode()
    with pytest.raises(ConfigError, match=reason) as caught:
        setup.decode_users(raw, "f")
    assert "secret" not in str(caught.value)
    assert caught.value.hint


def test_the_marker_says_what_was_written():
    assert setup.decode_marker(setup.encode_marker(MARKER), "f") == MARKER


@pytest.mark.parametrize("more", [{"proxy_ports": [0]}, {"version": "1"}, {"created_at": None}])
def test_a_damaged_marker_is_named(more):
    table = {**json.loads(setup.encode_marker(MARKER)), **more}
    with pytest.raises(ConfigError, match=next(iter(more))):
        setup.decode_marker(json.dumps(table).encode(), "f")


def test_an_empty_marker_is_set_up_that_did_not_finish():
    with pytest.raises(ConfigError, match="empty"):
        setup.decode_marker(b"", "f")


@pytest.mark.parametrize(
    ("state", "identity", "more", "reason"),
    [
        (State(marker=None, users=USERS), "online", {}, "never finished"),
        (State(marker=MARKER, users=None), "online", {}, "credentials"),
        (State(marker=Marker(created_at="", version=0), users=USERS), "online", {}, "version 0"),
        (State(marker=MARKER, users=USERS, accounts_enabled=False), "online", {}, "disabled"),
        (State(marker=MARKER, users=USERS), "offline", {}, "other proxy ports"),
        (
            State(marker=MARKER, users=USERS),
            "offline",
            {"proxy_ports": (8080,), "allow_local_binding": True},
            "other way",
        ),
        (State(marker=MARKER, users=USERS), "offline", {"proxy_ports": (8080,)}, None),
        (State(marker=MARKER, users=USERS), "offline", {"keep_network": True}, None),
        (State(marker=MARKER, users=USERS), "online", {}, None),
    ],
)
def test_when_set_up_has_to_run(state, identity, more, reason):
    found = setup.needed(state, identity, **more)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize(
    ("exit_code", "report", "complete", "code"),
    [
        (0, None, True, None),
        (0, None, False, "orchestrator_helper_incomplete"),
        (1, None, True, "orchestrator_helper_exit_nonzero"),
        (1, b"{", True, "orchestrator_helper_report_read_failed"),
        (1, b'{"code": 1, "message": "m"}', True, "orchestrator_helper_report_read_failed"),
        (1, setup.encode_report("helper_log_failed", "m"), True, "helper_log_failed"),
        (1, b'{"code": "other", "message": "m"}', True, "helper_unknown_error"),
    ],
)
def test_what_a_finished_helper_means(exit_code, report, complete, code):
    found = setup.outcome(exit_code, report, complete=complete)
    assert code == (None if found is None else found.code)


def test_a_declined_prompt_is_told_apart():
    assert setup.launch_failure(1223).code == "orchestrator_helper_launch_canceled"
    assert setup.launch_failure(2).code == "orchestrator_helper_launch_failed"


def test_names_of_accounts_fit_windows():
    assert setup.account_name_ok(setup.OFFLINE)
    assert setup.account_name_ok(setup.ONLINE)


@given(st.text(max_size=300))
def test_a_preview_is_cut_between_characters(text):
    cut = setup.preview([text])
    assert len(cut.encode()) <= 200
    assert (
        text.encode("utf-8", "backslashreplace")
        .decode()
        .replace("\r", " ")
        .replace("\n", " ")
        .startswith(cut)
    )


def test_metrics_carry_no_user_name():
    assert setup.metric("C:\\Users\\Me\\x", "me") == "C__Users_USER_x"
    assert len(setup.metric("x" * 300)) == 256


def test_runners_of_versions_live_side_by_side():
    assert setup.runner_name("1.2.3", 5, 6) == "octavo-command-runner-1.2.3"
    assert setup.runner_name("0.0.0", 5, 255) == "octavo-command-runner-5-ff"
    assert setup.is_fresh((5, 6), (5, 6))
    assert not setup.is_fresh((5, 6), (5, 5))
    assert not setup.is_fresh((5, 6), None)


@pytest.mark.parametrize(("path", "store"), [
    ("C:\\Program Files\\WindowsApps\\PythonSoftwareFoundation.Python.3.13_x64\\python.exe", True),
    ("C:/Users/me/AppData/Local/Microsoft/windowsapps/python.exe", True),
    ("C:\\Users\\me\\AppData\\Local\\Programs\\Python\\Python313\\python.exe", False),
    ("D:\\WindowsAppsOld\\python.exe", False),
])  # fmt: skip
def test_a_python_of_the_store_is_known_by_its_place(path, store):
    assert setup.is_store_build(path) == store


@pytest.mark.parametrize(("relative", "copied"), [
    ("python.exe", True), ("python3.dll", True), ("Lib\\os.py", True), ("DLLs\\_ssl.pyd", True),
    ("LICENSE.txt", False), ("Lib\\test\\x.py", False), ("Lib\\site-packages\\x\\y.py", False),
    ("Lib\\json\\__pycache__\\x.pyc", False), ("Scripts\\pip.exe", False),
])  # fmt: skip
def test_a_private_python_has_what_runs_and_nothing_that_was_installed(relative, copied):
    assert setup.in_copy(relative) == copied


def test_an_error_of_set_up_keeps_its_plain_message():
    error = SetupError("helper_log_failed", "the log: no")
    assert (error.message, str(error)) == (
        "the log: no",
        "sandbox set-up: the log: no (helper_log_failed)",
    )


# Ports of proxies --------------------------------------------------------------------------------


def test_the_ports_of_the_marker_are_those_a_proxy_may_wait_at():
    assert setup.check_ports(MARKER, "a rule") == (8080,)
    assert setup.check_ports(MARKER, "a rule", 8080) == (8080,)


@pytest.mark.parametrize(("marker", "port", "reason"), [
    (None, None, "it is not set up"),
    (Marker(created_at="x"), None, "opened no port"),
    (MARKER, 8081, "port 8081 is not open in the firewall; open are 8080"),
])  # fmt: skip
def test_without_an_open_port_rule_reason_and_remedy_are_named(marker, port, reason):
    with pytest.raises(SandboxUnavailable, match=reason) as caught:
        setup.check_ports(marker, "rules per host (a rule)", port)
    assert "cannot hold rules per host (a rule)" in str(caught.value)
    assert "did not run" in str(caught.value)
    assert "octavo sandbox setup" in caught.value.hint


def test_the_ports_set_up_opens_are_one_range_of_the_firewall():
    assert len(set(setup.PROXY_PORTS)) == len(setup.PROXY_PORTS) == 10
    assert setup.PROXY_PORTS[-1] - setup.PROXY_PORTS[0] == 9


@pytest.mark.parametrize(("marker", "identity", "keep", "ports"), [
    (MARKER, "offline", True, (8080,)),
    (MARKER, "online", False, (8080,)),
    (MARKER, "offline", False, (1, 2)),
    (None, "offline", True, (1, 2)),
])  # fmt: skip
def test_new_credentials_leave_the_ports_as_they_were(marker, identity, keep, ports):
    found = setup.network_after(
        marker, identity, proxy_ports=(1, 2), allow_local_binding=False, keep_network=keep
    )
    assert found == (ports, False)
