"""Landlock: rights a process gives up for good, checked by the kernel on every path.

The second layer under the mount view, and the only one where namespaces are refused. It can add
rights below a path, never take them away again: no carve-outs inside a writable root.
See the kernel's Documentation/userspace-api/landlock.rst.
"""

import os
import sys

assert sys.platform == "linux"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

from octavo.sandbox.linux.sysc import (
    NR_LANDLOCK_ADD_RULE,
    NR_LANDLOCK_CREATE_RULESET,
    NR_LANDLOCK_RESTRICT_SELF,
    attempt,
    call,
    word,
)

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
REFER, TRUNCATE, IOCTL_DEV, RESOLVE_UNIX = 1 << 13, 1 << 14, 1 << 15, 1 << 16
ALL_OF_FIRST_ABI = (1 << 13) - 1

READ = EXECUTE | READ_FILE | READ_DIR
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # more is EINVAL on a file
EVERYTHING = ALL_OF_FIRST_ABI | REFER | TRUNCATE | IOCTL_DEV
WRITE = EVERYTHING & ~(MAKE_CHAR | MAKE_BLOCK)
PROC = READ | WRITE_FILE | TRUNCATE

SCOPE_ABSTRACT_UNIX, SCOPE_SIGNAL = 1, 2
RIGHTS = {"read": READ, "list": READ_DIR, "write": WRITE, "device": WRITE, "proc": PROC}
RULE_PATH_BENEATH = 1


def abi() -> int:
    """The kernel's Landlock version; 0 where it is missing or not enabled."""
    return max(0, attempt(NR_LANDLOCK_CREATE_RULESET, 0, 0, 1))


def handled(version: int) -> int:
    """Every file right this version can take away."""
    added = ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))
    rights = ALL_OF_FIRST_ABI
    for since, right in added:
        rights |= right if version >= since else 0
    return rights


def encode_rule(fd: int, rights: int) -> bytes:
    """struct landlock_path_beneath_attr, packed: rights, then the descriptor."""
    return word(rights) + word(fd, 4)


def rights_for(access: str, version: int, *, directory: bool) -> int:
    rights = RIGHTS[access] & handled(version)
    return rights if directory else rights & ON_FILES


def scopes_signals(version: int) -> bool:
    """From version 6 on, a restricted process can signal only its own domain."""
    return version >= 6


def restrict(version: int, *rules: "Iterable[bytes]") -> None:
    """Give up everything but these rules, for this process and all it starts. NO_NEW_PRIVS first."""
    scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL if scopes_signals(version) else 0
    attributes = word(handled(version))
    if version >= 4:
        attributes += word(0)  # TCP stays with the network namespace and the filter
    if version >= 6:
        attributes += word(scoped)
    ruleset = call(NR_LANDLOCK_CREATE_RULESET, attributes, len(attributes))
    try:
        for some in rules:
            for rule in some:
                call(NR_LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, rule)
        call(NR_LANDLOCK_RESTRICT_SELF, ruleset)
    finally:
        os.close(ruleset)
