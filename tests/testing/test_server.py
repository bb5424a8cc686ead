import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from octavo.testing import ModelServer
from octavo.testing.script import Hold, Reply, Say
from octavo.testing.server import main


def post(url: str, body: object) -> bytes:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "x"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return bytes(answer.read())


def test_it_serves_other_programs_from_a_thread():
    with ModelServer().says("Hi.").says("Ho.") as server:
        assert b"response.completed" in post(server.url + "/responses", {"a": 1})
        assert b"[DONE]" in post(server.url + "/chat/completions", {"b": 2})
    assert [got.json for got in server.requests] == [{"a": 1}, {"b": 2}]
    assert server.requests[0].at_s <= server.requests[1].at_s
    assert server.requests[0].path == "/v1/responses"


def test_leaving_ends_an_answer_that_is_held():
    with ModelServer(Reply(steps=(Hold(gate="g"), Say(text="a")))) as server:
        server.release("g")
        assert b"message_stop" in post(server.url + "/messages", {})


def test_tool_answers_are_handy():
    outputs = {"input": [{"type": "function_call_output", "call_id": "c", "output": "README"}]}
    with ModelServer().says("Hi.") as server:
        post(server.url + "/responses", outputs)
    assert server.requests[0].tool_outputs == ["README"]


@pytest.mark.slow
def test_as_a_command_it_says_its_address_and_serves(tmp_path: Path):
    script = tmp_path / "script.json"
    script.write_text('{"replies":[{"steps":[{"type":"say","text":"Hi."}]}]}')
    argv = [sys.executable, "-m", "octavo.testing.server", str(script)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert b"Hi." in post(url + "/responses", {})
        finally:
            process.terminate()


def test_a_script_it_cannot_read_is_said_in_one_line(tmp_path: Path):
    said: list[str] = []
    assert main([str(tmp_path / "none.json")], said.append) == 2
    assert main([], said.append) == 2
    assert len(said) == 2
