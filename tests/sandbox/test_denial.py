"""Evidence in, records out, on paper: what counts as a denial, and what would have failed anyway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.policy.places import Places
from octavo.policy.profile import effective, from_mapping
from octavo.protocol.permissions import RuleRef
from octavo.sandbox.denial import MOST, Denial, Judge, parse_address
from policy.disk import Disk


class Spot:
    """One path of a call."""

    def __init__(self, path, kind="file", **facts):
        self.path, self.kind, self.exists = path, kind, kind != "missing"
        self.owned = self.readable = self.writable = self.folder_exists = self.folder_writable = (
            True
        )
        self.empty = kind == "dir"
        self.ours = self.folder_ours = False
        vars(self).update(facts)


class Call:
    """One call of a confined process."""

    def __init__(
        self, name, operation="", *places, args=(0,) * 6, flags=0, address=b"", refused=False
    ):
        self.name, self.operation, self.places = name, operation or name, places
        self.args, self.flags, self.address, self.refused = args, flags, address, refused


RULES = {":root": "read", "/work": "write", "/work/kept": "read", "/hidden": "none"}


def judge(uid=1000, rules=RULES, **more):
    look = Disk("/work/kept", "/work/other", "/hidden")
    profile = effective(
        from_mapping({"filesystem": dict(rules)}),
        Places(
            cwd="/work", home="/home/me", tmpdir=None, workspace_roots=(), own_homes=(), minimal=()
        ),
        look=look,
    )
    return Judge(profile, uid=uid, **more)


def verdict(call, **more):
    found = judge(**more).verdict(call)
    return None if found is None else (found[0], found[1])


WRONLY, CREAT, EXCL, TRUNC = 1, 0o100, 0o200, 0o1000


@pytest.mark.parametrize(("call", "expected"), [
    (Call("openat", "open", Spot("/etc/x"), flags=WRONLY), ("write", "/etc/x")),
    (Call("openat", "open", Spot("/etc/x", writable=False), flags=WRONLY), None),
    (Call("openat", "open", Spot("/etc/x"), flags=0), None),
    (Call("openat", "open", Spot("/work/x"), flags=WRONLY), None),
    (Call("openat", "open", Spot("/etc/new", "missing"), flags=WRONLY | CREAT), ("create", "/etc/new")),
    (Call("openat", "open", Spot("/etc/new", "missing"), flags=WRONLY), None),
    (Call("openat", "open", Spot("/etc/new", "missing", folder_writable=False), flags=WRONLY | CREAT), None),
    (Call("openat", "open", Spot("/etc/x"), flags=WRONLY | CREAT | EXCL), None),
    (Call("openat", "open", Spot("/hidden/x"), flags=0), ("read", "/hidden/x")),
    (Call("openat", "open", Spot("/hidden/x", "missing"), flags=0), None),
    (Call("openat", "open", Spot("/hidden/x", readable=False), flags=0), None),
    (Call("execve", "execute", Spot("/hidden/x")), ("execute", "/hidden/x")),
    (Call("unlink", "delete", Spot("/etc/x")), ("delete", "/etc/x")),
    (Call("rmdir", "delete", Spot("/etc/x")), None),
    (Call("rmdir", "delete", Spot("/etc/x", "dir", empty=False)), None),
    (Call("rename", "rename", Spot("/work/x"), Spot("/etc/x", "missing")), ("rename", "/etc/x")),
    (Call("rename", "rename", Spot("/work", "dir"), Spot("/work2", "missing")), ("rename", "/work")),
    (Call("link", "link", Spot("/etc/x"), Spot("/etc/y", "missing")), ("link", "/etc/y")),
    (Call("chmod", "metadata", Spot("/etc/x")), ("metadata", "/etc/x")),
    (Call("chmod", "metadata", Spot("/etc/x", owned=False, writable=False)), None),
    (Call("openat", "open", Spot("/dev/null"), flags=WRONLY), None),
    (Call("openat", "open", Spot("/proc/self/x"), flags=WRONLY), None),
    (Call("openat", "open", Spot("/proc/sys/x"), flags=WRONLY), ("write", "/proc/sys/x")),
])  # fmt: skip
def test_a_denial_is_what_the_policy_refuses_and_would_have_worked(call, expected):
    assert verdict(call) == expected


@pytest.mark.parametrize(("call", "uid", "expected"), [
    (Call("mount", refused=True), 1000, None), (Call("mount", refused=True), 0, ("mount", "mount")),
    (Call("bpf", refused=True), 1000, None), (Call("bpf", refused=True), 0, ("kernel", "bpf")),
    (Call("ptrace", refused=True), 1000, ("trace", "ptrace")),
    (Call("keyctl", refused=True), 1000, ("keyring", "keyctl")),
    (Call("unshare", refused=True, args=(0x10000000,)), 1000, ("namespace", "unshare")),
    (Call("unshare", refused=True, args=(0x20000,)), 1000, None),
    (Call("unshare", refused=True, args=(0x20000,)), 0, ("namespace", "unshare")),
    (Call("ustat", refused=True), 0, None),
    (Call("socket", refused=True, args=(1, 1, 0)), 1000, ("socket", "AF_UNIX")),
    (Call("socket", refused=True, args=(17, 3, 0)), 1000, None),
    (Call("socket", refused=True, args=(17, 3, 0)), 0, ("socket", "AF_PACKET")),
    (Call("socket", refused=True, args=(77, 1, 0)), 1000, ("socket", "family 77")),
])  # fmt: skip
def test_what_only_root_may_do_is_no_loss_for_others(call, uid, expected):
    assert verdict(call, uid=uid) == expected


NSCD = Call("socket", refused=True, args=(1, 0o2004001, 0))


def test_the_question_to_a_name_service_cache_counts_only_where_there_is_one():
    assert verdict(NSCD, name_service_cache=False) is None
    assert verdict(NSCD, name_service_cache=True) == ("socket", "AF_UNIX")


def test_our_own_mount_point_counts_as_the_missing_name_it_keeps():
    spot = Spot("/work/kept", "dir", ours=True)
    assert verdict(Call("mkdir", "create", spot)) == ("create", "/work/kept")
    elsewhere = Spot("/etc/empty", "dir", ours=True)
    assert verdict(Call("mkdir", "create", elsewhere)) is None


def test_repeats_are_counted_and_keep_their_first_time():
    seen = judge()
    for at_ms in (5, 9, 12):
        seen.note(Call("openat", "open", Spot("/etc/x"), flags=WRONLY), at_ms)
    seen.note(Call("openat", "open", Spot("/etc/y"), flags=WRONLY), 20)
    assert [(d.subject, d.at_ms, d.count) for d in seen.denials] == [
        ("/etc/x", 5, 3),
        ("/etc/y", 20, 1),
    ]


def test_a_denial_is_one_line_with_rule_and_grant():
    rule = RuleRef(text='":root" = "read"', source="config", file="/c.toml", line=2)
    denial = Denial(operation="write", subject="/x", rule=rule, grant='"/x" = "write"', at_ms=1)
    assert str(denial) == 'write /x: ":root" = "read" (/c.toml:2); to allow: "/x" = "write"'
    assert str(Denial(operation="trace", subject="ptrace", rule=rule, grant="", at_ms=1)).endswith(
        ":2)"
    )


def inet(host, port):
    return (
        (2).to_bytes(2, "little")
        + port.to_bytes(2, "big")
        + bytes(map(int, host.split(".")))
        + bytes(8)
    )


def inet6(raw, port):
    return (10).to_bytes(2, "little") + port.to_bytes(2, "big") + bytes(4) + raw + bytes(4)


@pytest.mark.parametrize(("data", "expected"), [
    (inet("192.0.2.1", 80), "192.0.2.1:80"), (inet("127.0.0.1", 80), None), (inet("127.9.9.9", 1), None),
    (inet("0.0.0.0", 80), None), (inet6(bytes(15) + b"\x01", 80), None), (inet6(bytes(16), 80), None),
    (inet6(bytes.fromhex("20010db8") + bytes(12), 443), "[2001:db8:0:0:0:0:0:0]:443"),
    (inet6(bytes(10) + b"\xff\xff\x7f\x00\x00\x01", 80), None),
    (inet6(bytes(10) + b"\xff\xff\xc0\x00\x02\x01", 80), "192.0.2.1:80"),
    (b"", None), (b"\x02", None), (b"\x02\x00\x00", None), (b"\x01\x00/run/socket", None),
])  # fmt: skip
def test_an_address_is_host_and_port_unless_it_is_our_own(data, expected):
    assert parse_address(data) == expected


@given(st.binary(max_size=40))
def test_no_address_is_too_strange(data):
    found = parse_address(data)
    assert found is None or found.isprintable()


def v4(text, port):
    return (
        b"\x02\0" + port.to_bytes(2, "big") + bytes(int(one) for one in text.split(".")) + bytes(8)
    )


def v6(tail, port):
    return b"\x0a\0" + port.to_bytes(2, "big") + bytes(4) + tail.rjust(16, b"\0") + bytes(4)


WAITED = frozenset({("127.0.0.1", 3128), ("0.0.0.0", 443), ("127.64.0.1", 8443)})


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        (v4("192.0.2.1", 443), None), (v6(b"\xff\xff\xc0\0\2\1", 443), None),
        (v4("192.0.2.1", 8443), "192.0.2.1:8443"), (v4("192.0.2.1", 3128), "192.0.2.1:3128"),
        (v4("127.64.0.1", 8443), None), (v4("127.64.0.2", 8443), "127.64.0.2:8443"),
        (v6(b"\x20\1" + bytes(13) + b"\1", 443), "[2001:0:0:0:0:0:0:1]:443"),
        (v4("127.0.0.1", 8443), None),
    ],
)  # fmt: skip
def test_what_the_proxy_waits_for_it_tells_by_itself_and_nothing_else(address, subject):
    call = Call("connect", "connect", address=address)
    expected = None if subject is None else ("connect", subject)
    assert verdict(call, waited=WAITED) == expected


def test_there_is_an_end_to_what_is_told_of_one_command():
    made = judge()
    for number in range(MOST + 5):
        made.note(Call("openat", "open", Spot(f"/etc/{number}"), flags=WRONLY), 1)
    made.note(Call("openat", "open", Spot("/etc/0"), flags=WRONLY), 1)
    assert (len(made.denials), made.denials[0].count) == (MOST, 2)
