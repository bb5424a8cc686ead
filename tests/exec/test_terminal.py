"""`octavo exec` with a person at a terminal: questions, the moving line, words as they come."""

import os
import select
import subprocess
import sys
import time

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are POSIX", allow_module_level=True)

import fcntl
import json
import pty
import termios

from octavo.testing import ModelServer
from octavo.testing.script import Call, Hold, Reply, Say

SETTINGS = (
    'model = "gpt-5"\nmodel_provider = "mock"\n{more}[model_providers.mock]\nbase_url = "{url}"\n'
)
ASKING = 'approval_policy = "on-request"\n'
PATIENCE_S = 30
CHOICE = "[s]top? "


class Person:
    """Looks at a terminal, and types."""

    def __init__(self, octavo, *words, stdout=None):
        self.master, slave = pty.openpty()
        self.seen = ""

        def own_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.child = subprocess.Popen(
            [octavo.program, "exec", *words], cwd=octavo.cwd, stdin=slave,
            stdout=slave if stdout is None else stdout, stderr=slave, preexec_fn=own_terminal,
            env=octavo.environ(HOME=str(octavo.home), TERM="xterm"),
        )  # fmt: skip
        os.close(slave)

    def look(self) -> bool:
        """Read on; False when nobody writes any more."""
        ready, _, _ = select.select([self.master], [], [], 0.1)
        if not ready:
            return self.child.poll() is None
        try:
            data = os.read(self.master, 1 << 16)
        except OSError:  # EIO: the other side is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def sees(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.seen and self.look():
            assert time.monotonic() < deadline, self.seen
        assert text in self.seen

    def types(self, text: str) -> None:
        os.write(self.master, text.encode())

    def leaves(self) -> int:
        """To the end; the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self.look():
            assert time.monotonic() < deadline, self.seen
        return self.child.wait(PATIENCE_S)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self.master)


@pytest.fixture
def sit(octavo, workspace):
    """`sit(server, *words)`: a person before a run."""
    (workspace / ".git").mkdir()
    people = []

    def down(server, *words, more="", stdout=None):
        octavo.config(SETTINGS.format(url=server.url, more=more))
        people.append(Person(octavo, *words, stdout=stdout))
        return people[-1]

    yield down
    for person in people:
        person.close()


CALL = Call(
    name="exec_command",
    arguments={
        "cmd": "echo hi > made",
        "login": False,
        "sandbox_permissions": "require_escalated",
        "justification": "May I?",
    },
)


def asking(*before):
    """A model that wants to leave the sandbox."""
    return ModelServer(Reply(steps=(*before, CALL)), Reply(steps=(Say(text="Done."),)))


@pytest.mark.parametrize(("answer", "made"), [("y\n", True), ("n\n", False), ("\x04", False)])
def test_a_question_is_answered_at_the_terminal(sit, workspace, answer, made):
    with asking() as server:
        person = sit(server, "go", more=ASKING)
        person.sees(CHOICE)
        person.types(answer)
        assert person.leaves() == 0
    assert "echo hi > made" in person.seen
    assert "why: May I?" in person.seen
    assert (workspace / "made").exists() is made


@pytest.mark.parametrize(("answer", "code"), [("s\n", 1), ("\x03", 1)])
def test_a_run_is_stopped_at_a_question(sit, workspace, answer, code):
    with asking() as server:
        person = sit(server, "go", more=ASKING)
        person.sees(CHOICE)
        person.types(answer)
        assert person.leaves() == code
    assert "stopped" in person.seen
    assert not (workspace / "made").exists()
    assert len(server.requests) == 1


def test_what_was_typed_before_a_question_is_no_answer(sit, workspace):
    with asking(Say(text="Wait."), Hold(gate="typed")) as server:
        person = sit(server, "go", more=ASKING)
        person.sees("Wait.")
        person.types("y\n")
        person.sees("y\r\n")  # the terminal has it
        server.release("typed")
        person.sees(CHOICE)
        person.types("n\n")
        assert person.leaves() == 0
    assert not (workspace / "made").exists()


def test_nobody_is_asked_unless_the_settings_say_so(sit, workspace):
    with asking() as server:
        person = sit(server, "go")
        assert person.leaves() == 0
    assert CHOICE not in person.seen
    assert not (workspace / "made").exists()


def test_words_come_as_they_are_said_and_once(sit):
    with ModelServer().says("Hello there.") as server:
        person = sit(server, "go")
        assert person.leaves() == 0
    assert person.seen.count("Hello there.") == 1


def test_a_line_moves_while_nothing_is_said_and_goes_away(sit):
    server = ModelServer(Reply(steps=(Hold(gate="quiet"), Say(text="At last."))))
    with server:
        person = sit(server, "go")
        person.sees("\x1b[2K")
        server.release("quiet")
        assert person.leaves() == 0
    assert "At last." in person.seen
    assert "\r\x1b[2K" in person.seen.partition("At last.")[0][-20:]


def test_a_reader_of_the_result_that_went_away_is_no_defect(sit):
    read, write = os.pipe()
    os.close(read)
    with ModelServer().says("Hello.") as server:
        person = sit(server, "go", stdout=write)
        os.close(write)
        assert person.leaves() == 141
    assert "defect" not in person.seen


ASKS = Call(
    name="request_user_input",
    arguments={
        "questions": [
            {
                "id": "which_one",
                "header": "Which",
                "question": "Which parser?",
                "options": [
                    {"label": "New", "description": "write it"},
                    {"label": "Old", "description": "keep it"},
                ],
            }
        ]
    },
)


def test_a_question_of_a_planning_model_is_answered_at_the_terminal(sit):
    plan = Say(text="<proposed_plan>\nThe old one.\n</proposed_plan>")
    with ModelServer(Reply(steps=(ASKS,)), Reply(steps=(plan,))) as server:
        person = sit(server, "--plan", "plan it")
        person.sees("your own words")
        person.types("2\n")
        assert person.leaves() == 0
        told = json.loads(server.requests[1].body)["input"][-1]["output"]
    assert '"which_one":{"answers":["Old"]}' in told
    assert "Which parser?" in person.seen
    assert "The old one." in person.seen
    assert "proposed_plan>" not in person.seen


def test_a_run_is_stopped_at_a_question_of_the_model(sit):
    with ModelServer(Reply(steps=(ASKS,)), Reply(steps=(Say(text="x"),))) as server:
        person = sit(server, "--plan", "plan it")
        person.sees("your own words")
        person.types("\x03")
        assert person.leaves() == 1
        assert len(server.requests) == 1
