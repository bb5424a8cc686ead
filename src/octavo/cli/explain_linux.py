"""`octavo sandbox --explain` on Linux: the plan, step by step, in words."""

import shlex
import sys

import click

assert sys.platform == "linux"

from octavo.protocol.errors import SandboxUnavailable
from octavo.sandbox import ladder
from octavo.sandbox.backends import step
from octavo.sandbox.session import Session
from octavo.sandbox.spec import Plan, Policy, Refused

NETWORK = {
    "off": "no host can be reached; a private loopback works",
    "none": "no sockets at all",
    "on": "the host's network",
}


def explain(argv: tuple[str, ...], policy: Policy, session: Session) -> int:
    """Print the plan of the first mechanism that can hold the policy. Nothing is run."""
    for rung in session.rungs:
        try:
            plan = ladder.make_plan(policy, session, rung)
        except Refused as refusal:
            click.echo(f"{rung}: refused: {refusal.rule}: {refusal.reason}")
            continue
        if plan is not None:
            click.echo("\n".join(lines(argv, plan)))
            return 0
    raise SandboxUnavailable("no mechanism can hold this policy", hint=ladder.REMEDY)


def lines(argv: tuple[str, ...], plan: Plan) -> list[str]:
    made = [
        f"create {path} on the host as a mount point, removed afterwards"
        for path, _ in plan.creates
    ]
    steps = [step(spec).describe() for spec in plan.steps]
    numbered = [
        f"{number:3}. {text}" for number, text in enumerate([*made, *steps, *restrictions(plan)], 1)
    ]
    notes = [f"note: {text}" for text in plan.notes]
    weaker = [f"not held here: {text}" for text in plan.weaker]
    return [f"mechanism: {plan.rung}", *numbered, *notes, *weaker, f"then run: {shlex.join(argv)}"]


def restrictions(plan: Plan) -> list[str]:
    found = []
    if plan.rung != "landlock":
        found.append("own pid namespace and /proc; everything in it ends with the command")
    found.append(f"network: {NETWORK[plan.network]}")
    if plan.landlock:
        writable = [path for path, access in plan.landlock if access == "write"]
        found.append(f"Landlock: read everything named; write {', '.join(writable) or 'nothing'}")
    found.append("no new privileges, no capabilities, not dumpable")
    found.append("system calls: mounts, namespaces, tracing, keyrings, io_uring and others refused")
    if plan.notify:
        found.append("refusals and file changes are reported to this side")
    return found
