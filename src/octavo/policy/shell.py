"""A shell script taken apart into plain commands, or not at all. Pure.

Plain means: the words a shell would run are known from the text alone. Two parsers have to agree
on that, tree-sitter and the shell rules of the standard library; whatever either does not follow
to the last letter is opaque, and somebody is asked about the script as a whole.

Theory of operation. tree-sitter gives the structure; only nodes on a short list may occur
(commands, lists, pipelines, literal words). Each word is then read from its own text, by the rules
that sh, bash and zsh share. At last the words and operators, in order, are compared with what
`shlex` makes of the same script: grammars for error-tolerant editors guess, and a guess is no
proof. tree-sitter is loaded when the first script is judged.
"""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

Words = tuple[str, ...]

SHELLS: Final = frozenset({"sh", "bash", "zsh"})
OPTIONS: Final = frozenset({"-c", "-lc"})
LONGEST: Final = 64 * 1024
"""Bytes of a script that is taken apart; nobody writes a longer plain one."""
LONGEST_WALKED: Final = 1024 * 1024
CONTAINERS: Final = frozenset({"program", "list", "pipeline", "command", "command_name"})
OPERATORS: Final = frozenset({"&&", "||", ";", "|"})
GAPS: Final = frozenset({"\n", ""})
SPECIAL: Final = frozenset("*?[]{}~$`^#!=<>()&|;'\"\\ \t\n")
"""Letters that mean something in some shell when they stand unquoted."""
PLACED: Final = frozenset("=~^#!]{}")
"""Those of them that mean something only in some places, which are looked at one by one."""
RESERVED: Final = frozenset({
    "!", "[[", "]]", "{", "}", "case", "coproc", "do", "done", "elif", "else", "end", "esac", "fi",
    "for", "foreach", "function", "if", "in", "repeat", "select", "then", "time", "until", "while",
})  # fmt: skip
"""What stands in front of other commands; a command of such a name was misunderstood."""
IN_QUOTES: Final = frozenset('"\\$`')
BESIDE: Final = frozenset(
    {"variable_assignment", "file_redirect", "heredoc_redirect", "herestring_redirect"}
)
"""What stands among the words of a command and is none."""
HEREDOC_PARTS: Final = frozenset({"heredoc_start", "heredoc_body", "heredoc_end"})


class Plain(Struct, frozen=True):
    """A script whose words are known."""

    pipelines: tuple[tuple[Words, ...], ...]
    """One after the other; the commands of each are connected by `|`."""
    heredoc: bool = False
    """One command that reads a here-document: its words are known, its input is not judged."""

    @property
    def commands(self) -> tuple[Words, ...]:
        """All of them, in order."""
        return tuple(command for pipeline in self.pipelines for command in pipeline)


def script_in(argv: Words) -> str | None:
    """The script of `[bash|zsh|sh, -lc|-c, SCRIPT]`, whatever folder the shell is in."""
    if len(argv) != 3 or argv[1] not in OPTIONS:
        return None
    return argv[2] if argv[0].rpartition("/")[2] in SHELLS else None


def plain(script: str) -> Plain | None:
    """The commands of a script; None when it is opaque."""
    data = encoded(script, LONGEST)
    if data is None or any(letter < " " and letter not in "\n\t" for letter in script):
        return None
    root = parser().parse(data).root_node
    if root.has_error:
        return None
    found = _heredoc(root)
    if found is not None:
        return found
    tokens = _tokens(root)
    if tokens is None or not _confirmed(script, tokens):
        return None
    return Plain(_pipelines(tokens))


def walked(script: str) -> Iterator[tuple[str | None, ...]]:
    """Every command anywhere in a script, also inside control flow, substitutions and errors.

    A word that is not literal is None. For looking for trouble, never for permission.
    """
    data = encoded(script, LONGEST_WALKED)
    if data is None:
        return
    waiting = [parser().parse(data).root_node]
    while waiting:
        node = waiting.pop()
        if node.type == "command":
            words = (child for child in _arguments(node) if child.type not in BESIDE)
            yield tuple(_word(child) for child in words)
        elif node.type == "heredoc_body":
            yield (None, _text(node))
        waiting += reversed(node.children)


def encoded(script: str, most: int) -> bytes | None:
    """The bytes of a script; None for half letters and for too many."""
    if len(script) > most:
        return None
    try:
        data = script.encode()
    except UnicodeEncodeError:
        return None
    return data if len(data) <= most else None


_PARSER: "list[Parser]" = []


def parser() -> "Parser":
    """The grammar of bash, loaded once."""
    if not _PARSER:
        import tree_sitter_bash  # noqa: PLC0415 - loaded when the first script is judged
        from tree_sitter import Language, Parser  # noqa: PLC0415 - the same

        _PARSER.append(Parser(Language(tree_sitter_bash.language())))
    return _PARSER[0]


# ---- structure --------------------------------------------------------------------------------

Token = Words | str
"""A command, or an operator; an empty operator is the end of a line."""


def _tokens(root: "Node") -> list[Token] | None:
    """Commands and operators in order; None when anything else is in the tree."""
    found: list[Token] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if not node.is_named:
            if node.type not in OPERATORS and node.type not in GAPS:
                return None
            if node.type in OPERATORS:
                found.append(node.type)
        elif node.type == "command":
            words = _words(node)
            if words is None:
                return None
            found.append(words)
        elif node.type in CONTAINERS:
            waiting += reversed(node.children)
        else:
            return None
    return found or None


def _words(command: "Node") -> Words | None:
    words = [_word(node) for node in _arguments(command)]
    known = tuple(word for word in words if word is not None)
    if len(known) != len(words) or not known or not known[0] or known[0] in RESERVED:
        return None
    return known


def _arguments(command: "Node") -> Iterator["Node"]:
    """The words of a command as nodes, its name first."""
    for node in command.children:
        if node.type == "command_name" and node.child_count == 1:
            yield node.children[0]
        else:
            yield node


def _pipelines(tokens: list[Token]) -> tuple[tuple[Words, ...], ...]:
    found: list[list[Words]] = []
    piped = False
    for one in tokens:
        if isinstance(one, str):
            piped = one == "|"
            continue
        if piped:
            found[-1].append(one)
        else:
            found.append([one])
        piped = False
    return tuple(tuple(one) for one in found)


def _confirmed(script: str, tokens: list[Token]) -> bool:
    """Does the other parser find the same words and operators?"""
    flat: list[str] = []
    for token in tokens:
        flat += [token] if isinstance(token, str) else token
    lexer = shlex.shlex(script, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer) == flat
    except ValueError:
        return False


def _heredoc(root: "Node") -> Plain | None:
    """One command with nothing but a here-document that holds no expansions."""
    children = [node for node in root.children if node.type not in GAPS]
    if len(children) != 1 or children[0].type != "redirected_statement":
        return None
    parts = children[0].children
    if len(parts) != 2 or parts[0].type != "command" or parts[1].type != "heredoc_redirect":
        return None
    start = [node for node in parts[1].children if node.type == "heredoc_start"]
    odd = [node for node in parts[1].children if node.is_named and node.type not in HEREDOC_PARTS]
    if odd or len(start) != 1:
        return None
    before, _, rest = _text(root).partition("<<")
    opening, _, body = rest.partition("\n")
    word = opening.removeprefix("-").strip(" \t")
    quoted = word[:1] in ("'", '"')
    if not _is_name(word.strip(word[0]) if quoted else word) or not body:
        return None
    if not quoted and any(letter in body for letter in "$`\\"):
        return None
    alone = plain(before)
    if alone is None or len(alone.commands) != 1:
        return None
    return Plain(alone.pipelines, heredoc=True)


def _is_name(word: str) -> bool:
    return word.isascii() and word.replace("_", "a").isalnum()


# ---- words ------------------------------------------------------------------------------------


def _text(node: "Node") -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _word(node: "Node") -> str | None:
    """What a shell makes of a word; None when that is not known from the text."""
    match node.type:
        case "word" | "number":
            return _bare(_text(node)) if node.child_count == 0 else None
        case "raw_string":
            return _text(node)[1:-1]
        case "string":
            return _double(_text(node)[1:-1])
        case "-":
            return "-"
        case "concatenation":
            if braced(_text(node)):
                return None
            parts = [_word(child) for child in node.children]
            joined = "".join(part for part in parts if part is not None)
            return None if any(part is None for part in parts) else joined
        case _:
            return None


def braced(text: str) -> bool:
    """May a shell make several words of it?"""
    return "{" in text and ("," in text or ".." in text)


def _bare(text: str) -> str | None:
    """An unquoted word with its backslashes taken away."""
    if text[:1] in ("=", "#", "~") or "=~" in text or ":~" in text or braced(text):
        return None
    found: list[str] = []
    letters = iter(text)
    for letter in letters:
        if letter == "\\":
            letter = next(letters, "")  # noqa: PLW2901 - the escaped one takes its place
            if letter in ("", "\n"):
                return None
        elif letter in SPECIAL and letter not in PLACED:
            return None
        found.append(letter)
    return "".join(found)


def _double(text: str) -> str | None:
    """The inside of double quotes; None where anything in it is expanded."""
    found: list[str] = []
    letters = iter(text)
    for letter in letters:
        if letter in "$`":
            return None
        if letter == "\\":
            after = next(letters, "")
            if after == "\n":
                return None
            found.append(after if after in IN_QUOTES else letter + after)
        else:
            found.append(letter)
    return "".join(found)
