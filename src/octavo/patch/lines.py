"""A file's text as lines that keep their own ends, so that what is not changed stays as it is."""

from typing import Final, Self

from msgspec import Struct

BOM: Final = "\ufeff"
ENDS: Final = ("\r\n", "\n", "\r")


class Lines(Struct, frozen=True, kw_only=True):
    """The lines of one file. `ends[i]` is what follows `texts[i]`; only the last may be empty."""

    texts: tuple[str, ...]
    ends: tuple[str, ...]
    bom: str = ""

    @classmethod
    def of(cls, data: bytes, *, lone_cr: bool = True) -> Self:
        """Split a file. Bytes that are not UTF-8 come back as they were.

        Without `lone_cr` a carriage return in the middle of a line is a letter like others.
        """
        text = data.decode("utf-8", "surrogateescape")
        bom = BOM if text.startswith(BOM) else ""
        texts: list[str] = []
        ends: list[str] = []
        for piece in text[len(bom) :].split("\n"):
            body, cr = (piece[:-1], "\r\n") if piece.endswith("\r") else (piece, "\n")
            parts = body.split("\r") if lone_cr else [body]
            texts += parts
            ends += ["\r"] * (len(parts) - 1) + [cr]
        if ends[-1] == "\r\n":  # the last piece has no newline: what it ended in was a lone one
            ends[-1] = "\r"
        elif texts[-1]:
            ends[-1] = ""
        else:
            texts.pop()
            ends.pop()
        return cls(texts=tuple(texts), ends=tuple(ends), bom=bom)

    @property
    def end(self) -> str:
        """What new lines end in: as the first line of the file does."""
        return next((end for end in self.ends if end), "\n")

    def encode(self) -> bytes:
        """The file's bytes."""
        body = "".join(text + end for text, end in zip(self.texts, self.ends, strict=True))
        return (self.bom + body).encode("utf-8", "surrogateescape")


def readable(data: bytes) -> str:
    """A file's text for people: what is not UTF-8 as replacement letters."""
    return data.decode("utf-8", "replace")
