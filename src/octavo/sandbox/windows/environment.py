"""The variables a command gets on Windows.

Pure. Names are compared without regard to case, as Windows does. The rewrite for "network off"
belongs to the unelevated backend alone: it discourages and holds nobody; the other backend has a
firewall.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from octavo.process.argv_windows import DEFAULT_PATHEXT, get, is_absolute
from octavo.sandbox.windows.paths import ancestors, join

NO_NETWORK: Final = {
    **dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GIT_HTTP_PROXY", "GIT_HTTPS_PROXY"),
        "http://127.0.0.1:9",
    ),
    "NO_PROXY": "localhost,127.0.0.1,::1",
    "PIP_NO_INDEX": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "NPM_CONFIG_OFFLINE": "true",
    "CARGO_NET_OFFLINE": "true",
    "GIT_SSH_COMMAND": "cmd /c exit 1",
    "GIT_ALLOW_PROTOCOLS": "",
}
"""What the caller set stays."""
MARK: Final = "SBX_NONET_ACTIVE"
PAGER: Final = {"GIT_PAGER": "more.com", "PAGER": "more.com", "LESS": ""}
STUBS: Final = ("ssh.bat", "ssh.cmd", "scp.bat", "scp.cmd")
STUB_TEXT: Final = "@echo off\r\necho the sandbox has no network 1>&2\r\nexit /b 1\r\n"
STALE_STUBS: Final = ("curl.bat", "curl.cmd", "wget.bat", "wget.cmd")
FIRST_ENDINGS: Final = (".BAT", ".CMD")
PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY")
LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


def child(
    wished: Mapping[str, str],
    own: Mapping[str, str],
    *,
    elevated: bool,
    network_off: bool,
    stubs: str | None = None,
    repository: str | None = None,
    temp: str | None = None,
) -> dict[str, str]:
    """The command's variables, from those it was given and our own.

    `stubs` is the folder with programs that only fail; `repository` the work tree a sandbox
    account has to be told to trust; `temp` a folder the command may write.
    """
    found = {name: _plain(value) for name, value in wished.items()}
    for name in ("PATH", "PATHEXT"):
        if not has(found, name) and get(own, name):
            found[name] = get(own, name)
    _add_missing(found, PAGER)
    if temp is not None:
        for name in ("TEMP", "TMP"):
            put(found, name, temp)
    if network_off and not elevated:
        put(found, MARK, "1")
        _add_missing(found, NO_NETWORK)
        if stubs is not None:
            _put_stubs_first(found, stubs)
    if elevated and repository is not None:
        found = trust(found, repository)
    return found


def _plain(value: str) -> str:
    null = value.strip().replace("\\", "/").lower() == "/dev/null"
    return "NUL" if null else value


def has(variables: Mapping[str, str], name: str) -> bool:
    """Is it set, whatever the case of its name?"""
    return any(key.upper() == name for key in variables)


def put(variables: dict[str, str], name: str, value: str) -> None:
    """Set it once, whatever it was called before."""
    for key in [key for key in variables if key.upper() == name]:
        del variables[key]
    variables[name] = value


def _add_missing(variables: dict[str, str], more: Mapping[str, str]) -> None:
    for name, value in more.items():
        if not has(variables, name):
            variables[name] = value


def _put_stubs_first(variables: dict[str, str], stubs: str) -> None:
    old = get(variables, "PATH")
    rest = [folder for folder in old.split(";") if folder.upper() != stubs.upper()]
    put(variables, "PATH", ";".join([stubs, *rest]) if old else stubs)
    endings = [each for each in (get(variables, "PATHEXT") or DEFAULT_PATHEXT).split(";") if each]
    others = [each for each in endings if each.upper() not in FIRST_ENDINGS]
    put(variables, "PATHEXT", ";".join([*FIRST_ENDINGS, *others]))


# Git ---------------------------------------------------------------------------------------------


def repository_of(cwd: str, exists: Callable[[str], bool]) -> str | None:
    """The nearest folder, from a canonical cwd upwards, with a `.git` of whatever kind.

    In a linked worktree that is the worktree's own folder, which is what git compares.
    """
    folders = (cwd, *ancestors(cwd))
    return next((each for each in folders if exists(join(each, ".git"))), None)


def trust(variables: Mapping[str, str], repository: str) -> dict[str, str]:
    """Tell git to trust a repository that another user owns: appended to what is there.

    A count that is no number is left alone: git itself will complain about it.
    """
    count = get(variables, "GIT_CONFIG_COUNT").strip() or "0"
    if not count.isascii() or not count.isdigit() or int(count) > 10_000:
        return dict(variables)
    found, number = dict(variables), int(count)
    path = repository.replace("\\", "/").rstrip("/")
    for value in (path, path + "/*"):
        put(found, f"GIT_CONFIG_KEY_{number}", "safe.directory")
        put(found, f"GIT_CONFIG_VALUE_{number}", value)
        number += 1
    put(found, "GIT_CONFIG_COUNT", str(number))
    return found


# Temporary folders, proxies ----------------------------------------------------------------------


def temp_roots(wished: Mapping[str, str], own: Mapping[str, str], *, exclude: bool) -> list[str]:
    """TEMP and TMP, the command's before our own; relative ones do not count."""
    if exclude:
        return []
    named = [get(wished, name) or get(own, name) for name in ("TEMP", "TMP")]
    plain = [each.replace("/", "\\") for each in named]
    return list(dict.fromkeys(each for each in plain if is_absolute(each)))


def proxy_ports(variables: Mapping[str, str], more: Iterable[int] = ()) -> tuple[int, ...]:
    """The ports of proxies on this machine: what the offline account may reach."""
    found = {port for port in more if 0 < port < 65536}
    for name in PROXIES:
        port = _loopback_port(get(variables, name).strip())
        if port:
            found.add(port)
    return tuple(sorted(found))


def _loopback_port(url: str) -> int:
    rest = url.partition("://")[2] or url
    place = rest.partition("/")[0].partition("?")[0].rpartition("@")[2].lower()
    for host in LOOPBACK:
        port = place.removeprefix(host + ":")
        if port != place and port.isascii() and port.isdigit() and len(port) < 6:
            return int(port) if int(port) < 65536 else 0
    return 0
