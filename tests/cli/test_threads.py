import json
import os

import pytest
from click.testing import CliRunner

from octavo.cli import threads
from octavo.protocol.content import TextInput
from octavo.protocol.items import UserMessage
from octavo.store.disk import DiskStore
from octavo.store.display import completed
from octavo.store.errors import ThreadNotFound
from octavo.store.rollout import SessionMeta, stamp

THREAD = "0195d1a0-0000-7000-8000-000000000001"


@pytest.fixture
def run(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    cwd = os.path.realpath(os.getcwd())
    meta = SessionMeta(id=THREAD, timestamp=stamp(1), cwd=cwd, originator="o", cli_version="1")
    store = DiskStore(str(home), now_ms=lambda: 1_763_684_998_061)
    with store.create(meta) as log:
        said = UserMessage(id="u", content=(TextInput(text="fix the\x1b[31m tests"),))
        log.append(completed(said, thread_id=THREAD, turn_id="t"))

    def runner(command, *args):
        env = {"OCTAVO_HOME": str(home)}
        done = CliRunner().invoke(command, args, env=env)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.output

    return runner


def test_threads_are_listed_on_one_line_each(run):
    (line,) = run(threads.sessions, "list").splitlines()
    assert line.startswith(THREAD)
    assert line.endswith("fix the\\x1b[31m tests")
    (found,) = map(json.loads, run(threads.sessions, "list", "--all", "--json").splitlines())
    assert found["id"] == THREAD


def test_threads_are_found_by_their_words(run):
    assert THREAD in run(threads.sessions, "search", "tes", "fix")
    assert run(threads.sessions, "search", "nothing") == ""


def test_a_thread_is_put_aside_brought_back_and_removed(run):
    run(threads.archive, THREAD)
    assert run(threads.sessions, "list") == ""
    assert THREAD in run(threads.sessions, "list", "--archived")
    run(threads.unarchive, THREAD)
    assert THREAD in run(threads.sessions, "list")
    run(threads.delete, THREAD)
    with pytest.raises(ThreadNotFound):
        run(threads.delete, THREAD)
