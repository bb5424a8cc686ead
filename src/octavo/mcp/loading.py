"""Loads what needs the protocol library: in a thread, and one thread at a time.

Two threads that load different parts of one large library at the same moment may see each other's
half-made modules.
"""

import asyncio
import threading
from importlib import import_module
from types import ModuleType

_ALONE = threading.Lock()


async def loaded(*names: str) -> ModuleType:
    """Modules of this room by their last name; the first of them."""
    return await asyncio.to_thread(_load, names)


def _load(names: tuple[str, ...]) -> ModuleType:
    with _ALONE:
        first, *_ = [import_module(f"octavo.mcp.{name}") for name in names]
        return first
