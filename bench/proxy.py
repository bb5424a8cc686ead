"""Figures of the managed proxy on loopback, interleaved with a direct connection and a plain relay.

    .venv/bin/python bench/proxy.py                 everything
    .venv/bin/python bench/proxy.py --mib 1024 --rounds 5

The proxy, the relay, the server and the client are processes of their own. Ratios within one run
are what counts: absolute times belong to the machine and the hour.
"""

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

HERE = "127.0.0.1"
NAME = "bench.test"
PIECE = 256 * 1024
BODY = b"x" * 100
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--tunnels", type=int, default=500)
    parser.add_argument("--role", choices=["server", "relay"], help=argparse.SUPPRESS)
    parser.add_argument("--to", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role is not None:
        threading.Thread(target=end_with_input, daemon=True).start()
    if options.role == "server":
        return serve()
    if options.role == "relay":
        asyncio.run(plain_relay(options.to))
        return 0
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} "
          f"{platform.release()}, {os.cpu_count()} cores, best and median of {options.rounds} rounds\n")  # fmt: skip
    with ExitStack() as stack:
        bench = Bench(stack, options)
        print(
            "| what | proxy | compared with | ratio | target |\n|---|---|---|---|---|", flush=True
        )
        bench.requests()
        bench.latency()
        bench.tunnel()
        bench.idle()
    return 0


# ---- the other processes ------------------------------------------------------------------------


def end_with_input() -> None:
    """Nothing outlives the measurement."""
    sys.stdin.buffer.read()
    os._exit(0)


def serve() -> int:
    """One thread for each connection: `GET`s are answered, `T` is drained, `F` is flooded."""
    listener = socket.create_server((HERE, 0), backlog=1024)
    print(f"READY {listener.getsockname()[1]}", flush=True)
    flood = memoryview(bytes(PIECE))

    def handle(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = bytearray(PIECE)
        with sock:
            try:
                while count := sock.recv_into(buffer):
                    first = buffer[0]
                    if first == ord("G"):
                        for _ in range(buffer[:count].count(b"\r\n\r\n")):
                            sock.sendall(ANSWER)
                    elif first == ord("T"):
                        wanted = int(buffer[1:count])
                        while wanted > 0:
                            wanted -= sock.recv_into(buffer)
                        sock.sendall(b"D")
                    elif first == ord("F"):
                        wanted = int(buffer[1:count])
                        while wanted > 0:
                            wanted -= sock.send(flood[: min(PIECE, wanted)])
            except OSError:
                return

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=handle, args=(sock,), daemon=True).start()


class Half(asyncio.Protocol):
    """One side of the plainest relay asyncio offers."""

    other: "Half | None" = None
    transport: asyncio.Transport

    def __init__(self, to: int | None) -> None:
        self.to = to
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.to is not None:
            self.task = asyncio.get_running_loop().create_task(self.join())

    async def join(self) -> None:
        loop = asyncio.get_running_loop()
        _, self.other = await loop.create_connection(lambda: Half(None), HERE, self.to)
        self.other.other = self
        for data in self.early:
            self.other.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


async def plain_relay(to: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Half(to), HERE, 0)
    print(f"READY {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


# ---- measuring ----------------------------------------------------------------------------------


class Bench:
    def __init__(self, stack: ExitStack, options: argparse.Namespace) -> None:
        self.rounds = options.rounds
        self.count = options.requests
        self.bytes = options.mib * 1024 * 1024
        self.tunnels = options.tunnels
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        own = [sys.executable, __file__]
        _, self.server = self.start(stack, [*own, "--role", "server"])
        _, self.relay = self.start(stack, [*own, "--role", "relay", "--to", str(self.server)])
        policy, names = folder / "policy.json", folder / "names.json"
        policy.write_text(json.dumps({"allow": [f"{NAME}:{self.server}"]}))
        names.write_text(json.dumps({"hosts": {NAME: [[HERE]]}}))
        started = time.perf_counter()
        self.process, self.proxy = self.start(
            stack,
            [sys.executable, "-m", "octavo.proxy.standalone", "--policy", str(policy), "--test",
             "--resolver", str(names), "--public", HERE],
        )  # fmt: skip
        self.started_ms = (time.perf_counter() - started) * 1000
        at = f"{NAME}:{self.server}"
        self.get = f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()
        self.direct = f"GET / HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()
        self.hello = f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()

    @staticmethod
    def start(stack: ExitStack, argv: list[str]) -> tuple[subprocess.Popen[str], int]:
        process = stack.enter_context(
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        word = process.stdout.readline().split()[1]
        return process, int(word.rpartition("=")[2])

    def requests(self) -> None:
        took = self.interleave(
            {
                "direct": lambda: self.keep_alive(self.server, self.direct),
                "proxy": lambda: self.keep_alive(self.proxy, self.get),
                "direct new": lambda: self.each_new(self.server, self.direct),
                "proxy new": lambda: self.each_new(self.proxy, self.get),
                "16": lambda: self.side_by_side(self.proxy, self.get, 16),
                "direct 16": lambda: self.side_by_side(self.server, self.direct, 16),
            }
        )
        for name, other, words in (
            ("proxy", "direct", "requests/s, one connection"),
            ("16", "direct 16", "requests/s, 16 connections"),
            ("proxy new", "direct new", "requests/s, a connection each"),
        ):
            row(words, max(took[name]), "direct", max(took[other]), "", "{:,.0f}")

    def keep_alive(self, port: int, request: bytes) -> float:
        """Requests per second."""
        with connected(port) as sock:
            for _ in range(20):
                ask(sock, request)
            started = time.perf_counter()
            for _ in range(self.count):
                ask(sock, request)
            return self.count / (time.perf_counter() - started)

    def each_new(self, port: int, request: bytes) -> float:
        count = self.count // 4
        started = time.perf_counter()
        for _ in range(count):
            with connected(port) as sock:
                ask(sock, request)
        return count / (time.perf_counter() - started)

    def side_by_side(self, port: int, request: bytes, connections: int) -> float:
        """All connections of one thread have a request under way."""
        socks = [connected(port) for _ in range(connections)]
        try:
            rounds = self.count // connections
            started = time.perf_counter()
            for _ in range(rounds):
                for sock in socks:
                    sock.sendall(request)
                for sock in socks:
                    read_answer(sock)
            return rounds * connections / (time.perf_counter() - started)
        finally:
            for sock in socks:
                sock.close()

    def latency(self) -> None:
        """A connection and its first answer, through a tunnel and without."""

        def through() -> float:
            started = time.perf_counter()
            with connected(self.proxy) as sock:
                sock.sendall(self.hello)
                assert sock.recv(4096).startswith(b"HTTP/1.1 200")
                ask(sock, self.direct)
                return (time.perf_counter() - started) * 1000

        def direct() -> float:
            started = time.perf_counter()
            with connected(self.server) as sock:
                ask(sock, self.direct)
                return (time.perf_counter() - started) * 1000

        took = self.interleave({"direct": direct, "proxy": through}, rounds=200)
        one, other = statistics.median(took["proxy"]), statistics.median(took["direct"])
        row("new tunnel and first answer, ms", one, "direct", other, "added ≤ 2 ms", "{:.2f}")

    def tunnel(self) -> None:
        relay, proxy = (self.relay, b""), (self.proxy, self.hello)
        took = self.interleave(
            {
                "direct down": lambda: self.down(self.server, b""),
                "relay down": lambda: self.down(*relay),
                "proxy down": lambda: self.down(*proxy),
                "direct up": lambda: self.up(self.server, b""),
                "relay up": lambda: self.up(*relay),
                "proxy up": lambda: self.up(*proxy),
            }
        )
        for way in ("down", "up"):
            best = {who: max(took[f"{who} {way}"]) for who in ("direct", "relay", "proxy")}
            words = f"tunnel {way}, MiB/s"
            row(words, best["proxy"], "plain asyncio relay", best["relay"], "≥ 0.7", "{:,.0f}")
            row(words, best["proxy"], "direct", best["direct"], "", "{:,.0f}")

    def down(self, port: int, hello: bytes) -> float:
        """MiB per second."""
        with tunnelled(port, hello) as sock:
            buffer, left = bytearray(PIECE), self.bytes
            started = time.perf_counter()
            sock.sendall(b"F%d" % self.bytes)
            while left > 0:
                left -= sock.recv_into(buffer)
            return self.bytes / 2**20 / (time.perf_counter() - started)

    def up(self, port: int, hello: bytes) -> float:
        with tunnelled(port, hello) as sock:
            data, left = memoryview(bytes(PIECE)), self.bytes
            sock.sendall(b"T%d" % self.bytes)
            time.sleep(0.05)
            started = time.perf_counter()
            while left > 0:
                left -= sock.send(data[: min(PIECE, left)])
            assert sock.recv(1) == b"D"
            return self.bytes / 2**20 / (time.perf_counter() - started)

    def idle(self) -> None:
        before = memory_mib(self.process.pid)
        held = [tunnelled(self.proxy, self.hello) for _ in range(self.tunnels)]
        after = memory_mib(self.process.pid)
        for sock in held:
            sock.close()
        words = f"memory with {self.tunnels} idle tunnels, MiB"
        row(words, after, "without", before, "+ ≤ 20", "{:.1f}")
        row("start until it listens, ms", self.started_ms, "", 0, "", "{:.0f}")

    def interleave(
        self, cases: dict[str, Callable[[], float]], rounds: int | None = None
    ) -> dict[str, list[float]]:
        took: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(rounds or self.rounds):
            for name, measure in cases.items():
                took[name].append(measure())
        return took


def connected(port: int) -> socket.socket:
    sock = socket.create_connection((HERE, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def tunnelled(port: int, hello: bytes) -> socket.socket:
    sock = connected(port)
    if hello:
        sock.sendall(hello)
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    return sock


def ask(sock: socket.socket, request: bytes) -> None:
    sock.sendall(request)
    read_answer(sock)


def read_answer(sock: socket.socket) -> None:
    left = len(ANSWER)
    while left > 0:
        left -= len(sock.recv(left)) or sys.exit("the connection ended")


def memory_mib(pid: int) -> float:
    """Resident, where /proc says so."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(one.split()[1]) for one in lines if one.startswith("VmRSS")) / 1024


def row(what: str, value: float, other: str, base: float, target: str, shape: str) -> None:
    ratio = f"{value / base:.2f}" if base else ""
    compared = f"{shape.format(base)} {other}" if base else ""
    print(f"| {what} | {shape.format(value)} | {compared} | {ratio} | {target} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
