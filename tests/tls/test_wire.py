"""Clients that do it wrong, or mean harm: each is answered as it should be, and told in the log once."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct

import pytest
from chain import Account, Chain
from OpenSSL import SSL

from couriertcpd import tlsrelay
from tests.tls.openssl import Frank
from tests.tls.servers import HOW, Servers, Talk, ask_for_tls, context, log_in, secured, told, until, until_told

CONNECTED = "DEBUG: Connection, IP, PORT"
IMAP_GONE, POP3_GONE = "DEBUG: Disconnected, IP, PORT, time=N", "DEBUG: Disconnected, IP, PORT"
STARTED = ["imap+starttls", "pop3+stls"]
CROWD = 100
NO_TLS = b"a LOGIN kim secret\r\n"


def gone(how: str, secure: bool = False) -> str:
    """The last line of a login stage; only IMAP's tells the time, and TLS."""
    return (IMAP_GONE + ", starttls=1" * secure) if how.startswith("imap") else POP3_GONE


def wanting(protocol: str) -> ssl.SSLContext:
    client = context()
    client.set_alpn_protocols([protocol])
    return client


@pytest.mark.parametrize("how", HOW)
def test_the_protocol_that_a_client_wants(how: str, servers: Servers, chain: Chain) -> None:
    """ALPN: a match is agreed on, nothing is fine, and another protocol is refused."""
    protocol = how.partition("+")[0]
    for client, agreed in ((wanting(protocol), protocol), (context(), None)):
        with secured(servers, how, client, TLS_ALPN=protocol) as talk:
            assert talk.socket.selected_alpn_protocol() == agreed  # type: ignore[attr-defined]
    lines = [f"INFO: IP, couriertls: accept: the client wants another protocol than {protocol}"]
    with Talk(servers.port(how, TLS_ALPN=protocol)) as talk:
        if "+" in how:
            talk.line()
            ask_for_tls(talk, how)
            lines = [CONNECTED, *lines, gone(how)]
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            talk.secure(wanting("http/1.1"))
    until_told(chain, talk.address, *lines)


@pytest.mark.parametrize("how", STARTED)
def test_what_comes_before_the_handshake_is_thrown_away(how: str, servers: Servers, chain: Chain) -> None:
    """No answer, before or after, and nothing of it remains: not even the name of a USER."""
    imap = how.startswith("imap")
    with Talk(servers.port(how)) as talk:
        talk.line()
        smuggled = (
            b"s STARTTLS\r\nb NOOP\r\nc LOGIN kim {3}\r\n" if imap else b"USER kim\r\nSTLS\r\nNOOP\r\nUSER eve\r\n"
        )
        talk.send(smuggled)
        if not imap:
            assert talk.line() == b"+OK Password required.\r\n"
        assert b"OK Begin SSL/TLS negotiation now." in talk.line()
        talk.secure()
        if imap:
            assert talk.ask(b"d NOOP") == [b"d OK NOOP completed"]
            talk.send(b"e LOGOUT\r\n")
            assert talk.rest().endswith(b"e OK LOGOUT completed\r\n")
        else:
            assert talk.ask(b"PASS x") == [b"-ERR USER/PASS required."]
            talk.send(b"QUIT\r\n")
            assert talk.rest() == b"+OK Better luck next time.\r\n"
    end = ["INFO: LOGOUT, IP, PORT, rcvd=N, sent=N"] if imap else ["INFO: LOGOUT, IP, PORT", POP3_GONE]
    until_told(chain, talk.address, CONNECTED, *end)


@pytest.mark.parametrize("how", STARTED)
def test_tls_is_asked_for_once(how: str, servers: Servers) -> None:
    with secured(servers, how) as talk:
        refusal = (b"s BAD ", b"-ERR TLS support not available.")
        assert ask_for_tls(talk, how).startswith(refusal)


@pytest.mark.parametrize("how", STARTED)
def test_no_tls_after_all(how: str, servers: Servers, chain: Chain) -> None:
    """The client hears why, and the connection goes on in clear text."""
    with Talk(servers.port(how)) as talk:
        talk.line()
        ask_for_tls(talk, how)
        talk.send(NO_TLS + b"\r\n")
        said = b""
        while b"failed" not in said:
            line = talk.line()
            assert line
            said += line
        assert b"STARTTLS failed: ip=[" in said
        assert b"couriertls: accept: " in said
        assert b"secret" not in said
        talk.send(b"\r\n")
    until_told(chain, talk.address, CONNECTED, "INFO: IP, couriertls: accept: wrong version number", gone(how))


@pytest.mark.parametrize("how", ["imap", "pop3"])
@pytest.mark.parametrize(
    ("octets", "reason"),
    [(NO_TLS, "wrong version number"), (b"GET / HTTP/1.0\r\n\r\n", "http request")],
    ids=["mail", "http"],
)
def test_clear_text_on_the_encrypted_port(how: str, octets: bytes, reason: str, servers: Servers, chain: Chain) -> None:
    """No greeting, and nothing is started behind TLS."""
    with Talk(servers.port(how)) as talk:
        talk.send(octets)
        assert b"OK" not in talk.rest()
    until_told(chain, talk.address, f"INFO: IP, couriertls: accept: {reason}")


@pytest.mark.parametrize("how", STARTED)
def test_tls_on_the_port_for_clear_text(how: str, servers: Servers, chain: Chain) -> None:
    with Talk(servers.port(how)) as talk:
        with pytest.raises(ssl.SSLError):
            talk.secure()
    until_told(chain, talk.address, CONNECTED, "INFO: TLS on a port for clear text, IP, PORT", *_bye(how))


def _bye(how: str) -> list[str]:
    return [] if how.startswith("imap") else [POP3_GONE]


@pytest.mark.parametrize("how", HOW)
def test_gone_before_the_handshake(how: str, servers: Servers, chain: Chain) -> None:
    lines = ["DEBUG: IP, Unexpected SSL connection shutdown."]
    with Talk(servers.port(how)) as talk:
        if "+" in how:
            talk.line()
            ask_for_tls(talk, how)
            lines = [CONNECTED, *lines, gone(how)]
        talk.send(b"\x16\x03\x01\x02\x00\x01")
    until_told(chain, talk.address, *lines)


@pytest.mark.parametrize("how", ["imap", "pop3"])
@pytest.mark.parametrize("orderly", [True, False], ids=["close_notify", "cut"])
def test_a_connection_that_is_cut(how: str, orderly: bool, servers: Servers, chain: Chain) -> None:
    """A record that ends in the middle, and no close_notify: the command in it is not taken."""
    lines = [CONNECTED, gone(how, secure=True)]
    with Frank(servers.port(how)) as talk:
        talk.secure().line()
        if orderly:
            talk.tls.shutdown()
        else:
            talk.socket.sendall(struct.pack(">BHH", 23, 0x0303, 200) + b"x" * 50)
            lines.append("DEBUG: IP, Unexpected SSL connection shutdown.")
    until(lambda: len(told(chain, talk.address)) >= len(lines), lambda: told(chain, talk.address))
    assert sorted(told(chain, talk.address)) == sorted(lines)  # two processes write them


@pytest.mark.parametrize("how", ["imap", "pop3"])
def test_a_forged_record(how: str, servers: Servers, chain: Chain) -> None:
    with Frank(servers.port(how)) as talk:
        talk.secure().line()
        talk.socket.sendall(struct.pack(">BHH", 23, 0x0303, 50) + b"x" * 50)
        with pytest.raises(SSL.Error):
            talk.line()
    reason = "INFO: IP, couriertls: decryption failed or bad record mac"
    until(lambda: len(told(chain, talk.address)) == 3, lambda: told(chain, talk.address))
    assert sorted(line[: len(reason)] for line in told(chain, talk.address)) == sorted(
        line[: len(reason)] for line in (CONNECTED, gone(how, secure=True), reason)
    )


def test_no_renegotiation(servers: Servers, chain: Chain) -> None:
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    client.set_max_proto_version(SSL.TLS1_2_VERSION)
    with Frank(servers.port("imap")) as talk:
        talk.secure(client).line()
        talk.tls.renegotiate()
        with pytest.raises(SSL.Error, match="renegotiation"):
            talk.tls.do_handshake()


@pytest.mark.parametrize(
    ("limit", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0"), (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "kRSA:@SECLEVEL=0"), (ssl.TLSVersion.TLSv1_2, "aNULL:eNULL:@SECLEVEL=0"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_too_old_or_too_weak(limit: ssl.TLSVersion, ciphers: str, servers: Servers, chain: Chain) -> None:
    client = context()
    client.set_ciphers(ciphers)
    client.minimum_version = client.maximum_version = limit
    with Talk(servers.port("imap")) as talk, pytest.raises(ssl.SSLError, match="alert"):
        talk.secure(client)
    reason = "no shared cipher" if limit == ssl.TLSVersion.TLSv1_2 else "unsupported protocol"
    until_told(chain, talk.address, f"INFO: IP, couriertls: accept: {reason}")


@pytest.mark.parametrize(
    ("chain", "how"),
    [("exec", "imap"), ("prefork", "imap"), ("prefork", "imap+starttls"), ("prefork", "pop3+stls")],
    indirect=["chain"],
)
def test_a_crowd_that_never_finishes_a_handshake(how: str, servers: Servers, account: Account) -> None:
    """From many addresses; half of them send the beginning of a hello.  Others log in meanwhile."""
    listener = servers.port(how)
    with contextlib.ExitStack() as crowd:
        talks = [crowd.enter_context(Talk(listener)) for _ in range(CROWD)]
        for number, talk in enumerate(talks):
            if "+" in how:
                talk.send(b"s STARTTLS\r\n" if how.startswith("imap") else b"STLS\r\n")
            if number % 2:
                talk.send(b"\x16\x03\x01\x02\x00\x01\x00")
        with secured(servers, how) as talk:
            assert log_in(talk, how, account).startswith((b"l OK", b"+OK logged in."))


@pytest.mark.parametrize("hello", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_a_handshake_has_its_time(hello: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(hello)
        connection = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD), ours)
        connection.set_accept_state()
        with pytest.raises(tlsrelay.HandshakeFailed, match="accept: no handshake within 0 seconds"):
            tlsrelay.shake_hands(connection, 0.05, "accept")
