"""Broken mail (tests/corpus/broken): what each NAME.eml answers is in NAME.expected, looked at and found good."""

from pathlib import Path

import pytest

from imapd import bodystructure, envelope
from maildir.message import Message

CORPUS = Path(__file__).parents[2] / "corpus" / "broken"
FILES = sorted(CORPUS.glob("*.eml"))


def test_the_corpus_is_there():
    assert len(FILES) >= 28


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_broken_mail_is_answered(path):
    message = Message(path.read_bytes())
    answer = b"RFC822.SIZE %d\nENVELOPE %b\nBODYSTRUCTURE %b\n" % (
        message.wire_octets,
        envelope.render(message.header),
        bodystructure.render(message.tree, extended=True),
    )
    assert answer == path.with_suffix(".expected").read_bytes()
