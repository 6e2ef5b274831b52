"""The frame of a hand-over: what goes in comes out, and nothing else is let in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couriertcpd.handover import MAX_FRAME, MAX_STRINGS, BadFrame, Frame, decode, encode

strings = st.binary(max_size=40).map(lambda octets: octets.replace(b"\0", b""))
names = strings.map(lambda octets: octets.replace(b"=", b"") or b"N")
frames = st.builds(
    Frame,
    st.lists(strings, min_size=1, max_size=8),
    st.dictionaries(names, strings, max_size=12),
    st.binary(max_size=200),
)


def parts(frame: Frame) -> tuple[list[bytes], dict[bytes, bytes], bytes]:
    return frame.argv, frame.environment, frame.ticket


@given(frames)
def test_what_goes_in_comes_out(frame: Frame) -> None:
    assert parts(decode(encode(frame))) == parts(frame)


@given(frames, st.data())
def test_a_part_of_a_frame_is_none(frame: Frame, data: st.DataObject) -> None:
    octets = encode(frame)
    length = data.draw(st.integers(0, len(octets) - 1))
    with pytest.raises(BadFrame):
        decode(octets[:length])


@given(frames, st.data())
def test_a_frame_with_other_octets_in_it_is_refused_or_sound(frame: Frame, data: st.DataObject) -> None:
    octets = bytearray(encode(frame))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    check_sound(bytes(octets))


@given(st.binary(max_size=300))
def test_any_octets_are_refused_or_sound(octets: bytes) -> None:
    check_sound(octets)
    check_sound(encode(Frame([b"a"], {}))[:20] + octets)


def check_sound(octets: bytes) -> None:
    """Whatever decode() lets in can be encoded, so that it is within every limit."""
    try:
        frame = decode(octets)
    except BadFrame:
        return
    assert parts(decode(encode(frame))) == parts(frame)


def test_the_longest_frame() -> None:
    room = MAX_FRAME - len(encode(Frame([b"a"], {b"N": b""}, b"")))
    frame = Frame([b"a"], {b"N": b"v" * (room - 10)}, b"")
    over = MAX_FRAME - len(encode(frame))
    frame.environment[b"N"] += b"v" * over
    assert len(encode(frame)) == MAX_FRAME
    assert parts(decode(encode(frame))) == parts(frame)
    frame.environment[b"N"] += b"v"
    with pytest.raises(BadFrame):
        encode(frame)
    with pytest.raises(BadFrame):
        decode(b"courier hand-over 1\n1 1 0\na\0N=" + b"v" * MAX_FRAME + b"\0")


def test_the_most_strings() -> None:
    most = MAX_STRINGS - 2
    frame = Frame([b"a"], {b"%d" % number: b"" for number in range(most)})
    assert len(decode(encode(frame)).environment) == most
    frame.argv.append(b"b")
    with pytest.raises(BadFrame):
        encode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        Frame([], {}),
        Frame([b"a\0b"], {}),
        Frame([b"a"], {b"": b"x"}),
        Frame([b"a"], {b"A=B": b"x"}),
        Frame([b"a"], {b"A": b"x\0y"}),
    ],
)
def test_what_cannot_be_told_is_not_sent(frame: Frame) -> None:
    with pytest.raises(BadFrame):
        encode(frame)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"courier hand-over 2\n1 0 0\na\0",
        b"courier hand-over 1\n1 0\na\0",
        b"courier hand-over 1\n1 0 0 0\na\0",
        b"courier hand-over 1\n-1 0 0\na\0",
        b"courier hand-over 1\n1 0 99999999999999\na\0",
        b"courier hand-over 1\n" + b"1" * 60 + b" 0 0\na\0",
        b"courier hand-over 1\n0 0 0\n",
        b"courier hand-over 1\n2 0 0\na\0",
        b"courier hand-over 1\n1 0 0\na\0b\0",
        b"courier hand-over 1\n1 1 0\na\0b\0",
        b"courier hand-over 1\n1 2 0\na\0A=b\0A=c\0",
        b"courier hand-over 1\n1 1 0\na\0=b\0",
        b"courier hand-over 1\n1 0 9\na\0",
    ],
)
def test_what_is_no_frame(octets: bytes) -> None:
    with pytest.raises(BadFrame):
        decode(octets)
