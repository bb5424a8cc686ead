"""`octavo sandbox setup | uninstall | doctor | windows …` as a stranger types them, and copies of
programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)

if sys.platform == "win32":
    from octavo.protocol.errors import SandboxUnavailable
    from octavo.sandbox.win32 import disk, doctor, own, own_files, programs
    from octavo.sandbox.windows import acl, setup
    from octavo.sandbox.windows.acl import Ace, Present
    from octavo.sandbox.windows.setup_run import Places

GROUP = "S-1-5-21-1-2-3-1005"


def octavo(home, *words):
    return subprocess.run(
        [sys.executable, "-m", "octavo", "sandbox", *words],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "OCTAVO_HOME": str(home)},
        timeout=120,
        cwd=home,
    )


def facts(home, *words):
    done = octavo(home, *words, "doctor", "--json")
    return done.returncode, {fact["name"]: fact for fact in json.loads(done.stdout)}


def test_doctor_tells_wine_from_windows_and_gives_a_repair_for_each_problem(tmp_path):
    code, found = facts(tmp_path)
    assert found["system"]["text"].startswith(("this is Wine", "Windows build"))
    assert code == (5 if any(fact["state"] == "problem" for fact in found.values()) else 0)
    assert all(fact["remedy"] for fact in found.values() if fact["state"] == "problem")
    assert found["level"]["state"] == "problem"
    assert found["home"]["state"] == "ok"


def test_doctor_takes_settings_from_file_and_flag(tmp_path):
    (tmp_path / "config.toml").write_text('[windows]\nsandbox = "unelevated"\n')
    assert facts(tmp_path)[1]["level"]["state"] == "weak"
    _, found = facts(tmp_path, "-c", 'windows.sandbox="elevated"')
    assert found["level"]["text"] == "elevated"
    assert "never finished" in found["set-up"]["text"]


@pytest.mark.parametrize(("file", "content"), [
    (".sandbox\\setup_marker.json", b""),
    (".sandbox\\setup_marker.json", b'{"version": "1"}'),
    (".sandbox-secrets\\sandbox_users.json", b"{"),
    (".sandbox\\acl_journal.jsonl", b"nonsense\n"),
])  # fmt: skip
def test_doctor_names_a_damaged_file(tmp_path, file, content):
    path = tmp_path / file
    path.parent.mkdir()
    path.write_bytes(content)
    code, found = facts(tmp_path)
    assert code == 5
    assert str(path.name) in found["own files"]["text"]
    assert path.read_bytes() == content


def test_status_and_undo_of_a_new_home_have_nothing_to_do(tmp_path):
    done = octavo(tmp_path, "windows", "status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"left": [], "running": [], "torn": False}
    done = octavo(tmp_path, "windows", "undo")
    assert (done.returncode, done.stdout) == (0, "there was nothing to take back\n")


def test_status_lists_what_is_on_record_and_undo_takes_it_back(tmp_path):
    from octavo.sandbox.win32.state import Home
    from octavo.sandbox.windows.journal import Record

    made = tmp_path / "ws" / ".git"
    made.mkdir(parents=True)
    home = tmp_path / "home"
    home.mkdir()
    store = Home(str(home))
    with store.lock():
        store.append(
            Record(
                did="created", path=disk.canonical(str(made)), folder=True, why="a rule", at_ms=1
            )
        )
    done = octavo(home, "windows", "status")
    assert "made by Octavo (a rule)" in done.stdout
    assert octavo(home, "windows", "undo").returncode == 0
    assert not made.exists()
    assert "0 entries on 0 paths" in octavo(home, "windows", "status").stdout


def test_a_damaged_journal_undoes_nothing_and_is_named(tmp_path):
    file = tmp_path / ".sandbox" / "acl_journal.jsonl"
    file.parent.mkdir()
    file.write_bytes(b'{"v": 1}\n')
    for word in ("status", "undo"):
        done = octavo(tmp_path, "windows", word)
        assert done.returncode == 3
        assert "acl_journal.jsonl:1" in done.stderr
    assert file.read_bytes() == b'{"v": 1}\n'


def test_set_up_that_fails_says_how_and_leaves_no_good_marker(tmp_path):
    done = octavo(tmp_path, "setup", "--elevated", "--current-user")
    if done.returncode == 0:
        pytest.skip("this machine can be set up: the smoke test is for it")
    assert done.returncode == 5
    assert done.stderr.startswith("octavo: sandbox set-up: ")
    assert "what helps: " in done.stderr
    marker = tmp_path / ".sandbox" / "setup_marker.json"
    assert not marker.exists() or marker.read_bytes() == b""


@pytest.mark.parametrize(("words", "says"), [
    (("setup", "--current-user"), "go with --elevated"),
    (("setup", "--elevated"), "--current-user, or --user"),
    (("setup", "--elevated", "--current-user", "--user", "D\\x"), "--current-user, or --user"),
    (("setup", "--elevated", "--user", "D\\x"), "go together"),
    (("setup", "--elevated", "--user", "D\\x", "--home", "x"), "not an absolute path"),
    (("windows", "smoke", "--row", "nine"), "no such row"),
    (("linux", "--", "x"), "this is not linux"),
])  # fmt: skip
def test_wrong_use_is_one_line(tmp_path, words, says):
    done = octavo(tmp_path, *words)
    assert done.returncode == 2
    assert says in done.stderr


# Doctor's eyes -----------------------------------------------------------------------------------


def test_nothing_is_changed_by_looking(tmp_path):
    doctor.examine(str(tmp_path / "home"), str(tmp_path), "elevated")
    assert list(tmp_path.iterdir()) == []


# Copies of programs ------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path):
    found = Places(disk.canonical(str(tmp_path)))
    os.mkdir(found.programs)
    programs._known.clear()
    return found


def readable_everywhere(path):
    everyone = Ace(True, acl.USERS, acl.RX, acl.DOWN)
    return Present(path, os.path.isdir(path), acl.SYSTEM, (everyone,))


def private(path):
    mine = Ace(True, own.user_sid(), acl.ALL, acl.DOWN)
    return Present(path, os.path.isdir(path), own.user_sid(), (mine,))


def test_an_interpreter_that_can_be_read_is_used_where_it_is(places):
    found = programs.interpreter(places, look=readable_everywhere, group=GROUP)
    assert found == programs.base_interpreter()
    assert os.listdir(places.programs) == []


def test_one_of_the_store_is_refused_with_advice(monkeypatch):
    store = "C:\\Program Files\\WindowsApps\\PythonSoftwareFoundation.Python.3.13\\python.exe"
    monkeypatch.setattr(sys, "_base_executable", store)
    with pytest.raises(SandboxUnavailable, match="Microsoft Store") as caught:
        programs.base_interpreter()
    assert "python.org" in caught.value.hint


@pytest.mark.slow
def test_the_runner_starts_from_its_copy_alone(places):
    folder = programs.runner_copy(places)
    name = os.path.basename(folder)
    assert name.startswith("octavo-command-runner-")
    assert programs.runner_copy(places) == folder
    done = subprocess.run(
        [programs.base_interpreter(), "-I", "-S", "-B", "-v", folder, "--no-such-argument"],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=60,
    )
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert done.returncode != 0
    assert f"{folder}\\site\\octavo\\sandbox\\win32" in done.stderr.replace("\\\\", "\\")
    for elsewhere in (programs.package(), "site-packages"):
        assert elsewhere not in done.stderr.replace("\\\\", "\\")


def sources(tmp_path, **files):
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return list(programs.walk(str(folder)))


def test_a_copy_is_made_once_and_again_when_a_source_is_newer(places, tmp_path):
    first = programs.copy_of(places, "thing-1", sources(tmp_path, a="1"), lambda _f: None)
    assert Path(first, "a").read_text() == "1"
    programs._known.clear()
    made = os.stat(os.path.join(first, "a")).st_mtime_ns
    assert programs.copy_of(places, "thing-1", sources(tmp_path), lambda _f: None) == first
    os.utime(tmp_path / "source" / "a", ns=(made + 10**10, made + 10**10))
    programs._known.clear()
    second = programs.copy_of(places, "thing-1", sources(tmp_path), lambda _f: None)
    assert second != first
    assert Path(first, "a").exists()
    assert sorted(os.listdir(places.programs)) == sorted(map(os.path.basename, (first, second)))


def test_a_copy_that_fails_leaves_nothing(places, tmp_path):
    def fail(_folder):
        raise OSError(5, "no")

    with pytest.raises(Exception, match="copying"):
        programs.copy_of(places, "thing-1", sources(tmp_path, a="1"), fail)
    assert os.listdir(places.programs) == []


def test_half_a_copy_of_a_dead_process_is_not_taken(places, tmp_path):
    half = os.path.join(places.programs, "thing-1")
    os.mkdir(half)
    found = programs.copy_of(places, "thing-1", sources(tmp_path, a="1"), lambda _f: None)
    assert found != half
    assert Path(found, "a").read_text() == "1"


def test_the_folder_of_copies_is_closed_once(places, monkeypatch):
    locked = []
    monkeypatch.setattr(own_files, "put_list", locked.append)
    programs.close(places, look=private, group=GROUP, user=own.user_sid())
    (fresh,) = locked
    done = Present(fresh.path, True, own.user_sid(), fresh.dacl, protected=True)
    programs.close(places, look=lambda _path: done, group=GROUP, user=own.user_sid())
    assert len(locked) == 1
    assert fresh.dacl[0] == Ace(True, GROUP, acl.RX, acl.DOWN)


def test_what_of_python_is_copied_is_what_runs():
    keep = (
        "python.exe",
        "python311.dll",
        "Lib\\os.py",
        "DLLs\\_ctypes.pyd",
        "Lib\\json\\decoder.py",
    )
    drop = (
        "LICENSE.txt",
        "Lib\\test\\x.py",
        "Lib\\site-packages\\x.py",
        "Tools\\x.py",
        "include\\x",
    )
    assert all(map(setup.in_copy, keep))
    assert not any(map(setup.in_copy, drop))
