"""Profiles over Windows paths, on a real (Wine's) disk, and the program that uses them."""

import os
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "win32", reason="Windows: ./check --windows runs it under Wine"
)


def profile(**files):
    from octavo.api.sandbox import PermissionProfile

    return PermissionProfile.from_mapping(
        {"filesystem": {":root": "read", ":cwd": "write", **files}}
    )


@pytest.fixture
def place(tmp_path):
    """A project, spelled with capital letters."""
    folder = tmp_path / "Proj"
    (folder / ".git").mkdir(parents=True)
    (folder / "Secret").mkdir()
    return str(folder)


def settled(place, **files):
    return profile(**files).settled(place, dict(os.environ))


def look():
    from octavo.config.look import DiskLook

    return DiskLook()


@pytest.mark.parametrize("spelling", [str, str.lower, str.upper])
def test_a_path_is_the_same_however_it_is_spelled(place, spelling):
    found = settled(place, **{spelling(place + "\\Secret"): "read"})
    for name, access in (("a.txt", "write"), ("secret\\x", "read"), (".GIT\\hooks", "read")):
        path = spelling(f"{place}\\{name}")
        assert found.explain(path, look()).access.value == access, path
        assert found.explain(path.replace("\\", "/"), look()).access.value == access


def test_a_rule_for_the_program_names_drives_home_and_relative_paths(place):
    found = settled(place, **{"./sub/deep": "read", "~/x": "read"})
    paths = {rule.path for rule in found.rules}
    assert any(path.endswith("/Proj/sub/deep") for path in paths)
    assert any(path.endswith("/x") and path.startswith("/C:/") for path in paths)


def test_a_link_in_the_project_opens_nothing(place, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    try:
        os.symlink(outside, place + "\\link", target_is_directory=True)
    except OSError as error:
        pytest.skip(f"no links can be made here: {error}")
    if not os.path.lexists(place + "\\link"):
        pytest.skip("Wine makes no links; tests/policy has them")
    found = settled(place, **{place.upper() + "\\LINK": "write"})
    assert found.explain(str(outside / "f"), look()).access.value == "read"
    assert any("symlink in a writable folder" in text for text in found.warnings)


@pytest.mark.parametrize("path", ["\\\\.\\PhysicalDrive0", "C:relative", "sub\\x"])
def test_a_path_that_is_not_whole_is_refused(place, path):
    from octavo.protocol.errors import OctavoError

    with pytest.raises(OctavoError):
        settled(place, **{path: "read"})


def test_people_read_windows_paths(place):
    sentence = settled(place).explain(place + "\\.git\\config", look()).sentence
    assert sentence.startswith(place + "\\.git\\config: may be read, not written")
    assert f'".git" under {place} is kept read-only' in sentence


def octavo(place, *words):
    """The program, with settings that choose the unelevated backend."""
    import subprocess

    code = "import sys; from octavo._boot import main; sys.argv[0] = 'octavo'; sys.exit(main())"
    settings = ["-c", "windows.sandbox=unelevated", "-c", "windows.sandbox_private_desktop=false"]
    home = os.path.dirname(place) + "\\home"
    os.makedirs(home, exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", code, "sandbox", *settings, "-C", place, *words],
        capture_output=True, text=True, timeout=120, env={**os.environ, "OCTAVO_HOME": home},
    )  # fmt: skip


def test_a_command_runs_with_what_it_prints_and_its_exit_code(place):
    done = octavo(place, "-s", "workspace-write", "--", "cmd", "/c", "echo hi& exit 7")
    assert (done.stdout.strip(), done.returncode) == ("hi", 7), done.stderr
    assert "reading is not limited" in done.stderr


def test_its_folder_gets_entries_that_are_on_record(place):
    octavo(place, "-s", "workspace-write", "--", "cmd", "/c", "exit 0")
    home = os.path.dirname(place) + "\\home"
    with open(home + "\\.sandbox\\acl_journal.jsonl", encoding="utf-8") as file:
        journal = file.read()
    assert place.replace("\\", "\\\\") in journal


def test_reading_only_leaves_no_entry(place):
    done = octavo(place, "-s", "read-only", "--", "cmd", "/c", "exit 0")
    assert done.returncode == 0, done.stderr
    assert not os.path.exists(os.path.dirname(place) + "\\home\\.sandbox\\acl_journal.jsonl")


def test_hiding_needs_the_other_backend_and_nothing_runs(place):
    os.makedirs(place + "\\out", exist_ok=True)
    settings = os.path.dirname(place) + "\\home"
    os.makedirs(settings, exist_ok=True)
    with open(settings + "\\config.toml", "w", encoding="utf-8") as file:
        file.write('[permissions.p.filesystem]\n":root" = "read"\n":workspace_roots" = "write"\n'
                   f"'{place}\\Secret' = \"deny\"\n")  # fmt: skip
    done = octavo(place, "-P", "p", "--", "cmd", "/c", "echo made> out\\made")
    assert done.returncode == 5, done.stdout + done.stderr
    assert "the elevated sandbox" in done.stderr
    assert not os.path.exists(place + "\\out\\made")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-C", "C:\\nowhere", "--", "cmd"], "not a folder"),
        (["--", "no-such-program"], "was not found"),
        (["--device", "dri", "--", "cmd"], "device"),
    ],
)
def test_wrong_words_get_one_clear_line(place, words, text):
    done = octavo(place, *words)
    assert done.returncode != 0
    assert text in done.stderr
