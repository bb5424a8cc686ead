import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from octavo.protocol.errors import ConfigError
from octavo.sandbox.windows import acl, setup
from octavo.sandbox.windows.helper_run import carry_out, reported
from octavo.sandbox.windows.setup import Payload, SetupError
from octavo.sandbox.windows.setup_run import Places
from sandbox.windows.fake_machine import (
    GROUP_SID,
    USER_SID,
    Account,
    CallFailedError,
    FakeMachine,
    PowerCut,
    World,
)

HOME = "C:\\Users\\me\\.octavo"
PLACES = Places(HOME)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROVISION = Payload(
    octavo_home=HOME, command_cwd=HOME, real_user="D\\me", mode="interactive-provision"
)
FULL = replace(PROVISION, mode="full", write_roots=("C:\\w",), read_roots=("C:\\r",))
NUMBERS = [5, 87, 1312, 1379, 2223, 1332, -2147024891]


def random():
    count = itertools.count()
    return lambda size: bytes((next(count) * 7 + at) % 256 for at in range(size))


def run(machine, payload=PROVISION):
    return reported(
        payload, machine, lambda: carry_out(payload, machine, random=random(), now=lambda: AT)
    )


def report(machine):
    return json.loads(machine.world.files[PLACES.report])


def marker(world):
    return setup.decode_marker(world.files[PLACES.marker], PLACES.marker)


def is_set_up(world):
    try:
        found = marker(world)
        users = setup.decode_users(world.files.get(PLACES.users, b""), PLACES.users)
    except (ConfigError, KeyError):
        return False
    state = setup.State(
        marker=found,
        users=users,
        accounts_enabled=not any(each.flags & 2 for each in world.accounts.values()),
    )
    return setup.needed(state, "offline", keep_network=True) is None


def opened(world):
    """Can a command of the offline account start without its walls?"""
    account = world.accounts.get(setup.OFFLINE)
    walls = len(world.rules) == 4 and all(";;;S-1-5-21" in r.users for r in world.rules.values())
    return account is not None and not account.flags & 2 and not walls


def secrets_of(world):
    return [each.password for each in world.accounts.values()]


def test_a_full_run_keeps_the_order_that_leaves_no_gap():
    machine = FakeMachine()
    assert run(machine, FULL) == 0, machine.logged
    names = machine.names()

    def at(name, of=None):
        return next(
            i for i, call in enumerate(machine.calls) if call[0] == name and of in (None, *call[1:])
        )

    order = [
        at("alone"),
        at("open_log"),
        at("create_new"),
        at("remove_file", PLACES.users),
        at("make_group"),
        at("make"),
        at("open"),
        at("policy"),
        at("put"),
        at("filters"),
        at("enable"),
        at("lock", PLACES.secrets),
        at("replace", PLACES.users),
        at("fill"),
        at("apply"),
        at("start_reader"),
        at("grant_runtime"),
        at("lock", PLACES.programs),
    ]
    assert order == sorted(order)
    assert names.count("seal") == 2
    assert is_set_up(machine.world)
    assert not opened(machine.world)


def test_what_is_left_says_what_was_set_up():
    machine = FakeMachine()
    payload = replace(PROVISION, proxy_ports=(8080, 80), allow_local_binding=False)
    assert run(machine, payload) == 0
    found = marker(machine.world)
    assert found.created_at == "2026-01-02T03:04:05Z"
    assert found.proxy_ports == (80, 8080)
    assert machine.world.rules["octavo_sandbox_offline_block_loopback_tcp"].remote_ports == (
        "1-79,81-8079,8081-65535"
    )
    for name in (setup.OFFLINE, setup.ONLINE):
        account = machine.world.accounts[name]
        assert account.groups == {GROUP_SID, acl.USERS}
        assert account.flags == setup.ACCOUNT_FLAGS
        assert len(account.password) == setup.PASSWORD_LENGTH
    assert machine.world.hidden == {setup.OFFLINE, setup.ONLINE}
    first, second = secrets_of(machine.world)
    assert first != second


def test_the_mutex_is_held_as_long_as_it_takes_and_only_administrators_open_it():
    machine = FakeMachine()
    held = []
    machine.put = lambda rule: (
        held.append(list(machine.held)),
        machine.world.rules.update({rule.name: rule}),
    )
    assert run(machine) == 0
    assert held[0] == ["Global\\OctavoSandboxSetup"]
    assert machine.calls[0] == ("alone", setup.SETUP_MUTEX, "D:P(A;;GA;;;SY)(A;;GA;;;BA)")
    assert machine.held == []


def test_the_marker_is_born_empty_and_closed():
    machine = FakeMachine()
    run(machine)
    made = next(call for call in machine.calls if call[0] == "create_new")
    assert made == (
        "create_new",
        PLACES.marker,
        f"D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;{USER_SID})",
    )


def test_the_modes_that_only_provision_touch_no_folder_of_the_user():
    for mode in ("provision-only", "interactive-provision"):
        machine = FakeMachine()
        assert run(machine, replace(FULL, mode=mode)) == 0
        assert not {"apply", "start_reader", "grant_runtime"} & set(machine.names())
        assert machine.world.locked[PLACES.secrets].protected


CODES = {
    "alone": "helper_unknown_error",
    "open_log": "helper_log_failed",
    ("folder", PLACES.state): "helper_sandbox_dir_create_failed",
    "create_new": "helper_setup_marker_write_failed",
    "make": "helper_user_create_or_update_failed",
    "state": "helper_user_create_or_update_failed",
    "join": "helper_user_create_or_update_failed",
    "open": "helper_firewall_com_init_failed",
    "policy": "helper_firewall_policy_access_failed",
    "put": "helper_firewall_rule_create_or_add_failed",
    "remove_rule": "helper_firewall_rule_create_or_add_failed",
    "users_of": "helper_firewall_rule_verify_failed",
    "filters": "helper_user_provision_failed",
    "enable": "helper_user_create_or_update_failed",
    ("folder", PLACES.secrets): "helper_sandbox_dir_create_failed",
    "lock": "helper_sandbox_lock_failed",
    "seal": "helper_dpapi_protect_failed",
    ("replace", PLACES.users): "helper_users_file_write_failed",
    "fill": "helper_setup_marker_write_failed",
    ("sid_of", "D\\me"): "helper_sid_resolve_failed",
    ("sid_of", setup.GROUP): "helper_users_group_create_failed",
    ("sid_of", setup.OFFLINE): "helper_sid_resolve_failed",
    ("remove_file", PLACES.users): "helper_users_file_write_failed",
}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("call", CODES, ids=str)
def test_every_call_that_fails_is_a_code_and_leaves_nothing_open(call, number):
    machine = FakeMachine(fail={call: number})
    assert run(machine) == 1
    assert report(machine)["code"] == CODES[call]
    assert str(number) in report(machine)["message"]
    assert not is_set_up(machine.world)
    assert not opened(machine.world)
    said = json.dumps([machine.logged, report(machine)])
    assert not [each for each in secrets_of(machine.world) if each in said]


@pytest.mark.parametrize("number", [1379, 2223])
def test_a_group_that_is_there_already_is_fine(number):
    machine = FakeMachine(fail={"make_group": number})
    machine.world.sids[setup.GROUP] = GROUP_SID
    assert run(machine) == 0


@pytest.mark.parametrize("number", [5, 87, 1312, 1332])
def test_a_group_that_cannot_be_made_is_an_error(number):
    machine = FakeMachine(fail={"make_group": number})
    assert run(machine) == 1
    assert report(machine)["code"] == "helper_users_group_create_failed"


def test_hiding_the_accounts_is_not_worth_a_failure():
    machine = FakeMachine(fail={"hide": 5})
    assert run(machine) == 0
    assert sum("stays visible" in line for line in machine.logged) == 2


def test_filters_are_needed_only_while_an_account_is_not_yet_in_use():
    world = World()
    assert run(FakeMachine(world, fail={"filters": 1753})) == 1
    assert all(each.flags & setup.ACCOUNT_DISABLED for each in world.accounts.values())
    assert run(FakeMachine(world)) == 0
    again = FakeMachine(world, fail={"filters": 1753})
    assert run(again) == 0
    assert any("platform filters" in line and "1753" in line for line in again.logged)


def test_a_firewall_that_a_policy_overrides_is_no_firewall():
    world = World()
    world.policy = 1
    machine = FakeMachine(world)
    assert run(machine) == 1
    assert report(machine)["code"] == "helper_firewall_policy_ineffective"
    assert "put" not in machine.names()
    assert PLACES.users not in world.files
    assert world.files[PLACES.marker] == b""


def test_a_rule_that_reads_back_for_somebody_else_is_refused():
    machine = FakeMachine()
    machine.users_of = lambda _name: "O:LSD:(A;;CC;;;S-1-5-21-9-9-9-20)"
    assert run(machine) == 1
    assert report(machine)["code"] == "helper_firewall_rule_verify_failed"
    assert not is_set_up(machine.world)


def test_the_power_can_go_off_after_any_step_and_the_next_run_repairs_it():
    whole = FakeMachine()
    run(whole)
    for steps in range(len(whole.calls)):
        world = World()
        with pytest.raises(PowerCut):
            run(FakeMachine(world, crash_after=steps))
        assert not is_set_up(world), f"after {steps} steps"
        assert not opened(world), f"after {steps} steps"
        assert run(FakeMachine(world)) == 0
        assert is_set_up(world)
        assert not opened(world)


def test_a_second_run_that_dies_leaves_no_credentials_of_the_first():
    world = World()
    run(FakeMachine(world))
    again = FakeMachine(world)
    run(again)
    changed = next(i for i, c in enumerate(again.calls) if c[0] == "set_password")
    for steps in range(changed, len(again.calls)):
        world = World()
        run(FakeMachine(world))
        with pytest.raises(PowerCut):
            run(FakeMachine(world, crash_after=steps))
        assert not is_set_up(world)
        assert not opened(world)


def test_a_second_run_gives_new_passwords_and_says_whom_that_concerns():
    world = World()
    run(FakeMachine(world))
    before = secrets_of(world)
    machine = FakeMachine(world)
    count = itertools.count(100)
    work = lambda: carry_out(  # noqa: E731 - once
        PROVISION,
        machine,
        random=lambda n: bytes(next(count) % 256 for _ in range(n)),
        now=lambda: AT,
    )
    assert reported(PROVISION, machine, work) == 0
    assert not set(before) & set(secrets_of(world))
    assert sum("other homes" in line for line in machine.logged) == 2


@pytest.mark.parametrize("account", [
    Account("theirs", 0x10001, "My own account"),
    Account("theirs", 0x10001, setup.ACCOUNT_COMMENT, priv=2),
])  # fmt: skip
def test_an_account_we_have_not_made_or_that_may_everything_is_never_touched(account):
    world = World()
    world.accounts[setup.ONLINE] = account
    world.sids[setup.ONLINE] = "S-1-5-21-9-9-9-3000"
    machine = FakeMachine(world)
    assert run(machine) == 1
    assert report(machine)["code"] == "helper_user_create_or_update_failed"
    assert "Octavo has not made" in report(machine)["message"]
    assert run(FakeMachine(world), replace(PROVISION, mode="uninstall")) == 0
    assert world.accounts[setup.ONLINE].password == "theirs"


def test_both_accounts_cannot_have_one_name():
    machine = FakeMachine()
    payload = replace(PROVISION, online_username=setup.OFFLINE.upper())
    assert run(machine, payload) == 1
    assert "both accounts" in report(machine)["message"]


def test_a_defect_is_reported_without_its_text_which_may_hold_anything():
    machine = FakeMachine()

    def broken(name, password, **_options):
        raise KeyError(password)

    machine.make = broken
    assert run(machine) == 1
    assert report(machine) == {"code": "helper_unknown_error", "message": "a defect: KeyError"}


def test_a_report_that_cannot_be_written_is_still_a_failure():
    machine = FakeMachine(fail={"replace": 5, "open_log": 5})
    assert run(machine) == 1


# Refresh -----------------------------------------------------------------------------------------


def refreshed(world=None, **how):
    world = world or World()
    world.sids[setup.GROUP] = GROUP_SID
    return FakeMachine(world, **how)


def test_a_refresh_takes_no_mutex_and_makes_no_account():
    machine = refreshed()
    assert run(machine, replace(FULL, refresh_only=True)) == 0
    assert not {"alone", "make", "put", "filters", "create_new"} & set(machine.names())


def test_a_refresh_tries_everything_and_fails_as_a_whole_with_every_problem():
    machine = refreshed(fail={"start_reader": 5})
    machine.world.problems = [f"C:\\w\\{n}: SetSecurityInfo, 5, owned by S-1-5-18" for n in "ab"]
    assert run(machine, replace(FULL, refresh_only=True)) == 1
    assert ("lock", PLACES.programs) in machine.calls
    found = report(machine)
    assert found["code"] == "helper_unknown_error"
    assert "C:\\w\\a" in found["message"]
    assert "C:\\w\\b" in found["message"]
    assert "start_reader" in found["message"]


@pytest.mark.parametrize(("call", "code"), [
    ("start_reader", "helper_read_acl_helper_spawn_failed"),
    ("lock", "helper_sandbox_lock_failed"),
    ("apply", "helper_unknown_error"),
    ("grant_runtime", "helper_unknown_error"),
])  # fmt: skip
def test_one_problem_of_a_refresh_keeps_its_own_code(call, code):
    machine = refreshed(fail={call: 5})
    assert run(machine, replace(FULL, refresh_only=True)) == 1
    assert report(machine)["code"] == code
    assert "(Windows error 5)" in report(machine)["message"]


def test_a_long_list_of_problems_is_in_the_log_and_counted_in_the_message():
    machine = refreshed()
    machine.world.problems = [f"problem {n}" for n in range(40)]
    assert run(machine, replace(FULL, refresh_only=True)) == 1
    assert "and 35 more" in report(machine)["message"]
    assert sum("problem" in line and "FAILURE: problem" in line for line in machine.logged) == 40


def test_a_refresh_without_the_group_says_so():
    machine = FakeMachine()
    assert run(machine, replace(FULL, refresh_only=True)) == 1
    assert report(machine)["code"] == "helper_sid_resolve_failed"


def test_a_worker_leaves_when_another_one_is_there():
    payload = replace(FULL, mode="read-acls-only")
    machine = refreshed()
    machine.world.problems = [setup.READ_MUTEX]
    assert run(machine, payload) == 0
    assert machine.names() == ["reader"]
    machine = refreshed()
    assert run(machine, payload) == 0
    assert machine.calls[-1] == ("grant_reading", ("C:\\r",))


def test_what_the_worker_cannot_grant_is_only_in_its_log():
    machine = refreshed(fail={"grant_reading": 5})
    assert run(machine, replace(FULL, mode="read-acls-only")) == 0
    assert any(line.startswith("FAILURE") for line in machine.logged)


# Uninstall ---------------------------------------------------------------------------------------

UNINSTALL = replace(PROVISION, mode="uninstall")


def set_up_world():
    world = World()
    assert run(FakeMachine(world), FULL) == 0
    for name in (setup.OFFLINE, setup.ONLINE):
        world.processes[world.sids[name]] = 1
        world.profiles.add(world.sids[name])
    return world


def test_uninstall_leaves_nothing_and_again_is_harmless():
    world = set_up_world()
    machine = FakeMachine(world)
    assert run(machine, UNINSTALL) == 0
    assert (world.accounts, world.groups, world.rules, world.filters) == ({}, {}, {}, False)
    assert (world.hidden, world.processes, world.profiles) == (set(), {}, set())
    assert not [path for path in world.files if path.startswith(HOME)]
    assert run(FakeMachine(world), UNINSTALL) == 0


def test_uninstall_goes_from_the_accounts_inwards_and_keeps_walls_until_they_are_silent():
    machine = FakeMachine(set_up_world())
    run(machine, UNINSTALL)
    names = machine.names()
    order = ["alone", "remove_file", "disable", "stop_processes", "remove_tree", "remove_filters",
             "remove_rule", "unhide", "remove_profile", "remove_account", "remove_group"]  # fmt: skip
    firsts = [names.index(name) for name in order]
    assert firsts == sorted(firsts)
    assert names[-1] == "remove_tree"


@pytest.mark.parametrize("call", ["disable", "stop_processes", "state"])
def test_while_a_process_may_run_its_walls_stay(call):
    world = set_up_world()
    machine = FakeMachine(world, fail={call: 5})
    assert run(machine, UNINSTALL) == 1
    assert len(world.rules) == 4
    assert world.filters
    assert set(world.accounts) == {setup.OFFLINE, setup.ONLINE}
    assert not is_set_up(world)
    assert run(FakeMachine(world), UNINSTALL) == 0
    assert world.accounts == {}


@pytest.mark.parametrize("call", ["remove_filters", "remove_rule", "unhide", "open"])
def test_an_account_outlives_walls_that_cannot_be_removed(call):
    world = set_up_world()
    assert run(FakeMachine(world, fail={call: 5}), UNINSTALL) == 1
    assert set(world.accounts) == {setup.OFFLINE, setup.ONLINE}
    assert run(FakeMachine(world), UNINSTALL) == 0


@pytest.mark.parametrize("call", ["remove_profile", "remove_account", "remove_group"])
def test_uninstall_says_what_is_left(call):
    world = set_up_world()
    machine = FakeMachine(world, fail={call: 5})
    assert run(machine, UNINSTALL) == 1
    assert "this is left: " in report(machine)["message"]
    assert PLACES.report in world.files
    assert run(FakeMachine(world), UNINSTALL) == 0
    assert not world.files


def test_an_uninstall_that_dies_can_be_run_again():
    whole = FakeMachine(set_up_world())
    run(whole, UNINSTALL)
    for steps in range(len(whole.calls)):
        world = set_up_world()
        with pytest.raises(PowerCut):
            run(FakeMachine(world, crash_after=steps), UNINSTALL)
        assert not opened(world), f"after {steps} steps"
        assert run(FakeMachine(world), UNINSTALL) == 0
        assert world.accounts == {}
        assert world.rules == {}


def test_the_failure_a_call_gives_is_kept_as_the_cause():
    machine = FakeMachine(fail={"put": 5})
    with pytest.raises(SetupError) as caught:
        carry_out(PROVISION, machine, random=random(), now=lambda: AT)
    assert isinstance(caught.value.__cause__, CallFailedError)
