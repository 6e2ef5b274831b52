"""The end of a server and of its sessions, as clients with TLS see it: last words, and then TLS's own end."""

from __future__ import annotations

import contextlib
import signal
import ssl
import time
from pathlib import Path

import psutil
import pytest
from chain import CLIENT_SECONDS, START_SECONDS, Account, Listener

from tests.tls.servers import HOW, Servers, Talk, ask_for_tls, context, log_in

STRICT = context()
STRICT.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # which Python sets

STARTED = [how for how in HOW if "+" in how]
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


def serving(talk: Talk, *names: str) -> psutil.Process:
    """The process that has this connection and runs one of these programs, once it listens for SIGTERM.

    It may be nobody's child.
    """
    port, wanted = talk.socket.getsockname()[1], 1 << signal.SIGTERM - 1
    deadline = time.monotonic() + CLIENT_SECONDS
    while time.monotonic() < deadline:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                if Path("".join(process.cmdline()[2:3])).name not in names:
                    continue
                status = Path(f"/proc/{process.pid}/status").read_text()
                caught = int(status.partition("SigCgt:")[2].split()[0], 16)
                has_it = any(end.raddr and end.raddr.port == port for end in process.net_connections("tcp"))
                if has_it and caught & wanted:
                    return process
    raise AssertionError(f"none of {names} has the connection")


@pytest.mark.parametrize("how", STARTED)
def test_a_login_stage_that_is_to_end_says_so_behind_tls(how: str, servers: Servers) -> None:
    """The client has been told to begin; clear text is no TLS record to it."""
    listener = servers.port(how)
    with Talk(listener) as talk:
        talk.line()
        ask_for_tls(talk, how)
        serving(talk, "imaplogin", "pop3login").send_signal(signal.SIGTERM)
        talk.secure(STRICT, suppress_ragged_eofs=False)
        assert whole(talk) == LAST_WORDS[how[:4]]


@pytest.mark.parametrize("how", STARTED)
def test_tls_does_not_end_before_the_login_stage_behind_it(how: str, servers: Servers) -> None:
    listener = servers.port(how)
    with Talk(listener) as talk:
        talk.line()
        ask_for_tls(talk, how)
        serving(talk, "couriertls").send_signal(signal.SIGTERM)
        talk.secure(STRICT, suppress_ragged_eofs=False)
        goodbye = talk.ask(b"n LOGOUT" if how.startswith("imap") else b"QUIT")
        assert b"OK" in goodbye[-1]
        assert whole(talk) == b""


@pytest.mark.parametrize("how", HOW)
def test_the_end_of_a_session_is_the_end_of_tls(how: str, servers: Servers, account: Account) -> None:
    with connected(servers.port(how), how) as talk:
        log_in(talk, how, account)
        talk.send(b"o LOGOUT\r\n" if how.startswith("imap") else b"QUIT\r\n")
        assert whole(talk).endswith((b"o OK LOGOUT completed\r\n", b"+OK Bye-bye.\r\n"))
