"""The limits of couriertcpd before the whole chain: exactly the right connections are served."""

from __future__ import annotations

from pathlib import Path

import pytest
from chain import Chain

from tests.clients import limits

# The listener's limits are the same code in both forms, and before cheaper programs in tests/unit; here for each
# connection of the other form two interpreters would start.
pytestmark = pytest.mark.parametrize("chain", ["prefork"], indirect=True)


class Listening:
    """A couriertcpd of the test's own, and what it logs from now on."""

    def __init__(self, chain: Chain, *options: str) -> None:
        self.chain = chain
        self.begin = len(chain.log_text())
        self.listener = chain.listen(options)
        self.port = self.listener.port

    def __enter__(self) -> int:
        return self.port

    def __exit__(self, *problem: object) -> None:
        self.listener.process.terminate()
        self.listener.process.wait(120)

    def log(self) -> str:
        """What has been logged since it was started."""
        return self.chain.log_text()[self.begin :]


@pytest.fixture
def access(chain: Chain, tmp_path: Path) -> str:
    """The access database of limits.ACCESS."""
    source = tmp_path / "access"
    source.write_text(limits.ACCESS)
    chain.run("bin/makedat", f"-src={source}", f"-file={source}.dat", f"-tmp={source}.tmp", "-cidr")
    return f"{source}.dat"


def test_per_address_and_access_file(chain: Chain, access: str) -> None:
    listening = Listening(chain, "-maxperip=2", f"-access={access}")
    with listening as port:
        limits.per_address(port)
    assert limits.lines(listening.log()) == limits.PER_ADDRESS_LINES


def test_refused_are_told_why(chain: Chain) -> None:
    with Listening(chain, "-maxperip=1") as port, limits.Crowd(port) as crowd:
        assert limits.greeting(crowd.connect(1)).startswith(b"* OK ")
        assert limits.greeting(crowd.connect(1)).startswith(b"* BYE [LIMIT] ")
        assert limits.greeting(crowd.connect(2)).startswith(b"* OK ")


def test_per_block(chain: Chain) -> None:
    listening = Listening(chain, "-maxperc=60")
    with listening as port:
        limits.per_block(port)
    assert not limits.lines(listening.log())


def test_in_all(chain: Chain) -> None:
    listening = Listening(chain, "-maxprocs=30")
    with listening as port:
        limits.in_all(port)
    assert limits.lines(listening.log()) == {
        "ALERT: 30 maximum active connections.": 1,
        "WARN: 26 active connections.": 1,
    }
