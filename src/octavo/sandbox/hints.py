"""Refused reads of credentials, told by the words a command printed.

Every other refusal comes from evidence. A report of each refused read would cost every command
milliseconds, so for the stores that Octavo hides by itself the output is asked instead: one that
names such a store and speaks of a refusal. The read is refused by the kernel all the same; what
may be missing is only the record.
"""

from typing import TYPE_CHECKING, Final

from octavo.sandbox.denial import Denial

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile

WORDS: Final = (
    "permission denied",
    "eacces",
    "operation not permitted",
    "cannot open",
    "not readable",
)
GRANT: Final = '"{path}" = "read" in a profile, or deny_secrets = "none"'


def hinted(profile: "EffectiveProfile", output: str) -> tuple[Denial, ...]:
    """One record for each hidden store that the output names, if it speaks of a refusal at all."""
    lower = output.lower()
    if not any(word in lower for word in WORDS):
        return ()
    home = profile.places.home.rstrip("/")
    found = []
    for rule in profile.rules:
        if rule.access != "none" or not rule.protected:
            continue
        short = (
            "~" + rule.path.removeprefix(home) if rule.path.startswith(home + "/") else rule.path
        )
        if rule.path in output or short in output:
            grant = GRANT.format(path=short)
            found.append(
                Denial(operation="read", subject=rule.path, rule=rule.ref, grant=grant, at_ms=0)
            )
    return tuple(found)
