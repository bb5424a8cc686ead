"""Become a command that needs more preparation than `subprocess` can do between fork and exec.

Run as a program by an isolated interpreter, already in its own session; standard library only.
argv: error descriptor, "terminal" or "pipes", original LC_CTYPE as `=value` or empty, command.
"""

import fcntl
import os
import signal
import sys
import termios

assert sys.platform != "win32"

# What a host may ignore and a fresh command may not find ignored.
RESTORED = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGCHLD,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
READY = b"+"
"""Written before the command takes over; the number of an error follows when it could not."""


def main(argv: list[str]) -> None:
    """Prepare this process and replace it; on failure the number of the error goes up the pipe."""
    error_fd, stdio, locale, *command = argv
    report = int(error_fd)
    fcntl.fcntl(report, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    try:
        if stdio == "terminal":
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        environment = dict(os.environb)
        # The interpreter may have turned a C locale into C.UTF-8 for its own children.
        environment.pop(b"LC_CTYPE", None)
        if locale:
            environment[b"LC_CTYPE"] = os.fsencode(locale[1:])
        for number in RESTORED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.write(report, READY)
        os.execvpe(command[0], command, environment)
    except OSError as error:
        os.write(report, str(error.errno or 0).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(127)
