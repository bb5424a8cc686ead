"""Why a patch was refused, in words that help to write the next one."""

from octavo.protocol.errors import OctavoError


class PatchRefused(OctavoError):  # noqa: N818 - says what happened
    """Nothing was changed. `patch_line` counts in the patch, `file_line` in the file; from 1."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        patch_line: int | None = None,
        file_line: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.patch_line = patch_line
        self.file_line = file_line


def quoted(text: str, most: int = 120) -> str:
    """One line for a message: control characters escaped, cut to `most` characters."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"'{shown if len(shown) <= most else shown[:most] + '…'}'"
