"""RFC 5256 section 2.1: what is left of a subject; RFC 5051: in which order texts stand."""

import sys
import unicodedata

import pytest

from maildir.basesubject import MAX_SUBJECT, base_subject, collation_key


@pytest.mark.parametrize(
    ("subject", "base", "is_answer"),
    [
        ("", "", False),
        ("   ", "", False),
        ("Lunch", "Lunch", False),
        ("  Lunch\t at \r\n noon ", "Lunch at noon", False),
        ("Re: Lunch", "Lunch", True),
        ("RE : re:Fw:FWD: Lunch", "Lunch", True),
        ("Re[2]: Lunch", "Lunch", True),
        ("Re [a b] : Lunch", "Lunch", True),
        ("Re[1][2]: Lunch", "Re[1][2]: Lunch", False),
        ("[list] Lunch", "Lunch", False),
        ("[list][other] Re: [third] Lunch", "Lunch", True),
        ("[list]", "[list]", False),
        ("[list] ", "[list]", False),
        ("[a] [b]", "[b]", False),
        ("[a] Re:", "", True),
        ("Re: [list]", "[list]", True),
        ("[no [nesting] Lunch", "[no [nesting] Lunch", False),
        ("Lunch (fwd)", "Lunch", True),
        ("Lunch(FWD) (fwd)  ", "Lunch", True),
        ("(fwd)", "", True),
        ("[Fwd: Lunch]", "Lunch", True),
        ("[fwd: [FWD: Re: Lunch (fwd)]]", "Lunch", True),
        ("[fwd: Lunch] again", "again", False),
        ("[fwd:]", "", True),
        ("Reply: Lunch", "Reply: Lunch", False),
        ("Forward: Lunch", "Forward: Lunch", False),
        ("Re Lunch", "Re Lunch", False),
        ("F: Lunch", "F: Lunch", False),
        ("Réunion", "Réunion", False),
        ("Re\uff1a Lunch", "Re\uff1a Lunch", False),
    ],
)
def test_base_subjects(subject, base, is_answer):
    assert base_subject(subject) == (base, is_answer)


@pytest.mark.parametrize("piece", ["[a]", "[a] ", "re:", "(fwd)", "[fwd:", "[", "re[a]", "[a]re", "re[", " ", "[]"])
def test_long_ones_take_no_time_and_are_cut(piece):
    base, _ = base_subject(piece * 100_000)
    assert len(base) <= MAX_SUBJECT
    assert base_subject("Re: " + "x" * 5000) == ("x" * (MAX_SUBJECT - 4), True)


def test_ascii_collates_in_upper_case():
    assert collation_key("a_b[Z") == b"A_B[Z"
    assert sorted(["b", "A", "a", "_", "B"], key=collation_key) == ["A", "a", "b", "B", "_"]


def test_letters_of_any_case_and_composition_are_equal():
    assert collation_key("\u00e9") == collation_key("E\u0301") == "E\u0301".encode()
    assert collation_key("stra\u00dfe") == "STRA\u00dfE".encode()
    assert collation_key("\u01c6") == collation_key("\u01c4") == collation_key("\u01c5")


def test_every_letter_collates_as_its_simple_title_case():
    for sign in map(chr, range(128, sys.maxunicode + 1)):
        title = sign.title() if len(sign.title()) == 1 else sign
        wanted = unicodedata.normalize("NFKD", title).encode("utf-8", "surrogatepass")
        assert collation_key(sign) == wanted, hex(ord(sign))
