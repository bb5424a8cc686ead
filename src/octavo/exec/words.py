"""The words and options of `octavo exec` as values: by hand for the common forms, checked for all.

No click: it costs more than the rest of the way to the first request. What the hand parser does
not know it leaves to the command line proper, which explains.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from octavo.exec.options import Options
from octavo.protocol.errors import UsageError

if TYPE_CHECKING:
    from octavo.engine.review import Target

MODES: Final = ("read-only", "workspace-write", "danger-full-access")
COLOURS: Final = ("auto", "always", "never")
VALUES: Final = {
    "-m": "model", "--model": "model", "-s": "sandbox", "--sandbox": "sandbox", "-C": "cwd",
    "--cd": "cwd", "-o": "last_message_file", "--output-last-message": "last_message_file",
    "--output-schema": "schema_file", "--color": "colour", "-p": "profile",
    "--profile": "profile", "--local-provider": "local_provider",
    "--base": "base", "--commit": "commit", "--title": "title",
    "--record": "record_file", "--thread-source": "thread_source", "--cyber-access-program": "cyber_access_program",
}  # fmt: skip
SWITCHES: Final = {
    "--json": "as_json", "--experimental-json": "as_json", "--oss": "local",
    "--ephemeral": "ephemeral", "--skip-git-repo-check": "skip_git_check",
    "--strict-config": "strict", "--ignore-user-config": "ignore_user_config",
    "--dangerously-bypass-approvals-and-sandbox": "bypass", "--yolo": "bypass", "--last": "last",
    "--all": "everywhere", "--ignore-rules": "ignore_rules",
    "--dangerously-bypass-hook-trust": "dangerously_bypass_hook_trust",
    "--approve-for-me": "approve_for_me", "--plan": "plan", "--overlay": "overlay",
    "--uncommitted": "uncommitted",
}  # fmt: skip
LISTS: Final = {
    "--add-dir": "add_dir", "-i": "images", "--image": "images", "-c": "overrides",
    "--config": "overrides", "--enable": "enable", "--disable": "disable",
}  # fmt: skip
CHOICES: Final = {"sandbox": MODES, "colour": COLOURS}
PICTURES: Final = ("-i", "--image")
OF_REVIEWS: Final = ("uncommitted", "base", "commit", "title")
NOT_OF_REVIEWS: Final = {
    "plan": "--plan", "overlay": "--overlay", "schema_file": "--output-schema", "images": "--image",
}  # fmt: skip


def by_hand(args: Sequence[str]) -> Options | None:
    """The options of a plain invocation; None when somebody has to explain something.

    Raises UsageError for words that contradict each other.
    """
    given = nothing_given()
    words: list[str] = []
    args = [*args]
    literal = args.index("--") if "--" in args else None
    rest = iter(args if literal is None else with_pictures(args[:literal]))
    for word in rest:
        if not word.startswith("-") or word == "-":
            words.append(word)
        elif word in SWITCHES:
            given[SWITCHES[word]] = True
        elif not take_value(word, rest, given):
            return None
    if literal is not None:
        only_after = not words
        words += args[literal + 1 :]
        return options_from(tuple(words), given, plain=only_after)
    return options_from(tuple(words), given)


def nothing_given() -> dict[str, object]:
    """Every option as it is without being mentioned."""
    given: dict[str, object] = dict.fromkeys(VALUES.values())
    given |= dict.fromkeys(SWITCHES.values(), False)
    given |= dict.fromkeys(LISTS.values(), ())
    given["colour"] = "auto"
    return given


def with_pictures(args: Sequence[str]) -> list[str]:
    """Words before `--`: those that follow a picture are pictures, too."""
    found: list[str] = []
    for word in args:
        more = len(found) > 1 and found[-2] in PICTURES and not word.startswith("-")
        found += [PICTURES[0], word] if more else [word]
    return found


def take_value(word: str, rest: Iterable[str], given: dict[str, object]) -> bool:
    """An option with its value, `--name value` or `--name=value`; False for anything else."""
    name, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
    if name not in VALUES and name not in LISTS:
        return False
    found = value if joined else next(iter(rest), None)
    if found is None:
        return False
    if name in LISTS:
        before = given[LISTS[name]]
        assert isinstance(before, tuple)
        given[LISTS[name]] = (*before, found)
        return True
    given[VALUES[name]] = found
    return found in CHOICES.get(VALUES[name], (found,))


def options_from(
    words: tuple[str, ...], given: dict[str, object], *, plain: bool = False
) -> Options:
    """The command line as values; `plain`: the first word is no subcommand.

    Raises UsageError for what contradicts itself.
    """
    review: Target | None = None
    if words[:1] == ("review",) and not plain:
        review, words = to_review(words[1:], given), ()
    elif any(given[name] for name in OF_REVIEWS):
        raise UsageError("--uncommitted, --base, --commit and --title belong to `exec review`")
    prompt, resume, fork = meant(words, last=bool(given["last"]), plain=plain)
    resumes = words[:1] == ("resume",) and not plain
    if fork is not None and given["overlay"]:
        raise UsageError("--overlay is for new threads and `exec resume`")
    if (given["last"] or given["everywhere"]) and not resumes:
        raise UsageError("--last and --all belong to `exec resume`")
    return Options(
        prompt=prompt,
        resume=resume,
        fork=fork,
        plan=bool(given["plan"]),
        overlay=bool(given["overlay"]),
        review=review,
        last=resumes and resume is None,
        everywhere=bool(given["everywhere"]),
        cwd=text(given["cwd"]),
        add_dirs=tuple(os.path.abspath(path) for path in texts(given["add_dir"])),
        images=tuple(path for one in texts(given["images"]) for path in one.split(",") if path),
        as_json=bool(given["as_json"]),
        colour=given["colour"],  # type: ignore[arg-type]  # one of the choices
        schema_file=text(given["schema_file"]),
        last_message_file=text(given["last_message_file"]),
        record_file=text(given["record_file"]),
        ephemeral=bool(given["ephemeral"]),
        skip_git_check=bool(given["skip_git_check"]) or bool(given["bypass"]),
        profile=text(given["profile"]),
        overrides=(*texts(given["overrides"]), *features(given)),
        flags=flags(given, reviews=review is not None),
        strict=bool(given["strict"]),
        user_settings=not given["ignore_user_config"],
        local=bool(given["local"]),
        bypass_hook_trust=bool(given["dangerously_bypass_hook_trust"]),
    )


def to_review(words: tuple[str, ...], given: dict[str, object]) -> "Target":
    """What is to be reviewed: one of the options, the words, or what is not committed.

    Raises UsageError for two at once, and for options that mean nothing in a review.
    """
    from octavo.engine.review import (  # noqa: PLC0415 - seldom used
        BaseBranch,
        Commit,
        Custom,
        Uncommitted,
    )

    for name, option in NOT_OF_REVIEWS.items():
        if given[name]:
            raise UsageError(f"{option} means nothing in a review")
    base, commit, title = text(given["base"]), text(given["commit"]), text(given["title"])
    named: list[Target] = [Uncommitted()] if given["uncommitted"] else []
    named += [] if base is None else [BaseBranch(branch=base)]
    named += [] if commit is None else [Commit(sha=commit, title=title)]
    named += [Custom(instructions=word) for word in words]
    if len(named) > 1:
        raise UsageError(
            "a review has one target: --uncommitted, --base, --commit, or words in quotes"
        )
    if title is not None and commit is None:
        raise UsageError("--title names a --commit")
    return named[0] if named else Uncommitted()


def meant(
    words: tuple[str, ...], *, last: bool, plain: bool = False
) -> tuple[str | None, str | None, str | None]:
    """(prompt, thread to resume, thread to fork)."""
    match words:
        case ():
            return None, None, None
        case (prompt,) if plain:
            return prompt, None, None
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


def flags(given: dict[str, object], *, reviews: bool = False) -> dict[str, object]:
    """Options that stand for a setting, under its key."""
    found: dict[str, object] = {}
    if given["model"]:
        found["model"] = given["model"]
        if reviews:
            found["review_model"] = given["model"]
    if given["sandbox"]:
        found["sandbox_mode"] = given["sandbox"]
    if given["bypass"]:
        found["sandbox_mode"] = "danger-full-access"
        found["approval_policy"] = "never"
    if given["approve_for_me"]:
        found["approvals_reviewer"] = "auto_review"
        found.setdefault("approval_policy", "on-request")
    if given["local_provider"]:
        found["model_provider"] = given["local_provider"]
    return found


def features(given: dict[str, object]) -> list[str]:
    on = [f"features.{name}=true" for name in texts(given["enable"])]
    return on + [f"features.{name}=false" for name in texts(given["disable"])]


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, tuple) else ()
