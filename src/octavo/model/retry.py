"""When to ask again, and how long to wait first.

Pure: chance and the clock are parameters. The client repeats a request that never got an answer
(server errors, a connection that broke before the headers); the engine repeats a broken stream.
"""

import re
from datetime import UTC, datetime
from typing import Final

from octavo.model.events import Retrying
from octavo.protocol.errors import ModelError

REQUEST_RETRIES: Final = 4
STREAM_RETRIES: Final = 5
MOST_RETRIES: Final = 100
STREAM_IDLE_MS: Final = 300_000
BASE_MS: Final = 200
JITTER: Final = (0.9, 1.1)
"""Draw the `jitter` parameter evenly from here."""
LONGEST_WAIT_MS: Final = 30 * 60_000
"""A server that wants a longer wait is not waited for: its message goes to the person."""
UNREACHABLE_FIRST_MS: Final = 5_000
UNREACHABLE_MOST_MS: Final = 60_000

_SAID_WAIT: Final = re.compile(
    r"try again in\s+(\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|secs?|seconds?|m|min|minutes?)\b",
    re.IGNORECASE,
)
_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_DATE: Final = re.compile(r"\w+, (\d{1,2}) (\w{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT")


def backoff_ms(attempt: int, *, jitter: float, base_ms: int = BASE_MS) -> int:
    """The wait before retry number `attempt`, counted from 1: doubles each time."""
    doublings = min(max(attempt, 1) - 1, 20)
    return round(base_ms * (1 << doublings) * jitter)


def unreachable_ms(attempt: int) -> int:
    """The wait before trying again when no connection came about: 5 s, doubling to a minute."""
    return min(UNREACHABLE_FIRST_MS << min(max(attempt, 1) - 1, 10), UNREACHABLE_MOST_MS)


def delay_ms(error: ModelError, attempt: int, *, jitter: float) -> int:
    """What the server asked for, else the schedule."""
    if error.retry_after_ms is not None:
        return error.retry_after_ms
    return backoff_ms(attempt, jitter=jitter)


def next_retry(error: ModelError, attempt: int, limit: int, *, jitter: float) -> Retrying | None:
    """The notice for retry number `attempt` of at most `limit`. None: give up and show the error."""
    limit = min(limit, MOST_RETRIES)
    if not error.retryable or attempt > limit:
        return None
    wait = delay_ms(error, attempt, jitter=jitter)
    if wait > LONGEST_WAIT_MS:
        return None
    return Retrying(attempt=attempt, limit=limit, reason=str(error), delay_ms=wait)


def said_wait_ms(text: str) -> int | None:
    """The wait in a message such as "Please try again in 1.898s"."""
    found = _SAID_WAIT.search(text)
    if found is None:
        return None
    unit = found[2].lower()
    scale = 1 if unit.startswith(("ms", "milli")) else 1000 if unit.startswith("s") else 60_000
    return round(float(found[1]) * scale)


def retry_after_ms(header: str | None, *, now_s: float) -> int | None:
    """The wait in a `retry-after` header: seconds, or a date. None: there is none we understand."""
    text = (header or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return round(float(text) * 1000)
    found = _DATE.fullmatch(text)
    if found is None or found[2].lower() not in _MONTHS:
        return None
    day, _, year, hour, minute, second = found.groups()
    month = _MONTHS.index(found[2].lower()) + 1
    try:
        when = datetime(int(year), month, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    return max(0, round((when.timestamp() - now_s) * 1000))
