"""Connecting to one of several addresses, and names into addresses."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from octavo.policy.addresses import read_address
from octavo.protocol.errors import UsageError
from octavo.proxy.dial import DialError, dial, ordered
from octavo.proxy.limits import Limits
from octavo.proxy.resolve import (
    ScriptedResolver,
    SystemResolver,
    addresses_of,
    is_own,
    own_addresses,
)

HERE = ip_address("127.0.0.1")
NOBODY = ip_address("127.0.0.9")


def test_kinds_of_addresses_take_turns():
    four, six = [ip_address(f"1.1.1.{n}") for n in range(3)], [ip_address("2600::1")]
    assert ordered([*four, *six]) == [four[0], six[0], four[1], four[2]]
    assert ordered([*six, *four]) == [six[0], four[0], four[1], four[2]]
    assert ordered([]) == []


async def test_an_address_that_refuses_is_followed_by_the_next():
    with socket.create_server((str(HERE), 0)) as listener:
        port = listener.getsockname()[1]
        for addresses in (
            [HERE],
            [NOBODY, HERE],
            [NOBODY, ip_address("::1"), HERE],
            [HERE, NOBODY],
        ):
            with await dial(addresses, port, Limits()) as sock:
                assert sock.getpeername()[0] == str(HERE)


async def test_when_all_refuse_it_is_refused():
    with socket.create_server((str(HERE), 0)) as listener:
        port = listener.getsockname()[1]
    for addresses in ([HERE], [HERE, NOBODY]):
        with pytest.raises(DialError) as wrong:
            await dial(addresses, port, Limits())
        assert wrong.value.failure == "refused"


async def test_there_is_one_deadline():
    with socket.create_server((str(HERE), 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        held = [socket.socket() for _ in range(4)]
        for one in held:  # until the queue is full nobody is left hanging
            one.setblocking(False)
            one.connect_ex((str(HERE), port))
        try:
            with pytest.raises(DialError) as wrong:
                await dial([HERE, HERE], port, Limits(connect_s=0.1, stagger_s=0.02))
            assert wrong.value.failure == "timeout"
        finally:
            for one in held:
                one.close()


async def test_the_system_knows_this_machine():
    assert HERE in await SystemResolver()("localhost")
    assert await SystemResolver()("no-such-name.invalid") == []
    assert addresses_of("a" * 300) == []


async def test_look_ups_that_hang_are_bounded():
    resolver = SystemResolver(threads=1)
    await resolver._free.acquire()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await resolver("localhost")
    resolver._free.release()
    assert await resolver("localhost")


async def test_a_script_of_names_is_followed(tmp_path):
    path = tmp_path / "names.json"
    path.write_text('{"hosts": {"a.test": [["1.1.1.1"], ["10.0.0.1", "::1"]], "none.test": [[]]}}')
    resolver = ScriptedResolver.read(str(path))
    assert await resolver("a.test") == [ip_address("1.1.1.1")]
    for _ in range(2):
        assert await resolver("a.test") == [ip_address("10.0.0.1"), ip_address("::1")]
    assert await resolver("none.test") == []
    assert await resolver("localhost") == []
    assert resolver.asked[:2] == ["a.test", "a.test"]


@pytest.mark.parametrize("text", ["", "[]", '{"hosts": 1}', '{"hosts": {"a": [["127.1"]]}}', "{}"])
def test_a_script_that_is_none_is_an_error(tmp_path, text):
    path = tmp_path / "names.json"
    path.write_text(text)
    with pytest.raises(UsageError):
        ScriptedResolver.read(str(path))


def test_the_machines_own_addresses_are_known():
    assert is_own(HERE)
    assert not is_own(ip_address("8.8.8.8"))
    assert not is_own(ip_address("192.0.2.1"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no way out")
        mine = read_address(probe.getsockname()[0])
    assert own_addresses([mine, ip_address("8.8.8.8")]) == {mine}
