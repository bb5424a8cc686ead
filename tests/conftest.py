"""What every room's tests may use: a workspace, a home for Octavo's state, the installed program."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import settings

# The program loads these in a worker thread. Here pytest compiles what is imported, and some
# releases of Python lose count when two threads do that at once.
for late in ("octavo.store.checkpoints", "octavo.store.audit", "octavo.store.audit_facts"):
    import_module(late)

# machines differ and are shared; how long one example takes says nothing about the code
settings.register_profile("octavo", deadline=None)
settings.register_profile("octavo-fast", deadline=None, max_examples=10)
FAST = bool(os.environ.get("OCTAVO_FAST_TESTS"))
settings.load_profile("octavo-fast" if FAST else "octavo")

SLOW = (
    "api", "appserver", "cli", "doors", "escapes", "exec", "mcp", "mcpserver", "sdk", "stories",
    "testing", "sandbox/linux", "sandbox/test_secrets.py", "sandbox/test_denials_real.py",
    "config/test_edit.py", "store/test_undo.py", "store/test_thread.py",
)  # fmt: skip
"""Whole programs, sandboxes and published clients: minutes together, so `./check` leaves them out."""
ROOT = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """With OCTAVO_FAST_TESTS, which `./check` sets, slow places are not even looked into."""
    slow = any(collection_path == ROOT / name for name in (*SLOW, "windows"))
    return True if FAST and slow else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in one of the places of `SLOW` is slow."""
    places = tuple(ROOT / name for name in SLOW)
    for item in items:
        if any(place in (item.path, *item.path.parents) for place in places):
            item.add_marker(pytest.mark.slow)


PROGRAM = Path(sys.executable).with_name("octavo")
DEADLINE_S = 60


@pytest.fixture(scope="session")
def program() -> str:
    """The `octavo` that belongs to the Python that runs these tests."""
    if not PROGRAM.exists():
        pytest.skip("octavo is not installed beside this Python")
    return str(PROGRAM)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty folder for a command to work in."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def octavo_home(tmp_path: Path) -> Path:
    """An empty OCTAVO_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@dataclass
class Octavo:
    """Runs the program as a shell would, with a home and a folder of its own."""

    program: str
    home: Path
    cwd: Path
    env: dict[str, str] = field(default_factory=dict)

    def environ(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OCTAVO_", "CODEX_"))}
        return {**kept, "OCTAVO_HOME": str(self.home), **self.env, **more}

    def __call__(self, *args: str | bytes, env=None, cwd=None, **more):
        """Run to its end. `env` replaces single variables; the rest goes to subprocess.run."""
        options = {
            "cwd": cwd or self.cwd,
            "env": self.environ(**(env or {})),
            "stdin": subprocess.DEVNULL,
            "capture_output": True,
            "text": True,
            "errors": "surrogateescape",
            "timeout": DEADLINE_S,
            **more,
        }
        if "input" in options:
            del options["stdin"]
        return subprocess.run([self.program, *args], **options)

    def config(self, text: str) -> Path:
        """Write the settings file of this home."""
        path = self.home / "config.toml"
        path.write_text(text)
        return path


@pytest.fixture
def octavo(program: str, octavo_home: Path, workspace: Path) -> Octavo:
    return Octavo(program, octavo_home, workspace)


# A run started in the background finds the keyboard's signals ignored, and so would every command
# under test: what is tested here is a run as from a terminal.
for _number in (
    signal.SIGINT,
    signal.SIGTERM,
    *((signal.SIGHUP, signal.SIGQUIT) if os.name == "posix" else ()),
):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(
            _number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL
        )
