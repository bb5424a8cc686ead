"""Skills and prompts in whole turns; only the model is a script."""

import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import UsageError
from octavo.api.engine import Engine
from octavo.testing import ScriptedModel


@pytest.fixture
def room(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("OCTAVO_", "CODEX_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("home/prompts", "work/.git", "work/.agents/skills/pdf"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "work/.agents/skills/pdf/SKILL.md").write_text(
        "---\nname: pdf\ndescription: Reads PDF files.\n---\nUse pdftotext.\n"
    )
    (tmp_path / "home/prompts/review.md").write_text("Review $1 and mind $WHAT.\n")
    return tmp_path


def opened(room, model, **more):
    return Engine.open(model=model, home=room / "home", **more)


async def test_skills_stand_before_everything_else_and_a_name_brings_the_text(room):
    model = ScriptedModel().says("One.").says("Two.")
    async with opened(room, model) as engine:
        thread = await engine.start_thread(cwd=room / "work")
        await thread.run("hello")
        await thread.run("use $pdf please")
    first = model.requests[0].input[0]
    assert first.role == "developer"
    assert first.content[0].text.startswith("<skills_instructions>")
    assert "- pdf: Reads PDF files. (file: r0/pdf/SKILL.md)" in first.content[0].text
    assert first.content[1].text.startswith("<permissions instructions>")
    texts = [item.text for item in model.requests[1].input]
    assert "Use pdftotext." not in "".join(item.text for item in model.requests[0].input)
    assert texts[-2] == "use $pdf please"
    assert texts[-1].startswith("<skill>\n<name>pdf</name>")
    assert "Use pdftotext." in texts[-1]
    assert sum("<skills_instructions>" in text for text in texts) == 1


async def test_a_skill_that_is_gone_says_so(room):
    model = ScriptedModel().says("One.")
    async with opened(room, model) as engine:
        thread = await engine.start_thread(cwd=room / "work")
        (room / "work/.agents/skills/pdf/SKILL.md").unlink()
        await thread.run("use $pdf")
    assert "cannot be read" in model.requests[0].input[-1].text


async def test_a_resumed_thread_hears_of_skills_only_when_they_changed(room):
    async with opened(room, ScriptedModel().says("One.")) as engine:
        thread = await engine.start_thread(cwd=room / "work")
        await thread.run("first")
    (room / "work/.agents/skills/pdf/SKILL.md").unlink()
    model = ScriptedModel().says("Two.")
    async with opened(room, model) as engine:
        await (await engine.resume_thread(thread.id)).run("second")
    texts = [item.text for item in model.requests[0].input]
    assert sum("no skills any more" in text for text in texts) == 1


async def test_a_prompt_in_a_file_is_what_the_model_reads(room):
    model = ScriptedModel().says("One.")
    async with opened(room, model) as engine:
        thread = await engine.start_thread(cwd=room / "work")
        await thread.run("/prompts:review a.py WHAT=style")
        with pytest.raises(UsageError, match='did you mean "review"'):
            await thread.run("/prompts:reviw")
    assert model.requests[0].input[-1].text == "Review a.py and mind style."
