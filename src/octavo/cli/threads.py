"""`octavo sessions list|search`, `archive`, `unarchive`, `delete`: threads without a model."""

import os
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from octavo.api.sandbox import state_home
from octavo.cli.words import one_line
from octavo.protocol.wire import JSON
from octavo.store.disk import DiskStore

if TYPE_CHECKING:
    from octavo.store.base import ThreadInfo


@click.group("sessions")
def sessions() -> None:
    """List and search the threads on this machine."""


@sessions.command("list")
@click.option("--all", "everywhere", is_flag=True, help="Threads of every folder.")
@click.option("--archived", is_flag=True, help="Those that were put aside.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_sessions(*, everywhere: bool, archived: bool, limit: int, as_json: bool) -> None:
    """Show the threads of this folder, the one last used first."""
    cwd = None if everywhere else os.path.realpath(os.getcwd())
    show(store().list(cwd=cwd, archived=archived, limit=limit), as_json=as_json)


@sessions.command("search")
@click.argument("words", nargs=-1, required=True)
@click.option("--archived", is_flag=True, help="Among those that were put aside.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def search_sessions(words: tuple[str, ...], *, archived: bool, limit: int, as_json: bool) -> None:
    """Show the threads of every folder in which all WORDS, or their beginnings, were said."""
    found = store().list(archived=archived, search=" ".join(words), limit=limit)
    show(found, as_json=as_json)


@click.command("archive")
@click.argument("thread")
def archive(thread: str) -> None:
    """Put THREAD (id or name) aside."""
    there = store()
    there.archive(there.resolve(thread))


@click.command("unarchive")
@click.argument("thread")
def unarchive(thread: str) -> None:
    """Bring THREAD (id or name) back."""
    there = store()
    there.unarchive(there.resolve(thread))


@click.command("delete")
@click.argument("thread")
def delete(thread: str) -> None:
    """Remove THREAD (id or name) for good."""
    there = store()
    there.delete(there.resolve(thread))


def store() -> DiskStore:
    """The threads of this user."""
    return DiskStore(state_home(os.environ), now_ms=lambda: time.time_ns() // 1_000_000)


def show(found: "tuple[ThreadInfo, ...]", *, as_json: bool) -> None:
    """One line per thread."""
    for info in found:
        click.echo(JSON.encode(info).decode() if as_json else line(info))


def line(info: "ThreadInfo") -> str:
    """A thread as a person reads it: id, when it was last used, what it is about."""
    when = datetime.fromtimestamp(info.updated_ms / 1000).astimezone()
    about = info.name or info.preview or "(nothing said yet)"
    return f"{info.id}  {when:%Y-%m-%d %H:%M}  {one_line(about)}"
