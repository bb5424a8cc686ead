"""`octavo replay FILE`: the same session again, from what was recorded."""

import os
import sys
from collections.abc import Iterator

import click

from octavo.protocol import events
from octavo.protocol.ids import ThreadId


@click.command("replay")
@click.argument("file", type=click.Path())
@click.option(
    "--json", "as_json", is_flag=True, help="Events as JSON lines, as `exec --json` does."
)
@click.option("-q", "--quiet", is_flag=True, help="Only say whether everything is as it was.")
def command(file: str, *, as_json: bool, quiet: bool) -> int:
    """Play a recording of `octavo exec --record FILE` again.

    No model is asked, nothing is run, nothing is written. Everything the engine says has to be what
    it said then, byte for byte; the first difference is named, and the exit code is 9.
    """
    from octavo.api.recording import play_file

    header, played = play_file(file)
    shown = in_order(played)
    if quiet:
        count = sum(1 for _ in shown)
        click.echo(f"{file}: as recorded, {count} events")
        return 0
    if as_json:
        show_lines(ThreadId(header.thread_id), header.warnings, shown)
        return 0
    from octavo.exec.human import Human
    from octavo.exec.screen import Screen
    from octavo.model.catalog import lookup

    screen = Screen(colour="auto", environ=os.environ)
    human = Human(
        note=screen.note,
        result=screen.result,
        colour=screen.colour,
        streaming=False,
        result_shown=screen.result_shown,
        info=lookup(header.model),
    )
    human.header([("octavo", header.version), *header.facts.items()])
    for warning in header.warnings:
        human.show(events.Warned(message=warning))
    for event in shown:
        human.show(event)
    return 0


def show_lines(thread: ThreadId, warnings: tuple[str, ...], shown: Iterator[events.Event]) -> None:
    """As `exec --json` shows them."""
    from octavo.exec.jsonl import JsonLines

    lines = JsonLines()
    first = [events.ThreadStarted(thread_id=thread)]
    first += [events.Warned(message=text) for text in warnings]  # type: ignore[misc]  # one of the events
    for event in (*first, *shown):
        for line in lines.lines(event):
            sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def in_order(played: Iterator[events.Event]) -> Iterator[events.Event]:
    """An ending after what came of commands that ran on, as `exec` shows it."""
    ending: events.Event | None = None
    for event in played:
        if isinstance(event, events.Ending):
            ending = event
            continue
        if isinstance(event, events.TurnStarted) and ending is not None:
            yield ending
            ending = None
        yield event
    if ending is not None:
        yield ending
