"""Heads out of connections: what was collected is looked at first, then waited for more. Hands."""

from octavo.proxy import http
from octavo.proxy.channel import Channel
from octavo.proxy.http import HttpError, Request
from octavo.proxy.limits import Limits


async def read_head(wire: Channel, limits: Limits, *, again: bool) -> Request | None:
    """The next request; None when there will be none. `again`: it is not the first. Raises HttpError."""
    end = http.head_end(skip_blank(wire.buffer)) if wire.buffer else None
    if end is None:
        try:
            first = wire.within(limits.idle_s if again else limits.first_byte_s)
            if not wire.buffer and not await wire.fill(first):
                return None
        except TimeoutError:
            return None
        try:
            end = await head_in(wire, wire.within(limits.head_s))
        except TimeoutError:
            raise HttpError(408, "the request did not come in time") from None
        if end is None:
            return None
    return http.read_request(bytes(wire.take(end)))


async def head_in(wire: Channel, until: float) -> int | None:
    """Where the head in a wire's buffer ends; None when it never does.

    Raises HttpError, TimeoutError.
    """
    seen = 0
    while (end := http.head_end(skip_blank(wire.buffer), seen)) is None:
        seen = len(wire.buffer)
        if not await wire.fill(until):
            return None
    return end


def skip_blank(buffer: bytearray) -> bytearray:
    """Without the one empty line that may stand before a request."""
    if buffer.startswith(b"\r\n"):
        del buffer[:2]
    return buffer
