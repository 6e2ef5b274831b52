"""Some dozen processes killed under load; for more, `python -m tests.faults.kill`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import kill, original
from tests.peers.programs import Missing

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.usefixtures("patient"),
]


@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_outlives_its_server(seed: int, scratch: Path) -> None:
    load = kill.run(36, seed, scratch)
    assert load.kills >= 36
    assert load.created
    assert len(load.inbox.tokens) > 20


def test_the_original_reads_what_is_left(scratch: Path) -> None:
    load = kill.run(24, 20, scratch)
    try:
        count = original.agrees(load.maildir, load.log, (kill.INBOX, kill.KEPT))
    except Missing as reason:
        pytest.skip(str(reason))
    assert count > 5
