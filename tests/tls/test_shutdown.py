"""The end of a server and of its sessions, as clients with TLS see it: last words, and then TLS's own end."""

from __future__ import annotations

import signal
import ssl

import pytest
from chain import START_SECONDS, Account, Listener

from tests.tls.servers import HOW, Servers, Talk, ask_for_tls, context, log_in

STRICT = context()
STRICT.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # which Python sets

LAST_WORDS = {
    "imap": b"* BYE Courier-IMAP server shut down by signal.\r\n",
    "pop3": b"-ERR [SYS/TEMP] Courier-IMAP server shut down by signal.\r\n",
}


def connected(listener: Listener, how: str) -> Talk:
    """A client with TLS that takes a connection which just ends for an error, and has read the greeting."""
    talk = Talk(listener)
    if "+" in how:
        talk.line()
        assert b"OK Begin SSL/TLS" in ask_for_tls(talk, how)
    talk.secure(STRICT, suppress_ragged_eofs=False)
    if "+" not in how:
        talk.line()
    return talk


def whole(talk: Talk) -> bytes:
    """What comes until close_notify; an OSError without one."""
    octets = b""
    while more := talk.socket.recv(4096):
        octets += more
    return octets


@pytest.mark.parametrize("how", HOW)
def test_at_the_end_of_the_server_clients_hear_of_it(how: str, servers: Servers, account: Account) -> None:
    listener = servers.port(how, TLS_TIMEOUT="601")
    idle, logged_in = connected(listener, how), connected(listener, how)
    assert b" OK" in b" " + log_in(logged_in, how, account).replace(b"+OK", b" OK")
    listener.process.send_signal(signal.SIGTERM)
    for talk in (idle, logged_in):
        with talk:
            assert whole(talk) == LAST_WORDS[how[:4]]
    listener.process.wait(START_SECONDS)


@pytest.mark.parametrize("how", HOW)
def test_the_end_of_a_session_is_the_end_of_tls(how: str, servers: Servers, account: Account) -> None:
    with connected(servers.port(how), how) as talk:
        log_in(talk, how, account)
        talk.send(b"o LOGOUT\r\n" if how.startswith("imap") else b"QUIT\r\n")
        assert whole(talk).endswith((b"o OK LOGOUT completed\r\n", b"+OK Bye-bye.\r\n"))
