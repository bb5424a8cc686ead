"""The app server as a client meets it: lines in, lines out, the real engine behind."""

import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("no sandbox on Windows yet", allow_module_level=True)

WAIT_S = 30


def methods(client):
    return [line["method"] for line in client.seen if "method" in line]


def test_a_client_says_who_it_is_and_learns_where_it_is(client, octavo):
    found = client.start()
    assert found["userAgent"].startswith("lab/0.169.0 ")
    assert found["codexHome"] == str(octavo.home)
    assert found["platformFamily"] == "unix"
    assert client.error("initialize", clientInfo={"name": "x", "version": "1"}) == {
        "code": -32600,
        "message": "Already initialized",
    }
    assert client.close() == 0


def test_nothing_works_before_that(client):
    assert client.error("thread/list")["message"] == "Not initialized"


def test_the_notices_of_a_simple_turn_come_in_order(client, model):
    model.thinks("**Hm**").says("Hello.")
    client.start()
    thread = client.thread()
    client.notice("thread/started")
    client.seen.clear()
    turn = client.turn(thread, "Hi")
    assert turn["status"] == "completed"
    assert [item["text"] for item in turn["items"]] == ["Hello."]
    deltas = {"item/agentMessage/delta", "item/reasoning/summaryTextDelta"}
    assert [name for name in methods(client) if name not in deltas] == [
        "thread/status/changed",
        "turn/started",
        "item/started",
        "item/completed",
        "item/started",
        "item/reasoning/summaryPartAdded",
        "item/completed",
        "item/started",
        "item/completed",
        "thread/tokenUsage/updated",
        "thread/status/changed",
        "turn/completed",
    ]
    said = [line for line in client.seen if line.get("method") == "item/agentMessage/delta"]
    assert "".join(line["params"]["delta"] for line in said) == "Hello."
    assert all("emittedAtMs" in line for line in said)


def test_the_reply_comes_before_the_turn_begins(client, model):
    model.says("Hello.")
    client.start()
    thread = client.thread()
    client.notice("thread/started")
    client.seen.clear()
    client.turn(thread, "Hi")
    assert "result" in client.seen[0]
    assert client.seen[0]["result"]["turn"]["status"] == "inProgress"


def test_a_command_is_an_item_with_its_output_even_when_it_is_denied(client, model):
    forbidden = Path("/var/tmp") / f"octavo-{os.getpid()}"  # whoever runs this may write there
    command = f"echo seen; touch {forbidden}"
    model.calls("exec_command", cmd=command, login=False).says("ok")
    client.start()
    client.turn(client.thread(), "go")
    assert not forbidden.exists()
    items = [
        line["params"]["item"]
        for line in client.seen
        if line.get("method") == "item/completed"
        and line["params"]["item"]["type"] == "commandExecution"
    ]
    (item,) = items
    assert item["status"] == "failed"
    assert "seen" in item["aggregatedOutput"]
    assert item["denials"]


def escalated(model):
    return model.calls(
        "exec_command",
        cmd="touch made",
        login=False,
        sandbox_permissions="require_escalated",
        justification="needed",
    ).says("ok")


@pytest.mark.parametrize(
    ("decision", "made", "status", "item"),
    [
        ("accept", True, "completed", "completed"),
        ("acceptForSession", True, "completed", "completed"),
        ("decline", False, "completed", "declined"),
        ("cancel", False, "interrupted", "declined"),
        ("nonsense", False, "completed", "declined"),
    ],
)
def test_an_approval_is_asked_and_every_answer_counts(
    client, model, workspace, decision, made, status, item
):
    escalated(model)
    client.decide = decision
    client.start()
    turn = client.turn(client.thread(cwd=str(workspace), approvalPolicy="on-request"), "go")
    assert turn["status"] == status
    assert (workspace / "made").exists() is made
    (asked,) = client.asked
    assert asked["method"] == "item/commandExecution/requestApproval"
    assert asked["params"]["reason"] == "needed"
    ended = [
        line["params"]["item"]["status"]
        for line in client.seen
        if line.get("method") == "item/completed"
        and line["params"]["item"]["type"] == "commandExecution"
    ]
    assert ended == [item]
    names = methods(client)
    about = asked["params"]["itemId"]
    begun = [
        line["params"]["item"]["id"] if line.get("method") == "item/started" else None
        for line in client.seen
    ]
    assert begun.index(about) < client.seen.index(asked)
    assert begun.count(about) == 1
    assert "serverRequest/resolved" in names


def test_a_patch_outside_is_asked_about(client, model, workspace, tmp_path):
    outside = tmp_path / "outside.txt"
    patch = f"*** Begin Patch\n*** Add File: {outside}\n+x\n*** End Patch"
    model.calls_custom("apply_patch", patch).says("ok")
    client.start()
    client.turn(
        client.thread(cwd=str(workspace), approvalPolicy="on-request", sandbox="read-only"), "go"
    )
    (asked,) = client.asked
    assert asked["method"] == "item/fileChange/requestApproval"
    assert outside.read_text() == "x\n"
    begun = changes(client, "item/started")
    assert client.seen.index(begun[0]) < client.seen.index(asked)
    assert begun[0]["params"]["item"]["changes"][0]["path"] == str(outside)
    assert [len(begun), len(changes(client, "item/completed"))] == [1, 1]


def changes(client, method):
    return [
        line
        for line in client.seen
        if line.get("method") == method and line["params"]["item"]["type"] == "fileChange"
    ]


def test_a_patch_that_is_declined_ends_as_declined(client, model, workspace, tmp_path):
    outside = tmp_path / "outside.txt"
    patch = f"*** Begin Patch\n*** Add File: {outside}\n+x\n*** End Patch"
    model.calls_custom("apply_patch", patch).says("ok")
    client.decide = "decline"
    client.start()
    client.turn(
        client.thread(cwd=str(workspace), approvalPolicy="on-request", sandbox="read-only"), "go"
    )
    assert not outside.exists()
    (ended,) = changes(client, "item/completed")
    assert ended["params"]["item"]["status"] == "declined"


def test_a_turn_is_interrupted_and_its_command_is_gone(client, model):
    model.calls("exec_command", cmd="echo up; sleep 60", login=False)
    client.start()
    thread = client.thread()
    started = client.ask("turn/start", threadId=thread, input=[{"type": "text", "text": "go"}])[
        "turn"
    ]["id"]
    client.notice("item/commandExecution/outputDelta")
    wrong = client.error("turn/interrupt", threadId=thread, turnId="nope")
    assert wrong["message"] == f"expected active turn id nope but found {started}"
    assert client.ask("turn/interrupt", threadId=thread, turnId=started) == {}
    done = [
        line["params"]["turn"]["status"]
        for line in client.seen
        if line.get("method") == "turn/completed"
    ]
    done = done or [client.notice("turn/completed")["turn"]["status"]]
    assert done == ["interrupted"]
    opened = [
        line["params"]["item"]["id"] for line in client.seen if line.get("method") == "item/started"
    ]
    closed = [
        line["params"]["item"]["id"]
        for line in client.seen
        if line.get("method") == "item/completed"
    ]
    assert sorted(opened) == sorted(closed)


def test_more_input_joins_the_turn_that_runs(client, model):
    model.calls("exec_command", cmd="echo up; sleep 0.5", login=False).says("both")
    client.start()
    thread = client.thread()
    first = client.ask("turn/start", threadId=thread, input=[{"type": "text", "text": "one"}])
    client.notice("item/commandExecution/outputDelta")
    second = client.ask("turn/start", threadId=thread, input=[{"type": "text", "text": "two"}])
    assert second["turn"]["id"] == first["turn"]["id"]
    steered = client.ask(
        "turn/steer",
        threadId=thread,
        expectedTurnId=first["turn"]["id"],
        input=[{"type": "text", "text": "three"}],
    )
    assert steered == {"turnId": first["turn"]["id"]}
    client.notice("turn/completed")
    texts = model.requests[-1].body.decode()
    assert '"two"' in texts
    assert '"three"' in texts


def test_threads_are_listed_read_named_resumed_forked_and_put_aside(client, model, octavo, connect):
    model.says("one").says("two").says("three")
    client.start()
    thread = client.thread()
    client.turn(thread, "First words")
    client.ask("thread/name/set", threadId=thread, name="mine")
    (listed,) = client.ask("thread/list")["data"]
    assert (listed["id"], listed["name"], listed["preview"]) == (thread, "mine", "First words")
    read = client.ask("thread/read", threadId=thread, includeTurns=True)["thread"]
    (turn,) = read["turns"]
    assert [item["type"] for item in turn["items"]] == ["userMessage", "agentMessage"]
    fork = client.ask("thread/fork", threadId=thread)["thread"]
    assert (fork["forkedFromId"], fork["name"]) == (thread, "mine")
    assert client.turn(fork["id"], "more")["items"][0]["text"] == "two"
    client.close()

    again = connect()
    try:
        again.start()
        resumed = again.ask("thread/resume", threadId=thread)["thread"]
        assert len(resumed["turns"]) == 1
        assert again.turn(thread, "third")["items"][0]["text"] == "three"
        again.ask("thread/archive", threadId=fork["id"])
        listed = {one["id"] for one in again.ask("thread/list")["data"]}
        assert listed == {thread}
        archived = again.ask("thread/list", archived=True)["data"]
        assert {one["id"] for one in archived} == {fork["id"]}
        again.ask("thread/unarchive", threadId=fork["id"])
    finally:
        again.close()


def test_settings_of_a_turn_hold_from_then_on(client, model, workspace):
    model.says("one").calls("exec_command", cmd="touch made", login=False).says("two")
    client.start()
    thread = client.thread(cwd=str(workspace), sandbox="read-only")
    client.turn(thread, "hi")
    client.turn(thread, "go", model="gpt-5-mini", sandboxPolicy={"type": "workspaceWrite"})
    assert (workspace / "made").exists()
    assert [json.loads(one.body)["model"] for one in model.requests] == [
        "gpt-5",
        "gpt-5-mini",
        "gpt-5-mini",
    ]


def test_the_history_is_shortened_on_demand(client, model):
    model.says("one").says("the summary").says("two")
    client.start()
    thread = client.thread()
    client.turn(thread, "hi")
    client.ask("thread/compact/start", threadId=thread)
    client.notice("turn/completed")
    kinds = [
        line["params"]["item"]["type"]
        for line in client.seen
        if line.get("method") == "item/completed"
    ]
    assert "contextCompaction" in kinds


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{not json\n", -32700),
        (b"\xff\xfe\x00\n", -32700),
        (b"[1,2]\n", -32600),
        (b'{"id":7}\n', -32600),
        (b'{"id":7,"method":5}\n', -32600),
        (b'{"id":7,"method":"no/such"}\n', -32601),
        (b'{"id":7,"method":"thread/read","params":{"threadId":5}}\n', -32600),
        (b'{"id":7,"method":"thread/read","params":{}}\n', -32600),
        (b'{"id":7,"method":"thread/read"}\n', -32600),
        (b'{"id":7,"method":"turn/start","params":' + b"[" * 5000 + b"]" * 5000 + b"}\n", -32600),
    ],
)
def test_bad_lines_get_an_answer_and_harm_nothing(client, line, code):
    client.start()
    client.send(line)
    answer = client.next()
    assert answer["error"]["code"] in (code, -32700)
    assert client.ask("thread/loaded/list")["data"] == []


def test_answers_to_nothing_are_ignored(client):
    client.start()
    client.send({"id": 99, "result": {}})
    client.send({"id": "x", "error": {"code": 1, "message": "m"}})
    assert client.ask("thread/loaded/list")["data"] == []


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("turn/start", {"threadId": "x", "input": []}, "invalid thread id: x"),
        (
            "turn/start",
            {"threadId": "0199a213-81a0-7800-8aa1-000000000000", "input": []},
            "thread not found",
        ),
        (
            "thread/resume",
            {"threadId": "0199a213-81a0-7800-8aa1-000000000000"},
            "no rollout found for thread",
        ),
        ("account/rateLimits/read", {}, "vendor's cloud"),
        ("command/exec", {"command": []}, "command must not be empty"),
        ("fs/readFile", {"path": "relative"}, "absolute"),
        ("thread/start", {"cwd": "/no/such/folder"}, "there is no folder"),
        ("thread/start", {"config": {"approval_policy": "bogus"}}, "approval_policy"),
    ],
)
def test_wrong_requests_say_what_is_wrong(client, method, params, words):
    client.start()
    assert words in client.error(method, **params)["message"]


def test_notices_nobody_wants_are_not_sent(client, model):
    model.says("Hello.")
    client.start(optOutNotificationMethods=["item/agentMessage/delta", "turn/started"])
    client.turn(client.thread(), "Hi")
    assert not {"item/agentMessage/delta", "turn/started"} & set(methods(client))


def test_a_client_that_goes_while_it_is_asked_has_declined(client, model, workspace):
    escalated(model)
    client.start()
    thread = client.thread(cwd=str(workspace), approvalPolicy="on-request")
    client.ask("turn/start", threadId=thread, input=[{"type": "text", "text": "go"}])
    while True:
        line = client.lines.get(timeout=WAIT_S)
        if "id" in line and "method" in line:
            break
    assert client.close() == 0
    assert not (workspace / "made").exists()


def test_files_can_be_written_read_and_found(client, workspace):
    client.start()
    path = str(workspace / "deep" / "name.txt")
    client.ask("fs/createDirectory", path=str(workspace / "deep"))
    client.ask("fs/writeFile", path=path, dataBase64="aGk=")
    assert client.ask("fs/readFile", path=path) == {"dataBase64": "aGk="}
    found = client.ask("fuzzyFileSearch", query="dnam", roots=[str(workspace)])["files"]
    assert [one["path"] for one in found] == ["deep/name.txt"]
    assert client.error("fs/readFile", path=path + "x")["code"] == -32603


def test_a_command_runs_without_a_model(client, workspace):
    client.start()
    done = client.ask("command/exec", command=["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert done == {"exitCode": 3, "stdout": "out\n", "stderr": "err\n"}
    late = client.ask("command/exec", command=["sleep", "9"], timeoutMs=100)
    assert late["exitCode"] == 124


def started(client, *words, **params):
    """Ask for a command without waiting for its end."""
    client.send(
        {
            "id": "run",
            "method": "command/exec",
            "params": {"command": list(words), "processId": "p", **params},
        }
    )


def ending(client):
    return client.until(lambda line: line.get("id") == "run")["result"]


def output(client, stream="stdout"):
    return b"".join(
        base64.b64decode(line["params"]["deltaBase64"])
        for line in client.seen
        if line.get("method") == "command/exec/outputDelta" and line["params"]["stream"] == stream
    )


def typed(client, text, **more):
    data = base64.b64encode(text.encode()).decode()
    return client.ask("command/exec/write", processId="p", deltaBase64=data, **more)


def test_a_command_is_watched_and_typed_into(client):
    client.start()
    script = "echo err >&2; while read -r line; do echo got $line; done; exit 4"
    started(client, "sh", "-c", script, streamStdin=True, streamStdoutStderr=True)
    client.notice("command/exec/outputDelta")
    typed(client, "one\ntwo\n")
    typed(client, "", closeStdin=True)
    assert ending(client) == {"exitCode": 4, "stdout": "", "stderr": ""}
    assert output(client) == b"got one\ngot two\n"
    assert output(client, "stderr") == b"err\n"


def test_a_command_with_a_terminal_can_be_resized_and_ended(client):
    client.start()
    script = "stty size; trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done"
    started(client, "sh", "-c", script, tty=True, size={"rows": 10, "cols": 40})
    while b"ready" not in output(client):
        client.notice("command/exec/outputDelta")
    client.ask("command/exec/resize", processId="p", size={"rows": 11, "cols": 50})
    while b"11 50" not in output(client):
        client.notice("command/exec/outputDelta")
    assert output(client).startswith(b"10 40")
    client.ask("command/exec/terminate", processId="p")
    assert ending(client)["exitCode"] == 1
    gone = client.error("command/exec/terminate", processId="p")["message"]
    assert gone == 'no active command/exec for process id "p"'


def test_output_beyond_the_cap_is_not_sent(client):
    client.start()
    started(client, "sh", "-c", "yes | head -c 5000", streamStdoutStderr=True, outputBytesCap=100)
    assert ending(client)["exitCode"] == 0
    assert len(output(client)) == 100
    (*_, last) = [one for one in client.seen if one.get("method") == "command/exec/outputDelta"]
    assert last["params"]["capReached"] is True


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("command/exec", {"command": ["true"], "tty": True}, "needs a processId"),
        ("command/exec/write", {"processId": "zz"}, 'process id "zz"'),
        ("command/exec/resize", {"processId": "zz", "size": {"rows": 0, "cols": 1}}, "0 rows"),
    ],
)
def test_wrong_words_about_a_running_command(client, method, params, words):
    client.start()
    assert words in client.error(method, **params)["message"]


def test_input_that_is_not_base64_is_refused_and_the_command_goes_on(client):
    client.start()
    started(client, "cat", streamStdin=True, streamStdoutStderr=True)
    wrong = client.error("command/exec/write", processId="p", deltaBase64="?")
    assert "deltaBase64" in wrong["message"]
    typed(client, "fine\n", closeStdin=True)
    assert ending(client)["exitCode"] == 0
    assert output(client) == b"fine\n"


def test_two_clients_over_a_socket_see_the_same_thread(octavo, model, settings, tmp_path):
    import socket

    model.says("Hello.")
    octavo.config(settings.format(url=model.url))
    path = tmp_path / "s"
    process = subprocess.Popen(
        [octavo.program, "app-server", "--listen", f"unix://{path}"],
        env=octavo.environ(),
        cwd=octavo.cwd,
        stderr=subprocess.PIPE,
    )
    ends = []
    try:
        deadline = threading.Event()
        while not path.exists() and process.poll() is None:
            deadline.wait(0.01)
        assert path.stat().st_mode & 0o077 == 0
        for _ in range(2):
            end = socket.socket(socket.AF_UNIX)
            end.settimeout(WAIT_S)
            end.connect(str(path))
            ends.append(end.makefile("rwb"))
            end.close()  # the file keeps it open

        def ask(end, number, method, **params):
            end.write(
                json.dumps({"id": number, "method": method, "params": params}).encode() + b"\n"
            )
            end.flush()
            return next(line["result"] for line in map(json.loads, end) if line.get("id") == number)

        for end in ends:
            ask(end, 1, "initialize", clientInfo={"name": "a", "version": "1"})
        thread = ask(ends[0], 2, "thread/start")["thread"]["id"]
        ask(ends[1], 2, "thread/resume", threadId=thread)
        ask(ends[0], 3, "turn/start", threadId=thread, input=[{"type": "text", "text": "Hi"}])
        for end in ends:
            seen = next(
                line for line in map(json.loads, end) if line.get("method") == "turn/completed"
            )
            assert seen["params"]["threadId"] == thread
    finally:
        process.terminate()
        process.wait(WAIT_S)
        for one in (*ends, process.stderr):
            one.close()


def test_the_schema_is_written_for_every_method(octavo, tmp_path):
    done = octavo("app-server", "generate-json-schema", "--out", str(tmp_path / "s"))
    assert done.returncode == 0, done.stderr
    names = os.listdir(tmp_path / "s/v2")
    assert "TurnStartParams.json" in names
    turn = json.loads((tmp_path / "s/v2/TurnStartParams.json").read_text())
    assert {"threadId", "input"} <= set(turn["properties"])


def test_an_address_nobody_understands_is_one_line(octavo):
    done = octavo("app-server", "--listen", "carrier-pigeon://")
    assert done.returncode == 2
    assert "not understood" in done.stderr
