"""The `mitm` table of a profile's network: which requests a host gets, and what is put into them."""

import re
from collections.abc import Mapping
from typing import Final

from octavo.policy.hosts import Host, HostError, ascii_name, read_host
from octavo.policy.reader import Keys, Reader
from octavo.protocol.permissions import Injection, RequestRule

HOOK: Final = ("host", "methods", "path_prefixes", "query", "headers", "schemes", "ports", "action")
ACTION: Final = ("strip_request_headers", "inject_request_headers")
INJECTION: Final = ("name", "secret_env_var", "secret_file", "prefix")
SCHEMES: Final = ("https", "http")
TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}\Z")
METHOD: Final = re.compile(r"[A-Z]{1,32}\Z")
UNFIT: Final = ("TRACE", "CONNECT")
"""One shows all that was put in, the other leads elsewhere."""
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer",
     "keep-alive", "expect", "user-agent"}
)  # fmt: skip
"""Nothing puts these in or takes them out: they frame a message, or say who speaks."""

Tables = Mapping[str, tuple[Keys, Mapping[str, object]]]
"""By name, with the key path each was written at."""


def request_rules(
    reader: Reader, hooks: Tables, actions: Tables, *, plaintext: bool
) -> tuple[RequestRule, ...]:
    """The rules of a profile. `plaintext`: secrets may travel unencrypted.

    Raises what the reader raises, naming the key.
    """
    known = {name: _action(reader, keys, table) for name, (keys, table) in actions.items()}
    found = [_hook(reader, name, keys, table, known) for name, (keys, table) in hooks.items()]
    for rule in found:
        if rule.inject and "http" in rule.schemes and not plaintext:
            keys = (*hooks[rule.name][0], "schemes")
            hint = "leave http out, or set dangerously_allow_plaintext_credential_injection = true"
            raise reader.problem(keys, "a secret would travel unencrypted", hint=hint)
    return tuple(found)


Action = tuple[tuple[str, ...], tuple[Injection, ...]]


def _hook(
    reader: Reader,
    name: str,
    keys: Keys,
    table: Mapping[str, object],
    actions: Mapping[str, Action],
) -> RequestRule:
    reader.known_keys(keys, table, (*HOOK, "actions"))
    for needed in ("host", "methods", "path_prefixes"):
        if needed not in table:
            raise reader.problem((*keys, needed), "is missing")
    chosen = _actions(reader, keys, table, actions)
    return RequestRule(
        name=name,
        host=_host(reader, (*keys, "host"), table["host"]).name,
        methods=_methods(reader, (*keys, "methods"), table["methods"]),
        paths=_paths(reader, (*keys, "path_prefixes"), table["path_prefixes"]),
        query=_values(reader, (*keys, "query"), table.get("query", {})),
        headers=tuple(
            (field.lower(), values)
            for field, values in _values(reader, (*keys, "headers"), table.get("headers", {}))
        ),
        schemes=_schemes(reader, (*keys, "schemes"), table.get("schemes", ["https"])),
        ports=_ports(reader, (*keys, "ports"), table.get("ports", [])),
        strip=tuple(header for strip, _ in chosen for header in strip),
        inject=tuple(one for _, inject in chosen for one in inject),
        ref=reader.ref(keys, f"mitm hook {name}"),
    )


def _host(reader: Reader, keys: Keys, value: object) -> Host:
    try:
        return read_host(ascii_name(reader.text(keys, value)))
    except HostError as wrong:
        hint = "one host, without port and stars"
        raise reader.problem(keys, str(wrong), hint=hint) from wrong


def _methods(reader: Reader, keys: Keys, value: object) -> tuple[str, ...]:
    found = tuple(one.upper() for one in reader.texts(keys, value))
    wrong = next((one for one in found if not METHOD.match(one) or one in UNFIT), None)
    if not found or wrong is not None:
        raise reader.problem(keys, "has to name methods, such as GET")
    return found


def _paths(reader: Reader, keys: Keys, value: object) -> tuple[str, ...]:
    found = reader.texts(keys, value)
    for at, path in enumerate(found):
        plain = path.removeprefix("pattern:").removeprefix("literal:")
        if not plain.startswith("/") or any(letter in plain for letter in "?#\\ ") or "**" in plain:
            hint = 'such as "/repos/mine", or "pattern:/repos/*/issues"'
            raise reader.problem((*keys, str(at)), "is no path that requests have", hint=hint)
    if not found:
        raise reader.problem(keys, 'has to name paths; "/" is all of them')
    return found


def _values(reader: Reader, keys: Keys, value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    table = reader.table(keys, value)
    return tuple((name, reader.texts((*keys, name), given)) for name, given in table.items())


def _schemes(reader: Reader, keys: Keys, value: object) -> tuple[str, ...]:
    given = reader.texts(keys, value)
    return tuple(reader.choice(keys, one, SCHEMES) for one in given)


def _ports(reader: Reader, keys: Keys, value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise reader.problem(keys, "has to be a list of numbers")
    found = tuple(reader.count((*keys, str(at)), one) for at, one in enumerate(value))
    if any(not 0 < port < 65_536 for port in found):
        raise reader.problem(keys, "a port is a number from 1 to 65535")
    return found


def _actions(
    reader: Reader, keys: Keys, table: Mapping[str, object], known: Mapping[str, Action]
) -> list[Action]:
    names: tuple[str, ...] = ()
    for key in ("action", "actions"):
        given = table.get(key, ())
        more = (given,) if isinstance(given, str) else given
        names += reader.texts((*keys, key), more)
    for name in names:
        if name not in known:
            raise reader.problem((*keys, "action"), f"there is no mitm action {name!r}")
    return [known[name] for name in names]


def _action(reader: Reader, keys: Keys, table: Mapping[str, object]) -> Action:
    reader.known_keys(keys, table, ACTION)
    at = (*keys, "strip_request_headers")
    strip = reader.texts(at, table.get("strip_request_headers", ()))
    for name in strip:
        _header(reader, at, name)
    at = (*keys, "inject_request_headers")
    given = table.get("inject_request_headers", ())
    if not isinstance(given, list | tuple):
        raise reader.problem(at, "has to be a list of tables")
    inject = [_injection(reader, (*at, str(place)), one) for place, one in enumerate(given)]
    return tuple(name.lower() for name in strip), tuple(inject)


def _injection(reader: Reader, keys: Keys, value: object) -> Injection:
    table = reader.table(keys, value)
    reader.known_keys(keys, table, INJECTION)
    texts = {name: reader.text((*keys, name), given) for name, given in table.items()}
    name = _header(reader, (*keys, "name"), texts.get("name", ""))
    env, file = texts.get("secret_env_var"), texts.get("secret_file")
    if (env is None) == (file is None):
        raise reader.problem(keys, "needs secret_env_var or secret_file, and not both")
    if env is not None and not VARIABLE.match(env):
        raise reader.problem((*keys, "secret_env_var"), "is no name of a variable")
    if file is not None and not file.startswith("/"):
        raise reader.problem((*keys, "secret_file"), "has to be an absolute path")
    prefix = texts.get("prefix", "")
    if not prefix.isascii() or any(letter < " " for letter in prefix):
        raise reader.problem((*keys, "prefix"), "has to be plain ASCII")
    return Injection(header=name, env=env, file=file, prefix=prefix)


def _header(reader: Reader, keys: Keys, name: str) -> str:
    if not TOKEN.match(name):
        raise reader.problem(keys, f"{name!r} is no name of a header")
    if name.lower() in OURS or name.lower().startswith("proxy-"):
        raise reader.problem(keys, f"{name} cannot be set or taken out")
    return name
