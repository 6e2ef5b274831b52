"""What SORT and THREAD take."""

import pytest

from imapd.wire import sortkey
from imapd.wire.lexer import Arguments, Malformed


@pytest.mark.parametrize(
    ("sent", "criteria"),
    [
        (b"(date) utf-8 all", ((b"DATE", False),)),
        (b"(REVERSE DATE)UTF-8 ALL", ((b"DATE", True),)),
        (b"(SUBJECT REVERSE DATE) utf-8 ALL", ((b"SUBJECT", False), (b"DATE", True))),
        (b"( reverse reverse from TO  cc) utf-8 ALL", ((b"FROM", False), (b"TO", False), (b"CC", False))),
        (b"(SIZE REVERSE SIZE ARRIVAL) utf-8 ALL", ((b"SIZE", False), (b"ARRIVAL", False))),
    ],
)
def test_criteria(sent, criteria):
    assert sortkey.parse_sort(Arguments(sent)) == (criteria, sent[sent.find(b")") + 1 :].split()[0], (b"ALL",))


def test_keys_and_charset():
    sent = b'(DATE) "iso-8859-1" SUBJECT {1}\r\nx OR SEEN NEW'
    keys = (b"AND", [(b"SUBJECT", b"x"), (b"OR", (b"SEEN",), (b"NEW",))])
    assert sortkey.parse_sort(Arguments(sent)) == (((b"DATE", False),), b"iso-8859-1", keys)
    assert sortkey.parse_thread(Arguments(b"references utf-8 ALL")) == (b"REFERENCES", b"utf-8", (b"ALL",))
    assert sortkey.parse_thread(Arguments(b"OrderedSubject {5}\r\nutf-8 1"))[:2] == (b"ORDEREDSUBJECT", b"utf-8")


@pytest.mark.parametrize(
    "sent",
    [
        b"", b"()", b"() utf-8 ALL", b"DATE utf-8 ALL", b"(DATE utf-8 ALL", b"(REVERSE) utf-8 ALL",
        b"(DATE REVERSE) a ALL", b"(DISPLAYFROM) utf-8 ALL", b'("DATE") utf-8 ALL', b"(DATE) utf-8", b"(DATE)",
        b"((DATE)) utf-8 ALL", b"(DATE) utf-8 NOSUCH", b"(DATE) (ALL)",
    ],
)  # fmt: skip
def test_no_sort(sent):
    with pytest.raises(Malformed):
        sortkey.parse_sort(Arguments(sent))


@pytest.mark.parametrize("sent", [b"", b"REFERENCES", b"REFERENCES utf-8", b"REFS utf-8 ALL", b"(REFERENCES) a ALL"])
def test_no_thread(sent):
    with pytest.raises(Malformed):
        sortkey.parse_thread(Arguments(sent))


def test_criteria_are_bounded():
    assert len(sortkey.parse_sort(Arguments(b"(" + b"DATE " * sortkey.MAX_WORDS + b") utf-8 ALL"))[0]) == 1
    for word in (b"DATE ", b"REVERSE "):
        with pytest.raises(Malformed, match="sort criteria"):
            sortkey.parse_sort(Arguments(b"(" + word * (sortkey.MAX_WORDS + 1) + b"DATE) utf-8 ALL"))
