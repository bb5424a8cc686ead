"""Programs of several languages, with and without settings for proxies: one host and port, no other.

Each one fetches four addresses: the allowed one; another host; an address without a name; another
port of the allowed host. Three of them are refused, each with a record.
"""

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("a network of its own for each command: Linux", allow_module_level=True)
pytest.importorskip("cryptography")

from octavo import PermissionProfile, Sandbox
from octavo.api.commands import CommandRunner
from octavo.api.network import ManagedNetwork
from octavo.policy.addresses import read_address
from octavo.policy.hosts import read_host
from octavo.proxy.mitm import Interception
from octavo.proxy.resolve import ScriptedResolver
from octavo.sandbox.launcher import HOSTS_NOTE

HERE = "127.0.0.1"
SSHD = "/usr/sbin/sshd"
UV = Path(__file__).resolve().parents[2] / ".sdks" / "uv" / "bin" / "uv"
NO_SETTINGS = "env -i PATH=$PATH HOME=$HOME "

GO = """package main
import ("fmt"; "io"; "net/http"; "os"; "time")
func main() {
    http.DefaultClient.Timeout = 10 * time.Second
    for _, url := range os.Args[1:] {
        answer, err := http.Get(url)
        if err != nil { fmt.Println("no"); continue }
        body, _ := io.ReadAll(answer.Body)
        if answer.StatusCode == 200 { fmt.Println(string(body)) } else { fmt.Println("no") }
    }
}
"""
JAVA = """import java.io.*; import java.net.*;
public class Fetch {
    public static void main(String[] words) {
        for (String word : words) {
            try {
                URLConnection found = new URL(word).openConnection();
                found.setConnectTimeout(10000);
                found.setReadTimeout(10000);
                System.out.println(new String(found.getInputStream().readAllBytes()));
            } catch (IOException problem) { System.out.println("no"); }
        }
    }
}
"""
PYTHON = """import sys, urllib.request
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=10).read().decode())
    except OSError:
        print("no")
"""
CURL = 'for url in "$@"; do curl -sf -m 10 "$url" || echo no; done\n'


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, *_words):
        """Quiet."""


@contextmanager
def serving(folder, context=None):
    """A web server over a folder; its port."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer((HERE, 0), handler) as found:
        if context is not None:
            found.socket = context.wrap_socket(found.socket, server_side=True)
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found.server_port
        found.shutdown()
        thread.join()


@dataclass
class Place:
    """Where programs are made and run."""

    folder: Path
    runner: CommandRunner
    port: int
    second: int
    secure: int = 0

    @property
    def urls(self):
        return [
            f"http://ok.test:{self.port}/x", "http://other.test/x", "http://192.0.2.1/x",
            f"http://ok.test:{self.second}/x",
        ]  # fmt: skip

    @property
    def refused(self):
        return {"other.test:80", "192.0.2.1:80", f"ok.test:{self.second}"}

    async def run(self, script, *allow):
        profile = PermissionProfile.from_mapping(
            {
                "filesystem": {
                    ":root": "read",
                    ":cwd": "write",
                    ":tmpdir": "write",
                    ":slash_tmp": "write",
                },
                "network": {
                    "allow": list(allow or (f"ok.test:{self.port}", f"ok.test:{self.secure or 1}")),
                    "on_denial": "continue",
                },
            }
        )
        done = await self.runner.run(
            ["sh", "-c", script],
            sandbox=Sandbox.from_profile(profile),
            cwd=self.folder,
            timeout=100,
        )
        if HOSTS_NOTE in done.notes:
            pytest.skip("commands get no network of their own here (no user namespaces)")
        return done

    async def refuses(self, line, port, *allow):
        """The same program at another host, an address and a second port: each refused and told.

        `line` makes the command from a host and its port, `port` is what the program uses unasked.
        """
        ways = (("other.test", port), ("192.0.2.1", port), ("ok.test", self.second))
        for host, at in ways:
            done = await self.run(line(f"{host}:{at}"), *allow)
            assert done.exit_code != 0, done.output.text
            found = {one.subject: one for one in done.denials if one.operation == "connect"}
            assert f"{host}:{at}" in found, (found, done.output.text)
            assert found[f"{host}:{at}"].grant == f"--allow {host}:{at}"
            assert str(found[f"{host}:{at}"].rule)


@pytest.fixture
async def place(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "x").write_text("here\n")
    folder = tmp_path / "work"
    folder.mkdir()
    table = {"ok.test": [[HERE]], "other.test": [[HERE]]}
    gate = functools.partial(
        ManagedNetwork, "/nowhere", resolver=ScriptedResolver(table), public=(read_address(HERE),)
    )
    authority = Interception()
    (folder / "ca.pem").write_bytes(authority.certificate)
    context = authority.context(read_host("ok.test"))
    with ExitStack() as stack:
        ports = [stack.enter_context(serving(site)) for _ in range(2)]
        secure = stack.enter_context(serving(site, context))
        async with CommandRunner(gate=gate) as runner:
            yield Place(folder, runner, *ports, secure)


def compiled(command, folder, missing):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{missing} is not installed")
    cache = {"GOCACHE": str(folder / "cache"), "GO111MODULE": "off", "HOME": str(folder)}
    subprocess.run(
        command, cwd=folder, check=True, timeout=300, env={"PATH": "/usr/bin:/bin", **cache}
    )


def program(name, folder):
    """The words that start a program."""
    if name == "go":
        (folder / "fetch.go").write_text(GO)
        compiled(["go", "build", "-o", "fetch", "fetch.go"], folder, "Go")
        return "./fetch"
    if name == "java":
        (folder / "Fetch.java").write_text(JAVA)
        compiled(["javac", "Fetch.java"], folder, "Java")
        return "java -XX:-UsePerfData -cp . Fetch"
    if name == "python":
        (folder / "fetch.py").write_text(PYTHON)
        return f"{sys.executable} fetch.py"
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (folder / "fetch.sh").write_text(CURL)
    return "sh fetch.sh"


@pytest.mark.slow
@pytest.mark.parametrize("settings", [True, False], ids=["with settings", "without settings"])
@pytest.mark.parametrize("name", ["curl", "python", "go", "java"])
async def test_it_reaches_what_is_allowed_and_nothing_else(place, name, settings):
    start = program(name, place.folder)
    words = " ".join(place.urls)
    done = await place.run(f"{'' if settings else NO_SETTINGS}{start} {words}")
    said = [line for line in done.output.text.splitlines() if "JAVA_TOOL_OPTIONS" not in line]
    assert "\n".join(said).split() == ["here", "no", "no", "no"], done.output.text
    found = {one.subject: one for one in done.denials if one.operation == "connect"}
    assert place.refused <= set(found), found
    for subject in place.refused:
        assert found[subject].grant == f"--allow {subject}"
        assert str(found[subject].rule)


def repository(folder):
    """One commit, bare, for a plain web server too."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    plain, bare = folder / "plain", folder / "site" / "repo.git"
    for words in (
        ["init", "-q", str(plain)],
        [*who, "-C", str(plain), "commit", "-q", "--allow-empty", "-m", "first"],
        ["clone", "-q", "--bare", str(plain), str(bare)],
        ["-C", str(bare), "update-server-info"],
    ):
        subprocess.run(["git", *words], check=True, timeout=60, capture_output=True)
    return bare


@pytest.mark.slow
@pytest.mark.parametrize("settings", [True, False], ids=["with settings", "without settings"])
async def test_git_over_tls(place, settings):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    repository(place.folder.parent)
    git = f"{'env ' if settings else NO_SETTINGS}GIT_SSL_CAINFO=$PWD/ca.pem git"
    url = f"https://ok.test:{place.secure}/repo.git"
    done = await place.run(f"{git} clone -q {url} here && git -C here log --format=%s")
    assert done.output.text.strip() == "first", done.output.text
    await place.refuses(lambda at: f"{git} clone -q https://{at}/repo.git there", 443)


CONFIG = """HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
"""


@contextmanager
def ssh_server(folder):
    """A server for this user's key; its port."""
    for name in ("host", "key"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(made, check=True, timeout=60)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # it asks for that, and its package's start makes it
    (folder / "sshd_config").write_text(CONFIG.format(folder=folder))
    with http.server.ThreadingHTTPServer((HERE, 0), Quiet) as free:
        port = free.server_port
    words = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config"), "-p", str(port)]
    child = subprocess.Popen([*words, "-o", f"ListenAddress={HERE}"], stderr=subprocess.PIPE)
    try:
        for line in child.stderr:
            if b"listening" in line:
                break
        else:
            pytest.skip("the server for ssh does not start here")
        yield port
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


@pytest.mark.slow
async def test_git_over_ssh(place):
    if not (shutil.which("git") and shutil.which("ssh") and shutil.which(SSHD)):
        pytest.skip("git, ssh or its server is not installed")
    bare = repository(place.folder.parent)
    with ssh_server(place.folder) as port:
        ssh = (
            "ssh -F /dev/null -i $PWD/key -o IdentitiesOnly=yes -o StrictHostKeyChecking=no "
            "-o UserKnownHostsFile=/dev/null -o BatchMode=yes -o ConnectTimeout=10"
        )
        clone = f'GIT_SSH_COMMAND="{ssh}" git clone -q ssh://$(id -un)@'
        done = await place.run(
            f"{clone}ok.test:{port}{bare} here && git -C here log --format=%s", f"ok.test:{port}"
        )
        assert done.output.text.strip().endswith("first"), done.output.text
        await place.refuses(lambda at: f"{clone}{at}{bare} there", 22, f"ok.test:{port}")


@pytest.mark.slow
@pytest.mark.parametrize("settings", [True, False], ids=["with settings", "without settings"])
async def test_uv(place, settings):
    if not UV.exists():
        pytest.skip("uv is not installed (tools/sdks.py)")
    wheel(place.folder.parent / "site")
    line = (
        f"{'' if settings else NO_SETTINGS}{UV} pip install -q --no-config --no-cache --no-deps "
        f"--python {sys.executable} --index-url"
    )
    done = await place.run(
        f"{line} http://ok.test:{place.port}/simple --target got tiny-thing && ls got"
    )
    assert "tiny_thing-1.0" in done.output.text, done.output.text
    await place.refuses(lambda at: f"{line} http://{at}/simple --target more tiny-thing", 80)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [True, False], ids=["with settings", "without settings"])
async def test_pip(place, settings):
    wheel(place.folder.parent / "site")
    quiet = "PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= PIP_EXTRA_INDEX_URL="
    line = (
        f"{'env ' if settings else NO_SETTINGS}{quiet} {sys.executable} -m pip download -q "
        "--no-deps --retries 0 --no-cache-dir --disable-pip-version-check --timeout 10 "
        "--trusted-host ok.test --trusted-host other.test --trusted-host 192.0.2.1 -i"
    )
    done = await place.run(f"{line} http://ok.test:{place.port}/simple tiny-thing && ls")
    assert "tiny_thing-1.0" in done.output.text, done.output.text
    await place.refuses(lambda at: f"{line} http://{at}/simple tiny-thing", 80)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [True, False], ids=["with settings", "without settings"])
async def test_npm(place, settings):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    (place.folder.parent / "site" / "tiny").write_text(
        '{"name":"tiny","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":'
        '{"name":"tiny","version":"1.0.0","dist":{"tarball":"http://x/"}}}}'
    )
    npm = f"{'env ' if settings else NO_SETTINGS}HOME=$PWD npm view --fetch-retries=0 --registry"
    done = await place.run(f"{npm} http://ok.test:{place.port}/ tiny version")
    assert done.output.text.strip().endswith("1.0.0"), done.output.text
    await place.refuses(lambda at: f"{npm} http://{at}/ tiny version", 80)


def wheel(folder):
    """A wheel with nothing in it, and an index that offers it."""
    name = "tiny_thing-1.0-py3-none-any.whl"
    info = "tiny_thing-1.0.dist-info/"
    with zipfile.ZipFile(folder / name, "w") as made:
        made.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        made.writestr(
            info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(info + "RECORD", "")
    (folder / "simple" / "tiny-thing").mkdir(parents=True)
    page = f'<!DOCTYPE html><html><body><a href="/{name}">{name}</a></body></html>'
    (folder / "simple" / "tiny-thing" / "index.html").write_text(page)
