"""What `doctor` finds out."""

from typing import Literal

from msgspec import Struct

State = Literal["ok", "weak", "problem", "info"]


class Fact(Struct, frozen=True, kw_only=True):
    """One thing that was found out."""

    name: str
    state: State
    text: str
    remedy: str = ""
