"""macOS: a settled profile -> a Seatbelt plan, and the library's side of starting commands with it.

Pure up to `Platform`: the plan can be made and printed on any system.
"""

import os
import secrets
import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from octavo.policy.profile import glob_tuples, rule_tuples
from octavo.protocol.errors import SandboxUnavailable
from octavo.protocol.permissions import RuleRef
from octavo.sandbox.confined import Confined
from octavo.sandbox.denial import Denial, Operation
from octavo.sandbox.plan_macos import SeatbeltPlan, plan_macos
from octavo.sandbox.request import GATEWAY, HELD_BACK, network_of, secret_files

if TYPE_CHECKING:
    from octavo.policy.profile import EffectiveProfile
    from octavo.process.spec import ProcessSpec
    from octavo.sandbox.macos.denials import Evidence
    from octavo.sandbox.wish import Wish


def plan_for(profile: "EffectiveProfile", wish: "Wish", *, tag: str = "") -> SeatbeltPlan:
    """The plan for a profile on this machine's disk. Raises SandboxUnavailable naming the rule."""
    if wish.nested_namespaces or wish.devices:
        raise SandboxUnavailable(
            "namespaces and device nodes are Linux's; Seatbelt has neither",
            hint="leave --nested and --device out",
        )
    if wish.overlay is not None:
        raise SandboxUnavailable(
            "overlays are Linux's; macOS has none", hint="work without --overlay"
        )
    return plan_macos(
        (
            *rule_tuples(profile),
            *((path, "read", GATEWAY) for path in wish.readable),
            *((path, "none", HELD_BACK) for path in secret_files(profile)),
        ),
        deny_globs=glob_tuples(profile),
        network="proxy" if wish.proxy_port else network_of(profile, strict=wish.strict_network),
        ports=(wish.proxy_port,) if wish.proxy_port else (),
        unix_sockets=profile.network.unix_sockets,
        tag=tag,
        canonical=os.path.realpath,
        missing=lambda path: not os.path.lexists(path),
    )


WORDS: dict[str, Operation] = {
    "file-read": "read",
    "file-write-create": "create",
    "file-write-unlink": "delete",
    "file-write": "write",
    "process-exec": "execute",
    "network": "connect",
    "system-socket": "socket",
    "mach": "kernel",
}


def denials_of(plan: SeatbeltPlan, evidence: "tuple[Evidence, ...]") -> tuple[Denial, ...]:
    """The system log's evidence as records, each with the rule that decided."""
    found: dict[tuple[str, str], Denial] = {}
    for item in evidence:
        operation = operation_of(item.operation)
        rule = plan.rule_named(item.message) or plan.rule_for(item.subject)
        text = "nothing allows it" if rule is None else f"{rule.path} ({rule.origin})"
        ref = RuleRef(text=text, source="default" if rule is None else "config")
        key = (operation, item.subject)
        before = found.get(key)
        found[key] = (
            Denial(operation=operation, subject=item.subject, rule=ref, grant="", at_ms=0)
            if before is None
            else replace(before, count=before.count + 1)
        )
    return tuple(found.values())


def operation_of(name: str) -> Operation:
    """Our word for a Seatbelt operation such as `file-write-data`."""
    for prefix, word in WORDS.items():
        if name.startswith(prefix):
            return word
    return "kernel"


def new_tag() -> str:
    """Marks the denials of one plan in the system log."""
    return "octavo-" + secrets.token_hex(6)


if sys.platform != "win32":
    from octavo.process import pipes

    class Platform:
        """macOS's side of `launcher.Launcher`. Denials of library commands are not collected yet."""

        def __init__(self, session: object) -> None:
            self._session = session

        async def start(
            self,
            spec: "ProcessSpec",
            profile: "EffectiveProfile",
            wish: "Wish",
            *,
            limits: tuple[tuple[str, int], ...],
        ) -> Confined:
            if limits:
                names = ", ".join(name for name, _ in limits)
                raise SandboxUnavailable(f"limits ({names}) are not held on macOS in this version")
            plan = plan_for(profile, wish)
            confined = replace(
                spec, argv=(*plan.prefix, *spec.argv), env={**spec.env, **plan.environment}
            )
            notes = (*plan.notes, "refused calls are not collected on macOS; see --log-denials")
            return Confined(await pipes.start(confined), rung="seatbelt", notes=notes)

        def close(self) -> None:
            """Commands belong to their callers; there are no helpers."""
