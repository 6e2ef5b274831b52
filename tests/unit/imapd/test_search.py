"""How the text of a search key is looked for."""

import re

import pytest

from imapd.search import holds


@pytest.mark.parametrize("words", ["", "a", "a b", "b", "ab", "b a", "ss", "a ss", "c"])
@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "A B", "a\r\n\tb", "a  b c", "ab", "a\xa0b", "a\u3000\x1c\x85b", "a\u200bb", "a ß", "b", "a,b"],
)
def test_case_and_the_kind_of_blanks_do_not_count(text, words):
    assert holds(text, words.split()) == (words in re.sub(r"\s+", " ", text).casefold())


def test_words_in_another_order_or_apart_are_not_held():
    assert not holds("garden kitchen", ["kitchen", "garden"])
    assert not holds("kitchen or garden", ["kitchen", "garden"])
    assert holds("kitchens\ngarden", ["s", "gard"])
