"""The PROXY protocol, versions 1 and 2: who really connected, said by a proxy in front of us.

Sans-IO.  The receiver is shown what waits in the socket and says how many octets of that belong to the header, so that
not one octet of what follows (a TLS handshake, say) is taken.  The specification is HAProxy's proxy-protocol.txt.
"""

from dataclasses import dataclass

from couriertcpd import addresses

V1_START = b"PROXY "
V2_START = b"\r\n\r\n\0\r\nQUIT\n"

MAX_V1_OCTETS = 255  # of the original; the specification needs 107

_V2_FIXED = 16  # signature, version and command, family, length
_V2_FAMILIES = {0x11: 4, 0x21: 16}  # TCP over IPv4 and over IPv6: octets in an address
_V2_LONGEST_USED = 36  # two IPv6 addresses and two ports; anything behind them is skipped and never kept


class BadHeader(Exception):
    """The client's first octets are no PROXY header; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """Source and destination as the proxy saw them, addresses as 16 octets."""

    source: bytes
    source_port: int
    destination: bytes
    destination_port: int


class Receiver:
    """Collects one header.

    `done` turns true when it is complete; then `proxied` tells the addresses, or is None when the header says that the
    connection's own addresses hold (PROXY UNKNOWN, the LOCAL command, and families other than TCP).
    """

    __slots__ = ("_kept", "_skip", "done", "proxied")

    def __init__(self) -> None:
        self.done = False
        self.proxied: Proxied | None = None
        self._kept = b""
        self._skip = 0

    @property
    def begun(self) -> bool:
        """True when the client has sent anything at all; a proxy that only looks whether we are there does not."""
        return bool(self._kept)

    def take(self, data: bytes) -> int:
        """Take what belongs to the header from the front of data; returns how many octets.  Raises BadHeader."""
        taken = 0
        while taken < len(data) and not self.done:
            taken += self._step(data[taken:])
        return taken

    def _step(self, data: bytes) -> int:
        """Take at least one octet of data, which is not empty."""
        if self._skip:
            return self._skipped(data)
        start = self._kept[: len(V2_START)]
        if start == V2_START[: len(start)] and (start or data[:1] == V2_START[:1]):
            return self._step_v2(data)
        return self._step_v1(data)

    def _step_v1(self, data: bytes) -> int:
        line, newline, _ = data[: MAX_V1_OCTETS - len(self._kept)].partition(b"\n")
        self._kept += line + newline
        if self._kept[: len(V1_START)] != V1_START[: len(self._kept)]:
            raise BadHeader("missing PROXY statement")
        if newline:
            self.proxied = _v1(self._kept)
            self.done = True
        elif len(self._kept) >= MAX_V1_OCTETS:
            raise BadHeader("malformed PROXY statement")
        return len(line) + len(newline)

    def _step_v2(self, data: bytes) -> int:
        part = data[: self._v2_needed() - len(self._kept)]
        self._kept += part
        if self._kept[: len(V2_START)] != V2_START[: len(self._kept)]:
            raise BadHeader("missing PROXY statement")
        if len(self._kept) >= _V2_FIXED and len(self._kept) == self._v2_needed():
            self.proxied = _v2(self._kept)
            self._skip = _V2_FIXED + _v2_length(self._kept) - len(self._kept)
            self.done = not self._skip
        return len(part)

    def _v2_needed(self) -> int:
        """How many octets are worth keeping, as far as that is known."""
        if len(self._kept) < _V2_FIXED:
            return _V2_FIXED
        return _V2_FIXED + min(_v2_length(self._kept), _V2_LONGEST_USED)

    def _skipped(self, data: bytes) -> int:
        count = min(self._skip, len(data))
        self._skip -= count
        self.done = not self._skip
        return count


def _v1(line: bytes) -> Proxied | None:
    words = line.removesuffix(b"\n").removesuffix(b"\r").decode("ascii", "replace").split(" ")
    if len(words) < 2 or words[1] == "":
        raise BadHeader("malformed PROXY statement")
    if words[1] == "UNKNOWN":
        return None
    if words[1] not in ("TCP4", "TCP6"):
        raise BadHeader(f"unknown protocol: {words[1]}")
    if len(words) != 6:
        raise BadHeader("malformed PROXY statement")
    try:
        source, destination = addresses.packed(words[2]), addresses.packed(words[3])
        return Proxied(source, _port(words[4]), destination, _port(words[5]))
    except ValueError as error:
        raise BadHeader("malformed PROXY statement") from error


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 5 and int(word) <= 65535):
        raise ValueError(word)
    return int(word)


def _v2_length(header: bytes) -> int:
    return int.from_bytes(header[14:16], "big")


def _v2(header: bytes) -> Proxied | None:
    """Read a version 2 header; a wrong version or command, or too little room for the addresses, is malformed."""
    version, command = header[12] >> 4, header[12] & 15
    if version != 2 or command not in (0, 1):
        raise BadHeader("malformed PROXY statement")
    octets = _V2_FAMILIES.get(header[13])
    if command == 0 or octets is None:
        return None
    body = header[_V2_FIXED:]
    if len(body) < 2 * octets + 4:
        raise BadHeader("malformed PROXY statement")
    source, destination = (_mapped(body[at : at + octets]) for at in (0, octets))
    ports = [int.from_bytes(body[at : at + 2], "big") for at in (2 * octets, 2 * octets + 2)]
    return Proxied(source, ports[0], destination, ports[1])


def _mapped(address: bytes) -> bytes:
    return address if len(address) == 16 else bytes(10) + b"\xff\xff" + address
