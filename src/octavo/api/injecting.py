"""Secrets that are put into requests on their way, so that commands never have them."""

import os
from collections.abc import Mapping
from typing import Final

from octavo.protocol.errors import ConfigError
from octavo.protocol.permissions import Injection, NetworkRules

MOST: Final = 64 * 1024
PLACEHOLDER: Final = "octavo-placeholder-not-a-secret"
"""What a command finds in the variable, for programs that want one to be set."""


def injections(network: NetworkRules) -> tuple[Injection, ...]:
    """All that the rules of a profile put in, each once."""
    return tuple(dict.fromkeys(one for rule in network.requests for one in rule.inject))


def injected(network: NetworkRules, environ: Mapping[str, str]) -> dict[Injection, str]:
    """The secrets themselves, without the end of a line. Reads files.

    Raises ConfigError when one is missing or cannot be a header.
    """
    return {one: secret(one, environ) for one in injections(network)}


def secret(one: Injection, environ: Mapping[str, str]) -> str:
    """One secret. Raises ConfigError, which never says what was found."""
    key = f"mitm.actions: {one.header}"
    if one.env is not None:
        found, where = environ.get(one.env, ""), f"the variable {one.env}"
    else:
        found, where = read(str(one.file), key), f"the file {one.file}"
    found = found.strip("\r\n")
    if not found:
        raise ConfigError(f"{key}: {where} is empty or missing; the command did not run", key=key)
    if not found.isascii() or any(letter < " " or letter == "\x7f" for letter in found):
        raise ConfigError(f"{key}: what {where} holds cannot be a header", key=key)
    return found


def read(path: str, key: str) -> str:
    """The text of a small file. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            data = file.read(MOST + 1)
    except OSError as wrong:
        reason = wrong.strerror or os.strerror(0)
        raise ConfigError(f"{key}: cannot be read: {reason}", file=path, key=key) from wrong
    if len(data) > MOST:
        raise ConfigError(f"{key}: more than {MOST:,} bytes", file=path, key=key)
    return data.decode("latin-1")


def placeholders(network: NetworkRules, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a command in which secrets would be: with something else in them, or empty."""
    names = (one.env for one in injections(network) if one.env is not None)
    if network.broker:
        return dict.fromkeys(names, PLACEHOLDER)
    return {name: "" for name in names if name in environment}
