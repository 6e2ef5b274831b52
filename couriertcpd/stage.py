"""The contract of a stage, and how one becomes the next.

Descriptors 0 and 1 are the client in clear text, descriptor 2 is the log, the environment carries what is known, and
argv holds the stages to come.  A stage's `main(argv)` sees no more than that.

A stage goes on in one of two ways, and need not care which: its process becomes the next program, or it hands the
connection to a process of the next stage that waits for one (forkserver.py).
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time

from couriertcpd import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

# Exit statuses of a stage (the djb convention): done, misuse or broken configuration, try again later.
DONE, MISUSE, TEMPORARY = 0, 100, 111

FORKSERVER = "COURIER_FORKSERVER"  # set by whoever starts a program of ours as a fork server
MARKER = b"# courier-imap stage: "
MARKED_OCTETS = 512  # the marker is the second line of a program that is a stage, and within so many octets

HAND_OVER_SECONDS = 10.0  # for room in the queue of the next stage

# Set by the fork server in its children; they stay as they are here in a program that was exec'ed.
next_socket: socket.socket | None = None  # where the next stage's processes wait
next_program = ""  # the argv[0] that they were started for
side_socket: socket.socket | None = None  # where the processes of a stage beside this one wait
sender = ""  # the module whose processes, without privileges, hand over to this stage; empty: couriertcpd does
audience = b""  # whom a ticket must be made out to that the next stage is to accept
addressee = b""  # whom a ticket must be made out to that this stage may accept
restarted = False  # whether another fork server has accepted tickets that were made out so
reused = False  # whether this process serves one client after another
own_log = 2  # our own log, which whoever hands a connection over cannot lead elsewhere


class HandedOn(BaseException):
    """The next stage has the connection; nothing is left to do for this process.

    Not an Exception: what a stage does when something fails must not be done.
    """


def run(module_name: str, argv: list[str]) -> NoReturn:
    """Be the program of this stage: its main(), or its fork server when we were started for that."""
    if environ.is_set(FORKSERVER):
        from couriertcpd import forkserver

        sys.exit(forkserver.serve(module_name, argv))
    __import__(module_name)
    sys.exit(sys.modules[module_name].main(argv))


def module_of(path: str) -> str | None:
    """The stage module that an executable file of ours runs; None for any other file."""
    try:
        with open(path, "rb", buffering=0) as file:
            lines = file.read(MARKED_OCTETS).split(b"\n")
    except OSError:
        return None
    if len(lines) < 3 or not lines[1].startswith(MARKER):
        return None
    return lines[1].removeprefix(MARKER).decode("ascii", "replace").strip()


def found(program: str) -> str:
    """Where execvp() finds the program."""
    if "/" in program:
        return program
    candidates = (os.path.join(folder, program) for folder in os.get_exec_path())
    return next((path for path in candidates if os.access(path, os.X_OK)), program)


def preforked_next(program: str) -> bool:
    """Whether become([program, ...]) will hand the connection to a process that waits, and not exec."""
    return next_socket is not None and program == next_program


def become(argv: Sequence[str], ticket: bytes = b"") -> None:
    """Become the program argv[0] with arguments argv; returns only by raising OSError or HandedOn.

    The ticket, what authdaemond has signed, is for a next stage that waits; a program that is exec'ed gets none.
    """
    if next_socket is not None and preforked_next(argv[0]):
        hand_over(next_socket, argv, environ.everything(), ticket)
        raise HandedOn
    execute(argv)


def execute(argv: Sequence[str]) -> None:
    """Become the program argv[0] by exec, whether or not processes wait for it; returns only by raising OSError."""
    os.execvp(argv[0], list(argv))


def hand_over(
    sock: socket.socket,
    argv: Sequence[str],
    environment: dict[bytes, bytes],
    ticket: bytes = b"",
    descriptors: tuple[int, int, int, int] = (0, 1, 2, 3),
) -> None:
    """Send our own descriptors, in, out, log and slot, and the rest to the processes that wait at the socket.

    Raises OSError.
    """
    from couriertcpd import handover

    try:
        frame = handover.encode(handover.Frame([os.fsencode(word) for word in argv], environment, ticket))
    except handover.BadFrame as error:
        raise OSError(str(error)) from None
    deadline = time.monotonic() + HAND_OVER_SECONDS
    while True:
        try:
            return handover.send(sock, frame, descriptors)
        except BlockingIOError:
            remaining = deadline - time.monotonic()
            room = select.poll()
            room.register(sock.fileno(), select.POLLOUT)
            if remaining <= 0 or not room.poll(remaining * 1000):
                raise TimeoutError(f"{argv[0]}: nobody takes the connection") from None


FAREWELL_SECONDS = 1.0
FAREWELL_OCTETS = 1 << 20


def farewell(descriptor: int) -> None:
    """End a conversation so that the last words arrive.

    A TCP connection that is closed with input unread is reset, and the client may lose what was sent to it last.  So
    our direction is ended, and what the client had on its way is read, for a moment.
    """
    try:
        client = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return  # a pipe or a terminal loses nothing
    with client:
        try:
            client.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + FAREWELL_SECONDS
            left = FAREWELL_OCTETS
            while left > 0 and (remaining := deadline - time.monotonic()) > 0:
                client.settimeout(remaining)
                octets = client.recv(min(left, 65536))
                if not octets:
                    return
                left -= len(octets)
        except OSError:
            return
