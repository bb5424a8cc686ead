"""`octavo exec`: one prompt, without a person; `resume` and `fork` go on with what was there."""

import os

import click

from octavo.exec.options import Options
from octavo.protocol.errors import UsageError

MODES = ("read-only", "workspace-write", "danger-full-access")
QUIETLY_ACCEPTED = ("--cyber-access-program", "--thread-source")
SUBCOMMANDS = ("resume", "fork")


@click.command(context_settings={"auto_envvar_prefix": None})
@click.argument("words", nargs=-1, metavar="[PROMPT] | resume [ID] [PROMPT] | fork ID [PROMPT]")
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
    type=click.Choice(("auto", "always", "never")),
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
@click.option("--last", is_flag=True, help="With resume: the thread last written in this folder.")
@click.option("--all", "everywhere", is_flag=True, help="With resume --last: in any folder.")
@click.option("--thread-source", hidden=True)
@click.option("--cyber-access-program", hidden=True)
@click.option("--ignore-rules", is_flag=True, hidden=True)
@click.option("--dangerously-bypass-hook-trust", is_flag=True, hidden=True)
def command(words: tuple[str, ...], **given: object) -> int:
    """Do one piece of work and end: PROMPT as an argument, from standard input, or both.

    The last message goes to stdout, everything else to stderr; `--json` gives events as lines.
    Commands run inside the sandbox; nobody is asked unless approval_policy is set to "on-request"
    and a terminal is there. Exit codes are listed in docs/exec.md.
    """
    from octavo.exec.run import run

    return run(options_from(words, given), os.environ)


def options_from(words: tuple[str, ...], given: dict[str, object]) -> Options:
    """The command line as values. Raises UsageError for what contradicts itself."""
    prompt, resume, fork = meant(words, last=bool(given["last"]))
    if (given["last"] or given["everywhere"]) and words[:1] != ("resume",):
        raise UsageError("--last and --all belong to `exec resume`")
    return Options(
        prompt=prompt,
        resume=resume,
        fork=fork,
        last=bool(given["last"]) or (words[:1] == ("resume",) and resume is None),
        everywhere=bool(given["everywhere"]),
        cwd=text(given["cwd"]),
        images=tuple(path for one in texts(given["images"]) for path in one.split(",") if path),
        as_json=bool(given["as_json"]),
        colour=given["colour"],  # type: ignore[arg-type]  # one of the choices
        schema_file=text(given["schema_file"]),
        last_message_file=text(given["last_message_file"]),
        ephemeral=bool(given["ephemeral"]),
        skip_git_check=bool(given["skip_git_check"]) or bool(given["bypass"]),
        profile=text(given["profile"]),
        overrides=(*outer(), *texts(given["overrides"]), *features(given)),
        flags=flags(given),
        strict=bool(given["strict"]),
        user_settings=not given["ignore_user_config"],
        local=bool(given["local"]),
    )


def meant(words: tuple[str, ...], *, last: bool) -> tuple[str | None, str | None, str | None]:
    """(prompt, thread to resume, thread to fork)."""
    match words:
        case ():
            return None, None, None
        case ("resume",):
            return None, None, None
        case ("resume", only) if last:
            return only, None, None
        case ("resume", thread):
            return None, thread, None
        case ("resume", thread, prompt) if not last:
            return prompt, thread, None
        case ("fork", thread):
            return None, None, thread
        case ("fork", thread, prompt):
            return prompt, None, thread
        case ("fork",):
            raise UsageError("`exec fork` needs the id or the name of a thread")
        case (prompt,):
            return prompt, None, None
        case _:
            raise UsageError(
                f"{len(words)} words where one prompt is expected", hint="put the prompt in quotes"
            )


def flags(given: dict[str, object]) -> dict[str, object]:
    """Options that stand for a setting, under its key."""
    found: dict[str, object] = {}
    if given["model"]:
        found["model"] = given["model"]
    if given["sandbox"]:
        found["sandbox_mode"] = given["sandbox"]
    if given["bypass"]:
        found["sandbox_mode"] = "danger-full-access"
        found["approval_policy"] = "never"
    if given["local_provider"]:
        found["model_provider"] = given["local_provider"]
    if given["add_dir"]:
        roots = [os.path.abspath(path) for path in texts(given["add_dir"])]
        found["sandbox_workspace_write.writable_roots"] = roots
    return found


def features(given: dict[str, object]) -> list[str]:
    on = [f"features.{name}=true" for name in texts(given["enable"])]
    return on + [f"features.{name}=false" for name in texts(given["disable"])]


def outer() -> tuple[str, ...]:
    """`-c` given before the command's name."""
    context = click.get_current_context(silent=True)
    found = (context.obj or {}).get("overrides", ()) if context is not None else ()
    return tuple(found)


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, tuple) else ()
