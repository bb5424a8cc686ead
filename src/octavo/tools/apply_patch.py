"""`apply_patch`: checked and planned here, written inside the sandbox, all of it or nothing.

The plan is made in this process, for the question and the view. The writing is done by a small
program under the thread's profile, so that symlinks and hard links are the kernel's business.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from octavo.model.request import CustomTool, FunctionTool
from octavo.patch.parse import parse
from octavo.patch.plan import Change, FileState, Found, PatchPlan, plan
from octavo.patch.refusal import PatchRefused
from octavo.patch.report import below, file_diff, item_diff, notes, success
from octavo.policy.paths import printable
from octavo.process.child import StartError
from octavo.process.run import run
from octavo.process.spec import Pipes, ProcessSpec
from octavo.protocol.approvals import PatchApproval
from octavo.protocol.errors import OctavoError
from octavo.protocol.events import ItemCompleted, ItemStarted, TurnDiff
from octavo.protocol.ids import TurnId
from octavo.protocol.items import DenialNote, FileChange, FileUpdate
from octavo.tools import write_files
from octavo.tools.arguments import parsed, schema
from octavo.tools.base import ToolCall, ToolContext, ToolOutput, failed
from octavo.tools.disk import Resolver, read_seen, work_of

if TYPE_CHECKING:
    from octavo.sandbox.denial import Denial

WRITE_S: Final = 30.0
"""Writing takes milliseconds; a disk that takes longer is not going to answer."""
PROGRAM: Final = os.path.realpath(write_files.__file__)
SETTINGS: Final = "rejected by user approval settings"
READ_ONLY: Final = f"patch rejected: writing is blocked by read-only sandbox; {SETTINGS}"
OUTSIDE: Final = f"patch rejected: writing outside of the project; {SETTINGS}"
BY_USER: Final = "patch rejected by user"
UNVERIFIED: Final = "apply_patch verification failed: "

DESCRIPTION: Final = (
    "Change files with a patch; all of it is done, or nothing. The patch begins with "
    "`*** Begin Patch` and ends with `*** End Patch`. Between them, per file: `*** Add File: PATH` "
    "and its lines, each with `+` in front; `*** Delete File: PATH`; or `*** Update File: PATH`, "
    "perhaps `*** Move to: PATH`, and chunks. A chunk begins with `@@`, or `@@ ` and a line of the "
    "file that stands above it; then lines to keep (space in front), to remove (`-`), to add "
    "(`+`). Give about three lines of context on each side, exactly as in the file. "
    "`*** End of File` after a chunk ties it to the end of the file."
)
GRAMMAR: Final = r"""
start: begin section+ end
begin: "*** Begin Patch" LF
end: "*** End Patch" LF?
section: add | delete | update
add: "*** Add File: " PATH LF added+
delete: "*** Delete File: " PATH LF
update: "*** Update File: " PATH LF move? chunks?
move: "*** Move to: " PATH LF
chunks: (header | line)+ last?
header: ("@@" | "@@ " TEXT) LF
added: "+" TEXT? LF
line: ("+" | "-" | " ") TEXT? LF
last: "*** End of File" LF
PATH: /[^\n]+/
TEXT: /[^\n]+/
%import common.LF
""".lstrip()

Status = Literal["completed", "failed", "declined"]


class Applied(Struct, frozen=True, kw_only=True):
    """How a patch went."""

    text: str
    """What the model is told, without a frame."""
    exit_code: int | None
    """0 done; 1 not written, None not even tried: then `text` says it all."""
    wall_s: float = 0.0
    ends_turn: bool = False


class Problem(Struct, frozen=True):
    """Why nothing was written."""

    text: str
    denials: tuple[DenialNote, ...] = ()
    """What the sandbox refused, if it was that."""


class Arguments(Struct):
    """Of the function form."""

    input: str


class TurnChanges:
    """What patches changed in the turn that runs, as one diff."""

    def __init__(self) -> None:
        self._turn: TurnId | None = None
        self._files: dict[str, tuple[bytes | None, bytes | None]] = {}

    def add(self, turn: TurnId, files: tuple[FileState, ...]) -> None:
        """One patch was written."""
        if turn != self._turn:
            self._turn, self._files = turn, {}
        for file in files:
            before = self._files[file.path][0] if file.path in self._files else file.before
            self._files[file.path] = (before, file.after)

    def diff(self, root: str) -> str:
        """Everything so far; files that are as they were are left out."""
        parts: list[str] = []
        for path, (before, after) in self._files.items():
            if before != after:
                parts += file_diff(below(root, path), before, after)
        return "".join(parts)


class Patcher:
    """Applies patches for a thread; the tool and the shell share it."""

    def __init__(self) -> None:
        self._changes = TurnChanges()

    async def apply(self, text: str, *, cwd: str, call: ToolCall, context: ToolContext) -> Applied:
        """Check, ask where that is needed, write, tell."""
        try:
            planned = await asyncio.to_thread(planned_for, text, cwd, context)
        except PatchRefused as refusal:
            hint = f"\n{refusal.hint}" if refusal.hint else ""
            return Applied(text=f"{UNVERIFIED}{refusal}{hint}", exit_code=None)
        updates = tuple(update_of(change) for change in planned.changes)
        outside = self._outside(planned, context)
        if outside or context.approval_policy == "untrusted":
            request = PatchApproval(
                call_id=call.call_id,
                changes=updates,
                grant_root=common_folder(outside),
                because=f"not writable in the sandbox: {', '.join(outside[:5])}"
                if outside
                else "every change is shown first",
            )
            answer = await self._ask(request, context, outside=bool(outside))
            if answer is not None:
                return answer
        escalated = bool(outside)
        return await self._write(planned, updates, call, context, escalated=escalated)

    @staticmethod
    def _outside(planned: PatchPlan, context: ToolContext) -> list[str]:
        if not context.sandboxed:
            return []
        return [path for path in planned.paths if not context.access.writes(path)]

    @staticmethod
    async def _ask(
        request: PatchApproval, context: ToolContext, *, outside: bool
    ) -> Applied | None:
        """None: it may be done."""
        granular = context.granular is not None and context.granular.sandbox_approval
        asks = context.approval_policy in ("on-request", "untrusted") or (
            context.approval_policy == "granular" and granular
        )
        if outside and (not asks or context.access.hides):
            text = READ_ONLY if context.access.read_only else OUTSIDE
            return Applied(text=text, exit_code=None)
        decision = await context.approver(request)
        if decision.allowed:
            return None
        reason = f": {decision.reason}" if decision.reason else ""
        return Applied(text=BY_USER + reason, exit_code=None, ends_turn=decision.kind == "abort")

    async def _write(
        self,
        planned: PatchPlan,
        updates: tuple[FileUpdate, ...],
        call: ToolCall,
        context: ToolContext,
        *,
        escalated: bool,
    ) -> Applied:
        item = FileChange(id=call.item_id, changes=updates)
        context.emit(ItemStarted(turn_id=context.turn_id, item=item))

        def over(status: Status, message: str) -> None:
            done = FileChange(id=call.item_id, changes=updates, status=status, message=message)
            context.emit(ItemCompleted(turn_id=context.turn_id, item=done))

        began = context.clock.monotonic()
        ends_turn = False
        try:
            problem = await written(planned, context, escalated=escalated)
            if problem is not None and problem.denials and not escalated:
                problem, ends_turn = await self._again(problem, planned, updates, call, context)
        except OctavoError as error:
            over("failed", str(error))
            raise
        except BaseException:
            over("failed", "interrupted")
            raise
        wall_s = context.clock.monotonic() - began
        if problem is not None:
            text = f"nothing was changed: {problem.text}"
            over("failed", text)
            return Applied(text=text, exit_code=1, wall_s=wall_s, ends_turn=ends_turn)
        text = success(planned) + notes(planned)
        over("completed", text)
        self._changes.add(context.turn_id, planned.files)
        diff = self._changes.diff(context.cwd)
        context.emit(TurnDiff(turn_id=context.turn_id, diff=diff))
        return Applied(text=text, exit_code=0, wall_s=wall_s)

    async def _again(
        self,
        problem: Problem,
        planned: PatchPlan,
        updates: tuple[FileUpdate, ...],
        call: ToolCall,
        context: ToolContext,
    ) -> tuple[Problem | None, bool]:
        """The sandbox refused what the rules allow (a link that leads out): ask for one more try.

        Why it was not written, and whether the turn is to end.
        """
        if not context.sandboxed or context.approval_policy != "on-request" or context.access.hides:
            return problem, False
        request = PatchApproval(
            call_id=call.call_id, changes=updates, because=problem.text, denials=problem.denials
        )
        decision = await context.approver(request)
        if not decision.allowed:
            return problem, decision.kind == "abort"
        return await written(planned, context, escalated=True), False


class ApplyPatch:
    """The tool, in its free-text form or as a function with one argument."""

    parallel = False

    def __init__(self, patcher: Patcher, *, freeform: bool = True) -> None:
        self._patcher = patcher
        self.spec: CustomTool | FunctionTool = FREEFORM if freeform else FUNCTION

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Apply the patch. Raises UsageError for arguments that cannot be read."""
        text = call.arguments if call.custom else parsed(call, Arguments).input
        done = await self._patcher.apply(text, cwd=context.cwd, call=call, context=context)
        if done.exit_code is None:
            return failed(done.text, ends_turn=done.ends_turn)
        return ToolOutput(
            output=framed(done), success=done.exit_code == 0, ends_turn=done.ends_turn
        )


FREEFORM: Final = CustomTool(
    name="apply_patch",
    description=DESCRIPTION,
    format={"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
)
FUNCTION: Final = FunctionTool(
    name="apply_patch",
    description=DESCRIPTION,
    parameters=schema(
        {"input": {"type": "string", "description": "The whole patch."}}, required=("input",)
    ),
)


def common_folder(paths: list[str]) -> str | None:
    """The folder all of them lie in; None when there is none."""
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:
        return None


def framed(done: Applied) -> str:
    """The answer with the lines programs look for."""
    return (
        f"Exit code: {done.exit_code}\nWall time: {done.wall_s:.1f} seconds\nOutput:\n{done.text}"
    )


def planned_for(text: str, cwd: str, context: ToolContext) -> PatchPlan:
    """What the patch would do, seen with the eyes of the sandbox. Raises PatchRefused."""
    return plan(parse(text), reader(context), resolve=Resolver(cwd), once=True)


def reader(context: ToolContext) -> Callable[[str], Found]:
    """Reads what commands may read: a refusal must not show what the profile hides."""

    def read(path: str) -> Found:
        return read_seen(path, context)

    return read


def update_of(change: Change) -> FileUpdate:
    """One change as clients see it."""
    return FileUpdate(
        path=change.path,
        kind=change.kind,
        diff=item_diff(change),
        move_path=change.move_path,
    )


async def written(planned: PatchPlan, context: ToolContext, *, escalated: bool) -> Problem | None:
    """Write the files; why not, when nothing was written."""
    work = work_of(planned.files)
    if escalated or not context.sandboxed:
        try:
            await asyncio.to_thread(write_files.write_files, work)
        except write_files.Failed as failure:
            return Problem(str(failure))
        return None
    spec = ProcessSpec(
        argv=(sys.executable, "-I", "-S", PROGRAM),
        env={"PATH": os.defpath},
        cwd=context.cwd,
        stdio=Pipes(stdin=True, merge_stderr=True),
    )
    try:
        confined = await context.launcher.start(spec)
    except StartError as error:
        return Problem(f"the program that writes files did not start: {error}")
    done = await run(confined.child, stdin=write_files.packed(work), timeout_s=WRITE_S)
    if done.status.ok:
        return None
    if done.timed_out:
        return Problem(f"the disk did not answer within {WRITE_S:.0f} seconds")
    code = done.status.shell_code
    said = done.stdout.text()
    refused, _, text = said.rpartition("\0") if code == write_files.REFUSED_CODE else ("", "", said)
    records = confined.denials()
    told = [text.strip() or f"exit code {code}", *dict.fromkeys(str(one.rule) for one in records)]
    return Problem("; ".join(told), notes_of(records, refused))


def notes_of(records: "tuple[Denial, ...]", refused: str) -> tuple[DenialNote, ...]:
    """What was refused: by the sandbox's records, else by the answer the system gave the writer."""
    if not refused:
        return ()
    found = tuple(
        DenialNote(operation=one.operation, subject=printable(one.subject), rule=str(one.rule))
        for one in records
    )
    told = DenialNote(operation="write", subject=printable(refused), rule="the system refused it")
    return found or (told,)
