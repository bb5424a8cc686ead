"""Fakes that ship with Octavo: use them to test what you build on it. Names load on first use."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from octavo.testing.cassette import Cassette
    from octavo.testing.clock import CountedIds, JumpingClock
    from octavo.testing.launcher import PretendLauncher
    from octavo.testing.model import ScriptedModel
    from octavo.testing.replays import Replayed, replay
    from octavo.testing.script import Reply, Script
    from octavo.testing.server import ModelServer

_HOMES = {
    "Cassette": "octavo.testing.cassette",
    "CountedIds": "octavo.testing.clock",
    "JumpingClock": "octavo.testing.clock",
    "ModelServer": "octavo.testing.server",
    "PretendLauncher": "octavo.testing.launcher",
    "Replayed": "octavo.testing.replays",
    "replay": "octavo.testing.replays",
    "Reply": "octavo.testing.script",
    "Script": "octavo.testing.script",
    "ScriptedModel": "octavo.testing.model",
}

__all__ = [
    "Cassette",
    "CountedIds",
    "JumpingClock",
    "ModelServer",
    "PretendLauncher",
    "Replayed",
    "Reply",
    "Script",
    "ScriptedModel",
    "replay",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'octavo.testing' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the lazy surface of the package

    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value
