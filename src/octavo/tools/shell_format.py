"""An answer of `exec_command` and `write_stdin` as the model reads it. Pure."""

from msgspec import Struct

from octavo.process.output import Captured
from octavo.protocol.usage import BYTES_PER_TOKEN
from octavo.tools.truncate import shorten_text, tokens


class Answer(Struct, frozen=True, kw_only=True):
    """What happened since the last answer."""

    output: Captured
    lines: int
    """Of the whole output, kept or not."""
    wall_s: float
    max_tokens: int
    chunk_id: str | None = None
    exit_code: int | None = None
    """None while it runs."""
    session_id: int | None = None
    """Only while it runs."""
    notes: tuple[str, ...] = ()
    """Denials, evictions: one line each, below the output."""


def formatted(answer: Answer) -> str:
    """The lines in their fixed order; those without a value are left out."""
    original = tokens(answer.output.total_bytes)
    rows = []
    if answer.chunk_id is not None:
        rows.append(f"Chunk ID: {answer.chunk_id}")
    rows.append(f"Wall time: {answer.wall_s:.4f} seconds")
    if answer.exit_code is not None:
        rows.append(f"Process exited with code {answer.exit_code}")
    if answer.session_id is not None:
        rows.append(f"Process running with session ID {answer.session_id}")
    text = body(answer, original)
    rows += [f"Original token count: {original}", "Output:", text]
    if answer.notes:
        gap = "\n" if text and not text.endswith("\n") else ""
        rows[-1] += gap + "\n".join(answer.notes)
    return "\n".join(rows)


def body(answer: Answer, original: int) -> str:
    """The output itself, with a warning in front when something is missing."""
    text = answer.output.text()
    shortened = shorten_text(text, answer.max_tokens * BYTES_PER_TOKEN)
    if shortened == text and not answer.output.omitted_bytes:
        return text
    warning = f"Warning: truncated output (original token count: {original})"
    return f"{warning}\nTotal output lines: {answer.lines}\n\n{shortened}"
