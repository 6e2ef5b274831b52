"""Blocks of addresses as keys of an access database.

A lookup tries an address and then ever shorter prefixes of it: of IPv4 whole octets (`192.0.2.1`, `192.0.2`, `192.0`,
`192`), of IPv6 whole groups behind a colon (`:2001:0db8:...`, `:2001:0db8`).  A block that does not end on such a
border is written as all the longer prefixes it consists of.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

LIMIT = 65536  # keys that one line of an access file may become

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


class BadBlock(Exception):
    """The text is no block of addresses, or too large a one; says what to write instead."""


def is_block(text: str) -> bool:
    """True when the text is made like ADDRESS/BITS, ADDRESS-ADDRESS or an IPv6 address, right or wrong."""
    if set(text) - set("0123456789abcdefABCDEF:./-"):
        return False
    return "/" in text or "-" in text or _is_ipv6_address(text)


def keys(block: str, limit: int = LIMIT) -> list[str]:
    """The lookup keys that together cover the block and no other address, ascending.  Raises BadBlock."""
    networks = [_unmapped(network) for network in _networks(block)]
    needed = sum(1 << (_border(network) - network.prefixlen) for network in networks)
    if needed > limit:
        raise BadBlock(
            f"{block} needs {needed} keys, the limit is {limit}; name blocks that end on whole octets or groups"
        )
    return [_prefix(network) for aligned in networks for network in _aligned(aligned)]


def _networks(block: str) -> Iterable[Network]:
    try:
        if "-" in block:
            return list(_range(*(ipaddress.ip_address(end) for end in block.split("-", 1))))
        return [ipaddress.ip_network(block, strict=False)]
    except (ValueError, TypeError) as error:
        raise BadBlock(
            f"{block} is no block of addresses ({error}); write 192.0.2.0/24, 2001:db8::/32 or FIRST-LAST"
        ) from None


def _range(first: Address, last: Address) -> Iterable[Network]:
    # summarize_address_range refuses ends of different families or in the wrong order.
    return ipaddress.summarize_address_range(first, last)


def _unmapped(network: Network) -> Network:
    """IPv4 written as IPv6 (::ffff:192.0.2.0/120) becomes IPv4, as the lookup does with a client's address."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        packed = network.network_address.packed[12:]
        return ipaddress.IPv4Network((packed, network.prefixlen - 96))
    return network


def _step(network: Network) -> int:
    return 8 if network.version == 4 else 16


def _border(network: Network) -> int:
    """The length in bits of the keys for this network: its own, rounded up to whole octets or groups, never 0."""
    step = _step(network)
    return max(step, -(-network.prefixlen // step) * step)


def _aligned(network: Network) -> Iterable[Network]:
    return network.subnets(new_prefix=_border(network))


def _prefix(network: Network) -> str:
    length = network.prefixlen // _step(network)
    if network.version == 4:
        return ".".join(str(octet) for octet in network.network_address.packed[:length])
    return ":" + ":".join(network.network_address.exploded.split(":")[:length])


def _is_ipv6_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
