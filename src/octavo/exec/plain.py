"""Text for a terminal: what a model or a command made up can neither steer it nor hide in it."""

import re
from typing import Final

BIDI: Final = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
"""Marks that turn the direction of what follows: with them a command can read like another one."""
VISIBLE: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))},
    **{code: f"\\u{code:04x}" for code in BIDI},
    ord("\n"): "\n",
    ord("\t"): "\t",
}
STYLING: Final = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")
"""Colours and cursor movements, as programs write them when they believe in a terminal."""


def plain(text: str) -> str:
    """The text with control characters as escapes one can see; lines and tabs stay."""
    return text.replace("\r\n", "\n").translate(VISIBLE)


def unstyled(text: str) -> str:
    """A command's output without its colours, then as `plain`."""
    return plain(STYLING.sub("", text))
