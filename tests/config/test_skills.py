"""Skills from every root, within limits, and what is wrong as a warning."""

import os

import pytest

from octavo.config.settings import load_settings
from octavo.config.skills import body, load_skills
from octavo.protocol.errors import ConfigError


@pytest.fixture
def room(tmp_path):
    for name in ("home", "etc", "user", "work/.git", "work/sub"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def skills(room, *overrides, cwd="work"):
    loaded = load_settings(
        home=str(room / "home"), cwd=str(room / cwd), environ={},
        overrides=overrides, system=(str(room / "etc"),),
    )  # fmt: skip
    return load_skills(loaded, {"HOME": str(room / "user")})


def write(folder, name=None, description="Does it.", text="Do it.", head=""):
    folder.mkdir(parents=True)
    named = "" if name is None else f"name: {name}\n"
    (folder / "SKILL.md").write_text(f"---\n{named}description: {description}\n{head}---\n{text}\n")


def names(found):
    return [one.name for one in found.found]


def trust(room):
    (room / "home/config.toml").write_text(f'[projects."{room}/work"]\ntrust_level = "trusted"\n')


def test_every_root_is_looked_into_the_nearest_first(room):
    write(room / "work/sub/.agents/skills/near", "near")
    write(room / "work/.agents/skills/repo", "repo")
    write(room / "work/.codex/skills/codex", "codex")
    write(room / "user/.agents/skills/mine", "mine")
    write(room / "home/skills/old", "old")
    write(room / "home/skills/.system/bundled", "bundled")
    write(room / "etc/skills/admin", "admin")
    trust(room)
    found = skills(room, cwd="work/sub")
    assert names(found) == ["near", "repo", "codex", "mine", "old", "bundled", "admin"]
    assert [one.scope for one in found.found] == [
        "repo", "repo", "repo", "user", "user", "system", "admin",
    ]  # fmt: skip
    assert found.warnings == ()
    assert "bundled" not in names(skills(room, "skills.bundled.enabled=false"))


def test_settings_folders_of_a_project_nobody_trusts_bring_no_skills(room):
    write(room / "work/.codex/skills/codex", "codex")
    assert names(skills(room)) == []


def test_the_folder_names_a_skill_without_a_name_and_details_are_read(room):
    folder = room / "home/skills/pdf"
    write(folder, None, "Reads\n  PDF files", head="metadata:\n  short-description: PDF\n")
    (folder / "agents").mkdir()
    (folder / "agents/openai.yaml").write_text("policy:\n  allow_implicit_invocation: false\n")
    (one,) = skills(room).found
    assert (one.name, one.description, one.short) == ("pdf", "Reads PDF files", "PDF")
    assert not one.implicit
    assert body(one.path) == "Do it."


def test_what_is_wrong_is_one_warning_and_the_others_are_there(room):
    root = room / "home/skills"
    write(root / "good", "good")
    write(root / "long-name", "x" * 65)
    write(root / "long-text", "y", "x" * 1025)
    (root / "none").mkdir()
    (root / "none/SKILL.md").write_text("no head at all")
    (root / "open").mkdir()
    (root / "open/SKILL.md").write_text("---\nname: x\n")
    (root / "bytes").mkdir()
    (root / "bytes/SKILL.md").write_bytes(b"---\n\xff\n---\n")
    (root / "folder/SKILL.md").mkdir(parents=True)
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe/SKILL.md")
    found = skills(room)
    assert names(found) == ["good"]
    assert len(found.warnings) == 7
    assert all("SKILL.md" in one and "\n" not in one for one in found.warnings)


def test_links_are_followed_in_the_users_roots_and_loops_end(room):
    write(room / "elsewhere/pdf", "pdf")
    (room / "home/skills").mkdir()
    (room / "home/skills/pdf").symlink_to(room / "elsewhere/pdf")
    (room / "home/skills/again").symlink_to(room / "home/skills")
    (room / "etc/skills").mkdir()
    (room / "etc/skills/pdf").symlink_to(room / "elsewhere/pdf")
    assert names(skills(room)) == ["pdf"]
    (room / "home/skills/pdf").unlink()
    assert names(skills(room)) == []


def test_seven_levels_down_is_too_deep(room):
    write(room / "home/skills/1/2/3/4/5/6", "six")
    write(room / "home/skills/a/2/3/4/5/6/7", "seven")
    assert names(skills(room)) == ["six"]


def test_a_huge_root_is_given_up_with_a_warning(room):
    root = room / "home/skills"
    for number in range(2_050):
        (root / f"d{number:04}").mkdir(parents=True)
    write(root / "zz", "zz")
    assert "too much" in skills(room).warnings[0]


def test_skills_are_switched_off_by_name_and_by_path_and_the_last_word_counts(room):
    write(room / "home/skills/a", "a")
    write(room / "home/skills/b", "b")
    (room / "home/config.toml").write_text(
        '[[skills.config]]\nname = "a"\nenabled = false\n'
        '[[skills.config]]\npath = "skills/b/SKILL.md"\nenabled = false\n'
        '[[skills.config]]\npath = "skills/b"\nenabled = true\n'
    )
    found = skills(room)
    assert {one.name: one.enabled for one in found.found} == {"a": False, "b": True}


@pytest.mark.parametrize(
    "text",
    ["[[skills.config]]\nenabled = false\n", "[[skills.config]]\nname = 3\nenabled = true\n"],
)
def test_settings_that_are_wrong_name_the_file(room, text):
    (room / "home/config.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.toml.*skills\.config"):
        skills(room)
