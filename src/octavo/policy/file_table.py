"""The `filesystem` table of a profile, into rules whose special roots are still names.

A key is a special root, an absolute path, `~/...`, or, inside a table of its own, a path relative
to the key above it. A value is read, write or deny. Patterns can only deny.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from octavo.policy import globs
from octavo.policy.paths import WINDOWS, inward, normalise, stronger
from octavo.policy.reader import Keys, Reader, entry_text
from octavo.policy.words import suggestion
from octavo.protocol.permissions import Access, FileRule

ACCESS: Final[Mapping[str, Access]] = {
    "read": Access.READ,
    "write": Access.WRITE,
    "deny": Access.NONE,
    "none": Access.NONE,
}
"""The words for an access; `none` is the older spelling of `deny`."""

SPECIAL: Final[Mapping[str, str]] = {
    ":root": ":root",
    ":minimal": ":minimal",
    ":workspace_roots": ":workspace_roots",
    ":project_roots": ":workspace_roots",
    ":tmpdir": ":tmpdir",
    ":slash_tmp": ":slash_tmp",
}
"""Special roots, and the name each goes by; `:project_roots` is the older spelling."""

FOLDERS_AS_A_WHOLE: Final = frozenset({":workspace_roots", ":cwd"})
DEPTH_KEY: Final = "glob_scan_max_depth"

RuleKey = tuple[str, bool]
"""A rule's path, and whether that is a pattern."""


class Grammar(NamedTuple):
    """In what a program's mapping differs from a settings file."""

    special: Mapping[str, str]
    program: bool
    """`./x` at the top lies under `:cwd`; an unknown `:name` is an error, not a newer file's."""


FILE: Final = Grammar(SPECIAL, program=False)
MAPPING: Final = Grammar({**SPECIAL, ":cwd": ":cwd"}, program=True)


class FileTable(NamedTuple):
    """What one `filesystem` table says."""

    rules: Mapping[RuleKey, FileRule]
    depth: int | None


def file_table(
    reader: Reader, keys: Keys, table: Mapping[str, object], grammar: Grammar
) -> FileTable:
    """Read one `filesystem` table found at `keys`."""
    rules: dict[RuleKey, FileRule] = {}
    depth: int | None = None
    for key, value in table.items():
        here = (*keys, key)
        key = inward(key)  # noqa: PLW2901 - the same key, as this room writes paths
        if key == DEPTH_KEY:
            depth = reader.count(here, value)
            continue
        base = _base(reader, here, key, grammar)
        if base is None:
            continue
        if isinstance(value, Mapping):
            inner = reader.table(here, value)
            read = [_nested(reader, (*here, k), base, k, v) for k, v in inner.items()]
        else:
            read = [_rule(reader, here, base, value)]
        for rule in read:
            known = rules.get((rule.path, rule.glob))
            rules[rule.path, rule.glob] = rule if known is None else stronger(known, rule)
    return FileTable(rules, depth)


def _base(reader: Reader, keys: Keys, key: str, grammar: Grammar) -> str | None:
    """The place a top-level key stands for; None when it is to be ignored."""
    if key in grammar.special:
        return grammar.special[key]
    if key.startswith(":"):
        head = key.partition("/")[0]
        if head in grammar.special:
            raise reader.problem(keys, f"a path below `{head}` goes into a table of its own")
        near = suggestion(key, grammar.special)
        if grammar.program:
            raise reader.problem(keys, f"unknown special root{near}")
        reader.warn(keys, f"unknown special root, ignored{near}")
        return None
    if key.startswith("//") and WINDOWS:
        raise reader.problem(keys, "names a device, which no rule can be about")
    if key == "~" or key.startswith(("/", "~/")):
        return key
    if grammar.program and (key == "." or key.startswith("./")):
        return ":cwd" if key == "." else f":cwd/{key[2:]}"
    where = "`./`, `/`, `~/`" if grammar.program else "`/`, `~/`"
    raise reader.problem(
        keys,
        f"relative path: begin with {where} or a special root",
        hint='paths in the workspace go into the table ":workspace_roots"',
    )


def _nested(reader: Reader, keys: Keys, base: str, key: str, value: object) -> FileRule:
    key = inward(key)
    if isinstance(value, Mapping):
        raise reader.problem(keys, "tables nest once: write the whole relative path as one key")
    if key.startswith(("/", "~/", ":")) or not key:
        raise reader.problem(keys, "expected a relative path inside this table")
    if base == ":minimal" and key != ".":
        raise reader.problem(keys, "`:minimal` stands for many folders and has no paths below it")
    place = globs.literal(base)
    if place is None:
        raise reader.problem(keys, "a pattern has no paths below it")
    return _rule(reader, keys, f"{globs.escape(place)}/{key}", value)


def _rule(reader: Reader, keys: Keys, text: str, value: object) -> FileRule:
    """The rule for a whole key: `text` is a pattern until it turns out to name one path."""
    access = ACCESS[reader.choice(keys, value, ACCESS)]
    if ".." in text.split("/"):
        raise reader.problem(keys, "`..` is not allowed: write the path it leads to")
    if access is Access.NONE and globs.has_braces(text):
        raise reader.problem(keys, "braces are not patterns: write one entry for each name")
    try:
        text = normalise(text)
        while text.endswith("/**"):  # all below a folder is the folder
            text = text[:-3] or "/"
        plain = globs.literal(text)
        if plain is None and not text.startswith(":"):
            globs.compiled(text.removeprefix("~"))
        elif plain is None:
            globs.compiled("/" + text.partition("/")[2])
    except ValueError as wrong:
        raise reader.problem(keys, str(wrong)) from wrong
    if plain is None and access is not Access.NONE:
        raise reader.problem(
            keys,
            f"patterns can only deny, found {entry_text(keys[-1], str(value))}",
            hint="a special character by itself is written in brackets: `[*]`, `[?]`, `[[]`",
        )
    path = text if plain is None else plain
    return FileRule(
        path=path,
        access=access,
        ref=reader.ref(keys, entry_text(keys[-1], str(value))),
        glob=plain is None,
        root=access is Access.WRITE and path in FOLDERS_AS_A_WHOLE,
    )
