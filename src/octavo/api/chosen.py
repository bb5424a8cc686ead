"""What settings, options and a thread's past come to, for one session. No effects but reading."""

from collections.abc import Mapping

from msgspec import ValidationError, convert
from msgspec.structs import replace

from octavo.api.options import Given, ThreadOptions
from octavo.config.schema import Settings
from octavo.engine.budget import Budget, Meter
from octavo.engine.context import Surroundings
from octavo.engine.instructions import BASE
from octavo.engine.redact import Redactor
from octavo.engine.session import Parts, Session
from octavo.model.catalog import ModelInfo, Price
from octavo.model.request import Effort
from octavo.protocol.errors import ConfigError, UsageError
from octavo.store.thread import LoadedThread


def model_name(
    given: Given, options: ThreadOptions, settings: Settings, before: LoadedThread | None
) -> str:
    """The model of a session. Raises ConfigError where none is chosen."""
    named = options.model or settings.model
    if named is None and before is not None and before.turn_context is not None:
        named = before.turn_context.model or None
    if named is None and isinstance(given.model, str | None):
        raise ConfigError(
            "no model is chosen",
            key="model",
            hint='say `-m MODEL`, or set model = "..." in config.toml',
        )
    return named or "scripted"


def unreachable_s(given: Given, settings: Settings) -> float | None:
    """How long a server that cannot be reached is tried; None: for ever."""
    if given.unreachable_s is None and given.bounded:
        return settings.unreachable_timeout_ms / 1000
    return given.unreachable_s


def instructions(settings: Settings) -> str:
    """The base instructions."""
    path = settings.model_instructions_file
    return BASE if path is None else text_of_file("model_instructions_file", path)


def compact_prompt(settings: Settings) -> str | None:
    """What a model is asked when the history is shortened; None: the usual."""
    path = settings.experimental_compact_prompt_file
    if settings.compact_prompt is not None or path is None:
        return settings.compact_prompt
    return text_of_file("experimental_compact_prompt_file", path)


def text_of_file(key: str, path: str) -> str:
    """A text that the settings name by its file. Raises ConfigError."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"{key}: cannot be read: {reason}", file=path) from error


def priced(info: ModelInfo, settings: Settings) -> ModelInfo:
    """What is known about a model, with the settings' own price."""
    given = settings.model_prices.get(info.name)
    if given is None:
        return info
    cached = given.input if given.cached_input is None else given.cached_input
    return replace(info, price=Price(input=given.input, cached_input=cached, output=given.output))


def meter_of(given: Meter | None, settings: Settings, info: ModelInfo) -> Meter:
    """What may be spent. Raises LimitReached for a budget in money nobody can count."""
    limits = settings.budget
    meter = given or Meter(
        Budget(tokens=limits.tokens, usd=limits.usd, seconds=limits.seconds, turns=limits.turns)
    )
    meter.priced(info)
    return meter


def redactor(held: Mapping[str, str]) -> Redactor | None:
    """Takes the values of held-back variables out of what commands print; None: there are none."""
    if not held:
        return None
    found = Redactor(held)
    return found if found.any else None


def approval_word(settings: Settings) -> str:
    """The approval policy in one word."""
    policy = settings.approval_policy
    if not isinstance(policy, str):
        return "granular"
    return "on-request" if policy == "on-failure" else policy


def effort_of(options: ThreadOptions, settings: Settings) -> Effort | None:
    """How hard the model thinks, where somebody said it."""
    named = options.effort
    if named is None:
        return settings.model_reasoning_effort
    try:
        found: Effort = convert(named, Effort)
    except ValidationError:
        raise UsageError(f"{named!r} is no reasoning effort") from None
    return found


def loaded_session(parts: Parts, before: LoadedThread | None) -> Session:
    """A session with everything a thread from disk has seen."""
    if before is None:
        return Session(parts)
    return Session(
        parts,
        history=before.items,
        total=before.usage,
        last=before.tokens.last_token_usage if before.items else None,
        told=surroundings_of(before),
        windows=before.compactions,
    )


def surroundings_of(before: LoadedThread) -> Surroundings | None:
    """What the model was told last, where this program wrote it down; else it is told again."""
    try:
        return convert(before.world_state, Surroundings)
    except ValidationError:
        return None
