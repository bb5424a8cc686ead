"""Install the published programs that the tests try Octavo with, into .sdks.

None becomes a dependency. Where their registries cannot be reached, or there is no Node, those
tests are skipped and say so. Runs in a moment when nothing is missing.
"""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SDKS = ROOT / ".sdks"
PYTHON = ("openai-codex==0.163.0", "pydantic>=2,<3", "packaging")
NODE = "@openai/codex-sdk@0.163.0"
UV = "uv==0.13.9"
INSPECTOR = "@modelcontextprotocol/inspector@1.0.3"
"""The newest that runs on Node 20; it asks for 22 and works all the same."""
DEADLINE_S = 300


def main() -> int:
    for name, install in (
        ("python", python_client),
        ("node", node_client),
        ("inspector", inspector),
        ("uv", installer),
    ):
        if (SDKS / name / "ready").exists():
            continue
        problem = install(SDKS / name)
        print(f"{name}: {problem or 'installed'}", flush=True)
        if problem is None:
            (SDKS / name / "ready").write_text("")
    return 0


def python_client(folder: Path) -> str | None:
    """Without the program it usually brings along."""
    venv.EnvBuilder(with_pip=True, clear=True).create(folder)
    pip = [str(folder / "bin/python"), "-m", "pip", "-q", "--disable-pip-version-check", "install"]
    return run([*pip, "--no-deps", PYTHON[0]]) or run([*pip, *PYTHON[1:]])


def node_client(folder: Path) -> str | None:
    return node_package(folder, NODE)


def inspector(folder: Path) -> str | None:
    """The official inspector of MCP servers, for its command line."""
    return node_package(folder, INSPECTOR)


def installer(folder: Path) -> str | None:
    """Not a client of ours: a program whose traffic the tests of the network look at."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install"]
    return run([*pip, "--target", str(folder), UV])


def node_package(folder: Path, package: str) -> str | None:
    npm = shutil.which("npm")
    if npm is None:
        return "there is no npm"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"private": true}\n')
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"]
    return run([npm, "install", "--silent", "--prefix", str(folder), *quiet, package])


def run(argv: list[str]) -> str | None:
    """None when it worked, else the last line of what it said."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
