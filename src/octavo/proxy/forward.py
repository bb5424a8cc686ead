"""Requests in absolute form: on to the server, and the answer back. Hands.

Heads are read and written anew, bodies are passed on as they come. One idle connection is kept
for each client connection; what cannot be framed safely ends both.
"""

import asyncio

from octavo.policy.hosts import Target
from octavo.policy.network import Protocol, no
from octavo.proxy import answers, http
from octavo.proxy.channel import Channel
from octavo.proxy.dial import DialError
from octavo.proxy.execution import Execution
from octavo.proxy.gate import Gate, RefusedError, Route
from octavo.proxy.heads import head_in
from octavo.proxy.http import Aim, Body, Chunks, HttpError, Request, Response
from octavo.proxy.limits import Limits
from octavo.proxy.parent import Parent
from octavo.proxy.requests import Looked, look
from octavo.proxy.wire import Wire, relay

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class UpstreamError(Exception):
    """The server's answer cannot be passed on; nothing of it has been."""

    def __init__(self, message: str, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class CutError(Exception):
    """An answer ended in its middle, or the client went away: nothing more can be said."""


class Upstream:
    """A connection to a server, and why it was allowed."""

    def __init__(self, wire: Channel, route: Route, parent: Parent | None = None) -> None:
        self.parent = parent
        """A proxy, which wants the whole address of what is asked for."""
        self.wire = wire
        self.route = route
        self.fresh = True

    @property
    def usable(self) -> bool:
        return not (self.wire.eof or self.wire.lost or self.wire.buffer)


class Forwarder:
    """The requests of one client connection."""

    def __init__(
        self, gate: Gate, client: Channel, protocol: Protocol = "http", *, inside: bool = False
    ) -> None:
        self._gate = gate
        self._client = client
        self._limits = gate.limits
        self._protocol: Protocol = protocol
        self.inside = inside
        self._idle: Upstream | None = None

    def keep(self, server: Upstream) -> None:
        """A connection for the next request."""
        self._idle = server

    async def _open(self, route: Route) -> Upstream:
        if self.inside:
            return Upstream(await self._gate.dial_inside(route), route)
        parent = self._gate.parents.for_target(route.target, plain=True)
        return Upstream(await self._gate.dial(route, plain=True), route, parent)

    def close(self) -> None:
        """Let go of the connection that was kept."""
        if self._idle is not None:
            self._idle.wire.abort()
            self._idle = None

    async def forward(self, execution: Execution, request: Request, aim: Aim, body: Body) -> bool:
        """One request and its answer. True when the client may send another.

        Raises RefusedError, DialError before anything was sent; HttpError, ConnectionError.
        """
        upgrade = http.websocket(request) and body == 0
        looked = look(
            execution.policy(),
            aim.target,
            self._protocol,
            request,
            path=aim.path,
            inside=self.inside,
        )
        server = await self._server(execution, aim.target, request, looked)
        try:
            for last in (False, True):
                try:
                    return await self._exchange(
                        server, request, aim, body, upgrade=upgrade, looked=looked
                    )
                except UpstreamError as wrong:
                    again = not server.fresh and body == 0 and request.method in REPEATABLE
                    server.wire.abort()
                    if last or not again or wrong.status == 504:
                        return await self._failed(request, body, wrong)
                    # it had been closed while it was idle
                    server = await self._open(server.route)
        except CutError:
            self._client.reset()
        finally:
            if self._idle is not server:
                server.wire.abort()
        return False

    async def _failed(self, request: Request, body: Body, wrong: UpstreamError) -> bool:
        keep = request.keep_alive and body == 0
        text = f"upstream failure: {wrong}"
        self._client.write(
            answers.plain(wrong.status, text, close=not keep, head_only=request.method == "HEAD")
        )
        await self._client.drain()
        return keep

    async def _server(
        self, execution: Execution, target: Target, request: Request, looked: Looked
    ) -> Upstream:
        """Raises RefusedError, DialError."""
        idle, self._idle = self._idle, None
        fits = (
            idle is not None
            and idle.route.target == target
            and idle.usable
            and request.method in REPEATABLE
        )
        if idle is not None and not fits:
            idle.wire.abort()
            idle = None
        try:
            if execution.policy().limited and http.websocket(request):
                decision = no(
                    target,
                    self._protocol,
                    "method_not_allowed",
                    method="WebSocket",
                    grant='mode = "full"',
                )
                self._gate.refuse(execution, decision)
                raise RefusedError(decision)
            route = await self._gate.clear(
                execution,
                target,
                self._protocol,
                method=request.method,
                inspected=self.inside,
                route=None if idle is None else idle.route,
                otherwise=looked.refusal,
            )
        except (RefusedError, DialError):
            if idle is not None:
                idle.wire.abort()
            raise
        if idle is not None:
            idle.fresh = False
            return idle
        return await self._open(route)

    # ---- one exchange ---------------------------------------------------------------------------

    async def _exchange(
        self,
        server: Upstream,
        request: Request,
        aim: Aim,
        body: Body,
        *,
        upgrade: bool,
        looked: Looked,
    ) -> bool:
        """Raises UpstreamError, CutError, HttpError, ConnectionError."""
        usual = 443 if self.inside else 80
        host = str(aim.target.host) if aim.target.port == usual else str(aim.target)
        at, more = aim.path, looked.lines
        if server.parent is not None:
            at = f"http://{host}{'' if at == '*' else at}"
            more += server.parent.lines()
        head = http.write_request(
            request, at, host, body, upgrade=upgrade, more=more, strip=looked.strip
        )
        if isinstance(body, int) and len(self._client.buffer) >= body:
            server.wire.write(head + self._client.take(body) if body else head)
            return await self._answer(server, request, upgrade=upgrade, sent=None)
        server.wire.write(head)
        wrong: list[Exception] = []
        sent = asyncio.Event()

        async def send() -> None:
            try:
                await pump(self._client, server.wire, body, self._limits)
                sent.set()
            except (HttpError, EOFError, TimeoutError, ConnectionError) as error:
                wrong.append(error)
                if not isinstance(error, ConnectionError):
                    server.wire.abort()  # it must not take half a body for a whole one

        failed: Exception | None = None
        keep = False
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(send(), name="body of a request")
            try:
                keep = await self._answer(server, request, upgrade=False, sent=sent)
            except (UpstreamError, CutError, ConnectionError) as error:
                failed = error  # a group would wrap it up
            sending.cancel()
        if isinstance(failed, UpstreamError) and wrong:
            match wrong[0]:
                case HttpError():
                    raise wrong[0]
                case EOFError():
                    raise CutError
                case TimeoutError():
                    raise HttpError(408, "the body did not come in time")
                case _:
                    pass  # the server is gone, which its answer tells as well
        if failed is not None:
            raise failed
        return keep

    async def _answer(
        self, server: Upstream, request: Request, *, upgrade: bool, sent: asyncio.Event | None
    ) -> bool:
        response = await self._final(server, request, upgrade=upgrade)
        if response.status == 101:
            await self._switch(server, response)
            return False
        try:
            body = http.response_body(response, request.method)
        except HttpError as wrong:
            raise UpstreamError(str(wrong)) from wrong
        whole = sent is None or sent.is_set()
        keep = request.keep_alive and body != "until close" and whole
        out = body
        if body == "chunked" and request.minor == 0:
            keep, out = False, "until close"
        line = b"Connection: keep-alive" if keep else b"Connection: close"
        more = () if keep and request.minor > 0 else (line,)
        head = http.write_response(response, out, more=more)
        if isinstance(body, int) and body <= len(server.wire.buffer):
            self._client.write(head + server.wire.take(body) if body else head)
            body = 0
        else:
            self._client.write(head)
        try:
            await pump(server.wire, self._client, body, self._limits, chunks=out == "chunked")
        except (HttpError, EOFError, TimeoutError, ConnectionError) as wrong:
            raise CutError from wrong
        if keep and response.keep_alive and not server.wire.buffer:
            self._idle = server
        return keep

    async def _final(self, server: Upstream, request: Request, *, upgrade: bool) -> Response:
        """The head of the answer; interim ones are passed on. Raises UpstreamError."""
        while True:
            try:
                end = await head_in(server.wire, server.wire.within(self._limits.body_s))
                if end is None:
                    raise UpstreamError("the server closed the connection")
                response = http.read_response(bytes(server.wire.take(end)))
            except TimeoutError:
                raise UpstreamError("the server does not answer", 504) from None
            except HttpError as wrong:
                raise UpstreamError(f"the answer is not HTTP: {wrong}") from wrong
            if response.status == 101 and not (upgrade and http.websocket(response)):
                raise UpstreamError("the server changed the protocol unasked")
            if response.status >= 200 or response.status == 101:
                return response
            if request.minor > 0:
                self._client.write(http.write_response(response, 0))

    async def _switch(self, server: Upstream, response: Response) -> None:
        """A WebSocket from here on."""
        client, other = self._client, server.wire
        if not (isinstance(client, Wire) and isinstance(other, Wire)):
            raise UpstreamError("no WebSocket inside a connection that is looked into")
        more = (b"Connection: Upgrade", b"Upgrade: websocket")
        self._client.write(http.write_response(response, 0, more=more))
        await relay(client, other, linger_s=self._limits.linger_s)


async def pump(
    source: Channel, sink: Channel, body: Body, limits: Limits, *, chunks: bool = True
) -> None:
    """Pass a body on. `chunks`: a chunked one stays chunked.

    Raises EOFError when it ends too early, TimeoutError when it stalls, HttpError, ConnectionError.
    """
    decoder = Chunks() if body == "chunked" else None
    left = body if isinstance(body, int) else 0
    while decoder is not None or left or body == "until close":
        if not source.buffer and not await source.fill(source.within(limits.body_s)):
            if body == "until close" and not source.broken:
                return
            raise EOFError
        if decoder is None:
            data = source.take(left if body != "until close" else len(source.buffer))
            left -= len(data) if body != "until close" else 0
            sink.write(data)
        else:
            pieces = decoder.feed(bytes(source.take(len(source.buffer))))
            for piece in pieces:
                sink.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunks else piece)
            if decoder.done:
                source.buffer[:0] = decoder.rest
                if chunks:
                    sink.write(b"0\r\n\r\n")
                return
        if not sink.writable:
            async with asyncio.timeout(limits.body_s):
                await sink.drain()
