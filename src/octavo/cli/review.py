"""`octavo review`: changes are looked at by a reviewer that writes nothing."""

import os

import click

from octavo.exec.words import COLOURS, nothing_given, options_from


@click.command(context_settings={"auto_envvar_prefix": None})
@click.argument("words", nargs=-1, metavar="[PROMPT]")
@click.option("--uncommitted", is_flag=True, help="What is in no commit yet (the default).")
@click.option("--base", metavar="BRANCH", help="What this branch would bring to BRANCH.")
@click.option("--commit", metavar="SHA", help="One commit.")
@click.option("--title", metavar="TEXT", help="With --commit: what the commit is called.")
@click.option("--json", "review_as_json", is_flag=True, help="The review as one JSON object.")
@click.option("-m", "--model", metavar="NAME", help="The model to ask; beats review_model.")
@click.option("-C", "--cd", "cwd", metavar="DIR", help="Review in this folder.")
@click.option("-p", "--profile", metavar="NAME", help="Settings from NAME.config.toml as well.")
@click.option(
    "-c", "--config", "overrides", multiple=True, metavar="KEY=VALUE", help="One setting."
)
@click.option(
    "-o",
    "--output-last-message",
    "last_message_file",
    metavar="FILE",
    help="Write the review there, in words.",
)
@click.option("--color", "colour", type=click.Choice(COLOURS), default="auto", help="Colours.")
@click.option("--ephemeral", is_flag=True, help="Keep no thread.")
@click.option(
    "--skip-git-repo-check",
    "skip_git_check",
    is_flag=True,
    help="Also where there is no repository.",
)
def command(words: tuple[str, ...], *, review_as_json: bool, **given: object) -> int:
    """Have changes reviewed: those in no commit, of a branch, of a commit, or what PROMPT says.

    The review goes to stdout, with file and line for each finding; everything else to stderr. The
    exit code says whether there was a review, not what it found: 0 also with findings.
    """
    from msgspec.structs import replace

    from octavo.exec.run import run

    options = options_from(("review", *words), nothing_given() | given)
    return run(replace(options, review_as_json=review_as_json), os.environ)
