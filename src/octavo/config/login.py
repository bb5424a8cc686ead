"""Writing keys to `auth.json`, and taking them out again. What other programs keep there stays."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from octavo.config.auth import AT_MOST, FILE, kept_keys
from octavo.config.look import read_regular
from octavo.config.replacing import locked, replace_file
from octavo.policy.paths import printable
from octavo.protocol.errors import ConfigError


def keep_key(home: str, name: str, value: str) -> None:
    """Write a key, for this user alone to read. Raises ConfigError."""

    def change(values: dict[str, object]) -> None:
        values[name] = value

    _edit(home, change)


def forget_key(home: str, name: str) -> bool:
    """Take a key out; False when it was not there. Raises ConfigError."""
    if name not in kept_keys(home):
        return False
    _edit(home, lambda values: values.pop(name, None))
    return True


def _edit(home: str, change: Callable[[dict[str, object]], object]) -> None:
    path = Path(home) / FILE
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path):
            kept_keys(home)  # says what is wrong with the file
            values: dict[str, object] = {}
            if path.exists():
                values = msgspec.json.decode(read_regular(str(path), AT_MOST))
            change(values)
            replace_file(path, msgspec.json.format(msgspec.json.encode(values)) + b"\n")
    except OSError as wrong:
        reason = wrong.strerror or str(wrong)
        raise ConfigError(f"cannot be written: {reason}", file=printable(str(path))) from wrong
