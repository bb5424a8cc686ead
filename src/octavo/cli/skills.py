"""`octavo skills list`: the skills for work in this folder."""

import os

import click

from octavo.cli.words import encodable, one_line


@click.group("skills")
def command() -> None:
    """Show the skills of this folder."""


@command.command("list")
@click.option(
    "-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_skills(*, overrides: tuple[str, ...], as_json: bool) -> None:
    """Every skill: its name, what it is for, its file. Use one with `$NAME` in a prompt."""
    import msgspec

    from octavo.api.sandbox import state_home
    from octavo.config.settings import load_settings
    from octavo.config.skills import Skill, load_skills

    loaded = load_settings(
        home=state_home(os.environ), cwd=os.getcwd(), environ=os.environ, overrides=overrides
    )
    found = load_skills(loaded, os.environ)
    for warning in found.warnings:
        click.echo(f"octavo: {one_line(warning)}", err=True)

    def line(skill: Skill) -> str:
        off = "" if skill.enabled else " (switched off)"
        return f"{skill.name}{off}  {skill.short or skill.description}  ({skill.path})"

    for skill in found.found:
        if as_json:
            click.echo(msgspec.json.encode(encodable(msgspec.to_builtins(skill))).decode())
        else:
            click.echo(one_line(line(skill)))
