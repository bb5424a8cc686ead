import asyncio
import os
import sys

import pytest

from octavo.exec.ask import TerminalApprover, question
from octavo.exec.keyboard import forget_typed, line_from
from octavo.protocol.approvals import CommandApproval, Decision, PatchApproval
from octavo.protocol.items import DenialNote, FileUpdate

COMMAND = CommandApproval(
    call_id="c", argv=("bash", "-c", "make"), cwd="/w", escalated=True, reason="why not"
)


def approver(*lines):
    """An approver that gets these lines, then the end of input; and what it showed."""
    rest, shown = iter(lines), []

    async def ask(prompt):
        shown.append(prompt)
        line = next(rest, None)
        if line is None:
            raise EOFError
        return line

    return TerminalApprover(note=shown.append, ask=ask), shown


@pytest.mark.parametrize(("line", "decision"), [
    ("y\n", Decision.allow_once()), (" YES ", Decision.allow_once()),
    ("a", Decision.allow_for_session()), ("n", Decision.deny()), ("", Decision.deny()),
    ("\n", Decision.deny()), ("stop", Decision.abort()),
])  # fmt: skip
async def test_each_answer_has_its_meaning(line, decision):
    ask, _ = approver(line)
    assert await ask(COMMAND) == decision


async def test_another_word_is_asked_again_and_the_end_of_input_is_a_no():
    ask, shown = approver("perhaps", "yess")
    decision = await ask(COMMAND)
    assert (decision.kind, decision.allowed) == ("deny", False)
    assert sum("[y]es" in text for text in shown) == 3


async def test_questions_come_one_after_the_other():
    here = 0

    async def ask(_prompt):
        nonlocal here
        here += 1
        assert here == 1
        await asyncio.sleep(0)
        here -= 1
        return "y"

    one = TerminalApprover(note=lambda _text: None, ask=ask)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(one(COMMAND))


def test_a_question_shows_the_whole_command_where_and_why():
    text = question(COMMAND)
    assert "outside the sandbox, in /w?" in text
    assert "\n  make\n" in text
    assert "why: why not" in text
    assert "in the sandbox" in question(CommandApproval(call_id="c", argv=("ls", "a b"), cwd="/"))
    assert "  ls 'a b'\n" in question(CommandApproval(call_id="c", argv=("ls", "a b"), cwd="/"))


def test_a_command_cannot_hide_behind_control_characters():
    argv = ("sh", "-c", "rm -rf /\x1b[2K\recho hello\nsecond")
    lines = question(CommandApproval(call_id="c", argv=argv, cwd="/\x1b[8m")).splitlines()
    assert "  rm -rf /\\x1b[2K\\x0decho hello" in lines
    assert "  second" in lines
    assert not any("\x1b" in line for line in lines)


def test_a_question_about_files_names_each_with_its_fate():
    changes = (
        FileUpdate(path="/w/a", kind="update", move_path="/w/b"),
        FileUpdate(path="/w/c\n", kind="delete"),
    )
    lines = question(PatchApproval(call_id="c", changes=changes)).splitlines()
    assert "  update /w/a -> /w/b" in lines
    assert "  delete /w/c" in lines


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
class TestKeyboard:
    @pytest.fixture
    def terminal(self):
        import pty

        master, slave = pty.openpty()
        yield master, slave
        for fd in (master, slave):
            os.close(fd)

    async def test_a_line_is_read_when_it_is_complete(self, terminal):
        master, slave = terminal
        os.write(master, b"ye")
        reading = asyncio.ensure_future(line_from(slave))
        await asyncio.sleep(0)
        os.write(master, b"s\n")
        assert await asyncio.wait_for(reading, 10) == "yes\n"

    async def test_the_end_of_input_is_one(self, terminal):
        os.write(terminal[0], b"\x04")
        with pytest.raises(EOFError):
            await asyncio.wait_for(line_from(terminal[1]), 10)

    async def test_waiting_can_be_given_up_and_nothing_is_lost(self, terminal):
        master, slave = terminal
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(line_from(slave), 0.01)
        os.write(master, b"later\n")
        assert await asyncio.wait_for(line_from(slave), 10) == "later\n"

    async def test_what_was_typed_before_is_no_answer(self, terminal):
        master, slave = terminal
        os.write(master, b"y\n")
        forget_typed(slave)
        os.write(master, b"n\n")
        assert await asyncio.wait_for(line_from(slave), 10) == "n\n"

    def test_what_is_no_terminal_has_nothing_to_forget(self, tmp_path):
        with (tmp_path / "file").open("w") as file:
            forget_typed(file.fileno())


RULED = CommandApproval(
    call_id="c", argv=("sh", "-c", "git pull"), cwd="/w", escalated=True,
    proposed_rule=("git", "pull"), because="it would run outside the sandbox",
)  # fmt: skip


async def test_a_rule_can_be_made_where_its_scope_was_shown():
    ask, shown = approver("r")
    assert await ask(RULED) == Decision.allow_always(("git", "pull"))
    assert "begins with `git pull`, in every folder and thread" in shown[0]
    assert "by [r]ule" in shown[1]


async def test_where_no_rule_would_do_none_is_offered_or_taken():
    ask, shown = approver("r", "rule", "n")
    assert await ask(COMMAND) == Decision.deny()
    assert not any("[r]ule" in text for text in shown)


async def test_a_no_can_say_why():
    ask, _ = approver("No  use the other script \n")
    assert await ask(COMMAND) == Decision.deny("use the other script")


def test_a_second_try_shows_what_was_refused():
    denials = tuple(DenialNote(operation="write", subject=f"/x/{n}", rule="r") for n in range(7))
    text = question(
        CommandApproval(call_id="c", argv=("ls",), cwd="/", denials=denials, escalated=True)
    )
    assert "  refused before: write /x/0 — r\n" in text
    assert "  refused before: 2 more\n" in text


def test_a_yes_that_covers_a_second_try_says_so():
    request = CommandApproval(call_id="c", argv=("ls",), cwd="/", covers_retry=True)
    assert "(and again outside it, if the sandbox refuses something)" in question(request)


HOST = ("network-access", "https://h.example:8443")
ABOUT_A_HOST = CommandApproval(call_id="c", argv=HOST, cwd="/w", proposed_rule=HOST)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("r", Decision.allow_always(HOST)),
        ("h", Decision.allow_always(("network-access", "https://h.example"))),
        ("never", Decision.deny_always(HOST)),
        ("y", Decision.allow_once()),
    ],
)
async def test_a_host_can_be_answered_for_ever_either_way(line, expected):
    ask, shown = approver(line)
    assert await ask(ABOUT_A_HOST) == expected
    assert "May commands reach https://h.example:8443?" in shown[0]
    assert "a rule would allow connections to https://h.example:8443, in every folder" in shown[0]
    assert "by rule for every port of the [h]ost" in shown[1]
    assert "ne[v]er (by rule)" in shown[1]


@pytest.mark.parametrize("line", ["h", "never", "v", "host"])
async def test_a_command_has_no_such_answers(line):
    ask, shown = approver(line, "n")
    assert await ask(RULED) == Decision.deny()
    assert "[h]ost" not in shown[1]
