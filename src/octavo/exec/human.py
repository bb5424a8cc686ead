"""`exec` for people: what happens, as it happens, on stderr; the last message alone on stdout.

Pure but for the two writers it is given. Colour and the moving line are for terminals only.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from octavo.exec.plain import plain, unstyled
from octavo.model.catalog import ModelInfo, cost
from octavo.protocol import events, items
from octavo.protocol.content import ImageInput, TextInput, UserInput
from octavo.protocol.usage import TokenUsage

Write = Callable[[str], None]
OUTPUT_LINES: Final = 12
"""So many lines of a command's output are shown: the first and the last ones."""
STYLES: Final = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
    "magenta": "35", "cyan": "36",
}  # fmt: skip
MARKS: Final = {"completed": "[x]", "in_progress": "[>]", "pending": "[ ]"}


class Human:
    """Shows one run. `note` writes to stderr, `result` to stdout."""

    def __init__(
        self,
        *,
        note: Write,
        result: Write,
        colour: bool,
        streaming: bool,
        result_shown: bool,
        info: ModelInfo | None = None,
        plan: bool = True,
    ) -> None:
        self._note = note
        self._result = result
        self._colour = colour
        self._streaming = streaming
        """Words are shown as they come: stderr is a terminal."""
        self._result_shown = result_shown
        """stdout is the same terminal: the last message is there already."""
        self._info = info
        self._plan = plan
        self._open = ""
        """The id of the message whose words are on the screen."""
        self._command: str | None = None
        """The command whose line was written last: its output needs no name."""
        self._goal = ""
        """The state of the goal that was shown last."""
        self._notice = ""
        """The notice about the connection that was shown last."""

    def header(self, facts: list[tuple[str, str]]) -> None:
        """What this run works with."""
        width = max(len(name) for name, _ in facts)
        for name, value in facts:
            self._note(f"{self._style('dim', name.ljust(width))}  {plain(value)}\n")
        self._note("\n")

    def asked(self, inputs: Iterable[UserInput], *, at_most: int) -> None:
        """What the run was asked: the beginning of it."""
        for one in inputs:
            match one:
                case TextInput(text=text):
                    shown = plain(text.strip())
                    rest = len(shown) - at_most
                    more = f" ... {rest:,} more characters" if rest > 0 else ""
                    self._note("> " + shown[:at_most].replace("\n", "\n  ") + more + "\n")
                case ImageInput(path=path, url=url):
                    self._note(f"> picture {plain(path or url or '')[:at_most]}\n")
        self._note("\n")

    def show(self, event: events.Event) -> None:
        """One event, in words."""
        match event:
            case events.AgentMessageDelta(item_id=item_id, text=text) if self._streaming:
                self._streamed(item_id, text)
            case events.ItemStarted(item=items.CommandExecution() as item):
                self._line(f"{self._style('bold', '$')} {plain(command_line(item))}")
                self._command = item.id
            case events.ItemCompleted(item=item):
                self._completed(item)
            case events.PlanUpdated() if self._plan:
                self._planned(event)
            case events.ApprovalReviewed():
                self._reviewed(event)
            case events.GoalUpdated(goal=goal):
                self._aimed(goal)
            case events.Warned(message=message):
                self._line(self._style("yellow", f"warning: {plain(message)}"))
            case events.Retrying(message=message):
                if message != self._notice:  # once for a server that is not there
                    self._line(self._style("yellow", plain(message)))
                self._notice = message
            case events.TurnCompleted():
                self._over(event.last_message, event.usage, event.duration_ms)
            case events.TurnFailed(message=message, hint=hint):
                self._line(self._style("red", f"error: {plain(message)}"))
                if hint:
                    self._line(f"what helps: {plain(hint)}")
            case events.TurnInterrupted():
                self._line(self._style("yellow", "stopped; what ran has been ended"))
            case _:
                return

    # ---- items ----------------------------------------------------------------------------

    def _completed(self, item: items.Item) -> None:
        match item:
            case items.AgentMessage(text=text):
                self._said(item.id, text)
            case items.Reasoning(summary=summary) if summary:
                self._line(self._style("dim", plain("\n".join(summary))))
            case items.CommandExecution():
                self._ran(item)
            case items.FileChange():
                self._changed(item)
            case items.WebSearch(query=query):
                self._line(f"{self._style('bold', 'web search')} {plain(query)}")
            case items.McpToolCall(server=server, tool=tool, status=status):
                self._line(f"{self._style('bold', plain(f'{server}.{tool}'))} {status}")
            case items.ToolUse(tool=tool, status=status):
                self._line(f"{self._style('bold', plain(tool))} {status}")
            case items.ImageView(path=path):
                self._line(f"{self._style('bold', 'looked at')} {plain(path)}")
            case items.ProposedPlan(text=text):
                self._line(self._style("bold", "proposed plan"))
                self._note(plain(text) + "\n\n")
            case items.ReviewMode(state="entered", target=target):
                self._line(f"{self._style('bold', 'review')} {plain(target)}")
            case items.ReviewMode(review=None):
                self._line(self._style("yellow", "the review did not come to its end"))
            case items.Compaction():
                self._line(self._style("dim", "the conversation was shortened"))
            case items.Problem(message=message):
                self._line(self._style("yellow", f"warning: {plain(message)}"))
            case _:
                return

    def _aimed(self, goal: events.Goal) -> None:
        """A goal that began or ended; what it spends on the way is not news."""
        if goal.status == self._goal:
            return
        self._goal = goal.status
        if goal.status == "active":
            self._line(f"{self._style('bold', 'goal')} {plain(goal.objective)}")
            return
        words = goal.status.replace("_", " ")
        self._line(f"{self._style('bold', 'goal')} {words}, {goal.tokens_used:,} tokens")

    def _reviewed(self, review: events.ApprovalReviewed) -> None:
        colour = "dim" if review.status == "approved" else "yellow"
        risk = f" ({review.risk} risk)" if review.risk else ""
        why = f": {plain(review.rationale)}" if review.rationale else ""
        words = review.status.replace("_", " ")
        self._line(self._style(colour, f"review {review.review_id} {words}{risk}{why}"))

    def _streamed(self, item_id: str, text: str) -> None:
        if self._open != item_id:
            self._close()
            self._open = item_id
            self._command = None
        self._note(plain(text))

    def _said(self, item_id: str, text: str) -> None:
        if self._open == item_id:
            self._close()
        else:
            self._line(plain(text))
        self._note("\n")

    def _ran(self, item: items.CommandExecution) -> None:
        if self._command != item.id:  # others were shown since it began
            self._line(self._style("dim", f"$ {plain(command_line(item))}"))
        for line in excerpt(item.aggregated_output):
            self._line(self._style("dim", f"  {line}"))
        took = duration(item.duration_ms or 0)
        if item.status == "declined":
            self._line(self._style("red", "  not run"))
        elif item.exit_code is None:
            self._line(self._style("yellow", f"  still running after {took}"))
        elif item.exit_code == 0:
            self._line(self._style("green", f"  done in {took}"))
        else:
            self._line(self._style("red", f"  exit code {item.exit_code} after {took}"))
        for denial in item.denials:
            self._line(
                self._style("yellow", f"  denied: {denial.operation} {plain(denial.subject)}")
                + f" by {plain(denial.rule)}"
            )

    def _changed(self, item: items.FileChange) -> None:
        if item.status != "completed":
            self._line(self._style("red", f"patch {item.status}: {plain(item.message.strip())}"))
            return
        for change in item.changes:
            target = f" -> {plain(change.move_path)}" if change.move_path else ""
            self._line(f"{self._style('bold', change.kind)} {plain(change.path)}{target}")
            if change.kind == "update":
                for line in plain(change.diff).removesuffix("\n").split("\n"):
                    self._line("  " + self._diff_line(line))

    def _diff_line(self, line: str) -> str:
        if line.startswith("@@"):
            return self._style("cyan", line)
        if line.startswith("+") and not line.startswith("+++"):
            return self._style("green", line)
        if line.startswith("-") and not line.startswith("---"):
            return self._style("red", line)
        return line

    def _planned(self, event: events.PlanUpdated) -> None:
        self._line(self._style("bold", "plan"))
        for step in event.steps:
            self._line(f"  {MARKS[step.status]} {plain(step.text)}")

    # ---- the end --------------------------------------------------------------------------

    def _over(self, last: str | None, usage: TokenUsage, took_ms: int) -> None:
        self._close()
        self._line(self._style("dim", summary(usage, took_ms, self._info)))
        if last and not self._result_shown:
            self._result(last + "\n")

    def _line(self, text: str) -> None:
        self._close()
        self._command = None
        self._note(text + "\n")

    def _close(self) -> None:
        if self._open:
            self._open = ""
            self._note("\n")

    def _style(self, name: str, text: str) -> str:
        return f"\x1b[{STYLES[name]}m{text}\x1b[0m" if self._colour and text else text


def command_line(item: items.CommandExecution) -> str:
    """The command as its author would type it: what a shell was given, not the shell."""
    match item.command:
        case (_, "-c" | "-lc", script):
            return script
        case words:
            return shlex.join(words)


def excerpt(output: str) -> Iterator[str]:
    """The first and last lines of an output, without what a terminal would obey."""
    lines = [unstyled(line) for line in output.splitlines()]
    if len(lines) <= OUTPUT_LINES:
        yield from lines
        return
    half = OUTPUT_LINES // 2
    yield from lines[:half]
    yield f"... {len(lines) - 2 * half} more lines"
    yield from lines[-half:]


def duration(ms: int) -> str:
    """A time for people: `340 ms`, `2.1 s`, `3 min 5 s`."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms // 60_000} min {ms % 60_000 // 1000} s"


def summary(usage: TokenUsage, took_ms: int, info: ModelInfo | None) -> str:
    """Tokens, time, and what it cost where the price is known."""
    parts = [f"{usage.total:,} tokens", duration(took_ms)]
    if usage.cached_input:
        parts.insert(1, f"{usage.cached_input:,} of the input cached")
    price = None if info is None else cost(info, usage)
    if price is not None:
        parts.append(f"about ${price:.4f}" if price < 1 else f"about ${price:.2f}")
    return ", ".join(parts)
