"""Figures of the app server: start, a trivial turn, memory over many turns, resuming a long thread.

    .venv/bin/python bench/appserver.py --turns 50

A model on loopback answers at once, so what is measured is the server.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from agent import long_thread

from octavo.testing import ModelServer

OCTAVO = str(Path(sys.executable).parent / "octavo")
SETTINGS = 'model = "m"\nmodel_provider = "mock"\n[model_providers.mock]\nbase_url = "{url}"\n'


class Client:
    """One client over standard input and output."""

    def __init__(self, home: Path, work: Path) -> None:
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            [OCTAVO, "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=work,
            env={**os.environ, "OCTAVO_HOME": str(home)},
        )
        self.number = 0

    def ask(self, method: str, **params: object) -> dict:
        self.number += 1
        line = json.dumps({"id": self.number, "method": method, "params": params})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.until(lambda found: found.get("id") == self.number)

    def until(self, wanted) -> dict:  # noqa: ANN001 - a function
        for line in self.process.stdout:
            found = json.loads(line)
            if wanted(found):
                return found
        raise RuntimeError("the server has gone")

    def turn(self, thread: str) -> float:
        began = time.perf_counter()
        self.ask("turn/start", threadId=thread, input=[{"type": "text", "text": "hi"}])
        self.until(lambda found: found.get("method") == "turn/completed")
        return (time.perf_counter() - began) * 1000

    @property
    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=50)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as name, ModelServer() as model:
        home, work = Path(name, "home"), Path(name, "work")
        home.mkdir()
        work.mkdir()
        for _ in range(turns + 1):
            model.says("Hello.")
        (home / "config.toml").write_text(SETTINGS.format(url=model.url))
        client = Client(home, work)
        info = {"name": "bench", "version": "1"}
        client.ask("initialize", clientInfo=info)
        cold = (time.perf_counter() - client.began) * 1000
        began = time.perf_counter()
        client.ask("thread/loaded/list")
        warm = (time.perf_counter() - began) * 1000
        thread = client.ask("thread/start")["result"]["thread"]["id"]
        client.turn(thread)
        times, memory = [], []
        for _ in range(turns):
            times.append(client.turn(thread))
            memory.append(client.resident_mb)
        resumed = {}
        long = long_thread(home, work)
        for turns_too in (False, True):
            began = time.perf_counter()
            answer = client.ask("thread/resume", threadId=long, excludeTurns=not turns_too)
            assert "result" in answer, answer
            resumed[turns_too] = (time.perf_counter() - began) * 1000
            client.ask("thread/archive", threadId=long)
            client.ask("thread/unarchive", threadId=long)
        client.process.stdin.close()
        client.process.wait(30)
        client.process.stdout.close()
    rows = [
        ("initialize, cold, ms", cold),
        ("a small request, ms", warm),
        (f"trivial turn, median of {turns}, ms", statistics.median(times)),
        ("resident after 10 turns, MB", memory[min(9, len(memory) - 1)]),
        (f"resident after {turns} turns, MB", memory[-1]),
        ("thread/resume of 10,000 items, without its turns, ms", resumed[False]),
        ("thread/resume of 10,000 items, with its turns, ms", resumed[True]),
    ]
    for what, value in rows:
        print(f"| {what} | {value:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
