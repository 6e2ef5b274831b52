"""The original and ours take random steps on one maildir, in turn and at once; the long run is that of turns.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from tests.peers.atonce import AtOnce
from tests.peers.inturn import InTurn
from tests.peers.programs import Account, Courier, Missing, Place
from tests.peers.talk import Differ, Site

IN_TURN, AT_ONCE = 120, 100

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]


@pytest.fixture(scope="module")
def quiet_courier(place: Place) -> Courier:
    """The C programs, none of them started."""
    try:
        return Courier(place)
    except Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture
def site(place: Place, fresh_account: Callable[[], Account], quiet_courier: Courier) -> Iterator[Site]:
    with Site(place, fresh_account(), quiet_courier) as site:
        yield site


@pytest.mark.parametrize("seed", [1, 2])
def test_in_turn(site: Site, seed: int) -> None:
    run = InTurn(site, random.Random(seed), slow=0.3)
    run.run(IN_TURN)
    assert sum(run.counts.values()) == IN_TURN


def test_at_once(site: Site) -> None:
    run = AtOnce(site, random.Random(3))
    run.run(AT_ONCE)
    assert sum(run.counts.values()) + sum(run.refused.values()) == AT_ONCE
    assert sum(run.refused.values()) < AT_ONCE / 2


def test_a_difference_is_found(site: Site) -> None:
    run = InTurn(site, random.Random(4), slow=0)
    run.run(20)
    run.model[b"INBOX"].arrived.append((frozenset(), b"never sent"))
    with pytest.raises(Differ):
        run.run(1)
