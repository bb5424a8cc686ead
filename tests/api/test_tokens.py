"""Keys from a program: asked once, again when old or refused, and never shown."""

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("children with pipes are POSIX only so far", allow_module_level=True)

from octavo.api.tokens import CommandToken
from octavo.config.schema import TokenCommand
from octavo.protocol.errors import ModelError


class Clock:
    def __init__(self):
        self.at = 0.0

    def monotonic(self):
        return self.at


def source(tmp_path, script, clock=None, **more):
    command = TokenCommand(command="/bin/sh", args=("-c", script), **more)
    return CommandToken(
        command, cwd=str(tmp_path), environ={"PATH": "/usr/bin:/bin"}, clock=clock or Clock()
    )


COUNTING = "echo x >> asked; echo token-$(wc -l < asked | tr -d ' ')"


async def test_it_is_asked_once_and_again_when_the_server_refused(tmp_path):
    token = source(tmp_path, COUNTING)
    assert [await token(renew=False), await token(renew=False)] == ["token-1", "token-1"]
    assert await token(renew=True) == "token-2"


async def test_an_old_token_is_made_anew(tmp_path):
    clock = Clock()
    token = source(tmp_path, COUNTING, clock, refresh_interval_ms=1000)
    await token(renew=False)
    clock.at = 0.9
    assert await token(renew=False) == "token-1"
    clock.at = 1.1
    assert await token(renew=False) == "token-2"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "exit code 3"), ("true", "no token"), ("printf 'a\\nb'", "no token"),
        ("sleep 60", "did not print"),
    ],
)  # fmt: skip
async def test_without_a_token_it_is_said_why_and_nothing_is_shown(tmp_path, script, why):
    token = source(tmp_path, f"echo secret >&2; {script}", timeout_ms=300)
    with pytest.raises(ModelError, match=why) as caught:
        await token(renew=False)
    assert "secret" not in str(caught.value)
    assert not caught.value.retryable


async def test_a_program_that_is_not_there(tmp_path):
    command = TokenCommand(command="/nonexistent/program")
    token = CommandToken(command, cwd=str(tmp_path), environ={}, clock=Clock())
    with pytest.raises(ModelError, match="nonexistent"):
        await token(renew=False)
