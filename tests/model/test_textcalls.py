import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.wire_room import request
from octavo.model.codec import offered
from octavo.model.textcalls import TextCall, find, safe_until

TOOLS = offered(request())
LS = TextCall(name="exec_command", arguments='{"cmd":"ls"}')
CALL = '{"name": "exec_command", "arguments": {"cmd": "ls"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{CALL}\n</tool_call>",
        f"<tool_call>{CALL}",
        f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>",
        f"<function_call>{CALL}</function_call>",
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```",
        f"```json\n[{CALL}]\n```",
        f"```tool_call\n{CALL}```",
        CALL,
        f"  {CALL}\n",
        '{"name": "exec_command", "parameters": {"cmd": "ls"}}',
        '{"function": "exec_command", "args": {"cmd": "ls"}}',
        '{"type": "function", "function": {"name": "exec_command", "arguments": {"cmd": "ls"}}}',
        f"<|python_tag|>{CALL}",
        f"<|tool_call|>[{CALL}]",
        f"[TOOL_CALLS] [{CALL}]",
        '[TOOL_CALLS]exec_command{"cmd": "ls"}',
        '[TOOL_CALLS]exec_command[ARGS]{"cmd": "ls"}',
        "<function=exec_command>\n<parameter=cmd>\nls\n</parameter>\n</function>",
        "<tool_call>\n<function=exec_command>\n<parameter=cmd>\nls\n</parameter>\n</function>\n</tool_call>",
        '<function=exec_command>{"cmd": "ls"}</function>',
        '<invoke name="exec_command"><parameter name="cmd">ls</parameter></invoke>',
    ],
)
def test_the_forms_small_models_use(text: str):
    found = find(text, TOOLS)
    assert found.text == ""
    assert [json.loads(call.arguments) for call in found.calls] == [{"cmd": "ls"}]
    around = find(f"I look.\n{text}", TOOLS)
    if text.strip() != text or text[0] == "{":
        return  # bare JSON counts only when it is the whole message
    assert (around.text, len(around.calls)) == ("I look.", 1)


def test_arguments_given_as_text_are_taken_as_they_are():
    text = json.dumps({"name": "exec_command", "arguments": '{"cmd":"ls"}'})
    assert find(text, TOOLS).calls == (LS,)


def test_several_calls_keep_their_order():
    other = CALL.replace("ls", "pwd")
    for text in (
        f"<tool_call>{CALL}</tool_call>\n<tool_call>{other}</tool_call>",
        f"```json\n{CALL}\n```\nthen\n```json\n{other}\n```",
        f"{CALL}\n{other}",
        f"[{CALL}, {other}]",
    ):
        assert [json.loads(c.arguments)["cmd"] for c in find(text, TOOLS).calls] == ["ls", "pwd"]


def test_values_between_tags_get_the_type_of_the_schema():
    text = (
        "<function=exec_command><parameter=cmd>7</parameter><parameter=n>7</parameter></function>"
    )
    assert find(text, TOOLS).calls[0].arguments == '{"cmd":"7","n":7}'


def test_backticks_inside_the_arguments_end_nothing():
    patch = "*** B\n+```\n+x\n+```\n"
    text = (
        "```json\n" + json.dumps({"name": "apply_patch", "arguments": {"input": patch}}) + "\n```"
    )
    assert json.loads(find(text, TOOLS).calls[0].arguments) == {"input": patch}


def test_a_call_after_a_fence_with_code_is_found():
    text = f"```python\nprint()\n```\nand\n```json\n{CALL}\n```"
    found = find(text, TOOLS)
    assert found.calls == (LS,)
    assert found.text == "```python\nprint()\n```\nand"


@pytest.mark.parametrize(
    "text",
    [
        CALL.replace("exec_command", "other"),
        f"<tool_call>{CALL.replace('exec_command', 'other')}</tool_call>",
        '{"name": "exec_command", "version": 3}',
        '```json\n{"name": "demo"}\n```',
        f"```python\n{CALL}\n```",
        f"Write {CALL} to call it.",
        "<function=other><parameter=a>1</parameter></function>",
        f"[{CALL}, 3]",
        "",
    ],
)
def test_what_is_no_call_stays_text_to_the_letter(text: str):
    assert find(text, TOOLS).calls == ()
    assert find(text, TOOLS).text == text


def test_without_tools_nothing_is_a_call():
    assert find(CALL, {}).calls == ()


bits = st.lists(
    st.sampled_from(
        ["<tool_call>", "</tool_call>", "```json\n", "```", "\n", CALL, "{", "}", "[", '"', "\\",
         "<function=exec_command>", "<parameter=cmd>", "</function>", "[TOOL_CALLS]", "words ",
         "exec_command", "<|python_tag|>", '<invoke name="exec_command">']
    )
    | st.text(max_size=4),
    max_size=12,
).map("".join)  # fmt: skip


@given(bits)
def test_whatever_a_model_writes_names_are_offered_and_arguments_text(text: str):
    found = find(text, TOOLS)
    assert all(call.name in TOOLS for call in found.calls)
    if not found.calls:
        assert found.text == text


@given(bits, st.integers(1, 7))
def test_what_was_shown_is_never_part_of_a_call(text: str, size: int):
    shown = 0
    for end in range(size, len(text) + size, size):
        upto = safe_until(text[:end], shown)
        assert shown <= upto <= len(text[:end])
        shown = upto


@pytest.mark.parametrize("opening", ["<tool_call>", "```json\n", "[TOOL_CALLS]", "<function=x>"])
def test_an_opening_is_held_back_from_its_first_character(opening: str):
    text = f"I look.\n{opening}{CALL}"
    shown = 0
    for end in range(len(text) + 1):
        shown = safe_until(text[:end], shown)
        assert shown <= len("I look.\n")
    assert shown == len("I look.\n")


def test_code_is_let_go_again():
    text = '```json\n{"version": 1}\n```\nmore'
    assert safe_until(text, 0) == len(text)
    assert safe_until("```python\nx = 1", 0) == len("```python\nx = 1")


def test_a_long_run_of_blanks_takes_no_time():
    for text in ("```json\n" + " " * 50_000, "<tool_call>" + " \n" * 50_000, "```" * 20_000):
        find(text, TOOLS)
        safe_until(text, 0)
