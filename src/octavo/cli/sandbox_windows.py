"""`octavo sandbox setup`, `uninstall`, `doctor` and `windows status | undo | smoke`."""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import click
import msgspec

from octavo._version import __version__
from octavo.api.sandbox import state_home
from octavo.cli.facts import Fact, show
from octavo.cli.words import one_line
from octavo.config.windows import windows_tables
from octavo.protocol.errors import SandboxUnavailable, UsageError

if TYPE_CHECKING:
    from octavo.sandbox.windows.plan import Level
    from octavo.sandbox.windows.setup import Payload

P = ParamSpec("P")
R = TypeVar("R")
WORDS: Final = ("setup", "uninstall", "doctor")
"""Commands that stand directly after `sandbox`."""
MORE: Final = ("status", "undo", "smoke")
"""Commands that stand after `sandbox windows`."""
BACKENDS: Final = ("unelevated", "elevated")
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")


def not_windows() -> UsageError:
    """These commands are about Windows' own accounts and access lists."""
    return UsageError("this is not windows")


def on_windows(work: Callable[P, R]) -> Callable[P, R]:
    """Refused elsewhere, before anything is read."""

    @wraps(work)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        tools()
        return work(*args, **kwargs)

    return checked


def tools() -> tuple[Any, Any, Any]:
    """Set-up, what doctor looks at, taking entries back. Raises UsageError elsewhere."""
    if sys.platform == "win32":
        from octavo.sandbox.backends import windows_tools

        return windows_tools()
    else:  # noqa: RET505 - the checker takes only an else for the other platforms
        raise not_windows()


def said(text: str) -> None:
    """One line on stderr."""
    click.echo(f"octavo: {one_line(text)}", err=True)


@click.group("sandbox")
def command() -> None:
    """What the sandbox needs on Windows, besides commands to run."""


# Set-up ------------------------------------------------------------------------------------------


@command.command("setup")
@click.option(
    "--elevated", is_flag=True, help="Do not prompt: this terminal is an administrator's."
)
@click.option("--current-user", is_flag=True, help="With --elevated: for who is signed in.")
@click.option("--user", metavar="NAME", help="With --elevated: for somebody else, DOMAIN\\name.")
@click.option("--home", metavar="DIR", help="With --user: Octavo's folder of that user.")
@on_windows
def setup_command(*, elevated: bool, current_user: bool, user: str | None, home: str | None) -> int:
    """Make the accounts, firewall rules and filters of the elevated sandbox.

    Windows asks once for an administrator. With --elevated nothing is asked; use it to prepare
    machines for others.
    """
    for_user, for_home = chosen_user(
        elevated=elevated, current_user=current_user, user=user, home=home
    )
    elevate, *_ = tools()
    payload: Payload = elevate.provision(for_home)
    mode = "provision-only" if elevated else payload.mode
    name = for_user or payload.real_user
    payload = replaced(payload, mode=mode, real_user=name)
    elevate.set_up(payload, os.environ, prompt=not elevated)
    said(f"the elevated sandbox is set up for {name}")
    said('to use it: windows.sandbox = "elevated" in the settings')
    return 0


def replaced(payload: "Payload", **what: Any) -> "Payload":  # noqa: ANN401 - fields of the payload
    from dataclasses import replace

    return replace(payload, **what)


def chosen_user(
    *, elevated: bool, current_user: bool, user: str | None, home: str | None
) -> tuple[str | None, str]:
    """(name, home) of whom it is for; no name: who is signed in. Raises UsageError."""
    if not elevated:
        if current_user or user or home:
            raise UsageError("--current-user, --user and --home go with --elevated")
        return None, absolute(state_home(os.environ))
    if current_user == (user is not None):
        raise UsageError("--elevated takes --current-user, or --user NAME --home DIR")
    if (user is None) != (home is None):
        raise UsageError("--user NAME and --home DIR go together")
    if user is None or home is None:
        return None, absolute(state_home(os.environ))
    if not os.path.isabs(home):
        raise UsageError(f"--home {home}: not an absolute path")
    return user, os.path.normpath(home)


def absolute(path: str) -> str:
    return os.path.abspath(path)


@command.command("uninstall")
@click.option("--keep-entries", is_flag=True, help="Leave access entries on your folders.")
@on_windows
def uninstall_command(*, keep_entries: bool) -> int:
    """Remove accounts, walls, copies and credentials; first every access entry on your folders."""
    home = absolute(state_home(os.environ))
    elevate, _, undo = tools()
    if not keep_entries and os.path.isdir(home):
        code = undone(undo.undo(home), as_json=False)
        if code:
            said("nothing else was removed; --keep-entries goes on without this")
            return code
    elevate.set_up(replaced(elevate.provision(home), mode="uninstall"), os.environ)
    said("accounts, firewall rules, filters and copies are removed")
    return 0


# Doctor ------------------------------------------------------------------------------------------


@command.command("doctor")
@JSON
@on_windows
def doctor_command(*, as_json: bool) -> int:
    """Say what keeps the sandbox from working here, and what repairs it.

    Exit code 0 when commands can be confined, 5 when they cannot.
    """
    found = facts(click.get_current_context().find_object(list) or ())
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        for fact in found:
            show(fact)
    return 5 if any(fact.state == "problem" for fact in found) else 0


def facts(overrides: Sequence[str] = ()) -> list[Fact]:
    """What was found out, for `octavo doctor` too."""
    _, doctor, _ = tools()
    home = absolute(state_home(os.environ))
    return [
        Fact(name=each.name, state=each.state, text=each.text, remedy=each.repair)
        for each in doctor.examine(home, os.getcwd(), chosen_level(overrides))
    ]


def chosen_level(overrides: Sequence[str] = ()) -> "Level":
    """What the settings say. Raises ConfigError for a value that is none."""
    from octavo.sandbox.windows.levels import level

    return level(*windows_tables(state_home(os.environ), overrides=overrides))


# Status, undo, smoke -----------------------------------------------------------------------------


@command.group("windows")
def windows() -> None:
    """Access entries on your folders, and a test of the whole sandbox."""


@windows.command("status")
@JSON
@on_windows
def status_command(*, as_json: bool) -> int:
    """List every access entry and every folder Octavo ever made and has not taken back."""
    *_, undo = tools()
    shown_status(undo.status(absolute(state_home(os.environ))), as_json=as_json)
    return 0


def shown_status(found: Any, *, as_json: bool) -> None:  # noqa: ANN401 - `windows.undo.Status`
    """What is left, for people or programs."""
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for each in found.left:
        what = [f"{len(each.entries)} entries"] if each.entries else []
        what += ["made by Octavo"] if each.created else []
        if each.unreadable is not None:
            what.append(each.unreadable.text)
        click.echo(f"{each.path}: {', '.join(what)} ({each.why})")
    click.echo(f"{found.entries} entries on {len(found.left)} paths")
    if found.running:
        said(f"commands that run now depend on {len(found.running)} paths")
    if found.torn:
        said("the journal's last line was cut short by a crash; nothing had been done for it")


@windows.command("undo")
@JSON
@on_windows
def undo_command(*, as_json: bool) -> int:
    """Take every access entry back, and remove what was made, where it is empty."""
    *_, undo = tools()
    return undone(undo.undo(absolute(state_home(os.environ))), as_json=as_json)


def undone(report: Any, *, as_json: bool) -> int:  # noqa: ANN401 - `windows.undo.Report`
    """Tell it; 0 when nothing failed."""
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        for path in report.undone:
            click.echo(f"undone: {path}")
        for path in report.removed:
            click.echo(f"removed: {path}")
        for path in report.stays:
            click.echo(f"kept, something is in it now: {path}")
        if not (report.undone or report.removed or report.stays or report.problems):
            click.echo("there was nothing to take back")
    for each in report.problems:
        said(each.text)
        said(f"what helps: {each.repair}")
    return SandboxUnavailable.exit_code if report.problems else 0


@windows.command("smoke")
@click.option("--backend", type=click.Choice((*BACKENDS, "both")), default="unelevated")
@click.option("--row", "numbers", multiple=True, metavar="NUMBER", help="Only this one.")
@click.option("--json", "file", metavar="FILE", help="Also write the results there.")
@click.option("--gui", is_flag=True, help="Also try what opens a window.")
@on_windows
def smoke_command(*, backend: str, numbers: tuple[str, ...], file: str | None, gui: bool) -> int:
    """Try what the sandbox has to hold, on this machine, and print a table.

    Everything happens in new folders. The elevated backend is set up for a home of its own:
    afterwards your own home has to be set up again.

    Exit code 0 when every row that could be tried passed, 1 otherwise.
    """
    from octavo.cli import sandbox_smoke
    from octavo.sandbox.windows.smoke_rows import ROWS

    unknown = set(numbers) - {row.number for row in ROWS}
    if unknown:
        raise UsageError(f"--row {min(unknown)}: there is no such row")
    rows = [row for row in ROWS if not numbers or row.number in numbers]
    objects: dict[str, Any] = {}
    bad = False
    for each in BACKENDS if backend == "both" else (backend,):
        click.echo(f"{each}:")
        results = smoked(rows, each, gui=gui)
        objects[each] = sandbox_smoke.as_object(results)
        click.echo(sandbox_smoke.summary(results))
        bad = (
            bad
            or any(one.passed is False for one in results)
            or not any(one.passed for one in results)
        )
    if file is not None:
        write_json(file, {"octavo": __version__, "python": sys.version, "backends": objects})
    return 1 if bad else 0


def write_json(file: str, value: object) -> None:
    try:
        with open(file, "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
    except OSError as error:
        raise UsageError(f"--json {file}: {error.strerror}") from error


def smoked(rows: Any, backend: str, *, gui: bool) -> Any:  # noqa: ANN401 - rows in, results out
    """The rows under one backend, in a folder that is gone afterwards."""
    from octavo.cli import sandbox_smoke as smoke

    have = {*smoke.needs_of_machine(), backend, *(("gui",) if gui else ())}
    with tempfile.TemporaryDirectory(prefix="octavo-smoke-", ignore_cleanup_errors=True) as made:
        folder = os.path.realpath(made)
        home = os.path.join(folder, "home")
        os.mkdir(home)
        if backend == "elevated":
            elevate, *_ = tools()
            elevate.set_up(elevate.provision(home), os.environ)
        bench = smoke.Bench(
            folder=folder,
            home=home,
            backend=backend,
            options=("-c", f'windows.sandbox="{backend}"'),
            environ=dict(os.environ),
            python=getattr(sys, "_base_executable", sys.executable),
            have=frozenset(have),
        )
        return smoke.smoke(rows, bench, lambda result: click.echo(smoke.line(result)))
