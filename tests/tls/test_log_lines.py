"""The log lines of a login and a session, with TLS and without: filters and monitoring know them by heart."""

from __future__ import annotations

import re
import signal
import socket
import struct

import pytest
from chain import START_SECONDS, Account, Chain

from tests.tls.servers import HOW, Servers, Talk, log_in, secured, told, until, until_told

# How fail2ban's filter for Courier finds who failed to log in: behind the tag of syslog, the first address counts.
FAIL2BAN = re.compile(
    r"(?:courier)?(?:imapd?|pop3d?)(?:login)?(?:-ssl)?: "
    r"LOGIN FAILED, (?:(?!ip=)(?:user=[^,]*|\w+=[^,]*), )*ip=\[(?:::f{4,6}:)?(?P<host>[0-9.:a-f]+)\]"
)
# And how older ones do, and what administrators have written themselves.
OLDER = re.compile(r"(?:imapd|pop3d)(?:-ssl)?: LOGIN FAILED, (?:user|method)=.*, ip=\[(?:::ffff:)?(?P<host>\S+?)\]")
TAGS = {"imap": "imapd-ssl", "imap+starttls": "imapd", "pop3": "pop3d-ssl", "pop3+stls": "pop3d"}
SECURE = {"imap": ", starttls=1", "pop3": ", stls=1"}
CONNECTED = "DEBUG: Connection, IP, PORT"
COUNTS = {"imap": "headers=0, body=0, rcvd=N, sent=N, time=N", "pop3": "top=0, retr=0, rcvd=N, sent=N, time=N"}
# Of no account; the second would have somebody else shut out.
NAMES = {
    b"nobody@example.com": "user=nobody@example.com",
    b"x, ip=[192.0.2.1]": "user=x. ip=[192.0.2.1]",
}


def plain(servers: Servers, how: str) -> Talk:
    """A client of the port for clear text that has not asked for TLS."""
    talk = Talk(servers.port(how))
    talk.line()
    return talk


def opened(servers: Servers, how: str, tls: bool) -> Talk:
    return secured(servers, how) if tls else plain(servers, how)


WAYS = [(how, True) for how in HOW] + [(how, False) for how in HOW if "+" in how]


def test_a_failed_login_is_what_filters_look_for(servers: Servers, chain: Chain) -> None:
    """All at once: a failure takes five seconds."""
    talks = []
    for how, tls in WAYS:
        for name, line in NAMES.items():
            talk = opened(servers, how, tls)
            login = b'l LOGIN "%b" wrong\r\n' if how.startswith("imap") else b"USER %b\r\nPASS wrong\r\n"
            talk.send(login % name)
            talks.append((how, talk, line))
        talk = opened(servers, how, tls)
        talk.send(b"AUTH NONE,ip=[192.0.2.1]\r\n" if how.startswith("pop3") else b"l AUTHENTICATE PLAIN AHgAeQ==\r\n")
        talks.append((how, talk, "method=NONE.IP=[192.0.2.1]" if how.startswith("pop3") else "method=PLAIN"))
    for how, talk, line in talks:
        until_told(chain, talk.address, CONNECTED, f"INFO: LOGIN FAILED, {line}, IP, PORT")
        (raw,) = [one for one in chain.log_text().splitlines() if f"{talk.address}]" in one and "FAILED" in one]
        for wanted in (FAIL2BAN, OLDER):
            found = wanted.match(f"{TAGS[how]}: {raw.removeprefix('INFO: ')}")
            assert found, raw
            assert found["host"] == talk.address
        talk.close()


def user(how: str, account: Account) -> str:
    return f"user={account.name}, IP, PORT"


def login(how: str, account: Account, tls: bool) -> str:
    protocol = how.partition("+")[0]
    kind = ", protocol=IMAP" if protocol == "imap" else ""
    return f"INFO: LOGIN, {user(how, account)}{kind}{SECURE[protocol] * tls}"


def end(how: str, account: Account, what: str, tls: bool) -> str:
    protocol = how.partition("+")[0]
    return f"{what}, {user(how, account)}, {COUNTS[protocol]}{SECURE[protocol] * tls}"


def close_with_a_reset(talk: Talk) -> None:
    talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.close()


@pytest.mark.parametrize(("how", "tls"), WAYS)
def test_a_session(how: str, tls: bool, servers: Servers, chain: Chain, account: Account) -> None:
    """To its end, and one that is lost: over TLS that is told of, too, by the process that speaks it."""
    with opened(servers, how, tls) as talk:
        log_in(talk, how, account)
        talk.send(b"o LOGOUT\r\n" if how.startswith("imap") else b"QUIT\r\n")
        talk.rest()
    until_told(chain, talk.address, CONNECTED, login(how, account, tls), end(how, account, "INFO: LOGOUT", tls))
    talk = opened(servers, how, tls)
    log_in(talk, how, account)
    close_with_a_reset(talk)
    lines = [CONNECTED, login(how, account, tls), end(how, account, "INFO: DISCONNECTED", tls)]
    if tls:
        lines.append("DEBUG: IP, Unexpected SSL connection shutdown.")
    until(lambda: len(told(chain, talk.address)) >= len(lines), lambda: told(chain, talk.address))
    assert sorted(told(chain, talk.address)) == sorted(lines)


@pytest.mark.parametrize(("how", "tls"), WAYS)
def test_before_a_login(how: str, tls: bool, servers: Servers, chain: Chain) -> None:
    """The last line of POP3's login stage tells neither the time nor TLS; of IMAP's there is none behind a LOGOUT."""
    imap = how.startswith("imap")
    with opened(servers, how, tls) as talk:
        talk.send(b"o LOGOUT\r\n" if imap else b"QUIT\r\n")
        talk.rest()
    gone = "DEBUG: Disconnected, IP, PORT"
    lines = ["INFO: LOGOUT, IP, PORT, rcvd=N, sent=N"] if imap else ["INFO: LOGOUT, IP, PORT", gone]
    until_told(chain, talk.address, CONNECTED, *lines)
    talk = opened(servers, how, tls)
    close_with_a_reset(talk)
    lines = [CONNECTED, gone + f", time=N{SECURE['imap'] * tls}" * imap]
    if tls:
        lines.append("DEBUG: IP, Unexpected SSL connection shutdown.")
    until(lambda: len(told(chain, talk.address)) >= len(lines), lambda: told(chain, talk.address))
    assert sorted(told(chain, talk.address)) == sorted(lines)


@pytest.mark.parametrize("how", HOW)
def test_the_end_of_the_server(how: str, servers: Servers, chain: Chain, account: Account) -> None:
    told_by = {"TLS_TIMEOUT": "602"}  # a server of its own
    ways = [tls for known, tls in WAYS if known == how]
    talks = {}
    for tls in ways:
        before, after = (secured(servers, how, **told_by) if tls else Talk(servers.port(how, **told_by)) for _ in "12")
        if not tls:
            before.line()
            after.line()
        log_in(after, how, account)
        talks[tls] = before, after
    listener = servers.port(how, **told_by)
    listener.process.send_signal(signal.SIGTERM)
    listener.process.wait(START_SECONDS)
    shutdown, imap = "NOTICE: Disconnected during shutdown by signal", how.startswith("imap")
    for tls, (before, after) in talks.items():
        until_told(
            chain, before.address, CONNECTED, f"{shutdown}, IP, PORT, time=N{SECURE['imap'] * (tls and imap)}"
        )  # fmt: skip
        until_told(chain, after.address, CONNECTED, login(how, account, tls), end(how, account, shutdown, tls))
        before.close()
        after.close()
