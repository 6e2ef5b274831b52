"""Internet addresses as 16 octets: IPv6 as it is, IPv4 mapped into it, so that one comparison serves both.

The text form is the original's: an IPv4 peer is written ::ffff:192.0.2.1, which log filters and fail2ban know.
"""

import socket

_MAPPED = bytes(10) + b"\xff\xff"


def packed(text: str) -> bytes:
    """The 16 octets of an IPv4 or IPv6 literal; a scope (%eth0) is ignored.  Raises ValueError."""
    text = text.partition("%")[0]
    try:
        if ":" in text:
            return socket.inet_pton(socket.AF_INET6, text)
        return _MAPPED + socket.inet_pton(socket.AF_INET, text)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"Invalid IP address: {text}") from error


def written(address: bytes) -> str:
    """The text for logs and TCPREMOTEIP: always an IPv6 literal."""
    return socket.inet_ntop(socket.AF_INET6, address)


def is_ipv4(address: bytes) -> bool:
    """True for an IPv4 address in its mapped form."""
    return address.startswith(_MAPPED)


def native(address: bytes) -> str:
    """The literal of the address's own family: a dotted quad for IPv4."""
    return socket.inet_ntop(socket.AF_INET, address[12:]) if is_ipv4(address) else written(address)
