"""A plain question on the terminal: once, always, no, stop."""

import asyncio
import shlex
from collections.abc import Callable

from octavo.protocol.approvals import ApprovalRequest, CommandApproval, Decision

Read = Callable[[str], str]
ANSWERS = {
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
    """Asks whoever sits there. `note` shows the question, `read` gets a line (EOFError: nobody)."""

    def __init__(self, *, note: Callable[[str], None], read: Read) -> None:
        self._note = note
        self._read = read
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, request: ApprovalRequest, /) -> Decision:
        """The answer; an end of input is a no."""
        async with self._one_at_a_time:
            self._note(question(request))
            while True:
                try:
                    line = await asyncio.to_thread(
                        self._read, "[y]es once, [a]lways, [n]o, [s]top? "
                    )
                except EOFError:
                    return Decision.deny("nobody answered")
                found = ANSWERS.get(line.strip().lower())
                if found is not None:
                    return found()


def question(request: ApprovalRequest) -> str:
    """What is to be decided, in full: the exact command or files, and why."""
    if isinstance(request, CommandApproval):
        where = "outside the sandbox" if request.escalated else "in the sandbox"
        lines = [f"\nMay this command run {where}, in {request.cwd}?", f"  {script(request.argv)}"]
    else:
        lines = ["\nMay these files be changed?"]
        lines += [f"  {change.kind} {change.path}" for change in request.changes]
    if request.reason:
        lines.append(f"  why: {request.reason}")
    return "\n".join(lines) + "\n"


def script(argv: tuple[str, ...]) -> str:
    """The command as its author would type it."""
    match argv:
        case (_, "-c" | "-lc", text):
            return text
        case words:
            return shlex.join(words)
