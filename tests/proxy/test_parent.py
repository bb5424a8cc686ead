"""Another proxy on the way out."""

import socket

import pytest

from octavo.policy.hosts import read_target
from octavo.protocol.errors import UsageError
from octavo.proxy.parent import read_parents
from proxy.world import HERE, OK, answering, echo, server, world


async def test_tunnels_and_requests_go_through_a_parent():
    async with (
        server(echo) as echoing,
        server(answering(OK)) as web,
        world("ok.test", listen=False) as parent,
    ):
        one = parent.proxy.open("one")
        at = f"http://{one.user}:{one.password}@{HERE}:{parent.port}"
        parents = read_parents({"HTTP_PROXY": at, "NO_PROXY": ".direct.test"})
        allow = ("ok.test", "only.test", "x.direct.test")
        async with world(*allow, hosts=["only.test", "x.direct.test"], parents=parents) as w:
            async with w.client() as (reader, writer):
                assert await w.connect(reader, writer, f"ok.test:{echoing}") == 200
                writer.write(b"hi")
                assert await reader.readexactly(2) == b"hi"
            for _ in range(2):
                assert (await w.get(f"http://ok.test:{web}/x"))[2] == b"ok"
            assert [one.decision.host for one in parent.proxy.decisions] == ["ok.test"] * 3
            # what the parent refuses is refused; what we refuse never gets there
            async with w.client() as (reader, writer):
                assert await w.connect(reader, writer, f"only.test:{echoing}") == 502
            assert (await w.get("http://no.test/"))[0] == 403
            assert (await w.get(f"http://x.direct.test:{web}/"))[0] == 200
            assert len(parent.proxy.decisions) == 4


async def test_names_are_checked_here_before_they_are_handed_on():
    async with world("**.test", hosts={"in.test": [["10.0.0.1"]]}) as parent:
        parents = read_parents({"https_proxy": f"{HERE}:{parent.port}"})
        async with (
            world("in.test", hosts={"in.test": [["10.0.0.1"]]}, parents=parents) as w,
            w.client() as (reader, writer),
        ):
            assert await w.connect(reader, writer, "in.test:443") == 403
        assert parent.proxy.decisions == ()


async def test_a_parent_that_is_gone_is_a_bad_gateway():
    with socket.create_server((HERE, 0)) as listener:
        port = listener.getsockname()[1]
    parents = read_parents({"ALL_PROXY": f"http://{HERE}:{port}"})
    async with world("ok.test", parents=parents) as w:
        assert (await w.get("http://ok.test/"))[0] == 502


def test_variables_say_which_parent():
    found = read_parents(
        {
            "HTTP_PROXY": "http://a.test:1",
            "https_proxy": "b.test:2",
            "no_proxy": "c.test, .d.test 10.0.0.0/8 1.2.3.4",
        }
    )
    for target, plain, expected in (
        ("x.test:80", True, "a.test:1"), ("x.test:443", False, "b.test:2"), ("c.test:80", True, None),
        ("y.c.test:80", True, None), ("d.test:80", True, None), ("1.2.3.4:80", True, None),
    ):  # fmt: skip
        parent = found.for_target(read_target(target), plain=plain)
        assert (None if parent is None else str(parent.target)) == expected
    assert read_parents({}).for_target(read_target("x.test:80"), plain=True) is None
    assert (
        read_parents({"HTTP_PROXY": "http://a.test", "NO_PROXY": "*"}).for_target(
            read_target("x.test:80"), plain=True
        )
        is None
    )


@pytest.mark.parametrize(
    "text",
    ["socks5://a.test:1", "https://a.test", "http://", "http://u:secret@a b:1", "http://a:x"],
)
def test_a_parent_that_is_none_is_an_error_without_its_password(text):
    with pytest.raises(UsageError) as wrong:
        read_parents({"HTTP_PROXY": text})
    assert "secret" not in str(wrong.value)
