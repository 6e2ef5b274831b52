"""couriertls as a client, for looking at servers: connect, ask for TLS, and relay to a program or the terminal."""

from __future__ import annotations

import os
import socket
import sys

from OpenSSL import SSL

from couriertcpd import log, stage, tlscontext, tlspeer
from couriertcpd.certificates import Unusable
from couriertcpd.tlsoptions import Options
from couriertcpd.tlsrelay import HandshakeFailed, Relay, shake_hands
from couriertcpd.tlsserver import FAILED, HANDSHAKE_SECONDS, Report
from couriertcpd.tlssettings import Settings
from couriertcpd.tlssides import Beside, ClearSide, NotTaken, Program

_ANY_NAME = "peer"  # -verify=peer: a certificate that an authority has signed, of whoever -domain says
_MAX_LINE_OCTETS = 8192
_MAX_LINES = 100

# What to say, and what begins the line that answers it.
_DIALOGUE = {
    "imap": ((b"", b"* OK"), (b"a001 STARTTLS\r\n", b"a001 OK")),
    "pop3": ((b"", b"+OK"), (b"STLS\r\n", b"+OK")),
    "smtp": ((b"", b"220 "), (b"EHLO localhost\r\n", b"250 "), (b"STARTTLS\r\n", b"220 ")),
}


class Refused(Exception):
    """There is no connection to that server; the text says why."""


def run(options: Options) -> int:
    """Connect and relay until one of the two ends."""
    report = Report(options.statusfd)
    server = options.domain or (options.verify if options.verify != _ANY_NAME else "")
    try:
        context = tlscontext.client(Settings(), verify=bool(options.verify))
        sock = _connected(options)
        if options.protocol:
            _ask_for_tls(sock, options.protocol)
        connection = _with_tls(context, sock, server or options.host)
        if options.verify and server:
            check_name(connection, server)
        side = _clear_side(options)
        if options.printx509 >= 0:
            with open(options.printx509, "wb", buffering=0) as file:
                file.write(tlspeer.dump(connection, True))
        report.close()
        clear = side.open(tlspeer.variables(connection, bool(options.verify)))
        relay = Relay(connection, *clear, until_peer_ends=True)
    except (Unusable, Refused, HandshakeFailed, NotTaken) as problem:
        if options.statusfd >= 0:
            report.say(str(problem))
        else:
            print(log.printable(str(problem)), file=sys.stderr)
        return FAILED
    relay.run()
    if relay.trouble:
        report.say(f"couriertls: {relay.trouble}")
    return stage.DONE


def _clear_side(options: Options) -> ClearSide:
    if options.program:
        return Program(options.program)
    return Beside(options.localfd) if options.localfd >= 0 else Beside(0, 1)


def _connected(options: Options) -> socket.socket:
    if options.tcpd or options.remotefd >= 0:
        return socket.socket(fileno=os.dup(0 if options.tcpd else options.remotefd))
    try:
        port = int(options.port) if options.port.isdigit() else socket.getservbyname(options.port, "tcp")
        if not 0 < port < 65536:
            raise OverflowError
    except (OSError, OverflowError):
        raise Refused(f"{options.port}: invalid port.") from None
    try:
        return socket.create_connection((options.host, port), timeout=HANDSHAKE_SECONDS)
    except socket.gaierror:
        raise Refused(f"{options.host}: not found.") from None
    except OSError as error:
        raise Refused(f"{options.host}: {error.strerror or error}") from None


def _ask_for_tls(sock: socket.socket, protocol: str) -> None:
    """The dialogue before TLS.  Nothing but the answers is read: what follows must be TLS."""
    sock.settimeout(HANDSHAKE_SECONDS)
    try:
        for command, wanted in _DIALOGUE[protocol]:
            sock.sendall(command)
            for _ in range(_MAX_LINES):
                line = _line(sock)
                if line.startswith(wanted):
                    break
                if not line.startswith((b"*", b"250-", b"220-")):
                    raise Refused(f"the server refuses TLS: {log.printable(line.rstrip())}")
    except OSError as error:
        raise Refused(f"no answer: {error.strerror or error}") from None


def _line(sock: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_LINE_OCTETS:
        octet = sock.recv(1)
        if not octet:
            raise Refused("the server has closed the connection")
        line += octet
    return line


def _with_tls(context: SSL.Context, sock: socket.socket, server: str) -> SSL.Connection:
    sock.setblocking(False)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = SSL.Connection(context, sock)
    if server and not _address(server):  # the extension is for names only
        connection.set_tlsext_host_name(server.encode("idna"))
    connection.set_connect_state()
    shake_hands(connection, HANDSHAKE_SECONDS, "connect")
    return connection


def _address(text: str) -> str:
    """An IP address in its shortest form; empty when the text is none."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, text))
        except OSError:
            continue
    return ""


def check_name(connection: SSL.Connection, server: str) -> None:
    """See that the server's certificate is for that name or address (RFC 9525 section 6); raises Refused.

    One without alternative names, as the original's tools make them, is for its CN, if that is no address.
    """
    certificate = connection.get_peer_certificate(as_cryptography=True)
    names = tlspeer.dns_names(certificate) if certificate is not None else []
    addresses = tlspeer.addresses(certificate) if certificate is not None else []
    if certificate is not None and not names:
        names = [value for field, value in tlspeer.subject(certificate) if field == "CN"]
    wanted = _address(server)
    if wanted:
        good = wanted in map(_address, addresses)
    else:
        good = any(_is_for(name.lower(), server.lower()) for name in names)
    if not good:
        raise Refused(f"Certificate owner mismatch: {', '.join([*names, *addresses]) or 'no name in it'}")


def _is_for(pattern: str, server: str) -> bool:
    """A name of a certificate; *. stands for one label at the beginning."""
    if pattern.startswith("*."):
        return pattern.count(".") >= 2 and pattern[2:] == server.partition(".")[2]
    return pattern == server
