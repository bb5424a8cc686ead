"""Does a rule let this request through? Pure.

A host with such rules gets requests that one of them names, and no others. What programs and
servers might read differently (dots, doubled or encoded slashes in a path) meets no rule.
"""

from collections.abc import Callable, Sequence
from typing import Final

from octavo.policy.hosts import in_label
from octavo.protocol.permissions import RequestRule

AMBIGUOUS: Final = ("//", "\\", "%2f", "%5c", "%2e", "%00", "%25", "%3b", "%c0", "%c1")
"""The last four: what is decoded twice, parameters of a part, letters in too many bytes."""
Fields = Callable[[str], Sequence[str]]
"""The values of a header, its name in small letters."""


def matching(
    rules: Sequence[RequestRule], *, scheme: str, port: int, method: str, path: str, fields: Fields
) -> RequestRule | None:
    """The first rule that names a request; None when there is none. `path`: with its query."""
    place, _, query = path.partition("?")
    if not plain(place):
        return None
    return next(
        (
            rule
            for rule in rules
            if method in rule.methods
            and scheme in rule.schemes
            and (not rule.ports or port in rule.ports)
            and any(below(one, place) for one in rule.paths)
            and asks(rule.query, query)
            and says(rule.headers, fields)
        ),
        None,
    )


def plain(path: str) -> bool:
    """Can a path be read in one way only?"""
    low = path.lower()
    if not path.startswith("/") or any(one in low for one in AMBIGUOUS):
        return False
    # some servers cut a part off at its parameters, and then climb
    return not any(part.partition(";")[0] in (".", "..") for part in path.split("/"))


def below(prefix: str, path: str) -> bool:
    """Is a path what a prefix names, or something below? Parts of paths are compared whole."""
    if prefix.startswith("pattern:"):
        wanted, starred = prefix.removeprefix("pattern:"), True
    else:
        wanted, starred = prefix.removeprefix("literal:"), False
    parts, given = wanted.removesuffix("/").split("/"), path.split("/")
    if len(given) < len(parts) or (wanted.endswith("/") and len(given) == len(parts)):
        return False
    return all(
        in_label(one, part) if starred and "*" in one else one == part
        for one, part in zip(parts, given, strict=False)
    )


def asks(wanted: Sequence[tuple[str, tuple[str, ...]]], query: str) -> bool:
    """Is each of these keys there once, with one of its values?"""
    if not wanted:
        return True
    pairs = [one.partition("=") for one in query.split("&")]
    if any("%" in key or "+" in key for key, _, _ in pairs) or ";" in query:
        return False  # `;` parts a query as well, for some servers
    for name, values in wanted:
        found = [value for key, _, value in pairs if key == name]
        if len(found) != 1 or found[0] not in values:
            return False
    return True


def says(wanted: Sequence[tuple[str, tuple[str, ...]]], fields: Fields) -> bool:
    """Is each of these headers there once, with one of its values?"""
    for name, values in wanted:
        found = fields(name)
        if len(found) != 1 or found[0] not in values:
            return False
    return True
