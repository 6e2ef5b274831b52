"""The runner itself: it says yes to what was said, and no to everything else."""

import socket
import threading

import pytest

from tests.transcripts.transcript import Difference, Player, Transcript


def read(tmp_path, text):
    path = tmp_path / "t.txt"
    path.write_text(text)
    return Transcript(path)


def play(tmp_path, text, answers, variables=None):
    """Play a transcript against a server that says its answers and closes."""
    transcript = read(tmp_path, text)
    ours, theirs = socket.socketpair()
    received = []

    def serve():
        with theirs:
            theirs.sendall(answers)
            theirs.shutdown(socket.SHUT_WR)
            while octets := theirs.recv(1000):
                received.append(octets)

    server = threading.Thread(target=serve)
    server.start()
    try:
        with ours:
            ours.settimeout(120)
            Player(transcript, ours, tmp_path, variables or {}).play()
    finally:
        server.join()
    return b"".join(received)


def test_what_is_sent(tmp_path):
    sent = play(tmp_path, "C: a ${user}\nC+ \\x00\\\\ü\\r\\n\nC* 3 x\\n\nC:\n", b"", {"user": "kim"})
    assert sent == b"a kim\r\n\x00\\" + "ü".encode() + b"\r\nx\nx\nx\n\r\n"


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("S: * OK (1)", b"* OK (1)\r\n"),
        ("S: \nS: a", b"\r\na\r\n"),
        ("S~ \\* (?P<n>\\d) OK\nS: ${n}${n}", b"* 7 OK\r\n77\r\n"),
        ("S* a\nS* b\nS*~ c+\nS: d", b"ccc\r\na\r\nb\r\nd\r\n"),
        ("S: x {3}\nS+ a\\r\\n\nS: )", b"x {3}\r\na\r\n)\r\n"),
        ("S: a\nS.", b"a\r\n"),
        ("# only this\n\nS: a", b"a\r\n"),
    ],
)
def test_agreement(tmp_path, text, answers):
    play(tmp_path, text, answers)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("S: a", b"b\r\n"),
        ("S: a", b"ab\r\n"),
        ("S: a.", b"ab\r\n"),
        ("S: a", b"a\n"),
        ("S: a", b"a"),
        ("S: a", b""),
        ("S~ a", b"ab\r\n"),
        ("S* a\nS* b", b"a\r\na\r\n"),
        ("S* a\nS* b", b"a\r\n"),
        ("S+ ab", b"a"),
        ("S+ ab", b"ac"),
        ("S.", b"a"),
        ("S: a", b"a\r\nsurplus"),
        ("S~ (?P<n>\\d)\nS: ${n}", b"7\r\n8\r\n"),
    ],
)
def test_difference(tmp_path, text, answers):
    with pytest.raises(Difference, match=r"t\.txt"):
        play(tmp_path, text, answers)


def test_a_difference_tells_the_line_and_what_went_before(tmp_path):
    with pytest.raises(Difference) as raised:
        play(tmp_path, "# x\nC: hello\nS: a\nS: b", b"a\r\nc\r\n")
    assert "t.txt:4: received: c" in str(raised.value)
    assert "C hello\\r\\nS a" in str(raised.value).replace("\n", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only words",
        "X: y",
        "C a",
        "# maildir: none\nS.",
        "# setting: x\nS.",
        "# begins: soon\nS.",
        "# exits: x\nS.",
    ],
)
def test_what_is_no_transcript(tmp_path, text):
    with pytest.raises(ValueError, match=r"t\.txt"):
        read(tmp_path, text)


def test_headers(tmp_path):
    transcript = read(
        tmp_path, "# maildir: empty\n# setting: A=b=c\n# begins: connection\n# exits: 1\nS.\n# maildir: small\n"
    )
    assert (transcript.maildir, transcript.settings) == ("empty", {"A": "b=c"})
    assert (transcript.begins, transcript.exits) == ("connection", 1)


def test_a_silent_server_is_a_difference(tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.01)
        with pytest.raises(Difference, match="silent"):
            Player(read(tmp_path, "S: a"), ours, tmp_path, {}).play()
