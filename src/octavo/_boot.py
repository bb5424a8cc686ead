"""Entry point. Looks at argv by hand: `--version` and the common forms of `sandbox` take short ways.

Everything else goes to octavo.cli, which loads what its command needs. The short ways import no
argparse, re, json, pathlib or typing: those cost more than the sandbox itself.
"""

import gc
import os
import sys

from octavo._version import __version__


def main() -> int:
    """Run the command line of this process; returns the exit code."""
    fill_standard_descriptors()
    argv = sys.argv[1:]
    if argv in (["--version"], ["-V"]):
        print(f"octavo {__version__}", flush=True)
        os._exit(0)  # taking the interpreter apart would cost as much again
    if argv[:1] == ["sandbox"] and sys.platform == "linux":
        request = short_sandbox(argv[1:])
        if request is not None:
            gc.disable()  # nothing here lives long enough to be collected
            from octavo.sandbox.short import run_sandbox

            code = run_sandbox(request, own_homes(), package())
            if sys.stderr is not None:  # closed by whoever started us
                sys.stderr.flush()
            os._exit(code)
    if argv[:1] in (["exec"], ["e"]):
        ended = short_exec(argv[1:])
        if ended is not None:
            return ended
    if "app-server" in argv[:5]:
        ended = short_server(argv)
        if ended is not None:
            return ended
    from octavo.cli.main import run

    return run(argv)


def short_server(args: "list[str]") -> "int | None":
    """A plain `app-server` without click; None when the command line has something to explain."""
    from octavo.appserver.greeting import words
    from octavo.cli.report import guarded

    overrides = words(args)
    if overrides is None:
        return None

    def work() -> int:
        from octavo.appserver.stdio import serve

        return serve(overrides)

    return guarded(work)


def short_exec(args: "list[str]") -> "int | None":
    """A plain `exec` without click; None when the command line has something to explain."""
    from octavo.cli.report import guarded
    from octavo.exec.words import by_hand

    found: list[object] = []

    def work() -> int:
        options = by_hand(args)
        if options is None:
            return 0
        found.append(options)
        from octavo.exec.run import run

        return run(options, os.environ)

    code = guarded(work)
    return code if found or code else None


def fill_standard_descriptors() -> None:
    """A closed descriptor 0, 1 or 2 would be taken by the next file that is opened."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)


class Request:
    """The options of `octavo sandbox` that need no settings."""

    def __init__(self) -> None:
        self.mode = ""
        self.cwd = ""
        self.roots: list[str] = []
        self.network = ""
        self.tmpdir = True
        self.slash_tmp = True
        self.argv: list[str] = []


def short_sandbox(args: "list[str]") -> "Request | None":
    """The request, when it is a common one and no settings file has a say; else None."""
    request = Request()
    options = {
        "-s": "mode",
        "--sandbox": "mode",
        "-C": "cwd",
        "--cd": "cwd",
        "--network": "network",
    }
    at = 0
    if args[:1] in (["setup"], ["uninstall"], ["doctor"]):
        return None  # commands of their own
    if args[:1] == ["linux"]:
        at = 1
    while at < len(args) and args[at].startswith("-"):
        if args[at] == "--":
            at += 1
            break
        name = options.get(args[at])
        if at + 1 >= len(args) or not (name or args[at] == "--add-dir"):
            return None
        if name:
            setattr(request, name, args[at + 1])
        else:
            request.roots.append(args[at + 1])
        at += 2
    request.argv = args[at:]
    if request.argv[:1] in (["linux"], ["macos"], ["windows"]):
        return None
    settings = simple_settings(own_home())
    if settings is None or not request.argv:
        return None
    obey(request, settings)
    plain = request.mode in ("read-only", "workspace-write") and request.network in ("off", "on")
    return request if plain and resolve(request) else None


def simple_settings(home: str) -> "tuple[object, ...] | None":
    """What the settings file says, when the long way has noted that it is this simple; else None.

    (mode or "", writable roots, network, without $TMPDIR, without /tmp)
    """
    named = os.environ.get("OCTAVO_HOME") or os.environ.get("CODEX_HOME")
    if named and not os.path.isdir(named):
        return None  # the long way says what is wrong
    if not os.path.lexists(f"{home}/config.toml"):
        return ("", (), False, False, False)
    import marshal

    from octavo.config.note_key import NOTE, settings_key

    try:
        key = settings_key(home)
        with open(f"{home}/{NOTE}", "rb") as file:
            noted, settings = marshal.load(file)  # noqa: S302 - our own folder, never writable inside
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return settings if noted == key else None


def obey(request: Request, settings: "tuple[object, ...]") -> None:
    """Settings where the command line says nothing."""
    mode, roots, network, no_tmpdir, no_slash_tmp = settings
    request.mode = request.mode or str(mode) or "read-only"
    if request.mode == "workspace-write":
        assert isinstance(roots, tuple)
        request.roots = [*roots, *request.roots]
        request.tmpdir, request.slash_tmp = not no_tmpdir, not no_slash_tmp
        request.network = request.network or ("on" if network else "off")
    request.network = request.network or "off"


def own_home() -> str:
    """Octavo's folder: OCTAVO_HOME, else CODEX_HOME, else ~/.octavo."""
    named = os.environ.get("OCTAVO_HOME") or os.environ.get("CODEX_HOME")
    return named or os.path.expanduser("~/.octavo")


def resolve(request: Request) -> bool:
    """Absolute, existing folders whose .git is a folder; anything else is for the long way."""
    try:
        cwd = os.path.realpath(request.cwd or os.getcwd(), strict=True)
        roots = [os.path.realpath(os.path.join(cwd, root), strict=True) for root in request.roots]
    except OSError:
        return False
    # a symlink on the way may have been planted by an earlier command: the long way distrusts it
    named = [request.cwd or cwd, *(os.path.join(cwd, root) for root in request.roots)]
    temporary = os.environ.get("TMPDIR", "")
    if any(os.path.abspath(path) != os.path.realpath(path) for path in (*named, temporary or "/")):
        return False
    request.cwd, request.roots = cwd, roots
    if not os.path.isdir(cwd):
        return False
    if request.mode == "read-only":
        return not roots
    if any(unusual(path) for path in (cwd, *roots)):
        return False
    if any(f"{path}/".startswith(f"{home}/") for home in own_homes() for path in (cwd, *roots)):
        return False
    return not any(os.path.isfile(f"{path}/.git") for path in (cwd, *roots))


def unusual(path: str) -> bool:
    """Not a plain folder, or one so wide that the long way asks twice."""
    return path == "/" or not os.path.isdir(path) or path == os.path.expanduser("~")


def own_homes() -> "tuple[str, ...]":
    """Octavo's home in force, then every folder that may hold settings it obeys."""
    named = [os.environ.get("OCTAVO_HOME"), os.environ.get("CODEX_HOME")]
    usual = [os.path.expanduser("~/.octavo"), os.path.expanduser("~/.codex")]
    homes = [own_home(), *(home for home in named if home), *usual]
    return tuple(dict.fromkeys(os.path.realpath(home) for home in homes))


def package() -> str:
    """The folder of this program's own code."""
    return os.path.dirname(os.path.realpath(__file__))
