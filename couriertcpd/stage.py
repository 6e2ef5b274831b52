"""The contract of a stage, and how one becomes the next.

Descriptors 0 and 1 are the client in clear text, descriptor 2 is the log, the environment carries what is known, and
argv holds the stages to come.  A stage's `main(argv)` sees no more than that.
"""

import os
import socket
import time
from collections.abc import Sequence

# Exit statuses of a stage (the djb convention): done, misuse or broken configuration, try again later.
DONE, MISUSE, TEMPORARY = 0, 100, 111


def become(argv: Sequence[str]) -> None:
    """Become the program argv[0] with arguments argv; returns only by raising OSError."""
    os.execvp(argv[0], list(argv))


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
