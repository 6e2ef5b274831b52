"""Message-IDs as threading compares them."""

import pytest

from maildir.messageids import MAX_ID, MAX_LINEAGE, lineage, own


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, b""),
        (b"", b""),
        (b"a@b", b""),
        (b"<a@b>", b"a@b"),
        (b" <a@b> (comment) <c@d>", b"a@b"),
        (b'<"a"@b>', b"a@b"),
        (b'<"a\\"c"@b>', b'ac@b'),
        (b"<a @\tb>", b"a@b"),
        (b"<>", b""),
        (b"<<a@b>", b"a@b"),
        (b"<A@b>", b"A@b"),
        (b"<" + b"x" * (MAX_ID + 1) + b">", b""),
    ],
)
def test_own(value, found):
    assert own(value) == found


def test_lineage_is_that_of_references():
    assert lineage(b"<a@b>\t<c@d> junk <e@f>", b"<x@y>") == [b"a@b", b"c@d", b"e@f"]


@pytest.mark.parametrize("references", [None, b"", b"none", b"<>"])
def test_without_references_in_reply_to_names_the_parent(references):
    assert lineage(references, b"Message of Monday from <Sam> <a@b> <c@d>") == [b"a@b"]
    assert lineage(references, None) == []
    assert lineage(references, b"yesterday") == []


def test_of_too_many_the_last_are_kept():
    ids = [b"%d@example.com" % number for number in range(5000)]
    kept = lineage(b"".join(b"<%s>\n\t" % name for name in ids), None)
    assert kept == ids[-len(kept) :]
    assert MAX_LINEAGE - 100 < len(b" ".join(kept)) <= MAX_LINEAGE


@pytest.mark.parametrize("piece", [b"<", b"<a", b'<"', b"<a@", b"@", b"<>", b"< "])
def test_bad_ones_take_no_time(piece):
    own(piece * 300_000)
    lineage(piece * 300_000, piece * 300_000)
