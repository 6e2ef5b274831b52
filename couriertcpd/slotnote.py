"""What a stage tells the listener about its connection: one line on the slot's pipe, for couriertcpd's status.

The pipe is there to hang up when the connection is over; what lies in it changes nothing about that.  Nobody is woken
by a note: it waits in the pipe until somebody asks the listener for its status.  Whoever has taken over a stage can
write there too, so a note is a claim: it is read within narrow bounds, shown to the administrator, and decides nothing.

A line is NAME=VALUE fields with tabs between; the newest whole line of a slot counts, older ones do not.
"""

from __future__ import annotations

import os
import stat

from couriertcpd import environ, log

VARIABLE = "COURIER_SLOT"  # DESCRIPTOR:INODE of the slot's pipe; both, so that no other open file is taken for it

MAX_LINE = 512  # octets with the line end; less than PIPE_BUF, so that a line is written whole or not at all
MAX_VALUE = 256  # octets of one value
PIPE_OCTETS = 65536  # what a pipe holds
TAIL_OCTETS = 4096  # of that, the newest that are looked at

_FIELDS = ("pid", "user", "protocol", "tls", "state")


def place(descriptor: int, known_there: int) -> bytes:
    """The value of VARIABLE for a stage that finds the pipe of this descriptor under the number known_there."""
    return b"%d:%d" % (known_there, os.fstat(descriptor).st_ino)


def note(state: str, user: str = "", protocol: str = "", tls: bool = False) -> None:
    """Tell the listener what this process does for its client now; never waits, never raises, may be in vain."""
    descriptor = _slot()
    if descriptor is None:
        return
    try:
        os.write(descriptor, line(pid=str(os.getpid()), user=user, protocol=protocol, tls=str(int(tls)), state=state))
    except OSError:
        return  # nobody has read for long, or the listener has gone


def line(**fields: str) -> bytes:
    """A note as it is written: at most MAX_LINE octets; a value that is too long is cut."""
    named = (
        f"{name}=".encode() + log.printable(value).encode("utf-8", "replace")[:MAX_VALUE]
        for name, value in fields.items()
    )
    return b"\t".join(named)[: MAX_LINE - 1] + b"\n"


def parse(octets: bytes) -> dict[str, str] | None:
    """The fields of a line without its line end; None unless it is exactly what line() makes."""
    if len(octets) >= MAX_LINE:
        return None
    fields = {}
    for item in octets.split(b"\t"):
        name, equals, value = item.decode("utf-8", "ignore").partition("=")
        if not equals or name not in _FIELDS or name in fields or log.printable(value) != value:
            return None
        fields[name] = value
    plausible = _number(fields.get("pid", "")) is not None and fields.get("tls") in ("0", "1")
    return fields if plausible and fields.get("state") else None


class Told:
    """What the stages of one slot have told: the fields of the newest good note, and how many were no good."""

    __slots__ = ("bad", "fields")

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.bad = 0

    def look(self, read_end: int) -> None:
        """Empty the slot's pipe, whose descriptor read_end does not block, and look at the end of what lay in it."""
        try:
            *lines, rest = os.read(read_end, PIPE_OCTETS)[-TAIL_OCTETS:].split(b"\n")
        except OSError:
            return  # nothing new
        self.bad += bool(rest)  # a note is written whole
        for candidate in reversed(lines):
            fields = parse(candidate)
            if fields is not None:
                self.fields = fields
                return
            self.bad += 1


def _slot() -> int | None:
    """The slot's descriptor, if this process has it: not from a shell, and not behind a program that closed it."""
    number, _, inode = environ.text(VARIABLE).partition(":")
    descriptor = _number(number)
    if descriptor is None:
        return None
    try:
        known = os.fstat(descriptor)
    except (OSError, OverflowError):
        return None
    return descriptor if stat.S_ISFIFO(known.st_mode) and known.st_ino == _number(inode) else None


def _number(text: str) -> int | None:
    """A number as we write it: a few ASCII digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None
