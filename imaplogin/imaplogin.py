"""imaplogin: the IMAP stage before authentication.  See imaplogin(8).

Speaks IMAP until somebody has proved who they are, then becomes that account and the next program of its command line.
"""

from __future__ import annotations

import binascii
import os

from authdaemond import client
from authdaemond.sasl import registry
from authdaemond.sasl.mechanism import Malformed as MalformedExchange
from couriertcpd import environ, installed, log, slotnote, stage
from couriertcpd.stage import DONE
from imapd.wire import capability, fragment, identification, response
from imapd.wire.lexer import Arguments, Malformed
from imaplogin import certlogin, handon, preauth, starttls
from imaplogin.channel import Channel, Disconnected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeVar

    from authdaemond.account import Account
    from couriertcpd.handover import Arrival

    Outcome = TypeVar("Outcome")

FAILED = 1
MAX_VIOLATIONS = 10
MAX_LINE_OCTETS = 16384
MAX_LITERAL_OCTETS = 8192  # user names and passwords; as the original
MAX_COMMAND_OCTETS = 65536

# For the fork server (couriertcpd.forkserver).  A process that never becomes a user can serve one client after another.
REUSABLE = True
PRELOAD = ("ctypes", "imaplogin.rehearsal", "imaplogin.unprivileged", "pwd")
LAUNCHER = "imaplogin.launch"

BANNER = "Courier-IMAP ready. See COPYING for distribution information."


class Bye(Exception):
    """The connection ends; the text says why, empty when the client has been told."""

    def __init__(self, text: str = "", status: int = FAILED) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class Login:
    """The conversation up to a successful login."""

    def __init__(self, channel: Channel, peer: preauth.Peer, stages: list[str]) -> None:
        self._channel = channel
        self._peer = peer
        self._stages = stages
        self._service = preauth.service("imap")
        self._violations = 0
        self._fragmenter = fragment.Fragmenter(MAX_LINE_OCTETS, MAX_COMMAND_OCTETS)
        self._commands: dict[bytes, Callable[[bytes, Arguments], None]] = {
            b"AUTHENTICATE": self._authenticate,
            b"CAPABILITY": self._capability,
            b"ID": self._id,
            b"LOGIN": self._login,
            b"LOGOUT": self._logout,
            b"NOOP": self._noop,
            b"STARTTLS": self._starttls,
        }

    def converse(self) -> None:
        """Answer commands until one of them ends this stage; raises Bye, Disconnected or what preauth raises."""
        self._channel.write(response.untagged(b"OK [CAPABILITY %s] %s" % (capabilities(), BANNER.encode())))
        while True:
            event = self._next_event()
            if isinstance(event, fragment.Command):
                self._execute(event)
            elif isinstance(event, fragment.Literal):
                self._announced(event)
            else:
                self._channel.write(response.untagged(b"NO [ALERT] IMAP command too long."))
                self._violation(b"*", "Command line too long.")

    def _next_event(self) -> object:
        while True:
            event = self._fragmenter.next_event()
            if event is not None:
                return event
            wanted = self._fragmenter.octets_wanted
            octets = self._channel.read_octets(wanted) if wanted else self._channel.read_line()
            if self._channel.received == len(octets) and starttls.looks_like_tls(octets):
                log.info(f"TLS on a port for clear text, {self._peer.where}")
                raise Bye("This port is for clear text; say STARTTLS first.")
            self._fragmenter.feed(octets)

    def _execute(self, command: fragment.Command) -> None:
        arguments = Arguments(command.octets)
        tag = b"*"
        try:
            tag = arguments.tag()
            name = arguments.keyword_upper()
            if name not in self._commands:
                raise Malformed("Unknown command, or not before LOGIN.")
            self._commands[name](tag, arguments)
            self._violations = 0
        except Malformed as problem:
            self._violation(tag, str(problem))

    def _announced(self, literal: fragment.Literal) -> None:
        if literal.size > MAX_LITERAL_OCTETS:
            literal.refuse()
            self._channel.write(response.untagged(b"NO [ALERT] IMAP command too long."))
            self._violation(_tag_of(literal.prefix), "Literal too large.")
            return
        literal.accept()
        if literal.synchronising:
            self._channel.write(response.continuation())

    def _violation(self, tag: bytes, reason: str) -> None:
        self._violations += 1
        if self._violations >= MAX_VIOLATIONS:
            log.err("TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS, " + self._peer.where)
            raise Bye("[ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: ")
        self._channel.write(response.tagged(tag, b"BAD", reason))

    def _capability(self, tag: bytes, arguments: Arguments) -> None:
        arguments.expect_end()
        self._channel.write(response.untagged(b"CAPABILITY " + capabilities()))
        self._channel.write(response.tagged(tag, b"OK", "CAPABILITY completed"))

    def _noop(self, tag: bytes, arguments: Arguments) -> None:
        arguments.expect_end()
        self._channel.write(response.tagged(tag, b"OK", "NOOP completed"))

    def _id(self, tag: bytes, arguments: Arguments) -> None:
        fields = identification.parse(arguments)
        arguments.expect_end()
        log.info(f"ID, {self._peer.where}{identification.log_text(fields)}")
        system = os.uname()
        self._channel.write(
            identification.render(environ.number("IMAP_ID_FIELDS"), installed.VERSION, system.sysname, system.release)
        )
        self._channel.write(response.tagged(tag, b"OK", "ID completed"))

    def _logout(self, tag: bytes, arguments: Arguments) -> None:
        arguments.expect_end()
        self._channel.write(response.untagged(b"BYE Courier-IMAP server shutting down"))
        self._channel.write(response.tagged(tag, b"OK", "LOGOUT completed"))
        self._channel.flush()
        log.info(f"LOGOUT, {self._peer.where}, rcvd={self._channel.received}, sent={self._channel.sent}")
        raise Bye(status=DONE)

    def _starttls(self, tag: bytes, arguments: Arguments) -> None:
        arguments.expect_end()
        if not starttls.available():
            raise Malformed("STARTTLS is not available.")
        self._fragmenter = fragment.Fragmenter(MAX_LINE_OCTETS, MAX_COMMAND_OCTETS)
        try:
            starttls.begin(self._channel, response.tagged(tag, b"OK", "Begin SSL/TLS negotiation now."))
        except starttls.Failed as reason:
            self._channel.write(response.tagged(tag, b"NO", f"STARTTLS failed: {reason}"))
        slotnote.note("login", protocol="IMAP", tls=environ.enabled("IMAP_TLS"))

    def _login(self, tag: bytes, arguments: Arguments) -> None:
        user, password = arguments.astring(), arguments.astring()
        arguments.expect_end()
        if self._tls_missing(tag):
            return
        userid = client.with_default_domain(user)
        data = b"%s\n%s\n" % (userid, password)
        if b"\n" in userid or b"\n" in password:
            raise Malformed("A user name or password cannot hold a line end.")
        self._log_in(tag, f"user={log.printable(user)}", self._checked(b"login", data))

    def _authenticate(self, tag: bytes, arguments: Arguments) -> None:
        name = arguments.keyword_upper()
        initial = None if arguments.at_end else arguments.base64()
        arguments.expect_end()
        if self._tls_missing(tag):
            return
        mechanism = registry.find(name)
        who = f"method={log.printable(name)}"
        if name == certlogin.MECHANISM and certlogin.identity():
            answer = self._exchanged(certlogin.exchange(initial))
            self._log_in(tag, who, lambda: certlogin.account(self._service, answer))
            return
        if mechanism is None:
            self._channel.write(response.tagged(tag, b"NO", "Unsupported authentication mechanism."))
            return
        credentials = self._exchanged(mechanism.exchange(initial))
        self._log_in(tag, who, self._checked(credentials.authtype, credentials.data))

    def _checked(self, authtype: bytes, data: bytes) -> Callable[[], Account]:
        return lambda: client.authenticate(self._service, authtype, data, stage.audience)

    def _exchanged(self, exchange: Generator[bytes, bytes, Outcome]) -> Outcome:
        """Challenges and responses (RFC 3501 section 6.2.2); raises Malformed when it is broken or given up."""
        try:
            challenge = next(exchange)
            while True:
                self._channel.write(response.continuation(binascii.b2a_base64(challenge, newline=False).decode()))
                challenge = exchange.send(self._response_line())
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        except MalformedExchange as problem:
            raise Malformed(str(problem)) from None

    def _response_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += self._channel.read_line()
            if len(line) > MAX_LINE_OCTETS:
                raise Bye("[ALERT] Fatal error: SASL response too long.")
        line = line.rstrip(b"\r\n")
        if line == b"*":
            raise Malformed("Authentication aborted.")
        try:
            return binascii.a2b_base64(line, strict_mode=True)
        except binascii.Error:
            raise Malformed("Invalid base64 in the response.") from None

    def _tls_missing(self, tag: bytes) -> bool:
        if starttls.required():
            self._channel.write(response.tagged(tag, b"NO", "STARTTLS required"))
            return True
        return False

    def _log_in(self, tag: bytes, who: str, ask: Callable[[], Account]) -> None:
        self._channel.flush()
        try:
            account = preauth.decide(self._peer, who, ask)
            environ.put("IMAPLOGINTAG", tag)
            handon.log_in(self._peer, who, account, self._stages)
        except client.Rejected:
            self._channel.write(response.tagged(tag, b"NO", "Login failed."))
        except client.TemporaryFailure:
            raise Bye("Temporary problem, please try again later") from None


def _tag_of(prefix: bytes) -> bytes:
    try:
        return Arguments(prefix).tag()
    except Malformed:
        return b"*"


def capabilities() -> bytes:
    """What CAPABILITY says before authentication."""
    tls = environ.enabled("IMAP_TLS")
    base = capability.configured(environ.text("IMAP_CAPABILITY"), environ.text("IMAP_CAPABILITY_TLS"), tls)
    mechanisms = [name.decode() for name in registry.names()]
    sorts = environ.number("IMAP_DISABLETHREADSORT") <= 0
    off = capability.switched_off(environ.enabled("IMAP_MOVE_EXPUNGE_TO_TRASH"), sorts)
    return capability.text(
        base,
        environ.text("IMAP_EXTENSIONS"),
        tls=tls,
        mechanisms=mechanisms,
        starttls=starttls.available(),
        tls_required=starttls.required(),
        external=bool(certlogin.identity()),
        off=off,
    ).encode()


def next_stage(argv: list[str]) -> list[str] | None:
    """What this stage becomes when somebody has logged in."""
    return handon.next_stages(argv[1:])


def side_stage(argv: list[str]) -> list[str] | None:
    """The couriertls for STARTTLS."""
    return starttls.side_stage()


def prepare(argv: list[str]) -> None:
    """Before the first fork."""
    from imaplogin import unprivileged

    unprivileged.prepare("imaplogin")


def before_wait() -> None:
    """Give up root before there is a client, so that none waits for that."""
    from imaplogin import unprivileged

    unprivileged.arrive()


def rehearse() -> None:
    """Get ready to talk."""
    from imaplogin import rehearsal

    rehearsal.rehearse(b"OK [CAPABILITY %s] %s" % (capabilities(), BANNER.encode()))


def arrive(handed: Arrival) -> None:
    """Give up root before the first octet from the network, or end."""
    from imaplogin import unprivileged

    unprivileged.arrive()
    unprivileged.receive(handed)


def main(argv: list[str]) -> int:
    """Serve one client on descriptors 0 and 1 until it has logged in."""
    channel = Channel()
    stages = handon.next_stages(argv[1:])
    environ.put("PROTOCOL", "IMAP")
    peer = preauth.Peer(port="143")
    status = DONE
    try:
        _serve(channel, peer, stages)
    except Bye as end:
        status = end.status
        _say_bye(channel, end.text)
    except Disconnected:
        _gone(peer)
    except preauth.TimedOut:
        _say_bye(channel, "Disconnected for inactivity.")
        _gone(peer)
    except preauth.Shutdown:
        _say_bye(channel, "Courier-IMAP server shut down by signal.")
        log.notice(f"Disconnected during shutdown by signal, {peer.where}, time={peer.seconds}{_starttls()}")
    return status


def _serve(channel: Channel, peer: preauth.Peer, stages: list[str] | None) -> None:
    try:
        channel.signalled = preauth.limit_time()
        if stages is None:
            raise Bye("imaplogin expected exactly two arguments.")
        log.debug(f"Connection, {peer.where}")
        tls = environ.enabled("IMAP_TLS")
        slotnote.note("login", protocol="IMAP", tls=tls)
        if not tls:
            starttls.forget_certificate()
        Login(channel, peer, stages).converse()
    finally:
        preauth.end_soon()


def _gone(peer: preauth.Peer) -> None:
    log.debug(f"Disconnected, {peer.where}, time={peer.seconds}{_starttls()}")


def _starttls() -> str:
    return ", starttls=1" if environ.enabled("IMAP_TLS") else ""


def _say_bye(channel: Channel, text: str) -> None:
    if not text:
        return
    try:
        channel.write(response.untagged(b"BYE " + text.encode()))
        channel.flush()
    except Disconnected:
        return
    stage.farewell(1)
