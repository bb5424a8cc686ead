"""One connection of a client: tell the protocol apart, find out who it is, serve it. Hands.

The first byte decides: 5 is SOCKS, a letter is HTTP, anything else is closed. HTTP requests are in
`octavo.proxy.forward`, the bytes of tunnels in `octavo.proxy.tunnel`.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from octavo.policy.hosts import Target
from octavo.policy.network import Protocol, no
from octavo.proxy import answers, http, socks
from octavo.proxy.channel import Channel, Interceptor
from octavo.proxy.dial import DialError, Failure
from octavo.proxy.execution import Execution
from octavo.proxy.forward import Forwarder, Upstream
from octavo.proxy.gate import Gate, RefusedError
from octavo.proxy.heads import read_head
from octavo.proxy.hello import INTERNAL_ERROR, UNRECOGNIZED_NAME, Hello, HelloError
from octavo.proxy.http import HttpError, Request
from octavo.proxy.socks import SocksError
from octavo.proxy.tunnel import checked, first_words, tunnel
from octavo.proxy.wire import Wire

SOCKS_5: Final = 0x05
SOCKS_4: Final = 0x04
TLS: Final = 0x16
"""The first byte of a record that greets."""
SSH: Final = b"SSH"
DISCARDED: Final = 1024 * 1024
"""Bytes read and dropped after an answer, so that the answer is not lost with them."""
DISCARD_S: Final = 2.0
ASK_WHO: Final = 'proxy-authenticate: Basic realm="octavo"\r\n'
SOCKS_CODES: Final[dict[Failure, int]] = {
    "dns": socks.UNREACHABLE, "busy": socks.FAILED, "refused": socks.CONNECTION_REFUSED,
    "unreachable": socks.UNREACHABLE, "timeout": socks.EXPIRED, "tls": socks.FAILED,
}  # fmt: skip
Find = Callable[[str, str], Execution | None]
"""The execution with this user name and password."""
Adopt = Callable[[Execution], bool]
"""Count this connection as the execution's; False when it has too many."""


class Front:
    """Serves one connection. `execution`: whose it is; None when it has to say so itself."""

    def __init__(
        self, gate: Gate, wire: Wire, execution: Execution | None, *, find: Find, adopt: Adopt
    ) -> None:
        self._gate = gate
        self._wire = wire
        self._limits = gate.limits
        self._execution = execution
        self._find = find
        self._adopt = adopt

    async def serve(self) -> None:
        """Until the connection is over. Never raises but for cancellation; closes the wire."""
        wire = self._wire
        try:
            until = wire.within(self._limits.first_byte_s)
            while not wire.buffer:
                if not await wire.fill(until):
                    return
            first = wire.buffer[0]
            if first == SOCKS_5:
                await self._socks()
            elif first == SOCKS_4:
                await self._say_last(socks.VERSION_4_REFUSED)
            elif chr(first).isascii() and (chr(first).isalpha() or first in b"\r\n"):
                await self._http(wire, Forwarder(self._gate, wire), None)
        except (TimeoutError, ConnectionError, OSError):
            pass
        finally:
            wire.abort()

    async def tunnel_to(self, target: Target) -> None:
        """Serve a connection whose way is known already: one that was caught. As `serve`."""
        assert self._execution is not None
        try:
            if self._execution.policy().inspects(target):
                await self._look_at(self._execution, target)
            else:
                await self._tunnel(self._execution, target, "tcp", b"")
        except (RefusedError, DialError, TimeoutError, ConnectionError, OSError):
            self._wire.reset()
        finally:
            self._wire.abort()

    async def _look_at(self, execution: Execution, target: Target) -> None:
        """A connection that was caught, in limited mode. Raises as `_tunnel`."""
        until = self._wire.within(self._limits.idle_s)
        while len(self._wire.buffer) < len(SSH):
            if not await self._wire.fill(until):
                return
        first = bytes(self._wire.buffer[: len(SSH)])
        if first[0] == TLS:
            await self._tunnel(execution, target, "tcp", b"")
        elif first.isalpha() and first != SSH:
            await self._http(self._wire, Forwarder(self._gate, self._wire), target)
        else:
            await self._gate.clear(execution, target, "tcp")  # refuses what it cannot look into

    # ---- HTTP -----------------------------------------------------------------------------------

    async def _http(self, channel: Channel, forwarder: Forwarder, inner: Target | None) -> None:
        """Requests, one after the other. `inner`: inside a tunnel to this target."""
        try:
            again = False
            while True:
                request = await read_head(channel, self._limits, again=again)
                if request is None or request.method == "PRI":
                    return  # the preface of HTTP/2 among it
                again = True
                if not await self._request(channel, request, forwarder, inner):
                    break
            await self._say_last(b"", channel)
        except HttpError as wrong:
            await self._say_last(answers.plain(wrong.status, str(wrong)), channel)
        finally:
            forwarder.close()

    async def _request(
        self, channel: Channel, request: Request, forwarder: Forwarder, inner: Target | None
    ) -> bool:
        """False when the connection ends with it. Raises HttpError, ConnectionError."""
        usual = 443 if forwarder.inside else 80
        aim = http.aim(request) if inner is None else http.inner_aim(request, inner, usual)
        body = http.request_body(request)
        execution = self._who(request)
        if execution is None:
            more, text = ASK_WHO, "This proxy wants the credentials of a command."
            self._wire.write(answers.plain(407, text, close=body != 0, more=more))
            return body == 0
        connect = request.method == "CONNECT"
        if connect and body != 0:
            raise HttpError(400, "CONNECT has no body")
        keep = request.keep_alive and body == 0
        try:
            if connect:
                await self._tunnel(execution, aim.target, "https_connect", answers.ESTABLISHED)
                return False
            return await forwarder.forward(execution, request, aim, body)
        except RefusedError as refused:
            head_only = request.method == "HEAD"
            as_json = inner is None and not connect
            channel.write(
                answers.refused(
                    refused.decision, as_json=as_json, close=not keep, head_only=head_only
                )
            )
        except DialError as failed:
            status = 504 if failed.failure == "timeout" else 502
            text = f"upstream failure: {failed}"
            channel.write(
                answers.plain(status, text, close=not keep, head_only=request.method == "HEAD")
            )
        await channel.drain()
        return keep

    def _who(self, request: Request) -> Execution | None:
        if self._execution is None:
            values = request.values(b"proxy-authorization")
            found = basic(values[0]) if len(values) == 1 else None
            execution = None if found is None else self._find(*found)
            self._bind(execution)
        return self._execution

    def _bind(self, execution: Execution | None) -> None:
        if execution is not None:
            if not self._adopt(execution):
                raise HttpError(503, "too many connections")
            self._execution = execution

    async def _say_last(self, data: bytes, channel: Channel | None = None) -> None:
        """The last words, and a moment for them to arrive."""
        wire = self._wire
        if wire.lost:
            return
        channel = channel or wire
        channel.write(data)
        channel.end()
        dropped = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_S):
                while not wire.eof and dropped < DISCARDED:
                    dropped += len(wire.take(DISCARDED))
                    await wire.fill()
        wire.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_S):
                await asyncio.shield(wire.gone)

    # ---- tunnels --------------------------------------------------------------------------------

    async def _tunnel(
        self, execution: Execution, target: Target, protocol: Protocol, greeting: bytes
    ) -> None:
        """Raises RefusedError, DialError, ConnectionError."""
        if self._gate.interceptor is not None and execution.policy().inspects(target):
            await self._inspect(self._gate.interceptor, execution, target, protocol, greeting)
            return
        route = await self._gate.clear(execution, target, protocol)
        server = await self._gate.dial(route)
        if greeting:
            self._wire.write(greeting)
        await tunnel(self._gate, self._wire, server, execution, target, protocol)

    async def _inspect(
        self,
        interceptor: Interceptor,
        execution: Execution,
        target: Target,
        protocol: Protocol,
        greeting: bytes,
    ) -> None:
        """A tunnel whose requests are looked at one by one. Raises as `_tunnel`."""
        gate, wire = self._gate, self._wire
        route = await gate.clear(execution, target, protocol, inspected=True)
        server = await gate.dial_inside(route)
        try:
            wire.write(greeting)
            try:
                async with asyncio.timeout(self._limits.idle_s):  # the server cannot speak first
                    hello = await first_words(wire, self._limits.hello_s)
            except HelloError:
                hello = Hello(tls=False)
            if hello is None:
                return
            if not hello.tls:
                gate.refuse(execution, no(target, protocol, "mitm_required"))
                await self._say_last(INTERNAL_ERROR)
                return
            name = hello.name
            if (
                name is not None
                and name.removesuffix(".") != target.host.name
                and checked(execution, target)
            ):
                gate.renamed(execution, target, protocol, name)
                await self._say_last(UNRECOGNIZED_NAME)
                return
            channel = await interceptor.client(wire, target, self._limits.connect_s)
            forwarder = Forwarder(gate, channel, protocol, inside=True)
            forwarder.keep(Upstream(server, route))
            await self._http(channel, forwarder, target)
        finally:
            server.abort()

    # ---- SOCKS ----------------------------------------------------------------------------------

    async def _socks(self) -> None:
        try:
            async with asyncio.timeout(self._limits.head_s):
                execution, target = await self._socks_head()
            try:
                await self._tunnel(execution, target, "socks5_tcp", socks.reply(socks.OK))
            except RefusedError as refused:
                raise SocksError(str(refused), socks.reply(socks.REFUSED)) from refused
            except DialError as failed:
                code = SOCKS_CODES[failed.failure]
                raise SocksError(str(failed), socks.reply(code)) from failed
        except SocksError as wrong:
            await self._say_last(wrong.answer)

    async def _socks_head(self) -> tuple[Execution, Target]:
        """Who wants to go where. Raises SocksError, ConnectionError."""
        wire = self._wire
        while (greeting := socks.read_greeting(wire.buffer)) is None:
            await self._more()
        wire.take(greeting[1])
        methods = greeting[0].methods
        if self._execution is not None and socks.PLAIN in methods:
            wire.write(bytes((socks.VERSION, socks.PLAIN)))
        elif socks.PASSWORD in methods:
            wire.write(bytes((socks.VERSION, socks.PASSWORD)))
            await self._socks_password()
        else:
            raise SocksError("no method is acceptable", socks.NO_METHOD)
        while (request := socks.read_request(wire.buffer)) is None:
            await self._more()
        wire.take(request[1])
        assert self._execution is not None
        return self._execution, request[0]

    async def _socks_password(self) -> None:
        wire = self._wire
        while (found := socks.read_password(wire.buffer)) is None:
            await self._more()
        wire.take(found[1])
        if self._execution is None:
            execution = self._find(found[0].user, found[0].password)
            if execution is None or not self._adopt(execution):
                raise SocksError("not a command's credentials", b"\x01\x01")
            self._execution = execution
        wire.write(b"\x01\x00")

    async def _more(self) -> None:
        if len(self._wire.buffer) > socks.MOST or not await self._wire.fill():
            raise SocksError("it ended too early")


def basic(value: bytes) -> tuple[str, str] | None:
    """User and password of `Basic ...`."""
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        text = base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None
