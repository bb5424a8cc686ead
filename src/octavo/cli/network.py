"""`octavo network`: what rules per host would do."""

import asyncio
import os
from typing import Final

import click
import msgspec

from octavo.api.ruling import Ruling
from octavo.api.sandbox import state_home
from octavo.cli.sandbox_ask import Ask, profile_of
from octavo.config.settings import load_settings
from octavo.policy.network import host_policy
from octavo.proxy.explain import Explanation, explain
from octavo.sandbox.request import is_limited

REFUSED: Final = 1


@click.group("network")
def command() -> None:
    """Ask what commands may reach, without running any."""


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
