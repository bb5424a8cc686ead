"""Fixtures for the tests of programs that use Octavo: a scripted model, a server, a clock.

Active where the package is installed. Every pytest run loads this file, so it loads nothing else
until a fixture is used.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from octavo.model.client import ModelClient
    from octavo.testing.cassette import Cassette
    from octavo.testing.clock import CountedIds, JumpingClock
    from octavo.testing.model import ScriptedModel
    from octavo.testing.server import ModelServer


@pytest.fixture
def octavo_model() -> "ScriptedModel":
    """A model that says what the test scripts: `.calls("exec_command", cmd="ls").says("Done.")`."""
    from octavo.testing.model import ScriptedModel  # noqa: PLC0415

    return ScriptedModel()


@pytest.fixture
def octavo_model_server() -> "Iterator[ModelServer]":
    """The same as a server on loopback, running; script it before the first request."""
    from octavo.testing.server import ModelServer  # noqa: PLC0415

    with ModelServer() as server:
        yield server


@pytest.fixture
def octavo_clock() -> "JumpingClock":
    """A clock that jumps instead of waiting: `Engine.open(clock=octavo_clock, ...)`."""
    from octavo.testing.clock import JumpingClock  # noqa: PLC0415

    return JumpingClock()


@pytest.fixture
def octavo_ids() -> "CountedIds":
    """Names that are the same in every run."""
    from octavo.testing.clock import CountedIds  # noqa: PLC0415

    return CountedIds()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--octavo-record`: cassettes are recorded anew from a live model."""
    group = parser.getgroup("octavo")
    group.addoption(
        "--octavo-record", action="store_true", help="Record cassettes anew from a live model."
    )


@pytest.fixture
def octavo_cassette(request: pytest.FixtureRequest) -> "Callable[..., Cassette]":
    """A conversation recorded once: `model = octavo_cassette("name", live=client)`.

    It lies in `cassettes/NAME.jsonl` beside the test. It is recorded when it is not there and a
    live client is given, or with `--octavo-record`; otherwise it is played, and every request has
    to be the recorded one.
    """
    from octavo.testing.cassette import Cassette  # noqa: PLC0415

    folder = request.path.parent / "cassettes"
    anew = bool(request.config.getoption("--octavo-record"))

    def cassette(name: str, *, live: "ModelClient | None" = None, **more: object) -> "Cassette":
        path = folder / f"{name}.jsonl"
        wanted = live is not None and (anew or not path.exists())
        return Cassette(path, live=live if wanted else None, **more)  # type: ignore[arg-type]

    return cassette
