"""The short way when bytes pass through us: terminals, files open for writing, caps, deadlines.

The command never holds the user's terminal: it gets one of its own, and this process copies, keeps
the window size in step, and stops and continues together with it, so that a shell's job control
works as without a sandbox.
"""

import _socket
import os
import select
import sys
import termios
import time

assert sys.platform == "linux"

from octavo.sandbox.linux import status, sysc
from octavo.sandbox.linux.relay_child import HANDED_TERMINAL
from octavo.sandbox.linux.shared import never_inside
from octavo.sandbox.linux.single import Ended, forwarded_signals, inner_of, start

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable

    from octavo.sandbox.linux.shared import Command, Plan
    from octavo.sandbox.linux.status import Record
else:
    import _signal

CHUNK = 65536
TERM_GRACE_S = 2.0  # between the polite signal and the sure one
DRAIN_S = 5.0  # a reader that does not read must not hold us after the command has ended
TIOCGWINSZ, TIOCSWINSZ = 0x5413, 0x5414
READABLE = select.POLLIN | select.POLLHUP | select.POLLERR


class Watcher:
    """What the caller wants watched while a command runs."""

    def __init__(
        self,
        *,
        wall_s: "float | None" = None,
        output_bytes: "int | None" = None,
        on_listener: "Callable[[int], None] | None" = None,
        on_refusal: "Callable[[int], None] | None" = None,
    ) -> None:
        self.wall_s = wall_s
        self.output_bytes = output_bytes
        self.on_listener = on_listener
        """Given the descriptor that reports refused calls, once."""
        self.on_refusal = on_refusal
        """Called each time that descriptor has something to say."""


def run(
    plan: "Plan",
    command: "Command",
    terminals: "tuple[int, ...]",
    relayed: "tuple[int, ...]",
    watch: "Watcher | None",
) -> Ended:
    watch = watch or Watcher()
    if watch.output_bytes is not None:
        relayed = tuple({*relayed, *(fd for fd in (1, 2) if fd not in terminals)})
    return Relay(plan, command, terminals, relayed, watch).run()


class Relay:
    """One command whose bytes pass through this process."""

    def __init__(
        self,
        plan: "Plan",
        command: "Command",
        terminals: "tuple[int, ...]",
        relayed: "tuple[int, ...]",
        watch: Watcher,
    ) -> None:
        self.plan = plan
        self.command = command
        self.terminals = terminals
        self.relayed = relayed
        self.watch = watch
        self.poll = select.poll()
        self.on_ready: dict[int, Callable[[], None]] = {}
        self.master = -1
        self.listener = -1
        self.pid = 0
        self.written = 0
        self.limit: str | None = None
        self.record: Record | None = None
        self.over = False
        self.started = plan.rung != "bubblewrap"
        self.terminal: Terminal | None = None
        self.feed_rest = b""
        self.feeding_to = -1

    def run(self) -> Ended:
        self.channel, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        standard, inner = self.pipes()
        self.pid, pidfd = start(
            self.plan,
            self.command,
            theirs.fileno(),
            terminals=self.terminals,
            standard=standard,
            ours=(self.channel.fileno(), *self.on_ready),
        )
        theirs.close()
        for fd in inner:
            os.close(fd)
        self.watch_fd(self.channel.fileno(), self.news)
        with forwarded_signals(self.pid, inner_of(self.plan)):
            try:
                self.loop()
                os.waitpid(self.pid, 0)
                self.drain()
            finally:
                if self.terminal:
                    self.terminal.restore()
        self.close(pidfd)
        return Ended(self.record, self.limit)

    def pipes(self) -> "tuple[dict[int, int], set[int]]":
        """Pipes for what must not be handed in: (what the child uses, descriptors to close here)."""
        standard: dict[int, int] = {}
        inner = set()
        for fd in self.relayed:
            read, write = os.pipe()
            if fd == 0:
                standard[0] = read
                inner.add(read)
                os.set_blocking(write, False)
                self.watch_fd(write, self.feeding(write), select.POLLOUT | select.POLLERR)
            elif fd == 2 and 1 in standard and same_file(1, 2):
                os.close(read)
                os.close(write)
                standard[2] = standard[1]  # one pipe keeps the order of both streams
            else:
                standard[fd] = write
                inner.add(write)
                self.watch_fd(read, self.copying(read, fd))
        return standard, inner

    def copying(self, source: int, to: int) -> "Callable[[], None]":
        return lambda: self.copy(source, to)

    def feeding(self, out: int) -> "Callable[[], None]":
        return lambda: self.feed(out)

    def watch_fd(self, fd: int, action: "Callable[[], None]", events: int = READABLE) -> None:
        self.on_ready[fd] = action
        self.poll.register(fd, events)

    def forget(self, fd: int) -> None:
        if self.on_ready.pop(fd, None):
            self.poll.unregister(fd)
            os.close(fd)

    def loop(self) -> None:
        deadline = None if self.watch.wall_s is None else time.monotonic() + self.watch.wall_s
        while not self.over:
            wait_ms = None
            if deadline is not None:
                wait_ms = max(0.0, deadline - time.monotonic()) * 1000
            for fd, _ in self.poll.poll(wait_ms):
                action = self.on_ready.get(fd)
                if action:
                    action()
            if deadline is not None and time.monotonic() >= deadline:
                deadline = self.end("wall")

    def end(self, limit: str) -> "float | None":
        """Politely first; the second time for sure. Returns when to come back."""
        if self.limit is None:
            self.limit = limit
            os.kill(self.pid, _signal.SIGTERM)
            return time.monotonic() + TERM_GRACE_S
        os.kill(self.pid, _signal.SIGKILL)
        return None

    # ---- what happens -----------------------------------------------------------------------

    def news(self) -> None:
        """A record from inside, perhaps with a descriptor."""
        try:
            data, ancillary, _, _ = self.channel.recvmsg(status.SIZE, 64, _socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            data, ancillary = b"", []
        record = status.decode(data)
        for _, _, payload in ancillary:
            fd = int.from_bytes(payload[:4], "little")
            assert record is not None
            self.received(record.index, fd)
        if record is None:
            self.over = True
            if not self.started:
                self.record = never_inside()
        elif record.kind == status.STOPPED:
            self.stop_together()
        elif record.kind == status.READY:
            self.started = self.started or record.index == status.INSIDE
        else:
            self.record = record
            self.over = True

    def received(self, what: int, fd: int) -> None:
        if what == HANDED_TERMINAL:
            self.master = fd
            out = next(t for t in (1, 2, 0) if t in self.terminals)
            self.watch_fd(fd, lambda: self.copy(fd, out))
            self.terminal = Terminal(fd, self.terminals)
            self.terminal.take()
            if 0 in self.terminals:
                self.poll.register(0, READABLE)
                self.on_ready[0] = self.type_in
        elif self.watch.on_listener and self.watch.on_refusal:
            self.listener = fd
            self.watch.on_listener(fd)
            action = self.watch.on_refusal
            self.watch_fd(fd, lambda: action(fd), select.POLLIN)
        else:
            os.close(fd)

    def copy(self, source: int, to: int) -> None:
        try:
            data = os.read(source, CHUNK)
        except OSError:  # EIO: the last process has closed the terminal
            data = b""
        if not data:
            if source != self.master:
                self.forget(source)
            elif self.on_ready.pop(source, None):
                self.poll.unregister(source)
            return
        allowed = self.allowed(data)
        write_all(to, allowed)
        if len(allowed) < len(data) and self.limit is None:
            self.limit = "output"
            os.kill(self.pid, _signal.SIGKILL)

    def allowed(self, data: bytes) -> bytes:
        if self.watch.output_bytes is None:
            return data
        data = data[: max(0, self.watch.output_bytes - self.written)]
        self.written += len(data)
        return data

    def feed(self, out: int) -> None:
        """There is room in the command's input: pass on what was read, else wait for more."""
        if not self.feed_rest:
            self.poll.unregister(out)
            self.on_ready.pop(out)
            self.feeding_to = out
            self.listen_for_input()
            return
        try:
            sent = os.write(out, self.feed_rest)
        except BlockingIOError:
            sent = 0
        except OSError:  # the command has closed its input
            self.forget(out)
            return
        self.feed_rest = self.feed_rest[sent:]

    def listen_for_input(self) -> None:
        self.poll.register(0, READABLE)
        self.on_ready[0] = self.read_input

    def read_input(self) -> None:
        """Our input has something, or its end; nothing is read before the last piece is written."""
        try:
            self.feed_rest = os.read(0, CHUNK)
        except OSError:  # whoever was at the other end is gone
            self.feed_rest = b""
        self.poll.unregister(0)
        self.on_ready.pop(0)
        if self.feed_rest:
            self.watch_fd(
                self.feeding_to, self.feeding(self.feeding_to), select.POLLOUT | select.POLLERR
            )
        else:
            os.close(self.feeding_to)
            self.feeding_to = -1

    def type_in(self) -> None:
        assert self.terminal is not None
        if not self.terminal.foreground():
            return
        data = os.read(0, CHUNK)
        if data:
            write_all(self.master, data)
        else:
            self.poll.unregister(0)
            self.on_ready.pop(0)

    def stop_together(self) -> None:
        """The command was stopped from its terminal: stop too, and go on with it."""
        if self.terminal:
            self.terminal.restore()
        os.kill(os.getpid(), _signal.SIGSTOP)
        if self.terminal:
            self.terminal.take()
        os.kill(self.pid, _signal.SIGCONT)

    # ---- the end ----------------------------------------------------------------------------

    def drain(self) -> None:
        """Everything inside is gone: what is still in the pipes is all there will be."""
        until = time.monotonic() + DRAIN_S
        sources = [
            fd for fd in self.on_ready if fd not in (0, self.channel.fileno(), self.listener)
        ]
        for fd in sources:
            while fd in self.on_ready and time.monotonic() < until:
                if not self.poll_one(fd):
                    break
                self.on_ready[fd]()

    def poll_one(self, fd: int) -> bool:
        one = select.poll()
        one.register(fd, select.POLLIN | select.POLLHUP)
        return bool(one.poll(0))

    def close(self, pidfd: int) -> None:
        for fd in [fd for fd in self.on_ready if fd != 0 and fd != self.channel.fileno()]:
            self.forget(fd)
        if self.feeding_to >= 0 and self.feeding_to not in self.on_ready:
            os.close(self.feeding_to)
        self.channel.close()
        os.close(pidfd)


class Terminal:
    """The user's terminal while a command has one of its own. Whoever takes it puts it back."""

    def __init__(self, master: int, terminals: "tuple[int, ...]") -> None:
        self.master = master
        self.fd = terminals[0]
        self.keys = 0 in terminals
        self.saved: list[object] | None = None
        _signal.signal(_signal.SIGWINCH, lambda *_: self.resize())
        self.copy_settings()
        self.resize()

    def copy_settings(self) -> None:
        try:
            termios.tcsetattr(self.master, termios.TCSANOW, termios.tcgetattr(self.fd))
        except termios.error:  # a terminal that cannot say: the defaults will do
            pass

    def resize(self) -> None:
        try:
            size = bytearray(8)
            sysc.ioctl(self.fd, TIOCGWINSZ, sysc.address_of(size))
            sysc.ioctl(self.master, TIOCSWINSZ, bytes(size))
        except OSError:  # no size to copy
            pass

    def foreground(self) -> bool:
        return os.tcgetpgrp(self.fd) == os.getpgrp()

    def take(self) -> None:
        """Raw: every key goes to the command's own terminal, which gives keys their meaning."""
        if not self.keys or not self.foreground():
            return
        self.saved = termios.tcgetattr(self.fd)
        mode = termios.tcgetattr(self.fd)
        mode[0] &= ~(
            termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON
            | termios.INLCR | termios.IGNCR
        )  # fmt: skip
        mode[1] &= ~termios.OPOST
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.fd, termios.TCSADRAIN, mode)

    def restore(self) -> None:
        if self.saved is not None:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)  # type: ignore[arg-type]  # as read
            self.saved = None


def same_file(a: int, b: int) -> bool:
    one, two = os.fstat(a), os.fstat(b)
    return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll(1000)
        except BrokenPipeError:  # nobody reads our output any more
            return
