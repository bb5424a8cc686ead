"""Reviews of changes: a thread of its own looks at them, reads everything and changes nothing.

>>> result = await thread.review(Uncommitted())
"""

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from octavo.api.options import ThreadOptions
from octavo.engine.review import (
    RUBRIC,
    SCHEMA,
    BaseBranch,
    Commit,
    Custom,
    Target,
    Uncommitted,
    prompt_for,
)
from octavo.engine.reviewing import Hear, Reviewed
from octavo.process.child import StartError
from octavo.process.run import run, start
from octavo.process.spec import Pipes, ProcessSpec
from octavo.protocol import events
from octavo.protocol.errors import UsageError
from octavo.protocol.items import CodeLocation, Finding, LineRange, Review

if TYPE_CHECKING:
    from octavo.api.engine import Engine

__all__ = [
    "BaseBranch",
    "CodeLocation",
    "Commit",
    "Custom",
    "Finding",
    "LineRange",
    "Review",
    "Target",
    "Uncommitted",
]

GIT: Final = (
    "git", "--no-pager", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c",
    f"core.hooksPath={os.devnull}", "-c", "log.showSignature=false", "-c", "protocol.allow=never",
)  # fmt: skip
"""Git as a reader: no hooks, no helpers, no locks, no network."""
GIT_S: Final = 10.0
GIT_BYTES: Final = 64 * 1024
PASSED_ON: Final = (
    "PATH", "HOME", "TMPDIR",
    "SYSTEMROOT", "PATHEXT", "USERPROFILE", "TEMP", "TMP",  # the same on Windows
)  # fmt: skip
SHA: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


async def reviewed(
    engine: "Engine",
    target: Target,
    own: ThreadOptions,
    *,
    parent: str,
    cwd: str,
    model: str,
    environ: Mapping[str, str],
    hear: Hear,
) -> Reviewed:
    """Have a target reviewed; `hear` is told what the reviewer does. `own`: the thread's options.

    Raises SandboxUnavailable when its commands could not be confined, and so saw nothing.
    """
    target = await looked_up(target, cwd, environ)
    options = ThreadOptions(
        overlay_of=own.overlay_of,
        cwd=cwd,
        sandbox=own.sandbox,
        model=engine.settings(cwd).settings.review_model or model,
        ephemeral=own.ephemeral,
        source="subagent",
        meter=own.meter,
        depth=own.depth + 1,
        parent=parent,
        base_instructions=RUBRIC,
        flags={**own.flags, "web_search": "disabled"},
        reviewing=True,
    )
    thread = await engine.open_thread(options)
    ending: events.Ending | None = None
    try:
        for warning in thread.warnings:
            hear(events.Warned(message=warning))
        async with thread.stream(prompt_for(target), output_schema=SCHEMA) as turn:
            async for event in turn:
                hear(event)
                if isinstance(event, events.Ending):
                    ending = event
        if thread.sandbox_problem is not None:
            raise thread.sandbox_problem
    finally:
        await thread.close()
    assert ending is not None
    return Reviewed(target=target, ending=ending, usage=thread.usage)


def checked(target: Target) -> Target:
    """The target, if it can be one. Raises UsageError: empty words, a name that is an option."""
    match target:
        case BaseBranch(branch=name) | Commit(sha=name):
            wrong = not name.strip() or name.startswith("-") or not name.isprintable()
            if wrong or " " in name:
                raise UsageError(f"{name!r} names no branch and no commit")
        case Custom(instructions=text) if not text.strip():
            raise UsageError("say what is to be reviewed")
        case _:
            pass
    return target


async def looked_up(target: Target, cwd: str, environ: Mapping[str, str]) -> Target:
    """The target with what git knows about it; as it is where git knows nothing."""
    match target:
        case BaseBranch(branch=branch, merge_base=None):
            found = await git(cwd, environ, "merge-base", "HEAD", branch)
            return replace(target, merge_base=found if SHA.fullmatch(found) else None)
        case Commit(sha=sha, title=None):
            found = await git(cwd, environ, "log", "-1", "--no-color", "--format=%s", sha, "--")
            title = found.split("\n", 1)[0].strip()
            return replace(target, title=title if title.isprintable() and title else None)
        case _:
            return target


async def git(cwd: str, environ: Mapping[str, str], *words: str) -> str:
    """What git prints, without the last newline; empty when it fails, is missing or too slow."""
    env = {name: environ[name] for name in PASSED_ON if name in environ}
    env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    spec = ProcessSpec(
        argv=(*GIT, *words), env=env, cwd=cwd, stdio=Pipes(stdin=False, merge_stderr=False)
    )
    try:
        done = await run(await start(spec), timeout_s=GIT_S)
    except StartError:
        return ""
    text = done.stdout.text()
    good = done.status.ok and not done.timed_out and len(text) <= GIT_BYTES
    return text.strip("\n") if good else ""
