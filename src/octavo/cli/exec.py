"""`octavo exec`: one prompt, without a person; `resume` and `fork` go on with what was there."""

import os

import click

from octavo.exec.words import COLOURS, MODES, options_from


@click.command(context_settings={"auto_envvar_prefix": None})
@click.argument(
    "words",
    nargs=-1,
    metavar="[PROMPT] | resume [ID] [PROMPT] | fork ID [PROMPT] | review [PROMPT]",
)
@click.option("-m", "--model", metavar="NAME", help="The model to ask.")
@click.option("-s", "--sandbox", type=click.Choice(MODES), help="What commands may do.")
@click.option("-C", "--cd", "cwd", metavar="DIR", help="Work in this folder.")
@click.option("--add-dir", multiple=True, metavar="DIR", help="One more writable folder.")
@click.option(
    "-i",
    "--image",
    "images",
    multiple=True,
    metavar="FILE",
    help="A picture; repeat, or separate with commas.",
)
@click.option(
    "--json", "--experimental-json", "as_json", is_flag=True, help="Events as JSON lines on stdout."
)
@click.option(
    "-o",
    "--output-last-message",
    "last_message_file",
    metavar="FILE",
    help="Write the last message there.",
)
@click.option(
    "--output-schema",
    "schema_file",
    metavar="FILE",
    help="JSON schema the last message has to follow.",
)
@click.option(
    "--color",
    "colour",
    type=click.Choice(COLOURS),
    default="auto",
    help="Colours for people.",
)
@click.option(
    "-p", "--profile", metavar="NAME", help="Settings from NAME.config.toml over the usual ones."
)
@click.option(
    "-c",
    "--config",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="One setting, as TOML or plain text.",
)
@click.option(
    "--enable", multiple=True, metavar="FEATURE", help="The same as -c features.FEATURE=true."
)
@click.option(
    "--disable", multiple=True, metavar="FEATURE", help="The same as -c features.FEATURE=false."
)
@click.option(
    "--oss",
    "local",
    is_flag=True,
    help="A local provider (ollama, or oss_provider of the settings).",
)
@click.option("--local-provider", metavar="ID", help="Which local provider: ollama or lmstudio.")
@click.option(
    "--record",
    "record_file",
    metavar="FILE",
    help="Keep everything in a new file, for `octavo replay`.",
)
@click.option("--ephemeral", is_flag=True, help="Keep no thread.")
@click.option(
    "--skip-git-repo-check",
    "skip_git_check",
    is_flag=True,
    help="Also where there is no repository.",
)
@click.option(
    "--strict-config", "strict", is_flag=True, help="Unknown keys in the settings are errors."
)
@click.option(
    "--ignore-user-config", is_flag=True, help="Leave out config.toml of the home folder."
)
@click.option(
    "--dangerously-bypass-approvals-and-sandbox",
    "--yolo",
    "bypass",
    is_flag=True,
    help="No sandbox, no questions.",
)
@click.option("--plan", is_flag=True, help="Plan mode: look, change nothing, end with a plan.")
@click.option(
    "--overlay", is_flag=True, help="Linux: change a view of the folder; then octavo keep or drop."
)
@click.option("--uncommitted", is_flag=True, help="With review: what is in no commit (default).")
@click.option("--base", metavar="BRANCH", help="With review: what this branch brings to BRANCH.")
@click.option("--commit", metavar="SHA", help="With review: one commit.")
@click.option("--title", metavar="TEXT", help="With review --commit: what the commit is called.")
@click.option("--last", is_flag=True, help="With resume: the thread last written in this folder.")
@click.option("--all", "everywhere", is_flag=True, help="With resume --last: in any folder.")
@click.option("--thread-source", hidden=True)
@click.option("--cyber-access-program", hidden=True)
@click.option("--ignore-rules", is_flag=True, hidden=True)
@click.option(
    "--dangerously-bypass-hook-trust", is_flag=True, help="Run hooks that nobody has reviewed."
)
@click.option(
    "--approve-for-me",
    is_flag=True,
    help="A model reviews what needs an approval; what it does not allow is refused.",
)
def command(words: tuple[str, ...], **given: object) -> int:
    """Do one piece of work and end: PROMPT as an argument, from standard input, or both.

    The last message goes to stdout, everything else to stderr; `--json` gives events as lines.
    Commands run inside the sandbox; nobody is asked unless approval_policy is set to "on-request"
    and a terminal is there. Exit codes are listed in docs/exec.md.
    """
    from octavo.exec.run import run

    return run(options_from(words, given), os.environ)
