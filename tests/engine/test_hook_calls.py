"""A call as hooks see it, and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.engine.hook_calls import full_name, polled, rewritten, seen, session_of
from octavo.process.output import Captured
from octavo.tools.base import ToolCall, ToolOutput
from octavo.tools.shell_format import Answer, formatted


def call(name, arguments, **more):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(call_id="c", name=name, arguments=text, **more)


def test_every_shell_is_bash_with_its_command():
    for one in (
        call("exec_command", {"cmd": "ls -l", "workdir": "x"}),
        call("shell_command", {"command": "ls -l"}),
        call("shell", {"command": ["bash", "-lc", "ls -l"]}),
        call("shell", {"command": ["ls", "-l"]}),
    ):
        found = seen(one)
        assert found.names == ("Bash",)
        assert found.input == {"command": "ls -l"}


def test_a_patch_has_three_names_whichever_way_it_comes():
    patch = "*** Begin Patch\n*** End Patch"
    for one in (call("apply_patch", patch, custom=True), call("apply_patch", {"input": patch})):
        assert seen(one).names == ("apply_patch", "Write", "Edit")
        assert seen(one).input == {"command": patch}
    through_shell = seen(call("exec_command", {"cmd": f"apply_patch <<'E'\n{patch}\nE"}))
    assert through_shell.names == ("Bash", "apply_patch", "Write", "Edit")


def test_other_tools_have_their_full_names_and_all_arguments():
    one = call("read", {"path": "a"}, namespace="mcp__files")
    assert seen(one).names == ("mcp__files__read",)
    assert seen(one).input == {"path": "a"}
    assert full_name(call("read", {}, namespace="mcp__files__")) == "mcp__files__read"
    assert seen(call("spawn_agent", {"message": "go"})).names == ("spawn_agent", "Agent")
    assert seen(call("ticket", {"number": 7})).names == ("ticket",)


def test_polls_and_plans_are_not_told():
    assert seen(call("write_stdin", {"session_id": 3})) is None
    assert seen(call("update_plan", {})) is None
    assert polled(call("write_stdin", {"session_id": 3})) == 3
    assert polled(call("write_stdin", {"session_id": "3"})) == 3
    assert polled(call("write_stdin", "{broken")) is None
    assert polled(call("exec_command", {"cmd": "ls"})) is None


def test_a_rewritten_call_keeps_everything_else():
    one = seen(call("exec_command", {"cmd": "rm -rf x", "workdir": "y"}))
    assert json.loads(rewritten(one, {"command": "ls x"}).arguments) == {
        "cmd": "ls x",
        "workdir": "y",
    }
    words = seen(call("shell", {"command": ["bash", "-lc", "rm x"]}))
    assert json.loads(rewritten(words, {"command": "ls"}).arguments)["command"] == [
        "bash", "-lc", "ls",
    ]  # fmt: skip
    patch = seen(call("apply_patch", "old", custom=True))
    assert rewritten(patch, {"command": "new"}).arguments == "new"
    other = seen(call("ticket", {"number": 7}))
    assert json.loads(rewritten(other, {"number": 8}).arguments) == {"number": 8}


def test_a_rewrite_without_a_command_is_refused_in_words():
    assert "command" in rewritten(seen(call("exec_command", {"cmd": "ls"})), {"cmd": "ls"})


@pytest.mark.parametrize("text", ["", "Process running with session ID 9\n", "Output:\nx"])
def test_a_command_that_goes_on_is_known_by_the_head_of_its_answer(text):
    captured = Captured(head=text.encode(), total_bytes=len(text))
    base = {"output": captured, "lines": 0, "wall_s": 0.1, "max_tokens": 100}
    assert session_of(ToolOutput(output=formatted(Answer(**base, session_id=41)))) == 41
    assert session_of(ToolOutput(output=formatted(Answer(**base, exit_code=0)))) is None


@given(st.sampled_from(["exec_command", "shell", "apply_patch", "x", "write_stdin"]), st.text(),
       st.booleans())  # fmt: skip
def test_no_arguments_are_too_strange(name, arguments, custom):
    one = call(name, arguments, custom=custom)
    found = seen(one)
    polled(one)
    if found is not None:
        assert isinstance(found.text, str)
        rewritten(found, {"command": "ls"})
