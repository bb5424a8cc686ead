"""Programs people use reach an allowed host through their own settings for proxies, and no other."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
import zipfile

import pytest

if sys.platform != "linux":
    pytest.skip("a network of its own for each command: Linux", allow_module_level=True)

from octavo import PermissionProfile, Sandbox
from octavo.api.commands import CommandRunner
from octavo.sandbox.launcher import HOSTS_NOTE


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files of a folder."""

    def log_message(self, *_words):
        """Quiet."""


@pytest.fixture
def site(tmp_path):
    """A web server over `tmp_path/site`; its address, and the profile that allows it alone."""
    (tmp_path / "site").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path, site):
    (tmp_path / "work").mkdir()

    async def runs(script, *allow):
        profile = PermissionProfile.from_mapping(
            {
                "filesystem": {":root": "read", ":cwd": "write", ":tmpdir": "write"},
                "network": {"allow": list(allow or (site,)), "on_denial": "continue"},
            }
        )
        async with CommandRunner() as runner:
            done = await runner.run(
                ["sh", "-c", script],
                sandbox=Sandbox.from_profile(profile),
                cwd=tmp_path / "work",
                timeout=60,
            )
        if HOSTS_NOTE in done.notes:
            pytest.skip("commands get no network of their own here (no user namespaces)")
        return done

    return runs


def wheel(folder):
    """A wheel with nothing in it, and an index that offers it."""
    name = "tiny_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / name, "w") as made:
        info = "tiny_thing-1.0.dist-info/"
        made.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        made.writestr(
            info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(info + "RECORD", "")
    (folder / "simple" / "tiny-thing").mkdir(parents=True)
    page = f'<!DOCTYPE html><html><body><a href="/{name}">{name}</a></body></html>'
    (folder / "simple" / "tiny-thing" / "index.html").write_text(page)


async def test_pip_downloads_from_an_allowed_index_only(run, site, tmp_path):
    wheel(tmp_path / "site")
    line = (
        f"PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= PIP_EXTRA_INDEX_URL= {sys.executable} -m pip "
        "download -q --no-deps --retries 0 --no-cache-dir --disable-pip-version-check"
    )
    done = await run(f"{line} -i http://{site}/simple tiny-thing && ls")
    assert "tiny_thing-1.0" in done.output.text, done.output.text
    refused = await run(f"{line} -i http://{site}/simple tiny-thing", "other.example")
    assert refused.exit_code != 0
    assert site in {one.subject for one in refused.denials}


def repository(tmp_path):
    """One commit, as files of the site."""
    bare = tmp_path / "site" / "repo.git"
    who = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    plain = tmp_path / "plain"
    for words in (
        ["init", "-q", str(plain)],
        [*who, "-C", str(plain), "commit", "-q", "--allow-empty", "-m", "first"],
        ["clone", "-q", "--bare", str(plain), str(bare)],
        ["-C", str(bare), "update-server-info"],
    ):
        subprocess.run(["git", *words], check=True, timeout=60, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
async def test_git_clones_from_an_allowed_host_only(run, site, tmp_path):
    repository(tmp_path)
    done = await run(f"git clone -q http://{site}/repo.git here && git -C here log --format=%s")
    assert done.output.text.strip() == "first", done.output.text
    refused = await run(f"git clone -q http://{site}/repo.git there", "other.example")
    assert refused.exit_code != 0
    assert site in {one.subject for one in refused.denials}


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
async def test_npm_asks_an_allowed_registry_only(run, site, tmp_path):
    (tmp_path / "site" / "tiny").write_text(
        '{"name":"tiny","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":'
        '{"name":"tiny","version":"1.0.0","dist":{"tarball":"http://x/"}}}}'
    )
    line = f"HOME=$PWD npm view --registry http://{site}/ --fetch-retries=0 tiny version"
    done = await run(line)
    assert done.output.text.strip().endswith("1.0.0"), done.output.text
    refused = await run(line, "other.example")
    assert refused.exit_code != 0
    assert site in {one.subject for one in refused.denials}


async def test_pythons_own_library_and_a_raw_socket(run, site, tmp_path):
    (tmp_path / "site" / "x").write_text("here")
    code = (
        "import socket, urllib.request\n"
        f"print(urllib.request.urlopen('http://{site}/x', timeout=20).read().decode())\n"
        f"host, port = '{site}'.split(':')\n"
        "try:\n    socket.create_connection((host, int(port)), 3)\n    print('around')\n"
        "except OSError:\n    print('no way around')\n"
    )
    (tmp_path / "work" / "ask.py").write_text(code)
    done = await run(f"{sys.executable} ask.py")
    assert done.output.text == "here\nno way around\n"
