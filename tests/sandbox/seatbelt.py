"""An evaluator for the Seatbelt profile language, as far as our profiles use it.

Reads the text a planner wrote, not the planner's values, and answers whether one operation would be
allowed. Written from the language's description; it shares no code with the planner. Whatever it
does not know (an operation, a filter, a parameter) is an error, so a profile cannot quietly use it.

Two readings of "the last match wins" are in circulation: over all rules, or first over the rules
for exactly this operation and only then over those for its family (`file-write*`). `decide` takes
either; a sound profile does not depend on the choice.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache


class Text(str):
    """A string literal, to tell it from a bare word."""

    __slots__ = ()


class Regex(str):
    """A #"..." literal: no escapes inside."""

    __slots__ = ()


Form = list["Form | str"]

OPERATIONS = frozenset(
    [
        "default",
        "file-ioctl",
        "file-link",
        "file-map-executable",
        "file-read*",
        "file-read-data",
        "file-read-metadata",
        "file-test-existence",
        "file-write*",
        "file-write-create",
        "file-write-data",
        "file-write-mode",
        "file-write-unlink",
        "iokit-open",
        "ipc-posix-sem",
        "ipc-posix-shm-read*",
        "ipc-posix-shm-read-data",
        "ipc-posix-shm-write-create",
        "ipc-posix-shm-write-unlink",
        "mach-lookup",
        "network-bind",
        "network-inbound",
        "network-outbound",
        "process-exec*",
        "process-exec",
        "process-fork",
        "process-info*",
        "process-info-pidinfo",
        "pseudo-tty",
        "signal",
        "sysctl-read",
        "sysctl-write",
        "system-fcntl",
        "system-socket",
        "user-preference-read",
    ]
)


@dataclass(frozen=True)
class Request:
    """One thing a process tries."""

    operation: str
    path: str = ""
    kind: str = "REGULAR-FILE"
    local: str = ""
    """`localhost:80` or `192.0.2.1:80`; a path for a Unix socket."""
    remote: str = ""
    name: str = ""
    target: str = "others"
    extensions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rule:
    allows: bool
    operations: tuple[str, ...]
    matches: Callable[[Request], bool]
    message: str
    text: str


@dataclass(frozen=True)
class Verdict:
    allowed: bool
    message: str
    rule: str


@dataclass
class Profile:
    """A parsed profile with its parameters."""

    text: str
    parameters: Mapping[str, str]
    rules: list[Rule] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        forms = parse(self.text)
        assert forms[0] == ["version", "1"], forms[0]
        for form in forms[1:]:
            self.rules.append(self._rule(form))

    def decide(self, request: Request, *, specific_first: bool = False) -> Verdict:
        assert request.operation in OPERATIONS, request.operation
        for group in families(request.operation) if specific_first else [None]:
            for rule in reversed(self.rules):
                if group is None:
                    named = any(op in families(request.operation) for op in rule.operations)
                else:
                    named = group in rule.operations
                if named and rule.matches(request):
                    return Verdict(rule.allows, rule.message, rule.text)
        raise AssertionError("a profile without a default")

    def allows(self, operation: str, path: str = "", **more: object) -> bool:
        """Under both readings; an error when they differ."""
        request = Request(operation, path, **more)
        found = {self.decide(request, specific_first=way).allowed for way in (False, True)}
        assert len(found) == 1, f"the readings differ for {request}"
        return found.pop()

    def _rule(self, form: "Form | str") -> Rule:
        assert isinstance(form, list), form
        assert form[0] in ("allow", "deny"), form
        operations: list[str] = []
        filters: list[Callable[[Request], bool]] = []
        message = ""
        for part in form[1:]:
            if isinstance(part, str):
                assert not filters, f"an operation behind a filter: {form}"
                assert part in OPERATIONS, part
                operations.append(part)
            elif part[0] == "with":
                assert form[0] == "deny", form
                assert part[1] == "message", part
                assert isinstance(part[2], Text), part
                message = part[2]
            else:
                filters.append(self._filter(part))
        assert operations, form
        matches = any_of(filters) if filters else lambda _request: True
        return Rule(form[0] == "allow", tuple(operations), matches, message, show(form))

    def _value(self, value: "Form | str") -> str:
        if isinstance(value, Text):
            return value
        assert isinstance(value, list), value
        assert value[0] == "param", value
        assert isinstance(value[1], Text), value
        self.used.add(value[1])
        return self.parameters[value[1]]

    def _filter(self, form: "Form | str") -> Callable[[Request], bool]:
        assert isinstance(form, list), form
        head, rest = form[0], form[1:]
        if head in ("require-all", "require-any"):
            inner = [self._filter(part) for part in rest]
            return all_of(inner) if head == "require-all" else any_of(inner)
        if head == "require-not":
            (only,) = [self._filter(part) for part in rest]
            return lambda request: not only(request)
        if head in ("local", "remote"):
            return self._address(str(head), rest)
        return self._simple(str(head), rest)

    def _address(self, end: str, rest: Form) -> Callable[[Request], bool]:
        def address(request: Request) -> str:
            return request.local if end == "local" else request.remote

        if rest[0] == "ip":
            assert isinstance(rest[1], Text), rest
            host, _, port = rest[1].rpartition(":")
            assert host in ("localhost", "*"), "the language knows no other hosts"
            return lambda request: matches_ip(host, port, address(request))
        assert rest[0] == "unix-socket", rest
        inner = self._filter(rest[1])
        return lambda request: (
            address(request).startswith("/") and inner(Request("default", address(request)))
        )

    def _simple(self, head: str, rest: Form) -> Callable[[Request], bool]:
        if head == "fcntl-command":
            return lambda request: request.name in rest
        (argument,) = rest
        if head == "regex":
            assert isinstance(argument, Regex), argument
            pattern = re.compile(argument.encode(), re.DOTALL)
            return lambda request: pattern.search(request.path.encode()) is not None
        if head in WORDS:
            assert type(argument) is str, argument
            return WORDS[head](argument)
        if head.endswith("name-regex"):
            assert isinstance(argument, Regex), argument
            names = re.compile(argument)
            return lambda request: names.search(request.name) is not None
        value = self._value(argument)
        return STRINGS[head](value)


WORDS: dict[str, Callable[[str], Callable[[Request], bool]]] = {
    "vnode-type": lambda value: lambda request: request.kind == value,
    "target": lambda value: lambda request: request.target == value,
    "socket-domain": lambda value: lambda request: request.name == value,
}

STRINGS: dict[str, Callable[[str], Callable[[Request], bool]]] = {
    "literal": lambda value: lambda request: request.path == value,
    "subpath": lambda value: (
        lambda request: (
            bool(request.path) and (request.path + "/").startswith(value.rstrip("/") + "/")
        )
    ),
    "global-name": lambda value: lambda request: request.name == "global:" + value,
    "local-name": lambda value: lambda request: request.name == "local:" + value,
    "xpc-service-name-prefix": lambda value: (
        lambda request: request.name.startswith("xpc:" + value)
    ),
    "sysctl-name": lambda value: lambda request: request.name == value,
    "sysctl-name-prefix": lambda value: lambda request: request.name.startswith(value),
    "ipc-posix-name": lambda value: lambda request: request.name == value,
    "ipc-posix-name-prefix": lambda value: lambda request: request.name.startswith(value),
    "iokit-registry-entry-class": lambda value: lambda request: request.name == value,
    "extension": lambda value: lambda request: value in request.extensions,
}


def any_of(filters: list[Callable[[Request], bool]]) -> Callable[[Request], bool]:
    return lambda request: any(one(request) for one in filters)


def all_of(filters: list[Callable[[Request], bool]]) -> Callable[[Request], bool]:
    return lambda request: all(one(request) for one in filters)


def matches_ip(host: str, port: str, address: str) -> bool:
    if not address or address.startswith("/"):
        return False
    there, _, number = address.rpartition(":")
    local = there in ("localhost", "127.0.0.1", "[::1]")
    return (host == "*" or local) and port in ("*", number)


@cache
def families(operation: str) -> tuple[str, ...]:
    """The names a rule may use for an operation, the most specific first."""
    wild = [
        name
        for name in OPERATIONS
        if name.endswith("*") and operation.startswith(name[:-1]) and name != operation
    ]
    return (operation, *sorted(wild, key=len, reverse=True), "default")


TOKEN = re.compile(
    r'\s+|;[^\n]*|(?P<open>\()|(?P<close>\))|#"(?P<regex>[^"]*)"'
    r'|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>[^\s()";#]+)'
)


def parse(text: str) -> Form:
    """The forms of a profile; an unbalanced or unreadable text is an error."""
    stack: list[Form] = [[]]
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        assert found is not None, f"unreadable at {text[at : at + 40]!r}"
        at = found.end()
        kind = found.lastgroup
        if kind == "open":
            stack.append([])
        elif kind == "close":
            assert len(stack) > 1, "one bracket too many"
            done = stack.pop()
            stack[-1].append(done)
        elif kind == "regex":
            stack[-1].append(Regex(found["regex"]))
        elif kind == "text":
            stack[-1].append(Text(re.sub(r"\\(.)", r"\1", found["text"])))
        elif kind == "word":
            stack[-1].append(found["word"])
    assert len(stack) == 1, "a bracket is open"
    return stack[0]


def show(form: "Form | str") -> str:
    if isinstance(form, list):
        return "(" + " ".join(show(part) for part in form) + ")"
    if isinstance(form, Regex):
        return f'#"{form}"'
    return f'"{form}"' if isinstance(form, Text) else form
