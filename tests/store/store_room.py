"""A home with a store in it, and a clock that can be read."""

import itertools

from store_turn import NOON, turn

from octavo.protocol.ids import uuid7
from octavo.store.disk import DiskStore
from octavo.store.rollout import SessionMeta, stamp


class Clock:
    """Milliseconds that pass with each look."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        self.now += 10
        return self.now


class Room:
    """A home with a store, and threads that can be written in one line."""

    def __init__(self, home):
        self.home = str(home)
        self.clock = Clock()
        self.store = DiskStore(self.home, now_ms=self.clock)
        self._numbers = itertools.count(1)

    def meta(self, cwd="/work", **more):
        thread = uuid7(self.clock(), next(self._numbers).to_bytes(10, "big"))
        return SessionMeta(
            id=thread, timestamp=stamp(self.clock()), cwd=cwd, originator="test",
            cli_version="0.1", source="exec", **more,
        )  # fmt: skip

    def thread(self, *turns, cwd="/work"):
        """A closed thread with these prompts; its id."""
        meta = self.meta(cwd)
        with self.store.create(meta) as log:
            for number, prompt in enumerate(turns):
                log.append(*turn(meta.id, f"t{number}", prompt))
        return meta.id

    def path(self, thread):
        return self.store.read(thread).path
