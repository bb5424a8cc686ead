"""The names of the published Python client, in process: no other program, one event loop.

Change `from openai_codex import ...` to `from octavo.api.compat import ...` and go on: `Codex` for
synchronous programs (its engine runs in a thread of its own), `AsyncCodex` for asynchronous ones.
Payloads and results have the published attributes in snake_case over the protocol's values.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any, Self, TypeVar

from octavo._version import __version__
from octavo.api.compat_values import (
    ERRORS,
    ApprovalMode,
    CodexConfig,
    CodexError,
    CodexRpcError,
    ImageInput,
    Input,
    InputItem,
    InternalRpcError,
    InvalidParamsError,
    InvalidRequestError,
    JsonRpcError,
    LocalImageInput,
    MentionInput,
    MethodNotFoundError,
    Notification,
    ParseError,
    RunInput,
    Sandbox,
    SkillInput,
    TextInput,
    TransportClosedError,
    TurnResult,
    approvals,
    camel,
    plain,
    policy,
    result,
    valued,
    wire,
)
from octavo.api.remote import CLOSE_S, ended
from octavo.rpc.memory import pair
from octavo.rpc.peer import GoneError, Listening, Peer, RpcError
from octavo.rpc.streams import Streams, Transport

__all__ = [
    "ApprovalMode",
    "AsyncCodex",
    "AsyncThread",
    "AsyncTurnHandle",
    "Codex",
    "CodexConfig",
    "CodexError",
    "CodexRpcError",
    "ImageInput",
    "Input",
    "InputItem",
    "InternalRpcError",
    "InvalidParamsError",
    "InvalidRequestError",
    "JsonRpcError",
    "LocalImageInput",
    "MentionInput",
    "MethodNotFoundError",
    "Notification",
    "ParseError",
    "RunInput",
    "Sandbox",
    "SkillInput",
    "TextInput",
    "Thread",
    "TransportClosedError",
    "TurnHandle",
    "TurnResult",
    "__version__",
]

T = TypeVar("T")


# ---- asynchronous -----------------------------------------------------------------------------


class AsyncCodex:
    """An engine. Use `async with AsyncCodex() as codex`; `approve` answers questions with one of
    the protocol's decisions, by default with "accept"."""

    def __init__(self, config: CodexConfig | None = None) -> None:
        self._config = config or CodexConfig()
        self._stack = AsyncExitStack()
        self._peer: Peer | None = None
        self._metadata: Any = None

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything that runs."""
        self._peer = None
        await self._stack.aclose()

    @property
    def metadata(self) -> Any:
        """What the engine says of itself. Raises CodexError before it was started."""
        if self._metadata is None:
            raise CodexError("the engine has not been started")
        return self._metadata

    async def _ready(self) -> Peer:
        if self._peer is None:
            peer = Peer(await opened(self._config, self._stack), accept)
            running = asyncio.create_task(peer.run(), name="compat client")  # noqa: TID251 - owned
            self._stack.push_async_callback(stopped, running)
            self._peer = peer
            config = self._config
            about = {
                "name": config.client_name,
                "title": config.client_title,
                "version": config.client_version,
            }
            able = {"experimentalApi": config.experimental_api}
            self._metadata = await self._ask("initialize", clientInfo=about, capabilities=able)
            await peer.tell("initialized")
        return self._peer

    async def _ask(self, method: str, **params: Any) -> Any:
        peer = await self._ready()
        given = {key: plain(value) for key, value in params.items() if value is not None}
        try:
            return valued(await peer.ask(method, given))
        except RpcError as error:
            kind = ERRORS.get(error.code, JsonRpcError)
            raise kind(error.code, error.message, error.data) from error
        except GoneError as error:
            raise TransportClosedError(str(error)) from error

    async def login_api_key(self, api_key: str) -> None:
        """Keep a key for the built-in provider."""
        await self._ask("account/login/start", type="apiKey", apiKey=api_key)

    async def account(self, *, refresh_token: bool = False) -> Any:
        """Who is logged in."""
        return await self._ask("account/read", refreshToken=refresh_token)

    async def logout(self) -> None:
        """Forget the key."""
        await self._ask("account/logout")

    async def models(self, *, include_hidden: bool = False) -> Any:
        """The models Octavo knows."""
        return await self._ask("model/list", includeHidden=include_hidden)

    async def thread_start(
        self, *, approval_mode: ApprovalMode = ApprovalMode.auto_review, **options: Any
    ) -> "AsyncThread":
        """Begin a thread; options as of `thread/start`, in snake_case."""
        asked = {**approvals(approval_mode), **camel(options)}
        started = await self._ask("thread/start", **asked)
        return AsyncThread(self, str(started.thread.id))

    async def thread_resume(
        self, thread_id: str, *, approval_mode: ApprovalMode | None = None, **options: Any
    ) -> "AsyncThread":
        """Go on with a thread."""
        asked = {**approvals(approval_mode), **camel(options)}
        resumed = await self._ask("thread/resume", threadId=thread_id, **asked)
        return AsyncThread(self, str(resumed.thread.id))

    async def thread_fork(
        self, thread_id: str, *, approval_mode: ApprovalMode | None = None, **options: Any
    ) -> "AsyncThread":
        """A new thread with the history of another one."""
        asked = {**approvals(approval_mode), **camel(options)}
        forked = await self._ask("thread/fork", threadId=thread_id, **asked)
        return AsyncThread(self, str(forked.thread.id))

    async def thread_list(self, **options: Any) -> Any:
        """Threads on disk; options as of `thread/list`."""
        return await self._ask("thread/list", **camel(options))

    async def thread_archive(self, thread_id: str) -> Any:
        """Put a thread aside."""
        return await self._ask("thread/archive", threadId=thread_id)

    async def thread_unarchive(self, thread_id: str) -> "AsyncThread":
        """Bring a thread back."""
        found = await self._ask("thread/unarchive", threadId=thread_id)
        return AsyncThread(self, str(found.thread.id))


class AsyncThread:
    """One conversation."""

    def __init__(self, codex: AsyncCodex, id: str) -> None:  # noqa: A002 - the published name
        self._codex = codex
        self.id = id

    async def run(self, input: RunInput, **options: Any) -> TurnResult:  # noqa: A002 - the published name
        """Ask, and wait for the end. Raises RuntimeError for a turn that failed."""
        return await (await self.turn(input, **options)).run()

    async def turn(
        self,
        input: RunInput,  # noqa: A002 - the published name
        *,
        approval_mode: ApprovalMode | None = None,
        sandbox: Sandbox | None = None,
        **options: Any,
    ) -> "AsyncTurnHandle":
        """Begin a turn; options as of `turn/start`, in snake_case."""
        peer = await self._codex._ready()
        listening = peer.listen()
        try:
            begun = await self._codex._ask(
                "turn/start",
                threadId=self.id,
                input=wire(input),
                sandboxPolicy=None if sandbox is None else policy(sandbox),
                **approvals(approval_mode),
                **camel(options),
            )
        except BaseException:
            listening.close()
            raise
        return AsyncTurnHandle(self._codex, self.id, str(begun.turn.id), listening)

    async def read(self, *, include_turns: bool = False) -> Any:
        """The thread as it is now."""
        return await self._codex._ask("thread/read", threadId=self.id, includeTurns=include_turns)

    async def set_name(self, name: str) -> Any:
        """Name it."""
        return await self._codex._ask("thread/name/set", threadId=self.id, name=name)

    async def compact(self) -> Any:
        """Shorten its history."""
        return await self._codex._ask("thread/compact/start", threadId=self.id)


class AsyncTurnHandle:
    """A turn that runs."""

    def __init__(
        self,
        codex: AsyncCodex,
        thread_id: str,
        id: str,  # noqa: A002 - the published name
        listening: Listening,
    ) -> None:
        self._codex = codex
        self._listening = listening
        self.thread_id = thread_id
        self.id = id

    async def steer(self, input: Input | str) -> Any:  # noqa: A002 - the published name
        """More input for this turn."""
        return await self._codex._ask(
            "turn/steer", threadId=self.thread_id, expectedTurnId=self.id, input=wire(input)
        )

    async def interrupt(self) -> Any:
        """Stop it."""
        return await self._codex._ask("turn/interrupt", threadId=self.thread_id, turnId=self.id)

    async def stream(self) -> AsyncIterator[Notification]:
        """Everything that happens in it; the last one is `turn/completed`."""
        try:
            async for method, params in self._listening:
                found = params or {}
                turn = found.get("turnId") or (found.get("turn") or {}).get("id")
                if turn != self.id:
                    continue
                yield Notification(method, valued(found))
                if method == "turn/completed":
                    return
            raise TransportClosedError("the engine has gone in the middle of a turn")
        finally:
            self._listening.close()

    async def run(self) -> TurnResult:
        """Wait for the end. Raises RuntimeError for a turn that failed."""
        items: list[Any] = []
        usage, turn = None, None
        async for notice in self.stream():
            if notice.method == "item/completed":
                items.append(notice.payload.item)
            elif notice.method == "thread/tokenUsage/updated":
                usage = notice.payload.token_usage
            elif notice.method == "turn/completed":
                turn = notice.payload.turn
        return result(turn, items, usage)


# ---- synchronous ------------------------------------------------------------------------------


class Codex:
    """The same for synchronous programs: `with Codex() as codex`. Its loop runs in a thread."""

    def __init__(self, config: CodexConfig | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._runner = threading.Thread(
            target=self._loop.run_forever, name="octavo compat", daemon=True
        )
        self._runner.start()
        self._codex = AsyncCodex(config)
        try:
            self._wait(self._open())
        except BaseException:
            self._end()
            raise

    async def _open(self) -> None:
        """The engine lives in one task, from its beginning to its end."""
        ready: asyncio.Future[None] = self._loop.create_future()
        self._over = asyncio.Event()
        self._life = self._loop.create_task(self._live(ready))
        await ready

    async def _live(self, ready: "asyncio.Future[None]") -> None:
        try:
            async with self._codex:
                ready.set_result(None)
                await self._over.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything that runs."""
        if self._loop.is_closed():
            return

        async def finish() -> None:
            self._over.set()
            await asyncio.wait([self._life], timeout=CLOSE_S)

        self._wait(finish())
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._runner.join(CLOSE_S)
        if not self._runner.is_alive():
            self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise TransportClosedError("this client is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @property
    def metadata(self) -> Any:
        """What the engine says of itself."""
        return self._codex.metadata

    def login_api_key(self, api_key: str) -> None:
        """Keep a key for the built-in provider."""
        self._wait(self._codex.login_api_key(api_key))

    def account(self, *, refresh_token: bool = False) -> Any:
        """Who is logged in."""
        return self._wait(self._codex.account(refresh_token=refresh_token))

    def logout(self) -> None:
        """Forget the key."""
        self._wait(self._codex.logout())

    def models(self, *, include_hidden: bool = False) -> Any:
        """The models Octavo knows."""
        return self._wait(self._codex.models(include_hidden=include_hidden))

    def thread_start(self, **options: Any) -> "Thread":
        """Begin a thread; see `AsyncCodex.thread_start`."""
        return Thread(self, self._wait(self._codex.thread_start(**options)))

    def thread_resume(self, thread_id: str, **options: Any) -> "Thread":
        """Go on with a thread."""
        return Thread(self, self._wait(self._codex.thread_resume(thread_id, **options)))

    def thread_fork(self, thread_id: str, **options: Any) -> "Thread":
        """A new thread with the history of another one."""
        return Thread(self, self._wait(self._codex.thread_fork(thread_id, **options)))

    def thread_list(self, **options: Any) -> Any:
        """Threads on disk."""
        return self._wait(self._codex.thread_list(**options))

    def thread_archive(self, thread_id: str) -> Any:
        """Put a thread aside."""
        return self._wait(self._codex.thread_archive(thread_id))

    def thread_unarchive(self, thread_id: str) -> "Thread":
        """Bring a thread back."""
        return Thread(self, self._wait(self._codex.thread_unarchive(thread_id)))


class Thread:
    """One conversation."""

    def __init__(self, codex: Codex, thread: AsyncThread) -> None:
        self._codex = codex
        self._thread = thread
        self.id = thread.id

    def run(self, input: RunInput, **options: Any) -> TurnResult:  # noqa: A002 - the published name
        """Ask, and wait for the end. Raises RuntimeError for a turn that failed."""
        return self._codex._wait(self._thread.run(input, **options))

    def turn(self, input: RunInput, **options: Any) -> "TurnHandle":  # noqa: A002 - the published name
        """Begin a turn."""
        return TurnHandle(self._codex, self._codex._wait(self._thread.turn(input, **options)))

    def read(self, *, include_turns: bool = False) -> Any:
        """The thread as it is now."""
        return self._codex._wait(self._thread.read(include_turns=include_turns))

    def set_name(self, name: str) -> Any:
        """Name it."""
        return self._codex._wait(self._thread.set_name(name))

    def compact(self) -> Any:
        """Shorten its history."""
        return self._codex._wait(self._thread.compact())


class TurnHandle:
    """A turn that runs."""

    def __init__(self, codex: Codex, handle: AsyncTurnHandle) -> None:
        self._codex = codex
        self._handle = handle
        self.thread_id = handle.thread_id
        self.id = handle.id

    def steer(self, input: Input | str) -> Any:  # noqa: A002 - the published name
        """More input for this turn."""
        return self._codex._wait(self._handle.steer(input))

    def interrupt(self) -> Any:
        """Stop it."""
        return self._codex._wait(self._handle.interrupt())

    def stream(self) -> Iterator[Notification]:
        """Everything that happens in it; the last one is `turn/completed`."""
        stream = self._handle.stream()
        try:
            while True:
                try:
                    yield self._codex._wait(anext(stream))  # type: ignore[arg-type]  # a coroutine
                except StopAsyncIteration:
                    return
        finally:
            with suppress(RuntimeError):
                self._codex._wait(stream.aclose())  # type: ignore[attr-defined]  # a generator

    def run(self) -> TurnResult:
        """Wait for the end. Raises RuntimeError for a turn that failed."""
        return self._codex._wait(self._handle.run())


# ---- inside -----------------------------------------------------------------------------------


async def accept(method: str, params: Any) -> Any:
    """What the published client answers unless told otherwise."""
    return {"decision": "accept"} if method.endswith("/requestApproval") else {}


async def opened(config: CodexConfig, stack: AsyncExitStack) -> Transport:
    """The way to the engine: in this process, or in the program that is named."""
    argv = config.launch_args_override
    if argv is None and config.codex_bin is not None:
        settings = [word for one in config.config_overrides for word in ("--config", one)]
        argv = (config.codex_bin, *settings, "app-server", "--listen", "stdio://")
    if argv is not None:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=config.env,
            cwd=config.cwd,
        )
        stack.push_async_callback(ended, process)
        assert process.stdin is not None
        assert process.stdout is not None
        return Streams(process.stdout, process.stdin)
    from octavo.appserver.within import serving  # noqa: PLC0415 - a door, for this client alone

    here, there = pair()
    await stack.enter_async_context(
        serving(there, overrides=config.config_overrides, environ=config.env)
    )
    return here


async def stopped(task: "asyncio.Task[None]") -> None:
    """The client's own task is over."""
    task.cancel()
    await asyncio.wait([task])
