"""A rule file, read without running it: Starlark's form, walked over an allow-list of node types.

Calls of `prefix_rule`, `network_rule` and `host_executable`; lists, strings, f-strings, `+`, names
given once, list comprehensions and `for` over lists. Nothing else is understood, and size, nesting
and work are bounded. Every error names file and line. Examples in a rule are tried at once.
"""

import ast
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from octavo.policy.paths import printable
from octavo.policy.rules import (
    Decision,
    HostDecision,
    HostProtocol,
    NetworkRule,
    PrefixRule,
    RuleSet,
)
from octavo.policy.words import choices, found, quoted, suggestion
from octavo.protocol.errors import ConfigError

LARGEST: Final = 1024 * 1024
"""Bytes of one file."""
DEEPEST: Final = 50
"""Brackets inside brackets."""
MOST_STEPS: Final = 200_000
LONGEST_LIST: Final = 10_000
LONGEST_TEXT: Final = 64 * 1024

DECISIONS: Final[Mapping[str, Decision]] = {
    "allow": "allow", "prompt": "prompt", "forbidden": "forbidden",
}  # fmt: skip
HOST_DECISIONS: Final[Mapping[str, HostDecision]] = {
    "allow": "allow", "prompt": "prompt", "deny": "deny", "forbidden": "deny",
}  # fmt: skip
PROTOCOLS: Final[Mapping[str, HostProtocol]] = {
    "http": "http", "https": "https", "https_connect": "https", "http-connect": "https",
    "socks5_tcp": "socks5_tcp", "socks5_udp": "socks5_udp",
}  # fmt: skip
CALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "prefix_rule": ("pattern", "decision", "match", "not_match", "justification"),
    "network_rule": ("host", "protocol", "decision", "justification", "port"),
    "host_executable": ("name", "paths"),
}
"""What a file may call, and the arguments in their order."""
NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "prefix_rule": ("pattern",),
    "network_rule": ("host", "protocol", "decision"),
    "host_executable": ("name", "paths"),
}

Value = str | int | bool | None | list["Value"]
Chosen = TypeVar("Chosen")


class Wrong(Exception):  # noqa: N818 - becomes a ConfigError with the file's name
    """What is wrong at a line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class Example(Struct, frozen=True):
    """A command a rule says it matches, or does not."""

    rule: PrefixRule
    words: tuple[str, ...]
    wanted: bool
    line: int


def read_rules(data: bytes, file: str) -> RuleSet:
    """The rules of one file. Raises ConfigError with its line for anything that is wrong."""
    shown = printable(file)
    if len(data) > LARGEST:
        raise ConfigError(f"is larger than {LARGEST // 1024 // 1024} MiB", file=shown)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = data.count(b"\n", 0, wrong.start) + 1
        raise ConfigError("is not UTF-8 text", file=shown, line=line) from wrong
    try:
        return Walk(shown).all(parsed(text))
    except Wrong as wrong:
        raise ConfigError(str(wrong), file=shown, line=wrong.line) from wrong


def parsed(text: str) -> ast.Module:
    """The tree of a text. Raises Wrong; never crashes the interpreter."""
    if "\0" in text:
        raise Wrong(text.count("\n", 0, text.index("\0")) + 1, "contains a NUL character")
    check_nesting(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an unknown escape is an error in Starlark
            try:
                return ast.parse(text)
            except SystemError:  # before 3.11.8 two threads that parse at once upset each other
                return ast.parse(text)
    except SyntaxError as wrong:
        raise Wrong(wrong.lineno or 1, f"not valid: {printable(wrong.msg)}") from wrong
    except (RecursionError, MemoryError, ValueError, SystemError) as wrong:
        raise Wrong(1, "not valid: nested too deeply") from wrong
    except Warning as wrong:  # the line is not told
        raise Wrong(1, f"not valid: {printable(str(wrong))}") from wrong


def check_nesting(text: str) -> None:
    """Brackets and runs of operators, counted before a parser recurses into them.

    Brackets in strings and comments count as well: nobody needs so many. Raises Wrong.
    """
    depth = 0
    run = 0
    for number, line in enumerate(text.split("\n"), 1):
        for letter in line:
            if letter in "([{":
                depth += 1
            elif letter in ")]}":
                depth = max(0, depth - 1)
            run = run + 1 if letter in "-+~" else 0 if not letter.isspace() else run
            if depth > DEEPEST or run > DEEPEST:
                raise Wrong(number, f"nested too deeply: {DEEPEST} levels are enough")
        if len(line) - len(line.lstrip()) > 4 * DEEPEST:
            raise Wrong(number, f"nested too deeply: {DEEPEST} levels are enough")


class Walk:
    """One file from its first statement to its last."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._names: dict[str, Value] = {}
        self._steps = 0
        self._prefixes: list[PrefixRule] = []
        self._hosts: list[NetworkRule] = []
        self._programs: dict[str, tuple[str, ...]] = {}
        self._examples: list[Example] = []

    def all(self, tree: ast.Module) -> RuleSet:
        """The rules of the file, their examples tried. Raises Wrong."""
        try:
            self._block(tree.body)
        except RecursionError as wrong:
            raise Wrong(1, "not valid: nested too deeply") from wrong
        made = RuleSet(
            prefixes=tuple(self._prefixes), hosts=tuple(self._hosts), programs=self._programs
        )
        for example in self._examples:
            self._try(example)
        return made

    # ---- statements -----------------------------------------------------------------------

    def _block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        self._step(node)
        match node:
            case ast.Expr(value=ast.Call() as call):
                self._call(call)
            case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                pass  # a text that explains the file
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if name in self._names or name in CALLS:
                    raise Wrong(node.lineno, f"{quoted(name)} has a value already")
                self._names[name] = self._value(value)
            case ast.For(target=ast.Name(id=name), iter=over, body=body, orelse=[]):
                for one in self._each(name, over):
                    self._inside({**self._names, name: one}, body)
            case _:
                raise Wrong(node.lineno, f"{kind_of(node)} cannot stand in a rule file")

    def _inside(self, names: dict[str, Value], body: Sequence[ast.stmt]) -> None:
        outer, self._names = self._names, names
        try:
            self._block(body)
        finally:
            self._names = outer

    def _call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in CALLS:
            near = suggestion(name, CALLS) if name else ""
            raise Wrong(node.lineno, f"only {choices(tuple(CALLS))} can be called here{near}")
        given = self._arguments(name, node)
        made = Arguments(name, given, node.lineno)
        match name:
            case "prefix_rule":
                self._prefix_rule(made)
            case "network_rule":
                self._hosts.append(network_rule(made, self._file))
            case _:
                program, paths = host_executable(made)
                self._programs[program] = tuple(
                    dict.fromkeys((*self._programs.get(program, ()), *paths))
                )

    def _arguments(self, name: str, node: ast.Call) -> dict[str, Value]:
        known = CALLS[name]
        if len(node.args) > len(known):
            raise Wrong(node.lineno, f"{name} takes {len(known)} arguments at most")
        given = {key: self._value(value) for key, value in zip(known, node.args, strict=False)}
        for keyword in node.keywords:
            key, line = keyword.arg, keyword.value.lineno
            if key is None or key not in known:
                near = suggestion(key, known) if key else ""
                what = quoted(key) if key else "`**`"
                raise Wrong(line, f"{name} has no argument {what}{near}; it takes {choices(known)}")
            if key in given:
                raise Wrong(line, f"{name}: `{key}` is given twice")
            given[key] = self._value(keyword.value)
        for key in NEEDED[name]:
            if key not in given:
                raise Wrong(node.lineno, f"{name}: `{key}` is missing")
        return given

    def _prefix_rule(self, given: "Arguments") -> None:
        rule = prefix_rule(given, self._file)
        examples = [
            Example(rule, words, wanted, given.line)
            for key, wanted in (("match", True), ("not_match", False))
            for words in given.examples(key)
        ]
        both = {one.words for one in examples if one.wanted} & {
            one.words for one in examples if not one.wanted
        }
        if both:
            shown = quoted(shlex.join(min(both)))
            raise given.wrong("match", f"{shown} is an example for `not_match` as well")
        self._prefixes.append(rule)
        self._examples += examples

    def _try(self, example: Example) -> None:
        alone = RuleSet(prefixes=(example.rule,), programs=self._programs)
        matched = bool(alone.matches(example.words, resolve=True))
        if matched == example.wanted:
            return
        shown = quoted(shlex.join(example.words))
        if example.wanted:
            raise Wrong(example.line, f"prefix_rule: its example {shown} is not matched by it")
        raise Wrong(example.line, f"prefix_rule: {shown} should not match, and does")

    # ---- values ---------------------------------------------------------------------------

    def _value(self, node: ast.expr) -> Value:
        self._step(node)
        match node:
            case ast.Constant(value=str() | bool() | int() | None as value):
                return self._bounded(node, value)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return self._bounded(node, [self._value(part) for part in parts])
            case ast.Name(id=name):
                if name not in self._names:
                    near = suggestion(name, self._names)
                    raise Wrong(node.lineno, f"{quoted(name)} has no value here{near}")
                return self._names[name]
            case ast.JoinedStr(values=parts):
                return self._bounded(node, "".join(self._piece(part) for part in parts))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._bounded(node, self._sum(node, self._value(left), self._value(right)))
            case ast.ListComp(elt=element, generators=loops):
                return self._bounded(node, list(self._comprehended(element, loops)))
            case _:
                raise Wrong(node.lineno, f"{kind_of(node)} is not a value a rule file can have")

    def _piece(self, node: ast.expr) -> str:
        """A part of an f-string: text, or a name in braces."""
        match node:
            case ast.Constant(value=str() as text):
                return text
            case ast.FormattedValue(value=ast.Name() as name, conversion=-1, format_spec=None):
                value = self._value(name)
                if isinstance(value, str) or (
                    isinstance(value, int) and not isinstance(value, bool)
                ):
                    return str(value)
                raise Wrong(node.lineno, f"only text fits into an f-string, found {found(value)}")
            case _:
                raise Wrong(node.lineno, "only names can stand in the braces of an f-string")

    @staticmethod
    def _sum(node: ast.expr, left: Value, right: Value) -> Value:
        if isinstance(left, str) and isinstance(right, str):
            if len(left) + len(right) <= LONGEST_TEXT:
                return left + right
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) + len(right) <= LONGEST_LIST:
                return [*left, *right]
        else:
            message = f"`+` joins two texts or two lists, found {found(left)} and {found(right)}"
            raise Wrong(node.lineno, message)
        raise Wrong(node.lineno, "the value gets too large")

    def _comprehended(
        self, element: ast.expr, loops: Sequence[ast.comprehension]
    ) -> Iterator[Value]:
        if not loops:
            yield self._value(element)
            return
        first, *rest = loops
        if first.ifs or first.is_async or not isinstance(first.target, ast.Name):
            raise Wrong(first.iter.lineno, "only plain `for NAME in LIST` is understood here")
        outer = self._names
        for value in self._each(first.target.id, first.iter):
            self._names = {**outer, first.target.id: value}
            try:
                yield from self._comprehended(element, rest)
            finally:
                self._names = outer

    def _each(self, name: str, node: ast.expr) -> Sequence[Value]:
        values = self._value(node)
        if not isinstance(values, list):
            raise Wrong(node.lineno, f"`for {name} in` needs a list, found {found(values)}")
        return values

    def _bounded(self, node: ast.expr, value: Value) -> Value:
        long = isinstance(value, str) and len(value) > LONGEST_TEXT
        if long or (isinstance(value, list) and len(value) > LONGEST_LIST):
            raise Wrong(node.lineno, "the value gets too large")
        return value

    def _step(self, node: ast.stmt | ast.expr) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Wrong(node.lineno, "the file takes too much work to read")


# ---- calls ------------------------------------------------------------------------------------


class Arguments:
    """The arguments of one call, asked for by type."""

    def __init__(self, call: str, given: Mapping[str, Value], line: int) -> None:
        self.call = call
        self.line = line
        self._given = given

    def wrong(self, key: str, message: str) -> Wrong:
        """An error about one argument."""
        return Wrong(self.line, f"{self.call}: `{key}`: {message}")

    def text(self, key: str) -> str:
        """A text that says something."""
        value = self._given[key]
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"expected a text, found {found(value)}")
        return value

    def perhaps(self, key: str) -> str | None:
        """A text, or nothing."""
        return None if self._given.get(key) is None else self.text(key)

    def choice(self, key: str, known: Mapping[str, Chosen], default: str | None = None) -> Chosen:
        """One of the known words."""
        value = self._given.get(key)
        value = default if value is None else value
        if not isinstance(value, str) or value not in known:
            near = suggestion(value, known) if isinstance(value, str) else ""
            allowed = choices(tuple(known))
            raise self.wrong(key, f"expected {allowed}, found {found(value)}{near}")
        return known[value]

    def values(self, key: str) -> Sequence[Value]:
        """A list; none where nothing is given."""
        value = self._given.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.wrong(key, f"expected a list, found {found(value)}")
        return value

    def words(self, key: str, value: Value) -> tuple[str, ...]:
        """A list of words."""
        texts = value if isinstance(value, list) else [value]
        known = tuple(one for one in texts if isinstance(one, str))
        if len(known) != len(texts) or not texts:
            odd = next((one for one in texts if not isinstance(one, str)), texts)
            raise self.wrong(
                key, f"expected words, found {found(odd) if texts else 'an empty list'}"
            )
        return known

    def examples(self, key: str) -> Iterator[tuple[str, ...]]:
        """Commands, as lists of words or as a shell would split them."""
        for value in self.values(key):
            if not isinstance(value, str):
                yield self.words(key, value)
                continue
            try:
                words = tuple(shlex.split(value))
            except ValueError as wrong:
                raise self.wrong(key, f"{quoted(value)} cannot be split: {wrong}") from wrong
            if not words:
                raise self.wrong(key, "expected a command, found an empty text")
            yield words

    def number(self, key: str, known: range) -> int | None:
        """A whole number, or nothing."""
        value = self._given.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value not in known:
            raise self.wrong(
                key, f"expected a number from {known[0]} to {known[-1]}, found {found(value)}"
            )
        return value


def prefix_rule(given: Arguments, file: str) -> PrefixRule:
    """Raises Wrong."""
    pattern = given.values("pattern")
    if not pattern:
        raise given.wrong("pattern", "expected at least one word, found an empty list")
    rule = PrefixRule(
        pattern=tuple(given.words("pattern", one) for one in pattern),
        decision=given.choice("decision", DECISIONS, "allow"),
        justification=given.perhaps("justification"),
        file=file,
        line=given.line,
    )
    if not all(rule.pattern[0]):
        raise given.wrong("pattern", "a program needs a name, found an empty text")
    return rule


def network_rule(given: Arguments, file: str) -> NetworkRule:
    """Raises Wrong."""
    return NetworkRule(
        host=host_of(given),
        protocol=given.choice("protocol", PROTOCOLS),
        decision=given.choice("decision", HOST_DECISIONS),
        port=given.number("port", range(1, 65_536)),
        justification=given.perhaps("justification"),
        file=file,
        line=given.line,
    )


def host_of(given: Arguments) -> str:
    """A host name or address in small letters, without a port. Raises Wrong."""
    text = given.text("host").strip().lower()
    plain = "expected a host name without scheme, path or wildcard"
    if "://" in text or any(letter in text for letter in "/?#*@ \t\n\\"):
        raise given.wrong("host", f"{plain}, found {quoted(text)}")
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or (rest and not is_port(rest)):
            raise given.wrong("host", f"{plain}, found {quoted(text)}")
    else:
        host, colon, port = text.partition(":")
        if colon and ":" in port:
            host = text  # an address of IPv6, bare
        elif colon and not is_port(":" + port):
            raise given.wrong("host", f"{plain}, found {quoted(text)}")
    host = host.rstrip(".")
    if not host:
        raise given.wrong("host", f"{plain}, found {quoted(text)}")
    return host


def is_port(text: str) -> bool:
    """`:443`."""
    return text[:1] == ":" and text[1:].isascii() and text[1:].isdecimal() and len(text) <= 6


def host_executable(given: Arguments) -> tuple[str, tuple[str, ...]]:
    """A bare name, and the absolute paths that may stand for it. Raises Wrong."""
    name = given.text("name")
    if "/" in name or "\\" in name:
        raise given.wrong("name", f"expected a name without a folder, found {quoted(name)}")
    paths = tuple(given.words("paths", one)[0] for one in given.values("paths"))
    for path in paths:
        parts = path.replace("\\", "/")
        absolute = parts.startswith("/") or parts[1:3] == ":/"
        if not absolute:
            raise given.wrong("paths", f"expected absolute paths, found {quoted(path)}")
        last = parts.rpartition("/")[2]
        if name not in (last, last.removesuffix(".exe")):
            raise given.wrong("paths", f"{quoted(path)} is not called {quoted(name)}")
    return name, paths


KINDS: Final[Mapping[type, str]] = {
    ast.If: "`if`", ast.While: "`while`", ast.FunctionDef: "`def`", ast.ClassDef: "`class`",
    ast.Import: "`import`", ast.ImportFrom: "`import`", ast.Lambda: "`lambda`",
    ast.Dict: "a dictionary", ast.Set: "a set", ast.Call: "a call", ast.Attribute: "an attribute",
    ast.Subscript: "an index", ast.Compare: "a comparison", ast.BoolOp: "`and` or `or`",
    ast.UnaryOp: "this operator", ast.BinOp: "this operator", ast.IfExp: "`if`",
    ast.Constant: "such a number or bytes", ast.Assign: "this assignment",
    ast.AugAssign: "`+=`", ast.For: "this `for`", ast.With: "`with`", ast.Try: "`try`",
    ast.Delete: "`del`", ast.Assert: "`assert`", ast.Raise: "`raise`",
}  # fmt: skip


def kind_of(node: ast.AST) -> str:
    """What somebody wrote, in words."""
    return KINDS.get(type(node), "this")
