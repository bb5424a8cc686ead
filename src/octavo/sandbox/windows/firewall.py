"""What the network of the offline account is held by: firewall rules and platform filters.

Pure: names, numbers, order. Only blocking rules: a block wins over whatever rule an installer
added to let programs out. The filters close what a firewall rule shapes badly: ping, names, files.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from octavo.protocol.errors import UsageError
from octavo.sandbox.windows.sids import is_sid

BLOCK: Final = 0
ALL_PROFILES: Final = 0x7FFFFFFF
INBOUND: Final = 1
OUTBOUND: Final = 2
ANY: Final = 256
UDP: Final = 17
TCP: Final = 6
ICMP: Final = 1
ICMP6: Final = 58

LOOPBACK: Final = "127.0.0.0/8,::/127"
"""`::` counts here by its prefix, and as outside by the next list: nothing falls in between."""
OUTSIDE: Final = (
    "0.0.0.0-126.255.255.255,128.0.0.0-255.255.255.255,"
    "::,::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
)
PREFIX: Final = "octavo_sandbox_offline_"

POLICY_OK: Final = 0
RPC_E_CHANGED_MODE: Final = 0x80010106


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """A rule of the Windows firewall. Set the protocol before the ports."""

    name: str
    direction: int
    protocol: int
    remote_addresses: str
    remote_ports: str | None
    users: str
    """LocalUserAuthorizedList; read it back after adding the rule."""
    action: int = BLOCK
    profiles: int = ALL_PROFILES
    enabled: bool = True
    description: str = "Keeps commands of the Octavo sandbox off the network."


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do to the firewall."""

    do: Literal["put", "remove"]
    name: str
    rule: FirewallRule | None = None


def user_list(sid: str) -> str:
    """The accounts a rule is for. Raises UsageError for what is no SID."""
    if not is_sid(sid):
        raise UsageError(f"{sid!r} is no SID")
    return f"O:LSD:(A;;CC;;;{sid})"


def port_ranges(without: Iterable[int]) -> str:
    """All ports but these, as ranges; "" when nothing is left.

    Raises UsageError for a number that is no port.
    """
    parts: list[str] = []
    begin = 1
    for port in sorted(set(without)):
        if not 0 < port < 65536:
            raise UsageError(f"{port} is no port: ports are 1 to 65535")
        if begin < port:
            parts.append(_range(begin, port - 1))
        begin = port + 1
    if begin < 65536:
        parts.append(_range(begin, 65535))
    return ",".join(parts)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def firewall_plan(
    offline_sid: str, *, proxy_ports: Iterable[int] = (), allow_local_binding: bool = False
) -> tuple[Step, ...]:
    """What to do, in order: at no moment is more open than before or after.

    Before it, LocalPolicyModifyState has to be readable and 0, or blocking would be a fiction.
    """
    users = user_list(offline_sid)
    ports = port_ranges(proxy_ports)

    def rule(name: str, direction: int, protocol: int, remote: str, open_to: str | None) -> Step:
        full = PREFIX + name
        return Step("put", full, FirewallRule(full, direction, protocol, remote, open_to, users))

    udp = rule("block_loopback_udp", OUTBOUND, UDP, LOOPBACK, None)
    tcp = rule("block_loopback_tcp", OUTBOUND, TCP, LOOPBACK, "1-65535")
    legacy = Step("remove", PREFIX + "allow_loopback_proxy")
    steps = [
        rule("block_outbound", OUTBOUND, ANY, OUTSIDE, None),
        rule("block_inbound", INBOUND, ANY, OUTSIDE, None),
    ]
    if allow_local_binding:
        removed = [Step("remove", udp.name), Step("remove", tcp.name)]
        return (*steps, legacy, *removed)
    steps += [udp, tcp, legacy]
    if not ports:
        steps.append(Step("remove", tcp.name))
    elif ports != "1-65535":
        steps.append(rule("block_loopback_tcp", OUTBOUND, TCP, LOOPBACK, ports))
    return tuple(steps)


def removal() -> tuple[Step, ...]:
    """Everything we ever put there."""
    names = ("block_outbound", "block_inbound", "block_loopback_udp", "block_loopback_tcp")
    return tuple(Step("remove", PREFIX + name) for name in (*names, "allow_loopback_proxy"))


# Platform filters --------------------------------------------------------------------------------

PROVIDER: Final = "de2d820a-fbee-4a21-9c3d-254e8b55a196"
SUBLAYER: Final = "b2d3bb85-7aea-4089-abb8-e3cb51b5a30f"
SUBLAYER_WEIGHT: Final = 0x8000

CONNECT_V4: Final = "c38d57d1-05a7-4c33-904f-7fbceee60e82"
CONNECT_V6: Final = "4a72393b-319f-44bc-84c3-ba54dcb3b6b4"
ASSIGN_V4: Final = "1247d66d-0b60-4a15-8d44-7155d0f53a0c"
ASSIGN_V6: Final = "55a650e1-5f0a-4eca-a653-88f53b26aa8c"
USER_ID: Final = "af043a0a-b34d-4f86-979c-c90371af6e66"
PROTOCOL: Final = "3971ef2b-623e-4f9a-8cb1-6e79b806b9a7"
REMOTE_PORT: Final = "c35a604d-d22b-4e1a-91b4-68f674ee674b"
"""Keys of Windows' own layers and fields."""

MATCH_FILTER: Final = 1
PERSISTENT: Final = 1
WFP_BLOCK: Final = 0x1001
ALREADY_EXISTS: Final = 0x80320009
FILTER_NOT_FOUND: Final = 0x80320003
NOT_FOUND: Final = 0x80320008


@dataclass(frozen=True, slots=True)
class WfpFilter:
    """A persistent filter that blocks, with two conditions: the account, and this one."""

    key: str
    name: str
    layer: str
    field: str
    value: int
    bits: Literal[8, 16]
    """Width of the value."""
    security: str
    """The account's condition: a security descriptor that matches it."""


FILTERS: Final = (
    ("c49edaf1-30b6-4e38-96b3-581fc07150f1", "icmp connect v4", CONNECT_V4, PROTOCOL, ICMP),
    ("be0b5c79-e416-4176-bfa5-48a5bb20efe9", "icmp connect v6", CONNECT_V6, PROTOCOL, ICMP6),
    ("5a8057eb-bdbb-4e2e-be92-74d29becc4be", "icmp assign v4", ASSIGN_V4, PROTOCOL, ICMP),
    ("cc7d8643-bebf-4cc0-a377-8f1d013a80d7", "icmp assign v6", ASSIGN_V6, PROTOCOL, ICMP6),
    ("b4ca99cb-39e6-4469-a226-09e565bedde3", "dns v4", CONNECT_V4, REMOTE_PORT, 53),
    ("91c1d3d1-9719-4e73-bbb3-9b16d5dc0cef", "dns v6", CONNECT_V6, REMOTE_PORT, 53),
    ("9d7009b1-e86b-4660-841f-2b010de6092c", "dns over tls v4", CONNECT_V4, REMOTE_PORT, 853),
    ("5647d7fb-1a12-4c66-bc9d-f36a22ae23c9", "dns over tls v6", CONNECT_V6, REMOTE_PORT, 853),
    ("504c05b3-c2c9-451a-87fa-1c1b86d8cbce", "smb v4", CONNECT_V4, REMOTE_PORT, 445),
    ("062704c3-f24a-4488-bee2-0ee20203f2a6", "smb v6", CONNECT_V6, REMOTE_PORT, 445),
    ("efbc4156-d941-47ba-a949-f419addd1eb8", "netbios v4", CONNECT_V4, REMOTE_PORT, 139),
    ("ec5b9704-bc9e-46f7-945d-2b6d9be483bc", "netbios v6", CONNECT_V6, REMOTE_PORT, 139),
)


@dataclass(frozen=True, slots=True)
class WfpStep:
    """One call inside the transaction. `tolerated` codes are no failure."""

    do: Literal["add provider", "add sublayer", "delete filter", "add filter"]
    key: str
    tolerated: tuple[int, ...] = ()
    filter: WfpFilter | None = None


def wfp_plan(offline_sid: str) -> tuple[WfpStep, ...]:
    """The transaction between begin and commit; any other failure aborts it."""
    if not is_sid(offline_sid):
        raise UsageError(f"{offline_sid!r} is no SID")
    steps = [
        WfpStep("add provider", PROVIDER, (ALREADY_EXISTS,)),
        WfpStep("add sublayer", SUBLAYER, (ALREADY_EXISTS,)),
    ]
    for key, name, layer, field, value in FILTERS:
        made = WfpFilter(
            key=key,
            name=f"octavo sandbox: {name}",
            layer=layer,
            field=field,
            value=value,
            bits=8 if field == PROTOCOL else 16,
            security=f"O:LSD:(A;;CC;;;{offline_sid})",
        )
        steps.append(WfpStep("delete filter", key, (FILTER_NOT_FOUND, NOT_FOUND)))
        steps.append(WfpStep("add filter", key, (), made))
    return tuple(steps)


def wfp_removal() -> tuple[str, ...]:
    """The keys to delete, filters first, then sublayer and provider."""
    return (*(key for key, *_ in FILTERS), SUBLAYER, PROVIDER)
