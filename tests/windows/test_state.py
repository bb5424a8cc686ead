"""Our own files: whole or not at all, refused behind links, one writer at a time."""

import os
import subprocess
import sys
import threading

import pytest
from links import link

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

from octavo.protocol.errors import ConfigError, SandboxUnavailable
from octavo.sandbox.windows.acl import Ace
from octavo.sandbox.windows.journal import Record, encode
from octavo.sandbox.windows.world import DiskError, Last

GROUP = "S-1-5-21-1-1-1-1004"
RECORD = Record(
    did="entries",
    path="C:\\ä",
    folder=True,
    added=(Ace(False, GROUP, 1, 3),),
    why="t",
    at_ms=1,
)
LAST = Last("w", "f", 1, ("C:\\s",), (), 2)


@pytest.fixture
def home(tmp_path):
    from octavo.sandbox.win32.state import Home

    return Home(str(tmp_path / "home"), lock_s=0.2)


def test_a_new_home_begins_with_new_sids_and_keeps_them(home):
    first, stale = home.capabilities()
    assert stale
    home.save_capabilities(first)
    assert home.capabilities() == (first, False)
    assert os.listdir(home.path) == ["cap_sid"]


def test_everything_is_read_as_it_was_written(home):
    assert home.hidden(GROUP) == ()
    home.save_hidden(GROUP, ["C:\\a", "C:\\ä"])
    home.save_hidden("S-1-5-21-2", ["C:\\b"])
    assert home.hidden(GROUP) == ("C:\\a", "C:\\ä")
    home.save_hidden(GROUP, [])
    assert home.hidden(GROUP) == ()
    assert home.hidden("S-1-5-21-2") == ("C:\\b",)
    assert home.journal().records == ()
    home.append(RECORD)
    home.append(RECORD)
    assert home.journal().records == (RECORD, RECORD)
    home.replace_journal([RECORD])
    assert home.journal().records == (RECORD,)
    assert home.last() is None
    home.save_last(LAST)
    assert home.last() == LAST
    home.save_last(None)
    assert home.last() is None


def test_a_journal_of_many_pieces_is_read_whole(home):
    records = [
        Record(did="entries", path=f"C:\\{at}" + "x" * 100, folder=True, why="t", at_ms=at)
        for at in range(1000)
    ]
    home.replace_journal(records)
    home.append(RECORD)
    assert home.journal().records == (*records, RECORD)


def test_a_line_cut_short_by_a_crash_is_cut_off_before_the_next_is_written(home):
    home.append(RECORD)
    with open(journal_of(home), "ab") as file:
        file.write(encode(RECORD)[:20])
    assert home.journal().torn
    home.append(RECORD)
    assert home.journal().records == (RECORD, RECORD)
    assert not home.journal().torn


def journal_of(home):
    return f"{home.path}\\.sandbox\\acl_journal.jsonl"


def test_a_damaged_file_is_an_error_that_names_it(home):
    home.save_capabilities(home.capabilities()[0])
    home.append(RECORD)
    home.save_hidden(GROUP, ["C:\\a"])
    for name, read in (
        ("cap_sid", home.capabilities),
        (".sandbox\\acl_journal.jsonl", home.journal),
        (".sandbox\\deny_read_acl_state.json", lambda: home.hidden(GROUP)),
    ):
        with open(f"{home.path}\\{name}", "wb") as file:
            file.write(b"{\n")
        with pytest.raises(ConfigError) as caught:
            read()
        assert caught.value.file == f"{home.path}\\{name}"


def test_a_file_with_a_second_name_is_refused(home):
    home.save_hidden(GROUP, ["C:\\a"])
    file = f"{home.path}\\.sandbox\\deny_read_acl_state.json"
    os.link(file, home.path + "\\other")
    for access in (lambda: home.hidden(GROUP), lambda: home.save_hidden(GROUP, [])):
        with pytest.raises(ConfigError, match="2 names"):
            access()
    home.append(RECORD)
    os.link(journal_of(home), home.path + "\\another")
    with pytest.raises(ConfigError, match="2 names"):
        home.append(RECORD)


def test_a_folder_of_ours_behind_a_link_is_refused(home, tmp_path):
    home.save_capabilities(home.capabilities()[0])
    os.mkdir(tmp_path / "elsewhere")
    link(str(tmp_path / "elsewhere"), home.path + "\\.sandbox")
    for access in (lambda: home.append(RECORD), lambda: home.save_hidden(GROUP, ["C:\\a"])):
        with pytest.raises(ConfigError, match="link"):
            access()
    # nothing that says anything is left there
    assert all(
        not (tmp_path / "elsewhere" / name).stat().st_size
        for name in os.listdir(tmp_path / "elsewhere")
    )


def test_what_cannot_be_replaced_stays_as_it_was(home):
    home.save_hidden(GROUP, ["C:\\a"])
    file = f"{home.path}\\.sandbox\\deny_read_acl_state.json"
    with open(file, "rb"), pytest.raises(DiskError) as caught:
        home.save_hidden(GROUP, ["C:\\b"])
    assert caught.value.path == file
    assert home.hidden(GROUP) == ("C:\\a",)
    assert os.listdir(home.path + "\\.sandbox") == ["deny_read_acl_state.json"]


# One at a time -----------------------------------------------------------------------------------


def test_while_one_writes_another_waits_and_gives_up_in_time(home):
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with home.lock():
            entered.set()
            assert leave.wait(20)

    other = threading.Thread(target=hold)
    other.start()
    try:
        assert entered.wait(20)
        with pytest.raises(SandboxUnavailable, match="did not run"), home.lock():
            pass
    finally:
        leave.set()
        other.join(20)
    with home.lock():
        pass


def test_who_dies_while_writing_does_not_block_the_next(home):
    code = (
        "import os, sys; from octavo.sandbox.win32.state import Home\n"
        "with Home(sys.argv[1]).lock(): os._exit(3)"
    )
    died = subprocess.run(
        [sys.executable, "-c", code, home.path], timeout=60, stdin=subprocess.DEVNULL
    )
    assert died.returncode == 3
    with home.lock():
        pass


@pytest.mark.traced
def test_the_lock_is_for_all_sessions_and_only_for_its_user(trace, home):
    from octavo.sandbox.win32 import own

    trace.mark()
    with home.lock():
        pass
    (asked,) = trace.asked("create_mutex")
    assert "OctavoSandboxHome-" in asked.name
    assert "Global" in asked.name or "\\BaseNamedObjects" in asked.name
    assert "Sessions" not in asked.name
    assert [ace.sid for ace in asked.entries] == ["S-1-5-18", "S-1-5-32-544", own.user_sid()]
    assert {(ace.allow, ace.mask) for ace in asked.entries} == {(True, 0x10000000)}


# Running commands --------------------------------------------------------------------------------


def test_what_a_command_depends_on_is_known_until_it_ends(home):
    from octavo.sandbox.win32.state import Hold

    assert home.held() == ()
    with Hold(home.path) as one, Hold(home.path) as other:
        one.keep(["C:\\a", "C:\\ä"])
        other.keep(["C:\\b", "C:\\a"])
        assert set(home.held()) == {"C:\\a", "C:\\ä", "C:\\b"}
        one.close()
        assert set(home.held()) == {"C:\\a", "C:\\b"}
    assert home.held() == ()
    assert os.listdir(home.path + "\\.sandbox\\held") == []


def test_it_ends_with_its_process_however_that_ends(home):
    code = (
        "import os, sys; from octavo.sandbox.win32.state import Hold\n"
        "hold = Hold(sys.argv[1]); hold.keep(['C:\\\\a']); print('held', flush=True)\n"
        "sys.stdin.read(); os._exit(3)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, home.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout.readline().strip() == b"held"
        assert home.held() == ("C:\\a",)
    finally:
        child.stdin.close()
        child.wait(30)
        child.stdout.close()
    assert home.held() == ()


def test_a_file_left_by_a_power_cut_holds_nothing(home):
    home.append(RECORD)
    os.mkdir(home.path + "\\.sandbox\\held")
    with open(home.path + "\\.sandbox\\held\\1-a.json", "w") as file:
        file.write('["C:\\\\a"]')
    assert home.held() == ()
    assert os.listdir(home.path + "\\.sandbox\\held") == []
