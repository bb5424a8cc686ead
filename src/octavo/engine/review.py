"""A review of changes: what the reviewer is told, what it is asked, what its answer means. Pure.

The answer is JSON of a published shape. Models do not always keep to it: what can be understood of
it is, and what cannot is shown as it came.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from octavo.protocol.content import InputText
from octavo.protocol.history import Message, assistant
from octavo.protocol.items import CodeLocation, Finding, LineRange, Review

CORRECT: Final = "patch is correct"
INCORRECT: Final = "patch is incorrect"
LOWEST: Final = 3
"""The priority of what is only nice to have."""
TITLE_CHARS: Final = 80
SHORT_SHA: Final = 12
UNKNOWN: Final = "?"

# ---- what is reviewed -------------------------------------------------------------------------


class Uncommitted(Struct, frozen=True, kw_only=True):
    """What is in the folder and in no commit: staged, unstaged, untracked."""


class BaseBranch(Struct, frozen=True, kw_only=True):
    """What this branch would bring to another one."""

    branch: str
    merge_base: str | None = None
    """The commit both come from; None: the reviewer has to find it."""


class Commit(Struct, frozen=True, kw_only=True):
    """One commit."""

    sha: str
    title: str | None = None


class Custom(Struct, frozen=True, kw_only=True):
    """Whatever these words say."""

    instructions: str


Target = Uncommitted | BaseBranch | Commit | Custom


def words_of(target: Target) -> str:
    """A target in a few words, for people."""
    match target:
        case Uncommitted():
            return "uncommitted changes"
        case BaseBranch(branch=branch):
            return f"changes against {branch}"
        case Commit(sha=sha, title=title):
            return f"commit {sha[:SHORT_SHA]}" + (f": {title}" if title else "")
        case Custom(instructions=text):
            first = text.strip().split("\n", 1)[0]
            return first if len(first) <= TITLE_CHARS else first[: TITLE_CHARS - 1] + "…"


def prompt_for(target: Target) -> str:
    """What the reviewer is asked."""
    match target:
        case Uncommitted():
            return (
                "Review what is in this folder and in no commit yet: the staged and unstaged "
                "changes (`git diff HEAD`) and the untracked files (`git status --porcelain`), "
                "which count as new as a whole."
            )
        case BaseBranch(branch=branch, merge_base=str(base)):
            return (
                f"Review what this branch would bring to `{branch}`. Both come from commit {base}: "
                f"`git diff {base}` shows the changes."
            )
        case BaseBranch(branch=branch):
            return (
                f"Review what this branch would bring to `{branch}`. First find the commit both "
                f'come from, for example with `git merge-base HEAD "$(git rev-parse --abbrev-ref '
                f'"{branch}@{{upstream}}")"` or `git merge-base HEAD {branch}`; then look at '
                "`git diff` from there. If there is no such branch, say so in your explanation."
            )
        case Commit(sha=sha, title=title):
            named = f' ("{title}")' if title else ""
            return f"Review the commit {sha}{named}: `git show {sha}` shows what it changes."
        case Custom(instructions=text):
            return text.strip()


# ---- what the reviewer is told ------------------------------------------------------------------

RUBRIC: Final = """\
You review a change that somebody else has made to a code base. You change nothing yourself: \
commands run in a sandbox that only reads, and nobody can be asked. Instructions of the user or of \
the project about reviews come before what is said here.

What belongs into the review

Report what its author would thank you for and would mend at once. A finding is that only if all \
of this holds:
- It makes a real difference: to correctness, security, performance, or to whoever maintains it.
- It is one thing, and something can be done about it.
- This change brings it. What was wrong before is not part of the review.
- You can name the input, state or environment in which it happens, and have looked at the code \
that is affected. That something might break elsewhere is no finding until you have found where.
- It is not plainly what the author meant to do, and fixing it asks for no more care than the rest \
of the code base shows.

Matters of taste and style stay out, unless they hide the meaning or break a written rule of the \
project. Look through the whole change and report every finding of this kind, not only the first; \
and if there is none, report none.

How to write a finding
- Say why it is wrong and when it shows, as seriously as it is and no more. One paragraph, plain \
words, no praise, no blame; at most three lines of code, in backticks or a fence.
- The title says what is wrong in at most 80 characters.
- The location is the fewest lines that show it, rarely more than ten, and touches the change.
- priority: 0 stops everything and needs no assumption about input; 1 has to be mended next; 2 \
should be, in time; 3 would be nice; null when you cannot tell.
- confidence_score: how sure you are that it is real, from 0 to 1.

At the end judge the change as a whole: "patch is correct" if existing code and tests keep working \
and it has no defect that has to be mended before it is used, else "patch is incorrect". Small \
matters do not make it incorrect.

Your last message is exactly one JSON object, without a fence and without words around it:

{"findings": [{"title": "…", "body": "…", "confidence_score": 0.0, "priority": 1, \
"code_location": {"absolute_file_path": "/…", "line_range": {"start": 1, "end": 1}}}], \
"overall_correctness": "patch is correct", "overall_explanation": "one to three sentences", \
"overall_confidence_score": 0.0}

Every field is there each time, paths are absolute, lines are counted from 1 in the file as it is \
after the change. Do not write a fix or a patch."""


def exactly(**properties: object) -> dict[str, Any]:
    """The schema of an object that has all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMA: Final = exactly(
    findings={
        "type": "array",
        "items": exactly(
            title={"type": "string"},
            body={"type": "string"},
            confidence_score={"type": "number"},
            priority={"type": ["integer", "null"]},
            code_location=exactly(
                absolute_file_path={"type": "string"},
                line_range=exactly(start={"type": "integer"}, end={"type": "integer"}),
            ),
        ),
    },
    overall_correctness={"type": "string", "enum": [CORRECT, INCORRECT]},
    overall_explanation={"type": "string"},
    overall_confidence_score={"type": "number"},
)

# ---- what it answered ---------------------------------------------------------------------------


def parsed(text: str) -> Review:
    """The review in a reviewer's last message: all of it as JSON, else what is between the first
    and the last brace, else the text is the explanation."""
    for part in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            raw = msgspec.json.decode(part)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        if isinstance(raw, dict) and ("findings" in raw or "overall_explanation" in raw):
            return review_of(raw)
    return Review(overall_explanation=text.strip())


def review_of(raw: Mapping[str, Any]) -> Review:
    """What can be understood of an object; a finding without title and body is none."""
    listed = raw.get("findings")
    found = [finding_of(one) for one in listed] if isinstance(listed, list) else []
    verdict = text_in(raw, "overall_correctness").strip().lower().rstrip(".")
    return Review(
        findings=tuple(one for one in found if one is not None),
        overall_correctness=verdict if verdict in (CORRECT, INCORRECT) else "",
        overall_explanation=text_in(raw, "overall_explanation").strip(),
        overall_confidence_score=share(raw.get("overall_confidence_score")),
    )


def finding_of(raw: object) -> Finding | None:
    """One finding, its numbers brought into their ranges."""
    if not isinstance(raw, Mapping):
        return None
    title, body = text_in(raw, "title").strip(), text_in(raw, "body").strip()
    if not title and not body:
        return None
    priority = raw.get("priority")
    if isinstance(priority, bool) or not isinstance(priority, int):
        priority = None
    return Finding(
        title=title or body.split("\n", 1)[0][:TITLE_CHARS],
        body=body,
        confidence_score=share(raw.get("confidence_score")),
        priority=priority if priority is None or 0 <= priority <= LOWEST else None,
        code_location=location_of(raw.get("code_location")),
    )


def location_of(raw: object) -> CodeLocation:
    """A place; lines that make no sense become the first one."""
    place = raw if isinstance(raw, Mapping) else {}
    lines = place.get("line_range")
    lines = lines if isinstance(lines, Mapping) else {}
    start = line_number(lines.get("start"), 1)
    end = max(start, line_number(lines.get("end"), start))
    path = text_in(place, "absolute_file_path") or UNKNOWN
    return CodeLocation(absolute_file_path=path, line_range=LineRange(start=start, end=end))


def line_number(value: object, otherwise: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return otherwise
    return value if value > 0 else otherwise


def share(value: object) -> float:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    return min(max(float(value), 0.0), 1.0)


def text_in(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    return value if isinstance(value, str) else ""


# ---- how it is shown --------------------------------------------------------------------------


def rendered(review: Review, *, cwd: str) -> str:
    """A review in Markdown that reads well on a terminal; paths below `cwd` are shortened."""
    parts = []
    if review.overall_correctness:
        sure = f" (confidence {review.overall_confidence_score:.2f})"
        parts.append(review.overall_correctness.capitalize() + sure + ".")
    if review.overall_explanation:
        parts.append(review.overall_explanation)
    count = len(review.findings)
    if count:
        parts.append(f"{count} finding{'s' if count > 1 else ''}:")
        parts += [finding_text(one, cwd=cwd) for one in sorted(review.findings, key=urgency)]
    elif review.overall_correctness or not parts:
        parts.append("No findings.")
    return "\n\n".join(parts)


def urgency(finding: Finding) -> int:
    """Lower is shown first; what has no priority last."""
    return LOWEST + 1 if finding.priority is None else finding.priority


def finding_text(finding: Finding, *, cwd: str) -> str:
    """One finding: where, what, why."""
    mark = "" if finding.priority is None else f"[P{finding.priority}] "
    title = finding.title.removeprefix(mark).strip()
    head = f"- {mark}{title} — {place_of(finding.code_location, cwd=cwd)}"
    body = [f"  {line}".rstrip() for line in finding.body.split("\n")] if finding.body else []
    return "\n".join([head, *body])


def place_of(location: CodeLocation, *, cwd: str) -> str:
    """`file:line` or `file:first-last`."""
    path, lines = location.absolute_file_path, location.line_range
    below = cwd.rstrip("/") + "/"
    path = path.removeprefix(below)
    last = f"-{lines.end}" if lines.end > lines.start else ""
    return f"{path}:{lines.start}{last}"


# ---- what the thread remembers ------------------------------------------------------------------


def results(target: Target, review: Review, *, cwd: str) -> tuple[Message, Message]:
    """For later turns: that there was a review and what it said, then the same as an answer."""
    text = rendered(review, cwd=cwd)
    told = (
        f"<review_result>\nA review of {words_of(target)} was asked for and has been made by a "
        f"reviewer of its own. What it said:\n\n{text}\n</review_result>"
    )
    return (Message(role="user", content=(InputText(text=told),)), assistant(text))


def unfinished(target: Target) -> tuple[Message, Message]:
    """The same for a review that did not come to its end."""
    told = (
        f"<review_result>\nA review of {words_of(target)} was asked for and did not come to its "
        "end. There are no findings to rely on; ask before it is begun again.\n</review_result>"
    )
    said = "The review was stopped before it had a result."
    return (Message(role="user", content=(InputText(text=told),)), assistant(said))
