"""The MIME tree: where parts begin and end, and what broken structure gives."""

import mmap
import tempfile

import pytest

from maildir import rfc2045
from maildir.rfc2045 import Part, content_type, parse


def outline(octets: bytes):
    """The tree as (type, content) for a leaf, (type, [parts]) for a multipart, (type, message) for a message."""

    def of(part: Part):
        kind = (part.maintype + b"/" + part.subtype).decode()
        if part.message is not None:
            return (kind, of(part.message))
        if part.children:
            return (kind, [of(child) for child in part.children])
        return (kind, octets[part.body : part.end])

    return of(parse(octets))


def mixed(body: bytes, boundary: bytes = b"b", header: bytes = b"") -> bytes:
    return b"Content-Type: multipart/mixed; boundary=" + boundary + b"\n" + header + b"\n" + body


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/plain", (b"text", b"plain", ())),
        (b"TEXT / HTML (really) ; Charset=UTF-8", (b"text", b"html", ((b"charset", b"UTF-8"),))),
        (b"a/b/c", (b"a", b"b", ())),
        (b"text", (b"text", b"plain", ())),
        (b"", (b"text", b"plain", ())),
        (b"/x; charset=a", (b"text", b"plain", ((b"charset", b"a"),))),
        (b"application/x+y.z-1;a=b", (b"application", b"x+y.z-1", ((b"a", b"b"),))),
    ],
)
def test_content_type(value, expected):
    assert content_type(value) == expected


def test_a_message_without_mime_is_one_text():
    assert outline(b"A: b\n\nhello\n") == ("text/plain", b"hello\n")
    assert outline(b"") == ("text/plain", b"")


def test_content_type_counts_without_mime_version():
    assert outline(b"Content-Type: text/html\n\nx") == ("text/html", b"x")


def test_parts_end_before_the_line_end_of_the_delimiter():
    octets = mixed(b"preamble\n--b\n\none\n\n--b\nContent-Type: image/png\n\ntwo\n--b--\nepilogue\n")
    assert outline(octets) == ("multipart/mixed", [("text/plain", b"one\n"), ("image/png", b"two")])


def test_crlf_files_are_divided_alike():
    octets = mixed(b"preamble\n--b\n\none\n\n--b\nContent-Type: image/png\n\ntwo\n--b--\n").replace(b"\n", b"\r\n")
    assert outline(octets) == ("multipart/mixed", [("text/plain", b"one\r\n"), ("image/png", b"two")])


def test_nested_multiparts_and_messages():
    inner = mixed(b"--i\n\none\n--i\n\ntwo\n--i--\n", b"i")
    octets = mixed(b"--b\nContent-Type: message/rfc822\n\n" + inner + b"\n--b\n" + inner + b"--b\n\nlast\n--b--\n")
    tree = ("multipart/mixed", [("text/plain", b"one"), ("text/plain", b"two")])
    assert outline(octets) == ("multipart/mixed", [("message/rfc822", tree), tree, ("text/plain", b"last")])
    root = parse(octets)
    message = root.children[0]
    assert octets[message.body : message.end] == inner
    assert message.message is not None
    assert (message.message.start, message.message.end) == (message.body, message.end)


def test_walk_goes_in_order():
    inner = mixed(b"--i\n\none\n--i\n\ntwo\n--i--\n", b"i")
    octets = mixed(b"--b\nContent-Type: message/rfc822\n\n" + inner + b"\n--b\n\nlast\n--b--\n")
    assert [part.subtype for part in parse(octets).walk()] == [
        b"mixed",
        b"rfc822",
        b"mixed",
        b"plain",
        b"plain",
        b"plain",
    ]


def test_parts_of_a_digest_are_messages_unless_they_say_otherwise():
    octets = b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: s\n\nx\n--b\nContent-Type: text/plain\n\ny"
    assert outline(octets) == (
        "multipart/digest",
        [("message/rfc822", ("text/plain", b"x")), ("text/plain", b"y")],
    )


def test_a_missing_closing_delimiter_ends_at_the_outer_one_or_the_end():
    inner = mixed(b"--i\n\none\n--i\n\ntwo\n", b"i")
    assert outline(mixed(b"--b\n" + inner + b"--b\n\nlast\n")) == (
        "multipart/mixed",
        [("multipart/mixed", [("text/plain", b"one"), ("text/plain", b"two")]), ("text/plain", b"last\n")],
    )


def test_nothing_is_divided_behind_the_closing_delimiter():
    assert outline(mixed(b"--b\n\none\n--b--\n--b\n\ntwo\n")) == ("multipart/mixed", [("text/plain", b"one")])


def test_only_the_whole_line_is_a_delimiter():
    body = b"--b\n\none\n--bc\n--b x\n --b\nx--b\n--B\n- -b\n--b  \t\n\ntwo\n--b-- \nx"
    assert outline(mixed(body)) == (
        "multipart/mixed",
        [("text/plain", b"one\n--bc\n--b x\n --b\nx--b\n--B\n- -b"), ("text/plain", b"two")],
    )


def test_a_boundary_that_begins_like_the_outer_one():
    inner = mixed(b"--bb\n\none\n--bb\n\ntwo\n--bb--\n", b"bb")
    assert outline(mixed(b"--b\n" + inner + b"--b\n\nlast\n--b--\n")) == (
        "multipart/mixed",
        [("multipart/mixed", [("text/plain", b"one"), ("text/plain", b"two")]), ("text/plain", b"last")],
    )


def test_a_boundary_that_ends_in_dashes_is_no_closing_delimiter():
    assert outline(mixed(b"--b--\n\none\n--b----\nx", b"b--")) == ("multipart/mixed", [("text/plain", b"one")])


def test_one_boundary_for_two_levels_belongs_to_the_inner_one():
    inner = mixed(b"--b\n\none\n--b\n\ntwo\n--b--\n")
    assert outline(mixed(b"--b\n" + inner + b"--b\n\nlast\n--b--\n")) == (
        "multipart/mixed",
        [("multipart/mixed", [("text/plain", b"one"), ("text/plain", b"two")]), ("text/plain", b"last")],
    )


@pytest.mark.parametrize(
    "octets",
    [
        b"Content-Type: multipart/mixed\n\n--b\n\nx",
        b'Content-Type: multipart/mixed; boundary=""\n\n--\n\nx\n----\n',
        mixed(b"no delimiter at all"),
        mixed(b"--b--\nclosed at once"),
        mixed(b"x", b"b" * 2000),
    ],
)
def test_a_multipart_without_parts_is_a_text(octets):
    assert outline(octets) == ("text/plain", octets[octets.index(b"\n\n") + 2 :])


@pytest.mark.parametrize(
    ("body", "contents"),
    [
        (b"--b\n--b\n--b--\n", [b"", b""]),
        (b"--b\n\n--b\n\n\n--b--\n", [b"", b""]),
        (b"--b\nA: b\n--b\nA: b\n\n--b--", [b"", b""]),
        (b"--b\nA: b", [b""]),
        (b"--b", [b""]),
        (b"--b\n", [b""]),
    ],
)
def test_parts_without_content(body, contents):
    octets = mixed(body)
    root = parse(octets)
    assert [octets[part.body : part.end] for part in root.children] == contents
    assert all(part.start <= part.body <= part.end for part in root.walk())


def test_a_delimiter_in_a_header_ends_the_part():
    octets = mixed(b"--b\nContent-Type: message/rfc822\nA: b\n--b\nContent-Type: message/rfc822\n\nC: d\n--b--\n")
    assert outline(octets) == (
        "multipart/mixed",
        [("message/rfc822", ("text/plain", b"")), ("message/rfc822", ("text/plain", b""))],
    )
    second = parse(octets).children[1].message
    assert second is not None
    assert second.header.first(b"c") == b"d"
    assert octets[second.start : second.end] == b"C: d"


def test_the_boundary_may_be_continued():
    octets = b'Content-Type: multipart/mixed; boundary*0="b 1"; boundary*1=2\n\n--b 12\n\nx\n--b 12--\n'
    assert outline(octets) == ("multipart/mixed", [("text/plain", b"x")])


def test_the_encoding_is_a_lower_case_token():
    assert parse(b"Content-Transfer-Encoding:  BASE64 (c); x\n\n").encoding() == b"base64"
    assert parse(b"Content-Transfer-Encoding: (\n\n").encoding() == b""
    assert parse(b"\n").encoding() == b""


def test_counts_are_of_the_content():
    part = parse(mixed(b"--b\n\none\n\r\ntwo\n--b--")).children[0]
    assert (part.newlines(), part.wire_octets()) == (2, len(b"one\r\n\r\ntwo"))


def test_a_thousand_parts_are_whole():
    root = parse(mixed(b"--b\n\nx\n" * 1000 + b"--b--\n"))
    assert len(root.children) == 1000


def test_the_number_of_parts_is_capped():
    octets = mixed(b"--b\n\nx\n" * 12_000 + b"--b--\n")
    root = parse(octets)
    assert len(list(root.walk())) == rfc2045.MAX_PARTS == 10_000
    assert root.children[-1].end == root.end == len(octets)


def test_the_depth_is_capped():
    octets = b"".join(mixed(b"--%d\n" % level, b"%d" % level) for level in range(150)) + b"\nx"
    depth, part = 1, parse(octets)
    while part.children:
        depth, part = depth + 1, part.children[0]
    assert depth == rfc2045.MAX_DEPTH == 100
    assert (part.maintype, part.subtype, part.parameters) == (b"text", b"plain", ())
    depth, part = 1, parse(b"Content-Type: message/rfc822\n\n" * 150)
    while part.message is not None:
        depth, part = depth + 1, part.message
    assert depth == rfc2045.MAX_DEPTH
    assert (part.maintype, part.subtype) == (b"text", b"plain")


def test_an_mmap_is_divided_like_bytes():
    inner = mixed(b"--i\n\none\n--i\n\ntwo\n--i--\n", b"i")
    octets = mixed(b"--b\nContent-Type: message/rfc822\n\n" + inner + b"\n--b\n\nlast\n--b--\n")
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        found = [(p.start, p.body, p.end, p.subtype, p.newlines(), p.wire_octets()) for p in parse(mapped).walk()]
        mapped.close()  # nothing holds on to it
    assert found == [(p.start, p.body, p.end, p.subtype, p.newlines(), p.wire_octets()) for p in parse(octets).walk()]


class Counted(bytes):
    """Octets that count how many of them were searched."""

    searched = 0

    def find(self, what, start=0, end=None):
        found = super().find(what, start, len(self) if end is None else end)
        self.searched += (found if found >= 0 else len(self) if end is None else end) - start
        return found


@pytest.mark.parametrize(
    "body",
    [
        b"--b\n" * 50_000,
        b"--b\nA: b\n" * 20_000,
        b"--b\n\n" * 20_000,
        b"--b\r\n\r\n" * 20_000,
        b"--bb\n" * 50_000,
        b"--\n" * 50_000,
        b"--b" * 50_000,
        b"--b\nContent-Type: message/rfc822\n\n" * 5_000,
        b"".join(b"--b\nContent-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3_000)),
        b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (n - 1, n) for n in range(3_000)),
        b"--b\n\n" + b"x\n" * 200_000,
        b"--b\n" + b"x\n" * 200_000 + b"--b\n" * 1000,
    ],
)
def test_the_work_grows_with_the_size_only(body):
    octets = Counted(mixed(body))
    root = parse(octets)
    assert octets.searched < 8 * len(octets) + 10_000
    assert all(part.start <= part.body <= part.end <= len(octets) for part in root.walk())


def test_what_is_remembered_of_headers_is_bounded(monkeypatch):
    monkeypatch.setattr(rfc2045, "MAX_KNOWN", 10)
    for number in range(50):
        parse(b"Content-Type: text/x%d; a=%b\n\n" % (number, b"x" * (rfc2045.MAX_KNOWN_OCTETS - 45 + number)))
        for memory in (rfc2045._known, rfc2045._known_types):
            assert len(memory) <= 10
            assert all(len(octets) <= rfc2045.MAX_KNOWN_OCTETS for octets in memory)


def test_lines_that_look_like_delimiters_are_capped(monkeypatch):
    monkeypatch.setattr(rfc2045, "MAX_DASHES", 10)
    assert outline(mixed(b"--b\n\n" + b"--bb\n" * 9 + b"--b\n\ny"))[1][1:] == [("text/plain", b"y")]
    assert len(outline(mixed(b"--b\n\n" + b"--bb\n" * 10 + b"--b\n\ny"))[1]) == 1
