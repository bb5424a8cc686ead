"""Which folders the sandbox accounts are allowed to read, the user's profile taken apart.

Pure: folders are listed through what the caller passes in. The profile itself never gets an
entry: it would be handed down to keys and credentials, and OpenSSH refuses keys that others read.
"""

from collections.abc import Iterable
from typing import Final

from octavo.sandbox.windows.paths import contains, fold, join, key
from octavo.sandbox.windows.plan import Facts
from octavo.sandbox.windows.sshconfig import Names, Read, dependencies

EXCLUDED: Final = frozenset(
    {
        ".ssh", ".tsh", ".brev", ".gnupg", ".aws", ".azure", ".kube", ".docker",
        ".config", ".npm", ".pki", ".terraform.d",
    }
)  # fmt: skip
OWN: Final = (".sandbox", ".sandbox-bin", ".sandbox-secrets")
"""Folders below Octavo's home that only their own lists open."""


def expand_profile(
    roots: Iterable[str], profile: str, *, home: str, read: Read, names: Names
) -> tuple[str, ...]:
    """The roots, with the profile replaced by its folders, without what must not be opened.

    The order of rules matters: a profile that cannot be listed drops out, and so stays closed.
    """
    found: list[str] = []
    for root in roots:
        if fold(root) == fold(profile):
            found += [join(profile, name) for name in names(profile)]
        else:
            found.append(root)
    closed = {fold(name) for name in EXCLUDED}
    closed |= {first for path in dependencies(profile, read, names)
               if (first := _first(path, profile)) is not None}  # fmt: skip
    kept = [
        root
        for root in found
        if not contains(root, profile)
        and _first(root, profile) not in closed
        and not contains(home, root)
    ]
    return tuple(sorted({key(root): root for root in kept}.values(), key=key))


def _first(path: str, profile: str) -> str | None:
    """The first name below the profile, folded; None for what lies elsewhere."""
    if not contains(profile, path) or fold(path) == fold(profile):
        return None
    return fold(path)[len(profile) + 1 :].split("\\")[0]


def read_roots(
    facts: Facts, write_roots: Iterable[str], readable: Iterable[str], *, read: Read, names: Names
) -> tuple[str, ...]:
    """Everything the group has to be able to read where a command may read everything.

    Write roots are left out: they get more. Octavo's programs come first.
    """
    writable = {fold(root) for root in write_roots}
    wanted = [*facts.system, facts.profile, facts.cwd, *readable]
    expanded = expand_profile(wanted, facts.profile, home=facts.home, read=read, names=names)
    rest = [root for root in expanded if fold(root) not in writable]
    return (join(facts.home, ".sandbox-bin"), *facts.runtime, *rest)
