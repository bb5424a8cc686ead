"""`octavo models`: what is known about models, and what a server can do."""

import asyncio
import os

import click
import msgspec


@click.group("models")
def command() -> None:
    """List known models; ask a server what it can do."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_models(*, as_json: bool) -> None:
    """The models this version knows: window and price per million tokens. Others work, too."""
    from octavo.model.catalog import MODELS

    for info in MODELS.values():
        if as_json:
            click.echo(msgspec.json.encode(info))
            continue
        price = (
            "" if info.price is None else f"${info.price.input:g} in, ${info.price.output:g} out"
        )
        click.echo(f"{info.name:24} {info.context_window:>9,} tokens  {price}".rstrip())


@command.command("check")
@click.option("--provider", metavar="ID", help="Another provider than the one of the settings.")
@click.option("-m", "--model", metavar="NAME", help="The model to try.")
@click.option(
    "-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def check(
    *, provider: str | None, model: str | None, overrides: tuple[str, ...], as_json: bool
) -> int:
    """Ask the server which models it has, and try whether it streams and calls tools.

    The exit code is 0 when all of it works, else 1.
    """
    from octavo.api.models import check_provider

    report = asyncio.run(
        check_provider(environ=os.environ, provider=provider, model=model, overrides=overrides)
    )
    if as_json:
        click.echo(msgspec.json.encode(report))
        return 0 if report.ok else 1
    click.echo(
        f"{report.provider} at {report.url}" + (f", model {report.model}" if report.model else "")
    )
    for finding in report.findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.question}: {finding.detail}")
    return 0 if report.ok else 1
