"""`octavo doctor`: one line per fact, one remedy per problem. The same probe the sandbox uses."""

import os
import platform
import sys

import click
import msgspec

from octavo._version import __version__
from octavo.api.sandbox import state_home
from octavo.cli.facts import Fact, show
from octavo.protocol.errors import ConfigError


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as a JSON array.")
def command(*, as_json: bool) -> int:
    """Say what this machine can enforce, by trying it, and what would help.

    Exit code 0 when commands can be confined, 5 when they cannot.
    """
    facts = [*general(), *home(), *sandbox_facts()]
    if as_json:
        click.echo(msgspec.json.encode(facts))
    else:
        for fact in facts:
            show(fact)
    return 5 if any(fact.state == "problem" for fact in facts) else 0


def general() -> list[Fact]:
    system = f"{platform.system()} {platform.release()} on {platform.machine()}"
    return [
        Fact(name="octavo", state="info", text=__version__),
        Fact(name="python", state="info", text=f"{platform.python_version()} ({sys.executable})"),
        Fact(name="system", state="info", text=system),
    ]


def home() -> list[Fact]:
    """Can the journal of changes to this machine be written?"""
    try:
        folder = state_home(os.environ)
    except ConfigError as problem:
        return [Fact(name="home", state="problem", text=str(problem), remedy=problem.hint or "")]
    existing = folder
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if os.access(existing, os.W_OK | os.X_OK):
        return [Fact(name="home", state="ok", text=folder)]
    return [
        Fact(
            name="home",
            state="weak",
            text=f"{folder} cannot be written: workspace-write will be refused where protected folders are missing",
            remedy="set OCTAVO_HOME to a folder this user can write",
        )
    ]


def sandbox_facts() -> list[Fact]:
    if sys.platform == "linux":
        from octavo.cli.doctor_linux import facts

        return facts()
    elif sys.platform == "darwin":  # noqa: RET505 - the checker takes only a chain for platforms
        from octavo.cli.sandbox_macos import facts as macos_facts

        return macos_facts()
    elif sys.platform == "win32":
        from octavo.cli.sandbox_windows import facts as windows_facts

        return windows_facts()
    else:
        text = f"this version has none for {sys.platform}"
        return [Fact(name="sandbox", state="problem", text=text, remedy="use Linux or macOS")]
