"""A plain question on the terminal: once, always, no, stop."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from typing import Final

from octavo.exec.plain import plain
from octavo.protocol.approvals import ApprovalRequest, CommandApproval, Decision

Ask = Callable[[str], Awaitable[str]]
CHOICE: Final = "[y]es once, [a]lways in this thread, [n]o, [s]top? "
ANSWERS: Final = {
    "y": Decision.allow_once,
    "yes": Decision.allow_once,
    "a": Decision.allow_for_session,
    "always": Decision.allow_for_session,
    "n": Decision.deny,
    "no": Decision.deny,
    "": Decision.deny,
    "s": Decision.abort,
    "stop": Decision.abort,
}


class TerminalApprover:
    """Asks whoever sits there. `note` shows the question, `ask` gets a line (EOFError: nobody)."""

    def __init__(self, *, note: Callable[[str], None], ask: Ask) -> None:
        self._note = note
        self._ask = ask
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, request: ApprovalRequest, /) -> Decision:
        """The answer; an end of input is a no."""
        async with self._one_at_a_time:
            self._note(question(request))
            while True:
                try:
                    line = await self._ask(CHOICE)
                except EOFError:
                    self._note("\n")
                    return Decision.deny("nobody answered")
                found = ANSWERS.get(line.strip().lower())
                if found is not None:
                    return found()


def question(request: ApprovalRequest) -> str:
    """What is to be decided, in full: the exact command or files, and why."""
    if isinstance(request, CommandApproval):
        where = "outside the sandbox" if request.escalated else "in the sandbox"
        head = f"\nMay this command run {where}, in {plain(request.cwd)}?"
        lines = [head, *(f"  {line}" for line in plain(script(request.argv)).split("\n"))]
    else:
        lines = ["\nMay these files be changed?"]
        lines += [
            f"  {change.kind} {moved(change.path, change.move_path)}" for change in request.changes
        ]
    if request.reason:
        lines.append(f"  why: {plain(request.reason)}")
    return "\n".join(lines) + "\n"


def moved(path: str, target: str | None) -> str:
    """A path, and where it goes."""
    return plain(path) if target is None else f"{plain(path)} -> {plain(target)}"


def script(argv: tuple[str, ...]) -> str:
    """The command as its author would type it."""
    match argv:
        case (_, "-c" | "-lc", text):
            return text
        case words:
            return shlex.join(words)
