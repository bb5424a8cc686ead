"""What rules per host cost a command that knows of no proxy: names, connections, starting.

    .venv/bin/python bench/captured.py [--rounds 5]

Loopback; the command runs in its own network, the server outside of it.
"""

import argparse
import asyncio
import statistics
import sys
import time

from octavo import PermissionProfile, Sandbox
from octavo.api.commands import CommandRunner
from octavo.api.network import ManagedNetwork
from octavo.policy.addresses import read_address
from octavo.proxy.resolve import ScriptedResolver

HERE = "127.0.0.1"
NAME = "bench.test"
CONNECTIONS = 200
STARTS = 40
CLIENT = """
import socket, sys, time
took = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as found:
        found.sendall(b"x")
        found.recv(1)
    took.append((time.perf_counter() - began) * 1000)
print(sorted(took)[len(took) // 2])
"""


def network() -> ManagedNetwork:
    resolver = ScriptedResolver({NAME: [[HERE]]})
    address = read_address(HERE)
    assert address is not None
    return ManagedNetwork("/nowhere", resolver=resolver, public=(address,))


def profile(*hosts: str, on: bool = False) -> Sandbox:
    table: dict[str, object] = {"filesystem": {":root": "read"}}
    if hosts or on:
        table["network"] = {"allow": list(hosts)} if hosts else {"enabled": True}
    return Sandbox.from_profile(PermissionProfile.from_mapping(table))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(1))
    await writer.drain()
    writer.close()


async def connecting(runner: CommandRunner, sandbox: Sandbox, host: str, port: int) -> float:
    words = [sys.executable, "-ISc", CLIENT, host, str(port), str(CONNECTIONS)]
    return float((await runner.run(words, sandbox=sandbox)).output.text)


async def starting(runner: CommandRunner, sandbox: Sandbox) -> float:
    took = []
    for _ in range(STARTS):
        began = time.perf_counter()
        await runner.run(["true"], sandbox=sandbox)
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def main(rounds: int) -> None:
    server = await asyncio.start_server(answer, HERE, 0)
    port = server.sockets[0].getsockname()[1]
    named, open_, off = profile(f"{NAME}:{port}"), profile(on=True), profile()
    found: dict[str, list[float]] = {}
    async with CommandRunner(gate=network) as runner:
        for _ in range(rounds):
            for name, sandbox, host in (("caught", named, NAME), ("direct", open_, HERE)):
                took = await connecting(runner, sandbox, host, port)
                found.setdefault(f"name, connection and answer, {name}", []).append(took)
            for name, sandbox in (("rules per host", named), ("network off", off)):
                took = await starting(runner, sandbox)
                found.setdefault(f"`true`, {name}", []).append(took)
    print("| what | best ms | median ms |\n|---|---|---|")
    for name, times in found.items():
        print(f"| {name} | {min(times):.2f} | {statistics.median(times):.2f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args().rounds))
