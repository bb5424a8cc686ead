"""Figures of the Linux sandbox, interleaved in one run, printed as a table for docs/benchmarks.md.

    make bench                                            everything that is on this machine
    .venv/bin/python bench/sandbox.py --rounds 60 --reference /path/to/codex

Ratios within one run are what counts: absolute times belong to the machine and the hour.
"""

import argparse
import gc
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from octavo.sandbox import ladder, presets
from octavo.sandbox.linux.launch import ForkServer, PolicyServer
from octavo.sandbox.session import Session
from octavo.sandbox.spec import Command, Plan, Policy

PYTHON = sys.executable
OCTAVO = str(Path(sys.executable).parent / "octavo")
TRUE = shutil.which("true") or "/bin/true"
PAUSE_S = 0.004  # the kernel takes namespaces down in the background: do not measure that


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--reference", default=shutil.which("codex"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="octavo-bench-") as folder:
        place = Path(os.path.realpath(folder))
        os.environ["OCTAVO_HOME"] = str(place / "home")
        (place / "home").mkdir()
        bench = Bench(place, options.rounds, options.reference)
        print(f"{platform.python_implementation()} {platform.python_version()}, Linux {platform.release()}, "
              f"{os.cpu_count()} cores, uid {os.getuid()}, medians of {options.rounds} rounds\n")  # fmt: skip
        print(
            "| what | Octavo | compared with | ratio | target |\n|---|---|---|---|---|", flush=True
        )
        bench.processes()
        bench.spawns()
        bench.throughput()
        bench.memory()
    return 0


class Bench:
    def __init__(self, place: Path, rounds: int, reference: str | None) -> None:
        self.place = place
        self.rounds = rounds
        self.reference = reference
        self.bubblewrap = shutil.which("bwrap")
        self.work = place / "work"
        (self.work / ".git").mkdir(parents=True)
        os.chdir(self.work)
        self.null = os.open("/dev/null", os.O_RDWR)

    # ---- whole processes --------------------------------------------------------------------

    def processes(self) -> None:
        bare = [PYTHON, "-I", "-S", "-c", "pass"]
        cases = {
            "version": [OCTAVO, "--version"],
            "bare": bare,
            "read-only": [OCTAVO, "sandbox", "--", TRUE],
            "workspace": [OCTAVO, "sandbox", "-s", "workspace-write", "--", TRUE],
        }
        if self.reference:
            cases["reference version"] = [self.reference, "--version"]
            cases["reference"] = [self.reference, "sandbox", "--", TRUE]
        if self.bubblewrap:
            cases["bwrap"] = bubblewrap_argv(self.bubblewrap)
        took = self.interleave(
            {name: lambda argv=argv: whole(argv) for name, argv in cases.items()}
        )
        row("`octavo --version`", took["version"], "`python -I -S -c pass`", took["bare"], "≤ 1.6")
        if "reference" in took:
            row(
                "`octavo --version`",
                took["version"],
                "reference --version",
                took["reference version"],
                "",
            )
            row(
                "`sandbox -- true`, read-only",
                took["read-only"],
                "reference",
                took["reference"],
                "≤ 0.45",
            )
            row(
                "`sandbox -- true`, workspace-write",
                took["workspace"],
                "reference",
                took["reference"],
                "≤ 0.45",
            )
        if "bwrap" in took:
            row("`sandbox -- true`, read-only", took["read-only"], "bubblewrap", took["bwrap"], "")

    # ---- spawns in a session ----------------------------------------------------------------

    def spawns(self) -> None:
        forks = ForkServer()
        try:
            plain = self.server(forks, 0)
            some = self.server(forks, 100)
            many = self.server(forks, 1000)
            cases: dict[str, Callable[[], float]] = {
                "posix_spawn": self.posix_spawn,
                "fresh": lambda: self.fresh(plain),
                "prepared": lambda: self.prepared(plain),
                "fresh 100": lambda: self.fresh(some),
                "fresh 1000": lambda: self.fresh(many),
            }
            if self.bubblewrap:
                argv = bubblewrap_argv(self.bubblewrap)
                cases["bwrap"] = lambda: whole(argv)
            took = self.interleave(cases)
        finally:
            forks.close()
        row(
            "fresh spawn in a session", took["fresh"], "`posix_spawn`", took["posix_spawn"], "≤ 2.5"
        )
        row("prepared spawn", took["prepared"], "`posix_spawn`", took["posix_spawn"], "≤ 1.6")
        row(
            "fresh spawn, 100 carve-outs", took["fresh 100"], "plain policy", took["fresh"], "≤ 1.2"
        )
        row(
            "fresh spawn, 1000 carve-outs",
            took["fresh 1000"],
            "plain policy",
            took["fresh"],
            "≤ 1.6",
        )
        if "bwrap" in took:
            row("fresh spawn in a session", took["fresh"], "bubblewrap", took["bwrap"], "")

    def plan(self, carve_outs: int) -> Plan:
        folder = self.place / f"work{carve_outs}"
        (folder / ".git").mkdir(parents=True, exist_ok=True)
        rules = [
            rule for rule in presets.workspace_write(str(folder)) if "protected" not in rule[2]
        ]
        rules.append((f"{folder}/.git", "read", "protected: .git"))
        for number in range(carve_outs):
            path = folder / f"closed{number:04}"
            path.mkdir(exist_ok=True)
            rules.append((str(path), "read", "bench"))
        session = Session(journal=str(self.place / "journal"))
        plan = ladder.make_plan(Policy(tuple(rules)), session, "native")
        assert plan is not None
        return plan

    def server(self, forks: ForkServer, carve_outs: int) -> PolicyServer:
        return forks.policy(self.plan(carve_outs))

    def command(self) -> Command:
        return Command((TRUE,), "/", {"PATH": os.defpath})

    def posix_spawn(self) -> float:
        began = time.perf_counter()
        pid = os.posix_spawn(TRUE, [TRUE], {"PATH": os.defpath})
        os.waitpid(pid, 0)
        return time.perf_counter() - began

    def fresh(self, server: PolicyServer) -> float:
        began = time.perf_counter()
        spawned = server.spawn(self.command(), (self.null,) * 3)
        record = spawned.wait()
        took = time.perf_counter() - began
        assert record is not None
        assert record.value == 0
        spawned.close()
        return took

    def prepared(self, server: PolicyServer) -> float:
        server.prepare()
        time.sleep(PAUSE_S)
        return self.fresh(server)

    # ---- many at once -----------------------------------------------------------------------

    def throughput(self, total: int = 400, in_flight: int = 8) -> None:
        forks = ForkServer()
        try:
            server = self.server(forks, 0)
            octavo = per_second(total, in_flight, lambda: self.launch_octavo(server))
        finally:
            forks.close()
        if not self.bubblewrap:
            print(f"| launches per second, {in_flight} in flight | {octavo:.0f} | | | |")
            return
        argv = bubblewrap_argv(self.bubblewrap)
        other = per_second(total, in_flight, lambda: self.launch_plain(argv))
        print(f"| launches per second, {in_flight} in flight | {octavo:.0f} | bubblewrap {other:.0f} "
              f"| {octavo / other:.2f} | ≥ 2 |", flush=True)  # fmt: skip

    def launch_octavo(self, server: PolicyServer) -> tuple[int, Callable[[], None]]:
        spawned = server.spawn(self.command(), (self.null,) * 3)

        def finish() -> None:
            spawned.wait()
            spawned.close()

        return spawned.report.fileno(), finish

    def launch_plain(self, argv: list[str]) -> tuple[int, Callable[[], None]]:
        pid = os.posix_spawn(argv[0], argv, dict(os.environ))
        fd = os.pidfd_open(pid)

        def finish() -> None:
            os.waitpid(pid, 0)
            os.close(fd)

        return fd, finish

    # ---- memory -----------------------------------------------------------------------------

    def memory(self) -> None:
        forks = ForkServer()
        try:
            server = self.server(forks, 0)
            server.prepare()
            helpers = (
                private_kb(forks.pid) + private_kb(server.pid) + private_kb(server.spares[0][0])
            )
            sleeper = Command(("sleep", "5"), "/", {"PATH": os.defpath})
            spawned = server.spawn(sleeper, (self.null,) * 3)
            spawned.read()
            time.sleep(0.05)
            running = private_kb(spawned.pid)
            spawned.kill()
            spawned.close()
        except PermissionError:  # the sandbox hides its processes from this user, too
            print("| private memory | can be read as uid 0 only | | | |")
            return
        finally:
            forks.close()
        print(f"| private memory, all helpers | {helpers / 1024:.1f} MB | | | ≤ 4 MB |")
        print(f"| private memory, per running command | {running / 1024:.2f} MB | | | ≤ 0.6 MB |")

    def interleave(self, cases: dict[str, Callable[[], float]]) -> dict[str, float]:
        """Medians in ms; each round runs every case once, so that a slow minute hits all alike."""
        taken: dict[str, list[float]] = {name: [] for name in cases}
        gc.disable()
        for number in range(self.rounds + 2):
            for name, case in cases.items():
                took = case()
                time.sleep(PAUSE_S)
                if number >= 2:
                    taken[name].append(took * 1000)
        gc.enable()
        return {name: statistics.median(values) for name, values in taken.items()}


def whole(argv: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    took = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.decode()}")
    return took


def bubblewrap_argv(program: str) -> list[str]:
    return [program, "--ro-bind", "/", "/", "--dev", "/dev", "--unshare-user", "--unshare-pid", "--unshare-ipc",
            "--unshare-net", "--proc", "/proc", "--die-with-parent", "--", TRUE]  # fmt: skip


def per_second(
    total: int, in_flight: int, start: Callable[[], tuple[int, Callable[[], None]]]
) -> float:
    poll = select.poll()
    live: dict[int, Callable[[], None]] = {}
    started = done = 0
    began = time.perf_counter()
    while done < total:
        while started < total and len(live) < in_flight:
            fd, finish = start()
            poll.register(fd, select.POLLIN)
            live[fd] = finish
            started += 1
        for fd, _ in poll.poll():
            poll.unregister(fd)
            live.pop(fd)()
            done += 1
    return total / (time.perf_counter() - began)


def private_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    wanted = ("Private_Clean:", "Private_Dirty:")
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(wanted))


def row(what: str, ours: float, other: str, theirs: float, target: str) -> None:
    print(
        f"| {what} | {ours:.2f} ms | {other} {theirs:.2f} ms | {ours / theirs:.2f} | {target} |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
