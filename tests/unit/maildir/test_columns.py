import pytest

from maildir import columns
from maildir.columns import SPAN, Damaged

SEAL = columns.seal(b"ENVELOPE", 3)


def full(**values: bytes) -> list[bytes | None]:
    found: list[bytes | None] = [None] * SPAN
    for slot, value in values.items():
        found[int(slot[1:])] = value
    return found


def test_a_block_gives_back_what_was_put_in() -> None:
    values = full(_0=b"first", _1=b"", _64=b"x" * 20000, _127=b"\0last")
    assert columns.decode(columns.encode(values, SEAL), SEAL) == values


def test_an_empty_block() -> None:
    assert columns.decode(columns.encode([None] * SPAN, SEAL), SEAL) == [None] * SPAN


def test_the_lengths_are_little_endian_on_any_machine() -> None:
    block = columns.encode(full(_0=b"abc"), SEAL)
    assert block[4:12] == b"\3\0\0\0\xff\xff\xff\xff"


def test_merging_changes_some_values_and_takes_others_away() -> None:
    block = columns.encode(full(_1=b"one", _2=b"two", _3=b"three"), SEAL)
    assert columns.decode(columns.merge(block, SEAL, {2: None, 3: b"drei", 4: b"vier"}), SEAL) == full(
        _1=b"one", _3=b"drei", _4=b"vier"
    )
    assert columns.decode(columns.merge(None, SEAL, {5: b"five"}), SEAL) == full(_5=b"five")


@pytest.mark.parametrize("place", [0, 3, 4, 100, 515, 516, 520])
def test_an_octet_that_differs_is_noticed(place: int) -> None:
    block = bytearray(columns.encode(full(_1=b"value"), SEAL))
    block[place] ^= 1
    with pytest.raises(Damaged):
        columns.decode(bytes(block), SEAL)


def test_a_block_that_is_cut_off_or_goes_on_is_noticed() -> None:
    block = columns.encode(full(_1=b"value"), SEAL)
    for wrong in (b"", block[:3], block[:-1], block + b"x", block[:516]):
        with pytest.raises(Damaged):
            columns.decode(wrong, SEAL)


def test_a_block_of_another_place_is_noticed() -> None:
    block = columns.encode([None] * SPAN, SEAL)
    for kind, number in ((b"ENVELOPE", 4), (b"ENVELOPE", 0), (b"BODY", 3), (b"3", 3), (b"", 3)):
        with pytest.raises(Damaged):
            columns.decode(block, columns.seal(kind, number))


@pytest.mark.parametrize("wrong", [None, 7, 1.5, "x" * 600])
def test_what_is_no_octets_is_noticed(wrong) -> None:
    with pytest.raises(Damaged):
        columns.decode(wrong, SEAL)
