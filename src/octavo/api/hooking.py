"""The hooks of a thread, from its settings: loaded only where somebody has written some."""

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from msgspec import Struct

from octavo.config.hook_trust import changed
from octavo.config.hooks import load_hooks
from octavo.config.settings import Loaded
from octavo.engine.hook_match import Told
from octavo.engine.hook_runner import Background, HookRunner
from octavo.engine.hooks import SessionHooks
from octavo.protocol.ids import ThreadId

FOLDER: Final = "hook_context"
"""In the home: context that was too long for the model."""


class Hooked(Struct, frozen=True, kw_only=True):
    """The hooks that run, and what users should know about the rest."""

    hooks: SessionHooks | None
    warnings: tuple[str, ...]


def hooked(
    loaded: Loaded,
    *,
    environment: Mapping[str, str],
    group: asyncio.TaskGroup,
    thread_id: ThreadId,
    model: str,
    approval: str,
    somebody: bool,
    transcript: str | None,
    resumed: bool,
    bypass: bool,
) -> Hooked:
    """The hooks for work in a folder. `bypass`: without asking who reviewed them; `somebody`: there
    is an approver besides hooks.

    Raises ConfigError for hooks that are written wrongly.
    """
    found = load_hooks(loaded)
    notice = found.notice(bypass=bypass)
    warnings = (*found.warnings, *(() if notice is None else (notice,)))
    hooks = found.runnable(bypass=bypass)
    if not hooks:
        return Hooked(hooks=None, warnings=warnings)
    asked = somebody or any(hook.event == "PermissionRequest" for hook in hooks)
    runner = HookRunner(cwd=loaded.cwd, environment=environment, check=changed)
    kept = Kept(os.path.join(loaded.home, FOLDER, thread_id))
    session = SessionHooks(
        hooks,
        runner,
        Background(runner, group),
        told=Told(
            session_id=thread_id,
            cwd=loaded.cwd,
            model=model,
            permission_mode="default" if asked and approval != "never" else "bypassPermissions",
            transcript_path=transcript,
        ),
        keep=kept,
        forget=kept.remove if transcript is None else None,
        resumed=resumed,
    )
    return Hooked(hooks=session, warnings=warnings)


class Kept:
    """Writes long texts into a folder, one file each."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._number = 0

    def __call__(self, text: str) -> str | None:
        """Where the text is; None when there is no room for it."""
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            while True:
                self._number += 1
                path = os.path.join(self._folder, f"{self._number}.txt")
                try:
                    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                except FileExistsError:
                    continue
                with open(descriptor, "wb") as file:
                    file.write(text.encode("utf-8", "replace"))
                return path
        except OSError:
            return None

    def remove(self) -> None:
        """Everything that was written."""
        for number in range(1, self._number + 1):
            with suppress(OSError):
                os.unlink(os.path.join(self._folder, f"{number}.txt"))
        with suppress(OSError):
            os.rmdir(self._folder)
