"""Sessions that change one mailbox at once; for longer, `python -m tests.faults.concurrent`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.concurrent import bazaar
from tests.peers.programs import Missing

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.usefixtures("patient"),
]


def test_twenty_sessions(scratch: Path) -> None:
    with bazaar(scratch, seed=1, sessions=20) as mailbox:
        mailbox.run(lambda: mailbox.done.total() > 1500)
    assert mailbox.truth.gone


def test_with_a_delivery_agent(scratch: Path) -> None:
    with bazaar(scratch, seed=2, sessions=8, deliver=True) as mailbox:
        mailbox.run(lambda: mailbox.done.total() > 1000)
    assert mailbox.delivered & set(mailbox.truth.tokens.values())


def test_beside_the_original(tmp_path: Path) -> None:
    try:
        with bazaar(tmp_path, seed=3, sessions=3, deliver=True, peers=2) as mailbox:
            mailbox.run(lambda: mailbox.done.total() > 500)
    except Missing as reason:
        pytest.skip(str(reason))
