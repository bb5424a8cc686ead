"""May a command run, where, and who is asked? Each answer with what decided it. Pure.

Rules come first, for each command of a script; what no rule speaks of is judged by the tables of
`octavo.policy.commands` and the approval policy. The strictest part decides for the whole. A
script that is not plain counts as one command: its shell.
"""

from enum import IntEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from octavo.policy.commands import FOLDERS, dangerous, known_safe, too_broad
from octavo.policy.rules import RuleSet, strictest
from octavo.policy.shell import Plain, Words, plain, script_in
from octavo.protocol.approvals import Granular

NEVER: Final = (
    "approval policy is Never; reject command — nobody can be asked, so run it without "
    "`sandbox_permissions` or find another way"
)
NOT_ASKED: Final = "reject command — under this approval policy escalation cannot be asked for"
HIDDEN: Final = (
    "reject command — the permission profile hides some paths, so nothing runs outside the sandbox"
)
DANGEROUS: Final = "it removes files by force"
UNPROVEN: Final = "it is not known to only read"
OUTSIDE: Final = "it would run outside the sandbox"
NOBODY: Final = "reject command — {why}, and nobody can be asked"
SETTINGS: Final = "reject command — {why}, and the approval settings refuse that kind of question"

NO_RULES: Final = RuleSet()


class Situation(Struct, frozen=True, kw_only=True):
    """In which a command wants to run."""

    policy: str
    """`on-request`, `untrusted`, `granular`; anything else asks nobody."""
    granular: Granular | None = None
    escalated: bool = False
    """Somebody wants it outside the sandbox."""
    sandboxed: bool = True
    """There is a sandbox at all."""
    hides: bool = False
    """Some paths may not be read: nothing runs outside then."""
    shell: str = "/bin/sh"
    """The user's own: its name is what it says."""
    platform: str = "linux"


class Allow(Struct, frozen=True, kw_only=True):
    """It may run."""

    outside: bool = False
    """Without the sandbox: rules allow every part of it."""
    because: str = ""


class Ask(Struct, frozen=True, kw_only=True):
    """Somebody decides."""

    because: str
    proposal: Words | None = None
    """First words whose rule would make this question unnecessary, alone."""
    parts: Plain | None = None


class Forbid(Struct, frozen=True, kw_only=True):
    """It does not run; the reason is for the model."""

    reason: str


Verdict = Allow | Ask | Forbid


class Level(IntEnum):
    """How strict one part is judged."""

    BY_RULE = 0
    ALLOWED = 1
    PROMPT = 2
    RULE_PROMPT = 3
    FORBIDDEN = 4


class Part(Struct, frozen=True):
    """One command of a script, judged."""

    words: Words
    level: Level
    because: str
    matched: bool = False


def decide(
    argv: Words, at: Situation, rules: RuleSet = NO_RULES, *, wanted: Words | None = None
) -> Verdict:
    """The verdict for a command line. `wanted`: the rule the model would like to have."""
    if at.escalated and not at.sandboxed:
        at = replace(at, escalated=False)
    if not rules.prefixes and at.policy != "untrusted" and not at.escalated:
        found = None  # nothing a parser would find out changes the answer
    else:
        found = split(argv, at)
    commands = (argv,) if found is None else found.commands
    parts = [judged(words, argv, found, at, rules) for words in commands]
    verdict = combined(parts, at)
    if not isinstance(verdict, Ask):
        return verdict
    found = split(argv, at) if found is None else found
    return Ask(
        because=verdict.because,
        proposal=proposed(argv, at, rules, parts, found, wanted),
        parts=None if found is None or found.heredoc else found,
    )


def split(argv: Words, at: Situation) -> Plain | None:
    """The commands a shell would run; None when they are not known."""
    script = script_in(argv)
    if script is None:
        return None
    folder = argv[0].rpartition("/")[0]
    if folder not in FOLDERS and argv[0] != at.shell:
        return None  # any program may be called bash
    return plain(script)


def judged(words: Words, argv: Words, found: Plain | None, at: Situation, rules: RuleSet) -> Part:
    """One command: what rules say, else what the tables and the policy say."""
    top = strictest(rules.trusted(words))
    if top is not None:
        rule = top.rule
        why = f"{rule.justification} — {rule}" if rule.justification else str(rule)
        if rule.decision == "forbidden":
            return Part(words, Level.FORBIDDEN, why, matched=True)
        if rule.decision == "prompt":
            return Part(words, Level.RULE_PROMPT, why, matched=True)
        if rules.broken:
            why = f"{rule} allows it, but what others say is unknown: {rules.broken[0]}"
            return Part(words, Level.RULE_PROMPT, why, matched=True)
        return Part(words, Level.BY_RULE, why, matched=True)
    proven = found is not None and not found.heredoc
    if proven and at.policy == "untrusted" and known_safe(words, platform=at.platform):
        return Part(words, Level.ALLOWED, "it only reads")
    if dangerous(words if proven else argv):
        return Part(words, Level.PROMPT, DANGEROUS)
    if at.policy == "untrusted":
        return Part(words, Level.PROMPT, UNPROVEN)
    if at.escalated:
        return Part(words, Level.PROMPT, OUTSIDE)
    return Part(words, Level.ALLOWED, "the sandbox holds it" if at.sandboxed else "no limits")


def combined(parts: list[Part], at: Situation) -> Verdict:
    """The strictest part decides."""
    top = max(parts, key=lambda part: part.level)
    if top.level is Level.FORBIDDEN:
        return Forbid(reason=f"reject command — forbidden: {top.because}")
    if at.escalated and at.hides:
        return Forbid(reason=HIDDEN)
    if top.level is Level.BY_RULE:
        return Allow(outside=at.sandboxed and not at.hides, because=top.because)
    if at.escalated and at.policy != "on-request":
        return Forbid(reason=NOT_ASKED if at.policy in ("untrusted", "granular") else NEVER)
    if top.level is Level.ALLOWED:
        return Allow(because=top.because)
    if at.policy == "granular" and at.granular is not None:
        by_rule = top.level is Level.RULE_PROMPT
        if not (at.granular.rules if by_rule else at.granular.sandbox_approval):
            return Forbid(reason=SETTINGS.format(why=top.because))
    elif at.policy not in ("on-request", "untrusted"):
        return Forbid(reason=NOBODY.format(why=top.because))
    return Ask(because=top.because)


def proposed(
    argv: Words,
    at: Situation,
    rules: RuleSet,
    parts: list[Part],
    found: Plain | None,
    wanted: Words | None,
) -> Words | None:
    """A rule that would have spared this question; None when no single one would.

    The model's own, if no rule matched and it is not too broad; else the exact words of the first
    part that was asked about.
    """
    if found is None or found.heredoc or rules.broken:
        return None
    asked = [part for part in parts if part.level is Level.PROMPT]
    if any(part.because == DANGEROUS for part in asked):
        return None  # more words may follow a prefix, and these remove what they name
    candidates = [part.words for part in asked[:1]]
    if wanted and not any(part.matched for part in parts):
        candidates.insert(0, tuple(wanted))
    for words in candidates:
        if too_broad(words):
            continue
        after = rules.with_prefix(words)
        again = combined([judged(one, argv, found, at, after) for one in found.commands], at)
        if isinstance(again, Allow) and (again.outside or not at.escalated):
            return words
    return None


def may_retry(at: Situation) -> bool:
    """Can somebody be asked to run a command outside, after the sandbox refused it something?"""
    if not at.sandboxed or at.hides or at.escalated:
        return False
    if at.policy == "granular":
        return at.granular is not None and at.granular.sandbox_approval
    return at.policy == "untrusted"
