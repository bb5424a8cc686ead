"""What can go wrong with threads on disk. One line each: which file, what happened."""

from octavo.protocol.errors import OctavoError


class StoreError(OctavoError):
    """A thread could not be read or written. What was written before is kept."""


class ThreadNotFound(StoreError):  # noqa: N818 - says what is
    """There is no such thread."""


class ThreadBusy(StoreError):  # noqa: N818 - says what is
    """Another process, or another session of this one, writes the thread. `pid` when known."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message, hint="close it there, or fork the thread")
        self.pid = pid


class ThreadInUse(StoreError):  # noqa: N818 - says what is
    """Other threads are based on this one. `by` are their ids."""

    def __init__(self, message: str, *, by: tuple[str, ...]) -> None:
        super().__init__(message, hint="delete those first, or archive this one")
        self.by = by
