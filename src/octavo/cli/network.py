"""`octavo network`: what rules per host would do, and what they did."""

import asyncio
import os
from typing import Final

import click
import msgspec

from octavo.api.ruling import Ruling
from octavo.api.sandbox import state_home
from octavo.cli.audit import newest, path_of
from octavo.cli.sandbox_ask import Ask, profile_of
from octavo.cli.words import one_line
from octavo.config.settings import load_settings
from octavo.policy.network import host_policy
from octavo.protocol.wire import JSON
from octavo.proxy.explain import Explanation, explain
from octavo.sandbox.request import is_limited
from octavo.store.audit import Entry, entries

REFUSED: Final = 1


@click.group("network")
def command() -> None:
    """Ask what commands may reach, and what they reached."""


@command.command("test")
@click.option("-s", "--sandbox", "mode", metavar="MODE", help="As for `octavo sandbox`.")
@click.option("-P", "--permission-profile", metavar="PROFILE", help="A [permissions.NAME].")
@click.option("-p", "--profile", "settings_profile", metavar="NAME", help="Also read NAME.config.toml.")  # fmt: skip
@click.option("-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting.")  # fmt: skip
@click.option("-C", "--cd", "cwd", metavar="DIR", help="The folder. Default: this one.")
@click.option("--allow", "allow_hosts", multiple=True, metavar="HOST[:PORT]", help="One more host.")
@click.option("--method", metavar="METHOD", help="Of a plain request, for limited mode.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.argument("target")
def test(target: str, *, method: str | None, as_json: bool, **options: object) -> int:
    """Say whether a command would reach TARGET (a URL, HOST or HOST:PORT), by which rule, and what
    would allow it. Names are looked up; nothing is connected to.

    Exit code: 0 it would, 1 it would not.
    """
    ask = Ask(argv=(), as_json=as_json, **options)  # type: ignore[arg-type]  # click checked them
    profile = profile_of(ask)
    network = profile.network
    if profile.unrestricted or (network.enabled and not is_limited(profile)):
        click.echo("every host: the network is on and no rule names hosts")
        return 0
    if not network.enabled:
        click.echo(f"no host: {network.ref}; to allow: --allow {target}")
        return REFUSED
    loaded = load_settings(
        home=state_home(os.environ), cwd=ask.folder, environ=os.environ, overrides=ask.overrides
    )
    policy = host_policy(network, Ruling(loaded)(), askable=False)
    found = asyncio.run(explain(policy, target, method=method))
    click.echo(msgspec.json.encode(found) if as_json else told(found))
    return 0 if found.decision.allowed else REFUSED


@command.command("log")
@click.argument("wanted", required=False, metavar="[FILE|THREAD]")
@click.option("--refused", is_flag=True, help="Only what was refused or did not come about.")
@click.option("--json", "as_json", is_flag=True, help="The lines of the audit record.")
def log(wanted: str | None, *, refused: bool, as_json: bool) -> None:
    """Say which hosts the commands of THREAD reached, and which not. Default: this folder's newest.

    Read from the audit record, where rules name hosts.
    """
    found = [entry for entry in entries(path_of(wanted) if wanted else newest())
             if entry.kind == "host" and not (refused and came_about(entry))]  # fmt: skip
    for entry in found:
        click.echo(JSON.encode(entry).decode() if as_json else row(entry))
    if not found and not as_json:
        click.echo("no host was refused" if refused else "no host was asked for")


def came_about(entry: Entry) -> bool:
    """Was the host reached?"""
    return entry.facts.get("verdict") == "reached" and not entry.facts.get("failure")


def row(entry: Entry) -> str:
    """One host, one line."""
    facts = entry.facts
    text = f"{entry.at}  {facts.get('verdict')}  {facts.get('host')}:{facts.get('port')}"
    if facts.get("failure"):
        text += f"  but not connected: {facts['failure']}"
    if facts.get("rule"):
        text += f"  [{facts['rule']}]"
    if facts.get("verdict") == "refused":
        text += f"  {facts.get('reason')}"
        text += f"; to allow: {facts['grant']}" if facts.get("grant") else ""
    return one_line(text)


def told(found: Explanation) -> str:
    """The verdict in a few lines."""
    decision = found.decision
    rule = "" if decision.rule is None else f", by {decision.rule}"
    lines = [f"{found.target}: {'allowed' if decision.allowed else 'refused'}{rule}"]
    if not decision.allowed:
        lines.append(f"  {decision.message}")
        if decision.grant:
            lines.append(f"  to allow: {decision.grant}")
    elif not found.resolved:
        lines.append("  the name cannot be looked up now")
    return "\n".join(lines)
