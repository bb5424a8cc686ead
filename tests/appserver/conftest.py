"""A client of the app server for the tests: lines in, lines out, the real engine behind."""

import json
import subprocess
import sys
import threading
from queue import Empty, Queue

import msgspec
import pytest

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]

from octavo.appserver.server import TABLE
from octavo.testing import ModelServer

SETTINGS = 'model = "gpt-5"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'
WAIT_S = 30


class Client:
    """Speaks to one server over its standard input and output."""

    def __init__(self, octavo, *words):
        self.process = subprocess.Popen(
            [octavo.program, "app-server", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=octavo.cwd,
            env=octavo.environ(),
        )
        self.lines = Queue()
        self.seen = []
        self.decide = "accept"
        self.asked = []
        self._ids = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def send(self, value):
        data = value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def next(self):
        try:
            line = self.lines.get(timeout=WAIT_S)
        except Empty:
            raise AssertionError(f"nothing more came after {self.seen[-5:]}") from None
        assert line is not None, self.process.stderr.read().decode()
        self.seen.append(line)
        if "id" in line and "method" in line:
            self.asked.append(line)
            answer = self.decide
            if isinstance(answer, str):
                answer = {"decision": answer}
            self.send({"id": line["id"], "result": answer})
        return line

    def until(self, wanted):
        """The first line for which `wanted` holds."""
        for line in iter(self.next, None):
            if wanted(line):
                return line
        raise AssertionError

    def reply(self, method, **params):
        """The whole answer to a request."""
        self._ids += 1
        number = self._ids
        self.send({"id": number, "method": method, "params": params})
        return self.until(lambda line: line.get("id") == number and "method" not in line)

    def ask(self, method, **params):
        """The result of a request."""
        answer = self.reply(method, **params)
        assert "result" in answer, answer
        msgspec.convert(answer["result"], TABLE.methods[method].result)
        return answer["result"]

    def error(self, method, **params):
        """The error of a request."""
        return self.reply(method, **params)["error"]

    def notice(self, method):
        """The next notice with this name."""
        return self.until(lambda line: line.get("method") == method)["params"]

    def start(self, **capabilities):
        info = {"name": "lab", "title": "Lab", "version": "1"}
        found = self.ask("initialize", clientInfo=info, capabilities=capabilities)
        self.send({"method": "initialized"})
        return found

    def thread(self, **params):
        return self.ask("thread/start", **params)["thread"]["id"]

    def turn(self, thread, text, **params):
        """Run a turn to its end; the turn as the last notice has it."""
        given = [{"type": "text", "text": text}]
        self.ask("turn/start", threadId=thread, input=given, **params)
        return self.notice("turn/completed")["turn"]

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
def client(octavo, model):
    octavo.config(SETTINGS.format(url=model.url))
    found = Client(octavo, "--listen", "stdio://")
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()
        for stream in (found.process.stdin, found.process.stdout, found.process.stderr):
            stream.close()


@pytest.fixture
def connect(octavo):
    """Starts a server and connects to it, as often as wanted."""
    return lambda *words: Client(octavo, *words)


@pytest.fixture
def settings():
    """The settings of a server whose model is at `{url}`."""
    return SETTINGS
