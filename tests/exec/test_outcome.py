import os
from types import SimpleNamespace

import pytest

from octavo.exec.outcome import (
    ExecError,
    code_of,
    git_refusal,
    pictures_from,
    schema_from,
    write_last,
)
from octavo.protocol import events
from octavo.protocol.errors import SandboxUnavailable
from octavo.protocol.usage import TokenUsage

DONE = events.TurnCompleted(turn_id="t", usage=TokenUsage())


@pytest.mark.parametrize(("ending", "problem", "code"), [
    (DONE, None, 0),
    (DONE, SandboxUnavailable("no"), 5),
    (events.TurnFailed(turn_id="t", message="x"), None, 1),
    (events.TurnFailed(turn_id="t", message="x", exit_code=6), None, 1),
    (events.TurnFailed(turn_id="t", message="x"), SandboxUnavailable("no"), 5),
    (events.TurnFailed(turn_id="t", message="x", exit_code=70), None, 70),
    (events.TurnInterrupted(turn_id="t"), None, 1),
    (None, None, 1),
])  # fmt: skip
def test_a_run_ends_with_the_code_of_its_ending(ending, problem, code):
    assert code_of(ending, problem) == code


def loaded(folder, level=None, mode=None):
    settings = SimpleNamespace(sandbox_mode=mode)
    return SimpleNamespace(cwd=str(folder), trust=SimpleNamespace(level=level), settings=settings)


def test_a_repository_or_a_trusted_folder_is_needed(tmp_path):
    (tmp_path / "repo/sub").mkdir(parents=True)
    (tmp_path / "repo/.git").write_text("gitdir: elsewhere")
    assert git_refusal(loaded(tmp_path / "repo/sub")) is None
    assert git_refusal(loaded(tmp_path, level="trusted")) is None
    assert str(git_refusal(loaded(tmp_path))).startswith("Not inside a trusted directory")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "Failed to read output schema file"),
        ("{", "is not valid JSON"),
        ("[]", "is not valid JSON"),
    ],
)
def test_a_schema_file_that_is_none_is_named(tmp_path, text, said):
    path = tmp_path / "schema.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ExecError, match=said) as refused:
        schema_from(str(path))
    assert str(path) in str(refused.value)


def test_a_picture_that_is_not_there_is_said_before_anything_is_asked(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    assert pictures_from((str(tmp_path / "a.png"),))[0].path == str(tmp_path / "a.png")
    with pytest.raises(ExecError, match="No such picture"):
        pictures_from((str(tmp_path / "b.png"),))


def test_the_last_message_is_written_as_it_is_anywhere(tmp_path):
    (tmp_path / "sub").mkdir()
    write_last(os.path.join(tmp_path, "sub", "..", "last"), "a\r\nb")
    assert (tmp_path / "last").read_bytes() == b"a\r\nb"
    with pytest.raises(ExecError, match="cannot be written"):
        write_last(str(tmp_path / "none" / "last"), "x")
