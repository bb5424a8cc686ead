"""The skills in the prompt, and those somebody names in their words. Pure.

The model sees a list of names, descriptions and paths within a budget, and reads the file when a
description fits. `$name` in the user's words brings the text itself.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from octavo.protocol.content import InputText
from octavo.protocol.history import Message
from octavo.protocol.usage import BYTES_PER_TOKEN
from octavo.tools.truncate import size_of

BUDGET_PERCENT: Final = 2
"""Of the model's window, for the whole list."""
BUDGET_UNKNOWN: Final = 8_000
"""Letters, when nobody knows the window."""
BODY_BYTES: Final = 8_000
"""Of a skill that joins as a whole; the rest is in its file."""
SHORTEST: Final = 24
"""Letters of a description below which it says nothing."""
MENTION: Final = re.compile(r"(?<![\w$\\])\$([A-Za-z0-9][\w:.-]*)")
HEAD: Final = """\
## Skills
A skill is a folder with instructions in a `SKILL.md`, sometimes with scripts and other files. When \
the user names one, or a task clearly is what a description says, read its file before you begin \
and follow it; read further files only as it tells you to. Paths in it are seen from its folder. \
Say in a few words which skill you use. If one cannot be read or used, say so and go on without it."""


class Listed(Protocol):
    """What is known about a skill; `octavo.config.skills.Skill` is one."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def implicit(self) -> bool: ...
    @property
    def enabled(self) -> bool: ...


class Listing(Struct, frozen=True, kw_only=True):
    """The list as the model gets it."""

    text: str = ""
    warning: str | None = None


def budget(window: int | None) -> int:
    """Letters the list may have, for a window in tokens."""
    if window is None:
        return BUDGET_UNKNOWN
    return window * BYTES_PER_TOKEN * BUDGET_PERCENT // 100


def listing(skills: Iterable[Listed], letters: int) -> Listing:
    """The list within a budget: descriptions are shortened first, then skills left out."""
    shown = [skill for skill in skills if skill.enabled and skill.implicit]
    if not shown:
        return Listing()
    roots = list(dict.fromkeys(skill.root for skill in shown))
    names = {root: f"r{number}" for number, root in enumerate(roots)}
    longest = max(len(skill.description) for skill in shown)
    text = listed(shown, names, longest)
    if len(text) <= letters:
        return Listing(text=text)
    cap = fitting(shown, names, letters, longest)
    if cap >= SHORTEST:
        return Listing(
            text=listed(shown, names, cap),
            warning=f"descriptions of skills are shortened to {cap} letters to fit the prompt",
        )
    kept = shown
    while kept and len(listed(kept, names, SHORTEST)) > letters:
        kept = kept[:-1]
    dropped = len(shown) - len(kept)
    return Listing(
        text=listed(kept, names, SHORTEST) if kept else "",
        warning=f"{dropped} of {len(shown)} skills are not in the prompt: there is no room for them",
    )


def fitting(shown: Sequence[Listed], names: dict[str, str], letters: int, longest: int) -> int:
    """The longest description with which everything fits; 0 when nothing helps."""
    low, high = 0, longest
    while low < high:
        middle = (low + high + 1) // 2
        if len(listed(shown, names, middle)) <= letters:
            low = middle
        else:
            high = middle - 1
    return low


def listed(shown: Sequence[Listed], names: dict[str, str], cap: int) -> str:
    """The list with descriptions of at most `cap` letters."""
    used = dict.fromkeys(skill.root for skill in shown)
    rows = [HEAD, "### Folders", *(f"- `{names[root]}` = `{root}`" for root in used)]
    rows.append("### Available")
    for skill in shown:
        place = names[skill.root] + skill.path.removeprefix(skill.root)
        rows.append(f"- {skill.name}: {shortened(skill.description, cap)} (file: {place})")
    body = "\n".join(rows)
    return f"<skills_instructions>\n{body}\n</skills_instructions>"


def shortened(text: str, most: int) -> str:
    """At most so many letters."""
    return text if len(text) <= most else text[: max(most - 1, 0)].rstrip() + "…"


def mentioned(texts: Iterable[str], skills: Sequence[Listed]) -> list[Listed]:
    """The skills that these words name with a dollar, in their order; of two the nearest."""
    by_name: dict[str, Listed] = {}
    for skill in skills:
        if skill.enabled:
            by_name.setdefault(skill.name, skill)
    found: dict[str, Listed] = {}
    for text in texts:
        for match in MENTION.finditer(text):
            word = match[1]
            while word and word not in by_name and not word[-1].isalnum():
                word = word[:-1]  # the end of a sentence
            if word in by_name:
                found.setdefault(word, by_name[word])
    return list(found.values())


def skill_message(skill: Listed, body: str) -> Message:
    """A skill that somebody named, as the model gets it."""
    text = f"<skill>\n<name>{skill.name}</name>\n<path>{skill.path}</path>\n{cut(body, skill.path)}\n</skill>"
    return Message(role="user", content=(InputText(text=text),))


def cut(body: str, path: str) -> str:
    """The beginning of a long text, and where the rest is."""
    if size_of(body) <= BODY_BYTES:
        return body
    data = body.encode("utf-8", "replace")
    head = data[:BODY_BYTES].decode("utf-8", "ignore")
    left_out = len(data) - size_of(head)
    return f"{head}\n[… {left_out} bytes left out; read {path} for all of it …]"
