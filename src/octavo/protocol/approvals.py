"""Questions to a person or a program, and their answers.

Whoever answers is an `Approver`: an async function. What is remembered for how long is the
engine's business; `keys` say what a remembered answer is about.
"""

from typing import Literal, Protocol, Self

from msgspec import Struct

from octavo.protocol.ids import CallId
from octavo.protocol.items import FileUpdate


class CommandApproval(Struct, frozen=True, kw_only=True, tag="command"):
    """May this command run?"""

    call_id: CallId
    argv: tuple[str, ...]
    cwd: str
    reason: str | None = None
    """Why, in the model's words or ours."""
    proposed_rule: tuple[str, ...] | None = None
    """Words a command would begin with to be allowed in future, if the model proposed any."""
    escalated: bool = False
    """It would run outside the sandbox."""
    terminal: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """What a remembered answer is about; every one has to be remembered to skip the question."""
        kind = "outside" if self.escalated else "inside"
        return ("\0".join((kind, "tty" if self.terminal else "", self.cwd, *self.argv)),)


class PatchApproval(Struct, frozen=True, kw_only=True, tag="patch"):
    """May these files be changed?"""

    call_id: CallId
    changes: tuple[FileUpdate, ...]
    grant_root: str | None = None
    """The folder that would have to be writable for all of it."""
    reason: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """One per touched path."""
        paths = [path for one in self.changes for path in (one.path, one.move_path) if path]
        return tuple("file\0" + path for path in dict.fromkeys(paths))


ApprovalRequest = CommandApproval | PatchApproval


class Decision(Struct, frozen=True):
    """An answer. Make one with the class methods."""

    kind: Literal["allow_once", "allow_for_session", "deny", "abort"]
    reason: str | None = None
    """For the model: why not, and what else to do."""

    @property
    def allowed(self) -> bool:
        """It may be done."""
        return self.kind in ("allow_once", "allow_for_session")

    @classmethod
    def allow_once(cls) -> Self:
        """This time."""
        return cls("allow_once")

    @classmethod
    def allow_for_session(cls) -> Self:
        """This time, and the same again until the thread is closed."""
        return cls("allow_for_session")

    @classmethod
    def deny(cls, reason: str | None = None) -> Self:
        """No; the turn goes on, and the model reads the reason."""
        return cls("deny", reason)

    @classmethod
    def abort(cls) -> Self:
        """No, and the turn ends."""
        return cls("abort")


class Approver(Protocol):
    """Anything that answers: `async def approve(request) -> Decision`."""

    async def __call__(self, request: ApprovalRequest, /) -> Decision: ...
