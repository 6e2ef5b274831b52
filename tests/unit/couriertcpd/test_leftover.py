"""Connections that nobody takes."""

import socket
from collections.abc import Iterator

import pytest

from couriertcpd import leftover

LOOKS = [leftover.SECONDS * number for number in range(1, 9)]


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ends[0], ends[1]:
        yield ends


def test_one_that_is_there_at_two_looks_is_found(sockets) -> None:
    sender, receiver = sockets
    watch = leftover.Watch(receiver.fileno(), 0.0)
    assert [watch.finds(1, look) for look in LOOKS[:2]] == [False, False]
    sender.send(b"x")
    assert not watch.finds(1, LOOKS[1] + leftover.SECONDS / 2)  # no look is due
    assert watch.wait(LOOKS[1] + 1) == leftover.SECONDS - 1
    assert [watch.finds(1, look) for look in LOOKS[2:5]] == [False, True, True]
    receiver.recv(1)
    assert not watch.finds(1, LOOKS[5])


def test_without_anybody_who_waits_there_is_nothing_to_be_found(sockets) -> None:
    sockets[0].send(b"x")
    watch = leftover.Watch(sockets[1].fileno(), 0.0)
    assert [watch.finds(0, look) for look in LOOKS[:3]] == [False] * 3


def test_a_queue_that_moves_is_none(sockets) -> None:
    sockets[0].send(b"x")
    watch = leftover.Watch(sockets[1].fileno(), 0.0)
    for look in LOOKS:
        assert not watch.finds(1, look)
        watch.moves()
