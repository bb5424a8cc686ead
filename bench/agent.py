"""Figures of whole agent runs, side by side with the reference where it is on the machine.

    .venv/bin/python bench/agent.py --rounds 10 --reference /path/to/codex

A model on loopback answers at once from a script, so what is measured is the program around it.
Both programs get the same script, the same folder and an empty home of their own, in turns.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from octavo.protocol.content import InputText
from octavo.protocol.history import Message, assistant
from octavo.protocol.ids import ThreadId
from octavo.store.disk import DiskStore
from octavo.store.rollout import ResponseItem, SessionMeta, stamp
from octavo.testing import ModelServer

OCTAVO = str(Path(sys.executable).parent / "octavo")
SETTINGS = (
    'model = "m"\nmodel_provider = "mock"\n'
    '[model_providers.mock]\nname = "mock"\nbase_url = "{url}"\nwire_api = "responses"\n'
)
COMMON = ("--json", "--skip-git-repo-check", "-s", "workspace-write")
CALLS = 20
ITEMS = 10_000
DEADLINE_S = 120
SAMPLE_S = 0.005


class Program:
    """One of the two, with a home of its own."""

    def __init__(self, name: str, path: str, place: Path) -> None:
        self.name = name
        self.path = path
        self.home = place / name
        self.home.mkdir()
        self.user = place / f"{name}-user"  # a login shell reads the user's own files
        self.user.mkdir()

    def run(self, server: ModelServer, cwd: Path, *words: str, memory: bool = False) -> "Run":
        (self.home / "config.toml").write_text(SETTINGS.format(url=server.url))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OCTAVO_", "CODEX_"))}
        env = {**kept, "OCTAVO_HOME": str(self.home), "CODEX_HOME": str(self.home),
               "HOME": str(self.user), "SHELL": "/bin/bash"}  # fmt: skip
        began = time.monotonic()
        child = subprocess.Popen(
            [self.path, "exec", *words], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        watch = Memory(child.pid) if memory else None
        output, errors = child.communicate(timeout=DEADLINE_S)
        ended = time.monotonic()
        peak = watch.stop() if watch else 0
        if child.returncode:
            raise SystemExit(
                f"{self.name} failed: {errors.decode()[-600:]} {output.decode()[-600:]}"
            )
        return Run(began, ended, [request.at_s for request in server.requests],
                   [len(request.body) for request in server.requests], peak)  # fmt: skip


class Run:
    """What one run took."""

    def __init__(
        self, began: float, ended: float, at: list[float], sizes: list[int], peak_kb: int
    ) -> None:
        self.whole_ms = (ended - began) * 1000
        self.first_ms = (at[0] - began) * 1000
        self.step_ms = (at[1] - at[0]) * 1000 if len(at) > 1 else 0.0
        self.first_kb = sizes[0] / 1000
        self.peak_mb = peak_kb / 1024


class Memory(threading.Thread):
    """The largest sum of resident memory of a process and all below it, sampled."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._peak = 0
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self._peak = max(self._peak, tree_kb(self._pid))

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self._peak


def tree_kb(root: int) -> int:
    """Resident memory of a process tree; pages shared between its processes count in each."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
            except OSError:
                continue
            below.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        todo += below.get(pid, [])
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4
        except OSError:
            continue
    return total


def message() -> ModelServer:
    return ModelServer().says("Done.")


def step() -> ModelServer:
    return ModelServer().calls("exec_command", cmd="true").says("Done.")


def many() -> ModelServer:
    server = ModelServer()
    for _ in range(CALLS):
        server.calls("exec_command", cmd="true")
    return server.says("Done.")


def long_thread(home: Path, cwd: Path) -> str:
    """A thread of 10,000 items in the published form."""
    thread = ThreadId("01a1fcf7-3374-7180-b12a-1d0eba51ac22")
    store = DiskStore(str(home), now_ms=lambda: round(time.time() * 1000))
    meta = SessionMeta(
        id=thread, timestamp=stamp(round(time.time() * 1000)), cwd=str(cwd), originator="bench",
        cli_version="0.169.0", session_id=thread, source="exec", model_provider="mock",
    )  # fmt: skip
    log = store.create(meta)
    words = "some words of an ordinary length, as people and models write them. " * 6
    for number in range(ITEMS // 2):
        said = Message(role="user", content=(InputText(text=f"{number} {words}"),))
        log.append(ResponseItem(said), ResponseItem(assistant(f"{number} {words}")))
    log.close()
    return thread


class Bench:
    def __init__(self, place: Path, rounds: int, reference: str | None) -> None:
        self.rounds = rounds
        self.work = place / "work"
        (self.work / ".git").mkdir(parents=True)
        self.programs = [Program("octavo", OCTAVO, place)]
        if reference:
            self.programs.append(Program("reference", reference, place))

    def table(self) -> None:
        first: dict[str, dict[str, list[float]]] = {}
        threads = {program.name: long_thread(program.home, self.work) for program in self.programs}
        for number in range(self.rounds + 1):
            for program in self.programs:
                got = self.round(program, threads[program.name])
                for what, value in got.items():
                    if number:  # the first round warms the disk
                        first.setdefault(what, {}).setdefault(program.name, []).append(value)
        for what, (label, target) in ROWS.items():
            self.row(label, target, first.get(what, {}))

    def round(self, program: Program, thread: str) -> dict[str, float]:
        found = {}
        with message() as server:
            run = program.run(server, self.work, *COMMON, "hi")
            found |= {"first": run.first_ms, "whole": run.whole_ms, "size": run.first_kb}
        with step() as server:
            found["step"] = program.run(server, self.work, *COMMON, "hi").step_ms
        with many() as server:
            found["many"] = program.run(server, self.work, *COMMON, "hi").whole_ms
        with many() as server:
            found["memory"] = program.run(server, self.work, *COMMON, "hi", memory=True).peak_mb
        with message() as server:
            words = ("--json", "--skip-git-repo-check", "resume", thread, "hi")
            found["resume"] = program.run(server, self.work, *words).first_ms
        return found

    def row(self, label: str, target: str, values: dict[str, list[float]]) -> None:
        medians = {name: statistics.median(all_) for name, all_ in values.items()}
        ours = medians["octavo"]
        theirs = medians.get("reference")
        ratio = "" if theirs is None else f"{ours / theirs:.2f}"
        shown = "" if theirs is None else f"{theirs:.1f}"
        print(f"| {label} | {ours:.1f} | {shown} | {ratio} | {target} |", flush=True)


ROWS = {
    "first": ("exec, one message: start to first request, ms", "not slower"),
    "whole": ("exec, one message: whole run, ms", "not slower"),
    "step": ("one sandboxed tool step, request to request, ms", "≤ 25"),
    "many": (f"{CALLS} sandboxed calls in a row, whole run, ms", "≤ 800"),
    "memory": ("peak resident memory of that run, whole tree, MB", "≤ 75"),
    "size": ("body of the first request, kB", "≤ 20"),
    "resume": (f"resume of {ITEMS:,} items, start to first request, ms", "≤ 400"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--reference", default=shutil.which("codex"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="octavo-bench-", dir=os.path.expanduser("~")) as folder:
        bench = Bench(Path(os.path.realpath(folder)), options.rounds, options.reference)
        print(f"{platform.python_implementation()} {platform.python_version()}, Linux {platform.release()}, "
              f"{os.cpu_count()} cores, uid {os.getuid()}, medians of {options.rounds} rounds\n")  # fmt: skip
        print("| what | Octavo | reference | ratio | target |\n|---|---|---|---|---|", flush=True)
        bench.table()
    return 0


if __name__ == "__main__":
    sys.exit(main())
