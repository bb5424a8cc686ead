"""A settled profile -> what the planners take: rules as tuples, deny patterns expanded.

Patterns are expanded when a policy is built, within stated limits; a file that appears later and
matches is not hidden until the next policy. Too many matches is a refusal, never a cut list.
"""

import os
from typing import TYPE_CHECKING, Final, Literal

from octavo.policy import globs
from octavo.policy.profile import stand_ins
from octavo.sandbox.spec import Policy, Refused

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.sandbox.wish import Wish

MOST_MATCHES: Final = 10_000
MOST_ENTRIES: Final = 500_000
SKIPPED: Final = ("/proc", "/sys", "/dev")
PROTECTED: Final = "protected: "
OVERLAY: Final = "--overlay"
HELD_BACK: Final = "a secret that is put into requests"
GATEWAY: Final = "the proxy's authority"


def policy_of(profile: "EffectiveProfile", wish: "Wish") -> Policy:
    """The planner's form of a profile that has a sandbox.

    Raises Refused when a deny pattern names more than can be hidden.
    """
    written = [
        (
            rule.path,
            rule.access.value,
            PROTECTED + str(rule.ref) if rule.protected else str(rule.ref),
        )
        for rule in (*profile.rules, *profile.aliases)
    ]
    hidden = [
        (path, "none", str(rule.ref))
        for rule in profile.deny_globs
        for path in matches(profile, rule.path)
    ]
    hidden += [] if wish.overlay is None else [(layers(wish.overlay), "none", PROTECTED + OVERLAY)]
    seen = [(path, "read", PROTECTED + GATEWAY) for path in wish.readable]
    seen += [(path, "none", PROTECTED + HELD_BACK) for path in secret_files(profile)]
    return Policy(
        (*written, *hidden, *seen),
        network=network_of(profile, strict=wish.strict_network),
        unix=profile.network.unix_sockets,
        nested=wish.nested_namespaces,
        notify=wish.watch_denials,
        devices=wish.devices,
        stand_ins=stand_ins(profile),
        overlay=wish.overlay,
        gateway=wish.gateway if takes_gateway(profile) else (),
    )


def secret_files(profile: "EffectiveProfile") -> list[str]:
    """Files with secrets that are put into requests: no command needs to see them."""
    rules = profile.network.requests
    return [one.file for rule in rules for one in rule.inject if one.file is not None]


def takes_gateway(profile: "EffectiveProfile") -> bool:
    """Is a proxy the only way out, where somebody offers one? The profile names hosts."""
    return profile.network.enabled and is_limited(profile)


def layers(overlay: "tuple[str, str, str]") -> str:
    """The folder of all overlays, `overlays/THREAD/upper` being one: no command sees into it."""
    return os.path.dirname(os.path.dirname(overlay[1]))


def network_of(profile: "EffectiveProfile", *, strict: bool) -> Literal["on", "off", "none"]:
    """ "on", "off" (private loopback) or "none". Rules per host need the proxy: off without it."""
    network = profile.network
    if network.enabled and not is_limited(profile):
        return "on"
    return "none" if strict or not network.loopback else "off"


def is_limited(profile: "EffectiveProfile") -> bool:
    """Does the profile name hosts? Only a proxy can tell hosts apart; the kernel cannot."""
    return profile.network.by_host


def matches(profile: "EffectiveProfile", pattern: str) -> list[str]:
    """Existing paths a deny pattern names; nothing below a match, which is hidden as a whole."""
    glob = globs.compiled(pattern)
    found: list[str] = []
    seen = 0
    todo = [(glob.base, 0)]
    while todo:
        folder, depth = todo.pop()
        for entry in listing(folder):
            seen += 1
            if seen > MOST_ENTRIES or len(found) > MOST_MATCHES:
                raise Refused(
                    f'"{pattern}" = "deny"',
                    f"more than {MOST_MATCHES:,} matches or {MOST_ENTRIES:,} entries to look at",
                    "narrow the pattern, or set glob_scan_max_depth",
                )
            if glob.matches(entry.path):
                found.append(entry.path)
            elif may_descend(profile, entry, depth):
                todo.append((entry.path, depth + 1))
    return sorted(found)


def may_descend(profile: "EffectiveProfile", entry: "os.DirEntry[str]", depth: int) -> bool:
    limit = profile.glob_scan_max_depth
    if limit is not None and depth + 1 >= limit:
        return False
    return entry.is_dir(follow_symlinks=False) and entry.path not in SKIPPED


def listing(folder: str) -> "list[os.DirEntry[str]]":
    """The entries of a folder; none when this user cannot list it: then the command cannot either."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
