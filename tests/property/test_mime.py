"""The MIME tree: messages that were built are taken apart again, anything else is survived and still well formed."""

import re
from email import message_from_bytes

from hypothesis import given
from hypothesis import strategies as st

from imapd import bodystructure, envelope, section
from imapd.wire.section import Section
from maildir import rfc2045
from maildir.message import Message
from maildir.rfc2045 import MAX_DEPTH, Part, parse

LINES = st.sampled_from(
    [
        b"",
        b"text",
        b"--",
        b"--b",
        b"--b1x",
        b"-- b1",
        b"From x",
        b"A: b",
        b"\xc3\xa4",
        b"a\rb",
        b"Content-Type: x/y",
        b" ",
    ]
)
TEXTS = st.lists(LINES, max_size=4).map(b"\n".join)
LEAF_TYPES = st.sampled_from([b"text/plain", b"text/html; charset=utf-8", b'image/png; name="a b"', b"application/x-y"])


@st.composite
def messages(draw, depth=3, number=(0,)):
    """The octets of an entity, and its tree as the test below draws it."""
    head = draw(st.sampled_from([b"", b"Subject: s\n", b"From: a@b\nDate: x\n", b"X: y\n z\n"]))
    kind = draw(st.sampled_from(["leaf", "leaf", "multipart", "message"])) if depth else "leaf"
    if kind == "leaf":
        content_type, body = draw(LEAF_TYPES), draw(TEXTS)
        return head + b"Content-Type: " + content_type + b"\n\n" + body, (
            content_type.partition(b";")[0].decode(),
            body,
        )
    if kind == "message":
        inner, tree = draw(messages(depth - 1, (*number, 0)))
        return head + b"Content-Type: message/rfc822\n\n" + inner, ("message/rfc822", tree)
    boundary = b"b" + b".".join(b"%d" % part for part in number) + b"="
    parts = [draw(messages(depth - 1, (*number, at))) for at in range(draw(st.integers(1, 3)))]
    preamble, epilogue = (
        draw(st.sampled_from([b"", b"preamble\n", b"\n"])),
        draw(st.sampled_from([b"", b"\nepilogue\n"])),
    )
    octets = head + b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\n\n' + preamble
    octets += b"".join(b"--" + boundary + b"\n" + part + b"\n" for part, _ in parts)
    return octets + b"--" + boundary + b"--" + epilogue, ("multipart/mixed", [tree for _, tree in parts])


NOISE = st.lists(
    st.sampled_from(
        [
            *(b"\n", b"\n\n", b"\r\n", b"\r", b" ", b"\0", b"\xff", b"x"),
            *(b"--b", b"--b--", b"--c\n", b"--", b"\n--b\n\n", b"\n--c--\n"),
            b"Content-Type: multipart/mixed; boundary=b\n",
            b"Content-Type: multipart/digest; boundary=c\n",
            b"Content-Type: message/rfc822\n\n",
            b"Content-Type: text/plain\n",
            b'Content-Disposition: a; b="c\\"\n',
            b"Content-Language: a, b\n",
            b"Subject: =?utf-8?q?\xc3?=\n",
            b"To: a:b@c;\n",
            b'From: "\\\r\n \0\n',
        ]
    )
    | st.binary(max_size=3),
    max_size=30,
).map(b"".join)


@st.composite
def mutated(draw):
    """A message with pieces taken out, doubled or put elsewhere."""
    octets, _ = draw(messages())
    if draw(st.booleans()):
        octets = octets.replace(b"\n", b"\r\n")
    for _ in range(draw(st.integers(1, 4))):
        start, end = sorted((draw(st.integers(0, len(octets))), draw(st.integers(0, len(octets)))))
        at = draw(st.integers(0, len(octets)))
        piece = draw(st.sampled_from([b"", octets[start:end], b"\n", b"\0", b"\xff"]))
        octets = octets[:at] + piece + octets[at:] if draw(st.booleans()) else octets[:start] + piece + octets[end:]
    return octets


ANYTHING = st.one_of(st.binary(max_size=80), NOISE, mutated())


def tree_of(part: Part, octets: bytes):
    kind = f"{part.maintype.decode()}/{part.subtype.decode()}"
    if part.message is not None:
        return kind, tree_of(part.message, octets)
    if part.children:
        return kind, [tree_of(child, octets) for child in part.children]
    return kind, octets[part.body : part.end]


def with_crlf(tree):
    kind, content = tree
    if isinstance(content, bytes):
        return kind, content.replace(b"\n", b"\r\n")
    return (kind, [with_crlf(one) for one in content]) if isinstance(content, list) else (kind, with_crlf(content))


@given(messages())
def test_what_was_put_together_is_taken_apart(case):
    octets, tree = case
    assert tree_of(parse(octets), octets) == tree
    crlf = octets.replace(b"\n", b"\r\n")
    assert tree_of(parse(crlf), crlf) == with_crlf(tree)


def types_and_texts(message):
    for part in message.walk():
        payload = part._payload  # as it is: get_payload() undoes the charset
        text = payload.encode("ascii", "surrogateescape") if isinstance(payload, str) else None
        yield part.get_content_type(), text


@given(messages())
def test_the_tree_is_that_of_the_standard_library(case):
    octets, _ = case
    ours = []
    for part in parse(octets).walk():
        leaf = not part.children and part.message is None
        ours.append(
            (f"{part.maintype.decode()}/{part.subtype.decode()}", octets[part.body : part.end] if leaf else None)
        )
    assert ours == list(types_and_texts(message_from_bytes(octets)))


@given(ANYTHING)
def test_the_parts_of_anything_lie_in_each_other_in_order(octets):
    root = parse(octets)
    assert (root.start, root.end) == (0, len(octets))

    def check(part: Part, depth: int) -> None:
        assert depth <= MAX_DEPTH
        assert part.start <= part.body <= part.end
        inside = part.children or ([part.message] if part.message is not None else [])
        at = part.body
        for child in inside:
            assert at <= child.start
            assert child.end <= part.end
            at = child.end
            check(child, depth + 1)
        if part.message is not None:
            assert (part.message.start, part.message.end) == (part.body, part.end)
        for one, other in zip(part.children, part.children[1:], strict=False):
            assert octets[one.end : other.start].lstrip(b"\r\n").startswith(b"--")

    check(root, 1)


TOKEN = re.compile(rb'\(|\)|NIL|[0-9]+|"(?:[^"\\\r\n\0\x80-\xff]|\\["\\])*"| ')


def read_list(octets: bytes):
    """An IMAP list of quoted strings, numbers and NIL, strictly: it fails on whatever RFC 3501 does not allow."""
    stack: list[list[object]] = [[]]
    at = 0
    while at < len(octets):
        token = TOKEN.match(octets, at)
        assert token, octets[at:]
        at = token.end()
        if token[0] == b"(":
            stack.append([])
        elif token[0] == b")":
            ended = stack.pop()
            assert ended, "an empty list"
            stack[-1].append(ended)
        elif token[0] != b" ":
            stack[-1].append(None if token[0] == b"NIL" else int(token[0]) if token[0].isdigit() else token[0])
    assert len(stack) == 1
    return stack[0]


def is_string(value) -> bool:
    return isinstance(value, bytes)


def is_nstring(value) -> bool:
    return value is None or is_string(value)


def check_envelope(value) -> None:
    assert len(value) == 10
    for number in (0, 1, 8, 9):
        assert is_nstring(value[number])
    for number in range(2, 8):
        for address in value[number] or []:
            assert len(address) == 4
            assert all(is_nstring(text) for text in address)


def check_extension(value) -> None:
    parameters, disposition, language, location = value
    check_parameters(parameters)
    if disposition is not None:
        assert is_string(disposition[0])
        check_parameters(disposition[1])
        assert len(disposition) == 2
    assert is_nstring(language) or all(is_string(tag) for tag in language)
    assert is_nstring(location)


def check_parameters(value) -> None:
    assert value is None or (len(value) % 2 == 0 and all(is_string(text) for text in value))


def check_body(value, extended: bool) -> None:
    """RFC 3501 §9: body."""
    if isinstance(value[0], list):
        count = next(number for number, one in enumerate(value) if not isinstance(one, list))
        for one in value[:count]:
            check_body(one, extended)
        assert is_string(value[count])
        assert len(value) == count + (5 if extended else 1)
        if extended:
            check_extension(value[count + 1 :])
        return
    assert is_string(value[0])
    assert is_string(value[1])
    check_parameters(value[2])
    assert is_nstring(value[3])
    assert is_nstring(value[4])
    assert is_string(value[5])
    assert isinstance(value[6], int)
    rest = value[7:]
    if (value[0].lower(), value[1].lower()) == (b'"message"', b'"rfc822"'):
        check_envelope(rest[0])
        check_body(rest[1], extended)
        assert isinstance(rest[2], int)
        rest = rest[3:]
    elif value[0].lower() == b'"text"':
        assert isinstance(rest[0], int)
        rest = rest[1:]
    assert len(rest) == (4 if extended else 0)
    if extended:
        assert is_nstring(rest[0])
        check_extension([None, *rest[1:]])


@given(ANYTHING)
def test_envelope_and_bodystructure_of_anything_keep_to_the_grammar(octets):
    message = Message(octets)
    (value,) = read_list(envelope.render(message.header))
    check_envelope(value)
    for extended in (False, True):
        (value,) = read_list(bodystructure.render(message.tree, extended))
        check_body(value, extended)
    assert b"\n" not in bodystructure.render(message.tree, True, utf8=True)


@given(st.lists(ANYTHING, min_size=1, max_size=4))
def test_what_is_remembered_of_headers_changes_nothing(letters):
    def told(octets: bytes) -> list[bytes]:
        root = Message(octets).tree
        return [bodystructure.render(root, extended) for extended in (True, False)]

    def told_anew(octets: bytes) -> list[bytes]:
        for memory in (rfc2045._known, rfc2045._known_types, bodystructure._remembered):
            memory.clear()
        return told(octets)

    anew = [told_anew(octets) for octets in letters]
    for _ in range(2):
        assert [told(octets) for octets in letters] == anew


def on_the_wire(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@given(ANYTHING)
def test_header_and_text_are_the_whole(octets):
    message = Message(octets)

    def fetch(text: bytes) -> bytes:
        return b"".join(section.extract(message, Section((), text)).chunks())

    assert fetch(b"HEADER") + fetch(b"TEXT") == fetch(b"") == on_the_wire(octets)
    assert message.wire_octets == len(on_the_wire(octets))
    assert fetch(b"HEADER.FIELDS").endswith(b"\r\n")


@given(ANYTHING, st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(0, 50), st.integers(1, 50))
def test_a_partial_is_cut_out_of_what_is_on_the_wire(octets, numbers, start, count):
    message = Message(octets)
    for text in (b"", b"MIME", b"HEADER", b"TEXT"):
        piece = section.extract(message, Section(tuple(numbers), text))
        whole = b"".join(piece.chunks())
        assert piece.size() == len(whole)
        assert b"".join(piece.chunks((start, count))) == whole[start : start + count]
        assert piece.size((start, count)) == len(whole[start : start + count])
        part = section.find_part(message.tree, tuple(numbers))
        if part is None:
            assert whole == b""
        elif text == b"":
            assert whole == on_the_wire(octets[part.body : part.end])
