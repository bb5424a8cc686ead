"""A client of the MCP server on bare lines, and the settings for a model on loopback."""

import json
import subprocess
import sys
import threading
from contextlib import suppress
from queue import Empty, Queue

import pytest

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]

from octavo.testing import ModelServer

SETTINGS = 'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
WAIT_S = 30


class Client:
    """Speaks to one server over its standard input and output."""

    def __init__(self, octavo, *words):
        self.process = subprocess.Popen(
            [octavo.program, "mcp-server", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=octavo.cwd,
            env=octavo.environ(),
        )
        self.lines = Queue()
        self.seen = []
        self.answer = {"action": "accept", "content": {}}
        """To every question; None: no answer."""
        self.asked = []
        self._ids = 100
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def send(self, value):
        if not isinstance(value, bytes):
            value = json.dumps({"jsonrpc": "2.0", **value}).encode() + b"\n"
        self.process.stdin.write(value)
        self.process.stdin.flush()

    def next(self):
        try:
            line = self.lines.get(timeout=WAIT_S)
        except Empty:
            raise AssertionError(f"nothing more came after {self.seen[-5:]}") from None
        assert line is not None, self.process.stderr.read().decode()
        assert line["jsonrpc"] == "2.0"
        self.seen.append(line)
        if "id" in line and "method" in line:
            self.asked.append(line)
            if self.answer is not None:
                kind = "error" if "code" in self.answer else "result"
                self.send({"id": line["id"], kind: self.answer})
        return line

    def until(self, wanted):
        """The first line for which `wanted` holds."""
        while True:
            line = self.next()
            if wanted(line):
                return line

    def begin(self, method, **params):
        """Ask; its id."""
        self._ids += 1
        self.send({"id": self._ids, "method": method, "params": params})
        return self._ids

    def reply(self, number):
        return self.until(lambda line: line.get("id") == number and "method" not in line)

    def ask(self, method, **params):
        answer = self.reply(self.begin(method, **params))
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method, **params):
        return self.reply(self.begin(method, **params))["error"]

    def start(self, version="2025-06-18", **capabilities):
        info = {"name": "lab", "version": "1"}
        found = self.ask(
            "initialize", protocolVersion=version, capabilities=capabilities, clientInfo=info
        )
        self.send({"method": "notifications/initialized"})
        return found

    def call(self, tool, _meta=None, **arguments):
        more = {} if _meta is None else {"_meta": _meta}
        return self.ask("tools/call", name=tool, arguments=arguments, **more)

    def events(self, kind=None):
        """The `codex/event` messages so far."""
        found = [one["params"]["msg"] for one in self.seen if one.get("method") == "codex/event"]
        return [one for one in found if kind in (None, one["type"])]

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(WAIT_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@pytest.fixture
def model():
    with ModelServer() as server:
        yield server


@pytest.fixture
def home(octavo, model):
    """Settings that lead to the model."""
    octavo.config(SETTINGS.format(url=model.url))
    return octavo


@pytest.fixture
def client(home):
    found = Client(home)
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    for stream in (found.process.stdin, found.process.stdout, found.process.stderr):
        with suppress(BrokenPipeError):
            stream.close()
