"""One message's octets, and what is asked about them, worked out when it is asked for and once.

Message(octets, header)    bytes, or an mmap of the file; its header, where that is known
    .octets                as on disk
    .header                rfc822.Header of the message (needs no tree)
    .tree                  rfc2045.Part, the root
    .line_ends             lineends.LineEnds
    .wire_octets           RFC822.SIZE
"""

from __future__ import annotations

from maildir import rfc822, rfc2045
from maildir.lineends import LineEnds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from maildir.lineends import Octets
    from maildir.rfc822 import Header
    from maildir.rfc2045 import Part


class Message:
    """See the module."""

    __slots__ = ("_header", "_tree", "line_ends", "octets")

    def __init__(self, octets: Octets, header: Header | None = None) -> None:
        self.octets = octets
        self.line_ends = LineEnds(octets)
        self._header = header
        self._tree: Part | None = None

    @property
    def header(self) -> Header:
        """The header of the message."""
        if self._header is None:
            self._header = rfc822.scan(self.octets)
        return self._header

    @property
    def tree(self) -> Part:
        """The message as a tree of MIME parts."""
        if self._tree is None:
            self._tree = rfc2045.parse(self.octets, line_ends=self.line_ends)
            self._header = self._tree.header
        return self._tree

    @property
    def wire_octets(self) -> int:
        """The size on the wire of the whole (RFC822.SIZE)."""
        return self.line_ends.wire_octets(0, len(self.octets))
