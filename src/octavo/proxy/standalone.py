"""The proxy by itself, for tests and for looking at it: `python -m octavo.proxy.standalone`.

Prints `READY http=PORT socks=PORT [auth=USER:PASSWORD]`, one line for each refusal on the error
output, and ends when its input ends. The policy is a JSON file:
`{"allow": [...], "deny": [...], "allow_local_binding": false, "mode": "full"}`.
"""

import argparse
import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from octavo.policy.addresses import Address, read_address
from octavo.policy.network import HostPolicy, host_policy
from octavo.protocol.errors import ConfigError, OctavoError, UsageError
from octavo.protocol.permissions import NetworkRules, RuleRef
from octavo.proxy.records import Record
from octavo.proxy.resolve import Resolver, ScriptedResolver
from octavo.proxy.server import NetworkProxy

IDENTITY: Final = "standalone"
POLICY_BYTES: Final = 4 * 1024 * 1024


class Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The policy file."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    allow_local_binding: bool = False
    mode: Literal["full", "limited"] = "full"


def read_policy(path: str) -> HostPolicy:
    """Raises ConfigError."""
    try:
        with Path(path).open("rb") as file:
            written = msgspec.json.decode(file.read(POLICY_BYTES), type=Written)
    except (OSError, msgspec.DecodeError) as wrong:
        raise ConfigError(f"not a policy: {wrong}", file=path) from wrong
    return host_policy(
        NetworkRules(
            enabled=True,
            allow=written.allow,
            deny=written.deny,
            local_binding=written.allow_local_binding,
            mode=written.mode,
            ref=RuleRef(text="policy file", source="config", file=path, line=1),
        )
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Until the input ends. The exit code is that of the error, if there is one."""
    parser = argparse.ArgumentParser(prog="octavo-proxy", description=__doc__)
    parser.add_argument("--policy", required=True, help="the policy file")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0: any that is free")
    parser.add_argument("--credentials", action="store_true", help="ask for user and password")
    parser.add_argument("--test", action="store_true", help="allow the next two")
    parser.add_argument("--resolver", help="a file of names, instead of the system's")
    parser.add_argument("--public", action="append", default=[], help="an address that is public")
    options = parser.parse_args(argv)
    try:
        if (options.resolver or options.public) and not options.test:
            raise UsageError("--resolver and --public are for tests", hint="add --test")
        policy = read_policy(options.policy)
        resolver = None if options.resolver is None else ScriptedResolver.read(options.resolver)
        public = [address_in(text) for text in options.public]
        asyncio.run(run(policy, options.port, resolver, public, credential=options.credentials))
    except OctavoError as wrong:
        sys.stderr.write(f"octavo-proxy: {wrong}\n" + (f"  {wrong.hint}\n" if wrong.hint else ""))
        return wrong.exit_code
    except OSError as wrong:
        sys.stderr.write(f"octavo-proxy: {wrong}\n")
        return 1
    return 0


def address_in(text: str) -> Address:
    """Raises UsageError."""
    address = read_address(text)
    if address is None:
        raise UsageError(f"not an address: {text}")
    return address


async def run(
    policy: HostPolicy,
    port: int,
    resolver: Resolver | None,
    public: Sequence[Address],
    *,
    credential: bool,
) -> None:
    """Serve until the input ends. Raises OSError when the port is taken."""

    def say(record: Record) -> None:
        if not record.decision.allowed:
            sys.stderr.write(f"{record}\n")

    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    async with NetworkProxy(policy, on_record=say, resolver=resolver, public=public) as proxy:
        execution = proxy.open(IDENTITY)
        proxy.listen(listener, IDENTITY, credential=credential)
        number = listener.getsockname()[1]
        auth = f" auth={execution.user}:{execution.password}" if credential else ""
        sys.stdout.write(f"READY http={number} socks={number}{auth}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    sys.exit(main())
