"""Play a recording again in a test: does today's engine still do the same?"""

import os

from msgspec import Struct

from octavo.api.recording import play_file
from octavo.engine.replay import ReplayDiffersError
from octavo.protocol.events import Event


class Replayed(Struct, frozen=True):
    """How a recording went."""

    events: tuple[Event, ...]
    """What people saw, up to the first difference."""
    first_difference: str | None
    """Where the engine did something else than then."""

    @property
    def identical(self) -> bool:
        """Nothing was different."""
        return self.first_difference is None


async def replay(path: str | os.PathLike[str]) -> Replayed:
    """Play the file of `exec --record` or `start_thread(record=...)`; no network, no commands.

    Raises UsageError for what is no recording.
    """
    events: list[Event] = []
    try:
        events.extend(play_file(os.fspath(path))[1])
    except ReplayDiffersError as error:
        return Replayed(tuple(events), str(error))
    return Replayed(tuple(events), None)
