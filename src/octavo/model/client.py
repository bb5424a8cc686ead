"""The seam between the engine and models: one method.

`octavo.model.http.HttpModelClient` talks to servers, `octavo.testing.ScriptedModel` plays a script.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from octavo.model.events import ModelEvent
from octavo.model.request import ModelRequest


class ModelClient(Protocol):
    """Anything that answers requests."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask once; the answer arrives as values and ends with `Done`.

        Close the generator (`contextlib.aclosing`) when leaving early: that frees the
        connection. Raises ModelError; whether to ask again is the caller's decision, see
        `octavo.model.retry`.
        """
        ...
