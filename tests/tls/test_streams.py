"""Much mail through TLS, both ways at once, and ends that are closed one at a time: nothing stalls, nothing is lost."""

from __future__ import annotations

import contextlib
import hashlib
import select
from collections.abc import Iterator

import pytest
from chain import CLIENT_SECONDS, Account, Chain
from OpenSSL import SSL

from tests.tls.openssl import Frank
from tests.tls.servers import HOW, Servers, Talk, ask_for_tls, log_in, secured

LARGE = 50_000_000
APPENDED = 10_000_000
_LINE = b"%011d " + b"x" * 66 + b"\r\n"  # 80 octets


def letter(octets: int) -> bytes:
    """A message of about that size, no two lines of which are the same."""
    return b"Subject: large\r\n\r\n" + b"".join(_LINE % number for number in range(octets // 80))


@pytest.fixture(scope="module")
def large() -> bytes:
    return letter(LARGE)


@pytest.fixture(scope="module")
def box(chain: Chain, large: bytes) -> Iterator[Account]:
    """An account with one large message."""
    account = chain.account("streams@example.com")
    account.empty()
    for name in ("cur", "new", "tmp"):
        (account.maildir / name).mkdir(parents=True)
    (account.maildir / "cur" / "1700000000.1.host:2,S").write_bytes(large.replace(b"\r\n", b"\n"))
    account.own()
    yield account
    account.empty()


def same(got: bytes, wanted: bytes) -> bool:
    """Whether they are the same, without a comparison of megabytes in a failure."""
    return (len(got), hashlib.sha256(got).digest()) == (len(wanted), hashlib.sha256(wanted).digest())


def fetched(talk: Talk, how: str) -> bytes:
    """The message, as it was announced."""
    if how.startswith("imap"):
        talk.send(b"f FETCH 1 BODY.PEEK[]\r\n")
        size = int(talk.line().rpartition(b"{")[2].rstrip(b"}\r\n"))
        octets = talk.read(size)
        assert talk.line() == b")\r\n"
        assert talk.line().startswith(b"f OK")
        return octets
    talk.send(b"RETR 1\r\n")
    size = int(talk.line().split()[1])
    octets = talk.read(size)
    assert talk.line() == b".\r\n"
    return octets


@pytest.mark.parametrize("how", HOW)
def test_a_large_message_is_fetched(how: str, servers: Servers, box: Account, large: bytes) -> None:
    with secured(servers, how) as talk:
        assert log_in(talk, how, box).startswith((b"l OK", b"+OK logged in."))
        if how.startswith("imap"):
            talk.ask(b"s SELECT INBOX")
        assert same(fetched(talk, how), large)


@pytest.mark.parametrize("how", ["imap", "imap+starttls"])
def test_a_large_message_is_appended(how: str, servers: Servers, box: Account) -> None:
    sent = letter(APPENDED)
    with secured(servers, how) as talk:
        log_in(talk, how, box)
        folder = b"INBOX." + how.encode()
        assert talk.ask(b"c CREATE " + folder)[-1].startswith(b"c OK")
        assert talk.ask(b"a APPEND %s {%d}" % (folder, len(sent)))[-1].startswith(b"+")
        talk.send(sent + b"\r\n")
        assert talk.answer(b"a")[-1].startswith(b"a OK")
        talk.ask(b"s SELECT " + folder)
        assert same(fetched(talk, how), sent)
        talk.ask(b"u CLOSE")
        assert talk.ask(b"d DELETE " + folder)[-1].startswith(b"d OK")


def exchange(talk: Frank, sent: bytes, end: bytes) -> bytes:
    """Send and read at once, as far as either goes without waiting, until that is what came last."""
    talk.socket.setblocking(False)
    pending, got = memoryview(sent), bytearray()
    while not got.endswith(end):
        reads, writes, _ = select.select([talk.socket], [talk.socket] if pending else [], [], CLIENT_SECONDS)
        assert reads or writes, (len(pending), len(got))
        with contextlib.suppress(SSL.WantReadError):
            got += talk.tls.recv(16384)
        with contextlib.suppress(SSL.WantWriteError):
            pending = pending[talk.tls.send(pending[:16384]) :] if pending else pending
    assert not pending
    return bytes(got)


def test_both_ways_at_once(servers: Servers, box: Account, large: bytes) -> None:
    """The server sends a large message, and a large command is on its way to it."""
    sent = letter(APPENDED)
    with Frank(servers.port("imap")) as talk:
        talk.secure().line()
        log_in(talk, "imap", box)
        talk.ask(b"s EXAMINE INBOX")
        commands = b"f FETCH 1 BODY.PEEK[]\r\na APPEND INBOX.none {%d+}\r\n%b\r\nn NOOP\r\n" % (len(sent), sent)
        got = exchange(talk, commands, b"\r\nn OK NOOP completed\r\n")
    assert large in got
    assert b"\r\na NO [TRYCREATE]" in got[-300:]


@pytest.mark.parametrize("how", HOW)
def test_a_client_that_has_said_everything(how: str, servers: Servers, box: Account, large: bytes) -> None:
    """It ends its side of TLS (close_notify), and still gets the answer to all that it asked."""
    with Frank(servers.port(how)) as talk:
        if "+" in how:
            talk.line()
            ask_for_tls(talk, how)
        talk.secure()
        if "+" not in how:
            talk.line()
        log_in(talk, how, box)
        talk.send(b"s EXAMINE INBOX\r\nf FETCH 1 BODY.PEEK[]\r\n" if how.startswith("imap") else b"RETR 1\r\n")
        talk.tls.shutdown()
        rest = talk.rest()
    end = b")\r\nf OK FETCH completed.\r\n" if how.startswith("imap") else b".\r\n"
    assert rest.endswith(large[-1000:] + end), rest[-200:]
    assert large in rest
