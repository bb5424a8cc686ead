"""What surrounds a launch: its environment, the terminal, the network from outside, later mounts."""

import json
import os
import select
import socket
import subprocess

import pytest

from escapes.doors import OCTAVO, PYTHON, cli
from escapes.targets import heard

FAKE = "#!/bin/sh\ntouch {witness}\n"


def plant(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)


# ---- the launcher's environment ---------------------------------------------------------------


@pytest.mark.parametrize("rung", ["native", "bubblewrap", "landlock"])
def test_programs_planted_on_the_search_path_are_never_used(box, rung):
    witness = box.outside + "/used"
    for name in ("bwrap", "python", "python3", "octavo", "mount", "unshare", "git", "getent", "rg"):
        plant(f"{box.workspace}/bin/{name}", FAKE.format(witness=witness))
    cli(box, "--rung", rung, "-C", box.workspace, "--", "/bin/true",
        env={"PATH": f"{box.workspace}/bin:.:/usr/bin:/bin"})  # fmt: skip
    assert not os.path.exists(witness)


MODULES = (
    "octavo/__init__.py",
    "octavo/_boot.py",
    "sitecustomize.py",
    "usercustomize.py",
    "os.py",
    "marshal.py",
    "msgspec.py",
    "click.py",
)


@pytest.mark.parametrize("mode", ["read-only", "workspace-write"])
def test_modules_planted_in_the_folder_are_never_loaded(box, mode):
    witness = box.outside + "/loaded"
    for name in MODULES:
        plant(f"{box.workspace}/{name}", f"open({witness!r}, 'w').close()\n")
    for words in ((), ("--rung", "native"), ("--json",)):
        cli(box, *words, "-s", mode, "--", "/bin/true")
        assert not os.path.exists(witness)


@pytest.mark.parametrize("name", ["PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT"])
@pytest.mark.parametrize("words", [(), ("--rung", "native")], ids=["short", "long"])
def test_libraries_from_a_writable_folder_are_refused(box, name, words):
    """A command could put something there that the next launch runs outside."""
    value = box.workspace + ("/lib.so" if name in ("LD_PRELOAD", "LD_AUDIT") else "/lib")
    env = {name: value}
    os.mkdir(box.workspace + "/lib")
    done = subprocess.run(
        [OCTAVO, "sandbox", "-s", "workspace-write", *words, "-C", box.workspace, "--", "touch", "ran"],
        env=box.env | env, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert name in done.stderr
    assert not os.path.exists(box.workspace + "/ran")


def test_helpers_of_a_session_inherit_nothing_from_the_environment(box):
    program = """
import asyncio, octavo, os
async def main():
    async with octavo.CommandRunner(rungs=("native",)) as runner:
        await runner.run(["true"])
        me = os.getpid()
        for task in os.listdir(f"/proc/{me}/task"):
            for pid in open(f"/proc/{me}/task/{task}/children").read().split():
                print(open(f"/proc/{pid}/environ").read())
asyncio.run(main())
"""
    import sys

    names = dict.fromkeys(
        ("BASH_ENV", "ENV", "PERL5OPT", "PYTHONSTARTUP", "MARK"), "/nowhere/planted"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=box.env | names,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "PATH=" in done.stdout, done.stderr
    assert "planted" not in done.stdout


# ---- network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", ["native", "bubblewrap", "landlock"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_server_inside_cannot_be_reached_from_the_host(box, rung, family):
    any_address = "0.0.0.0" if family == socket.AF_INET else "::"
    port = free_port(family)
    code = f"""
import socket
try:
    s = socket.socket({int(family)}); s.bind(({any_address!r}, {port})); s.listen()
except OSError: pass
print("up", flush=True); input()
"""

    def reached(before):
        with subprocess.Popen(
            [*before, PYTHON, "-I", "-c", code], env=box.env, cwd=box.workspace,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as child:  # fmt: skip
            line = child.stdout.readline()
            with socket.socket(family) as s:
                refused = s.connect_ex(("127.0.0.1" if family == socket.AF_INET else "::1", port))
            child.communicate(b"\n")
        assert line == b"up\n"
        return not refused

    assert reached([])
    assert not reached([OCTAVO, "sandbox", "--rung", rung, "--"])


def free_port(family):
    with socket.socket(family) as s:
        s.bind(("", 0))
        return s.getsockname()[1]


STRICT = """
import socket
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_UNIX):
    try: socket.socket(family, socket.SOCK_DGRAM)
    except PermissionError: continue
    print("CLAIM", family)
"""


def test_with_the_strict_setting_there_are_no_sockets_but_pairs(box):
    ran = cli(box, "--network", "none", "--", PYTHON, "-I", "-c", STRICT)
    assert (ran.code, ran.output) == (0, "")


def test_with_the_network_on_local_sockets_and_machine_sockets_stay_closed(box):
    host = socket.socket(socket.AF_UNIX)
    host.bind(box.outside + "/service")
    host.listen()
    web = socket.create_server(("127.0.0.1", 0))
    code = f"""
import socket
socket.create_connection({web.getsockname()!r}, 2)
for attempt in (lambda: socket.socket(socket.AF_UNIX).connect({box.outside + "/service"!r}),
                lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
                lambda: socket.socket(40, socket.SOCK_STREAM)):
    try: attempt()
    except OSError: continue
    print("CLAIM")
"""
    ran = cli(box, "--network", "on", "--", PYTHON, "-I", "-c", code)
    assert heard([web], 1), ran.output
    assert not heard([host])
    assert "CLAIM" not in ran.output
    host.close()
    web.close()


# ---- terminal ---------------------------------------------------------------------------------

INJECT = """
import fcntl, os, sys
for fd in (0, 1, 2):
    for request in (0x5412, 0x541C, 0x100005412):
        for byte in b"echo planted":
            try: fcntl.ioctl(fd, request & 0xFFFFFFFF, bytes([byte]))
            except OSError: pass
libc = __import__("ctypes").CDLL(None)
for fd in (0, 1, 2):
    libc.ioctl(fd, __import__("ctypes").c_ulong(0x7700005412), b"p")
"""


LEADER = """
import fcntl, json, os, signal, struct, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
mode = termios.tcgetattr(0)
mode[3] &= ~(termios.ICANON | termios.ECHO)
termios.tcsetattr(0, termios.TCSANOW, mode)
before = termios.tcgetattr(0)
subprocess.run(sys.argv[2:], timeout=20)
waiting = struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, bytes(4)))[0]
os.write(int(sys.argv[1]), json.dumps([waiting, termios.tcgetattr(0)[:6] == before[:6]]).encode())
"""


def on_a_terminal(argv, env, cwd):
    """Run on a controlling terminal: how much waits to be read from it after, same modes, output.

    The session leader stays, for the kernel resets a terminal whose session has ended.
    """
    master, slave = os.openpty()
    read, write = os.pipe()
    child = subprocess.Popen(
        [PYTHON, "-I", "-c", LEADER, str(write), *argv], env=env, cwd=cwd, stdin=slave,
        stdout=slave, stderr=slave, start_new_session=True, pass_fds=(write,),
    )  # fmt: skip
    os.close(slave)
    os.close(write)
    poll = select.poll()
    for fd in (master, read):
        poll.register(fd, select.POLLIN)
    output, answer, over = b"", b"", False
    while not over:
        ready = [fd for fd, _ in poll.poll(20_000)]
        if master in ready:
            try:
                output += os.read(master, 65536)
            except OSError:  # EIO: closed at the other end
                poll.unregister(master)
        if read in ready:
            answer = os.read(read, 4096)
            over = True
        over = over or not ready
    os.close(master)
    os.close(read)
    child.kill()
    child.wait(10)
    waiting, same = json.loads(answer)
    return waiting, same, output


@pytest.mark.parametrize("rung", ["native", "bubblewrap", "landlock"])
def test_nothing_can_be_typed_into_the_callers_terminal(box, rung):
    argv = [PYTHON, "-I", "-c", INJECT]
    free, _, _ = on_a_terminal(argv, box.env, box.workspace)
    waiting, same, output = on_a_terminal(
        [OCTAVO, "sandbox", "--rung", rung, "--", *argv], box.env, box.workspace
    )
    assert not waiting, output
    assert same
    if not free:
        pytest.skip(
            "this kernel does not let anybody type into a terminal (dev.tty.legacy_tiocsti)"
        )


MODES = """
import os, termios
for name in ("/dev/tty", "/proc/self/fd/0"):
    try:
        fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
        mode = termios.tcgetattr(fd); mode[3] &= ~(termios.ECHO | termios.ISIG); mode[0] |= termios.IXANY
        termios.tcsetattr(fd, termios.TCSANOW, mode)
    except (OSError, termios.error): pass
"""


@pytest.mark.parametrize("rung", ["native", "bubblewrap", "landlock"])
def test_the_callers_terminal_keeps_its_modes(box, rung):
    argv = [PYTHON, "-I", "-c", MODES]
    assert not on_a_terminal(argv, box.env, box.workspace)[1]
    assert on_a_terminal([OCTAVO, "sandbox", "--rung", rung, "--", *argv], box.env, box.workspace)[
        1
    ]


# ---- mounts made later ------------------------------------------------------------------------

LATE = """
set -e
mount --make-rshared /
mkdir -p {outside}/mnt
mkfifo {outside}/go
{octavo} sandbox --rung {rung} -s read-only -- sh -c 'echo up; read x; chmod 700 {outside}/mnt/f; touch -d @1 {outside}/mnt/f; echo x > {outside}/mnt/f' < {outside}/go > {outside}/out 2>&1 &
exec 5> {outside}/go
until grep -q up {outside}/out; do :; done
mount -t tmpfs none {outside}/mnt
touch {outside}/mnt/f; chmod 644 {outside}/mnt/f
echo go >&5; exec 5>&-
wait
stat -c %a {outside}/mnt/f
cat {outside}/mnt/f
umount {outside}/mnt
"""


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="only uid 0 mounts file systems on the host")
# bubblewrap has no way to refuse them; the plan says so
@pytest.mark.parametrize("rung", ["native", "native-root"])
def test_file_systems_the_host_mounts_later_do_not_appear_writable(box, rung):
    script = LATE.format(outside=box.outside, octavo=OCTAVO, rung=rung)
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "shared", "sh", "-c", script],
        env=box.env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "644\n", done


# ---- limits -----------------------------------------------------------------------------------

BOMB = """
import os, signal
count = 0
while count < 500:
    try: pid = os.fork()
    except OSError: break
    if pid == 0: signal.pause()
    count += 1
print(count)
"""


@pytest.mark.skipif(os.getuid() == 0, reason="the kernel holds no process limit against uid 0")
# without a namespace the kernel counts every process of the user, so Landlock alone is not tried
@pytest.mark.parametrize("rung", ["native"])
def test_a_fork_bomb_ends_at_the_limit(box, rung):
    ran = cli(
        box,
        "--rung",
        rung,
        "--limit",
        "processes=40",
        "--",
        PYTHON,
        "-I",
        "-c",
        BOMB,
        stderr=subprocess.DEVNULL,
    )
    assert int(ran.output.splitlines()[-1]) <= 40


def test_a_file_cannot_grow_past_its_limit(box):
    ran = cli(box, "-s", "workspace-write", "--limit", "file-size=4096", "--", "sh", "-c",
              "head -c 100000 /dev/zero > big")  # fmt: skip
    assert ran.code != 0
    assert os.path.getsize(box.workspace + "/big") <= 4096


@pytest.mark.slow
def test_a_busy_loop_ends_at_its_limit(box):
    ran = cli(box, "--limit", "cpu=1", "--", PYTHON, "-I", "-c", "while True: pass")
    assert ran.code == 7  # a limit, said as such
