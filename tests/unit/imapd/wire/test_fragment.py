"""Lines and literals out of a stream of octets, and what happens to those that are too long."""

import pytest

from imapd.wire import fragment
from imapd.wire.fragment import Chunk, Command, Fragmenter, Literal


def events(fragmenter, data=b"", answer="accept"):
    """What comes of data, in a form that can be compared; every literal is answered the same way."""
    fragmenter.feed(data)
    told = []
    while (event := fragmenter.next_event()) is not None:
        if isinstance(event, Command):
            told.append((event.octets, event.streamed))
        elif isinstance(event, Literal):
            told.append(("literal", event.size, event.synchronising, event.literal8))
            getattr(event, answer)()
        elif isinstance(event, Chunk):
            told.append(("chunk", event.data, event.last))
        else:
            told.append(("too long", event.prefix))
    return told


@pytest.mark.parametrize(
    ("data", "commands"),
    [
        (b"a noop\r\n", [b"a noop"]),
        (b"a noop\n", [b"a noop"]),
        (b"\r\n\n", [b"", b""]),
        (b"a noop\r\r\n", [b"a noop\r"]),
        (b"a {x}\r\nb {3\r\nc 3}\r\nd {-3}\r\n", [b"a {x}", b"b {3", b"c 3}", b"d {-3}"]),
        (b"a {3} \r\n", [b"a {3} "]),
        (b"a {+}\r\n", [b"a {+}"]),
    ],
)
def test_lines(data, commands):
    assert events(Fragmenter(), data) == [(command, ()) for command in commands]


def test_literals_are_collected_where_they_stand():
    told = events(Fragmenter(), b"a login {3}\r\nx\ny {2+}\nzz~{0}\r\n\r\nb noop\r\n")
    assert told == [
        ("literal", 3, True, False),
        ("literal", 2, False, False),
        ("literal", 0, True, True),
        (b"a login {3}\r\nx\ny {2+}\r\nzz~{0}\r\n", ()),
        (b"b noop", ()),
    ]


def test_a_literal_that_ends_in_cr_keeps_it():
    assert events(Fragmenter(), b"a {1}\r\n\r\nb noop\r\n")[1:] == [(b"a {1}\r\n\r", ()), (b"b noop", ())]


def test_a_streamed_literal_is_not_kept():
    fragmenter = Fragmenter()
    assert events(fragmenter, b"a append x {5}\r\nab", "stream") == [
        ("literal", 5, True, False),
        ("chunk", b"ab", False),
    ]
    assert fragmenter.octets_wanted == 3
    assert events(fragmenter, b"cde\r\n") == [("chunk", b"cde", True), (b"a append x {5}\r\n", (16,))]


def test_an_empty_streamed_literal_ends_at_once():
    told = events(Fragmenter(), b"a append x {0}\r\n\r\n", "stream")
    assert told[1:] == [("chunk", b"", True), (b"a append x {0}\r\n", (16,))]


def test_a_refused_literal_that_nobody_sends_ends_the_command():
    assert events(Fragmenter(), b"a login {3}\r\nb noop\r\n", "refuse") == [
        ("literal", 3, True, False),
        (b"b noop", ()),
    ]


def test_a_refused_literal_that_is_sent_anyway_is_skipped_with_the_rest_of_its_command():
    fragmenter = Fragmenter()
    told = events(fragmenter, b"a login {3+}\r\na\nb {4+}\r\n{1}\n {9}\r\nb noop\r\n", "refuse")
    assert told == [("literal", 3, False, False), (b"b noop", ())]


def test_the_same_literal_is_told_until_it_is_answered_and_answered_once():
    fragmenter = Fragmenter()
    fragmenter.feed(b"a {1}\r\nx\r\n")
    literal = fragmenter.next_event()
    assert isinstance(literal, Literal)
    assert literal.prefix == b"a {1}"
    assert fragmenter.next_event() is literal
    assert fragmenter.octets_wanted == 0
    literal.accept()
    with pytest.raises(ValueError, match="answered"):
        literal.refuse()
    assert events(fragmenter) == [(b"a {1}\r\nx", ())]


def test_octets_wanted_leads_a_peeking_reader_from_command_to_command():
    """The login stage takes a line, or so many octets, and never any of what comes after the command."""
    kernel = b"a login {3}\r\nabc {1+}\r\n}\r\nb select inbox\r\n"
    fragmenter = Fragmenter()
    command = None
    while not isinstance(command, Command):
        wanted = fragmenter.octets_wanted or kernel.index(b"\n") + 1
        fragmenter.feed(kernel[:wanted])
        kernel = kernel[wanted:]
        while (event := fragmenter.next_event()) is not None:
            command = event
            if isinstance(event, Literal):
                event.accept()
    assert kernel == b"b select inbox\r\n"


def test_a_line_over_the_limit_is_told_once_and_skipped_in_little_memory():
    fragmenter = Fragmenter(line_octets=100)
    assert events(fragmenter, b"a " + b"x" * 98 + b"\r\n") == [(b"a " + b"x" * 98, ())]
    assert events(fragmenter, b"a " + b"x" * 99) == []
    assert events(fragmenter, b"x") == [("too long", b"a " + b"x" * 98)]
    for _ in range(1000):
        assert events(fragmenter, b"y" * 1000) == []
        assert fragmenter.octets_held <= 100
    assert events(fragmenter, b"\r\nb noop\r\n") == [(b"b noop", ())]


def test_a_prefix_is_bounded():
    (told,) = events(Fragmenter(), b"x" * 70000)
    assert told == ("too long", b"x" * fragment.PREFIX_OCTETS)


def test_literals_behind_a_line_over_the_limit_are_skipped():
    fragmenter = Fragmenter(line_octets=10)
    told = events(fragmenter, b"a " + b"x" * 20 + b"{7+}\r\nb noop\n {1}\r\nc noop\r\n")
    assert told == [("too long", b"a xxxxxxxx"), (b"c noop", ())]


def test_the_whole_command_is_bounded():
    fragmenter = Fragmenter(line_octets=50, command_octets=100)
    told = events(fragmenter, b"a {60+}\r\n" + b"x" * 60 + b"y" * 32 + b"\r\nb noop\r\n")
    assert told == [
        ("literal", 60, False, False),
        ("too long", (b"a {60+}\r\n" + b"x" * 60 + b"y" * 32)[:100]),
        (b"b noop", ()),
    ]


@pytest.mark.parametrize("plus", [b"", b"+"])
def test_accepting_what_does_not_fit_skips_it(plus):
    fragmenter = Fragmenter(command_octets=100)
    fragmenter.feed(b"a {200" + plus + b"}\r\n")
    literal = fragmenter.next_event()
    assert isinstance(literal, Literal)
    assert not literal.fits
    literal.accept()
    assert events(fragmenter) == [("too long", b"a {200" + plus + b"}\r\n")]
    assert events(fragmenter, b"\n" * 200 + b" x\r\nb noop\r\n") == [(b"b noop", ())]


def test_the_number_of_literals_is_bounded():
    fragmenter = Fragmenter()
    told = events(fragmenter, b"a" + b" {0+}\r\n" * (fragment.LITERALS + 5) + b"\r\nb noop\r\n")
    assert [each for each in told if each[0] != "literal"] == [
        ("too long", (b"a" + b" {0+}\r\n" * 200)[: fragment.PREFIX_OCTETS]),
        (b"b noop", ()),
    ]
    assert sum(each[0] == "literal" for each in told) == fragment.LITERALS


@pytest.mark.parametrize("digits", [b"18446744073709551617", b"9223372036854775808", b"9" * 50])
def test_absurd_sizes_count_as_the_largest(digits):
    assert events(Fragmenter(), b"a {" + digits + b"}\r\nb noop\r\n", "refuse") == [
        ("literal", fragment.LARGEST, True, False),
        (b"b noop", ()),
    ]
    fragmenter = Fragmenter()
    events(fragmenter, b"a {" + digits + b"+}\r\nb noop\r\n", "refuse")
    assert fragmenter.octets_wanted == fragment.LARGEST - 8


def test_leading_zeros_are_a_number():
    assert events(Fragmenter(), b"a {0003+}\r\nxyz\r\n")[1:] == [(b"a {0003+}\r\nxyz", ())]
    assert events(Fragmenter(), b"a {" + b"0" * 100 + b"3+}\r\n") == [(b"a {" + b"0" * 100 + b"3+}", ())]


def test_fed_byte_by_byte():
    fragmenter = Fragmenter()
    told = []
    for octet in b"a {2000}\r\n" + b"x" * 2000 + b"y" * 2000 + b"\r\n":
        told += events(fragmenter, bytes([octet]))
    assert told[1:] == [(b"a {2000}\r\n" + b"x" * 2000 + b"y" * 2000, ())]
