"""Descriptors on their way between processes: four arrive, closed on exec, and no others stay open."""

import os
import socket
from collections.abc import Iterator

import pytest

from couriertcpd import handover
from couriertcpd.handover import Arrival, BadFrame, Frame

FRAME = handover.encode(Frame([b"prog", b"\xff"], {b"A": b"1"}, b"ticket\0"))

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender, receiver:
        yield sender, receiver


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def received(pair: Pair) -> Arrival:
    arrival = handover.receive(pair[1])
    assert arrival is not None
    return arrival


def test_a_hand_over(pair: Pair, pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    before = open_descriptors()
    handover.send(pair[0], FRAME, (read_end, write_end, write_end, write_end))
    arrival = received(pair)
    assert (arrival.argv, arrival.environment, arrival.ticket) == (["prog", "\udcff"], {b"A": b"1"}, b"ticket\0")
    assert not any(os.get_inheritable(number) for number in arrival.descriptors)
    inodes = [os.fstat(number).st_ino for number in arrival.descriptors]
    assert inodes == [os.fstat(read_end).st_ino] * 4
    os.write(arrival.descriptors[3], b"x")
    assert os.read(arrival.descriptors[0], 9) == b"x"
    handover.close(arrival.descriptors)
    assert open_descriptors() == before


def test_one_after_the_other_and_then_the_end(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):
        handover.receive(pair[1])
    for _ in range(2):
        handover.send(pair[0], FRAME, (0, 1, 2, 2))
    pair[0].close()
    for _ in range(2):
        handover.close(received(pair).descriptors)
    assert handover.receive(pair[1]) is None


@pytest.mark.parametrize("count", [0, 3, 5, 8, 40])
def test_another_number_of_descriptors_is_refused_and_none_stays_open(pair: Pair, count: int) -> None:
    before = open_descriptors()
    handover.send(pair[0], FRAME, [2] * count)
    with pytest.raises(BadFrame):
        handover.receive(pair[1])
    assert open_descriptors() == before


@pytest.mark.parametrize("octets", [b"", b"nonsense", FRAME[:-1], FRAME + b"\0" * handover.MAX_FRAME])
def test_a_frame_that_is_none_is_refused_and_no_descriptor_stays_open(pair: Pair, octets: bytes) -> None:
    before = open_descriptors()
    handover.send(pair[0], octets, (2, 2, 2, 2))
    with pytest.raises(BadFrame):
        handover.receive(pair[1])
    assert open_descriptors() == before


def test_a_full_queue_is_told_and_nothing_blocks(pair: Pair) -> None:
    with pytest.raises(BlockingIOError):  # noqa: PT012
        while True:
            handover.send(pair[0], FRAME, (2, 2, 2, 2))
    assert pair[0].getblocking()
