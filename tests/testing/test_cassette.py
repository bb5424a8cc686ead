"""Cassettes: recorded once, played for ever; a changed prompt is named."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo import Sandbox
from octavo.api.engine import Engine
from octavo.api.thread import TurnFailedError
from octavo.testing import Cassette, ScriptedModel
from octavo.testing.cassette import CassetteDiffersError

pytest_plugins = ["pytester"]


async def talk(tmp_path, model, name, prompt="Hi", **more):
    """One thread in a folder of its own."""
    (tmp_path / name).mkdir()
    (tmp_path / f"home-{name}").mkdir()
    async with Engine.open(model=model, home=tmp_path / f"home-{name}", **more) as engine:
        thread = await engine.start_thread(cwd=tmp_path / name, sandbox=Sandbox.workspace_write())
        return (await thread.run(prompt)).final_message


def live():
    return ScriptedModel().calls("exec_command", cmd="pwd; echo hello").says("Done.")


async def test_what_was_recorded_plays_in_another_folder_with_other_names(tmp_path):
    path = tmp_path / "tapes/a.jsonl"
    assert await talk(tmp_path, Cassette(path, live=live()), "one") == "Done."
    again = Cassette(path)
    assert await talk(tmp_path, again, "two") == "Done."
    assert again.left == 0


async def test_a_changed_prompt_fails_with_the_first_difference(tmp_path):
    path = tmp_path / "a.jsonl"
    await talk(tmp_path, Cassette(path, live=live()), "one", "Fix the bug")
    with pytest.raises(CassetteDiffersError, match=r'request 1 differs at input\[\d\].*"Fix the'):
        await talk(tmp_path, Cassette(path), "two", "Fix the bugs")


async def test_a_tool_that_answers_otherwise_fails(tmp_path):
    path = tmp_path / "a.jsonl"
    await talk(tmp_path, Cassette(path, live=live()), "one")
    text = path.read_text()
    path.write_text(text.replace("hello\\n", "hullo\\n").replace("hello", "hello", 1))
    with pytest.raises(CassetteDiffersError, match="request 2 differs"):
        await talk(tmp_path, Cassette(path), "two")


async def test_one_request_more_than_recorded_fails(tmp_path):
    path = tmp_path / "a.jsonl"
    await talk(tmp_path, Cassette(path, live=live()), "one")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(CassetteDiffersError, match="request 2 is not recorded"):
        await talk(tmp_path, Cassette(path), "two")


async def test_a_failure_of_the_model_is_recorded_too(tmp_path):
    path = tmp_path / "a.jsonl"
    failing = ScriptedModel().fails("quota", "no money")
    for number, model in enumerate((Cassette(path, live=failing), None)):
        with pytest.raises(TurnFailedError, match="no money"):
            await talk(tmp_path, model or Cassette(path), f"f{number}")


@pytest.mark.parametrize("text", ["", "{}\n", "garbage", '{"octavo_cassette": 99}\n'])
def test_what_is_no_cassette_says_so(tmp_path, text):
    (tmp_path / "x").write_text(text)
    with pytest.raises(CassetteDiffersError, match="no cassette"):
        Cassette(tmp_path / "x")


def test_the_fixture_records_where_nothing_is_and_plays_after(pytester):
    pytester.makepyfile(
        """
        from octavo.testing import ScriptedModel

        def test_it(octavo_cassette):
            first = octavo_cassette("talk", live=ScriptedModel().says("hi"))
            assert first._live is not None
            first._path.parent.mkdir()
            first._path.write_text('{"octavo_cassette":1}\\n')
            assert octavo_cassette("talk", live=ScriptedModel())._live is None
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
