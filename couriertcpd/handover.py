"""Handing a connection to a waiting process: one datagram with argv and environment, and four descriptors.

The form is for the two ends on one host, of one installation, and may change with it.  A line with the version; a line
with how many words, how many variables, and how many octets of ticket follow; the words and the variables (NAME=value),
each ended by a NUL; the ticket.
"""

from __future__ import annotations

import os
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FRAME = 128 * 1024  # octets
MAX_STRINGS = 4096  # words and variables together

_VERSION = b"courier hand-over 1\n"
_COUNT = 4  # descriptors: in, out, log, slot
_ROOM = socket.CMSG_SPACE(2 * _COUNT * 4)

# As plain numbers: the first use of an enumeration's arithmetic costs a new process more than the system call.
_SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_RECEIVE_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
_INCOMPLETE = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)

# Made once, and not in each process that takes a connection: room for the longest frame is much for a short one.
_buffer = bytearray(MAX_FRAME + 1)


class BadFrame(ValueError):
    """A datagram that is no hand-over, or one that cannot be made; the text says why, and never what is in it."""


class Frame:
    """What is told with the descriptors; `ticket` is empty where nobody has signed anything."""

    __slots__ = ("argv", "environment", "ticket")

    def __init__(self, argv: list[bytes], environment: dict[bytes, bytes], ticket: bytes = b"") -> None:
        self.argv = argv
        self.environment = environment
        self.ticket = ticket


class Arrival:
    """A connection that was received: the frame, argv as main() wants it, and its descriptors (in, out, log, slot)."""

    __slots__ = ("argv", "descriptors", "environment", "ticket")

    def __init__(self, frame: Frame, descriptors: Sequence[int]) -> None:
        self.argv = [os.fsdecode(word) for word in frame.argv]
        self.environment = frame.environment
        self.ticket = frame.ticket
        self.descriptors = descriptors


def encode(frame: Frame) -> bytes:
    """The octets of a frame; raises BadFrame for one that decode() would refuse."""
    strings = [*frame.argv, *[b"%s=%s" % variable for variable in frame.environment.items()], b""]
    body = b"\0".join(strings)
    if body.count(b"\0") != len(strings) - 1:
        raise BadFrame("a NUL in a string")
    counts = b"%d %d %d\n" % (len(frame.argv), len(frame.environment), len(frame.ticket))
    octets = b"".join((_VERSION, counts, body, frame.ticket))
    if len(octets) > MAX_FRAME:
        raise BadFrame(f"{len(octets)} octets are more than {MAX_FRAME}")
    if not frame.argv or len(strings) > MAX_STRINGS:
        raise BadFrame("no words" if not frame.argv else "too many strings")
    if any(not name or b"=" in name for name in frame.environment):
        raise BadFrame("a variable without a proper name")
    return octets


def decode(octets: bytes) -> Frame:
    """The frame of these octets; raises BadFrame."""
    if len(octets) > MAX_FRAME or not octets.startswith(_VERSION):
        raise BadFrame("too long" if len(octets) > MAX_FRAME else "another version")
    head = octets.find(b"\n", len(_VERSION), len(_VERSION) + 40) + 1
    counts = octets[len(_VERSION) : head].split()
    if not all(count.isdigit() for count in counts) or len(counts) != 3 or max(map(len, counts)) > 6:
        raise BadFrame("no counts")
    words, variables, signed = map(int, counts)
    if not words or words + variables >= MAX_STRINGS:
        raise BadFrame("no words" if not words else "too many strings")
    end = len(octets) - signed
    strings = octets[head:end].split(b"\0") if end >= head else []
    if len(strings) != words + variables + 1 or strings[-1]:
        raise BadFrame("truncated")
    try:
        environment = dict([item.split(b"=", 1) for item in strings[words:-1]])
    except ValueError:
        raise BadFrame("a variable without a value") from None
    if len(environment) != variables or b"" in environment:
        raise BadFrame("a variable twice or without a name")
    return Frame(strings[:words], environment, octets[end:])


def send(sock: socket.socket, frame: bytes, descriptors: Sequence[int]) -> None:
    """Send an encoded frame with descriptors (in, out, log, slot), without waiting; raises OSError.

    BlockingIOError says that the queue is full.  The flag is in the call because the socket is shared between
    processes, and with it whether it blocks.
    """
    rights = b"".join([number.to_bytes(4, sys.byteorder) for number in descriptors])
    sock.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], _SEND_FLAGS)


def receive(sock: socket.socket) -> Arrival | None:
    """Take one connection, without waiting; None when all senders are gone and nothing is left.

    Raises BlockingIOError when there is none, and BadFrame for a datagram that is not a whole hand-over; its
    descriptors are closed then.
    """
    length, ancillary, flags, _ = sock.recvmsg_into([_buffer], _ROOM, _RECEIVE_FLAGS)
    octets = bytes(memoryview(_buffer)[:length])
    descriptors: list[int] = []
    for level, kind, rights in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = memoryview(rights)[: len(rights) & ~3]
            descriptors += whole.cast("i").tolist()
    if not octets and not descriptors:
        return None
    try:
        if flags & _INCOMPLETE:
            raise BadFrame("truncated")
        if len(descriptors) != _COUNT:
            raise BadFrame(f"{len(descriptors)} descriptors")
        return Arrival(decode(octets), descriptors)
    except BadFrame:
        close(descriptors)
        raise


def close(descriptors: Sequence[int]) -> None:
    """Close descriptors that were received."""
    for number in descriptors:
        os.close(number)
