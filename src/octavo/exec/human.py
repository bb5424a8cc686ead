"""`exec` for people: what happens, as it happens, on stderr; the last message alone on stdout.

Pure but for the two writers it is given. Colour and the moving line are for terminals only.
"""

import shlex
from collections.abc import Callable, Iterator
from typing import Final

from octavo.model.catalog import ModelInfo, cost
from octavo.protocol import events, items
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
        self._last = ""

    def header(self, facts: list[tuple[str, str]]) -> None:
        """What this run works with."""
        width = max(len(name) for name, _ in facts)
        for name, value in facts:
            self._note(f"{self._style('dim', name.ljust(width))}  {value}\n")
        self._note("\n")

    def show(self, event: events.Event) -> None:
        """One event, in words."""
        match event:
            case events.AgentMessageDelta(item_id=item_id, text=text) if self._streaming:
                self._streamed(item_id, text)
            case events.ItemStarted(item=items.CommandExecution() as item):
                self._line(f"{self._style('bold', '$')} {command_line(item)}")
            case events.ItemCompleted(item=item):
                self._completed(item)
            case events.PlanUpdated() if self._plan:
                self._planned(event)
            case events.Warned(message=message):
                self._line(self._style("yellow", f"warning: {message}"))
            case events.Retrying(message=message):
                self._line(self._style("yellow", message))
            case events.TurnCompleted():
                self._over(event.last_message, event.usage, event.duration_ms)
            case events.TurnFailed(message=message, hint=hint):
                self._line(self._style("red", f"error: {message}"))
                if hint:
                    self._line(f"what helps: {hint}")
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
                self._line(self._style("dim", "\n".join(summary)))
            case items.CommandExecution():
                self._ran(item)
            case items.FileChange():
                self._changed(item)
            case items.WebSearch(query=query):
                self._line(f"{self._style('bold', 'web search')} {query}")
            case items.McpToolCall(server=server, tool=tool, status=status):
                self._line(f"{self._style('bold', f'{server}.{tool}')} {status}")
            case items.ToolUse(tool=tool, status=status):
                self._line(f"{self._style('bold', tool)} {status}")
            case items.ImageView(path=path):
                self._line(f"{self._style('bold', 'looked at')} {path}")
            case items.Problem(message=message):
                self._line(self._style("yellow", f"warning: {message}"))
            case _:
                return

    def _streamed(self, item_id: str, text: str) -> None:
        if self._open != item_id:
            self._close()
            self._open = item_id
        self._note(text)

    def _said(self, item_id: str, text: str) -> None:
        self._last = text
        if self._open == item_id:
            self._close()
        else:
            self._line(text)
        self._note("\n")

    def _ran(self, item: items.CommandExecution) -> None:
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
                self._style("yellow", f"  denied: {denial.operation} {denial.subject}")
                + f" by {denial.rule}"
            )

    def _changed(self, item: items.FileChange) -> None:
        if item.status != "completed":
            self._line(self._style("red", f"patch {item.status}: {item.message.strip()}"))
            return
        for change in item.changes:
            target = f" -> {change.move_path}" if change.move_path else ""
            self._line(f"{self._style('bold', change.kind)} {change.path}{target}")
            if change.kind == "update":
                for line in change.diff.splitlines():
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
            self._line(f"  {MARKS[step.status]} {step.text}")

    # ---- the end --------------------------------------------------------------------------

    def _over(self, last: str | None, usage: TokenUsage, took_ms: int) -> None:
        self._close()
        self._line(self._style("dim", summary(usage, took_ms, self._info)))
        if last and not self._result_shown:
            self._result(last + "\n")

    def _line(self, text: str) -> None:
        self._close()
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
    lines = [printable(line) for line in output.splitlines()]
    if len(lines) <= OUTPUT_LINES:
        yield from lines
        return
    half = OUTPUT_LINES // 2
    yield from lines[:half]
    yield f"... {len(lines) - 2 * half} more lines"
    yield from lines[-half:]


def printable(line: str) -> str:
    return "".join(
        ch if ch == "\t" or ch.isprintable() else "\N{REPLACEMENT CHARACTER}" for ch in line
    )


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
