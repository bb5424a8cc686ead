"""`octavo audit verify|report`: the record of what was done, checked and read."""

import os
import time
from collections import Counter
from typing import Final

import click

from octavo.api.sandbox import state_home
from octavo.cli.words import encodable, one_line
from octavo.protocol.wire import JSON
from octavo.store.audit import Entry, audit_path, entries, records, verify
from octavo.store.disk import DiskStore
from octavo.store.errors import StoreError

BROKEN: Final = 1


@click.group("audit")
def audit() -> None:
    """Check and read the record of what threads did."""


@audit.command("verify")
@click.argument("wanted", required=False, metavar="[FILE|THREAD]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record.")
def verify_records(wanted: str | None, *, as_json: bool) -> int:
    """Check a record, or all of them: nothing edited, removed, moved or cut off.

    Ends with 1 when something is wrong, and names the first line that is.
    """
    broken = False
    paths = [path_of(wanted)] if wanted is not None else list(records(state_home(os.environ)))
    if not paths:
        raise StoreError("there is no audit record yet, so nothing was checked")
    for path in paths:
        if not os.path.exists(path) and wanted is None:
            found: dict[str, object] = {"path": path, "lines": 0, "problem": "the file is gone"}
        else:
            checked = verify(path)
            found = {
                "path": path,
                "lines": checked.lines,
                "broken_line": checked.broken_line,
                "problem": checked.problem,
                "note": checked.note,
            }
        broken = broken or found.get("problem") is not None
        click.echo(JSON.encode(encodable(found)).decode() if as_json else sentence(found))
    return BROKEN if broken else 0


def sentence(found: dict[str, object]) -> str:
    """What a check found, on one line."""
    path = one_line(str(found["path"]))
    if found.get("problem") is not None:
        at = found.get("broken_line")
        where = "" if at is None else f"line {at} "
        return f"BROKEN  {path}: {where}{found['problem']}"
    note = f" ({found['note']})" if found.get("note") else ""
    return f"whole   {path}: {found['lines']} lines{note}"


@audit.command("report")
@click.argument("wanted", required=False, metavar="[FILE|THREAD]")
@click.option("--json", "as_json", is_flag=True, help="The lines themselves.")
def report(wanted: str | None, *, as_json: bool) -> None:
    """Say what THREAD did: commands, files, hosts, decisions. Default: this folder's newest."""
    path = path_of(wanted) if wanted is not None else newest()
    found = list(entries(path))
    if as_json:
        for entry in found:
            click.echo(JSON.encode(entry).decode())
        return
    counts = Counter(entry.kind for entry in found)
    for entry in found:
        click.echo(line(entry))
    click.echo(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing")


def line(entry: Entry) -> str:
    """One thing that was done."""
    facts = entry.facts
    match entry.kind:
        case "command" | "start":
            argv = facts.get("argv")
            words = " ".join(str(one) for one in argv) if isinstance(argv, list) else ""
            code = facts.get("exit_code")
            text = f"{words} -> {facts.get('status')} {code}" if entry.kind == "command" else words
        case "file_change":
            files = facts.get("files")
            rows = files if isinstance(files, list) else []
            text = f"{facts.get('status')}: " + ", ".join(
                f"{one.get('change')} {one.get('path')}" for one in rows if isinstance(one, dict)
            )
        case "decision":
            argv = facts.get("argv") or facts.get("paths") or []
            words = " ".join(str(one) for one in argv) if isinstance(argv, list) else ""
            text = f"{facts.get('decision')} by {facts.get('by')}: {words}"
        case "host":
            text = f"{facts.get('verdict')} {facts.get('host')}"
        case _:
            text = ", ".join(f"{key} {value}" for key, value in facts.items())
    rule = f"  [{facts['rule']}]" if facts.get("rule") else ""
    return one_line(f"{entry.n:>5}  {entry.at}  {entry.kind:<11}  {text}{rule}")


def path_of(wanted: str) -> str:
    """The file of a record, by its name or by its thread. Raises StoreError."""
    if os.path.sep in wanted or os.path.exists(wanted):
        return wanted
    home = state_home(os.environ)
    path = audit_path(home, store(home).resolve(wanted))
    if not os.path.exists(path):
        raise StoreError(f"thread {wanted} has no audit record")
    return path


def newest() -> str:
    """The record of the newest thread of this folder. Raises StoreError."""
    home = state_home(os.environ)
    found = store(home).list(cwd=os.path.realpath(os.getcwd()), limit=1)
    path = audit_path(home, found[0].id) if found else ""
    if not found or not os.path.exists(path):
        raise StoreError("no thread of this folder has an audit record")
    return path


def store(home: str) -> DiskStore:
    return DiskStore(home, now_ms=lambda: time.time_ns() // 1_000_000)
