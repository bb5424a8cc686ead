"""Trying a table of commands through `octavo sandbox` itself, as a stranger would, and judging them.

What is on the disk counts as much as the exit code; and what has to be denied is tried without a
sandbox too, where it has to work: else the row would prove nothing.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from octavo.sandbox.windows.smoke_rows import Row

SECONDS: Final = 20
REMARKS: Final = ("octavo: note: ", "octavo: denied: ", "octavo: ended by ")
"""What Octavo says about commands that did run."""
SHOWN: Final = 400
"""Characters of output that are kept."""
Got = Literal["ok", "denied", "refused", "escaped", "failed", "time limit", "skipped", "no control"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a row."""

    number: str
    name: str
    policy: str
    expected: str
    got: Got
    passed: bool | None
    """None: it could not be tried here."""
    detail: str = ""
    exit_code: int | None = None
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    exit_code: int | None
    """None: the time limit."""
    stdout: str
    stderr: str
    duration_ms: int


class Listener:
    """A port of this machine that counts who comes."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port: int = self._socket.getsockname()[1]
        self.came = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="smoke listener")
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                connection, _ = self._socket.accept()
                connection.close()
                self.came += 1

    def close(self) -> None:
        """No more."""
        self._over.set()
        self._thread.join()
        self._socket.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and how rows are tried."""

    folder: str
    """Of our own, and new."""
    home: str
    backend: str
    options: tuple[str, ...] = ()
    """Of `octavo sandbox`, before the row's own."""
    launcher: tuple[str, ...] = (sys.executable, "-m", "octavo", "sandbox")
    environ: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    have: frozenset[str] = frozenset()
    """Which of the rows' needs are met."""


def smoke(rows: Iterable[Row], bench: Bench, tell: Callable[[Result], None]) -> list[Result]:
    """Try them all, one after the other."""
    found = []
    listener = Listener()
    try:
        for row in rows:
            result = _try(row, bench, listener)
            tell(result)
            found.append(result)
    finally:
        listener.close()
    return found


def needs_of_machine(which: Callable[[str], str | None] = shutil.which) -> frozenset[str]:
    """Programs that are installed here."""
    programs = {"git": "git", "rg": "rg", "curl": "curl.exe", "powershell": "powershell.exe"}
    return frozenset(need for need, program in programs.items() if which(program))


def _try(row: Row, bench: Bench, listener: Listener) -> Result:
    missing = [need for need in row.needs if need not in bench.have]
    if missing:
        return _result(row, "skipped", None, f"needs {', '.join(missing)}")
    if row.expected in ("denied", "blocked") and row.control:
        problem = _control(row, bench, listener)
        if problem:
            return _result(row, "no control", None, problem)
    area = _Area(row, bench, f"{bench.backend}-{row.number}", listener.port)
    before = listener.came
    try:
        area.make()
        ran = _run(area.confined(), area)
        _pause(row.after_s)
        return _judge(row, ran, area, arrived=listener.came > before)
    except OSError as error:
        return _result(row, "failed", passed=False, detail=f"cannot be tried: {error}")
    finally:
        area.clear()


def _control(row: Row, bench: Bench, listener: Listener) -> str:
    """Why the row would prove nothing here; "" when it works without a sandbox."""
    area = _Area(row, bench, f"{bench.backend}-{row.number}-control", listener.port)
    before = listener.came
    try:
        area.make()
        ran = _run(area.command(), area)
        if row.expected == "blocked":
            local = any("{port}" in word for word in row.command)
            works = listener.came > before if local else ran.exit_code == 0
        else:
            works = bool(area.effects()) if row.written or row.unchanged else ran.exit_code == 0
    except OSError as error:
        return f"cannot be tried without a sandbox: {error}"
    finally:
        area.clear()
    return "" if works else "without a sandbox it does not work here either"


def _judge(row: Row, ran: Ran, area: "_Area", *, arrived: bool) -> Result:
    detail = " ".join((ran.stderr + ran.stdout).split())[:SHOWN]
    effects = area.effects()

    def result(got: Got, passed: bool | None, more: str = "") -> Result:  # noqa: FBT001 - three values
        text = "; ".join(part for part in (more, detail) if part)
        return _result(row, got, passed, text, ran.exit_code, ran.duration_ms)

    refused = was_refused(ran)
    if row.expected == "known hole":
        return result("ok" if ran.exit_code == 0 else "denied", None)
    if row.expected == "ok":
        if refused:
            return result("refused", passed=False)
        if ran.exit_code is None:
            return result("time limit", passed=False)
        problems = area.missing(ran)
        good = ran.exit_code == row.exit_code and not problems
        return result("ok" if good else "failed", good, "; ".join(problems))
    if effects or arrived:
        return result("escaped", passed=False, more="; ".join(effects) or "a connection arrived")
    if row.expected == "refused" or refused:
        return result("refused" if refused else "failed", row.expected == "refused" and refused)
    if ran.exit_code is None:
        return result("time limit", passed=False)
    good = ran.exit_code == 1 if row.expected == "stub" else ran.exit_code != 0
    return result("denied" if good else "failed", good, "" if good else "it ended well")


def was_refused(ran: Ran) -> bool:
    """Did Octavo itself say no, whatever the reason? Then nothing ran, and nothing was proved."""
    said = [text for text in ran.stderr.splitlines() if text.startswith("octavo: ")]
    return ran.exit_code not in (0, None) and any(not text.startswith(REMARKS) for text in said)


def _result(
    row: Row,
    got: Got,
    passed: bool | None,  # noqa: FBT001 - three values
    detail: str = "",
    exit_code: int | None = None,
    duration_ms: int = 0,
) -> Result:
    return Result(
        number=row.number,
        name=row.name,
        policy=row.mode,
        expected=row.expected,
        got=got,
        passed=passed,
        detail=detail,
        exit_code=exit_code,
        duration_ms=duration_ms,
    )


class _Area:
    """The folders of one row."""

    def __init__(self, row: Row, bench: Bench, name: str, port: int) -> None:
        self._row, self._bench = row, bench
        self.folder = os.path.join(bench.folder, name)
        self.ws = os.path.join(self.folder, "ws")
        out = os.path.join(self.folder, "out")
        drive, rest = os.path.splitdrive(out)
        self.names = {
            "{ws}": self.ws,
            "{out}": out,
            "{more}": os.path.join(self.folder, "more"),
            "{temp}": os.path.join(self.folder, "temp"),
            "{home}": bench.home,
            "{python}": bench.python,
            "{port}": str(port),
            "{share}": f"\\\\localhost\\{drive.rstrip(':')}${rest}",
        }

    def filled(self, text: str) -> str:
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    def make(self) -> None:
        for name in ("{ws}", "{out}", "{more}", "{temp}"):
            os.makedirs(self.names[name])
        for path, content in self._row.before:
            self._put(self.filled(path), content)
        for path, target in self._row.links:
            if not os.path.isdir(self.filled(target)):
                os.makedirs(self.filled(target))
            junction(self.filled(target), self.filled(path))

    def _put(self, path: str, content: str | None) -> None:
        if content is None:
            os.makedirs(path)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(content)

    def command(self) -> list[str]:
        """Without a sandbox."""
        return [self.filled(word) for word in self._row.command]

    def confined(self) -> list[str]:
        """Through `octavo sandbox`."""
        row, words = self._row, [*self._bench.launcher, *self._bench.options]
        words += ["-s", row.mode, "-C", self.ws, "--network", row.network]
        for root in row.roots:
            words += ["--add-dir", self.filled(root)]
        return [*words, "--", *self.command()]

    def environ(self) -> dict[str, str]:
        temp = self.names["{temp}"]
        mine = {"TEMP": temp, "TMP": temp, "OCTAVO_HOME": self._bench.home}
        return {**self._bench.environ, **dict(self._row.env), **mine}

    def effects(self) -> list[str]:
        """What must not have happened, and did."""
        found = []
        if self._row.written is not None:
            path, content = map(self._maybe, self._row.written)
            assert path is not None
            if os.path.lexists(path) and (content is None or read(path) == content):
                found.append(f"{path} was written")
        for path, content in self._row.unchanged:
            if read(self.filled(path)) != content:
                found.append(f"{self.filled(path)} was changed")
        return found

    def missing(self, ran: Ran) -> list[str]:
        """What should have happened, and did not."""
        found = []
        if self._row.written is not None:
            path, content = map(self._maybe, self._row.written)
            assert path is not None
            if not os.path.lexists(path):
                found.append(f"{path} is missing")
            elif content is not None and read(path) != content:
                found.append(f"{path} has other content")
        found += [
            f"{self.filled(path)} is there"
            for path in self._row.gone
            if os.path.lexists(self.filled(path))
        ]
        if self._row.output and self._row.output not in ran.stdout:
            found.append(f"{self._row.output!r} was not printed")
        return found

    def _maybe(self, text: str | None) -> str | None:
        return None if text is None else self.filled(text)

    def clear(self) -> None:
        """Links first, so that nothing behind them is taken away."""
        for path, _ in self._row.links:
            with suppress(OSError):
                unlink(self.filled(path))
        shutil.rmtree(self.folder, ignore_errors=True)


def read(path: str) -> str | None:
    """Its text, line ends as one; None when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def junction(target: str, path: str) -> None:
    """A folder that is another one."""
    if sys.platform == "win32":
        import _winapi

        _winapi.CreateJunction(target, path)
    else:
        os.symlink(target, path)


def unlink(path: str) -> None:
    """Remove a junction, not what it shows."""
    if sys.platform == "win32":
        os.rmdir(path)
    else:
        os.unlink(path)


def _run(argv: Sequence[str], area: _Area) -> Ran:
    began = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - what the table says
        argv,
        cwd=area.ws,
        env=area.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as child:
        try:
            stdout, stderr = child.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            stdout, stderr = child.communicate()
            return Ran(None, stdout, stderr, SECONDS * 1000)
    return Ran(child.returncode, stdout, stderr, round((time.monotonic() - began) * 1000))


def _pause(seconds: int) -> None:
    if seconds:
        threading.Event().wait(seconds)


# Telling -----------------------------------------------------------------------------------------

MARKS: Final = {True: "pass", False: "FAIL", None: "-"}


def line(result: Result) -> str:
    """One line of the table."""
    text = f"{MARKS[result.passed]:5}{result.number:5}{result.policy:16}{result.name:45}"
    text += f"{result.expected:11}{result.got:11}"
    return text.rstrip() if result.passed else f"{text}{result.detail[:100]}".rstrip()


def summary(results: Sequence[Result]) -> str:
    """What it comes to."""
    passed = sum(each.passed is True for each in results)
    failed = sum(each.passed is False for each in results)
    return f"{passed} passed, {failed} failed, {len(results) - passed - failed} not tried"


def as_object(results: Sequence[Result]) -> list[dict[str, Any]]:
    """For JSON."""
    return [{name: getattr(each, name) for name in Result.__slots__} for each in results]
