"""The `network` table of a profile, into network rules."""

from collections.abc import Mapping
from typing import Final

from octavo.policy.reader import Keys, Reader
from octavo.protocol.permissions import NetworkRules, RequestRule

PLAINTEXT: Final = "dangerously_allow_plaintext_credential_injection"
KEYS: Final = (
    "enabled", "mode", "domains", "unix_sockets", "allow_local_binding",
    "dangerously_allow_all_unix_sockets", "on_denial", "credential_broker", PLAINTEXT,
)  # fmt: skip

PROXY_KEYS: Final = (
    "proxy_url", "enable_socks5", "socks_url", "enable_socks5_udp", "allow_upstream_proxy",
    "dangerously_allow_non_loopback_proxy",
)  # fmt: skip
"""Settings of a proxy that listens for others: ours does not, so they mean nothing."""

NOT_HERE: Final = {
    "mitm_ca": "the authority is made anew for each process; leave the table out",
    "credential_providers": "use mitm.hooks with inject_request_headers",
}
"""What Octavo cannot do, and must not pass over."""

VERDICTS: Final = ("allow", "deny")

Merged = dict[Keys, tuple[Keys, object]]
"""A value by its place in the network table, with the key path it was written at."""


def merge(reader: Reader, merged: Merged, keys: Keys, table: Mapping[str, object]) -> None:
    """Lay one profile's network table over its parents', key by key."""
    reader.known_keys(keys, table, (*KEYS, *PROXY_KEYS, *NOT_HERE, "mitm"))
    for key, value in table.items():
        here = (*keys, key)
        if key in NOT_HERE and value:
            raise reader.problem(here, "is not known here", hint=NOT_HERE[key])
        if key == "mitm":
            merge_mitm(reader, merged, here, reader.table(here, value))
        elif key == "domains" or (key == "unix_sockets" and not isinstance(value, bool)):
            merged.pop((key,), None)
            for name, verdict in reader.table(here, value).items():
                reader.choice((*here, name), verdict, VERDICTS)
                merged[key, name] = ((*here, name), verdict)
        elif key == "mode":
            merged[key,] = (here, reader.choice(here, value, ("limited", "full")))
        elif key == "on_denial":
            merged[key,] = (here, reader.choice(here, value, ("cancel", "continue")))
        elif key in KEYS:
            merged[key,] = (here, reader.flag(here, value))


def merge_mitm(reader: Reader, merged: Merged, keys: Keys, table: Mapping[str, object]) -> None:
    """Hooks and actions by name: one of the same name stands for the parents'."""
    reader.known_keys(keys, table, ("hooks", "actions"))
    for kind, tables in table.items():
        for name, one in reader.table((*keys, kind), tables).items():
            here = (*keys, kind, name)
            merged["mitm", kind, name] = (here, reader.table(here, one))


def network_rules(reader: Reader, merged: Merged, base: NetworkRules) -> NetworkRules:
    """The rules of a merged table; `base` where it says nothing."""
    if not merged:
        return base
    keys, enabled = merged.get(("enabled",), ((), base.enabled))
    if not keys:
        keys = next(iter(merged.values()))[0]
    allow, deny = _named(merged, "domains", "allow"), _named(merged, "domains", "deny")
    if enabled and deny and not allow:
        raise reader.problem(
            next(at for (name, *_), (at, _v) in merged.items() if name == "domains"),
            'domains are only denied here, none is allowed: add one, or "*" = "allow"',
        )
    sockets = merged.get(("unix_sockets",)) or merged.get(("dangerously_allow_all_unix_sockets",))
    return NetworkRules(
        enabled=bool(enabled),
        allow=allow,
        deny=deny,
        loopback=base.loopback,
        unix_sockets=base.unix_sockets if sockets is None else bool(sockets[1]),
        socket_paths=_named(merged, "unix_sockets", "allow"),
        mode="limited" if merged.get(("mode",), ((), ""))[1] == "limited" else "full",
        on_denial="continue"
        if merged.get(("on_denial",), ((), ""))[1] == "continue"
        else base.on_denial,
        requests=_requests(reader, merged),
        broker=bool(merged.get(("credential_broker",), ((), False))[1]),
        local_binding=bool(merged.get(("allow_local_binding",), ((), False))[1]),
        ref=reader.ref(keys, f"network {'on' if enabled else 'off'}"),
    )


def _requests(reader: Reader, merged: Merged) -> tuple[RequestRule, ...]:
    tables: dict[str, dict[str, tuple[Keys, Mapping[str, object]]]] = {"hooks": {}, "actions": {}}
    for place, (keys, table) in merged.items():
        if place[0] == "mitm":
            tables[place[1]][place[2]] = (keys, reader.table(keys, table))
    if not tables["hooks"] and not tables["actions"]:
        return ()
    from octavo.policy.request_table import request_rules  # noqa: PLC0415 - few profiles have them

    plaintext = bool(merged.get((PLAINTEXT,), ((), False))[1])
    return request_rules(reader, tables["hooks"], tables["actions"], plaintext=plaintext)


def _named(merged: Merged, key: str, verdict: str) -> tuple[str, ...]:
    return tuple(
        k[1] for k, (_, value) in merged.items() if k[0] == key and len(k) > 1 and value == verdict
    )
