"""Messages between the application, the fork server and the policy servers.

One SOCK_SEQPACKET message each: `marshal` for the value (fast, built in, and only ever read from
our own side of a socket that no command can reach), descriptors beside it. What does not fit into
a message travels in a memory file.
"""

import _socket
import marshal
import os
import sys

assert sys.platform == "linux"

INLINE_MAX = 64 * 1024  # well under the default socket buffer
MAX_FDS = 16
LARGE = "large"

Value = object


def pair() -> "tuple[_socket.socket, _socket.socket]":
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)


def send(channel: "_socket.socket", value: Value, fds: "tuple[int, ...]" = ()) -> None:
    data = marshal.dumps(value)  # type: ignore[arg-type]  # any plain value
    if len(data) <= INLINE_MAX:
        send_raw(channel, data, fds)
        return
    memory = os.memfd_create("octavo-message", os.MFD_CLOEXEC)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(memory, rest) :]
        send_raw(channel, marshal.dumps((LARGE, len(data))), (*fds, memory))
    finally:
        os.close(memory)


def send_raw(channel: "_socket.socket", data: bytes, fds: "tuple[int, ...]") -> None:
    packed = b"".join(fd.to_bytes(4, "little") for fd in fds)
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)] if fds else []
    channel.sendmsg([data], ancillary)


def receive(channel: "_socket.socket") -> "tuple[Value, list[int]]":
    """The next value and its descriptors; (None, []) when the other side has closed."""
    data, fds = receive_raw(channel)
    if not data:
        return None, fds
    value = marshal.loads(data)  # noqa: S302 - from our own side of a private socket
    if isinstance(value, tuple) and value[:1] == (LARGE,):
        memory = fds.pop()
        try:
            value = marshal.loads(os.pread(memory, value[1], 0))  # noqa: S302
        finally:
            os.close(memory)
    return value, fds


def receive_raw(channel: "_socket.socket", size: int = 2 * INLINE_MAX) -> "tuple[bytes, list[int]]":
    try:
        data, ancillary, _, _ = channel.recvmsg(size, MAX_FDS * 4 + 32, _socket.MSG_CMSG_CLOEXEC)
    except ConnectionError:
        return b"", []
    fds = [
        int.from_bytes(payload[i : i + 4], "little")
        for _, _, payload in ancillary
        for i in range(0, len(payload) - 3, 4)
    ]
    return data, fds
