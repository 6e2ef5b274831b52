"""The fragmenter on arbitrary input: chunking changes nothing, memory is bounded, sync is kept."""

from hypothesis import given
from hypothesis import strategies as st

from imapd.wire.fragment import Chunk, Command, Fragmenter, Literal, TooLong

# Pieces that make commands, announcements and their neighbours likely.
PIECES = st.sampled_from(
    [
        b"a noop",
        b"\r\n",
        b"\n",
        b"\r",
        b"{3}",
        b"{3+}",
        b"~{2+}",
        b"{0}",
        b"{25+}",
        b"xyz",
        b"}",
        b"{",
        b'"',
        b" ",
        b"12345678",
    ]
)
INPUT = st.lists(PIECES | st.binary(max_size=6), max_size=60).map(b"".join)
ANSWERS = st.lists(st.sampled_from(["accept", "stream", "refuse"]), min_size=1, max_size=5)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)

LINE, COMMAND = 20, 40


def run(data, cuts, answers):
    """All events, the chunks of one literal joined; cuts and answers are repeated as long as they are needed."""
    fragmenter = Fragmenter(line_octets=LINE, command_octets=COMMAND)
    told = []
    asked = at = turn = 0
    while at < len(data):
        step = cuts[turn % len(cuts)]
        fragmenter.feed(data[at : at + step])
        at += step
        turn += 1
        while (event := fragmenter.next_event()) is not None:
            if isinstance(event, Command):
                told.append(("command", event.octets, event.streamed))
            elif isinstance(event, TooLong):
                told.append(("too long", event.prefix))
            elif isinstance(event, Literal):
                answer = answers[asked % len(answers)]
                asked += 1
                told.append(
                    ("literal", event.size, event.synchronising, event.prefix, event.literal8, event.fits, answer)
                )
                getattr(event, answer)()
            elif isinstance(event, Chunk) and told[-1][0] == "chunks":
                told[-1] = ("chunks", told[-1][1] + event.data, event.last)
            else:
                told.append(("chunks", event.data, event.last))
        # What is held when there are no more events: a command and its line end, or the tail of a skipped line.
        assert fragmenter.octets_held <= max(COMMAND + 3, 64)
    return told, fragmenter.octets_wanted


@given(INPUT, CUTS, ANSWERS)
def test_any_chunking_gives_the_same_events(data, cuts, answers):
    whole = run(data, [max(1, len(data))], answers)
    assert run(data, cuts, answers) == whole
    assert run(data, [1], answers) == whole


@given(INPUT, ANSWERS)
def test_nothing_is_longer_than_its_limit(data, answers):
    told, _ = run(data, [7], answers)
    for event in told:
        if event[0] == "command":
            assert len(event[1]) <= COMMAND + 2
        elif event[0] == "too long":
            assert len(event[1]) <= COMMAND


@given(INPUT, ANSWERS)
def test_after_any_input_the_stream_comes_to_rest_and_a_command_gets_through(data, answers):
    """Whatever came before: once the octets that a literal still wants have been sent, two lines end all of it."""
    fragmenter = Fragmenter(line_octets=LINE, command_octets=COMMAND)
    fragmenter.feed(data)
    last = None
    for closing in (b"", b"\n", b"\n", b"z noop\r\n"):
        fragmenter.feed(b"x" * fragmenter.octets_wanted + closing)
        while (event := fragmenter.next_event()) is not None:
            last = event
            if isinstance(event, Literal):
                event.refuse()
        fragmenter.feed(b"x" * fragmenter.octets_wanted)
    assert isinstance(last, Command)
    assert last.octets.endswith(b"z noop")
