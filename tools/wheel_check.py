"""Build the wheel, install it into an empty environment, and run a command with it."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 600


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)], cwd=ROOT)
        wheel = next(place.glob("octavo-*.whl"))
        venv.EnvBuilder(with_pip=True).create(place / "env")
        pip = [str(place / "env/bin/python"), "-m", "pip", "-q", "install"]
        run([*pip, "-c", str(constraints(place)), str(wheel)])
        done = run([str(place / "env/bin/octavo"), "sandbox", "--", "echo", "from the wheel"])
        return 0 if done == "from the wheel\n" else 1


def constraints(place: Path) -> Path:
    """The locked versions without their hashes: the wheel itself has none."""
    lines = (ROOT / "requirements/dev.txt").read_text().splitlines()
    pins = [line.rstrip("\\ ") for line in lines if line and not line.startswith((" ", "#"))]
    target = place / "constraints.txt"
    target.write_text("\n".join(pins))
    return target


def run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=DEADLINE_S)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
