"""Linux, the short way with everything switched on: deadlines, caps, and a judge of refused calls."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

assert sys.platform == "linux"

from octavo.sandbox.backends import linux_relay, linux_warm, status

if TYPE_CHECKING:
    from octavo.sandbox.denial import Judge
    from octavo.sandbox.linux.relay import Watcher

SPAWN_FAILED = status.SPAWN_FAILED


class Watch(Struct, frozen=True, kw_only=True):
    """What to watch while a command runs here."""

    wall_s: float | None = None
    output_bytes: int | None = None
    network: str = "off"
    unix: bool = False
    nested: bool = False


def watcher(watch: Watch, judge: "Judge | None", *, clock: Callable[[], int]) -> "Watcher | None":
    """The watcher for `ladder.run`; None when there is nothing to watch. `clock` gives ms."""
    if judge is None and watch.wall_s is None and watch.output_bytes is None:
        return None
    relay = linux_relay()
    made: Watcher = relay.Watcher(wall_s=watch.wall_s, output_bytes=watch.output_bytes)
    if judge is not None:
        _, notify = linux_warm()
        supervisors: list[Any] = []

        def begin(listener: int) -> None:
            supervisors.append(
                notify.Supervisor(listener, watch.network, unix=watch.unix, nested=watch.nested)
            )

        made.on_listener = begin
        made.on_refusal = lambda _fd: supervisors[-1].serve(
            lambda attempt: judge.note(attempt, clock())
        )
    return made
