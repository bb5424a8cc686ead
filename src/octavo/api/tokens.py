"""Keys that a program prints: `[model_providers.ID.auth]`."""

import asyncio
from collections.abc import Mapping
from typing import Final

from octavo.config.schema import TokenCommand
from octavo.process.child import StartError
from octavo.process.run import Finished, run, start
from octavo.process.spec import Pipes, ProcessSpec
from octavo.protocol.errors import ModelError, ModelErrorKind
from octavo.protocol.seams import Clock

MOST_BYTES: Final = 64 * 1024


class CommandToken:
    """Asks the program when there is no token yet, when it is old, or when it was refused."""

    def __init__(
        self, command: TokenCommand, *, cwd: str, environ: Mapping[str, str], clock: Clock
    ) -> None:
        self._command = command
        self._cwd = command.cwd or cwd
        self._environ = dict(environ)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._made = 0.0

    async def __call__(self, *, renew: bool) -> str:
        """The token. Raises ModelError saying why there is none; what it printed is not shown."""
        async with self._lock:
            if renew or not self._token or self._old():
                self._token = await self._ask()
                self._made = self._clock.monotonic()
            return self._token

    def _old(self) -> bool:
        limit = self._command.refresh_interval_ms
        return limit > 0 and (self._clock.monotonic() - self._made) * 1000 >= limit

    async def _ask(self) -> str:
        command = self._command
        done = await self._printed()
        if done.timed_out:
            raise refused(f"{command.command} did not print a token in {command.timeout_ms} ms")
        if not done.status.ok:
            raise refused(f"{command.command} ended with exit code {done.status.shell_code}")
        token = done.stdout.text().strip()
        if not token or len(token) > MOST_BYTES or not token.isprintable():
            raise refused(f"{command.command} printed no token on one line")
        return token

    async def _printed(self) -> Finished:
        command = self._command
        spec = ProcessSpec(
            argv=(command.command, *command.args),
            env=self._environ,
            cwd=self._cwd,
            stdio=Pipes(stdin=False, merge_stderr=False),
        )
        try:
            return await run(await start(spec), timeout_s=command.timeout_ms / 1000)
        except StartError as error:
            raise refused(f"{command.command}: {error}") from error


def refused(reason: str) -> ModelError:
    """There is no key to ask with."""
    return ModelError(
        f"no key for the provider: {reason}",
        kind=ModelErrorKind.INVALID_REQUEST,
        hint="look at [model_providers.ID.auth] in config.toml",
    )
