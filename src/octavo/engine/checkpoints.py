"""File states around a turn, without keeping the model waiting.

The state before is taken in a worker thread while the model thinks; the first tool that may write
waits for it. What cannot be kept is said once, and the work goes on, unless the settings demand it.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Final, Protocol

from octavo.protocol.errors import OctavoError
from octavo.protocol.ids import TurnId

BEGIN_S: Final = 0.02
"""After the first request was begun: by then it is on its way, and the machine has nothing to do."""
WAIT_S: Final = 60.0
"""So long a tool waits for the state before it, and a turn for the one after it."""
HARMLESS: Final = frozenset({"update_plan", "view_image", "request_user_input", "web_search"})
"""Tools that change no file."""


class States(Protocol):
    """Where file states are kept; all but `leave` block and raise OctavoError."""

    def before(self, turn: TurnId, stopped: Callable[[], bool], /) -> None: ...
    def after(self, turn: TurnId, stopped: Callable[[], bool], /) -> None: ...
    def idle(self, turn: TurnId, /) -> None: ...
    def leave(self) -> None: ...


class Checkpoints:
    """For the turns of a thread. `make` loads what takes states, in the worker thread."""

    def __init__(self, make: Callable[[], States], *, required: bool = False) -> None:
        self._make = make
        self._states: States | None = None
        self.required = required
        """No tool that may write runs without a checkpoint."""

    @property
    def states(self) -> States:
        """Where they are kept."""
        if self._states is None:
            self._states = self._make()
        return self._states

    def guard(
        self, turn: TurnId, warn: Callable[[str], None], fail: Callable[[OctavoError], None]
    ) -> "Guard":
        """For one turn. `warn` tells the user, `fail` ends the turn."""
        return Guard(self, turn, warn, fail)


class Guard:
    """The file states of one turn."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        turn: TurnId,
        warn: Callable[[str], None],
        fail: Callable[[OctavoError], None],
    ) -> None:
        self._checkpoints = checkpoints
        self._turn = turn
        self._warn = warn
        self._fail = fail
        self._stop = threading.Event()
        self._taken: asyncio.Future[OctavoError | None] | None = None
        self._used = False
        self._told = False
        self._over = False

    def begin_soon(self) -> None:
        """Take the state before the turn as soon as the request is on its way."""
        asyncio.get_running_loop().call_later(BEGIN_S, self.begin)

    def begin(self) -> None:
        """Take the state before the turn, unless that has begun."""
        if self._taken is None and not self._over:
            self._taken = asyncio.get_running_loop().run_in_executor(None, self._before)

    async def ready(self, tool: str) -> None:
        """Wait until this tool may run. Raises OctavoError."""
        if tool in HARMLESS:
            return
        self.begin()
        self._used = True
        problem = await self._waited()
        if problem is None:
            return
        if self._checkpoints.required:
            error = OctavoError(
                f"no checkpoint, so nothing is changed: {problem}",
                hint=problem.hint or "undo.required = false lets the work go on without",
            )
            self._fail(error)
            raise error
        self._tell(f"this turn cannot be undone: {problem}")

    async def finish(self) -> None:
        """The turn is over: take the state after it."""
        self._over = True
        if self._taken is None:
            return
        problem = await self._waited()
        if problem is None:
            self._taken = asyncio.get_running_loop().run_in_executor(None, self._after)
            problem = await self._waited()
            if problem is not None:
                self._tell(f"the files as this turn left them could not be noted: {problem}")

    def abandon(self) -> None:
        """The turn ends in a hurry: the worker is told to stop."""
        self._over = True
        self._stop.set()

    # ---- in the worker --------------------------------------------------------------------

    def _before(self) -> OctavoError | None:
        try:
            self._checkpoints.states.before(self._turn, self._stop.is_set)
        except OctavoError as error:
            return error
        if self._stop.is_set():  # nobody waits for it any more
            self._checkpoints.states.leave()
        return None

    def _after(self) -> OctavoError | None:
        states = self._checkpoints.states
        try:
            if self._used:
                states.after(self._turn, self._stop.is_set)
            else:
                states.idle(self._turn)
        except OctavoError as error:
            return error
        finally:
            states.leave()
        return None

    async def _waited(self) -> OctavoError | None:
        assert self._taken is not None
        try:
            async with asyncio.timeout(WAIT_S):
                return await asyncio.shield(self._taken)
        except TimeoutError:
            self._stop.set()
            return OctavoError(f"it was not ready after {WAIT_S:.0f} seconds")

    def _tell(self, text: str) -> None:
        if not self._told:
            self._told = True
            self._warn(text)
