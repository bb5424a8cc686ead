"""On which line of a TOML text each key was written.

The standard parser does not say. This one reads only the skeleton of a text that the standard
parser has already accepted: keys, brackets, and where values end. A key path is a tuple of
names; items of a list count as names "0", "1", ….
"""

from bisect import bisect_right
from typing import Final

Keys = tuple[str, ...]

BLANK: Final = " \t"
SPACE: Final = " \t\r\n"
ENDS_A_VALUE: Final = ",]}#\r\n"
ESCAPES: Final = {
    "b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\",
}  # fmt: skip
DIGITS: Final = {"x": 2, "u": 4, "U": 8}


def locate(text: str) -> dict[Keys, int]:
    """The line, from 1, where each key path of a valid TOML text first appears.

    Tables count with the line of their header, or of the first key that implies them.
    """
    scan = _Scan(text)
    scan.document()
    return scan.lines


class _Scan:
    """A walk through one text. `self.at` is the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Keys, int] = {}
        self._starts = [0, *(i + 1 for i, char in enumerate(text) if char == "\n")]
        self._lengths: dict[Keys, int] = {}  # of lists of tables, by key path

    def document(self) -> None:
        table: Keys = ()
        while self._skip(SPACE):
            if self.text.startswith("[[", self.at):
                self.at += 2
                table = self._next_item(self._key())
                self.at += 2
            elif self.text[self.at] == "[":
                self.at += 1
                table = self._placed(self._key())
                self._record(table)
                self.at += 1
            else:
                self._pair(table)

    def _next_item(self, keys: Keys) -> Keys:
        """The path of one more table in the list of tables `keys`."""
        name = (*self._placed(keys[:-1]), keys[-1])
        index = self._lengths.get(name, 0)
        self._lengths[name] = index + 1
        self._record((*name, str(index)))
        return (*name, str(index))

    def _placed(self, keys: Keys) -> Keys:
        """A header's key path with the item meant wherever it passes a list of tables."""
        path: Keys = ()
        for key in keys:
            path = (*path, key)
            if path in self._lengths:
                path = (*path, str(self._lengths[path] - 1))
        return path

    def _pair(self, table: Keys) -> None:
        line = self._line()
        path = (*table, *self._key())
        self._record(path, line)
        self.at += 1  # the equals sign
        self._skip(BLANK)
        self._value(path)

    def _value(self, path: Keys) -> None:
        char = self.text[self.at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self.at += 1
            index = 0
            while self._skip(SPACE + ",") and self.text[self.at] != "]":
                item = (*path, str(index))
                self._record(item)
                self._value(item)
                index += 1
            self.at += 1
        elif char == "{":
            self.at += 1
            while self._skip(SPACE + ",") and self.text[self.at] != "}":
                self._pair(path)
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in ENDS_A_VALUE:
                self.at += 1

    def _key(self) -> Keys:
        """A dotted key; stops at the bracket or equals sign behind it."""
        names: list[str] = []
        while True:
            self._skip(BLANK)
            names.append(self._string() if self.text[self.at] in "\"'" else self._bare())
            self._skip(BLANK)
            if self.text[self.at] != ".":
                return tuple(names)
            self.at += 1

    def _bare(self) -> str:
        start = self.at
        while self.text[self.at] not in ".=] \t":
            self.at += 1
        return self.text[start : self.at]

    def _string(self) -> str:
        """A string of any of the four kinds; what it says."""
        quote = self.text[self.at]
        long = self.text.startswith(quote * 3, self.at)
        mark = quote * 3 if long else quote
        self.at += len(mark)
        said: list[str] = []
        while not self.text.startswith(mark, self.at):
            said.append(
                self._escape() if self.text[self.at] == "\\" and quote == '"' else self._char()
            )
        self.at += len(mark)
        while long and self.text.startswith(quote, self.at):  # up to two quotes may end the text
            said.append(self._char())
        return "".join(said)

    def _char(self) -> str:
        self.at += 1
        return self.text[self.at - 1]

    def _escape(self) -> str:
        self.at += 1
        kind = self._char()
        if kind not in DIGITS:
            return ESCAPES.get(kind, "")  # else: the end of the line is escaped
        start = self.at
        self.at += DIGITS[kind]
        return chr(int(self.text[start : self.at], 16))

    def _skip(self, blanks: str) -> bool:
        """Pass blanks, and comments where lines may end; whether anything is left."""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "#" and "\n" in blanks:
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif char in blanks:
                self.at += 1
            else:
                return True
        return False

    def _record(self, path: Keys, line: int | None = None) -> None:
        number = self._line() if line is None else line
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], number)

    def _line(self) -> int:
        return bisect_right(self._starts, self.at)
