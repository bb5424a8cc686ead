"""A loaded thread: what it has seen, what it runs with, who listens.

Recorded before published: whatever a listener hears of is on disk already. When the disk fails the
thread goes on in memory only as far as to end the turn and say so.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, field, to_builtins
from msgspec.structs import replace

from octavo.engine.budget import Meter
from octavo.engine.bus import Bus
from octavo.engine.context import Surroundings, changes, opening
from octavo.engine.history import History, limited
from octavo.engine.redact import Redactor
from octavo.engine.tape import Tape, taped
from octavo.engine.window import Limits
from octavo.model.catalog import ModelInfo
from octavo.model.client import ModelClient
from octavo.model.events import ModelEvent
from octavo.model.request import Effort, ModelRequest, OutputSchema, Summary, Verbosity
from octavo.policy.rules import RuleSet
from octavo.protocol import events, items
from octavo.protocol.approvals import Approver, Granular
from octavo.protocol.content import InputText
from octavo.protocol.errors import OctavoError
from octavo.protocol.history import HistoryItem, KnownItem, Message, Unknown
from octavo.protocol.ids import ItemId, ThreadId, TurnId
from octavo.protocol.seams import Clock, Ids
from octavo.protocol.usage import BYTES_PER_TOKEN, TokenUsage, tokens_of_text
from octavo.protocol.wire import item_to
from octavo.store.base import ThreadLog
from octavo.store.display import completed as completed_line
from octavo.store.rollout import (
    Other,
    Record,
    ResponseItem,
    TokenCount,
    TokenInfo,
    TokenUsageRecord,
    encode_line,
)
from octavo.tools.base import Access, Launcher, ToolContext, itself
from octavo.tools.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octavo.engine.approvals import Desk
    from octavo.engine.checkpoints import Checkpoints, Guard
    from octavo.engine.goals import GoalKeeper
    from octavo.engine.hooks import SessionHooks

PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
}
STOPPED = (
    "<turn_aborted>\nThe user stopped this turn on purpose. Commands that were running have been "
    "ended and may have done part of their work: look before you rely on it.\n</turn_aborted>"
)


Named = TypeVar("Named", bound=KnownItem)


def no_hash(_path: str) -> str | None:
    """For sessions without a disk: nothing is known about files."""
    return None


def items_to(items_: Iterable[HistoryItem]) -> list[object]:
    """History items as a tape keeps them."""
    return [item_to(item) for item in items_]


def payloads(records: Iterable[Record]) -> list[str]:
    """Lines of a rollout as a tape keeps them: without the time of writing."""
    return [encode_line(record, at_ms=0, ordinal=None).decode() for record in records]


class Workspace(Struct):
    """Where commands run and what they may do there: changes when the settings do."""

    cwd: str
    launcher: Launcher
    access: Access
    environment: dict[str, str]
    shell: str
    surroundings: Surroundings
    sandboxed: bool = True
    policy: object = None
    """The sandbox policy as rollouts write it."""
    located: Callable[[str], tuple[str, str | None]] = itself
    """See `ToolContext.located`."""


class Parts(Struct):
    """What a session is made of. Everything that touches the world comes in here."""

    thread_id: ThreadId
    model: ModelClient
    model_name: str
    info: ModelInfo
    tools: Registry
    log: ThreadLog
    clock: Clock
    ids: Ids
    approver: Approver
    workspace: Workspace
    instructions: str
    end_commands: Callable[[], Awaitable[None]]
    """Ends what earlier calls left running."""
    approval_policy: str = "never"
    granular: Granular | None = None
    """Which kinds of question are put, when the policy is `granular`."""
    rules: Callable[[], RuleSet] = RuleSet
    """The rules for commands and hosts that are in force now."""
    desk: "Desk | None" = None
    """Where questions go, to put them in the order of calls and to add a reviewer."""
    effort: Effort | None = None
    summary: Summary | None = None
    verbosity: Verbosity | None = None
    service_tier: str | None = None
    stream_retries: int = 5
    unreachable_s: float | None = None
    """How long a server that cannot be reached is tried; None: for ever."""
    window: int | None = None
    output_tokens: int = 10_000
    compact_at: int | None = None
    """Tokens from which the history is shortened; None: by the model's window alone."""
    compact_prompt: str | None = None
    running_commands: Callable[[], tuple[str, ...]] = tuple
    """What still runs in the background, one line each."""
    hash_file: Callable[[str], str | None] = no_hash
    """A file's content as a short hash, seen from the working folder."""
    meter: Meter = field(default_factory=Meter)
    """What may be spent, and what has been; threads of one piece of work share it."""
    redact: Redactor | None = None
    """Takes values that commands must not know out of what they print."""
    tape: Tape | None = None
    """Keeps everything for a replay."""
    hooks: "SessionHooks | None" = None
    """Programs of the user that hear of what happens; None: there are none."""
    notify: "Callable[[TurnId, str, str | None], None] | None" = None
    """Told of a turn that is complete: its id, the user's words, the last message. Raises
    OctavoError when nobody can be told."""
    named_skills: "Callable[[Sequence[str]], tuple[Message, ...]] | None" = None
    """The skills that the user's words name, as messages; None: there are none."""
    checkpoints: "Checkpoints | None" = None
    """Keeps the files as they are around each turn, for undo; None: nobody does."""
    audit: Callable[[events.Event], None] | None = None
    """Writes down what was done. Does not raise."""
    goals: "GoalKeeper | None" = None
    """What the thread works for by itself; None: it may have no goal."""
    planning: "Callable[[Workspace], Planning] | None" = None
    """What is different in a turn of plan mode; None: there is no such mode."""
    before_request: Callable[[], Awaitable[None]] | None = None
    """Waits until the tools are as new as they can be; None: they never change."""


class Planning(Struct):
    """What is different in a turn of plan mode."""

    workspace: Workspace
    """Commands write nothing."""
    tools: Registry
    effort: Effort | None = None


class TurnFrame(Struct):
    """What stays the same for one turn."""

    turn_id: TurnId
    context: ToolContext
    schema: OutputSchema | None = None
    usage: TokenUsage = TokenUsage()
    last_message: str | None = None
    guard: "Guard | None" = None
    """Sees to the file states around the turn."""
    planning: Planning | None = None
    """It is a turn of plan mode."""


class Session:
    """One thread, loaded. At most one turn runs in it; see `octavo.engine.run`."""

    def __init__(
        self,
        parts: Parts,
        *,
        history: Iterable[HistoryItem] = (),
        total: TokenUsage | None = None,
        last: TokenUsage | None = None,
        told: Surroundings | None = None,
        windows: int = 0,
    ) -> None:
        self.parts = parts
        self.here = parts.workspace
        """Where the turn that runs, or the next one, works."""
        self.windows = windows
        """How often the history was shortened."""
        self.turn_id: TurnId | None = None
        """The turn that runs, or ran last."""
        self.full = False
        """The server said that nothing more fits."""
        self.fresh = False
        """Just shortened, and not answered since: shortening again would gain nothing."""
        self.bus = Bus()
        self.history = History(history, usage=last)
        self.total = total or TokenUsage()
        self.told = told
        """What the model was last told about its surroundings; None: nothing yet."""
        self.broken: OctavoError | None = None
        """Why nothing is written any more."""

    # ---- recording and telling ------------------------------------------------------------

    @taped(to_builtins)
    def publish(self, event: events.Event) -> None:
        """To everybody who listens."""
        if self.parts.audit is not None:
            self.parts.audit(event)
        if self.parts.tape is not None:
            self.parts.tape.say("event", to_builtins(event))
        self.bus.publish(event)

    @taped(lambda *records: payloads(records))
    def write(self, *records: Record) -> None:
        """On disk, or StoreError; after the first failure nothing more is tried."""
        if self.parts.tape is not None:
            for line in payloads(records):
                self.parts.tape.say("line", line)
        if self.broken is not None:
            return
        try:
            self.parts.log.append(*records)
        except OctavoError as error:
            self.broken = error
            raise

    @taped(items_to)
    def record(self, items_: Iterable[KnownItem]) -> None:
        """Into the history and on disk. Raises StoreError; the history has them anyway."""
        most = self.parts.output_tokens * BYTES_PER_TOKEN
        kept = [limited(self.named(item), most) for item in items_]
        for item in kept:
            self.history.add(item)
        self.write(*(ResponseItem(item) for item in kept))

    @taped(lambda item: item.raw)
    def keep_unknown(self, item: Unknown) -> None:
        """An item of a kind we do not know: kept on disk, never sent."""
        self.history.add(item)
        self.write(ResponseItem(item))

    @taped(lambda _frame, item: to_builtins(item))
    def completed(self, frame: TurnFrame, item: items.Item) -> None:
        """An item is over: on disk, then to listeners."""
        if isinstance(item, items.AgentMessage):
            frame.last_message = item.text
        line = completed_line(
            item,
            thread_id=self.parts.thread_id,
            turn_id=frame.turn_id,
            at_ms=self.parts.clock.now_ms(),
        )
        if line is not None:
            self.write(line)
        self.publish(events.ItemCompleted(turn_id=frame.turn_id, item=item))

    @taped(lambda _frame, usage, response_id: [to_builtins(usage), response_id])
    def counted(self, frame: TurnFrame, usage: TokenUsage | None, response_id: str) -> None:
        """A response is complete: add up what it cost."""
        if usage is None:
            return
        self.history.counted(usage)
        self.fresh = False
        self.total += usage
        self.parts.meter.spent(usage, self.parts.info)
        frame.usage += usage
        info = TokenInfo(
            total_token_usage=self.total,
            last_token_usage=usage,
            model_context_window=self.parts.window,
        )
        self.write(
            TokenUsageRecord(
                turn_id=frame.turn_id,
                response_id=response_id or None,
                usage=usage,
                turn_token_usage=frame.usage,
                thread_token_usage=self.total,
            ),
            TokenCount(info=info),
        )
        self.publish(
            events.UsageUpdated(
                turn_id=frame.turn_id, last=usage, total=self.total, window=self.parts.window
            )
        )

    @taped(to_builtins)
    def counted_elsewhere(self, usage: TokenUsage) -> None:
        """A part of this thread's work was paid for in another one."""
        self.total += usage

    def named(self, item: Named) -> Named:
        """The item with an id that stays, whoever made it."""
        if item.id is not None:
            return item
        prefix = PREFIXES.get(str(item.__struct_config__.tag), "item")
        return replace(item, id=ItemId(f"{prefix}_{self.parts.ids.uuid()}"))

    # ---- asking ---------------------------------------------------------------------------

    @taped(lambda _frame: None)
    def stream(self, frame: TurnFrame) -> AsyncGenerator[ModelEvent, None]:
        """Ask the model with everything recorded so far."""
        request = self.request(frame)
        if self.parts.tape is not None:
            self.parts.tape.ask(request)
        return self.parts.model.stream(request)

    def request(self, frame: TurnFrame) -> ModelRequest:
        """The next request: instructions and tools first, then the history as it was."""
        parts, planning = self.parts, frame.planning
        effort = parts.effort if planning is None else planning.effort or parts.effort
        return ModelRequest(
            model=parts.model_name,
            instructions=parts.instructions,
            input=self.history.prompt(pictures=parts.info.images),
            tools=(parts.tools if planning is None else planning.tools).specs(),
            parallel_tool_calls=parts.info.parallel_tool_calls,
            effort=effort,
            summary=parts.summary,
            verbosity=parts.verbosity,
            service_tier=parts.service_tier,
            output_schema=frame.schema,
            thread_id=parts.thread_id,
            session_id=parts.thread_id,
            turn_id=frame.turn_id,
            window_id=f"{parts.thread_id}:{self.windows}",
            prompt_cache_key=parts.thread_id,
        )

    # ---- shortening -----------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """When the history is too long, and what a shorter one keeps."""
        return Limits(window=self.parts.window, limit=self.parts.compact_at)

    @property
    def too_long(self) -> bool:
        """The history has to be shortened before the next request."""
        if self.fresh or self.full:
            return self.full and not self.fresh
        most = self.limits.threshold
        if most is None:
            return False
        fixed = 0 if self.history.has_count else tokens_of_text(self.parts.instructions)
        return self.history.reaches(most - fixed)

    @taped(items_to)
    def restart(self, items_: Iterable[HistoryItem]) -> None:
        """The history is these items from now on; the model knows its surroundings from them."""
        self.history = History(items_)
        self.windows += 1
        self.full, self.fresh = False, True
        self.told = self.here.surroundings
        self.write(Other("world_state", to_builtins(self.told)))

    def context_items(self) -> tuple[Message, ...]:
        """What the model has to be told before the next words: all at first, then changes."""
        return self.told_about(self.here.surroundings)

    @taped(to_builtins)
    def told_about(self, now: Surroundings) -> tuple[Message, ...]:
        """The model knows these surroundings from now on; what it has to be told for that."""
        before, self.told = self.told, now
        if before != now:
            self.write(Other("world_state", to_builtins(now)))
        return opening(now) if before is None else changes(before, now)

    def stopped_marker(self) -> Message:
        """What tells the model next time that it was interrupted."""
        return Message(role="user", content=(InputText(text=STOPPED),))
