"""The original's couriertcpd serves the same connections as ours in the scenes of tests/clients, and logs the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.clients import limits
from tests.peers.programs import Courier, Place

Start = Callable[..., AbstractContextManager[Courier]]


@pytest.fixture
def start(place: Place, courier: Courier) -> Start:
    """Starts a C chain with options for its couriertcpd and ends it; it has a log of its own."""

    @contextmanager
    def started(*options: str) -> Iterator[Courier]:
        chain = Courier(place, auth=courier.auth)
        chain.log = chain.work / ("limits" + "".join(options).replace("/", "-"))
        source = chain.configuration / "limits"
        source.write_text(limits.ACCESS)
        built = chain.cell.run(
            ["makedat.courier", "-src=/etc/courier/limits", "-file=/etc/courier/limits.dat", "-tmp=/etc/courier/tmp"]
        )
        assert built.returncode == 0, built.stderr
        chain.start_imap(*options)
        try:
            yield chain
        finally:
            chain.stop()

    return started


def _lines(chain: Courier) -> Counter[str]:
    return limits.lines(chain.log.read_text("utf-8"))


def test_per_address_and_access_file(start: Start) -> None:
    with start("-maxprocs=250", "-maxperip=2", "-access=/etc/courier/limits.dat") as chain:
        limits.per_address(chain.port)
        assert _lines(chain) == limits.PER_ADDRESS_LINES


def test_per_block(start: Start) -> None:
    with start("-maxprocs=250", "-maxperip=250", "-maxperc=60") as chain:
        limits.per_block(chain.port)
        assert not _lines(chain)


def test_in_all(start: Start) -> None:
    with start("-maxprocs=30", "-maxperip=250") as chain:
        limits.in_all(chain.port)
        assert _lines(chain) == {"ALERT: 30 maximum active connections.": 1, "WARN: 26 active connections.": 1}
