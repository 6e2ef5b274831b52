"""When a connection counts as left to processes that do not take it."""

from __future__ import annotations

import os

from couriertcpd.leftover import SECONDS, Watch


def test_a_connection_at_two_looks_that_nobody_took_any_between() -> None:
    read_end, write_end = os.pipe()
    watch = Watch(read_end, 0.0)
    looks = [SECONDS * number for number in range(1, 12)]
    assert not watch.finds(2, looks[0])  # there is none
    os.write(write_end, b"x")
    assert not watch.finds(2, looks[1])
    assert not watch.finds(2, looks[1] + SECONDS / 2)  # too early for a look
    assert watch.wait(looks[1] + SECONDS / 2) == SECONDS / 2
    assert watch.finds(2, looks[2])
    assert watch.finds(2, looks[3])  # still, or again
    watch.taken()
    assert not watch.finds(2, looks[4])  # it may be another one
    assert watch.finds(2, looks[5])
    assert not watch.finds(0, looks[6])  # nobody says to wait: others are on their way
    assert not watch.finds(2, looks[7])
    os.read(read_end, 1)
    assert not watch.finds(2, looks[8])
    for descriptor in (read_end, write_end):
        os.close(descriptor)
