"""Rule files on disk: found, read one by one, and amended by several at once."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from octavo.config.rules import allow_prefix, load_rules, read_file, rule_files
from octavo.config.settings import load_settings
from octavo.protocol.errors import ConfigError, UsageError


class Place:
    def __init__(self, path):
        self.home, self.system, self.work = path / "home", path / "etc", path / "work"
        for folder in (self.home, self.system, self.work / ".git"):
            folder.mkdir(parents=True)

    def put(self, folder, name, text="prefix_rule(pattern=['a'])\n"):
        path = folder / "rules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def files(self, cwd=None):
        loaded = load_settings(
            home=str(self.home), cwd=str(cwd or self.work), environ={}, system=(str(self.system),)
        )
        return [Path(path) for path in rule_files(loaded)]

    def trust(self):
        text = f'[projects."{self.work}"]\ntrust_level = "trusted"\n'
        (self.home / "config.toml").write_text(text)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path.resolve())


def test_files_come_weakest_first_and_only_from_trusted_projects(place):
    system = place.put(place.system, "z.rules")
    home = [place.put(place.home, name) for name in ("a.rules", "b.rules")]
    place.put(place.home, "notes.txt")
    project = place.put(place.work / ".codex", "p.rules")
    inner = place.put(place.work / "sub/.octavo", "q.rules")
    assert place.files() == [system, *home]
    place.trust()
    assert place.files() == [system, *home, project]
    assert place.files(place.work / "sub") == [system, *home, project, inner]


def test_without_rules_there_are_none_and_nothing_is_parsed(place):
    assert place.files() == []


def test_each_broken_file_is_named_and_the_others_hold(place):
    place.put(place.home, "a.rules")
    place.put(place.home, "b.rules", "prefix_rule(\n")
    place.put(place.home, "c.rules", b"\xff")
    place.put(place.home, "d.rules", "prefix_rule(pattern=['d'], decision='forbidden')\n")
    (place.home / "rules/e.rules").mkdir()
    (place.home / "rules/f.rules").symlink_to("nowhere")
    found = load_rules([str(path) for path in place.files()])
    assert [rule.pattern[0] for rule in found.prefixes] == [("a",), ("d",)]
    named = [line.partition("rules/")[2].partition(": ")[0] for line in found.broken]
    assert named == ["b.rules:1", "c.rules:1", "e.rules", "f.rules"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_broken(place):
    place.put(place.home, "a.rules").chmod(0)
    assert "Permission denied" in load_rules([str(path) for path in place.files()]).broken[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hold_anybody_up(place):
    (place.home / "rules").mkdir()
    os.mkfifo(place.home / "rules/a.rules")
    assert "not a regular file" in load_rules([str(path) for path in place.files()]).broken[0]


def test_one_file_alone_is_read_or_refused(place):
    path = place.put(place.home, "a.rules")
    assert len(read_file(str(path)).prefixes) == 1
    with pytest.raises(UsageError, match="there is no file"):
        read_file(str(place.home / "nothing"))
    with pytest.raises(ConfigError, match=r"b.rules:1: "):
        read_file(str(place.put(place.home, "b.rules", "x(")))


LINE = 'prefix_rule(pattern=["git", "pull"], decision="allow")\n'


def test_the_first_amendment_makes_a_file_of_ones_own(place):
    path = allow_prefix(str(place.home / "new"), ("git", "pull"))
    assert Path(path).read_text() == LINE
    if sys.platform != "win32":
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_an_amendment_is_made_once(place):
    path = place.put(place.home, "default.rules", "# mine\n")
    assert allow_prefix(str(place.home), ("git", "pull")) == str(path)
    assert allow_prefix(str(place.home), ("git", "pull")) is None
    assert path.read_text() == "# mine\n" + LINE


@pytest.mark.parametrize("before", ["# no line end", "", "# windows\r\n", "\n\n"])
def test_what_was_there_stays_as_it_was(place, before):
    path = place.put(place.home, "default.rules", before)
    path.chmod(0o640)
    allow_prefix(str(place.home), ("git", "pull"))
    gap = "" if not before or before.endswith("\n") else "\n"
    assert path.read_bytes().decode() == before + gap + LINE
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [one.name for one in path.parent.iterdir() if one.suffix == ".new"] == []


def test_a_link_stays_a_link(place, tmp_path):
    real = tmp_path / "dotfiles"
    real.write_text("# kept elsewhere\n")
    (place.home / "rules").mkdir()
    (place.home / "rules/default.rules").symlink_to(real)
    allow_prefix(str(place.home), ("git", "pull"))
    assert (place.home / "rules/default.rules").is_symlink()
    assert real.read_text().endswith(LINE)


def test_what_cannot_be_written_is_one_clear_error(place):
    (place.home / "rules").write_text("a file in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        allow_prefix(str(place.home), ("git", "pull"))
    with pytest.raises(ConfigError, match="cannot be written down"):
        allow_prefix(str(place.home), ())
    assert (place.home / "rules").read_text() == "a file in the way"


SCRIPT = """
import sys
from octavo.config.rules import allow_prefix
for number in range(20):
    allow_prefix(sys.argv[1], ("tool", "both", str(number)))
    allow_prefix(sys.argv[1], ("tool", sys.argv[2], str(number)))
"""


@pytest.mark.slow
def test_two_processes_amend_one_file_and_nothing_is_lost_or_doubled(place):
    commands = [[sys.executable, "-c", SCRIPT, str(place.home), name] for name in ("one", "two")]
    running = [subprocess.Popen(command) for command in commands]
    assert [one.wait(60) for one in running] == [0, 0]
    path = place.home / "rules/default.rules"
    lines = path.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 60
    assert len(read_file(str(path)).prefixes) == 60
