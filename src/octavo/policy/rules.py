"""Rules for commands and hosts, and which of them a command meets. Values, no reading, pure.

All matching rules count, and the strictest decides. `octavo.policy.rule_file` reads them from
files, `octavo.config.rules` finds and amends the files.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

Decision = Literal["allow", "prompt", "forbidden"]
HostProtocol = Literal["http", "https", "socks5_tcp", "socks5_udp"]
HostDecision = Literal["allow", "prompt", "deny"]
STRICTNESS: Final[Mapping[str, int]] = {"allow": 0, "prompt": 1, "forbidden": 2}


class PrefixRule(Struct, frozen=True, kw_only=True):
    """Commands that begin with these words."""

    pattern: tuple[tuple[str, ...], ...]
    """For each word what it may be."""
    decision: Decision = "allow"
    justification: str | None = None
    file: str = ""
    line: int = 0

    def prefix_of(self, words: Sequence[str]) -> tuple[str, ...] | None:
        """The words it matches; None when it does not. Token for token, nothing is guessed."""
        if len(words) < len(self.pattern):
            return None
        pairs = zip(self.pattern, words, strict=False)
        return tuple(words[: len(self.pattern)]) if all(w in one for one, w in pairs) else None

    def __str__(self) -> str:
        shown = " ".join("|".join(one) for one in self.pattern)
        where = f" ({self.file}:{self.line})" if self.file else ""
        return f"rule `{shown}`{where}"


class NetworkRule(Struct, frozen=True, kw_only=True):
    """What about connections to a host."""

    host: str
    protocol: HostProtocol
    decision: HostDecision
    port: int | None = None
    """None: any. Octavo's own."""
    justification: str | None = None
    file: str = ""
    line: int = 0


class RuleMatch(Struct, frozen=True, kw_only=True):
    """A rule that a command meets."""

    rule: PrefixRule
    prefix: tuple[str, ...]
    resolved: str | None = None
    """The absolute path that stood for the rule's first word."""


class RuleSet(Struct, frozen=True, kw_only=True):
    """All rules in force, the weakest layer first."""

    prefixes: tuple[PrefixRule, ...] = ()
    hosts: tuple[NetworkRule, ...] = ()
    programs: Mapping[str, tuple[str, ...]] = {}
    """Which absolute paths may stand for a bare name."""
    broken: tuple[str, ...] = ()
    """What is wrong with files that could not be read, one sentence with file and line each. As
    long as there is one, nothing is allowed by a rule: who knows what that file forbids."""

    def matches(self, words: Sequence[str], *, resolve: bool = False) -> tuple[RuleMatch, ...]:
        """Every rule a command meets. `resolve`: an absolute path may stand for its base name."""
        found = tuple(self._matches(words))
        if found or not resolve or not words or not words[0].startswith("/"):
            return found
        name = words[0].rpartition("/")[2]
        listed = self.programs.get(name)
        if listed is not None and words[0] not in listed:
            return ()
        return tuple(
            RuleMatch(rule=one.rule, prefix=one.prefix, resolved=words[0])
            for one in self._matches((name, *words[1:]))
        )

    def _matches(self, words: Sequence[str]) -> "list[RuleMatch]":
        return [
            RuleMatch(rule=rule, prefix=prefix)
            for rule in self.prefixes
            if (prefix := rule.prefix_of(words)) is not None
        ]

    def trusted(self, words: Sequence[str]) -> tuple[RuleMatch, ...]:
        """As `matches`, for permission: a path nobody listed is not what its name says.

        An agent can write a program called `git` into any folder; that a rule allows `git` says
        nothing about it. Rules that ask or forbid hold for every path.
        """
        found = self.matches(words, resolve=True)
        listed = bool(words) and words[0].rpartition("/")[2] in self.programs
        return tuple(
            one for one in found if one.resolved is None or listed or one.rule.decision != "allow"
        )

    def allowed_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """First words that are allowed without asking, for people and models to read."""
        rows = (rule.pattern for rule in self.prefixes if rule.decision == "allow")
        return tuple(dict.fromkeys(tuple("|".join(one) for one in row) for row in rows))

    def with_host(self, rule: NetworkRule) -> "RuleSet":
        """The same and one more rule about a host."""
        return RuleSet(
            prefixes=self.prefixes,
            hosts=(*self.hosts, rule),
            programs=self.programs,
            broken=self.broken,
        )

    def with_prefix(self, words: tuple[str, ...]) -> "RuleSet":
        """The same and one more rule that allows."""
        rule = PrefixRule(pattern=tuple((word,) for word in words))
        return RuleSet(
            prefixes=(*self.prefixes, rule),
            hosts=self.hosts,
            programs=self.programs,
            broken=self.broken,
        )


def strictest(matches: Sequence[RuleMatch]) -> RuleMatch | None:
    """The one that decides; the first of equals. None when there is none."""
    return max(matches, key=lambda one: STRICTNESS[one.rule.decision], default=None)


def merged(sets: Sequence[RuleSet]) -> RuleSet:
    """Rules of several files, the weakest first. What is broken in one spoils none of the others."""
    programs: dict[str, tuple[str, ...]] = {}
    for one in sets:
        for name, paths in one.programs.items():
            programs[name] = tuple(dict.fromkeys((*programs.get(name, ()), *paths)))
    return RuleSet(
        prefixes=tuple(rule for one in sets for rule in one.prefixes),
        hosts=tuple(rule for one in sets for rule in one.hosts),
        programs=programs,
        broken=tuple(word for one in sets for word in one.broken),
    )


def written(words: Sequence[str]) -> str:
    """The line that allows commands which begin with these words, as a rule file has it.

    Raises ValueError for no words and for half letters, which no file can hold.
    """
    if not words:
        raise ValueError("a rule needs at least one word")
    "".join(words).encode()  # UnicodeEncodeError is a ValueError
    pattern = ", ".join(quoted_word(word) for word in words)
    return f'prefix_rule(pattern=[{pattern}], decision="allow")'


def quoted_word(word: str) -> str:
    """A word as Starlark and Python both read it, on one line in every editor."""
    return '"' + "".join(ESCAPES.get(letter) or _letter(letter) for letter in word) + '"'


def _letter(letter: str) -> str:
    if letter < " " or letter in SEPARATORS:
        return f"\\u{ord(letter):04x}"
    return letter


ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
SEPARATORS: Final = frozenset("\x7f\x85\u2028\u2029\ufeff")
