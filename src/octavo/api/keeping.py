"""What is kept of a thread's work besides its rollout: file states for undo, the audit record.

What writes them is loaded when the first of it is written, never before the first request.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from octavo.config.schema import Settings
from octavo.engine.checkpoints import Checkpoints
from octavo.engine.session import Workspace
from octavo.policy.profile import EffectiveProfile
from octavo.process.spec import ProcessSpec
from octavo.protocol import events, items
from octavo.protocol.approvals import ApprovalRequest, Approver, Decision
from octavo.protocol.errors import OctavoError
from octavo.protocol.ids import CallId, ThreadId, TurnId
from octavo.protocol.permissions import Access
from octavo.sandbox.confined import Confined
from octavo.tools.base import Launcher

if TYPE_CHECKING:
    from octavo.engine.checkpoints import States
    from octavo.store.audit import AuditLog

Redact = Callable[[str], str]
JOURNAL_FIELDS: Final = 4


def checkpoints_for(
    settings: Settings,
    profile: EffectiveProfile,
    *,
    home: str,
    thread: ThreadId,
    cwd: str,
    apart: str | None = None,
) -> Checkpoints | None:
    """What takes the states around a thread's turns; None where nothing may be written.

    In the folder `apart` nothing changes: an overlay keeps the changes.
    """
    roots = tuple(root for root in workspace_roots(profile, cwd) if root != apart)
    chosen = settings.undo
    if not chosen.enabled or not roots:
        return None

    def make() -> "States":
        from octavo.store.checkpoints import Checkpoints as Kept  # noqa: PLC0415 - in the worker
        from octavo.store.snapshot import Limits  # noqa: PLC0415
        from octavo.store.thread_states import ThreadStates  # noqa: PLC0415

        limits = Limits(max_bytes=chosen.max_bytes, max_file_bytes=chosen.max_file_bytes)
        kept = Kept(
            home, now_ns=time.time_ns, limits=limits, placeholders=lambda: placeholders(home)
        )
        return ThreadStates(kept, thread, roots)

    return Checkpoints(make, required=chosen.required)


def placeholders(home: str) -> list[str]:
    """What the sandbox made on the disk to have something to mount on, as its journal says."""
    folder = os.path.join(home, "state", "mountpoints")
    found: list[str] = []
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        with suppress(OSError), open(os.path.join(folder, name), "rb") as file:
            rows = os.fsdecode(file.read()).split("\n")
            fields = [row.split(" ", 3) for row in rows]
            found += [unescaped(row[3]) for row in fields if len(row) == JOURNAL_FIELDS]
    return found


def unescaped(text: str) -> str:
    """A path of the journal, where an end of line is written as two letters."""
    return text.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")


def workspace_roots(profile: EffectiveProfile, cwd: str) -> tuple[str, ...]:
    """The folders whose files a turn may change and the user wants back; none for read-only."""
    if profile.unrestricted:
        named = [cwd, *profile.places.workspace_roots]
    else:
        temporary = {profile.slash_tmp, profile.tmpdir} - {cwd}
        named = [
            rule.path
            for rule in profile.rules
            if rule.access is Access.WRITE and not rule.protected and rule.path not in temporary
        ]
    found: list[str] = []
    for path in sorted(dict.fromkeys(named), key=lambda one: (one != cwd, one)):
        inside = any(path == one or path.startswith(one.rstrip("/") + "/") for one in found)
        if not inside and os.path.isdir(path):
            found.append(path)
    return tuple(found)


class Audit:
    """Writes down what a thread does: hears its events, stands beside launcher and approver."""

    def __init__(
        self,
        settings: Settings,
        profile: EffectiveProfile,
        *,
        home: str,
        thread: ThreadId,
        approval: str,
        redact: Redact | None = None,
    ) -> None:
        self._home = home
        self._thread = thread
        self._fsync = settings.audit.fsync
        self._redact = redact
        self._approval = approval
        self._sandbox = f"sandbox: {profile.mode or profile.name}"
        self._outside: dict[str, str] = {}
        self._log: AuditLog | None = None
        self._turn: TurnId | None = None
        self._began_ms = 0
        self._broken = False
        self.warn: Callable[[str], None] | None = None
        """Told once when nothing can be written."""

    def __call__(self, event: events.Event) -> None:
        """Something happened. A turn's beginning waits for the first thing it does."""
        if isinstance(event, events.TurnStarted):
            self._turn, self._began_ms = event.turn_id, time.time_ns() // 1_000_000
        elif isinstance(event, events.Ending) and self._began_ms:
            self._began_ms = 0  # nothing was done in it
        elif isinstance(event, events.ItemCompleted):
            if isinstance(event.item, DEEDS):
                self._event(event)
        elif isinstance(event, events.Ending | events.Warned):
            self._event(event)

    def _event(self, event: events.Event) -> None:
        from octavo.store.audit_facts import rows_of, turn_of  # noqa: PLC0415 - after the request

        if isinstance(event, events.ItemCompleted):
            rule = self._outside.pop(event.item.id, self._sandbox)
        else:
            rule = self._sandbox
        for kind, facts in rows_of(event, rule=rule):
            self.add(kind, facts, turn_of(event) or self._turn)

    def add(self, kind: str, facts: dict[str, object], turn: TurnId | None = None) -> None:
        """One line. Does not raise."""
        if self._broken:
            return
        try:
            log = self._opened()
            if self._began_ms:
                at_ms, self._began_ms = self._began_ms, 0
                log.add("turn", {"state": "started"}, turn=self._turn, at_ms=at_ms)
            log.add(kind, facts, turn=turn or self._turn)
        except OctavoError as error:
            self._broken = True
            if self.warn is not None:
                self.warn(f"the audit record ends here: {error}")

    def _opened(self) -> "AuditLog":
        if self._log is None:
            from octavo.store.audit import AuditLog  # noqa: PLC0415 - after the first request

            self._log = AuditLog(
                self._home,
                self._thread,
                now_ms=lambda: time.time_ns() // 1_000_000,
                fsync=self._fsync,
                redact=self._redact,
            )
        return self._log

    def approver(self, asked: Approver, decides: Callable[[Approver], Approver]) -> Approver:
        """`decides(asked)` with every answer written down, and whether somebody was asked."""
        questions: set[CallId] = set()

        async def noting(request: ApprovalRequest, /) -> Decision:
            questions.add(request.call_id)
            return await asked(request)

        inner = decides(noting)

        async def approve(request: ApprovalRequest, /) -> Decision:
            from octavo.store.audit_facts import decision_row  # noqa: PLC0415

            decision = await inner(request)
            by = "asked" if request.call_id in questions else "remembered or decided before"
            questions.discard(request.call_id)
            rule = f"approval_policy: {self._approval}"
            self.add(*decision_row(request, decision, by=by, rule=rule))
            if decision.allowed and getattr(request, "escalated", True):
                self._outside[request.call_id] = f"{rule}: {decision.kind} ({by})"
            return decision

        return approve

    def workspace(self, place: Workspace) -> None:
        """From here on every start of a command is written down before it happens."""
        place.launcher = Audited(place.launcher, self)

    def started(self, spec: ProcessSpec, *, escalated: bool) -> None:
        """A command is about to start."""
        rule = "outside the sandbox: allowed" if escalated else self._sandbox
        facts = {"argv": list(spec.argv), "cwd": spec.cwd, "rule": rule}
        self.add("start", {**facts, "outside_sandbox": escalated})


DEEDS = (
    items.CommandExecution
    | items.FileChange
    | items.McpToolCall
    | items.ToolUse
    | items.WebSearch
    | items.ImageView
)
"""Items that say what was done."""


class Audited:
    """A launcher whose starts are written down."""

    def __init__(self, launcher: Launcher, audit: Audit) -> None:
        self._launcher = launcher
        self._audit = audit

    def __getattr__(self, name: str) -> object:
        return getattr(self._launcher, name)

    def prepare(self) -> None:
        """See `octavo.tools.base.Launcher`."""
        self._launcher.prepare()

    async def start(self, spec: ProcessSpec, *, escalated: bool = False) -> Confined:
        """See `octavo.tools.base.Launcher`."""
        self._audit.started(spec, escalated=escalated)
        return await self._launcher.start(spec, escalated=escalated)
