"""Plays the recorded session: real engine, real sandbox, real patch, real test run.

Only the model's words are recorded. The project is made in a temporary folder and removed again.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from octavo.api.engine import Engine
from octavo.api.sandbox import Sandbox
from octavo.exec.human import Human, Write
from octavo.model.recorded import RecordedModel, Recording
from octavo.protocol.errors import OctavoError, SandboxUnavailable
from octavo.protocol.events import TurnCompleted

RECORDED: Final = Path(__file__).with_name("session.json")
CHECK_S: Final = 60


class Session(Recording, frozen=True, kw_only=True):
    """A recording with the project it belongs to."""

    prompt: str
    files: Mapping[str, str]
    check: tuple[str, ...]
    """A command that succeeds when the work is really done; run outside the sandbox, by us."""


class DemoFailedError(OctavoError):
    """The recorded session did not end as it did when it was recorded."""


def recorded() -> Session:
    """The session shipped with the package."""
    return msgspec.json.decode(RECORDED.read_bytes(), type=Session)


async def play(*, note: Write, result: Write, colour: bool, environ: Mapping[str, str]) -> None:
    """Play it. Raises SandboxUnavailable here without a sandbox, DemoFailedError when it went wrong."""
    session = recorded()
    with tempfile.TemporaryDirectory(prefix="octavo-demo-") as folder:
        project, home = make_project(Path(folder), session.files)
        outside = {
            **{key: value for key, value in environ.items() if not key.startswith(("OCTAVO_", "CODEX_"))},
            "HOME": str(home),
            "SHELL": "/bin/sh",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}",
        }  # fmt: skip
        view = Human(note=note, result=result, colour=colour, streaming=False, result_shown=True)
        async with Engine.open(model=RecordedModel(session), home=home, environ=outside) as engine:
            thread = await engine.start_thread(
                cwd=project, sandbox=Sandbox.workspace_write(), source="demo"
            )
            note(f"> {session.prompt}\n\n")
            ending: Any = None
            async with thread.stream(session.prompt) as turn:
                async for event in turn:
                    view.show(event)
                    ending = event
        verify(session, project, ending)


def make_project(folder: Path, files: Mapping[str, str]) -> tuple[Path, Path]:
    """The sample project, with an empty repository so that there is a `.git` to protect; a home."""
    project, home = folder / "project", folder / "home"
    home.mkdir()
    (project / ".git" / "hooks").mkdir(parents=True)
    (project / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    for name, text in files.items():
        (project / name).write_text(text)
    return project, home


def verify(session: Session, project: Path, ending: object) -> None:
    """The tests pass now, and what was refused is not there."""
    if not isinstance(ending, TurnCompleted):
        raise SandboxUnavailable("the session did not get to its end", hint="octavo doctor")
    try:
        done = subprocess.run(
            [sys.executable, "-B", *session.check[1:]], cwd=project, capture_output=True,
            text=True, timeout=CHECK_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DemoFailedError(f"the tests could not be run: {error}") from error
    if done.returncode:
        raise DemoFailedError(f"the tests still fail: {done.stderr.strip()[-300:]}")
    if (project / ".git/hooks/pre-commit").exists():
        raise DemoFailedError("a commit hook was written: the sandbox did not hold")
