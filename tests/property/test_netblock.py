"""An address is in a block if and only if one of the keys it is looked up under is in the block's expansion."""

import contextlib
import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from couriertcpd import access, netblock

FOUR, SIX = 2**32 - 1, 2**128 - 1


def lookup(address: netblock.Address) -> set[str]:
    """The keys of an address as couriertcpd sees it: 16 octets, IPv4 mapped."""
    packed = address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed
    return {key.decode("ascii") for key in access.remote_keys(packed)} - {"*"}


def make(version: int, number: int) -> netblock.Address:
    return ipaddress.IPv4Address(number) if version == 4 else ipaddress.IPv6Address(number)


@st.composite
def blocks_and_addresses(draw):
    """A network whose expansion is small, and an address in it, beside it, or anywhere."""
    version, top, bits, part = draw(st.sampled_from([(4, FOUR, 32, 8), (6, SIX, 128, 16)]))
    prefix = draw(st.integers(1, bits // part)) * part - draw(st.integers(0, 7))  # at most 128 keys
    number = draw(st.integers(0, top))
    network = ipaddress.ip_network((make(version, number).packed, prefix), strict=False)
    first, last = int(network.network_address), int(network.broadcast_address)
    inside = st.integers(first, last)
    beside = st.sampled_from([max(first - 1, 0), first, last, min(last + 1, top)])
    return network, make(version, draw(st.one_of(inside, beside, st.integers(0, top))))


def plain(address: netblock.Address) -> bool:
    """Not IPv4 in IPv6's clothes, which the lookup takes for IPv4."""
    return address.version == 4 or address.ipv4_mapped is None


@given(blocks_and_addresses())
def test_networks(case) -> None:
    network, address = case
    assume(plain(address))
    keys = set(netblock.keys(str(network)))
    assert bool(keys & lookup(address)) == (address in network)


@given(st.data())
def test_ranges(data) -> None:
    version, top = data.draw(st.sampled_from([(4, FOUR), (6, SIX)]))
    first = data.draw(st.integers(0, top))
    last = min(top, first + data.draw(st.integers(0, 5000)))
    near = st.integers(max(first - 300, 0), min(last + 300, top))
    address = make(version, data.draw(near))
    assume(plain(address) and plain(make(version, first)) and plain(make(version, last)))
    keys = netblock.keys(f"{make(version, first)}-{make(version, last)}")
    assert len(keys) == len(set(keys))
    assert bool(set(keys) & lookup(address)) == (first <= int(address) <= last)


@given(st.integers(0, FOUR), st.integers(0, 32), st.integers(0, FOUR))
def test_mapped_ipv4_networks(number, bits, other) -> None:
    mapped = ipaddress.ip_network(f"::ffff:{ipaddress.IPv4Address(number)}/{96 + bits}", strict=False)
    network = ipaddress.ip_network((number, bits), strict=False)
    address = ipaddress.IPv4Address(other)
    keys = set(netblock.keys(str(mapped)))
    assert bool(keys & lookup(address)) == (address in network)


def test_cap() -> None:
    assert len(netblock.keys("::/0")) == netblock.LIMIT
    assert len(netblock.keys("10.0.0.0/9", limit=128)) == 128
    with pytest.raises(netblock.BadBlock, match="needs 128 keys, the limit is 127"):
        netblock.keys("10.0.0.0/9", limit=127)


@given(st.text(alphabet="0123456789abcdef.:/-", max_size=30))
def test_any_text_is_a_block_or_refused(text) -> None:
    if netblock.is_block(text):
        with contextlib.suppress(netblock.BadBlock):
            assert 0 < len(netblock.keys(text, limit=300)) <= 300
