"""Descriptors that come from outside: inherited ones, and standard ones that are host files."""

import os
import socket
import stat
import subprocess

import pytest

from escapes.doors import PYTHON, cli, plain
from escapes.targets import heard, snapshot

SCAN = """
import os
for fd in range(3, 200):
    for path in (None, f"/proc/self/fd/{fd}"):
        try:
            if path is None:
                os.write(fd, b"changed")
            else:
                os.write(os.open(path, os.O_WRONLY), b"changed")
        except OSError:
            pass
    try:
        os.write(os.open("planted", os.O_CREAT | os.O_WRONLY, dir_fd=fd), b"x")
    except OSError:
        pass
    try:
        os.fchmod(fd, 0o777)
    except OSError:
        pass
"""


def python(code, *arguments):
    return [PYTHON, "-I", "-c", code, *arguments]


@pytest.fixture
def outside(box):
    with open(box.outside + "/file", "w") as file:
        file.write("as it was")
    os.chmod(box.outside + "/file", 0o644)
    os.mkdir(box.outside + "/folder")
    return box.outside


@pytest.mark.parametrize("rung", ["native", "bubblewrap", "landlock"])
def test_inherited_descriptors_are_closed(box, outside, rung):
    fds = [os.open(outside + "/file", os.O_RDWR), os.open(outside + "/folder", os.O_RDONLY)]
    ours, theirs = socket.socketpair()
    before = snapshot(outside)
    try:
        cli(box, "--rung", rung, "--", *python(SCAN), pass_fds=(*fds, theirs.fileno()))
        assert snapshot(outside) == before
        assert not heard([ours])
        subprocess.run(python(SCAN), pass_fds=(*fds, theirs.fileno()))
        assert snapshot(outside) != before
        assert heard([ours])
    finally:
        for fd in fds:
            os.close(fd)
        ours.close()
        theirs.close()


REACH = {
    "reopened": 'os.write(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK), b"x")',
    "truncated": 'os.truncate(f"/proc/self/fd/{fd}", 1)',
    "shortened": "os.ftruncate(fd, 1)",
    "rewound": 'os.lseek(fd, 0, 0); os.write(fd, b"X")',
    "mode changed": "os.fchmod(fd, 0o777)",
    "mode changed by path": 'os.chmod(f"/proc/self/fd/{fd}", 0o777)',
    "owner changed": "os.fchown(fd, os.getuid(), os.getgid())",
    "times changed": "os.utime(fd, (1, 1))",
    "attribute set": 'os.setxattr(fd, "user.planted", b"1")',
    "entry created": 'os.close(os.open("planted", os.O_CREAT | os.O_WRONLY, dir_fd=fd))',
    "linked": 'os.link(f"/proc/self/fd/{fd}", "linked", follow_symlinks=True)',
}
ALL = "import os, sys\nfd = int(sys.argv[1])\n" + "".join(
    f"try:\n    {line}\nexcept OSError:\n    pass\n" for line in REACH.values()
)
READING = [name for name in REACH if name not in ("rewound", "shortened")]


@pytest.mark.parametrize("what", READING)
def test_a_file_as_standard_input_stays_as_it_is(box, outside, what):
    code = f"import os; fd = 0; {REACH[what]}"
    before = snapshot(outside)
    with open(outside + "/file") as file:
        cli(box, "-s", "read-only", "--", *python(code), stdin=file)
    assert snapshot(outside) == before


@pytest.mark.parametrize(
    ("name", "flags"),
    [("input", os.O_RDONLY), ("input", os.O_RDWR), ("output", os.O_WRONLY), ("output", os.O_RDWR),
     ("output", os.O_WRONLY | os.O_APPEND), ("errors", os.O_WRONLY | os.O_APPEND)],
)  # fmt: skip
def test_standard_descriptors_that_are_files_give_no_hold_on_them(box, outside, name, flags):
    number = {"input": 0, "output": 1, "errors": 2}[name]
    where = {"input": "stdin", "output": "stdout", "errors": "stderr"}[name]

    def attributes():
        there = os.stat(outside + "/file")
        return (
            there.st_mode,
            there.st_uid,
            there.st_gid,
            there.st_nlink,
            os.listxattr(outside + "/file"),
        )

    def once(run, *before):
        with open(outside + "/file", "w") as file:
            file.write("as it was")
        os.chmod(outside + "/file", 0o644)
        start = attributes()
        fd = os.open(outside + "/file", flags)
        os.lseek(fd, 0, os.SEEK_END)
        try:
            run([*before, *python(ALL, str(number))], fd)
        finally:
            os.close(fd)
        with open(outside + "/file") as file:
            text = file.read()
        changed = attributes() != start or not text.startswith("as it was")
        if number == 0:
            changed = changed or text != "as it was"
        return changed

    def free(argv, fd):
        std = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        subprocess.run(argv, cwd=box.workspace, **(std | {where: fd}))

    def confined(argv, fd):
        cli(box, "-s", "read-only", "--", *argv, **{where: fd})

    assert once(free), "without a sandbox it must be possible"
    for name in os.listxattr(outside + "/file"):
        os.removexattr(outside + "/file", name)
    assert not once(confined)


def test_a_folder_as_standard_input_stays_read_only(box, outside):
    code = """
import os
for step in (lambda: os.close(os.open("planted", os.O_CREAT | os.O_WRONLY, dir_fd=0)),
             lambda: os.fchmod(0, 0o777), lambda: os.unlink("file", dir_fd=0)):
    try: step()
    except OSError: pass
"""
    script = box.workspace + "/script.py"
    with open(script, "w") as file:
        file.write(code)
    before = snapshot(outside)
    fd = os.open(outside, os.O_RDONLY)
    try:
        # python itself will not start so: hand it over by the shell
        cli(box, "-s", "read-only", "--", "sh", "-c", f"exec {PYTHON} -I {script} 3<&0", stdin=fd)
        cli(
            box,
            "-s",
            "read-only",
            "--",
            "sh",
            "-c",
            "chmod 777 /dev/fd/0/; touch /dev/fd/0/planted",
            stdin=fd,
        )
        assert snapshot(outside) == before
        subprocess.run(["sh", "-c", "touch /dev/fd/0/planted"], stdin=fd)
        assert snapshot(outside) != before
    finally:
        os.close(fd)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("rung", ["native", "bubblewrap"])
def test_a_named_pipe_as_standard_descriptor_keeps_its_mode(box, number, rung):
    path = box.outside + "/fifo"
    os.mkfifo(path, 0o600)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    where = ("stdin", "stdout", "stderr")[number]
    code = f"""
import os
for step in (lambda: os.fchmod({number}, 0o777), lambda: os.chmod("/proc/self/fd/{number}", 0o777)):
    try: step()
    except OSError: pass
"""
    try:
        cli(box, "--rung", rung, "-s", "read-only", "--", *python(code), **{where: fd})
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        subprocess.run(python(code), **{where: fd})
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o777
    finally:
        os.close(fd)


def test_a_named_pipe_as_standard_input_cannot_be_written(box):
    path = box.outside + "/fifo"
    os.mkfifo(path, 0o600)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    code = 'import os; os.write(os.open("/proc/self/fd/0", os.O_WRONLY | os.O_NONBLOCK), b"x")'
    try:
        cli(box, "-s", "read-only", "--", *python(code), stdin=reader)
        assert not heard([reader])
        subprocess.run(python(code), stdin=reader)
        assert heard([reader])
    finally:
        os.close(reader)


def test_a_datagram_socket_as_standard_input_reaches_nobody_else(box):
    host = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    host.bind(box.outside + "/service")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    code = f"import socket; socket.socket(fileno=0).sendto(b'x', {box.outside + '/service'!r})"
    cli(box, "-s", "read-only", "--", *python(code), stdin=theirs)
    confined = heard([host])
    subprocess.run(python(code), stdin=theirs)
    assert heard([host])
    for s in (host, ours, theirs):
        s.close()
    assert not confined


def test_an_unconnected_network_socket_as_standard_input_reaches_nobody(box):
    host = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    host.bind(("127.0.0.1", 0))
    theirs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    code = f"import socket; socket.socket(fileno=0).sendto(b'x', {host.getsockname()!r})"
    cli(box, "-s", "read-only", "--", *python(code), stdin=theirs)
    confined = heard([host], 0.01)
    subprocess.run(python(code), stdin=theirs)
    assert heard([host], 1)
    for s in (host, theirs):
        s.close()
    assert not confined


def test_a_stream_socket_as_standard_input_still_works(box):
    ours, theirs = socket.socketpair()
    ours.sendall(b"hello")
    ours.shutdown(socket.SHUT_WR)
    ran = cli(box, "--", "cat", stdin=theirs)
    ours.close()
    theirs.close()
    assert (ran.code, ran.output) == (0, "hello")


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="only uid 0 owns /dev/null")
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_null_device_as_standard_descriptor_keeps_its_mode(box, number):
    code = f"import os; os.fchmod({number}, 0o600)"
    before = os.stat("/dev/null")
    with open("/dev/null", "r+b", buffering=0) as null:
        cli(box, "--", *python(code), **{("stdin", "stdout", "stderr")[number]: null})
    after = os.stat("/dev/null")
    os.chmod("/dev/null", 0o666)
    assert (after.st_mode, after.st_ctime_ns) == (before.st_mode, before.st_ctime_ns)


def test_closed_standard_descriptors_are_not_filled_with_files_of_the_command(box):
    ran = plain(box, ["sh", "-c", f"exec {' '.join(argv_of(box))} 0<&- 2>&-"])
    assert (ran.code, ran.output) == (0, "ok\n")


def argv_of(box):
    from escapes.doors import OCTAVO

    code = (
        '"import os; fd = os.open(chr(47), os.O_RDONLY); assert fd > 2; print(chr(111) + chr(107))"'
    )
    return [OCTAVO, "sandbox", "--", PYTHON, "-I", "-c", code]
