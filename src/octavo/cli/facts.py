"""What `doctor` finds out."""

from typing import Final, Literal

import click
from msgspec import Struct

State = Literal["ok", "weak", "problem", "info"]


class Fact(Struct, frozen=True, kw_only=True):
    """One thing that was found out."""

    name: str
    state: State
    text: str
    remedy: str = ""


MARKS: Final = {"ok": "ok", "weak": "weak", "problem": "PROBLEM", "info": "info"}
COLOURS: Final = {"ok": "green", "weak": "yellow", "problem": "red", "info": "blue"}


def show(fact: Fact) -> None:
    """A line for a person, and one with what helps."""
    mark = click.style(f"{MARKS[fact.state]:8}", fg=COLOURS[fact.state])
    click.echo(f"{mark}{fact.name}: {fact.text}")
    if fact.remedy:
        click.echo(f"{'':8}what helps: {fact.remedy}")
