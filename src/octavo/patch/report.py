"""A plan in words: the fixed success text, notes, unified diffs."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, Literal

from octavo.patch.lines import readable
from octavo.patch.plan import Change, PatchPlan

SUCCESS: Final = "Success. Updated the following files:"
MOST_COMPARED: Final = 20_000
"""Lines of the changed middle; a larger one is shown as replaced as a whole."""
NO_NEWLINE: Final = "\\ No newline at end of file"

Opcode = tuple[Literal["replace", "delete", "insert", "equal"], int, int, int, int]


def success(plan: PatchPlan) -> str:
    """The text programs know: a line, then `A`, `M` and `D` paths as written, in that order."""
    rows = [SUCCESS]
    for letter, kind in (("A", "add"), ("M", "update"), ("D", "delete")):
        names = (c.move_shown or c.shown for c in plan.changes if c.kind == kind)
        rows += [f"{letter} {name}" for name in dict.fromkeys(names)]
    return "\n".join(rows) + "\n"


def notes(plan: PatchPlan) -> str:
    """What else the author should know, one line each; empty when there is nothing."""
    return "".join(f"Note: {note}\n" for note in plan.notes)


def item_diff(change: Change) -> str:
    """For the view of one change: hunks of an update, the bare text of what is added or deleted."""
    if change.kind == "update":
        return "".join(hunks(change.old or b"", change.new or b"", context=1))
    return readable((change.new if change.kind == "add" else change.old) or b"")


def unified_diff(plan: PatchPlan, *, root: str = "/", context: int = 3) -> str:
    """The whole plan as one diff that `git apply` takes in the folder `root`."""
    parts: list[str] = []
    for change in plan.changes:
        parts += file_diff(
            below(root, change.path),
            change.old,
            change.new,
            new_path=None if change.move_path is None else below(root, change.move_path),
            context=context,
        )
    return "".join(parts)


def below(root: str, path: str) -> str:
    """A path as seen from a folder; the whole path where it lies elsewhere."""
    prefix = root.rstrip("/") + "/"
    return path.removeprefix(prefix)


def file_diff(
    path: str,
    old: bytes | None,
    new: bytes | None,
    *,
    new_path: str | None = None,
    context: int = 3,
) -> list[str]:
    """One file in git's form; None stands for no file. Lines with their ends."""
    source, target = path.lstrip("/"), (new_path or path).lstrip("/")
    rows = [f"diff --git a/{source} b/{target}\n"]
    if old is None:
        rows.append("new file mode 100644\n")
    elif new is None:
        rows.append("deleted file mode 100644\n")
    elif source != target:
        rows += [f"rename from {source}\n", f"rename to {target}\n"]
    body = list(hunks(old or b"", new or b"", context=context))
    if body:
        rows.append("--- /dev/null\n" if old is None else f"--- a/{source}\n")
        rows.append("+++ /dev/null\n" if new is None else f"+++ b/{target}\n")
    return rows + body


def hunks(old: bytes, new: bytes, *, context: int = 3) -> Iterator[str]:
    """The hunks of a unified diff, line by line with line ends."""
    before, after = rows_of(old), rows_of(new)
    matcher = opcodes(before, after)
    for group in grouped(matcher, context):
        first, last = group[0], group[-1]
        yield (f"@@ -{span(first[1], last[2])} +{span(first[3], last[4])} @@\n")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (row(" ", line) for line in before[i1:i2])
                continue
            yield from (row("-", line) for line in before[i1:i2])
            yield from (row("+", line) for line in after[j1:j2])


def rows_of(data: bytes) -> list[str]:
    """Lines as git counts them: they end in a newline and nothing else."""
    lines = readable(data).split("\n")
    rows = [line + "\n" for line in lines[:-1]]
    return [*rows, lines[-1]] if lines[-1] else rows


def row(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n{NO_NEWLINE}\n"


def span(start: int, stop: int) -> str:
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def opcodes(before: Sequence[str], after: Sequence[str]) -> list[Opcode]:
    """How to make one from the other. Equal ends are cut off first, which is nearly all."""
    top = 0
    while top < min(len(before), len(after)) and before[top] == after[top]:
        top += 1
    low = 0
    while low < min(len(before), len(after)) - top and before[-1 - low] == after[-1 - low]:
        low += 1
    old, new = before[top : len(before) - low], after[top : len(after) - low]
    middle: list[Opcode] = []
    if len(old) + len(new) > MOST_COMPARED:
        middle = [("replace", 0, len(old), 0, len(new))]
    elif old or new:
        middle = SequenceMatcher(None, old, new).get_opcodes()
    found: list[Opcode] = [("equal", 0, top, 0, top)] if top else []
    found += [(tag, i1 + top, i2 + top, j1 + top, j2 + top) for tag, i1, i2, j1, j2 in middle]
    if low:
        found.append(("equal", len(before) - low, len(before), len(after) - low, len(after)))
    return found


def grouped(codes: list[Opcode], context: int) -> Iterator[list[Opcode]]:
    """Changes with so many equal lines around them; near ones together."""
    group: list[Opcode] = []
    for index, (tag, i1, i2, j1, j2) in enumerate(codes):
        if tag != "equal":
            group.append((tag, i1, i2, j1, j2))
            continue
        length = i2 - i1
        first, last = index == 0, index == len(codes) - 1
        if not first and not last and length <= 2 * context:
            group.append((tag, i1, i2, j1, j2))
            continue
        if not first:
            keep = min(context, length)
            group.append(("equal", i1, i1 + keep, j1, j1 + keep))
            yield [code for code in group if code[2] > code[1] or code[4] > code[3]]
            group = []
        if not last:
            keep = min(context, length)
            group = [("equal", i2 - keep, i2, j2 - keep, j2)]
    if any(code[0] != "equal" for code in group):
        yield [code for code in group if code[2] > code[1] or code[4] > code[3]]
