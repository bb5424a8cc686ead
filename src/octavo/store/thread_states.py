"""The file states around the turns of one thread, for whoever runs them.

Blocking: meant for a worker thread, one call at a time.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from octavo.policy.paths import printable
from octavo.protocol.ids import ThreadId, TurnId
from octavo.store.checkpoints import After, Before, Checkpoints, Idle, RootTree, States
from octavo.store.errors import StoreError
from octavo.store.pending import PendingUndo, read_pending

if TYPE_CHECKING:
    from octavo.store.gate import Gate


class ThreadStates:
    """Takes and notes them. Every method raises StoreError."""

    def __init__(self, store: Checkpoints, thread: ThreadId, roots: Sequence[str]) -> None:
        self._store = store
        self._thread = thread
        self._roots = tuple(roots)
        self._gates: list[Gate] = []

    def before(self, turn: TurnId, stopped: Callable[[], bool]) -> None:
        """Keep the files as they are before a turn changes any. Undo is refused from here on."""
        try:
            self._enter()
            with self._store.shared():
                roots = self._states(stopped)
                line = Before(turn=turn, at_ms=self._store.now_ms, roots=roots)
                self._store.note(self._thread, line)
        except BaseException:
            self.leave()
            raise

    def after(self, turn: TurnId, stopped: Callable[[], bool]) -> None:
        """Keep them as the turn left them, and make room. Undo may happen again."""
        try:
            with self._store.shared():
                roots = self._states(stopped)
                line = After(turn=turn, at_ms=self._store.now_ms, roots=roots)
                self._store.note(self._thread, line)
            self._store.trim()
        finally:
            self.leave()

    def idle(self, turn: TurnId) -> None:
        """The turn never came to change anything."""
        try:
            self._store.note(self._thread, Idle(turn=turn, at_ms=self._store.now_ms))
        finally:
            self.leave()

    def leave(self) -> None:
        """Undo may happen again; again and again does no harm."""
        for gate in self._gates:
            gate.release()
        self._gates.clear()

    def _enter(self) -> None:
        self.leave()
        for root in self._roots:
            gate = self._store.root_gate(root, alone=False)
            if not gate.held:
                raise StoreError(f"an undo is running in {printable(root)}")
            self._gates.append(gate)
        for pending in read_pending(self._store.folder):
            if {os.fsdecode(one.path) for one in pending.roots} & set(self._roots):
                raise PendingUndo(pending)

    def _states(self, stopped: Callable[[], bool]) -> States:
        found = ((root, self._store.state(root, stopped=stopped)) for root in self._roots)
        return tuple(RootTree(path=os.fsencode(root), tree=state.tree) for root, state in found)
