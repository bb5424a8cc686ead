"""The variables that make programs use the proxy. Pure: values in, values out.

Nearly every program has its own name for it. HTTP is preferred to SOCKS where a program takes
both: not every client that reads ALL_PROXY can speak SOCKS.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import quote

HTTP: Final = (
    "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "WS_PROXY", "WSS_PROXY", "ws_proxy",
    "wss_proxy", "ALL_PROXY", "all_proxy", "GRPC_PROXY", "grpc_proxy", "YARN_HTTP_PROXY",
    "YARN_HTTPS_PROXY", "NPM_CONFIG_PROXY", "NPM_CONFIG_HTTP_PROXY", "NPM_CONFIG_HTTPS_PROXY",
    "npm_config_proxy", "npm_config_http_proxy", "npm_config_https_proxy", "BUNDLE_HTTP_PROXY",
    "BUNDLE_HTTPS_PROXY", "PIP_PROXY", "DOCKER_HTTP_PROXY", "DOCKER_HTTPS_PROXY",
)  # fmt: skip
SOCKS: Final = ("FTP_PROXY", "ftp_proxy")
NOT_THROUGH: Final = (
    "NO_PROXY", "no_proxy", "NPM_CONFIG_NOPROXY", "npm_config_noproxy", "BUNDLE_NO_PROXY",
)  # fmt: skip
LOCAL: Final = "localhost,127.0.0.1,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
FLAGS: Final = {
    "NODE_USE_ENV_PROXY": "1",
    "ELECTRON_GET_USE_PROXY": "true",
    "CODEX_NETWORK_PROXY_ACTIVE": "1",
}
BUNDLES: Final = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT",
    "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "NPM_CONFIG_CAFILE", "npm_config_cafile",
    "BUNDLE_SSL_CA_CERT", "CODEX_CA_CERTIFICATE", "AWS_CA_BUNDLE", "DENO_CERT",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "HTTPLIB2_CA_CERTS",
    "NIX_SSL_CERT_FILE",
)  # fmt: skip
"""Each names a file of roots; with interception they name one that holds our root as well."""
DROPPED_WITH_BUNDLE: Final = ("SSL_CERT_DIR", "UV_NATIVE_TLS")
"""They would make a program look for roots elsewhere."""


def proxy_variables(
    *,
    host: str,
    port: int,
    credentials: tuple[str, str] | None = None,
    local_binding: bool = False,
    socks: bool = True,
    captured: bool = False,
    platform: Literal["linux", "darwin", "win32"] = "linux",
    given: Mapping[str, str],
) -> dict[str, str]:
    """What to set in a command's environment, beside what is `given` there already.

    `local_binding`: local addresses are reached directly. The way to use ssh is only added where
    nothing is given, and not where plain connections are `captured`. Credentials end up in the
    addresses, and in arguments of Java.
    """
    user = "" if credentials is None else "{}:{}@".format(*(quote(one, "") for one in credentials))
    address = f"[{host}]" if ":" in host else host
    url = f"http://{user}{address}:{port}"
    found = dict.fromkeys(HTTP, url)
    found |= dict.fromkeys(SOCKS, f"socks5h://{user}{address}:{port}" if socks else url)
    found |= dict.fromkeys(NOT_THROUGH, LOCAL if local_binding else "")
    found |= FLAGS
    found["CODEX_NETWORK_ALLOW_LOCAL_BINDING"] = "1" if local_binding else "0"
    found |= {
        "CLOUDSDK_PROXY_TYPE": "http",
        "CLOUDSDK_PROXY_ADDRESS": host,
        "CLOUDSDK_PROXY_PORT": str(port),
        "RSYNC_PROXY": f"{user}{address}:{port}",
    }
    if credentials is not None:
        found["CLOUDSDK_PROXY_USERNAME"], found["CLOUDSDK_PROXY_PASSWORD"] = credentials
    found["JAVA_TOOL_OPTIONS"] = java(host, port, given, local_binding=local_binding)
    ssh = None if captured else ssh_command(host, port, platform, credentials)
    if ssh is not None and "GIT_SSH_COMMAND" not in given and "GIT_SSH" not in given:
        found["GIT_SSH_COMMAND"] = ssh
    return found


def java(host: str, port: int, given: Mapping[str, str], *, local_binding: bool) -> str:
    """Options of the virtual machine, behind those that are there."""
    direct = "localhost|127.*|[::1]|10.*|192.168.*" if local_binding else ""
    options = [
        f"-D{scheme}.proxy{name}={value}"
        for scheme in ("http", "https")
        for name, value in (("Host", host), ("Port", port))
    ]
    options.append(f"-Dhttp.nonProxyHosts={direct}")
    before = given.get("JAVA_TOOL_OPTIONS", "").split()
    return " ".join([*before, *(one for one in options if one not in before)])


def ssh_command(
    host: str, port: int, platform: str, credentials: tuple[str, str] | None
) -> str | None:
    """How git reaches a host by ssh; None where no program for it is at hand."""
    if platform == "darwin" and credentials is None:  # its nc knows no passwords
        return f"ssh -o ProxyCommand='nc -X 5 -x {host}:{port} %h %p'"
    if platform == "linux":
        auth = "" if credentials is None else ",proxyauth={}:{}".format(*credentials)
        return f"ssh -o ProxyCommand='socat - PROXY:{host}:%h:%p,proxyport={port}{auth}'"
    return None


def bundle_variables(bundle: str, own: Mapping[str, str]) -> dict[str, str]:
    """The variables for roots. `own`: merged bundles for those the command had set itself."""
    return {name: own.get(name, bundle) for name in BUNDLES}


def given_bundles(given: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Which roots a command had set itself: name and file. They are merged, not overwritten."""
    return [(name, given[name]) for name in BUNDLES if given.get(name)]
