"""The same engine over an app server: threads, turns and events by the same names.

`RemoteEngine.open(...)` starts a server, or connects to one that runs. What a client cannot give
over a wire (Python functions as tools, a budget object) is not here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, Self

from msgspec import Struct

from octavo._version import __version__
from octavo.api.thread import TurnFailedError, TurnResult
from octavo.api.wire_events import ending_of, events_of, item_of
from octavo.protocol.approvals import ApprovalRequest, Approver, CommandApproval, PatchApproval
from octavo.protocol.content import TextInput, UserInput
from octavo.protocol.errors import OctavoError, UsageError
from octavo.protocol.events import Ending, Event, ItemCompleted, TurnFailed, UsageUpdated
from octavo.protocol.ids import CallId, ThreadId, TurnId
from octavo.protocol.items import AgentMessage, FileChange, FileUpdate, Item
from octavo.protocol.usage import TokenUsage
from octavo.rpc.peer import GoneError, Listening, Notice, Peer, RpcError
from octavo.rpc.streams import Streams, Transport

if TYPE_CHECKING:
    from octavo.api.wire_events import Json

DECISIONS: Final = {
    "allow_once": "accept",
    "allow_for_session": "acceptForSession",
    "deny": "decline",
    "abort": "cancel",
}
CLOSE_S: Final = 10.0
Prompt = str | UserInput | Sequence[UserInput]


class RemoteError(OctavoError):
    """The server refused a request, or has gone away."""


class RemoteThreadInfo(Struct, frozen=True, kw_only=True):
    """A thread on the server's disk. Times in seconds since 1970."""

    id: ThreadId
    preview: str
    name: str | None
    cwd: str
    updated_at: int


class RemoteEngine:
    """Threads of one server."""

    def __init__(self, transport: Transport) -> None:
        self._peer = Peer(transport, self._answer)
        self._changes = Changes()
        self._peer.listeners.add(self._changes)
        self._approvers: dict[str, Approver] = {}
        self._threads: list[RemoteThread] = []
        self.about: Mapping[str, Any] = {}
        """What the server said of itself."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        command: Sequence[str] | None = None,
        socket: str | None = None,
        transport: Transport | None = None,
        name: str = "octavo_remote",
        environ: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Self]:
        """Connect: to a server that is started by `command` (`["octavo", "app-server"]`), one that
        listens on a `socket` path, or over a `transport` of your own. Raises RemoteError.
        """
        given = [one for one in (command, socket, transport) if one is not None]
        if len(given) != 1:
            raise UsageError("name one of: command, socket, transport")
        problem: BaseException | None = None
        wire, process = await connected(command, socket, transport, environ)
        async with asyncio.TaskGroup() as group:
            engine = cls(wire)
            running = group.create_task(engine._peer.run(), name="app server client")
            try:
                await engine._begin(name)
                yield engine
            except BaseException as error:  # noqa: BLE001 - raised again below, not in a group
                problem = error
            await engine._peer.close()
            running.cancel()
            if process is not None:
                await ended(process)
        if problem is not None:
            raise problem

    async def _begin(self, name: str) -> None:
        about = {"name": name, "title": None, "version": __version__}
        self.about = await self.ask(
            "initialize", clientInfo=about, capabilities={"experimentalApi": True}
        )
        await self._peer.tell("initialized")

    async def ask(self, method: str, **params: Any) -> Any:  # noqa: ANN401 - JSON
        """Any method of the protocol; see docs/protocols.md. Raises RemoteError."""
        try:
            return await self._peer.ask(method, params)
        except RpcError as error:
            raise RemoteError(error.message) from error
        except GoneError as error:
            raise RemoteError("the app server has gone away") from error

    async def start_thread(
        self,
        *,
        cwd: str | None = None,
        model: str | None = None,
        sandbox: str | None = None,
        approver: Approver | None = None,
        ephemeral: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> "RemoteThread":
        """Begin a thread. `sandbox` is read-only, workspace-write or danger-full-access; without
        an `approver` nobody is asked. Raises RemoteError."""
        return await self._opened(
            "thread/start",
            approver,
            cwd=cwd,
            model=model,
            sandbox=sandbox,
            ephemeral=ephemeral,
            config=dict(config or {}),
        )

    async def resume_thread(
        self, thread_id: str, *, approver: Approver | None = None
    ) -> "RemoteThread":
        """Go on with a thread. Raises RemoteError."""
        return await self._opened("thread/resume", approver, threadId=thread_id, excludeTurns=True)

    async def fork_thread(
        self, thread_id: str, *, approver: Approver | None = None
    ) -> "RemoteThread":
        """A new thread with the history of another one. Raises RemoteError."""
        return await self._opened("thread/fork", approver, threadId=thread_id, excludeTurns=True)

    async def threads(
        self, *, cwd: str | None = None, search: str | None = None
    ) -> AsyncIterator[RemoteThreadInfo]:
        """Threads on the server's disk, newest first. Raises RemoteError."""
        cursor: str | None = None
        while True:
            page = await self.ask("thread/list", cwd=cwd, searchTerm=search, cursor=cursor)
            for one in page["data"]:
                yield RemoteThreadInfo(
                    id=ThreadId(one["id"]),
                    preview=one["preview"],
                    name=one["name"],
                    cwd=one["cwd"],
                    updated_at=one["updatedAt"],
                )
            cursor = page["nextCursor"]
            if cursor is None:
                return

    async def _opened(
        self, method: str, approver: Approver | None, **params: object
    ) -> "RemoteThread":
        if approver is None and method == "thread/start":
            params["approvalPolicy"] = "never"
        elif approver is not None:
            params["approvalPolicy"] = "on-request"
        result = await self.ask(method, **params)
        thread_id = result["thread"]["id"]
        if approver is not None:
            self._approvers[thread_id] = approver
        return RemoteThread(self, result)

    def listen(self) -> Listening:
        """Every notice of the server from now on."""
        return self._peer.listen()

    async def _answer(self, method: str, params: "Json") -> Any:  # noqa: ANN401 - JSON
        approver = self._approvers.get(str(params.get("threadId")))
        request = request_of(method, params, self._changes.of(params))
        if approver is None or request is None:
            raise RpcError(-32601, f"nobody answers {method} here")
        decision = await approver(request)
        if decision.kind == "allow_always":
            rule = {"execpolicy_amendment": list(decision.rule or ())}
            return {"decision": {"acceptWithExecpolicyAmendment": rule}}
        return {"decision": DECISIONS[decision.kind]}


class RemoteTurn:
    """A turn that runs on the server. Iterate over its events; the last one is its ending."""

    def __init__(self, thread: "RemoteThread", listening: Listening, turn_id: str) -> None:
        self._thread = thread
        self._listening = listening
        self._usage = TokenUsage()
        self._last: str | None = None
        self.id = TurnId(turn_id)
        self.over = False

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for method, params in self._listening:
            if not isinstance(params, dict) or params.get("threadId") != self._thread.id:
                continue
            if method == "turn/completed" and params["turn"]["id"] == self.id:
                self.over = True
                yield ending_of(params, self._last, self._usage)
                return
            for event in events_of(method, params):
                self._note(event)
                yield event
        raise RemoteError("the app server has gone away in the middle of a turn")

    def _note(self, event: Event) -> None:
        if isinstance(event, UsageUpdated):
            self._usage = event.total
        elif isinstance(event, ItemCompleted) and isinstance(event.item, AgentMessage):
            self._last = event.item.text

    async def steer(self, prompt: Prompt) -> None:
        """More input for this turn. Raises RemoteError when it takes none any more."""
        await self._thread.engine.ask(
            "turn/steer",
            threadId=self._thread.id,
            expectedTurnId=self.id,
            input=wire_input(prompt),
        )

    async def interrupt(self) -> None:
        """Stop it; the ending event comes when all that ran is gone."""
        with suppress(RemoteError):  # it may just have ended
            await self._thread.engine.ask(
                "turn/interrupt", threadId=self._thread.id, turnId=self.id
            )


class RemoteThread:
    """One conversation on a server. At most one turn runs at a time."""

    def __init__(self, engine: RemoteEngine, opened: "Json") -> None:
        self.engine = engine
        self.id = ThreadId(opened["thread"]["id"])
        self.path: str | None = opened["thread"]["path"]
        self.facts: dict[str, str] = {
            "folder": opened["cwd"],
            "model": opened["model"],
            "provider": opened["modelProvider"],
            "thread": self.id,
        }

    async def run(
        self, prompt: Prompt, *, output_schema: dict[str, Any] | None = None
    ) -> TurnResult:
        """Ask, and wait for the end. Raises TurnFailedError, RemoteError."""
        items: list[Item] = []
        usage = TokenUsage()
        ending: Ending | None = None
        async with self.stream(prompt, output_schema=output_schema) as turn:
            async for event in turn:
                if isinstance(event, ItemCompleted):
                    items.append(event.item)
                elif isinstance(event, UsageUpdated):
                    usage = event.total
                elif isinstance(event, Ending):
                    ending = event
        assert ending is not None
        if isinstance(ending, TurnFailed):
            raise TurnFailedError(ending)
        return TurnResult(
            turn_id=ending.turn_id,
            final_message=getattr(ending, "last_message", None) or "",
            items=tuple(items),
            usage=usage,
            ending=ending,
        )

    @asynccontextmanager
    async def stream(
        self, prompt: Prompt, *, output_schema: dict[str, Any] | None = None
    ) -> AsyncIterator[RemoteTurn]:
        """Ask, and watch. Leaving the block early stops the turn. Raises RemoteError."""
        listening = self.engine.listen()
        try:
            begun = await self.engine.ask(
                "turn/start",
                threadId=self.id,
                input=wire_input(prompt),
                outputSchema=output_schema,
            )
            turn = RemoteTurn(self, listening, begun["turn"]["id"])
            try:
                yield turn
            finally:
                if not turn.over:
                    await turn.interrupt()
        finally:
            listening.close()

    async def fork(self) -> "RemoteThread":
        """A new thread with everything that was said so far. Raises RemoteError."""
        return await self.engine.fork_thread(self.id)

    async def close(self) -> None:
        """Hear no more of it; the server may let go of it."""
        await self.engine.ask("thread/unsubscribe", threadId=self.id)


class Changes(Listening):
    """Remembers what patches that are under way would change, for those who approve them."""

    def __init__(self) -> None:
        self._open: dict[str, FileChange] = {}

    def put(self, notice: Notice | None) -> None:
        """Look at one notice."""
        if notice is None:
            return
        method, params = notice
        if method == "item/started" and params["item"]["type"] == "fileChange":
            item = item_of(params["item"])
            assert isinstance(item, FileChange)
            self._open[item.id] = item
        elif method == "item/completed":
            self._open.pop(params["item"]["id"], None)

    def of(self, params: "Json") -> tuple[FileUpdate, ...]:
        """The changes that a question is about."""
        item = self._open.get(str(params.get("itemId")))
        return () if item is None else item.changes

    def close(self) -> None:
        """Nothing is held."""


def request_of(
    method: str, params: "Json", changes: tuple[FileUpdate, ...]
) -> ApprovalRequest | None:
    """The server's question as an approver knows it."""
    call = CallId(str(params.get("itemId")))
    match method:
        case "item/commandExecution/requestApproval":
            rule = params.get("proposedExecpolicyAmendment")
            return CommandApproval(
                call_id=call,
                reason=params.get("reason"),
                argv=(str(params["command"]),),
                cwd=str(params["cwd"]),
                proposed_rule=tuple(rule) if rule else None,
            )
        case "item/fileChange/requestApproval":
            return PatchApproval(
                call_id=call,
                reason=params.get("reason"),
                changes=changes,
                grant_root=params.get("grantRoot"),
            )
        case _:
            return None


def wire_input(prompt: Prompt) -> list[dict[str, Any]]:
    """What a user gives, as the protocol has it."""
    parts = [prompt] if isinstance(prompt, str) or not isinstance(prompt, Sequence) else prompt
    found: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            found.append({"type": "text", "text": part})
        elif isinstance(part, TextInput):
            found.append({"type": "text", "text": part.text})
        elif part.path is not None:
            found.append({"type": "localImage", "path": part.path})
        else:
            found.append({"type": "image", "url": part.url})
    return found


async def connected(
    command: Sequence[str] | None,
    socket: str | None,
    transport: Transport | None,
    environ: Mapping[str, str] | None,
) -> tuple[Transport, asyncio.subprocess.Process | None]:
    """The way to the server, and the server where we started it. Raises RemoteError."""
    if transport is not None:
        return transport, None
    try:
        if socket is not None:
            dial = getattr(asyncio, "open_unix_connection", None)  # not on Windows
            if dial is None:
                raise RemoteError("there are no sockets on the file system here")
            return Streams(*await dial(socket)), None
        assert command is not None
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=None if environ is None else dict(environ),
        )
    except OSError as error:
        raise RemoteError(f"no app server: {error}") from error
    assert process.stdin is not None
    assert process.stdout is not None
    return Streams(process.stdout, process.stdin), process


async def ended(process: asyncio.subprocess.Process) -> None:
    """The server ends when its input does; one that does not is killed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await process.wait()
            return
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
