"""Ask a model over HTTP: one client per provider, with deadlines and a bounded number of tries.

The only user of httpx2, which is imported at the first request (or by `warm`), because it takes
longer to load than everything else of ours together.

A request that never got an answer is repeated here, quietly; what fails later is raised as
ModelError, and the caller decides with `octavo.model.retry`.
"""

import asyncio
import os
import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import urlsplit

import msgspec

from octavo._version import __version__
from octavo.model import failures
from octavo.model.codec import Codec, Decoder, MakeId, WireRequest
from octavo.model.events import ModelEvent
from octavo.model.provider import Provider, WireApi
from octavo.model.request import ModelRequest
from octavo.model.retry import JITTER, MOST_RETRIES, backoff_ms, retry_after_ms
from octavo.model.sse import SseParser
from octavo.protocol.errors import ConfigError, ModelError, ModelErrorKind
from octavo.protocol.ids import RANDOM_BYTES, uuid7

if TYPE_CHECKING:
    import httpx2

MOST_ERROR_BYTES: Final = 64 * 1024
"""Of an error's body; more says nothing new."""
READ_OUT_S: Final = 0.05
"""For the end of an answer after its last event."""
LET_GO_S: Final = 1.0
"""For closing a connection."""
ERROR_BODY_S: Final = 10.0
"""For reading it."""


class TokenSource(Protocol):
    """Where the key comes from when a command makes it."""

    def __call__(self, *, renew: bool) -> Awaitable[str]:
        """The token; with `renew`, a new one, because the server refused the last."""
        ...


def random_id(prefix: str) -> str:
    """A new id that sorts by time."""
    return f"{prefix}_{uuid7(time.time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))}"


def random_jitter() -> float:
    """How far one wait departs from the schedule, so that many clients do not return at once."""
    low, high = JITTER
    return low + (high - low) * int.from_bytes(os.urandom(2), "little") / 0xFFFF


def codec_for(wire: WireApi) -> Codec:
    """The wire format's encoder and decoder. One of the three is loaded: the others cost as much
    as a request."""
    match wire:
        case "responses":
            from octavo.model import responses  # noqa: PLC0415

            return responses
        case "chat":
            from octavo.model import chat  # noqa: PLC0415

            return chat
        case "messages":
            from octavo.model import messages  # noqa: PLC0415

            return messages


class HttpModelClient:
    """A ModelClient for one provider. Use it with `async with`, or call `aclose`."""

    def __init__(
        self,
        provider: Provider,
        *,
        token: TokenSource | None = None,
        ca_file: str | None = None,
        originator: str = "octavo",
        user_agent: str | None = None,
        make_id: MakeId = random_id,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random_jitter,
    ) -> None:
        """`ca_file`: PEM with certificates to trust besides the system's. Raises ConfigError at
        the first request when it holds none."""
        self.provider = provider
        self._codec = codec_for(provider.wire_api)
        self._token = token
        self._ca_file = ca_file
        self._originator = originator
        self._user_agent = user_agent or f"{originator}/{__version__}"
        self._make_id = make_id
        self._sleep = sleep
        self._jitter = jitter
        self._client: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def warm(self) -> None:
        """Load the HTTP library and prepare TLS. May run in a thread while other things start."""
        self._open()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask once. Raises ModelError, also when the answer breaks off."""
        provider = self.provider
        wire = self._codec.encode(request, provider.wire_options)
        decoder = self._codec.decoder(request, provider.wire_options, self._make_id)
        async with (
            self._answer(wire) as response,
            aclosing(self._events(response, decoder)) as events,
        ):
            async for event in events:
                yield event

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """JSON from a path under the base URL. Raises ModelError."""
        client = self._open()
        url = self._url(path)
        headers = await self._headers({}, renew=False)
        try:
            response = await client.get(url, headers=headers, params=dict(self.provider.query))
        except Exception as wrong:
            raise self._broken(wrong, url) from wrong
        if not response.is_success:
            raise self._refused(response, response.text)
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError as wrong:
            raise ModelError(
                f"{url} did not answer with JSON", kind=ModelErrorKind.INVALID_REQUEST
            ) from wrong

    # one request

    async def _events(
        self, response: "httpx2.Response", decoder: Decoder
    ) -> AsyncGenerator[ModelEvent, None]:
        parser = SseParser()
        try:
            async with aclosing(response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    for event in parser.feed(chunk):
                        for value in decoder.feed(event):
                            yield value
                    if decoder.finished:
                        await read_out(chunks)
                        return
        except ModelError:
            raise
        except Exception as wrong:
            raise self._broke_off(wrong) from wrong
        for event in parser.close():
            for value in decoder.feed(event):
                yield value
        while not decoder.finished:
            for value in decoder.end():
                yield value

    @asynccontextmanager
    async def _answer(self, wire: WireRequest) -> AsyncIterator["httpx2.Response"]:
        """An answer with a good status; repeats what may succeed."""
        client = self._open()
        url = self._url(wire.path)
        renewed, attempt = False, 0
        limit = min(self.provider.request_max_retries, MOST_RETRIES)
        while True:
            headers = await self._headers(wire.headers, renew=renewed)
            request = client.build_request(
                "POST", url, content=wire.body, headers=headers, params=dict(self.provider.query)
            )
            try:
                response = await client.send(request, stream=True)
            except Exception as wrong:
                failure, again = self._broken(wrong, url), self._worth_repeating(wrong)
                if not again or attempt >= limit:
                    raise failure from wrong
            else:
                try:
                    if response.is_success:
                        yield response
                        return
                    failure = await self._read_refusal(response)
                finally:
                    await let_go(response)
                if failure.status == 401 and self._token is not None and not renewed:
                    renewed = True
                    continue
                if not _is_server_error(failure) or attempt >= limit:
                    raise failure
            attempt += 1
            await self._sleep(backoff_ms(attempt, jitter=self._jitter()) / 1000)

    async def _read_refusal(self, response: "httpx2.Response") -> ModelError:
        body = b""
        try:
            async with asyncio.timeout(ERROR_BODY_S):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MOST_ERROR_BYTES:
                        break
        except Exception:  # noqa: BLE001 - the status alone says enough
            body = body[:MOST_ERROR_BYTES]
        return self._refused(response, body.decode("utf-8", "replace"))

    def _refused(self, response: "httpx2.Response", body: str) -> ModelError:
        wait = retry_after_ms(response.headers.get("retry-after"), now_s=time.time())
        return failures.from_status(
            response.status_code,
            response.reason_phrase,
            body,
            url=str(response.request.url.copy_with(query=None)),
            retry_after_ms=wait,
        )

    # the way out

    def _open(self) -> "httpx2.AsyncClient":
        if self._client is not None:
            return self._client
        import httpx2  # noqa: PLC0415 - heavy; this is the module that owns it

        provider = self.provider
        idle_s = provider.stream_idle_timeout_ms / 1000
        # The read limit is the idle limit: it also bounds the wait for the headers.
        timeout = httpx2.Timeout(
            idle_s, connect=provider.connect_timeout_ms / 1000, pool=idle_s, write=idle_s
        )
        parts = urlsplit(provider.base_url)
        self._client = httpx2.AsyncClient(
            verify=self._verify(parts.scheme),
            timeout=timeout,
            follow_redirects=False,
            # Proxy variables are meant for the way out; a local server is not on it.
            trust_env=not is_loopback(parts.hostname or ""),
        )
        return self._client

    def _verify(self, scheme: str) -> "ssl.SSLContext | bool":
        """What certificates are checked against."""
        if scheme == "http":
            # Nothing to check: redirects are off, so this client never speaks TLS to a server (a
            # proxy that wants TLS gets a context of its own). Saves building one, which takes a
            # tenth of a second where the system's store is large.
            return False
        return self._ca_context() if self._ca_file else True

    def _ca_context(self) -> ssl.SSLContext:
        import httpx2  # noqa: PLC0415 - as above

        assert self._ca_file is not None
        context = httpx2.create_ssl_context(trust_env=False)
        try:
            context.load_verify_locations(cafile=self._ca_file)
        except OSError as wrong:  # ssl.SSLError is one: no certificate in it
            why = wrong.strerror if not isinstance(wrong, ssl.SSLError) else "no certificate in it"
            raise ConfigError(
                f"cannot use the certificate file {self._ca_file}: {why}",
                hint="CODEX_CA_CERTIFICATE or SSL_CERT_FILE has to name a PEM file.",
            ) from wrong
        return context

    def _url(self, path: str) -> str:
        return self.provider.base_url.rstrip("/") + path

    async def _headers(self, more: Mapping[str, str], *, renew: bool) -> dict[str, str]:
        key = self.provider.api_key
        if self._token is not None:
            key = await self._token(renew=renew)
        headers = {
            "accept": "text/event-stream",
            "content-type": "application/json",
            "user-agent": self._user_agent,
            "originator": self._originator,
            **more,
        }
        if key:
            headers |= (
                {"x-api-key": key}
                if self.provider.wire_api == "messages"
                else {"authorization": f"Bearer {key}"}
            )
        for name, value in self.provider.headers.items():
            headers.pop(name.lower(), None)  # the provider's own setting wins
            headers[name] = value
        return headers

    # what went wrong

    def _broken(self, wrong: Exception, url: str) -> ModelError:
        """Before the headers of the answer."""
        import httpx2  # noqa: PLC0415 - as above

        if isinstance(wrong, httpx2.ReadTimeout):
            return failures.idle(self.provider.stream_idle_timeout_ms)
        if isinstance(wrong, httpx2.ConnectTimeout):
            return failures.unreachable(url, "no connection within the time allowed")
        if isinstance(wrong, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
            return ModelError(
                f"the address {url} is not one: {wrong}", kind=ModelErrorKind.INVALID_REQUEST
            )
        if isinstance(wrong, httpx2.ConnectError | httpx2.ProxyError):
            return failures.unreachable(url, _why(wrong))
        if isinstance(wrong, httpx2.HTTPError):
            return failures.cut_off(_why(wrong))
        raise wrong

    def _worth_repeating(self, wrong: Exception) -> bool:
        import httpx2  # noqa: PLC0415 - as above

        return isinstance(wrong, httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError)

    def _broke_off(self, wrong: Exception) -> ModelError:
        """While the answer was coming."""
        import httpx2  # noqa: PLC0415 - as above

        if isinstance(wrong, httpx2.ReadTimeout):
            return failures.idle(self.provider.stream_idle_timeout_ms)
        if isinstance(wrong, httpx2.HTTPError | httpx2.StreamError):
            return failures.cut_off(_why(wrong))
        raise wrong


def is_loopback(host: str) -> bool:
    """The server is on this machine."""
    return (
        host in ("localhost", "::1")
        or host.endswith(".localhost")
        or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
    )


def _is_server_error(failure: ModelError) -> bool:
    return failure.kind is ModelErrorKind.SERVER and (failure.status or 0) >= 500


def _why(wrong: Exception) -> str:
    return str(wrong) or type(wrong).__name__


async def read_out(chunks: AsyncGenerator[bytes, None]) -> None:
    """What is left after the last event, so that the connection can serve the next request; a
    server that does not end its answer soon loses it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_OUT_S):
            async for _ in chunks:
                pass


async def let_go(response: "httpx2.Response") -> None:
    """Close it, also when this task is cancelled meanwhile: the library would keep half of it."""
    closing = asyncio.ensure_future(response.aclose())
    closing.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait([closing], timeout=LET_GO_S)
    finally:
        if not closing.done():
            await asyncio.wait([closing], timeout=LET_GO_S)
            closing.cancel()
