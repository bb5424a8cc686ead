"""Clients over WebSocket: the same protocol, and nobody without the token."""

import hashlib
import json
import signal
import subprocess

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as dial

TOKEN = "a-token-that-is-long-enough"


@pytest.fixture
def serving(octavo, model, settings):
    """Starts a server and gives its address."""
    running = []

    def start(*words):
        octavo.config(settings.format(url=model.url))
        process = subprocess.Popen(
            [octavo.program, "app-server", "--listen", "ws://127.0.0.1:0", *words],
            env=octavo.environ(),
            cwd=octavo.cwd,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process, process.stderr.readline().removeprefix("listening on ").strip()

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stderr.close()


def ask(wire, number, method, **params):
    wire.send(json.dumps({"id": number, "method": method, "params": params}))
    while True:
        line = json.loads(wire.recv(timeout=30))
        if line.get("id") == number:
            return line


def started(wire):
    return ask(wire, 1, "initialize", clientInfo={"name": "lab", "version": "1"})["result"]


def test_a_turn_over_a_socket_and_a_clean_end(serving, model):
    model.says("Hello.")
    process, url = serving()
    with dial(url) as wire:
        assert started(wire)["platformOs"] == "linux"
        thread = ask(wire, 2, "thread/start")["result"]["thread"]["id"]
        ask(wire, 3, "turn/start", threadId=thread, input=[{"type": "text", "text": "Hi"}])
        seen = []
        while "turn/completed" not in seen:
            seen.append(json.loads(wire.recv(timeout=30)).get("method"))
        assert "item/agentMessage/delta" in seen
        wire.send("no json")
        assert json.loads(wire.recv(timeout=30))["error"]["code"] == -32700
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM


def test_nobody_without_the_token_and_no_page_of_a_browser(serving, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    _, url = serving("--ws-token-file", str(file))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        with pytest.raises(InvalidStatus) as refused:
            dial(url, additional_headers=headers)
        assert refused.value.response.status_code == 401
    right = {"Authorization": f"Bearer {TOKEN}"}
    with pytest.raises(InvalidStatus):
        dial(url, additional_headers=right, origin="http://evil.example")
    with dial(url, additional_headers=right) as wire:
        started(wire)


def test_the_hash_of_a_token_serves_as_well(serving):
    _, url = serving("--ws-token-sha256", hashlib.sha256(TOKEN.encode()).hexdigest())
    with dial(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as wire:
        started(wire)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--listen", "ws://0.0.0.0:0"), "other machines"),
        (("--listen", "ws://[::]:0"), "other machines"),
        (("--listen", "ws://example.org:1"), "not understood"),
        (("--listen", "ws://127.0.0.1"), "not understood"),
        (("--listen", "http://127.0.0.1:1"), "not understood"),
        (("--listen", "ws://127.0.0.1:0", "--ws-token-file", "/no/such"), "cannot be read"),
        (("--listen", "ws://127.0.0.1:0", "--ws-token-sha256", "ab"), "64 hexadecimal"),
        (("--ws-token-sha256", "00" * 32), "for ws:// only"),
    ],
)
def test_what_would_be_unsafe_or_makes_no_sense_is_refused(octavo, model, settings, words, said):
    octavo.config(settings.format(url=model.url))
    done = octavo("app-server", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "report it" not in done.stderr


def test_an_address_that_is_taken_is_said_plainly(octavo, model, settings, serving):
    _, url = serving()
    done = octavo("app-server", "--listen", url)
    assert done.returncode == 2
    assert "in use" in done.stderr
