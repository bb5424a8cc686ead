"""`octavo apply-patch [PATCH]`: change files as a patch says, all of them or none."""

import os
import sys
from typing import Final

import click

from octavo.cli.words import one_line
from octavo.patch.parse import parse
from octavo.patch.plan import plan
from octavo.patch.refusal import PatchRefused
from octavo.patch.report import notes, success
from octavo.tools.disk import Resolver, read_file, work_of
from octavo.tools.write_files import Failed, write_files

FAILURE: Final = 1


@click.command("apply-patch")
@click.argument("patch", required=False, metavar="[PATCH]")
def command(patch: str | None) -> int:
    """Apply PATCH, or the patch on standard input, to files below the current folder.

    \b
    *** Begin Patch
    *** Update File: greeting.txt
    @@
    -hello
    +good morning
    *** End Patch

    Prints `A`, `M` or `D` with the path of each file. Exit codes: 0 all done, 1 nothing was
    changed (standard error says why), 2 wrong use.
    """
    text = given() if patch is None else patch
    try:
        planned = plan(parse(text), read_file, resolve=Resolver(os.getcwd()))
        write_files(work_of(planned.files))
    except PatchRefused as refusal:
        return refused(str(refusal), refusal.hint)
    except Failed as failure:
        return refused(f"nothing was changed: {failure}", None)
    say(success(planned), err=False)
    if planned.notes:
        say(notes(planned), err=True)
    return 0


def given() -> str:
    """The patch on standard input. Raises click.UsageError when there is none."""
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("no patch: give it as the argument or on standard input")
    text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    if not text.strip():
        raise click.UsageError("the patch on standard input is empty")
    return text


def refused(text: str, hint: str | None) -> int:
    """Say why on standard error: the first line as all errors look, the quoted lines below it."""
    first, *rest = text.split("\n")
    say("\n".join([f"octavo: {one_line(first)}", *map(one_line, rest)]), err=True)
    if hint:
        say(f"octavo: what helps: {one_line(hint)}", err=True)
    return FAILURE


def say(text: str, *, err: bool) -> None:
    """Print text that may hold bytes which are no letters."""
    click.echo(text.encode("utf-8", "surrogateescape").rstrip(b"\n"), err=err)
