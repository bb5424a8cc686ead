"""Make the development environment: .venv in the tree, with the locked dependencies.

Plain Python 3.11+ is all it needs. Runs in a moment when nothing changed.
"""

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "dev.txt"
VENV = ROOT / ".venv"
STAMP = VENV / "octavo-stamp"
INSTALL_DEADLINE_S = 1200


def main() -> int:
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        sys.exit(
            f"Octavo needs Python 3.11 to 3.14; this is {sys.version.split()[0]} ({sys.executable})."
        )
    wanted = fingerprint()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return 0
    print(f"Preparing {VENV} with Python {sys.version.split()[0]} …", flush=True)
    python = make_venv()
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    run([*pip, "--require-hashes", "-r", str(LOCK)])
    run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    drop_setuptools(python)
    run([str(python), "-m", "compileall", "-q", str(ROOT / "src")])
    STAMP.write_text(wanted)
    return 0


def fingerprint() -> str:
    parts = [
        LOCK.read_bytes(),
        (ROOT / "pyproject.toml").read_bytes(),
        sys.version.encode(),
        str(ROOT).encode(),
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def make_venv() -> Path:
    try:
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=os.name != "nt").create(VENV)
    except subprocess.CalledProcessError:
        sys.exit(
            "This Python cannot make a virtual environment with pip. "
            "On Debian and Ubuntu: apt-get install python3-venv; then run make again."
        )
    scripts = "Scripts" if sysconfig.get_platform().startswith("win") else "bin"
    return VENV / scripts / "python"


def drop_setuptools(python: Path) -> None:
    """Python 3.11 puts it in; nothing here needs it, and it slows every start by a millisecond."""
    run([str(python), "-m", "pip", "--quiet", "uninstall", "-y", "setuptools"])


def run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=INSTALL_DEADLINE_S)
    except subprocess.TimeoutExpired:
        sys.exit(f"Gave up after {INSTALL_DEADLINE_S} s: {' '.join(command)}")
    if done.returncode:
        sys.exit(f"This step failed with exit code {done.returncode}: {' '.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
