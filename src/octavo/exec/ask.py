"""A plain question on the terminal: once, in this thread, always by a rule, no, stop.

What "always" would mean is shown before anybody can say it; where no rule would do, there is none.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from octavo.exec.plain import plain
from octavo.protocol.approvals import (
    NETWORK_ACCESS,
    ApprovalRequest,
    CommandApproval,
    Decision,
    McpApproval,
)

Ask = Callable[[str], Awaitable[str]]
CHOICE: Final = "[y]es once, [a]lways in this thread, {rule}[n]o (and why), {never}[s]top? "
RULE: Final = "by [r]ule, "
HOST_RULE: Final = "by [r]ule, by rule for every port of the [h]ost, "
NEVER: Final = "ne[v]er (by rule), "
HOSTS: Final = frozenset({"h", "host"})
NEVERS: Final = frozenset({"v", "never"})
RULES: Final = frozenset({"r", "rule"})
NOES: Final = frozenset({"n", "no"})
MOST_DENIALS: Final = 5
MOST_GIVEN: Final = 2000
"""Characters of a tool's arguments that are shown."""
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
            rule = rule_of(request)
            choice = choices(rule)
            while True:
                try:
                    line = await self._ask(choice)
                except EOFError:
                    self._note("\n")
                    return Decision.deny("nobody answered")
                decision = answer(line, rule)
                if decision is not None:
                    return decision


def answer(line: str, rule: tuple[str, ...] | None) -> Decision | None:
    """What a line means; None: nothing."""
    text = line.strip()
    word, _, rest = text.partition(" ")
    if rest.strip() and word.lower() in NOES:
        return Decision.deny(rest.strip())
    if rule is not None and text.lower() in RULES:
        return Decision.allow_always(rule)
    if rule is not None and rule[0] == NETWORK_ACCESS:
        if text.lower() in HOSTS:
            return Decision.allow_always((NETWORK_ACCESS, without_port(rule[-1])))
        if text.lower() in NEVERS:
            return Decision.deny_always(rule)
    found = ANSWERS.get(text.lower())
    return None if found is None else found()


def choices(rule: tuple[str, ...] | None) -> str:
    """What can be answered."""
    if rule is None:
        return CHOICE.format(rule="", never="")
    if rule[0] == NETWORK_ACCESS:
        return CHOICE.format(rule=HOST_RULE, never=NEVER)
    return CHOICE.format(rule=RULE, never="")


def without_port(target: str) -> str:
    """`https://HOST:PORT` for every port."""
    return target.rpartition(":")[0]


def rule_of(request: ApprovalRequest) -> tuple[str, ...] | None:
    """The rule that "always" would make; None: there is none."""
    return request.proposed_rule if isinstance(request, CommandApproval) else None


def question(request: ApprovalRequest) -> str:
    """What is to be decided, in full: the exact command or files, and why."""
    if isinstance(request, CommandApproval) and request.argv[0] == NETWORK_ACCESS:
        lines = [f"\nMay commands reach {plain(' '.join(request.argv[1:]))}?"]
    elif isinstance(request, CommandApproval):
        where = "outside the sandbox" if request.escalated else "in the sandbox"
        if request.covers_retry:
            where += " (and again outside it, if the sandbox refuses something)"
        head = f"\nMay this command run {where}, in {plain(request.cwd)}?"
        lines = [head, *(f"  {line}" for line in plain(script(request.argv)).split("\n"))]
    elif isinstance(request, McpApproval):
        lines = tool_lines(request)
    else:
        lines = ["\nMay these files be changed?"]
        lines += [
            f"  {change.kind} {moved(change.path, change.move_path)}" for change in request.changes
        ]
    if request.reason:
        lines.append(f"  why: {plain(request.reason)}")
    if request.because:
        lines.append(f"  asked because: {plain(request.because)}")
    lines += [
        f"  refused before: {plain(f'{one.operation} {one.subject} — {one.rule}')}"
        for one in request.denials[:MOST_DENIALS]
    ]
    if len(request.denials) > MOST_DENIALS:
        lines.append(f"  refused before: {len(request.denials) - MOST_DENIALS} more")
    if isinstance(request, CommandApproval) and request.scope is not None:
        lines.append(f"  a rule would allow {plain(request.scope)}")
    return "\n".join(lines) + "\n"


def tool_lines(request: McpApproval) -> list[str]:
    """What a tool of an MCP server would be given."""
    given = msgspec.json.encode(request.arguments).decode()
    shown = given if len(given) <= MOST_GIVEN else given[: MOST_GIVEN - 1] + "…"
    where = f"{plain(request.tool)} of the MCP server {plain(request.server)}"
    return [f"\nMay the tool {where} be called?", f"  with: {plain(shown)}"]


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
