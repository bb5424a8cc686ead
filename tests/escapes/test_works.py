"""What has to work inside: a sandbox that breaks ordinary work is switched off."""

import os
import shutil
import subprocess

import pytest

from escapes.doors import DOORS, LANDLOCK, PYTHON, cli, missing

WORKS = {
    "pipeline": "test $(seq 1 1000 | sort -rn | head -1) = 1000",
    "here document": "cat <<E | grep -q b\na\nb\nE",
    "background": "(exit 3) & wait $!; test $? = 3",
    "nohup": "nohup true > nohup.txt",
    "ps": "ps ax > procs 2>&1 || ! command -v ps; ! command -v ps || grep -q ps procs",
    "standard error": "echo out; echo err >&2",
    "temporary file": "f=$(mktemp) && echo x > $f && rm $f",
    "device files": "head -c 4 /dev/urandom > r && cat r > /dev/null && test -s r",
    "standard descriptors by name": "echo x | cat /dev/stdin > /dev/null && echo y > /dev/stdout",
    "git": "mkdir repo && cd repo && git init -q && echo x > f && git add f && "
           "git -c user.name=a -c user.email=a@b commit -qm one && test -z \"$(git status -s)\" && git log | grep -q one",
    "make": "printf 'all: a b\\na:\\n\\ttouch a\\nb:\\n\\ttouch b\\n' > Makefile && make -j2 -s && test -e b",
    "compiler": "printf 'int main(){return 0;}' > m.c && gcc m.c -o m && ./m",
    "virtual environment": f"{PYTHON} -m venv --without-pip env && env/bin/python -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'",
}  # fmt: skip
TOOLS = {"git": "git", "make": "make", "compiler": "gcc"}
PYTHON_WORKS = {
    "threads": "import threading as t; r = []; a = [t.Thread(target=r.append, args=(i,)) for i in range(20)]; [x.start() for x in a]; [x.join() for x in a]; assert len(r) == 20",
    "process pool": "import multiprocessing as m\np = m.get_context('fork').Pool(2)\nassert p.map(abs, [-1, -2]) == [1, 2]\np.close(); p.join()",
    "process queue": "import multiprocessing as m\nc = m.get_context('fork'); q = c.Queue()\np = c.Process(target=q.put, args=(7,)); p.start(); assert q.get(timeout=5) == 7; p.join()",
    "shared memory": "from multiprocessing import shared_memory as s\nm = s.SharedMemory(create=True, size=10); m.buf[0] = 1; m.close(); m.unlink()",
    "terminal": "import os, pty\na, b = pty.openpty(); os.write(b, b'x'); assert os.read(a, 1) == b'x'",
    "event loop": "import asyncio\nasync def f():\n  p = await asyncio.create_subprocess_exec('true'); assert await p.wait() == 0\n  await asyncio.to_thread(int)\nasyncio.run(f())",
    "pairs": "import socket\na, b = socket.socketpair(); a.sendall(b'x'); assert b.recv(1) == b'x'\na.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096); a.getsockname(); a.shutdown(socket.SHUT_WR)",
    "database": "import sqlite3\nd = sqlite3.connect('x.db'); d.execute('pragma journal_mode=wal'); d.execute('create table t (a)'); d.commit()",
    "mapping": "import mmap\nopen('m', 'wb').write(bytes(4096)); f = open('m', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0] = 1; m.flush()",
    "names and attributes": "import os\nopen('a', 'w').close(); os.link('a', 'b'); os.symlink('a', 'c'); os.rename('b', 'd'); os.chmod('a', 0o600); os.utime('a', (1, 1)); os.mkfifo('e'); os.truncate('a', 5)",
    "own limits": "import resource as r\nr.setrlimit(r.RLIMIT_NOFILE, (100, 100)); import os; os.nice(1)",
    "own signals": "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *_: None); os.kill(os.getpid(), signal.SIGUSR1); signal.alarm(0)",
    "futures": "from concurrent.futures import ProcessPoolExecutor as P\nimport multiprocessing as m\nwith P(2, mp_context=m.get_context('fork')) as p: assert list(p.map(abs, [-3])) == [3]",
}  # fmt: skip
LOOPBACK = {
    "stream": "import socket, threading\ns = socket.create_server(('127.0.0.1', 0))\nthreading.Thread(target=lambda: s.accept()[0].sendall(b'x')).start()\nassert socket.create_connection(s.getsockname(), 5).recv(1) == b'x'",
    "stream over version 6": "import os, socket\nif os.path.exists('/proc/net/if_inet6'):\n  s = socket.create_server(('::1', 0), family=socket.AF_INET6); socket.create_connection(s.getsockname()[:2], 5)",
    "datagram": "import socket\na = socket.socket(type=socket.SOCK_DGRAM); a.bind(('127.0.0.1', 0)); b = socket.socket(type=socket.SOCK_DGRAM); b.sendto(b'x', a.getsockname()); assert a.recv(1) == b'x'",
    "names": "import socket\nassert ('127.0.0.1', 80) in [a[4] for a in socket.getaddrinfo('localhost', 80, socket.AF_INET)]\nassert 'lo' in [n for _, n in socket.if_nameindex()]",
    "web server": "import http.server, threading, urllib.request\ns = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\nthreading.Thread(target=s.serve_forever, daemon=True).start()\nurllib.request.build_opener(urllib.request.ProxyHandler({})).open(f'http://127.0.0.1:{s.server_port}/', timeout=5).read()",
}  # fmt: skip
NOT_ON_LANDLOCK = (
    "terminal",
    "process pool",
    "process queue",
    "shared memory",
    "futures",
)  # no /dev/shm of its own
SOME_DOORS = ("short", "spare", "watched", "bubblewrap", "landlock-short", "landlock-warm")


def script():
    """All of them in one launch, each in a folder of its own; failures are named."""
    lines = ["import os, subprocess, sys", "failed = []", "base = os.getcwd()"]
    for name, text in WORKS.items():
        if name not in TOOLS or shutil.which(TOOLS[name]):
            lines.append(f"todo({name!r}, ['sh', '-c', {text!r}])")
    for name, text in (PYTHON_WORKS | LOOPBACK).items():
        lines.append(f"todo({name!r}, [sys.executable, '-I', '-c', {text!r}])")
    head = """
def todo(name, argv):
    folder = base + "/works/" + name.replace(" ", "-")
    os.makedirs(folder)
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=20)
    except subprocess.TimeoutExpired:
        print("FAILED", name, "hangs")
        return
    print("WORKS" if done.returncode == 0 else "FAILED", name, "" if done.returncode == 0 else done.stderr[-300:])
"""
    return "\n".join([*lines[:3], head, *lines[3:]])


@pytest.fixture(scope="session")
def worked(boxes):
    from functools import cache

    @cache
    def run(door):
        box = boxes("works-" + door)
        ran = (DOORS | LANDLOCK)[door](box, "workspace-write", [PYTHON, "-I", "-c", script()])
        return {
            line.split(" ", 1)[1].strip()
            for line in ran.output.splitlines()
            if line.startswith("WORKS")
        }, ran.output

    return run


@pytest.mark.parametrize("door", SOME_DOORS)
@pytest.mark.parametrize("name", [*WORKS, *PYTHON_WORKS, *LOOPBACK])
def test_it_works_inside(worked, door, name):
    if reason := missing(door):
        pytest.skip(reason)
    if name in TOOLS and not shutil.which(TOOLS[name]):
        pytest.skip(f"{TOOLS[name]} is not installed")
    if door in LANDLOCK and (name in NOT_ON_LANDLOCK or name in LOOPBACK):
        pytest.skip("Landlock alone has no private shared memory and no loopback, and says so")
    names, output = worked(door)
    assert name in names, output


@pytest.mark.parametrize("rung", ["native", "bubblewrap", "landlock"])
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 7", 7),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
        ("kill -INT $$", 130),
        ("no-such-program", 127),
    ],
)
def test_exit_codes_are_those_of_the_command(box, rung, script, code):
    assert cli(box, "--rung", rung, "--", "sh", "-c", script).code == code


def test_the_view_is_the_users_own(box):
    ran = cli(box, "--", "sh", "-c", "id -u; pwd; ls -d /usr; umask", stdin=subprocess.DEVNULL)
    assert ran.output.split()[:3] == [str(os.getuid()), box.workspace, "/usr"]
