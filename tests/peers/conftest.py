"""The C Courier-IMAP and our installation on the same homes, started once for the tests of this folder.

Where the C programs cannot be had or run, the tests skip with the reason; ours must start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.corpus import generate
from tests.peers.ours import Ours
from tests.peers.programs import Account, Courier, Missing, Place

ACCOUNT = Account("kim@example.com", "open-sesame 1")


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    """The homes that both serve; kim's INBOX has forty messages and some folders."""
    place = Place([ACCOUNT, *(Account(f"user{number}@example.com") for number in range(30))])
    generate.fill(place.maildir(ACCOUNT), 40, seed=5, folders=True, max_octets=30_000)
    place.own_mail(place.maildir(ACCOUNT))
    yield place
    place.remove()


@pytest.fixture(scope="session")
def courier(place: Place) -> Iterator[Courier]:
    """The whole C chain."""
    try:
        courier = Courier(place)
        courier.__enter__()
    except Missing as reason:
        pytest.skip(str(reason))
    yield courier
    courier.stop()


@pytest.fixture(scope="session")
def ours(place: Place, courier: Courier) -> Iterator[Ours]:
    """Our whole chain; after the C one, so that nothing is installed where that is missing."""
    with Ours(place) as ours:
        yield ours


@pytest.fixture
def fresh_account(place: Place) -> Callable[[], Account]:
    """Gives an account whose mailbox no test has touched yet."""
    return lambda: next(account for account in place.accounts[1:] if not _used(place, account))


def _used(place: Place, account: Account) -> bool:
    mark = place.home(account) / "used-by-a-test"
    used = mark.exists()
    mark.touch()
    return used


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The C programs run in namespaces, which takes root."""
    for item in items:
        if "courier" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.root)
