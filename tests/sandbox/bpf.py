"""A small interpreter for classic BPF, to ask a filter about every call on paper."""

from collections.abc import Callable

from octavo.sandbox.linux import seccomp


def interpreter(code: bytes) -> Callable[..., int]:
    """Run a program on paper: `decide(nr, args=(), arch=...)` gives the kernel's verdict."""
    instructions = [
        (
            int.from_bytes(code[i : i + 2], "little"),
            code[i + 2],
            code[i + 3],
            int.from_bytes(code[i + 4 : i + 8], "little"),
        )
        for i in range(0, len(code), 8)
    ]

    def decide(
        nr: int, args: tuple[int, ...] = (), arch: int = seccomp.ARCHITECTURE["x86_64"]
    ) -> int:
        padded = (*args, *(0,) * (6 - len(args)))
        words = b"".join((a & (2**64 - 1)).to_bytes(8, "little") for a in padded)
        data = nr.to_bytes(4, "little") + arch.to_bytes(4, "little") + bytes(8) + words
        at = accumulator = 0
        while True:
            op, yes, no, k = instructions[at]
            at += 1
            if op == seccomp.RETURN:
                return k
            if op == seccomp.LOAD:
                accumulator = int.from_bytes(data[k : k + 4], "little")
            elif op == seccomp.AND:
                accumulator &= k
            elif op == seccomp.JUMP:
                at += k
            else:
                hit = {
                    seccomp.JUMP_EQ: accumulator == k,
                    seccomp.JUMP_GE: accumulator >= k,
                    seccomp.JUMP_SET: accumulator & k != 0,
                }[op]
                at += yes if hit else no

    return decide
