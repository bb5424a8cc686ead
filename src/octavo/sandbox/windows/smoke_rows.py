"""The smoke test's rows: what is tried in the sandbox, and what has to come of it.

Pure. "denied" means a failed command and nothing on the disk; either alone is not enough.
"""

from dataclasses import dataclass
from typing import Final, Literal

Mode = Literal["read-only", "workspace-write"]
Expected = Literal["ok", "denied", "blocked", "refused", "stub", "known hole"]
"""blocked: it fails, and no connection arrives; refused: the sandbox itself says no, nothing runs;
stub: a program of ours answers in its place."""
Need = Literal["git", "rg", "curl", "powershell", "symlink", "elevated", "unelevated", "gui"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing to try.

    In `command` and in paths stand `{ws}` (the command's folder), `{out}` (a folder beside it),
    `{more}` (an additional root), `{home}` (Octavo's), `{temp}`, `{python}`, `{port}`, and
    `{share}` (`{out}` by way of this machine's own administrative share).
    """

    number: str
    name: str
    mode: Mode
    command: tuple[str, ...]
    expected: Expected
    before: tuple[tuple[str, str | None], ...] = ()
    """Files to make first: (path, content; None for a folder)."""
    links: tuple[tuple[str, str], ...] = ()
    """Junctions to make first: (path, target)."""
    written: tuple[str, str | None] | None = None
    """(path, content): what has to be there when it is ok, and must not be when it is denied. No
    content: that it exists."""
    unchanged: tuple[tuple[str, str], ...] = ()
    """Files that have to keep their content whatever happens."""
    gone: tuple[str, ...] = ()
    """What must no longer be there when it is ok."""
    output: str = ""
    """What has to be printed."""
    roots: tuple[str, ...] = ()
    network: Literal["off", "on"] = "off"
    needs: tuple[Need, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    exit_code: int = 0
    """What "ok" ends with."""
    after_s: int = 0
    """Look at `gone` so many seconds later; a child may have stayed behind."""
    control: bool = True
    """Try it without a sandbox too: there it has to work, or the row proves nothing."""


def cmd(line: str) -> tuple[str, ...]:
    return ("cmd.exe", "/d", "/c", line)


def shell(line: str) -> tuple[str, ...]:
    return ("powershell.exe", "-NoProfile", "-NonInteractive", "-Command", line)


def python(code: str) -> tuple[str, ...]:
    return ("{python}", "-I", "-c", code)


def write(path: str) -> tuple[str, ...]:
    return python(f"open(r'{path}', 'w').write('x')")


RO: Final = "read-only"
WS: Final = "workspace-write"
CONNECT: Final = "import socket; socket.create_connection(('127.0.0.1', {port}), 5)"
OLD: Final = (("{ws}\\old.txt", "old\n"),)
POWERSHELL: Final[tuple[Need, ...]] = ("powershell",)

ROWS: Final = (
    # the reference's table
    Row(number="1", name="write in the folder", mode=RO, command=cmd("echo x> a.txt"),
        expected="denied", written=("{ws}\\a.txt", None)),
    Row(number="2", name="write in the folder", mode=WS, command=cmd("echo x> a.txt"),
        expected="ok", written=("{ws}\\a.txt", "x\n")),
    Row(number="3", name="write beside it", mode=WS, command=cmd("echo x> {out}\\a.txt"),
        expected="denied", written=("{out}\\a.txt", None)),
    Row(number="3b", name="write in an additional root", mode=WS, roots=("{more}",),
        command=cmd("echo x> {more}\\a.txt"), expected="ok", written=("{more}\\a.txt", "x\n")),
    Row(number="3c", name="write in what was an additional root", mode=RO,
        command=cmd("echo x> {more}\\b.txt"), expected="denied", written=("{more}\\b.txt", None)),
    Row(number="4", name="write in TEMP", mode=WS, command=cmd("echo x> %TEMP%\\octavo-smoke.txt"),
        expected="ok", written=("{temp}\\octavo-smoke.txt", "x\n")),
    Row(number="5", name="write in TEMP", mode=RO, command=cmd("echo x> %TEMP%\\octavo-ro.txt"),
        expected="denied", written=("{temp}\\octavo-ro.txt", None)),
    Row(number="6", name="append", mode=WS, command=cmd("echo x>> old.txt"), before=OLD,
        expected="ok", written=("{ws}\\old.txt", "old\nx\n")),
    Row(number="7", name="append", mode=RO, command=cmd("echo x>> old.txt"), before=OLD,
        expected="denied", unchanged=(("{ws}\\old.txt", "old\n"),)),
    Row(number="8", name="PowerShell Set-Content", mode=WS, needs=POWERSHELL,
        command=shell("Set-Content p.txt x"), expected="ok", written=("{ws}\\p.txt", "x\n")),
    Row(number="9", name="PowerShell Set-Content", mode=RO, needs=POWERSHELL,
        command=shell("$ErrorActionPreference='Stop'; Set-Content p.txt x"),
        expected="denied", written=("{ws}\\p.txt", None)),
    Row(number="10", name="make a folder and write in it", mode=WS,
        command=cmd("mkdir d && echo x> d\\a.txt"), expected="ok", written=("{ws}\\d\\a.txt", "x\n")),
    Row(number="11", name="rename", mode=WS, before=OLD, command=cmd("ren old.txt new.txt"),
        expected="ok", written=("{ws}\\new.txt", "old\n"), gone=("{ws}\\old.txt",)),
    Row(number="12", name="delete", mode=WS, before=OLD, command=cmd("del old.txt"), expected="ok",
        gone=("{ws}\\old.txt",)),
    Row(number="13", name="Python writes", mode=RO, command=write("py.txt"), expected="denied",
        written=("{ws}\\py.txt", None)),
    Row(number="14", name="Python writes", mode=WS, command=write("py.txt"), expected="ok",
        written=("{ws}\\py.txt", "x")),
    Row(number="15", name="curl https", mode=WS, needs=("curl",), expected="blocked",
        command=("curl.exe", "-sS", "-m", "10", "https://example.com/")),
    Row(number="16", name="Invoke-WebRequest http", mode=WS, needs=POWERSHELL, expected="blocked",
        command=shell("$ErrorActionPreference='Stop'; Invoke-WebRequest -UseBasicParsing "
                      "-TimeoutSec 10 http://example.com/")),
    Row(number="17", name="loopback, direct", mode=WS, needs=("elevated",), expected="blocked",
        command=python(CONNECT)),
    Row(number="17b", name="loopback, PowerShell", mode=WS, needs=("elevated", "powershell"),
        command=shell("$ErrorActionPreference='Stop'; Invoke-WebRequest -UseBasicParsing "
                      "-TimeoutSec 5 http://127.0.0.1:{port}/"), expected="blocked"),
    Row(number="18", name="PowerShell TEMP", mode=RO, needs=POWERSHELL, expected="denied",
        command=shell("$ErrorActionPreference='Stop'; Set-Content $env:TEMP\\octavo-ps.txt x"),
        written=("{temp}\\octavo-ps.txt", None)),
    Row(number="19", name="curl starts", mode=WS, needs=("curl",), command=("curl.exe", "--version"),
        expected="ok", output="curl"),
    Row(number="20", name="rg starts", mode=WS, needs=("rg",), command=("rg", "--version"),
        expected="ok", output="ripgrep"),
    Row(number="21", name="git starts", mode=WS, needs=("git",), command=("git", "--version"),
        expected="ok", output="git version"),
    Row(number="22", name="beside an additional root", mode=WS, roots=("{more}",),
        command=cmd("echo x> {out}\\beside.txt"), expected="denied",
        written=("{out}\\beside.txt", None)),
    Row(number="23", name="the folder, beside an additional root", mode=WS, roots=("{more}",),
        command=cmd("echo x> own.txt"), expected="ok", written=("{ws}\\own.txt", "x\n")),
    Row(number="24", name="PowerShell WriteAllBytes", mode=WS, needs=POWERSHELL, expected="ok",
        command=shell("[IO.File]::WriteAllBytes('{ws}\\b.bin', @(120))"),
        written=("{ws}\\b.bin", "x")),
    Row(number="25", name="PowerShell WriteAllBytes", mode=RO, needs=POWERSHELL, expected="denied",
        command=shell("[IO.File]::WriteAllBytes('{ws}\\b.bin', @(120))"),
        written=("{ws}\\b.bin", None)),
    Row(number="26", name="deep folders", mode=WS, command=cmd("mkdir a\\b\\c\\d\\e"), expected="ok",
        written=("{ws}\\a\\b\\c\\d\\e", None)),
    Row(number="27", name="move a file", mode=WS, before=(*OLD, ("{ws}\\to", None)), expected="ok",
        command=cmd("move old.txt to\\old.txt"), written=("{ws}\\to\\old.txt", "old\n")),
    Row(number="28", name="redirection", mode=RO, command=cmd("dir > listing.txt"),
        expected="denied", written=("{ws}\\listing.txt", None)),
    Row(number="29", name="write through a junction", mode=WS, links=(("{ws}\\j", "{out}"),),
        command=cmd("echo x> j\\through.txt"), expected="denied",
        written=("{out}\\through.txt", None)),
    Row(number="30", name="junction into Windows", mode=WS, links=(("{ws}\\w", "C:\\Windows"),),
        command=cmd("echo x> w\\octavo-smoke.txt"), expected="denied",
        written=("C:\\Windows\\octavo-smoke.txt", None), control=False),
    Row(number="31", name="raw disk", mode=WS, expected="denied",
        command=python("open(r'\\\\.\\PhysicalDrive0', 'rb').read(512)"), control=False),
    Row(number="32", name="stream of a file outside", mode=WS, before=(("{out}\\f.txt", "old\n"),),
        command=write("{out}\\f.txt:s"), expected="denied", written=("{out}\\f.txt:s", None),
        unchanged=(("{out}\\f.txt", "old\n"),)),
    Row(number="32b", name="long spelling of a path outside", mode=WS, expected="denied",
        command=write("\\\\?\\{out}\\long.txt"), written=("{out}\\long.txt", None)),
    Row(number="33", name="other case of a closed name", mode=WS, before=(("{ws}\\.git", None),),
        command=cmd("echo x> .GiT\\config2"), expected="denied",
        written=("{ws}\\.git\\config2", None)),
    Row(number="34", name="the sandbox's own state", mode=WS, command=write("{home}\\cap_sid"),
        expected="denied", written=("{home}\\cap_sid", "x"), control=False),
    Row(number="35", name="ssh is the failing stub", mode=WS, needs=("unelevated",),
        command=cmd("ssh nobody@127.0.0.1"), expected="stub"),
    Row(number="36", name="folder swapped for a link while writing", mode=WS, expected="ok",
        command=python(
            "import os, subprocess\n"
            "for n in range(20):\n"
            "    os.makedirs('s', exist_ok=True)\n"
            "    os.rmdir('s')\n"
            "    subprocess.run(['cmd', '/d', '/c', 'mklink', '/J', 's', r'{out}'],"
            " capture_output=True)\n"
            "    try:\n"
            "        open(r's\\raced.txt', 'w').write('x')\n"
            "    except OSError:\n"
            "        pass\n"
            "    os.rmdir('s')"), gone=("{out}\\raced.txt",)),
    Row(number="37", name="junction of a junction", mode=WS, expected="denied",
        before=(("{ws}\\p", None),),
        links=(("{out}\\deep", "{out}\\target"), ("{ws}\\p\\q", "{out}\\deep")),
        command=cmd("echo x> p\\q\\deep.txt"), written=("{out}\\target\\deep.txt", None)),
    Row(number="38", name="a root that is a link to the whole drive", mode=WS, expected="refused",
        links=(("{more}\\drive", "C:\\"),), roots=("{more}\\drive",),
        command=cmd("echo x> {out}\\drive.txt"), written=("{out}\\drive.txt", None)),
    Row(number="39", name="by way of a network share", mode=WS, needs=("elevated",),
        command=cmd("echo x> {share}\\shared.txt"), expected="denied",
        written=("{out}\\shared.txt", None), control=False),
    Row(number="40", name="a child that stays behind", mode=WS, expected="ok",
        command=python(
            "import subprocess, sys\n"
            "subprocess.Popen([sys.executable, '-I', '-c', 'import threading;"
            "threading.Event().wait(2); open(r\"{out}\\\\late.txt\", \"w\")'],"
            " stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"),
        gone=("{out}\\late.txt",), after_s=4),
    Row(number="41", name="the shell opens an address", mode=RO, needs=("powershell", "gui"),
        command=shell("Start-Process https://example.com/"), expected="known hole"),
    # ours: the holes that were closed
    Row(number="o1", name="a folder above a closed one is renamed", mode=WS,
        before=(("{ws}\\a\\.git\\config", "old\n"),), roots=("{ws}\\a",),
        command=cmd("ren a b"), expected="denied", written=("{ws}\\b", None),
        unchanged=(("{ws}\\a\\.git\\config", "old\n"),)),
    Row(number="o2", name="delete a closed folder", mode=WS,
        before=(("{ws}\\.git\\config", "old\n"),), command=cmd("rmdir /s /q .git"),
        expected="denied", unchanged=(("{ws}\\.git\\config", "old\n"),)),
    Row(number="o3", name="change the list of a closed folder", mode=WS,
        before=(("{ws}\\.git\\config", "old\n"),),
        command=cmd("icacls .git /grant *S-1-1-0:(OI)(CI)F /t && echo x> .git\\config"),
        expected="denied", unchanged=(("{ws}\\.git\\config", "old\n"),)),
    Row(number="o4", name="make a repository, then write its settings", mode=WS, needs=("git",),
        command=cmd("git init -q . & echo x> .git\\config"), expected="denied",
        written=("{ws}\\.git\\config", "x\n")),
    *(Row(number=f"o5{letter}", name=f"make a missing {name}", mode=WS, expected="denied",
          command=cmd(f"mkdir {name} & echo x> {name}\\planted"),
          written=(f"{{ws}}\\{name}\\planted", None))
      for letter, name in zip("abcd", (".git", ".codex", ".agents", ".octavo"), strict=True)),
    Row(number="o6", name="replace the folder itself", mode=WS,
        command=cmd("cd .. && ren ws taken"), expected="denied", written=("{ws}\\..\\taken", None)),
    Row(number="o7", name="a second name for a closed file", mode=WS,
        before=(("{ws}\\.git\\config", "old\n"),),
        command=cmd("mklink /H second .git\\config && echo x> second"), expected="denied",
        unchanged=(("{ws}\\.git\\config", "old\n"),)),
    Row(number="o8", name="redirection to NUL", mode=RO, command=cmd("echo x> NUL"), expected="ok"),
    Row(number="o9", name="a pipe inside PowerShell", mode=WS, needs=POWERSHELL, expected="ok",
        command=shell("1..3 | ForEach-Object { $_ * 2 } | Out-String"), output="6"),
    Row(number="o10", name="the exit code is the command's", mode=RO, command=cmd("exit 7"),
        expected="ok", exit_code=7),
)  # fmt: skip
