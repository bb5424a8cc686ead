"""Calls of the tools: each is a turn, and its thread stays loaded for the next call.

What happens meanwhile goes to the client as notices; what needs an approval is asked there.
"""

import re
from typing import Any, Final, Protocol

from octavo.api.engine import Engine
from octavo.api.options import ThreadOptions
from octavo.api.thread import Thread, Turn
from octavo.api.workspace import real
from octavo.mcpserver import offer
from octavo.mcpserver.asking import NOBODY, decided, passed_back, passed_on, question
from octavo.mcpserver.telling import Teller, asked, configured, progress
from octavo.protocol.approvals import ApprovalRequest, Decision
from octavo.protocol.errors import OctavoError, UsageError
from octavo.protocol.events import (
    Ending,
    Event,
    TurnCompleted,
    TurnFailed,
    TurnInterrupted,
)
from octavo.protocol.mcp import Elicitation, ElicitationAnswer
from octavo.rpc.messages import Id

Json = dict[str, Any]
ASK: Final = "elicitation/create"
UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class GoneError(Exception):
    """The client has gone before it answered."""


class NotAnsweredError(Exception):
    """The client answered with an error."""


class Client(Protocol):
    """Whom the calls talk to."""

    elicits: bool
    elicits_urls: bool

    async def tell(self, method: str, params: Json) -> None: ...
    async def ask(self, method: str, params: Json) -> Any: ...  # noqa: ANN401 - JSON


class Call:
    """One call while it is at work."""

    def __init__(self, id_: Id, progress_token: str | int | None) -> None:
        self.id = id_
        self.progress_token = progress_token
        self.steps = 0
        self.cancelled = False
        """Nobody waits for the answer any more."""
        self.turn: Turn | None = None

    async def stop(self) -> None:
        """End the turn, if it has begun."""
        if self.turn is not None:
            await self.turn.interrupt()


class Conversation:
    """A thread that was begun here."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.thread: Thread | None = None
        self.call: Call | None = None
        """The one at work."""

    async def approve(self, request: ApprovalRequest, /) -> Decision:
        """Ask the person at the client; where nobody can be asked, the answer is no."""
        call, thread = self.call, self.thread
        if not self._client.elicits or call is None or call.turn is None or thread is None:
            return Decision.deny(NOBODY)
        thread_id, turn_id = str(thread.id), str(call.turn.id)
        params = question(request, thread_id=thread_id, turn_id=turn_id, call_id=call.id)
        await self.tell(call, thread_id, turn_id, asked(request, turn_id))
        try:
            return decided(await self._client.ask(ASK, params))
        except GoneError:
            return Decision.deny("the MCP client has gone")
        except NotAnsweredError as error:
            return Decision.deny(f"the MCP client could not ask: {error}")

    async def elicit(self, asked: Elicitation, /) -> ElicitationAnswer:
        """Pass a question of an MCP server on to the person at the client."""
        able = self._client.elicits if asked.url is None else self._client.elicits_urls
        if not able or self.thread is None:
            return ElicitationAnswer(action="decline")
        try:
            answer = await self._client.ask(ASK, passed_on(asked, str(self.thread.id)))
        except (GoneError, NotAnsweredError):
            return ElicitationAnswer(action="cancel")
        return passed_back(answer)

    async def tell(self, call: Call, thread_id: str, id_: str, message: Json) -> None:
        """One `codex/event`."""
        meta = {"requestId": call.id, "threadId": thread_id}
        await self._client.tell("codex/event", {"_meta": meta, "id": id_, "msg": message})


class Calls:
    """Carries out calls with one engine; remembers its threads."""

    def __init__(self, engine: Engine, client: Client) -> None:
        self._engine = engine
        self._client = client
        self._conversations: dict[str, Conversation] = {}

    async def run(self, call: Call, wanted: offer.CallTool) -> Json:
        """The result of a call; what goes wrong is a result too."""
        try:
            if wanted.name in offer.START:
                return await self._start(call, offer.arguments(offer.Start, wanted.arguments))
            if wanted.name in offer.REPLY:
                return await self._reply(call, offer.arguments(offer.Reply, wanted.arguments))
        except UsageError as error:
            text = f"Failed to parse the arguments of the tool {wanted.name!r}: {said(error)}"
            return offer.result(text, None, failed=True)
        return offer.result(f"Unknown tool {wanted.name!r}", None, failed=True)

    async def _start(self, call: Call, given: offer.Start) -> Json:
        conversation = Conversation(self._client)
        try:
            options = ThreadOptions(
                cwd=real(given.cwd),
                approver=conversation.approve,
                elicitor=conversation.elicit,
                source="mcp",
                flags=given.flags(),
                base_instructions=given.base_instructions,
            )
            thread = conversation.thread = await self._engine.open_thread(options)
        except OctavoError as error:
            return offer.result(f"Failed to start a thread: {said(error)}", None, failed=True)
        self._conversations[str(thread.id)] = conversation
        return await self._turn(call, conversation, thread, given.prompt)

    async def _reply(self, call: Call, given: offer.Reply) -> Json:
        wanted = given.thread_id or given.conversation_id
        if not wanted:
            raise UsageError("`threadId` is missing")
        if not UUID.fullmatch(wanted):
            text = f"Failed to parse thread_id: {wanted!r} is no thread id"
            return offer.result(text, None, failed=True)
        conversation = self._conversations.get(wanted.lower())
        if conversation is None or conversation.thread is None:
            text = f"Session not found for thread_id: {wanted}"
            return offer.result(text, wanted, failed=True)
        return await self._turn(call, conversation, conversation.thread, given.prompt)

    async def _turn(
        self, call: Call, conversation: Conversation, thread: Thread, prompt: str
    ) -> Json:
        thread_id = str(thread.id)
        if conversation.call is not None:
            text = "a call is at work in this thread: wait for its end, or cancel it"
            return offer.result(text, thread_id, failed=True)
        conversation.call = call
        try:
            return await self._watched(call, conversation, thread, prompt)
        except OctavoError as error:
            return offer.result(said(error), thread_id, failed=True)
        finally:
            conversation.call = None

    async def _watched(
        self, call: Call, conversation: Conversation, thread: Thread, prompt: str
    ) -> Json:
        thread_id = str(thread.id)
        async with thread.stream(prompt) as turn:
            call.turn = turn
            if call.cancelled:
                await turn.interrupt()
            await conversation.tell(
                call, thread_id, "", configured(thread_id, thread.facts, thread.path)
            )
            teller = Teller(thread_id, str(turn.id))
            async for event in turn:
                for message in teller.tell(event):
                    await conversation.tell(call, thread_id, str(turn.id), message)
                await self._progress(call, event)
                if isinstance(event, Ending):
                    return ended(event, thread_id)
        return offer.result("the turn ended without a word", thread_id, failed=True)

    async def _progress(self, call: Call, event: Event) -> None:
        text = None if call.progress_token is None else progress(event)
        if text is not None and not call.cancelled:
            call.steps += 1
            said_ = {"progressToken": call.progress_token, "progress": call.steps, "message": text}
            await self._client.tell("notifications/progress", said_)


def ended(event: Ending, thread_id: str) -> Json:
    """The result of a call whose turn is over."""
    match event:
        case TurnCompleted(last_message=text):
            return offer.result(text or "", thread_id)
        case TurnFailed(message=text, hint=hint):
            whole = text if hint is None else f"{text} ({hint})"
            return offer.result(whole, thread_id, failed=True)
        case TurnInterrupted():
            return offer.result("the turn was stopped", thread_id, failed=True)


def said(error: OctavoError) -> str:
    """An error with what helps."""
    return str(error) if error.hint is None else f"{error} ({error.hint})"
