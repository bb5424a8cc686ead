"""What the proxy knows of one command that runs: its connections, answers and denials."""

import asyncio
import hmac
import secrets
from collections import deque
from collections.abc import Callable

from octavo.policy.hosts import Target
from octavo.policy.network import Decision, HostPolicy, Protocol

Key = tuple[str, int]
"""Host and port of a question."""


Way = tuple[Target, Protocol]


class Execution:
    """One command. Made by `NetworkProxy.open`; forgotten by `NetworkProxy.end`."""

    def __init__(
        self, identity: str, policy: Callable[[], HostPolicy], *, kept: int, lookups: int
    ) -> None:
        self.identity = identity
        self.policy = policy
        """In force at this moment: asked before each decision."""
        self.password = secrets.token_urlsafe(24)
        self.tasks: set[asyncio.Task[None]] = set()
        """Listeners and connections."""
        self.tunnels: dict[asyncio.Task[None], Way] = {}
        self.connections = 0
        self.lookups = asyncio.Semaphore(lookups)
        self.allowed: set[Key] = set()
        """Answered with "once": for this execution."""
        self.refused: dict[Key, str] = {}
        """Answered with no, and the sentence about it."""
        self.questions: dict[Key, asyncio.Future[None]] = {}
        self.denials: deque[Decision] = deque(maxlen=kept)
        """Each refusal that was no repetition, the oldest first."""
        self.ended = False

    @property
    def user(self) -> str:
        """The name for a proxy's address that carries credentials."""
        return f"octavo.{self.identity}"

    def knows(self, user: str, password: str) -> bool:
        """Are these its credentials? Takes the same time for every wrong password."""
        return user == self.user and hmac.compare_digest(
            password.encode("utf-8", "surrogatepass"), self.password.encode()
        )

    def remember(self, decision: Decision) -> None:
        """Keep a refusal, once."""
        if decision not in self.denials:
            self.denials.append(decision)
