"""Carries out the steps of a restore, one path at a time, each whole or not at all.

A file or link is made under another name and moved over what is there. Before anything goes, it is
compared with what the plan was made from.
"""

import os
import stat
from collections.abc import Mapping
from typing import Final

from octavo.policy.paths import printable
from octavo.store.errors import StoreError
from octavo.store.objects import Objects, write_all
from octavo.store.restore import Link, MakeFolder, Mode, Remove, RemoveFolder, Step, Steps, Write
from octavo.store.snapshot import Seen, same_file
from octavo.store.tree import Entry, Tree
from octavo.store.under import Under

TEMPORARY: Final = ".octavo-undo-"


class Changed(StoreError):  # noqa: N818 - says what is
    """Somebody else changed a file at the same moment; the steps before it were done."""


def apply(
    root: str,
    plan: Steps,
    *,
    objects: Objects,
    now: Tree,
    states: Mapping[str, Seen],
    temporary: str,
) -> None:
    """Do all steps. Raises StoreError naming the path; what was done until then stays done.

    `now` and `states` are what the plan was made from; `temporary` begins the names of files that
    are being written.
    """
    with Under(root) as under:
        hands = _Hands(under, objects, now, states, temporary)
        for step in plan:
            try:
                hands.do(step)
            except OSError as wrong:
                path = printable(os.path.join(root, step.path))  # noqa: PTH118 - bytes that are no text
                reason = wrong.strerror or str(wrong)
                raise StoreError(f"{path}: cannot be put back: {reason}") from wrong


class _Hands:
    def __init__(
        self,
        under: Under,
        objects: Objects,
        now: Tree,
        states: Mapping[str, Seen],
        temporary: str,
    ) -> None:
        self._under = under
        self._objects = objects
        self._now = now
        self._states = states
        self._temporary = temporary
        self._number = 0
        self._gone: set[str] = set()

    def do(self, step: Step) -> None:
        """One step. Raises OSError, StoreError."""
        under = self._under
        match step:
            case Remove(path=path):
                self._compare(path)
                under.remove(path)
                self._gone.add(path)
            case RemoveFolder(path=path):
                under.remove_folder(path)
                self._gone.add(path)
            case MakeFolder(path=path):
                under.make_folder(path)
            case Mode(path=path, mode=mode, folder=folder):
                under.set_mode(path, mode, folder=folder)
            case Write(path=path):
                self._write(step)
            case Link(path=path, target=target):
                other = self._beside(path)
                under.link(other, target)
                self._over(other, path)

    def _write(self, step: Write) -> None:
        other = self._beside(step.path)
        descriptor = self._under.create(other)
        try:
            try:
                whole = self._objects.copy(step.content, lambda data: write_all(descriptor, data))
                if hasattr(os, "fchmod"):
                    os.fchmod(descriptor, step.mode)
            finally:
                os.close(descriptor)
            if not whole:
                raise StoreError(f"{printable(step.path)}: its earlier content is lost or damaged")
            self._over(other, step.path)
        except BaseException:
            self._drop(other)
            raise

    def _over(self, other: str, path: str) -> None:
        try:
            self._compare(path)
            self._under.move(other, path)
        except BaseException:
            self._drop(other)
            raise

    def _compare(self, path: str) -> None:
        """What is there is still what was looked at. Raises Changed."""
        before = None if path in self._gone else self._now.get(path)
        if not self._same(path, before):
            raise Changed(
                f"{printable(path)}: was changed by something else at this moment",
                hint="end what writes there, then try again",
            )

    def _same(self, path: str, before: Entry | None) -> bool:
        try:
            state = self._under.state(path)
        except FileNotFoundError:
            return before is None
        if before is None:
            return False
        if before.kind == "link":
            return stat.S_ISLNK(state.st_mode) and self._under.target(path) == before.content
        seen = self._states.get(path)
        return before.kind == "file" and seen is not None and same_file(seen, state)

    def _beside(self, path: str) -> str:
        self._number += 1
        folder, cut, _ = path.rpartition("/")
        return f"{folder}{cut}{self._temporary}{self._number}"

    def _drop(self, path: str) -> None:
        try:
            self._under.remove(path)
        except OSError:
            return
