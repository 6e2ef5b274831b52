"""Looking for a text in a whole column of the index at once."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from maildir import columns
from maildir.columns import SPAN, Damaged, Values
from maildir.index import Index
from maildir.storedview import Reading

_VALUES = some.lists(some.sampled_from([None, b"", b"a\n", b"ab\n", b"b\na\n", b"aab\n", b"\n"]), max_size=SPAN)


@given(_VALUES, some.sampled_from([b"a", b"b", b"ab", b"\n", b"b\n", b"c"]))
def test_a_block_is_looked_through_as_its_values_are(values: Values, text: bytes) -> None:
    block = columns.encode(values + [None] * (SPAN - len(values)), 0)
    held = [slot for slot, value in enumerate(values) if value and text in value]
    absent = [slot for slot in range(SPAN) if slot >= len(values) or values[slot] is None]
    assert columns.holding(block, 0, text) == (held, absent)


def test_a_damaged_block_holds_nothing() -> None:
    block = columns.encode([b"a\n"] * SPAN, 0)
    for damaged in (b"", block[:100], block[:-1], block[:-2] + b"b\n"):
        with pytest.raises(Damaged):
            columns.holding(damaged, 0, b"b")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """Messages 1 to 300 and 1000 to 1100, of which every third has the text, and every seventh is not known."""
    uids = array("I", [*range(1, 301), *range(1000, 1101)])

    def blocks() -> Iterator[tuple[int, Values]]:
        for block in sorted({uid // SPAN for uid in uids}):
            yield block, [b"b%d" % uid if uid in uids else None for uid in range(block * SPAN, (block + 1) * SPAN)]

    made = Index(bytes(tmp_path))
    made.offer(Reading(7, 1101, uids, bytes(len(uids)), 0, b"marks", b"", blocks, dict))
    for uid in uids:
        if uid % 7:
            made.remember(b"~subject", uid, b"text\n" if uid % 3 == 0 else b"other\n")
    yield made
    made.close()


@pytest.mark.parametrize(
    "uids", [[], [1], [7], [500], range(1, 301), range(150, 1050), range(2000, 2100), [3, 4, 299, 1003, 1004]]
)
def test_positions_are_those_of_the_uids_that_were_asked_for(index: Index, uids: list[int]) -> None:
    there = [*range(1, 301), *range(1000, 1101)]
    held = [place for place, uid in enumerate(uids) if uid in there and uid % 7 and uid % 3 == 0]
    absent = [place for place, uid in enumerate(uids) if uid not in there or not uid % 7]
    assert index.holding(b"~subject", array("I", uids), b"tex") == (held, absent)
    assert index.holding(b"~from", array("I", uids), b"tex") == ([], list(range(len(uids))))


def test_without_an_index_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAP_INDEX", "off")
    assert Index(bytes(tmp_path)).holding(b"~subject", array("I", [1, 2]), b"tex") == ([], [0, 1])
