import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.process import argv_windows as argv
from octavo.protocol.errors import UsageError
from octavo.sandbox.windows import environment as env

OWN = {"Path": "C:\\bin", "PATHEXT": ".COM;.EXE;.BAT;.CMD;.PY"}


def test_without_network_the_unelevated_backend_discourages_and_keeps_what_was_set():
    found = env.child(
        {"https_proxy": "mine", "SBX_NONET_ACTIVE": "0"},
        OWN,
        elevated=False,
        network_off=True,
        stubs="C:\\stubs",
    )
    assert found["https_proxy"] == "mine"
    assert "HTTPS_PROXY" not in found
    assert found["SBX_NONET_ACTIVE"] == "1"
    assert found["HTTP_PROXY"] == "http://127.0.0.1:9"
    assert found["GIT_ALLOW_PROTOCOLS"] == ""
    assert found["PATH"] == "C:\\stubs;C:\\bin"
    assert found["PATHEXT"] == ".BAT;.CMD;.COM;.EXE;.PY"


@pytest.mark.parametrize(("elevated", "off"), [(True, True), (True, False), (False, False)])
def test_everywhere_else_nothing_is_rewritten(elevated, off):
    found = env.child({}, OWN, elevated=elevated, network_off=off, stubs="C:\\stubs")
    assert found == {
        "PATH": "C:\\bin", "PATHEXT": OWN["PATHEXT"], "GIT_PAGER": "more.com",
        "PAGER": "more.com", "LESS": "",
    }  # fmt: skip


@pytest.mark.parametrize("value", ["/dev/null", " /DEV/NULL ", "\\dev\\null"])
def test_the_null_device_has_another_name(value):
    assert env.child({"X": value}, {}, elevated=True, network_off=False)["X"] == "NUL"


def test_the_stubs_fail():
    assert env.STUB_TEXT.splitlines()[-1] == "exit /b 1"
    assert "\\r" not in env.STUB_TEXT


def test_temp_is_replaced_whatever_its_case():
    found = env.child({"Temp": "x"}, {}, elevated=True, network_off=False, temp="C:\\t")
    assert (found["TEMP"], found["TMP"]) == ("C:\\t", "C:\\t")
    assert "Temp" not in found


def test_git_is_told_after_what_it_was_told_before():
    found = env.trust({"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a"}, "C:\\ws\\r")
    assert found["GIT_CONFIG_COUNT"] == "3"
    assert found["GIT_CONFIG_KEY_1"] == found["GIT_CONFIG_KEY_2"] == "safe.directory"
    assert found["GIT_CONFIG_VALUE_1"] == "C:/ws/r"
    assert found["GIT_CONFIG_VALUE_2"] == "C:/ws/r/*"


@pytest.mark.parametrize("count", ["x", "-1", "1e3", "²", "99999999"])
def test_a_count_that_is_none_is_left_alone(count):
    given_ = {"GIT_CONFIG_COUNT": count}
    assert env.trust(given_, "C:\\ws") == given_


def test_a_worktrees_file_counts_as_much_as_a_folder():
    there = {"C:\\r\\.git", "C:\\r\\w\\.git"}
    assert env.repository_of("C:\\r\\w\\src", there.__contains__) == "C:\\r\\w"
    assert env.repository_of("C:\\r\\src", there.__contains__) == "C:\\r"
    assert env.repository_of("C:\\x", there.__contains__) is None


def test_only_the_elevated_backend_tells_git():
    for elevated in (True, False):
        found = env.child({}, {}, elevated=elevated, network_off=False, repository="C:\\r")
        assert ("GIT_CONFIG_COUNT" in found) == elevated


def test_ports_of_proxies_on_this_machine_are_found():
    given_ = {
        "HTTP_PROXY": "http://127.0.0.1:8080", "https_proxy": "http://u:p@LOCALHOST:9090/x",
        "ALL_PROXY": "socks5://[::1]:1080", "WS_PROXY": "http://example.com:3128",
        "WSS_PROXY": "http://127.0.0.1:99999",
    }  # fmt: skip
    assert env.proxy_ports(given_, [7, 0, 70000]) == (7, 1080, 8080, 9090)


def test_only_absolute_temporary_folders_count():
    assert env.temp_roots({"TEMP": "C:/t"}, {"TMP": "rel"}, exclude=False) == ["C:\\t"]
    assert env.temp_roots({"TEMP": "C:/t"}, {}, exclude=True) == []


def test_the_block_is_sorted_and_closed():
    assert argv.block({"b": "1", "A": "2", "=C:": "x"}).decode("utf-16-le") == (
        "=C:=x\0A=2\0b=1\0\0"
    )
    assert argv.block({}) == bytes(4)


@pytest.mark.parametrize("bad", [{"": "x"}, {"a=b": "x"}, {"a": "\0"}, {"a\0": "x"}])
def test_what_no_block_can_hold_is_refused(bad):
    with pytest.raises(UsageError):
        argv.block(bad)


@given(st.dictionaries(st.sampled_from(["PATH", "Path", "X", "TEMP"]), st.text(max_size=5)))
def test_no_variable_is_there_twice_for_windows_because_of_us(given_):
    found = env.child(given_, OWN, elevated=False, network_off=True, stubs="C:\\s", temp="C:\\t")
    names = [name.upper() for name in found]
    assert names.count("TEMP") == 1
    assert names.count("PATH") == 1
