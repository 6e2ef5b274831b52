"""Two hundred connections from fifty loopback addresses against the limits of a listener, and who is served.

The same scenes are played before our couriertcpd and, in tests/peers, before the original's.
"""

from __future__ import annotations

import re
import select
import socket
from collections import Counter
from types import TracebackType

ADDRESSES = 50
TIMES = 4
ACCESS = (
    "".join(f"127.0.1.{last}\tdeny\n" for last in range(1, 6))
    + "".join(f"127.0.1.{last}\tallow,MAXCPERIP=1\n" for last in range(6, 11))
    + "".join(f"127.0.1.{last}\tallow,MAXCPERIP=4\n" for last in range(11, 16))
)
# What a log filter of the original's knows of limits.
LINES = re.compile(
    r"ALERT: Maximum connection limit reached for \S+|(?:ALERT: \d+ maximum|WARN: \d+) active connections\."
)
_SECONDS = 60


class Crowd:
    """Connections to one port, from 127.0.1.1 to 127.0.1.50 in turn, and what became of them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections: list[tuple[str, socket.socket]] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, connection in self.connections:
            connection.close()

    def connect(self, last: int) -> socket.socket:
        """One more connection, from 127.0.1.last."""
        address = f"127.0.1.{last}"
        connection = socket.create_connection(("127.0.0.1", self.port), _SECONDS, (address, 0))
        self.connections.append((address, connection))
        return connection

    def served_one_by_one(self) -> Counter[str]:
        """Every address connects TIMES times, each connection after the fate of the one before is known.

        Gives how many each has that were greeted.
        """
        served: Counter[str] = Counter()
        for _ in range(TIMES):
            for last in range(1, ADDRESSES + 1):
                served[f"127.0.1.{last}"] += greeting(self.connect(last)).startswith(b"* OK")
        return +served


def greeting(connection: socket.socket) -> bytes:
    """The first octets from the server; none when it closes the connection."""
    try:
        return connection.recv(1000)
    except ConnectionResetError:
        return b""


def readable(connections: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Those on which something has come, or the end, waiting for the first for so long at most."""
    poll = select.poll()
    known = {connection.fileno(): connection for connection in connections}
    for descriptor in known:
        poll.register(descriptor, select.POLLIN)
    return [known[descriptor] for descriptor, _ in poll.poll(seconds * 1000)]


def lines(log: str) -> Counter[str]:
    """How often the log has each line of the original's about limits."""
    return Counter(LINES.findall(log))


def per_address(port: int) -> None:
    """-maxperip=2 with the access file ACCESS: each address has as many as it may, and no more."""
    with Crowd(port) as crowd:
        served = crowd.served_one_by_one()
    expected = {f"127.0.1.{last}": 1 if last < 11 else 4 if last < 16 else 2 for last in range(6, ADDRESSES + 1)}
    _same(served, expected)


def _same(served: Counter[str], expected: dict[str, int]) -> None:
    wrong = [
        f"{who}: {served[who]}, not {expected.get(who, 0)}"
        for who in sorted({*served, *expected})
        if served[who] != expected.get(who, 0)
    ]
    assert not wrong, f"served {'; '.join(wrong)}"


# By address: how many of its connections are over its limit.
PER_ADDRESS_LINES = Counter({
    f"ALERT: Maximum connection limit reached for ::ffff:127.0.1.{last}": 3 if last < 11 else 2
    for last in (*range(6, 11), *range(16, ADDRESSES + 1))
})  # fmt: skip


def per_block(port: int) -> None:
    """-maxperc=60: the first sixty of the /24 are served, whichever address of it they come from."""
    with Crowd(port) as crowd:
        served = crowd.served_one_by_one()
    _same(served, {f"127.0.1.{last}": 2 if last <= 10 else 1 for last in range(1, ADDRESSES + 1)})


def in_all(port: int) -> None:
    """-maxprocs=30: thirty are served; of the others one for each that ends, and none before."""
    with Crowd(port) as crowd:
        everyone = [crowd.connect(last) for _ in range(TIMES) for last in range(1, ADDRESSES + 1)]
        served = everyone[:30]
        waiting = everyone[30:]
        assert all(greeting(connection).startswith(b"* OK") for connection in served)
        for _ in range(10):
            assert not readable(waiting, 0)
            served.pop().close()
            (next_one,) = readable(waiting, _SECONDS)
            assert greeting(next_one).startswith(b"* OK")
            waiting.remove(next_one)
            served.append(next_one)
