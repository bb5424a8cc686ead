"""Rights by kernel version on paper, and given up for real by a process of our own."""

import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Landlock is Linux's", allow_module_level=True)

from octavo.sandbox.linux import landlock, sysc

pytestmark = pytest.mark.linux
VERSIONS = range(1, 8)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("access", landlock.RIGHTS)
@pytest.mark.parametrize("directory", [False, True])
def test_no_rule_asks_for_more_than_the_kernel_knows(version, access, directory):
    rights = landlock.rights_for(access, version, directory=directory)
    assert rights & ~landlock.handled(version) == 0
    assert rights or (access == "list" and not directory)  # only folders are listed
    if not directory:
        assert rights & ~landlock.ON_FILES == 0


def test_each_version_takes_away_at_least_what_the_one_before_did():
    for version in VERSIONS[1:]:
        assert landlock.handled(version - 1) & ~landlock.handled(version) == 0


def test_reading_is_not_writing():
    assert landlock.READ & (landlock.WRITE_FILE | landlock.TRUNCATE | landlock.REFER) == 0
    assert landlock.READ & ~landlock.WRITE == 0


@pytest.mark.parametrize("access", ["read", "write"])
def test_no_rule_lets_devices_be_made(access):
    rights = landlock.rights_for(access, 7, directory=True)
    assert rights & (landlock.MAKE_CHAR | landlock.MAKE_BLOCK) == 0


def test_a_rule_is_rights_and_a_descriptor_packed():
    assert landlock.encode_rule(7, 0x0123) == (0x123).to_bytes(8, "little") + (7).to_bytes(
        4, "little"
    )


def restricted(allowed, body):
    """What `body` says in a child that has given up everything but `allowed`."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            version = landlock.abi()
            rules = []
            for path, access in allowed:
                fd = os.open(path, os.O_PATH)
                directory = os.path.isdir(path)
                rights = landlock.rights_for(access, version, directory=directory)
                rules.append(landlock.encode_rule(fd, rights))
            sysc.prctl(sysc.PR_SET_NO_NEW_PRIVS, 1)
            landlock.restrict(version, rules)
            try:
                body()
                os.write(write, b"worked")
            except OSError as problem:
                os.write(write, str(problem.errno).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()


needed = pytest.mark.skipif(landlock.abi() < 1, reason="this kernel has no Landlock")


@needed
@pytest.mark.parametrize(("access", "read", "write", "make"), [
    ("read", "worked", "13", "13"), ("write", "worked", "worked", "worked"), (None, "13", "13", "13"),
])  # fmt: skip
def test_the_kernel_holds_what_the_rules_say(tmp_path, access, read, write, make):
    (tmp_path / "file").write_text("x")
    rules = [] if access is None else [(str(tmp_path), access)]
    path = str(tmp_path / "file")
    assert restricted(rules, lambda: os.close(os.open(path, os.O_RDONLY))) == read
    assert restricted(rules, lambda: os.close(os.open(path, os.O_WRONLY))) == write
    assert restricted(rules, lambda: os.mkdir(str(tmp_path / "new"))) == make


@needed
def test_a_rule_for_one_file_opens_nothing_beside_it(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text("x")
    rules = [(str(tmp_path / "one"), "write")]
    assert restricted(rules, lambda: os.close(os.open(tmp_path / "one", os.O_WRONLY))) == "worked"
    assert restricted(rules, lambda: os.close(os.open(tmp_path / "two", os.O_RDONLY))) == "13"


@needed
@pytest.mark.skipif(landlock.abi() < 3, reason="truncation needs version 3")
def test_a_file_that_may_be_read_cannot_be_truncated(tmp_path):
    (tmp_path / "file").write_text("x")
    assert restricted([(str(tmp_path), "read")], lambda: os.truncate(tmp_path / "file", 0)) == "13"
