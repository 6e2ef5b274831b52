"""Looking for text in whole messages: what is decoded, and how words are looked for."""

import re
import sys
from binascii import b2a_base64

import pytest

from maildir import bodytext
from maildir.bodytext import Phrase, core, texts
from maildir.message import Message


def text_of(encoding: bytes, content: bytes, charset: bytes = b"utf-8") -> str:
    header = b"Content-Type: text/plain; charset=" + charset + b"\nContent-Transfer-Encoding: " + encoding + b"\n\n"
    return "".join(texts(Message(header + content), with_headers=False))


@pytest.mark.parametrize(
    ("encoding", "content", "expected"),
    [
        (b"7bit", b"a\nb", "a\nb"),
        (b"8bit", "ä".encode(), "ä"),
        (b"quoted-printable", b"=C3=A4 a=\nb =3D=zz=", "ä ab ==zz"),
        (b"BASE64", b"w6Qg\nYg==\n", "ä b"),
        (b"base64", b"w6QgYg", "ä b"),
        (b"base64", b"w6QgY", "ä "),
        (b"base64", b"w6Qg!!\0Yg==", "ä b"),
        (b"base64", b"", ""),
        (b"base64", b"=", ""),
        (b"unknown", b"x", "x"),
    ],
)
def test_bodies(encoding, content, expected):
    assert text_of(encoding, content) == expected


def test_bodies_in_charsets():
    assert text_of(b"8bit", b"\xe4\xa4", b"iso-8859-15") == "ä€"
    assert text_of(b"8bit", b"\xe4", b"no-such") == "\ufffd"
    message = Message(b"Content-Type: text/plain; charset*=us-ascii''iso-8859-15\n\n\xa4")
    assert list(texts(message, with_headers=False)) == ["€"]


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(bodytext, "MAX_TEXT", 80)
    monkeypatch.setattr(bodytext, "OVERLAP", 16)


@pytest.mark.parametrize("line", [b"", b"\n", b"x\n", b"1234567\n", b"123456789012345678\n", b"x"])
@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 39, 40, 41, 300])
def test_long_bodies_come_in_pieces(small_pieces, line, count):
    """Whatever is not longer than the overlap is whole in one of them."""
    content = b"".join(b"%d" % number + line for number in range(count))
    pieces = list(texts(Message(b"\n" + content), with_headers=False))
    assert max(map(len, pieces), default=0) <= 80
    for at in range(len(content)):
        assert any(content[at : at + 16].decode() in piece for piece in pieces)


def test_pieces_of_base64(small_pieces):
    """They are cut between lines, so that no group of four is torn."""
    text = "".join(f"line {number}\n" for number in range(90)).encode()
    lines = b"".join(b2a_base64(text[at : at + 9]) for at in range(0, len(text), 9))
    header = b"Content-Transfer-Encoding: base64\n\n"
    pieces = list(texts(Message(header + lines), with_headers=False))
    assert len(pieces) > 5
    assert all(piece.encode() in text for piece in pieces)
    assert set(text.split()) <= {word for piece in pieces for word in piece.encode().split()}


@pytest.mark.parametrize("words", ["", "a", "a b", "b", "ab", "b a", "ss", "a ss", "c"])
@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "A B", "a\r\n\tb", "a  b c", "ab", "a\xa0b", "a\u3000\x1c\x85b", "a\u200bb", "a ß", "b", "a,b"],
)
def test_case_and_the_kind_of_blanks_do_not_count(text, words):
    holds = words in re.sub(r"\s+", " ", text).casefold()
    assert Phrase(words.split()).is_in_text(text) == holds
    for charset in ("utf-8", "gb18030", "utf-16", "utf-7"):
        assert found(words, text.encode(charset), charset) == holds


def found(words: str, content: bytes, charset: str = "utf-8") -> bool:
    head = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: 8bit\n\n".encode()
    return Phrase(words.split()).is_in(Message(head + content), with_headers=False)


def test_words_in_another_order_or_apart_are_not_held():
    assert not found("kitchen garden", b"garden kitchen")
    assert not found("kitchen garden", b"kitchen or garden")
    assert found("s gard", b"kitchens\ngarden")


@pytest.mark.parametrize("blanks", ["\x1c \t\r\n", "\xa0", "\u3000 ", "\u2003\u2003", " \u3000\n"])
@pytest.mark.parametrize("charset", ["utf-8", "gb18030", "shift_jis", "big5", "euc_jp", "johab"])
def test_all_blanks_of_all_charsets_are_seen(blanks, charset):
    try:
        content = f"kitchen{blanks}1garden\u4e00".encode(charset)
    except UnicodeEncodeError:
        return  # a blank that the charset does not have
    assert found("kitchen 1garden", content, charset)


def test_a_core_stands_in_all_ways_to_write_a_word():
    """Each sign beyond ASCII that becomes ASCII without case, beside each letter."""
    for sign in map(chr, range(128, sys.maxunicode)):
        folded = sign.casefold()
        if not any(map(str.isascii, folded)):
            continue
        for text in [sign, *(before + sign + after for before in ("", "z", "xk") for after in ("", "z", "hq"))]:
            whole = text.casefold()
            for start in range(len(whole)):
                for end in range(start + 1, len(whole) + 1):
                    octets, _, _ = core(whole[start:end])
                    assert octets in text.encode()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("kitchen", (b"itchen", False, True)),
        ("garden", (b"garden", True, True)),
        ("letter", (b"etter", False, True)),
        ("s", (b"", True, False)),
        ("\u00e4rger", (b"rger", False, True)),
        ("\u00e4", (b"", True, False)),
    ],
)
def test_cores(word, expected):
    assert core(word) == expected


def test_a_long_row_of_blanks_and_signs_is_no_trouble():
    """With a time that grows faster than the size it would not end today."""
    content = b"kitchen" + b"\xa0" * 300_000 + b"kitchen" + b"\xa01" * 200_000 + b" garden"
    assert not found("kitchen 1garden", content, "iso-8859-1")


def test_an_empty_phrase_is_in_every_text_there_is():
    assert Phrase([]).is_in(Message(b"A: b\n\nx"), with_headers=False)
    assert Phrase([]).is_in(Message(b"Content-Type: image/png\n\nx"), with_headers=True)
    assert not Phrase([]).is_in(Message(b"Content-Type: image/png\n\nx"), with_headers=False)
