import os

import pytest

from octavo.config.instructions import Document, assembled, project_instructions
from octavo.config.schema import Settings


@pytest.fixture
def project(tmp_path):
    (tmp_path / "home").mkdir()
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    (folder / "sub").mkdir()
    return folder


def found(project, cwd=None, **settings):
    home = project.parent / "home"
    return project_instructions(str(cwd or project / "sub"), str(home), Settings(**settings))


def test_files_come_from_the_root_down_after_the_users_own(project):
    (project.parent / "home" / "AGENTS.md").write_text("mine\n")
    (project / "AGENTS.md").write_text("root\n")
    (project / "sub" / "AGENTS.md").write_text("\n sub \n")
    result = found(project)
    assert result.text == "mine\n\n--- project-doc ---\n\nroot\n\nsub"
    assert result.sources == (
        str(project.parent / "home" / "AGENTS.md"),
        str(project / "AGENTS.md"),
        str(project / "sub" / "AGENTS.md"),
    )


def test_an_override_stands_in_for_the_usual_file(project):
    (project / "AGENTS.md").write_text("usual")
    (project / "AGENTS.override.md").write_text("override")
    (project / "sub" / "CLAUDE.md").write_text("fallback")
    assert found(project, project_doc_fallback_filenames=("CLAUDE.md",)).project == (
        "override", "fallback",
    )  # fmt: skip


def test_nothing_above_the_root_and_nothing_below_the_folder_is_read(project):
    (project.parent / "AGENTS.md").write_text("above")
    (project / "sub" / "AGENTS.md").write_text("below")
    assert found(project, cwd=project).text == ""
    assert found(project, project_root_markers=()).text == "below"


def test_links_are_followed_and_other_things_are_not_read(project):
    (project / "real").write_text("linked")
    (project / "AGENTS.md").symlink_to("real")
    os.mkfifo(project / "sub" / "AGENTS.md")
    assert found(project).project == ("linked",)


def docs(*texts):
    return [Document(path=f"/{n}", data=text.encode()) for n, text in enumerate(texts)]


def test_the_budget_cuts_one_file_and_drops_the_later_ones():
    user = Document(path="/u", data=b"u" * 99)
    result = assembled(user, docs("aaaa", "", "bb\N{EURO SIGN}b", "cc"), max_bytes=8)
    assert result.project == ("aaaa", "bb")
    assert result.user == "u" * 99
    assert result.sources == ("/u", "/0", "/2")
    assert result.warnings == (
        "/2: cut, because project_doc_max_bytes is 8",
        "/3: left out, because project_doc_max_bytes is 8",
    )


def test_a_budget_of_zero_turns_it_off(project):
    (project / "AGENTS.md").write_text("root")
    result = found(project, project_doc_max_bytes=0)
    assert (result.text, result.warnings) == ("", ())


def test_what_is_not_utf8_is_left_out():
    result = assembled(None, [Document(path="/x", data=b"a\xffb")], max_bytes=100)
    assert result.text == "ab"
