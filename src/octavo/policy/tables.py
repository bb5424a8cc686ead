"""`[permissions.NAME]` tables, and a program's mapping of the same shape, into rules.

The edge: everything that can be wrong with a profile is found here and named with file, line
and key. Built-in profiles have a leading `:` and need no table.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from octavo.policy import network_table
from octavo.policy.file_table import FILE, MAPPING, Grammar, RuleKey, file_table
from octavo.policy.presets import BUILT_IN, preset
from octavo.policy.reader import Keys, OriginOf, Reader, nowhere, usage_error
from octavo.policy.words import quoted, suggestion
from octavo.protocol.permissions import FileRule, PermissionRules

PROFILE_KEYS: Final = (
    "extends", "filesystem", "network", "git_write", "protect_metadata", "description",
)  # fmt: skip


class Link(NamedTuple):
    """One profile in a chain of parents; a built-in one has no table."""

    name: str
    keys: Keys
    table: Mapping[str, object] | None


def from_tables(
    name: str,
    tables: Mapping[str, object],
    origin_of: OriginOf = nowhere,
    *,
    prefix: Keys = ("permissions",),
    asked: Keys | None = None,
) -> PermissionRules:
    """The rules of the profile `name`, its parents merged in: the child's keys win.

    `tables` is everything under `[permissions]`; `origin_of` tells where a whole key path was
    written, and `asked` is the key path that asked for `name`, if one did. `warnings` of the
    result say what was ignored. Raises ConfigError with file, line and key.
    """
    reader = Reader(origin_of, prefix=prefix)
    for own in tables:
        if own.startswith(":") or not own:
            raise reader.problem((own,), f"a profile of your own cannot be called {quoted(own)}")
    if name in BUILT_IN:
        return preset(name)
    if name not in tables:
        near = suggestion(name, (*tables, *BUILT_IN))
        whose = Reader(origin_of) if asked else Reader(origin_of, prefix=prefix[:-1])
        raise whose.problem(asked or prefix[-1:], f"there is no profile {quoted(name)}{near}")
    return _merged(reader, name, _chain(reader, name, tables), FILE)


def from_mapping(mapping: Mapping[str, object], *, name: str = "program") -> PermissionRules:
    """The rules a program wrote as a mapping of the same shape as a `[permissions.NAME]` table.

    `:cwd` and `./relative` stand for the command's folder, `extends` takes a built-in name, and
    `network` may also be a bool or `{"allow": [...], "deny": [...]}`. Raises UsageError.
    """
    reader = Reader(nowhere, error=usage_error)
    chain = [Link(name, (), reader.table((), mapping))]
    if "extends" in mapping:
        parent = reader.choice(("extends",), mapping["extends"], BUILT_IN)
        chain.append(Link(parent, (), None))
    return _merged(reader, name, chain, MAPPING)


def _chain(reader: Reader, name: str, tables: Mapping[str, object]) -> list[Link]:
    """The profile and its parents, child first."""
    links: list[Link] = []
    asked: Keys = ()
    while name not in BUILT_IN:
        names = [link.name for link in links]
        if name in names:
            circle = " → ".join(map(quoted, (*names[names.index(name) :], name)))
            raise reader.problem(asked, f"profiles extend each other in a circle: {circle}")
        if name not in tables:
            near = suggestion(name, (*tables, *BUILT_IN))
            raise reader.problem(asked, f"extends an unknown profile, {quoted(name)}{near}")
        table = reader.table((name,), tables[name])
        links.append(Link(name, (name,), table))
        if "extends" not in table:
            return links
        asked = (name, "extends")
        name = reader.text(asked, table["extends"])
    return [*links, Link(name, (), None)]


def _merged(reader: Reader, name: str, chain: Sequence[Link], grammar: Grammar) -> PermissionRules:
    """One set of rules from a chain, child first."""
    base = PermissionRules(name=name, files=())
    files: dict[RuleKey, FileRule] = {}
    network: network_table.Merged = {}
    switches: dict[str, bool] = {}
    depth: int | None = None
    for link in reversed(chain):
        if link.table is None:
            base = preset(link.name)
            files = {(rule.path, rule.glob): rule for rule in base.files}
            continue
        reader.known_keys(link.keys, link.table, PROFILE_KEYS)
        table = reader.table((*link.keys, "filesystem"), link.table.get("filesystem", {}))
        read = file_table(reader, (*link.keys, "filesystem"), table, grammar)
        files |= read.rules
        depth = depth if read.depth is None else read.depth
        keys = (*link.keys, "network")
        network_table.merge(reader, network, keys, _network(reader, keys, link.table, grammar))
        for key in ("git_write", "protect_metadata"):
            if key in link.table:
                switches[key] = reader.flag((*link.keys, key), link.table[key])
    written = bool(network or switches or tuple(files.values()) != base.files)
    rules = replace(
        base,
        name=name,
        files=tuple(files.values()),
        network=network_table.network_rules(reader, network, base.network),
        unrestricted=base.unrestricted and not written,
        protect=switches.get("protect_metadata", base.protect or written),
        git_write=switches.get("git_write", base.git_write),
        glob_scan_max_depth=depth,
    )
    return replace(rules, warnings=(*reader.warnings, *_endless(rules)))


def _network(
    reader: Reader, keys: Keys, profile: Mapping[str, object], grammar: Grammar
) -> Mapping[str, object]:
    """A profile's network table; a program may write it shorter."""
    value = profile.get("network", {})
    if not grammar.program:
        return reader.table(keys, value)
    if isinstance(value, bool):
        return {"enabled": value}
    table = dict(reader.table(keys, value))
    domains = dict(reader.table((*keys, "domains"), table.get("domains", {})))
    for verdict in ("deny", "allow"):
        names = reader.texts((*keys, verdict), table.pop(verdict, ()))
        domains |= {name: verdict for name in names if domains.get(name) != "deny"}
    if domains:
        return {"enabled": True, **table, "domains": domains}
    return table


def _endless(rules: PermissionRules) -> list[str]:
    """Patterns that may have to be looked for in a whole tree."""
    if rules.glob_scan_max_depth is not None:
        return []
    return [
        f"{rule.ref}: `**` looks through every folder; glob_scan_max_depth sets a limit"
        for rule in rules.files
        if rule.glob and "**" in rule.path.split("/")
    ]
