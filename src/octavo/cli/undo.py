"""`octavo undo`, `redo`, `diff`: what a thread did to files, taken back, brought again, shown."""

import os
import time
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final

import click

from octavo.api.sandbox import state_home
from octavo.api.world import SystemIds
from octavo.cli.words import encodable, one_line
from octavo.config.settings import load_settings
from octavo.policy.paths import printable
from octavo.protocol.content import InputText
from octavo.protocol.errors import UsageError
from octavo.protocol.history import Message
from octavo.protocol.ids import ItemId, ThreadId
from octavo.protocol.wire import JSON
from octavo.store.checkpoints import Checkpoints
from octavo.store.diffs import counted, shown
from octavo.store.disk import DiskStore
from octavo.store.errors import ThreadNotFound
from octavo.store.pending import Pending, read_pending
from octavo.store.rollout import ResponseItem
from octavo.store.snapshot import Limits
from octavo.store.tree import Change
from octavo.store.undo import Plan, Undo, thread_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from octavo.config.schema import Settings

TOLD: Final = {
    "undo": "<undone>\nThe user undid the file changes of {count}: the files are as they were "
    "before. Look at them again before you rely on what you remember.\n</undone>",
    "redo": "<redone>\nThe user brought the file changes of {count} back that had been undone. "
    "Look at the files again before you rely on what you remember.\n</redone>",
    "keep": "<kept>\nThe user kept your changes: they are in the folder now, no more in an "
    "overlay.\n</kept>",
    "drop": "<dropped>\nThe user threw away what you changed in the overlay: the files are as they "
    "were before. Look at them again before you rely on what you remember.\n</dropped>",
}
SIGNS: Final = {(False, True): "+", (True, False): "-", (True, True): "~"}
"""(was there, will be there)"""
JSON_HELP: Final = "One JSON object."


@click.command("undo")
@click.argument("thread", required=False)
@click.option("--turns", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--force", is_flag=True, help="Also files that were changed since the turn ended.")
@click.option("--finish", is_flag=True, help="Complete an undo that was cut off.")
@click.option("--roll-back", is_flag=True, help="Take back what an undo did that was cut off.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def undo(
    thread: str | None,
    *,
    turns: int,
    dry_run: bool,
    force: bool,
    finish: bool,
    roll_back: bool,
    as_json: bool,
) -> None:
    """Put files back as they were before the last turn of THREAD (id or name) that changed any.

    Without THREAD: the newest thread of this folder. Repositories' own folders are left alone.
    """
    here = Here()
    if finish or roll_back:
        if finish and roll_back:
            raise UsageError("--finish and --roll-back contradict each other")
        here.bring_to_end(thread, back=roll_back, force=force)
        return
    found = here.thread(thread)
    change(
        here, found, here.undo.undoing(found, turns), dry_run=dry_run, force=force, as_json=as_json
    )


@click.command("redo")
@click.argument("thread", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--force", is_flag=True, help="Also files that were changed since the undo.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def redo(thread: str | None, *, dry_run: bool, force: bool, as_json: bool) -> None:
    """Take the last undo of THREAD back."""
    here = Here()
    found = here.thread(thread)
    change(here, found, here.undo.redoing(found), dry_run=dry_run, force=force, as_json=as_json)


@click.command("diff")
@click.argument("thread", required=False)
@click.option("--stat", is_flag=True, help="Only count lines.")
def diff(thread: str | None, *, stat: bool) -> None:
    """Show what THREAD changed and what of it is in force, as one diff."""
    here = Here()
    roots = thread_changes(here.checkpoints, here.thread(thread))
    read = here.checkpoints.objects.read
    for root in roots:
        prefix = "" if root.path == here.cwd else root.path.lstrip("/") + "/"
        for one in root.changes:
            if stat:
                click.echo(stat_line(prefix, one, read), nl=False)
            else:
                text = "".join(shown(prefix, one, read))
                click.echo(text.encode("utf-8", "surrogateescape"), nl=False)
        for path, why in root.left:
            click.echo(f"octavo: not shown: {printable(prefix + path)}: {why}", err=True)


class Here:
    """This folder, this home, and what is kept there."""

    def __init__(self) -> None:
        self.home = state_home(os.environ)
        self.cwd = os.path.realpath(os.getcwd())
        loaded = load_settings(home=self.home, cwd=self.cwd, environ=os.environ)
        self.settings: Settings = loaded.settings
        chosen = self.settings.undo
        limits = Limits(max_bytes=chosen.max_bytes, max_file_bytes=chosen.max_file_bytes)
        self.store = DiskStore(self.home, now_ms=now_ms)
        self.checkpoints = Checkpoints(self.home, now_ns=time.time_ns, limits=limits)
        self.ids = SystemIds()
        self.undo = Undo(self.checkpoints, new_id=self.ids.uuid)

    def thread(self, wanted: str | None) -> ThreadId:
        """The thread a person means. Raises ThreadNotFound."""
        if wanted is not None:
            return self.store.resolve(wanted)
        newest = self.store.list(cwd=self.cwd, limit=1)
        if not newest:
            raise ThreadNotFound(
                f"there is no thread in {one_line(self.cwd)} yet", hint="octavo sessions list --all"
            )
        return newest[0].id

    @contextmanager
    def held(self, thread: ThreadId) -> "Iterator[Callable[[str, int], None]]":
        """The thread, while nobody else writes it; the model is told through it."""
        _, log = self.store.open(thread)
        try:

            def tell(kind: str, count: int) -> None:
                text = TOLD[kind].format(count="one turn" if count == 1 else f"{count} turns")
                name = ItemId(f"msg_{self.ids.uuid()}")
                message = Message(id=name, role="user", content=(InputText(text=text),))
                log.append(ResponseItem(message))

            yield tell
        finally:
            log.close()

    def note(self, thread: ThreadId, kind: str, facts: dict[str, object]) -> None:
        """In the audit record."""
        if self.settings.audit.enabled:
            from octavo.store.audit import AuditLog

            log = AuditLog(self.home, thread, now_ms=now_ms, fsync=self.settings.audit.fsync)
            log.add(kind, facts)

    def bring_to_end(self, wanted: str | None, *, back: bool, force: bool) -> None:
        """What was cut off in this folder, or of this thread."""
        found = [one for one in read_pending(self.checkpoints.folder) if self._means(one, wanted)]
        if not found:
            raise UsageError("no undo was cut off here")
        for pending in found:
            with self.held(pending.thread) as tell:
                self.undo.finish(pending, back=back, force=force)
                if not back:
                    tell(pending.kind, len(pending.turns))
            done = "taken back" if back else "completed"
            self.note(pending.thread, pending.kind, {"turns": pending.turns, "ended": done})
            click.echo(f"{pending.kind} of thread {pending.thread}: {done}")

    def _means(self, pending: Pending, wanted: str | None) -> bool:
        if wanted is not None:
            return pending.thread == self.store.resolve(wanted)
        roots = [os.fsdecode(one.path) for one in pending.roots]
        return any(f"{self.cwd}/".startswith(f"{root}/") for root in roots)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def change(
    here: Here,
    thread: ThreadId,
    planning: AbstractContextManager[Plan],
    *,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Undo or redo, said and done."""
    if dry_run:
        with planning as plan:
            say(plan, done=False, as_json=as_json)
        return
    with here.held(thread) as tell, planning as plan:
        refused = bool(plan.conflicts) and not force
        if as_json and refused:
            say(plan, done=False, as_json=True)
        here.undo.carry_out(plan, force=force)
        tell(plan.kind, len(plan.turns))
    here.note(thread, plan.kind, facts_of(plan))
    say(plan, done=True, as_json=as_json)


def facts_of(plan: Plan) -> dict[str, object]:
    """For programs, and for the record."""
    return {
        "turns": list(plan.turns),
        "changes": [
            {"path": os.path.join(root, path), "change": word(before, after)}
            for root, (path, before, after) in plan.changes
        ],
        "conflicts": list(plan.conflicts),
        "left": [{"path": path, "reason": why} for path, why in plan.left],
    }


def word(before: object, after: object) -> str:
    return "add" if before is None else "delete" if after is None else "update"


def say(plan: Plan, *, done: bool, as_json: bool) -> None:
    """One line per path."""
    if as_json:
        facts = {"kind": plan.kind, "thread": plan.thread, "done": done, **facts_of(plan)}
        click.echo(JSON.encode(encodable(facts)).decode())
        return
    several = len(plan.roots) > 1
    for root, (path, before, after) in plan.changes:
        sign = SIGNS[before is not None, after is not None]
        some = after or before
        slash = "/" if some is not None and some.kind == "folder" else ""
        name = os.path.join(root, path) if several else path
        click.echo(f"{sign} {printable(name)}{slash}")
    for path in plan.conflicts:
        click.echo(f"! {printable(path)}: changed since the turn ended")
    for path, why in plan.left:
        click.echo(f"= {printable(path)}: stays as it is: {why}")
    count = len(plan.turns)
    turns = "1 turn" if count == 1 else f"{count} turns"
    what = {"undo": ("undone", "would be undone"), "redo": ("redone", "would be redone")}
    click.echo(f"{turns} {what[plan.kind][0 if done else 1]}, {len(plan.changes)} paths changed")


def stat_line(prefix: str, one: Change, read: "Callable[[bytes], bytes | None]") -> str:
    """A path and how many lines came and went."""
    path, before, after = one
    some = after or before
    if some is None or some.kind == "folder":
        return ""
    count = counted(one, read)
    text = "not counted" if count is None else f"+{count[0]} -{count[1]}"
    return f"{printable(prefix + path)} | {text}\n"
