"""The recorded session ends as it did when it was recorded, and says so when it does not."""

import os
import sys

import msgspec
import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

from octavo.demo.play import DemoFailedError, make_project, play, recorded, verify
from octavo.model.recorded import RecordedModel, Recording
from octavo.model.request import ModelRequest
from octavo.protocol.errors import ModelError, SandboxUnavailable
from octavo.protocol.events import TurnCompleted
from octavo.protocol.usage import TokenUsage


async def test_it_plays_to_its_end():
    said, shown = [], []
    await play(note=said.append, result=shown.append, colour=False, environ=os.environ)
    text = "".join(said)
    assert "AssertionError: 'IIII' != 'IV'" in text
    assert '+    (4, "IV")' in text
    assert "denied: create" in text
    assert "\nOK\n" in text.replace("  ", "")
    assert "all three tests pass" in text


async def test_the_sample_fails_before_it_is_fixed(tmp_path):
    session = recorded()
    project, _ = make_project(tmp_path, session.files)
    done = TurnCompleted(turn_id="t", usage=TokenUsage())
    with pytest.raises(DemoFailedError, match="still fail"):
        verify(session, project, done)
    with pytest.raises(SandboxUnavailable):
        verify(session, project, None)


async def test_a_hook_that_was_written_is_not_passed_over(tmp_path):
    session = recorded()
    project, _ = make_project(tmp_path, session.files)
    (project / "test_roman.py").write_text("")
    (project / ".git/hooks/pre-commit").write_text("x")
    with pytest.raises(DemoFailedError, match="sandbox did not hold"):
        verify(session, project, TurnCompleted(turn_id="t", usage=TokenUsage()))


async def test_a_recording_that_is_over_says_so():
    model = RecordedModel(Recording(replies=()))
    with pytest.raises(ModelError, match="recording is over"):
        await anext(model.stream(ModelRequest(model="m", input=())))


def test_a_recording_with_an_unknown_step_is_refused():
    with pytest.raises(msgspec.ValidationError, match="sing"):
        msgspec.json.decode(b'{"replies": [[{"sing": "la"}]]}', type=Recording)
