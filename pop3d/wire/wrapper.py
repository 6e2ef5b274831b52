"""A message in a message: for clients that have not said UTF8, around one with raw UTF-8 in a header (RFC 6856).

The original puts the message into another one that says why, and its users know the subject of that.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MESSAGE_TYPE = b"message/global"

_BEFORE = b"""\
From: Mail Delivery Subsystem <postmaster>
Subject: Cannot display Unicode content
Mime-Version: 1.0
Content-Type: multipart/mixed; boundary="%b"

--%b
Content-Type: text/plain

The header of this message holds characters that your mail program has not
asked for: it did not tell the server that it understands them (POP3 with
UTF-8, https://datatracker.ietf.org/doc/html/rfc6856).  Or whoever sent the
message has written the header in a way that mail does not allow.

The message as it came is attached, so that it can be saved and looked at.
A newer mail program may show it as it is meant.

--%b
Content-Type: %b

"""
_AFTER = b"\n--%b--\n"


class Wrapper:
    """What stands before and behind the message, as on disk."""

    __slots__ = ("after", "before")

    def __init__(self, boundary: bytes, message_type: bytes = MESSAGE_TYPE) -> None:
        self.before = _BEFORE % (boundary, boundary, boundary, message_type)
        self.after = _AFTER % boundary

    @property
    def wire_octets(self) -> int:
        """What it adds to the size."""
        octets = self.before + self.after
        return len(octets) + octets.count(b"\n")

    def around(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The whole of it, the message ended by a line end."""
        yield self.before
        last = b"\n"
        for piece in pieces:
            yield piece
            last = piece[-1:] or last
        yield self.after if last == b"\n" else b"\n" + self.after
