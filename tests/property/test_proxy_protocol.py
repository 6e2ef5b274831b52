import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couriertcpd import addresses
from couriertcpd.proxy_protocol import MAX_V1_OCTETS, V2_START, BadHeader, Proxied, Receiver

PORTS = st.integers(0, 65535)
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)
ADDRESSES = st.one_of(st.tuples(IPV4, IPV4), st.tuples(IPV6, IPV6))


def v1(source: str, destination: str, source_port: int, destination_port: int) -> bytes:
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {source_port} {destination_port}\r\n".encode()


def v2(
    source: str, destination: str, source_port: int, destination_port: int, command: int = 1, tlv: bytes = b""
) -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    body = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
    body += source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big") + tlv
    kind = 0x21 if family == socket.AF_INET6 else 0x11
    return V2_START + bytes([0x20 | command, kind]) + len(body).to_bytes(2, "big") + body


def deliver(stream: bytes, cuts: list[int]) -> tuple[Receiver, int]:
    """Show the receiver the stream in pieces, as a socket would: what it does not take it sees again."""
    receiver, taken, seen = Receiver(), 0, 0
    for cut in [*sorted(cuts), len(stream)]:
        seen = max(seen, min(cut, len(stream)))
        while not receiver.done and taken < seen:
            taken += receiver.take(stream[taken:seen])
    return receiver, taken


CUTS = st.lists(st.integers(0, 400), max_size=12)


@given(ADDRESSES, PORTS, PORTS, CUTS, st.binary(max_size=60))
def test_v1_in_any_chunks(ends: tuple[str, str], here: int, there: int, cuts: list[int], rest: bytes) -> None:
    header = v1(*ends, here, there)
    receiver, taken = deliver(header + rest, cuts)
    assert receiver.done
    assert taken == len(header)
    assert receiver.proxied == Proxied(addresses.packed(ends[0]), here, addresses.packed(ends[1]), there)


@given(ADDRESSES, PORTS, PORTS, CUTS, st.binary(max_size=300), st.binary(max_size=60))
def test_v2_in_any_chunks(
    ends: tuple[str, str], here: int, there: int, cuts: list[int], tlv: bytes, rest: bytes
) -> None:
    header = v2(*ends, here, there, tlv=tlv)
    receiver, taken = deliver(header + rest, cuts)
    assert receiver.done
    assert taken == len(header)
    assert receiver.proxied == Proxied(addresses.packed(ends[0]), here, addresses.packed(ends[1]), there)


@given(ADDRESSES, CUTS, st.binary(max_size=300))
def test_the_local_command_keeps_the_real_address(ends: tuple[str, str], cuts: list[int], tlv: bytes) -> None:
    header = v2(*ends, 1, 2, command=0, tlv=tlv)
    receiver, taken = deliver(header + b"rest", cuts)
    assert receiver.done
    assert receiver.proxied is None
    assert taken == len(header)


@given(st.sampled_from([b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"]), CUTS)
def test_unknown_keeps_the_real_address(header: bytes, cuts: list[int]) -> None:
    receiver, taken = deliver(header + b"a001 NOOP\r\n", cuts)
    assert receiver.done
    assert receiver.proxied is None
    assert taken == len(header)


@given(st.binary(max_size=400), CUTS)
def test_whatever_comes_is_taken_or_refused(stream: bytes, cuts: list[int]) -> None:
    try:
        receiver, taken = deliver(stream, cuts)
    except BadHeader:
        return
    assert receiver.done or taken == len(stream)


@given(st.sampled_from([b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"]), st.binary(max_size=80), CUTS)
def test_whatever_follows_a_start_is_the_same_in_one_piece_and_in_many(
    start: bytes, rest: bytes, cuts: list[int]
) -> None:
    def outcome(where: list[int]) -> object:
        try:
            receiver, taken = deliver(start + rest, where)
        except BadHeader as error:
            return str(error)
        return receiver.done, receiver.proxied, taken

    assert outcome(cuts) == outcome([])


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"a001 LOGIN x y\r\n", "missing PROXY statement"),
        (b"\x16\x03\x01\x02\x00", "missing PROXY statement"),
        (b"\r\n\r\nhello", "missing PROXY statement"),
        (b"PROXY\r\n", "missing PROXY statement"),
        (b"PROXY \r\n", "malformed PROXY statement"),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", "unknown protocol: UDP4"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "malformed PROXY statement"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "malformed PROXY statement"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n", "malformed PROXY statement"),
        (b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "malformed PROXY statement"),
        (b"PROXY TCP4 \xff 5.6.7.8 1 2\r\n", "malformed PROXY statement"),
        (b"PROXY " + b"x" * 300, "malformed PROXY statement"),
        (V2_START + b"\x31\x11\x00\x0c" + bytes(12), "malformed PROXY statement"),
        (V2_START + b"\x22\x11\x00\x0c" + bytes(12), "malformed PROXY statement"),
        (V2_START + b"\x21\x11\x00\x0b" + bytes(11), "malformed PROXY statement"),
        (V2_START + b"\x21\x21\x00\x0c" + bytes(12), "malformed PROXY statement"),
    ],
)
def test_refused(stream: bytes, reason: str) -> None:
    with pytest.raises(BadHeader) as caught:
        deliver(stream, [1, 5, 13, 20])
    assert str(caught.value) == reason


def test_a_line_without_end_is_cut_off() -> None:
    receiver = Receiver()
    assert receiver.take(b"PROXY " + b"x" * (MAX_V1_OCTETS - 7)) == MAX_V1_OCTETS - 1
    with pytest.raises(BadHeader):
        receiver.take(b"x")


def test_the_longest_v2_header_is_skipped_not_kept() -> None:
    header = V2_START + b"\x21\x11\xff\xff" + bytes(65535)
    receiver, taken = deliver(header + b"rest", list(range(0, 65535, 4096)))
    assert receiver.done
    assert taken == len(header)
    assert len(receiver._kept) < 64
