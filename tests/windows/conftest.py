"""Nothing but `programs` and `tracing` beside the tests is shared."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pytest
import tracing


@pytest.fixture
def trace() -> tracing.Trace:
    """The record of what is asked of Windows, from here on."""
    found = tracing.live()
    if found is None:
        pytest.skip("nobody records what is asked of Windows: ./check --windows does")
    found.mark()
    return found


@pytest.fixture(scope="session")
def user() -> str:
    """SID of who runs the tests."""
    from octavo.sandbox.win32 import own

    return own.user_sid()


@pytest.fixture(scope="module")
def room(user):
    """The name of a desktop for all commands of a file."""
    from octavo.sandbox.win32 import desktop

    made = desktop.create(user, user)
    yield made.name
    made.close()


@pytest.fixture
def request_of(room, tmp_path):
    """Makes a good request for a runner; named fields differ."""
    from programs import env

    from octavo.sandbox.windows.frames import SpawnRequest

    def make(*words, **more):
        given = {
            "command": words,
            "cwd": str(tmp_path),
            "env": env(),
            "permission_profile": {},
            "workspace_roots": (str(tmp_path),),
            "octavo_home": str(tmp_path),
            "real_octavo_home": str(tmp_path),
            "cap_sids": ("S-1-5-21-1-2-3-4",),
            "tty": False,
            "private_desktop_name": room,
        }
        return SpawnRequest(**(given | more))

    return make
