"""`octavo execpolicy check`: what rule files decide about a command, as JSON. Nothing runs."""

import sys
from typing import Any, Final

import click
import msgspec

from octavo.config.rules import read_file
from octavo.policy.rules import RuleMatch, merged, strictest

DECIDED: Final = {"allow": 0, "forbidden": 4, "prompt": 10, None: 11}
"""Exit codes with `--exit-code`."""


@click.group("execpolicy")
def group() -> None:
    """Work with rule files."""


@group.command(
    "check",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "-r", "--rules", "files", multiple=True, required=True, metavar="FILE",
    help="A rule file; may be given again, the weakest first.",
)  # fmt: skip
@click.option(
    "--resolve-host-executables",
    "resolve",
    is_flag=True,
    help="An absolute path may stand for its base name, as host_executable says.",
)
@click.option("--pretty", is_flag=True, help="Several lines.")
@click.option(
    "--exit-code",
    "tells",
    is_flag=True,
    help="End with 0 for allow, 4 for forbidden, 10 for prompt, 11 where no rule matches.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD...")
def check(
    *,
    files: tuple[str, ...],
    resolve: bool,
    pretty: bool,
    tells: bool,
    command: tuple[str, ...],
) -> None:
    """Print which rules CMD meets, and what the strictest of them decides.

    CMD is one command, word by word: `octavo execpolicy check -r my.rules -- git push`. Every file
    has to be right, with its examples; what is wrong is named with its line (exit code 3).
    """
    rules = merged([read_file(path) for path in files])
    found = rules.matches(command, resolve=resolve)
    top = strictest(found)
    answer: dict[str, Any] = {"matchedRules": [{"prefixRuleMatch": shown(one)} for one in found]}
    if top is not None:
        answer["decision"] = top.rule.decision
    data = msgspec.json.encode(answer)
    click.echo((msgspec.json.format(data, indent=2) if pretty else data).decode())
    if tells:
        sys.exit(DECIDED[None if top is None else top.rule.decision])


def shown(match: RuleMatch) -> dict[str, Any]:
    """A match as programs read it."""
    answer: dict[str, Any] = {
        "matchedPrefix": list(match.prefix),
        "decision": match.rule.decision,
    }
    if match.resolved is not None:
        answer["resolvedProgram"] = match.resolved
    if match.rule.justification is not None:
        answer["justification"] = match.rule.justification
    return answer
