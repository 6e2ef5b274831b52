"""One connection to a TLS server, from the handshake to the end."""

from __future__ import annotations

import os
import signal
import socket

from OpenSSL import SSL

from couriertcpd import environ, installed, log, privileges, slotnote, stage, tlspeer
from couriertcpd.certificates import Unusable
from couriertcpd.tlscontext import NO_CERTIFICATE, ServerContexts
from couriertcpd.tlsoptions import Options
from couriertcpd.tlsrelay import HandshakeFailed, Relay, shake_hands
from couriertcpd.tlssettings import NONE, Settings
from couriertcpd.tlssides import Beside, ClearSide, NextStage, NotTaken, Program

FAILED = 1
HANDSHAKE_SECONDS = 30.0
PROGRAM_SECONDS = 10  # after a signal, or when the program has ended, for the last words to the client
_PASSED_SECONDS = 5.0

User = tuple[int, int]


class Report:
    """Where it is told why there is no TLS: -statusfd until the handshake, then the log."""

    def __init__(self, descriptor: int = -1) -> None:
        self._descriptor = descriptor
        address = environ.text("TCPREMOTEIP")
        self._who = f"ip=[{address}], " if address else ""

    def say(self, text: str, *, debug: bool = False) -> None:
        """Tell it once: as a line in the log, or to whoever waits at the descriptor."""
        line = self._who + text
        if self._descriptor < 0:
            (log.debug if debug else log.info)(line)
            return
        try:
            os.write(self._descriptor, (("DEBUG: " if debug else "") + log.printable(line)).encode())
        except OSError:
            return  # nobody waits any more
        self.close()

    def close(self) -> None:
        """Close the descriptor: whoever waits knows now, and the log gets what comes later."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def find_user(name: str) -> User | None:
    """Who a server is when it has given up root: the user of that name, or the mail user; ourselves without root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    import pwd

    try:
        user = pwd.getpwnam(name or installed.MAILUSER)
    except KeyError:
        return None
    return user.pw_uid, user.pw_gid


def give_up_root(user: User | None, *, files: bool) -> None:
    """Become the user, if we are root, for good; ends the process when that fails."""
    if user is None:
        log.alert(f"no user {installed.MAILUSER} on this host, as whom TLS is spoken; make it, or name one with -user")
        raise SystemExit(stage.TEMPORARY)
    try:
        privileges.renounce(*user, [], files=files)
    except (OSError, privileges.NotPermitted) as error:
        log.alert(f"couriertls cannot give up its privileges: {error}")
        raise SystemExit(stage.TEMPORARY) from None


def serve(options: Options, contexts: ServerContexts | None = None) -> int:
    """Serve the client; contexts are those of a fork server, whose process has given up root."""
    status, dump = _passed() if options.passed else (options.statusfd, options.printx509)
    report = Report(status)
    slotnote.note("handshake", tls=True)
    descriptor = os.dup(0 if options.tcpd else options.remotefd)
    exec_form = contexts is None
    try:
        if contexts is None:
            contexts = ServerContexts(Settings())
        context = contexts.for_address(environ.text("TCPLOCALIP"))
    except Unusable as problem:
        log.err(str(problem))
        report.say(f"couriertls: {NO_CERTIFICATE}")
        return FAILED
    side = _clear_side(options, descriptor)
    if exec_form:
        give_up_root(find_user(options.user), files=True)
    if options.passed or options.localfd >= 0:
        _end_with_the_program()  # which waits for the handshake, and says goodbye behind it
    try:
        connection = _accept(context, descriptor)
    except HandshakeFailed as failure:
        side.abandon()
        report.say(str(failure), debug=failure.closed)
        return FAILED
    return _go_on(connection, side, report, dump)


def _passed() -> tuple[int, int]:
    """The descriptors for status and certificates, which come first through the clear-text side."""
    with socket.socket(fileno=os.dup(1)) as clear:
        clear.settimeout(_PASSED_SECONDS)
        _, descriptors, _, _ = socket.recv_fds(clear, 1, 2)
    if len(descriptors) != 2:
        raise SystemExit(stage.MISUSE)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return descriptors[0], descriptors[1]


def _clear_side(options: Options, descriptor: int) -> ClearSide:
    if options.program:
        return NextStage(options.program, descriptor) if stage.next_socket is not None else Program(options.program)
    if options.passed:
        return Beside(os.dup(1))
    if options.localfd >= 0:
        return Beside(options.localfd)
    return Beside(0, 1)


def _accept(context: SSL.Context, descriptor: int) -> SSL.Connection:
    client = socket.socket(fileno=descriptor)
    client.setblocking(False)
    if client.family in (socket.AF_INET, socket.AF_INET6):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = SSL.Connection(context, client)
    connection.set_accept_state()
    shake_hands(connection, HANDSHAKE_SECONDS, "accept")
    return connection


def _go_on(connection: SSL.Connection, side: ClearSide, report: Report, dump: int) -> int:
    # With NONE nobody was asked for a certificate; else one that there is has been verified.
    verified = connection.get_verify_mode() != NONE
    if dump >= 0:
        with open(dump, "wb", buffering=0) as file:
            file.write(tlspeer.dump(connection, verified))
    report.close()
    _end_with_the_program()
    try:
        clear = side.open(tlspeer.variables(connection, verified))
    except NotTaken as problem:
        log.err(str(problem))
        return FAILED
    relay = Relay(connection, *clear)
    relay.run()
    if relay.trouble:
        report.say(f"couriertls: {relay.trouble}")
    elif relay.truncated:
        report.say("Unexpected SSL connection shutdown.", debug=True)
    return stage.DONE


def _end_with_the_program() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _hurry)  # the program says goodbye, which the client is to hear


def _hurry(number: int, frame: object) -> None:
    signal.alarm(PROGRAM_SECONDS)
