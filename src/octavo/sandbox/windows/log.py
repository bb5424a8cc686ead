"""The sandbox's log: the name of its file for a day, and its lines.

Pure: the time is passed in. A line is one line, whatever was in its text.
"""

from datetime import datetime


def file_name(at: datetime) -> str:
    """One file a day, local time."""
    return f"sandbox.{at:%Y-%m-%d}.log"


def line(at: datetime, program: str, text: str) -> bytes:
    """`[local time with ms, program] TEXT`."""
    plain = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    stamp = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
    return f"[{stamp} {program}] {plain}\n".encode("utf-8", "backslashreplace")
