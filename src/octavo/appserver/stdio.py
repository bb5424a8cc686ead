"""`octavo app-server` over standard input and output: greet first, load and serve then."""

import os
import sys

from octavo.appserver.greeting import Greeted, greet, plain_home


def serve(overrides: tuple[str, ...]) -> int:
    """Serve the client on standard input until it ends; the exit code."""
    home = plain_home(os.environ)
    greeted: Greeted | None = Greeted(b"", None)
    if home is not None and sys.platform != "win32":
        greeted = greet(0, 1, home)
        if greeted is None:
            return 0
    assert greeted is not None
    import asyncio  # noqa: PLC0415 - after the first answer

    from octavo.appserver.listening import serve_started  # noqa: PLC0415 - after the first answer

    return asyncio.run(serve_started(overrides, greeted))
