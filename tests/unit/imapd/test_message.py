"""A message of a view: for questions about its header no more is read of a large file than holds it."""

import os
from types import SimpleNamespace

import pytest

from imapd.feature import CONTENT, FILE, HEADER
from imapd.message import HEAD_OCTETS, Message
from maildir.folder import Folder

FIELD = b"Subject: a\n b\n"
FAR = b"X: " + b"x" * HEAD_OCTETS


@pytest.fixture
def message(tmp_path):
    """Make a folder of one message, and open that."""
    for name in ("cur", "new", "tmp"):
        (tmp_path / name).mkdir()

    def make(octets: bytes) -> Message:
        (tmp_path / "cur/1.a.b:2,").write_bytes(octets)
        folder = Folder(os.fsencode(tmp_path))
        return Message(SimpleNamespace(folder=folder, name=lambda index: b"1.a.b:2,", uids=[1], index=folder.index), 0)

    return make


@pytest.mark.parametrize(
    "octets",
    [
        FIELD + b"\n" + b"body\n" * HEAD_OCTETS,
        (FIELD + b"\n" + b"body\n" * HEAD_OCTETS).replace(b"\n", b"\r\n"),
        b"\nno header" + b"." * HEAD_OCTETS,
        b"\r\nno header" + b"." * HEAD_OCTETS,
        FIELD + b"\n" + b"\0" * (1 << 20),
    ],
)
def test_the_head_of_a_large_message_is_its_header(message, octets):
    with message(octets) as one, message(octets) as other:
        one.need(HEADER)
        assert len(one.head.octets) == HEAD_OCTETS
        assert one.head.header.body == other.content.header.body < 100
        assert other.content.header.collect((b"subject",)) == one.head.header.collect((b"subject",))


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n\nbody", b"\r\n\r\nbody"])
@pytest.mark.parametrize("more", range(-5, 4))
def test_a_header_that_ends_near_the_end_of_what_is_read(message, end, more):
    octets = FIELD + FAR[: HEAD_OCTETS - len(FIELD) + more] + end + b"." * 10
    with message(octets) as one, message(octets) as other:
        one.need(HEADER)
        assert one.head.header.fields == other.content.header.fields
        assert one.head.header.body == other.content.header.body


def test_a_small_message_is_read_once(message):
    with message(FIELD + b"\nbody\n") as one:
        one.need(HEADER)
        assert one.head is one.content


def test_what_is_needed_is_looked_at_at_once(message, tmp_path):
    for what in (FILE, HEADER, CONTENT):
        one = message(FIELD)
        (tmp_path / "cur/1.a.b:2,").unlink()
        with one, pytest.raises(FileNotFoundError):
            one.need(what)
