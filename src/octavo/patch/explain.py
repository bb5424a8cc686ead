"""Why a chunk does not fit, and what would: the nearest place, and how it differs.

Says so when the new lines stand there already, or when the old ones stand above the cursor.
"""

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from msgspec import Struct

from octavo.patch.match import Finder, folded
from octavo.patch.parse import Chunk
from octavo.patch.refusal import PatchRefused, quoted

MOST_SHOWN: Final = 12
"""Lines of the nearest place that are shown."""
MOST_COMPARED: Final = 3000
"""Lines that are compared letter by letter when no line is equal."""
LONGEST: Final = 300
LIKE: Final = 0.6
"""So much of a line has to be equal to be called near."""
HUNK_HINT: Final = (
    "Line numbers as in '@@ -1,2 +1,2 @@' are not used: after '@@ ' stands a line of the file."
)


class Near(Struct, frozen=True, kw_only=True):
    """The place that resembles a block most."""

    at: int
    equal: int


def missing_header(finder: Finder, chunk: Chunk, cursor: int, path: str) -> PatchRefused:
    """The line after `@@` is not in the file, or only above the cursor."""
    header = chunk.header or ""
    above = finder.find([header])
    message = (
        f"Failed to find the line {quoted(header)} (line {chunk.patch_line} of the patch) in {path}"
    )
    at: int | None = None
    if above is not None:
        at = above.at
        message += (
            f": it stands at line {at + 1}, before line {cursor + 1}, where the last chunk ended"
        )
    else:
        near = nearest(finder.lines, [header])
        if near is not None:
            at = near.at
            message += f". Nearest is line {at + 1}: {quoted(finder.lines[at])}"
    hint = HUNK_HINT if header.startswith("-") and header.rstrip().endswith("@@") else None
    if above is not None:
        hint = "Put the chunks in the order of the file."
    return PatchRefused(
        message,
        path=path,
        patch_line=chunk.patch_line,
        file_line=None if at is None else at + 1,
        hint=hint,
    )


def missing_block(finder: Finder, chunk: Chunk, cursor: int, path: str) -> PatchRefused:
    """The old lines are not where they should be."""
    shown = "\n".join(chunk.old)
    message = f"Failed to find expected lines in {path}:\n{shown}\n"
    message += f"(line {chunk.patch_line} of the patch) "
    at, reason, hint = (
        already(finder, chunk, cursor)
        or elsewhere(finder, chunk, cursor)
        or compared(finder, chunk)
    )
    return PatchRefused(
        message + reason,
        path=path,
        patch_line=chunk.patch_line,
        file_line=None if at is None else at + 1,
        hint=hint,
    )


Reason = tuple[int | None, str, str | None]


def already(finder: Finder, chunk: Chunk, cursor: int) -> Reason | None:
    """Has somebody made this change before?"""
    new = chunk.new
    if not telling(chunk):
        return None
    found = finder.find_last(new, cursor) if chunk.at_end else finder.find(new, cursor)
    if found is None or found.loose:
        return None
    reason = f"This is already applied: the new lines stand at line {found.at + 1}."
    return found.at, reason, "Leave this chunk out."


def telling(chunk: Chunk) -> bool:
    """Would its new lines prove that the change was made? Something added, or a closed gap."""
    if any(line.kind == "+" and line.text.strip() for line in chunk.lines):
        return True
    kinds = "".join(line.kind for line in chunk.lines)
    return "-" in kinds and kinds.startswith(" ") and kinds.endswith(" ")


def elsewhere(finder: Finder, chunk: Chunk, cursor: int) -> Reason | None:
    """Do the lines stand above the cursor, or not at the end of the file?"""
    found = finder.find(chunk.old)
    if found is None:
        return None
    if found.at >= cursor:
        reason = (
            f"They stand at line {found.at + 1}, but '*** End of File' asks for the last lines "
            f"of the file, which has {len(finder.lines)}."
        )
        return found.at, reason, "Leave '*** End of File' out."
    what = "the header or the chunk before it ended"
    reason = f"They stand at line {found.at + 1}, before line {cursor + 1}, where {what}."
    return found.at, reason, "Put the chunks in the order of the file."


def compared(finder: Finder, chunk: Chunk) -> Reason:
    """The nearest place, line beside line."""
    if not finder.lines:
        return None, "The file is empty.", None
    if any("\0" in line for line in finder.lines[:MOST_SHOWN]):
        return None, "The file does not look like text in UTF-8.", None
    near = nearest(finder.lines, chunk.old)
    if near is None:
        return None, f"Nothing in the {len(finder.lines)} lines of the file resembles them.", None
    rows = [
        f"The nearest place is line {near.at + 1}; {near.equal} of {len(chunk.old)} lines are equal:"
    ]
    rows += beside(finder.lines, chunk.old, near.at)
    return near.at, "\n".join(rows), "Read the file again and repeat its lines exactly."


def beside(lines: Sequence[str], block: Sequence[str], at: int) -> list[str]:
    """The differences, with line numbers of the file."""
    rows: list[str] = []
    for offset, wanted in enumerate(block):
        number = at + offset
        there = lines[number] if number < len(lines) else None
        if there is not None and there.rstrip() == wanted.rstrip():
            continue
        if len(rows) >= MOST_SHOWN:
            rows.append("  …")
            break
        has = "the end of the file" if there is None else quoted(there)
        rows.append(f"  line {number + 1}: the file has {has}, the patch expects {quoted(wanted)}")
    return rows


def nearest(lines: Sequence[str], block: Sequence[str]) -> Near | None:
    """Where most lines of the block stand in their order; else where its first words do."""
    forms = [folded(line) for line in lines]
    wanted = [folded(line) for line in block]
    where: dict[str, list[int]] = {}
    for at, form in enumerate(forms):
        if form:
            where.setdefault(form, []).append(at)
    votes: Counter[int] = Counter()
    for offset, form in enumerate(wanted):
        # A line that stands everywhere says nothing about the place.
        for at in where.get(form, [])[:MOST_SHOWN]:
            if at >= offset:
                votes[at - offset] += 1
    if votes:
        at, equal = min(votes.items(), key=lambda one: (-one[1], one[0]))
        return Near(at=at, equal=equal)
    return resembling(forms, wanted)


def resembling(forms: Sequence[str], wanted: Sequence[str]) -> Near | None:
    """The place of the line most like the block's first line with words."""
    offset = next((index for index, form in enumerate(wanted) if form), None)
    if offset is None:
        return None
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted[offset][:LONGEST])
    best, place = LIKE, -1
    for at, form in enumerate(forms[:MOST_COMPARED]):
        matcher.set_seq1(form[:LONGEST])
        if at < offset or matcher.real_quick_ratio() < best or matcher.quick_ratio() < best:
            continue
        ratio = matcher.ratio()
        if ratio > best:
            best, place = ratio, at
    return None if place < 0 else Near(at=place - offset, equal=0)
