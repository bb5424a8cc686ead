"""`notify` of the settings: a program that gets one JSON argument when a turn is over.

Its fields have the published names. It is started, not waited for, and has no standard streams.
"""

from collections.abc import Mapping, Sequence

import msgspec

from octavo.process.detached import start_detached


def message(
    *,
    thread_id: str,
    turn_id: str,
    cwd: str,
    inputs: Sequence[str],
    last_message: str | None,
    client: str | None = None,
) -> str:
    """What the program gets. Pure."""
    value: dict[str, object] = {
        "type": "agent-turn-complete",
        "thread-id": thread_id,
        "turn-id": turn_id,
        "cwd": cwd,
        "input-messages": [sendable(text) for text in inputs],
        "last-assistant-message": None if last_message is None else sendable(last_message),
    }
    if client is not None:
        value["client"] = client
    return msgspec.json.encode(value).decode()


def sendable(text: str) -> str:
    """The text without halves of letters."""
    return text.encode("utf-8", "replace").decode()


def start(argv: Sequence[str], text: str, *, env: Mapping[str, str], cwd: str) -> None:
    """Start the program with the message as its last argument. Raises StartError."""
    start_detached([*argv, text], env=env, cwd=cwd)
