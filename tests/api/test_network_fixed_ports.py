"""Ports that were opened in a firewall: a proxy waits at one of these or nowhere."""

import socket

import pytest

from octavo.api.network import listening_at
from octavo.protocol.errors import SandboxUnavailable


@pytest.fixture
def taken():
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        yield one.getsockname()[1], two.getsockname()[1]


def free():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_the_first_free_port_of_the_list_is_taken(taken):
    wanted = free()
    with listening_at((taken[0], wanted, taken[1])) as found:
        assert found.getsockname() == ("127.0.0.1", wanted)


def test_without_a_list_any_port_will_do():
    with listening_at(()) as found:
        assert found.getsockname()[1] > 0


def test_when_all_are_taken_the_command_does_not_run(taken):
    with pytest.raises(SandboxUnavailable, match=rf"{taken[0]}, {taken[1]} are taken") as caught:
        listening_at(taken)
    assert "did not run" in str(caught.value)
