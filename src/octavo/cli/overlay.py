"""`octavo keep`, `octavo drop`: what becomes of changes that a thread made in an overlay."""

import click

from octavo.cli.undo import JSON_HELP, Here
from octavo.cli.words import encodable
from octavo.policy.paths import printable
from octavo.protocol.errors import UsageError
from octavo.protocol.ids import ThreadId, TurnId
from octavo.protocol.wire import JSON
from octavo.store.errors import StoreError
from octavo.store.keep import Keeping, planned
from octavo.store.keep import keep as carry_out
from octavo.store.overlay import Overlay, find
from octavo.store.overlay import drop as remove

KEPT = "kept"


@click.command("keep")
@click.argument("thread", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--force", is_flag=True, help="Also files that were changed in the folder meanwhile.")
@click.option("--no-undo", is_flag=True, help="Without file states for `octavo undo`.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def keep(thread: str | None, *, dry_run: bool, force: bool, no_undo: bool, as_json: bool) -> None:
    """Bring what THREAD (id or name) changed in its overlay into the folder.

    Without THREAD: the newest thread of this folder. `octavo undo` takes it back.
    """
    here = Here()
    found = here.thread(thread)
    overlay = overlay_of(here, found)
    if dry_run:
        say(overlay, planned(overlay), done=False, as_json=as_json)
        return
    store = here.checkpoints if here.settings.undo.enabled and not no_undo else None
    with here.held(found) as tell:
        if as_json and not force and (plan := planned(overlay)).conflicts:
            say(overlay, plan, done=False, as_json=True)
        turn = TurnId(here.ids.uuid())
        try:
            plan = carry_out(store, overlay, turn=turn, force=force)
        except StoreError as wrong:
            if store is not None and wrong.hint is None:
                wrong.hint = "--no-undo keeps without file states"
            raise
        tell("keep", 1)
    here.note(found, "keep", {"changes": [list(one) for one in plan.changes], "force": force})
    say(overlay, plan, done=True, as_json=as_json)


@click.command("drop")
@click.argument("thread", required=False)
def drop(thread: str | None) -> None:
    """Throw away what THREAD (id or name) changed in its overlay; the folder is as it was.

    Without THREAD: the newest thread of this folder.
    """
    here = Here()
    found = here.thread(thread)
    overlay = overlay_of(here, found)
    with here.held(found) as tell:
        remove(overlay)
        tell("drop", 1)
    here.note(found, "drop", {})
    click.echo(f"dropped: the changes of thread {found} in {printable(overlay.workspace)}")


def overlay_of(here: Here, thread: ThreadId) -> Overlay:
    """The overlay of a thread. Raises UsageError when there is none."""
    found = find(here.home, thread)
    if found is None:
        raise UsageError(
            f"thread {thread} has no overlay that could be kept or dropped",
            hint="`octavo exec --overlay` makes one; `octavo diff` shows other changes",
        )
    return found


def say(overlay: Overlay, plan: Keeping, *, done: bool, as_json: bool) -> None:
    """One line per path."""
    if as_json:
        facts = {
            "kind": "keep",
            "thread": overlay.thread,
            "done": done,
            "changes": [{"change": sign, "path": path} for sign, path in plan.changes],
            "conflicts": list(plan.conflicts),
            "left": list(plan.left),
        }
        click.echo(JSON.encode(encodable(facts)).decode())
        return
    for sign, path in plan.changes:
        click.echo(f"{sign} {printable(path)}")
    for path in plan.conflicts:
        click.echo(f"! {printable(path)}: changed in the folder since the overlay began")
    for path in plan.left:
        click.echo(f"= {printable(path)}: no file, folder or link: stays behind")
    click.echo(f"{len(plan.changes)} paths {KEPT if done else 'would be kept'}")
