import asyncio
import os
import sys

import pytest

from octavo.exec.ask import TerminalApprover, question
from octavo.exec.keyboard import forget_typed, line_from
from octavo.protocol.approvals import CommandApproval, Decision, PatchApproval
from octavo.protocol.items import FileUpdate

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
