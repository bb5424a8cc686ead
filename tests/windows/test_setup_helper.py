"""The helper as a process of its own, and the machine it has in its hands.

Accounts, the firewall and filters are not there under Wine: what depends on them is tried against
a machine in memory, in tests/sandbox/windows.
"""

import json
import os
import secrets
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    import winreg

    import win32api
    import win32event
    import win32file

    from octavo.protocol.errors import ConfigError, OctavoError
    from octavo.sandbox.win32 import (
        credentials,
        disk,
        dpapi,
        elevate,
        own,
        own_files,
        setup_helper,
        state,
    )
    from octavo.sandbox.win32.accounts import LocalAccounts, processes_of
    from octavo.sandbox.win32.own_files import OwnFiles
    from octavo.sandbox.win32.winapi import CallError
    from octavo.sandbox.windows import acl, setup
    from octavo.sandbox.windows.setup import Account, Marker, Payload, SetupError, UsersFile
    from octavo.sandbox.windows.setup_run import Places

LINKS = ("C:\\Documents and Settings", "C:\\ProgramData\\Desktop", "Z:\\bin", "Z:\\lib")
MODULE = "octavo.sandbox.win32.setup_helper"
AT = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)


def payload(home, **more):
    more = {"mode": "provision-only", "command_cwd": str(home), **more}
    return Payload(octavo_home=str(home), real_user=elevate.user_name(), **more)


def helper(*arguments, env=None):
    return subprocess.run(
        [sys.executable, "-I", "-m", MODULE, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **(env or {})},
        timeout=120,
    )


@pytest.fixture
def files():
    made = OwnFiles("test", lambda: AT)
    yield made
    made.close()


# Arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "says"), [
    ((), "0 arguments"),
    (("a", "b"), "2 arguments"),
    (("???",), "not base64"),
    (("e30=",), "version None was sent"),
    (("--launch-payload-env",), "COUNT"),
])  # fmt: skip
def test_an_argument_that_is_no_payload_leaves_no_report(tmp_path, arguments, says):
    done = helper(*arguments)
    assert done.returncode == setup_helper.WRONG_ARGUMENTS
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_fails_is_in_report_and_log_and_the_marker_stays_empty(tmp_path):
    done = helper(setup.encode_payload(payload(tmp_path)))
    assert done.returncode == 1
    places = Places(str(tmp_path))
    report = json.loads(Path(places.report).read_bytes())
    # Wine accepts a new group and knows nobody by its name afterwards
    assert report["code"] == "helper_users_group_create_failed"
    assert "1332" in report["message"]
    assert Path(places.marker).read_bytes() == b""
    log = next(Path(places.state).glob("sandbox.*.log")).read_text("utf-8")
    assert "START: set-up, provision-only, for " in log
    assert "FAILURE: sandbox set-up: the group OctavoSandboxUsers" in log
    assert not Path(places.users).exists()


def test_a_payload_in_pieces_arrives(tmp_path):
    many = tuple(f"C:\\{at:05}{'x' * 200}" for at in range(300))
    encoded = setup.encode_payload(payload(tmp_path, read_roots=many))
    arguments, variables = setup.launch_arguments(encoded)
    assert arguments == ("--launch-payload-env",)
    assert helper(*arguments, env=variables).returncode == 1
    assert Path(Places(str(tmp_path)).report).exists()


def test_a_missing_piece_is_named(tmp_path):
    many = tuple(f"C:\\{at:05}{'x' * 200}" for at in range(300))
    encoded = setup.encode_payload(payload(tmp_path, read_roots=many))
    arguments, variables = setup.launch_arguments(encoded)
    done = helper(*arguments, env={**variables, "OCTAVO_SANDBOX_LAUNCH_1": ""})
    assert done.returncode == 2
    assert "OCTAVO_SANDBOX_LAUNCH_1 is missing" in done.stderr or "characters" in done.stderr


def test_the_worker_leaves_when_another_one_has_the_mutex(tmp_path):
    mutex = win32event.CreateMutex(None, False, setup.READ_MUTEX)
    try:
        worker = payload(tmp_path, mode="read-acls-only")
        assert helper(setup.encode_payload(worker)).returncode == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        mutex.Close()


# Mutexes -----------------------------------------------------------------------------------------


def test_set_up_waits_for_the_mutex_and_the_worker_does_not(tmp_path):
    machine = setup_helper.Machine(payload(tmp_path), os.environ)
    with machine.alone(setup.SETUP_MUTEX, setup.SETUP_MUTEX_SECURITY):
        other = win32event.OpenMutex(0x100000, False, setup.SETUP_MUTEX)
        waited = []
        thread = threading.Thread(
            target=lambda: waited.append(win32event.WaitForSingleObject(other, 50))
        )
        thread.start()
        thread.join()
        assert waited == [win32event.WAIT_TIMEOUT]
        other.Close()
    with machine.reader("Local\\OctavoTestReader") as first:
        assert first
        with machine.reader("Local\\OctavoTestReader") as second:
            assert not second
    with machine.reader("Local\\OctavoTestReader") as again:
        assert again


def test_a_mutex_left_by_a_dead_set_up_is_taken_over(tmp_path):
    code = (
        "import os, win32event\n"
        "m = win32event.CreateMutex(None, True, 'Local\\\\OctavoTestDead')\n"
        "print(win32event.WaitForSingleObject(m, 0), flush=True); os._exit(0)"
    )
    keep = win32event.CreateMutex(None, False, "Local\\OctavoTestDead")
    try:
        subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True)
        machine = setup_helper.Machine(payload(tmp_path), os.environ)
        with machine.alone("Local\\OctavoTestDead", setup.SETUP_MUTEX_SECURITY):
            pass
    finally:
        keep.Close()


@pytest.mark.traced
def test_the_mutex_is_for_system_and_administrators_only(tmp_path, trace):
    machine = setup_helper.Machine(payload(tmp_path), os.environ)
    with machine.alone(setup.SETUP_MUTEX + "Traced", setup.SETUP_MUTEX_SECURITY):
        pass
    asked = [each for each in trace.asked("create_mutex") if "Traced" in each.name]
    assert [(ace.allow, ace.sid, ace.mask) for ace in asked[0].entries] == [
        (True, acl.SYSTEM, 0x10000000),
        (True, acl.ADMINISTRATORS, 0x10000000),
    ]


# Files -------------------------------------------------------------------------------------------


def test_a_marker_is_new_and_empty_even_where_one_was(tmp_path, files):
    marker = tmp_path / "marker.json"
    marker.write_bytes(b"old")
    entries = setup.marker_security(own.user_sid())
    files.create_new(str(marker), entries)
    assert marker.read_bytes() == b""
    files.fill(str(marker), b"content")


@pytest.mark.traced
def test_the_marker_is_born_with_its_entries(tmp_path, files, trace):
    marker = tmp_path / "marker.json"
    files.create_new(str(marker), setup.marker_security(own.user_sid()))
    made = next(each for each in trace.asked("create_file") if each.name.endswith("marker.json"))
    assert [(ace.sid, ace.mask) for ace in made.entries] == [
        (acl.SYSTEM, 0x10000000),
        (acl.ADMINISTRATORS, 0x10000000),
        (own.user_sid(), 0x10000000),
    ]


@pytest.mark.traced
@pytest.mark.parametrize("kind", ["state", "secrets", "programs"])
def test_a_lock_is_written_whole_and_protected(tmp_path, files, trace, kind):
    group = "S-1-5-21-1-2-3-1005"
    wanted = acl.lock(str(tmp_path), kind, group=group, user=own.user_sid())
    files.lock(wanted)
    found = trace.written()
    assert found[-1].explicit == wanted.dacl
    assert found[-1].information == 0x80000004
    assert found[-1].access & acl.WRITE_DAC


def test_what_is_in_the_place_of_our_folders_and_files_is_refused(tmp_path, files):
    tmp_path = Path(disk.canonical(str(tmp_path)))
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OctavoError, match="is no folder"):
        files.folder(str(tmp_path / "file"))
    (tmp_path / "second").hardlink_to(tmp_path / "file")
    with pytest.raises(OctavoError, match="has 2 names"):
        files.fill(str(tmp_path / "file"), b"y")
    with pytest.raises(OctavoError, match="has 2 names"):
        own_files.append(str(tmp_path / "second"), b"y")
    assert (tmp_path / "file").read_bytes() == b"x"


def test_links_in_the_place_of_our_folders_are_refused(files):
    # a folder of Wine's own that is a link of the system below; on Windows one of the system's
    found = [path for path in LINKS if os.path.isdir(path) and disk.canonical(path) != path]
    if not found:
        pytest.skip("there is no link to try it with")
    with pytest.raises(OctavoError, match="is a link, or lies behind one"):
        files.folder(found[0])


def test_a_folder_of_ours_stays_where_it_is_while_set_up_runs(tmp_path, files):
    folder = tmp_path / ".sandbox"
    files.folder(str(folder))
    with pytest.raises(PermissionError):
        folder.rename(tmp_path / "moved")
    files.close()
    folder.rename(tmp_path / "moved")


def test_removing_a_tree_removes_links_and_not_what_they_show(tmp_path, files):
    import _winapi

    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (outside / "kept").write_bytes(b"x")
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "read-only").write_bytes(b"x")
    (tree / "a" / "read-only").chmod(0o444)
    try:
        _winapi.CreateJunction(str(outside), str(tree / "a" / "link"))
    except OSError:
        (tree / "a" / "link").rmdir()  # Wine makes the folder, and no junction of it
    files.remove_tree(str(tree))
    assert not os.path.lexists(tree)
    assert (outside / "kept").exists()
    files.remove_tree(str(tree))


def test_the_log_is_a_file_a_day_and_a_line_is_one_line(tmp_path, files):
    files.open_log(str(tmp_path))
    files.log("first\nFAILURE: forged")
    files.log("zweite Zeile: ü")
    (log,) = tmp_path.glob("*.log")
    assert log.name == "sandbox.2026-01-02.log"
    assert log.read_bytes().decode().split("\n") == [
        "[2026-01-02 03:04:05.006 test] first\\x0aFAILURE: forged",
        "[2026-01-02 03:04:05.006 test] zweite Zeile: ü",
        "",
    ]


# Secrets -----------------------------------------------------------------------------------------


def test_what_is_sealed_is_unsealed_and_what_was_changed_is_not():
    sealed = dpapi.seal(b"a password")
    assert b"a password" not in sealed
    assert dpapi.unseal(sealed) == b"a password"
    spoilt = bytes([*sealed[:-1], sealed[-1] ^ 1])
    with pytest.raises(CallError) as caught:
        dpapi.unseal(spoilt)
    assert caught.value.code == 13


GROUP = "S-1-5-32-545"


def marker(name, **more):
    names = {"offline_username": name, "online_username": name}
    return Marker(created_at="2026-01-01T00:00:00Z", **{**names, **more})


def stored(home, monkeypatch):
    """Credentials as set-up leaves them; names of Wine's own stand for ours."""
    me = win32api.GetUserName()
    monkeypatch.setattr(setup, "GROUP", "Users")
    places = Places(str(home))
    os.makedirs(places.secrets)
    os.makedirs(places.state)
    Path(places.marker).write_bytes(setup.encode_marker(marker(me)))
    users = UsersFile(*(Account(me, dpapi.seal(word)) for word in (b"one!", b"two!")))
    state.replace(places.users, setup.encode_users(users))
    return places


def closed(places):
    wanted = acl.lock(places.secrets, "secrets", group=GROUP, user=own.user_sid())
    return lambda path: acl.Present(path, True, acl.ADMINISTRATORS, wanted.dacl, protected=True)


def test_credentials_are_those_of_the_identity_and_never_printed(tmp_path, monkeypatch):
    places = stored(tmp_path, monkeypatch)
    found = credentials.load(str(tmp_path), "online", look=closed(places))
    assert (found.password, found.sid) == ("two!", LocalAccounts().sid_of(found.username))
    assert credentials.load(str(tmp_path), "offline", look=closed(places)).password == "one!"
    assert "two!" not in repr(found)


def test_a_folder_that_others_can_read_gives_no_credentials(tmp_path, monkeypatch):
    stored(tmp_path, monkeypatch)
    with pytest.raises(OctavoError, match="does not protect the accounts' credentials") as caught:
        credentials.load(str(tmp_path), "online")
    assert "octavo sandbox setup" in caught.value.hint


@pytest.mark.parametrize(("content", "says"), [
    (b"", "empty"), (b"{", "not JSON"), (b"[]", "no object"), (b'{"version": 9}', "version"),
    (b" " * 70_000, "longer"),
])  # fmt: skip
def test_a_damaged_users_file_is_named_and_means_not_set_up(tmp_path, monkeypatch, content, says):
    places = stored(tmp_path, monkeypatch)
    Path(places.users).write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        credentials.load(str(tmp_path), "offline", look=closed(places))
    assert caught.value.file == places.users
    assert credentials.state(str(tmp_path)).users is None


def test_without_a_finished_set_up_there_are_no_credentials(tmp_path, monkeypatch):
    places = stored(tmp_path, monkeypatch)
    Path(places.marker).write_bytes(b"")
    with pytest.raises(ConfigError, match="empty") as caught:
        credentials.load(str(tmp_path), "online", look=closed(places))
    assert caught.value.file == places.marker
    me = win32api.GetUserName()
    for other, says in ((marker(me, version=99), "version 99"), (marker("Other"), "different")):
        Path(places.marker).write_bytes(setup.encode_marker(other))
        with pytest.raises(OctavoError, match=says):
            credentials.load(str(tmp_path), "online", look=closed(places))


def test_credentials_of_another_machine_mean_not_set_up(tmp_path, monkeypatch):
    places = stored(tmp_path, monkeypatch)
    users = setup.decode_users(Path(places.users).read_bytes(), places.users)
    spoilt = Account(users.online.username, users.online.sealed[:-1] + b"\0")
    state.replace(places.users, setup.encode_users(UsersFile(users.offline, spoilt)))
    assert credentials.state(str(tmp_path)).users is None
    with pytest.raises(CallError) as caught:
        credentials.load(str(tmp_path), "online", look=closed(places))
    assert caught.value.code == 13


def test_discarded_credentials_ask_for_set_up(tmp_path, monkeypatch):
    stored(tmp_path, monkeypatch)
    credentials.discard(str(tmp_path))
    found = credentials.state(str(tmp_path))
    assert found.users is None
    assert found.marker is not None
    assert "credentials" in setup.needed(found, "online")


# Starting it -------------------------------------------------------------------------------------


def test_an_administrator_is_recognised_and_who_is_signed_in_has_a_name():
    assert elevate.is_administrator()  # Wine's only user is one
    assert LocalAccounts().sid_of(elevate.user_name()) == own.user_sid()


def test_the_helpers_report_becomes_the_error(tmp_path):
    with pytest.raises(SetupError) as caught:
        elevate.set_up(payload(tmp_path), os.environ)
    assert caught.value.code == "helper_users_group_create_failed"
    assert "1332" in str(caught.value)


def test_an_old_report_is_not_taken_for_a_new_one(tmp_path):
    places = Places(str(tmp_path))
    os.makedirs(places.state)
    Path(places.report).write_text('{"code": "helper_log_failed", "message": "old"}')
    mine = payload(tmp_path, mode="read-acls-only")
    elevate.set_up(mine, os.environ)
    assert not Path(places.report).exists()


def python(code):
    return (sys.executable, "-I", "-c", code)


def test_exit_code_and_variables_pass_the_hidden_start():
    code = "import os, sys; sys.exit(int(os.environ['N']) + len(sys.argv[1]))"
    assert elevate.launch(python(code), "abc", {**os.environ, "N": "4"}, elevated=False) == 7


def test_a_helper_that_does_not_end_is_ended():
    with pytest.raises(SetupError, match="did not end within"):
        elevate.launch(
            python("import threading; threading.Event().wait(60)"),
            "x",
            os.environ,
            elevated=False,
            wait_s=0.5,
        )


def test_a_program_that_is_missing_is_a_launch_failure():
    with pytest.raises(SetupError) as caught:
        elevate.launch(("C:\\no\\such.exe",), "x", os.environ, elevated=False)
    assert caught.value.code == "orchestrator_helper_launch_failed"
    assert "error 2" in str(caught.value)


def test_the_way_through_the_shell_gives_the_exit_code(tmp_path):
    out = tmp_path / "said"
    code = f"import sys; open(r'{out}', 'w').write(repr(sys.argv[1:])); sys.exit(9)"
    assert elevate._prompted((*python(code), 'a "b" c', "d\\"), 60) == 9
    assert out.read_text() == repr(['a "b" c', "d\\"])
    with pytest.raises(SetupError) as caught:
        elevate._prompted(("C:\\no\\such.exe", "x"), 60)
    assert caught.value.code == "orchestrator_helper_launch_failed"


def test_a_declined_prompt_has_a_code_of_its_own():
    assert setup.launch_failure(1223).code == "orchestrator_helper_launch_canceled"


def test_without_a_prompt_an_administrator_is_asked_for():
    with pytest.raises(SetupError) as caught:
        elevate.launch(python("0"), "x", os.environ, elevated=True, prompt=False)
    assert caught.value.code == "orchestrator_elevation_required"


def test_what_does_not_pass_the_prompt_is_said_before_anybody_is_asked():
    with pytest.raises(SetupError, match="more paths"):
        elevate.launch(python("0"), "x" * 30_000, os.environ, elevated=True)


def test_the_same_payload_twice_at_once_is_one_helper():
    flights, began, go, runs = elevate.Flights(), threading.Event(), threading.Event(), []
    endings = []

    def work():
        runs.append(1)
        began.set()
        assert go.wait(10)
        raise SetupError("helper_log_failed", "for both")

    def once():
        try:
            flights.once("payload", work)
        except SetupError as error:
            endings.append(error.code)

    first = threading.Thread(target=once)
    first.start()
    assert began.wait(10)
    second = threading.Thread(target=once)
    second.start()
    other = []
    flights.once("another", lambda: other.append(1))
    go.set()
    first.join()
    second.join()
    assert endings == ["helper_log_failed"] * 2
    assert (len(runs), other) == (1, [1])
    with pytest.raises(SetupError):
        flights.once("payload", work)
    assert len(runs) == 2


# Accounts, as far as Wine has any ----------------------------------------------------------------


def test_accounts_that_are_missing_are_missing():
    local = LocalAccounts()
    assert local.state("OctavoNobody") is None
    with pytest.raises(CallError) as caught:
        local.sid_of("OctavoNobody")
    assert caught.value.code == 1332
    local.remove("OctavoNobody")
    assert local.sid_of(win32api.GetUserName()) == own.user_sid()


def test_an_account_is_hidden_and_shown_in_the_registry():
    local = LocalAccounts()
    local.hide("OctavoTest")
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, setup.USER_LIST) as key:
        assert winreg.QueryValueEx(key, "OctavoTest") == (0, winreg.REG_DWORD)
    local.unhide("OctavoTest")
    local.unhide("OctavoTest")
    key = winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, setup.USER_LIST)
    with key, pytest.raises(FileNotFoundError):
        winreg.QueryValueEx(key, "OctavoTest")


def test_processes_are_found_by_account_and_ended():
    assert os.getpid() in processes_of(own.user_sid())
    assert processes_of("S-1-5-21-1-2-3-4") == ()
    LocalAccounts().stop_processes("S-1-5-21-1-2-3-4")
    child = subprocess.Popen(python("import threading; threading.Event().wait(60)"))
    from octavo.sandbox.win32.accounts import end

    with child:
        end(child.pid)
        assert child.wait(10) == 1
    end(child.pid)


def test_machine_randomness_makes_passwords_that_pass():
    assert len({setup.password(secrets.token_bytes) for _ in range(20)}) == 20


def test_the_hidden_attribute_is_left_alone(tmp_path, files):
    folder = tmp_path / ".sandbox"
    files.folder(str(folder))
    win32file.SetFileAttributes(str(folder), 2)
    files.close()
    files.folder(str(folder))
    assert win32file.GetFileAttributes(str(folder)) & 2
