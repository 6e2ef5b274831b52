"""Sessions that change one mailbox at once, for a few seconds; for longer, `python -m tests.faults.concurrent`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.concurrent import bazaar
from tests.peers.programs import Missing

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.usefixtures("patient"),
]

SECONDS = 4.0


def test_twenty_sessions(scratch: Path) -> None:
    with bazaar(scratch, seed=1, sessions=20) as mailbox:
        mailbox.run(SECONDS)
    assert mailbox.done.total() > 100
    assert mailbox.truth.gone


def test_with_a_delivery_agent(scratch: Path) -> None:
    with bazaar(scratch, seed=2, sessions=8, deliver=True) as mailbox:
        mailbox.run(SECONDS)
    assert mailbox.delivered & set(mailbox.truth.tokens.values())


def test_beside_the_original(tmp_path: Path) -> None:
    try:
        with bazaar(tmp_path, seed=3, sessions=3, deliver=True, peers=2) as mailbox:
            mailbox.run(SECONDS)
    except Missing as reason:
        pytest.skip(str(reason))
    assert mailbox.done.total() > 50
