"""The relay between TLS and clear text by itself: how the client is told that it got everything, or that it did not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from couriertcpd import tlsrelay
from tests.tls.authority import Authority
from tests.tls.servers import context as client

SECONDS = 30

STRICT = client()
STRICT.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # which Python sets


@pytest.fixture(scope="module")
def context(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> SSL.Context:
    path = str(authority.server("mail.example").put(tmp_path_factory.mktemp("relay") / "server.pem"))
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.use_certificate_chain_file(path)
    made.use_privatekey_file(path)
    return made


class Ends:
    """A client with TLS, the program's end of the clear text, and the relay between them in a thread."""

    def __init__(self, context: SSL.Context) -> None:
        self._server, theirs = socket.socketpair()
        self._clear, self.program = socket.socketpair()
        self._server.setblocking(False)
        self._clear.setblocking(False)
        connection = SSL.Connection(context, self._server)
        connection.set_accept_state()
        self.relaying = threading.Thread(target=self._serve, args=(connection,))
        self.relaying.start()
        theirs.settimeout(SECONDS)
        self.client = STRICT.wrap_socket(theirs, suppress_ragged_eofs=False)

    def _serve(self, connection: SSL.Connection) -> None:
        tlsrelay.shake_hands(connection, SECONDS, "accept")
        tlsrelay.Relay(connection, self._clear.fileno(), self._clear.fileno()).run()
        self._server.close()

    def end(self) -> None:
        self.program.close()
        self.client.close()
        self.relaying.join(SECONDS)
        assert not self.relaying.is_alive()
        self._clear.close()


@pytest.fixture
def ends(context: SSL.Context) -> Iterator[Ends]:
    made = Ends(context)
    yield made
    made.end()


def read_all(client: ssl.SSLSocket) -> bytes:
    octets = b""
    while more := client.recv(65536):
        octets += more
    return octets


def test_an_end_after_everything_is_a_clean_one(ends: Ends) -> None:
    ends.program.sendall(b"* BYE\r\n")
    ends.program.close()
    assert read_all(ends.client) == b"* BYE\r\n"


def test_everything_comes_before_the_end(ends: Ends) -> None:
    ends.program.settimeout(SECONDS)
    sender = threading.Thread(target=_say_and_go, args=(ends.program, b"x" * 3_000_000))
    sender.start()
    assert len(read_all(ends.client)) == 3_000_000
    sender.join()


def _say_and_go(program: socket.socket, octets: bytes) -> None:
    program.sendall(octets)
    program.close()


def test_a_program_that_is_torn_away_is_no_clean_end(ends: Ends) -> None:
    """Closed with input unread, as when a process is killed: the other end is reset."""
    ends.client.sendall(b"a command that nobody reads\r\n")
    ends.program.recv(1, socket.MSG_PEEK)
    ends.program.close()
    with pytest.raises(OSError):
        read_all(ends.client)


def test_a_client_that_takes_nothing_is_left_when_the_program_ends(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the little that it finds later is no clean end."""
    monkeypatch.setattr(tlsrelay, "FLUSH_SECONDS", 0.0)
    _fill(ends.program)
    ends.program.close()
    ends.relaying.join(SECONDS)
    assert not ends.relaying.is_alive()
    with pytest.raises(OSError):
        read_all(ends.client)


def _fill(program: socket.socket) -> None:
    """Say things until nobody takes any more."""
    program.settimeout(0.2)
    try:
        while True:
            program.sendall(b"x" * 65536)
    except TimeoutError:
        return


class Full:
    """A TLS connection that has no room for close_notify at first."""

    def __init__(self, sock: socket.socket) -> None:
        self.fileno = sock.fileno
        self.tried = 0

    def recv(self, octets: int) -> bytes:
        raise SSL.WantReadError

    def shutdown(self) -> bool:
        self.tried += 1
        if self.tried < 3:
            raise SSL.WantWriteError
        return True


def test_the_end_is_told_when_there_is_room_for_it() -> None:
    ours, theirs = socket.socketpair()
    clear, program = socket.socketpair()
    with ours, theirs, clear:
        program.close()
        full = Full(ours)
        tlsrelay.Relay(full, clear.fileno(), clear.fileno()).run()
    assert full.tried == 3
