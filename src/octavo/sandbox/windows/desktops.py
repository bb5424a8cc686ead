"""The private desktop of a command: its name and who may do what there.

Pure. On the user's own desktop a command could read and send the messages of other programs.
"""

from typing import Final

PREFIX: Final = "OctavoSandboxDesktop-"
STATION: Final = "Winsta0"
SHARED: Final = f"{STATION}\\Default"
"""The user's own desktop, for those who switched private ones off."""
ALL: Final = 0xF01FF
PARTICIPANT: Final = ALL & ~(0x40000 | 0x80000 | 0x10000)
"""Without changing its list, owner, or deleting it."""
HEX: Final = 32


def desktop_name(random: bytes) -> str:
    """A name from 16 random bytes."""
    if len(random) * 2 != HEX:
        raise ValueError("a desktop's name takes 16 random bytes")
    return PREFIX + random.hex()


def is_name(name: str) -> bool:
    """Is it a name of ours? Nothing else is ever opened."""
    digits = name.removeprefix(PREFIX)
    return (
        digits != name
        and 0 < len(digits) <= HEX
        and all(digit in "0123456789abcdef" for digit in digits)
    )


def full_name(name: str) -> str:
    """As a start takes it, with its window station."""
    return f"{STATION}\\{name}"


def security(owner: str, participant: str) -> str:
    """For whom the desktop is: its maker, and the SID that its commands have."""
    return f"D:P(A;;{ALL:#x};;;{owner})(A;;{PARTICIPANT:#x};;;{participant})"
