"""Stale credentials of a sandbox account: when they are made anew, and what is then tried again.

Pure. Exactly once, with the same request: the value that started the first attempt starts the
second, so that nothing (above all: whether a proxy is enforced) can change in between.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox.windows.frames import SpawnRequest
from octavo.sandbox.windows.plan import Identity

WRONG_PASSWORD: Final = 1326
NO_LOGON_SESSION: Final = 1312
ACCOUNT_DISABLED: Final = 1331
INSTANCE_RUNNING: Final = 1056

Where = Literal["logon", "read_spawn_request", "spawn_child", "write_spawn_ready", "run"]
Next = Literal["give up", "same credentials", "new credentials"]

REFRESHABLE: Final[dict[str, frozenset[int]]] = {
    "logon": frozenset({WRONG_PASSWORD, NO_LOGON_SESSION, ACCOUNT_DISABLED}),
    "spawn_child": frozenset({WRONG_PASSWORD, NO_LOGON_SESSION}),
}
"""By where the error appeared; "logon" is the start of the runner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything both attempts need. Immutable: the retry takes this very value."""

    request: SpawnRequest
    identity: Identity
    proxy_enforced: bool
    read_roots: tuple[str, ...] = ()
    write_roots: tuple[str, ...] = ()
    deny_read_paths: tuple[str, ...] = ()
    deny_write_paths: tuple[str, ...] = ()
    proxy_ports: tuple[int, ...] = ()
    allow_local_binding: bool = False
    private_desktop: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """How an attempt ended before the command ran."""

    where: Where
    code: int | None
    """Windows' number."""


class AttemptError(SandboxUnavailable):
    """An attempt ended before the command ran; `failed` says where and with which number."""

    def __init__(self, message: str, failed: Failed, *, hint: str | None = None) -> None:
        super().__init__(f"{message}; the command did not run", hint=hint)
        self.failed = failed


C = TypeVar("C")
R = TypeVar("R")


def with_retry(
    launch: Launch,
    *,
    start: Callable[[Launch, C], R],
    load: Callable[[], C],
    refresh: Callable[[Launch], C],
) -> R:
    """What `start` gives, tried a second time where that can heal; its second failure comes out.

    `load` gives the credentials that are there, `refresh` new ones for this very launch.
    """
    credentials = load()
    try:
        return start(launch, credentials)
    except AttemptError as error:
        step = next_step(launch, error.failed, attempt=1)
        if step == "give up":
            raise
    if step == "new credentials":
        credentials = refresh(launch)
    return start(launch, credentials)


def next_step(launch: Launch, failed: Failed, *, attempt: int) -> Next:
    """What to do after attempt 1 or 2 failed.

    "new credentials": delete the users file, ask for credentials again (set-up may run) with the
    roots, paths and proxy enforcement of `launch`, then start it once more.
    """
    if attempt != 1 or failed.code is None:
        return "give up"
    if failed.where == "logon" and failed.code == INSTANCE_RUNNING:
        return "same credentials"
    if failed.code not in REFRESHABLE.get(failed.where, frozenset()):
        return "give up"
    if failed.code == NO_LOGON_SESSION and _packaged(launch.request.command):
        # a packaged program cannot start in another account, whatever its password
        return "give up"
    return "new credentials"


def _packaged(command: tuple[str, ...]) -> bool:
    program = command[0].replace("/", "\\").upper() if command else ""
    return "WINDOWSAPPS" in program.split("\\")
