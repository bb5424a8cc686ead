"""The filter on paper: every number, both machines, every option, against an independent reading."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo.sandbox.linux import seccomp
from sandbox.bpf import interpreter

MACHINES = ("x86_64", "aarch64")
NETWORKS = ("off", "none", "on")
NUMBERS = range(601)
ALLOW, EPERM, ENOSYS, NOTIFY, KILL = (
    seccomp.ALLOW, seccomp.EPERM, seccomp.ENOSYS, seccomp.NOTIFY, seccomp.KILL,
)  # fmt: skip


def program(machine, network="off", **options):
    decide = interpreter(seccomp.build(machine, network, **options))
    arch = seccomp.ARCHITECTURE[machine]
    numbers = seccomp.numbers(machine)

    def verdict(call, *args):
        return decide(call if isinstance(call, int) else numbers[call], args, arch)

    return verdict


def always_refused(machine):
    return {name for name in seccomp.REFUSED if name in seccomp.numbers(machine)}


# the whole table ---------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_number_without_arguments_gets_the_answer_of_the_table(machine, network):
    verdict = program(machine, network)
    numbers = seccomp.numbers(machine)
    expected = dict.fromkeys(NUMBERS, ALLOW)
    expected |= {numbers[name]: EPERM for name in always_refused(machine)}
    expected |= {numbers[name]: ENOSYS for name in (*seccomp.ABSENT, "clone3")}
    expected[numbers["socket"]] = EPERM  # family 0
    expected[numbers["socketpair"]] = EPERM
    if network == "none":
        expected |= {numbers[name]: EPERM for name in seccomp.STRICT_NETWORK}
    assert {nr: verdict(nr) for nr in NUMBERS} == expected


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("reads", [False, True])
def test_with_a_supervisor_every_refusal_and_every_change_is_reported(machine, network, reads):
    plain = program(machine, network)
    watched = program(machine, network, notify=True, reads=reads)
    numbers = seccomp.numbers(machine)
    changes = {numbers[name] for name in seccomp.WATCHED if name in numbers}
    changes -= {numbers[name] for name in seccomp.OPEN_FLAGS if name in numbers}
    if reads:
        opens = (*seccomp.WATCHED_READS, *seccomp.OPEN_FLAGS)
        changes |= {numbers[name] for name in opens if name in numbers}
    if network == "off":
        changes |= {numbers[name] for name in seccomp.CONNECTS}
    for nr in NUMBERS:
        before = plain(nr)
        wanted = (
            ENOSYS if before == ENOSYS else NOTIFY if before == EPERM or nr in changes else ALLOW
        )
        assert watched(nr) == wanted, nr


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_is_ever_allowed_for_the_other_machine(machine):
    decide = interpreter(seccomp.build(machine, "on"))
    for arch in (0, 0x40000003, 0x40000028, *seccomp.ARCHITECTURE.values()):
        if arch != seccomp.ARCHITECTURE[machine]:
            assert {decide(nr, (), arch) for nr in NUMBERS} == {KILL}


def test_the_second_table_of_calls_on_x86_is_absent():
    verdict = program("x86_64", "on")
    assert {verdict(0x40000000 + nr) for nr in NUMBERS} == {ENOSYS}
    assert verdict(0xFFFFFFFF) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_the_two_layers_of_the_warm_way_refuse_together_what_the_whole_refuses(
    machine, network, unix, nested
):
    options = {"unix": unix, "nested": nested}
    whole = program(machine, network, **options)
    server = program(machine, network, part="server", **options)
    command = program(machine, network, part="command", **options)
    for args in [(), (1, 1), (1, 2), (2, 1), (16, 3, 0), (0x10000000,), (0, 0x5412)]:
        for nr in NUMBERS:
            verdicts = {server(nr, *args), command(nr, *args)}
            together = next((v for v in (EPERM, ENOSYS) if v in verdicts), ALLOW)
            assert together == whole(nr, *args), (nr, args)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_policy_server_keeps_the_calls_it_needs(machine, network):
    server = program(machine, network, part="server")
    assert {name: server(name, 0x7E020000) for name in seccomp.SERVER_NEEDS} == dict.fromkeys(
        seccomp.SERVER_NEEDS, ALLOW
    )


# single calls ------------------------------------------------------------------------------------

UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
OTHER_FAMILIES = sorted(set(range(48)) - {UNIX, INET, INET6, NETLINK})


@pytest.mark.parametrize("machine", MACHINES)
def test_without_network_rules_only_internet_and_routing_sockets_exist(machine):
    verdict = program(machine, "off")
    assert [verdict("socket", f, 1, 0) for f in (INET, INET6, NETLINK)] == [ALLOW] * 3
    assert {verdict("socket", f, 1, 0) for f in (UNIX, *OTHER_FAMILIES)} == {EPERM}
    assert {verdict("socket", NETLINK, 3, protocol) for protocol in range(1, 32)} == {EPERM}


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_on_the_file_system_are_a_wish(machine):
    verdict = program(machine, "none", unix=True)
    assert verdict("socket", UNIX, 1, 0) == ALLOW
    assert {verdict("socket", f, 1, 0) for f in (INET, INET6, NETLINK, *OTHER_FAMILIES)} == {EPERM}
    assert verdict("socketpair", UNIX, 2) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", [2, 2 | 0o4000, 2 | 0o2000000, 2 | 0o2004000])
def test_a_datagram_pair_is_refused_whatever_flags_it_carries(machine, kind):
    assert program(machine)("socketpair", UNIX, kind) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", [1, 5, 1 | 0o2000000])
def test_other_pairs_work_even_without_any_network(machine, kind):
    assert program(machine, "none")("socketpair", UNIX, kind) == ALLOW
    assert program(machine, "none")("socketpair", INET, kind) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_without_sockets_a_datagram_without_an_address_still_goes_through_a_pair(machine):
    verdict = program(machine, "none")
    assert verdict("sendto", 3, 0x1000, 1, 0, 0, 0) == ALLOW
    assert verdict("sendto", 3, 0x1000, 1, 0, 0x7F00_0000_0000, 16) == EPERM
    assert verdict("sendto", 3, 0x1000, 1, 0, 1 << 32, 16) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("request_", [0x5412, 0x541C])
def test_typing_into_a_terminal_is_refused_by_its_low_word(machine, request_):
    verdict = program(machine)
    assert verdict("ioctl", 0, request_) == EPERM
    assert verdict("ioctl", 0, request_ | 0xFFFFFFFF_00000000) == EPERM
    assert {verdict("ioctl", 0, request_ + step) for step in (-1, 1)} == {ALLOW}


@pytest.mark.parametrize("machine", MACHINES)
@given(bit=st.integers(0, 63))
def test_clone_is_refused_exactly_for_new_namespaces(machine, bit):
    new = (17, 25, 26, 27, 28, 29, 30)  # NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
    assert program(machine)("clone", 1 << bit) == (EPERM if bit in new else ALLOW)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_thread_and_a_fork_are_not_namespaces(machine):
    for flags in (0x3D0F00, 0x1200011, 17, 0x4111):  # pthread_create, fork, SIGCHLD, posix_spawn
        assert program(machine)("clone", flags) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_nested_namespaces_are_a_wish_that_opens_nothing_else(machine):
    plain, nested = program(machine), program(machine, nested=True)
    opened = {n for n in NUMBERS if plain(n, 0x7E020000) != nested(n, 0x7E020000)}
    numbers = seccomp.numbers(machine)
    assert opened == {numbers[name] for name in ("unshare", "clone", "clone3")}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "index"), seccomp.OPEN_FLAGS.items())
def test_only_opens_that_may_change_something_are_reported(machine, name, index):
    if name not in seccomp.numbers(machine):
        pytest.skip(f"{machine} has no {name}")
    verdict = program(machine, notify=True)

    def flags(value):
        return (*(0,) * index, value)

    for harmless in (0, 0o2000000, 0o200000, 0o4000, 0o400000):
        assert verdict(name, *flags(harmless)) == ALLOW
    for changing in (1, 2, 0o100, 0o1000, 0o2001, 0o101):
        assert verdict(name, *flags(changing)) == NOTIFY


# properties --------------------------------------------------------------------------------------


@given(
    machine=st.sampled_from(MACHINES),
    network=st.sampled_from(NETWORKS),
    unix=st.booleans(),
    nested=st.booleans(),
    number=st.integers(0, 0x3FFFFFFF),
    args=st.tuples(*[st.integers(0, 2**64 - 1)] * 6),
)
def test_the_program_agrees_with_the_table_it_was_made_from(
    machine, network, unix, nested, number, args
):
    options = {"unix": unix, "nested": nested, "notify": False, "reads": False}
    table = seccomp.table(machine, network, **options)
    names = {n: name for name, n in seccomp.numbers(machine).items()}
    block = table.get(names.get(number, ""))
    wanted = ALLOW if block is None else seccomp.evaluate(block, args)
    assert program(machine, network, unix=unix, nested=nested)(number, *args) == wanted


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("notify", [False, True])
def test_programs_are_small_enough_for_the_kernel(machine, network, notify):
    code = seccomp.build(machine, network, notify=notify, reads=notify)
    assert len(code) % 8 == 0
    assert 0 < len(code) // 8 <= 4096  # BPF_MAXINSNS


@pytest.mark.parametrize("machine", MACHINES)
def test_no_call_has_two_names_and_every_name_is_answered_once(machine):
    numbers = seccomp.numbers(machine)
    shared = [n for n in set(numbers.values()) if list(numbers.values()).count(n) > 1]
    assert shared == []


@pytest.mark.skipif(
    sys.platform != "linux", reason="the numbers are those of this kernel's headers"
)
@pytest.mark.parametrize(("machine", "header"), [
    ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    ("aarch64", "/usr/include/asm-generic/unistd.h"),
])  # fmt: skip
def test_the_numbers_are_those_of_the_kernel_headers(machine, header):
    try:
        with open(header) as file:
            lines = [line.split() for line in file if line.startswith("#define __NR")]
    except OSError:
        pytest.skip(f"{header} is not installed")
    known = {
        name.removeprefix("__NR3264_").removeprefix("__NR_"): int(value)
        for _, name, value, *_ in (line for line in lines if len(line) >= 3)
        if value.isdigit()
    }
    ours = seccomp.numbers(machine)
    assert {n: ours[n] for n in ours if n in known} == {n: known[n] for n in ours if n in known}
    assert len(set(ours) & set(known)) > 60
