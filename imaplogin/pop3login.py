"""pop3login: the POP3 stage before authentication.  See pop3login(8).

Speaks POP3 until somebody has proved who they are, then becomes that account and the next program of its command line.
"""

from __future__ import annotations

import binascii

from authdaemond import authdata, client
from authdaemond.sasl import registry
from authdaemond.sasl.mechanism import Malformed
from couriertcpd import environ, log, slotnote, stage
from couriertcpd.stage import DONE
from imaplogin import certlogin, handon, preauth, starttls
from imaplogin.channel import Channel, Disconnected
from pop3d.wire import capability, command, response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from authdaemond.account import Account
    from authdaemond.sasl.mechanism import Credentials, Mechanism
    from couriertcpd.handover import Arrival

FAILED = 1

# For the fork server (couriertcpd.forkserver).  A process that never becomes a user can serve one client after another.
REUSABLE = True
PRELOAD = ("ctypes", "imaplogin.rehearsal", "imaplogin.unprivileged", "pwd")
LAUNCHER = "imaplogin.launch"

TEMPORARY_PROBLEM = response.error(b"Temporary problem, please try again later", response.TEMPORARY)
USER_OR_PASS_MISSING = response.error(b"USER/PASS required.")


class Bye(Exception):
    """The connection ends; the line says why."""

    def __init__(self, line: bytes, status: int = FAILED) -> None:
        super().__init__(line)
        self.line = line
        self.status = status


class Refused(Exception):
    """The answer to a command: the whole line."""

    def __init__(self, line: bytes) -> None:
        super().__init__(line)
        self.line = line


class Aborted(Exception):
    """The client gives up an exchange, or answers what is not base64."""


class Login:
    """The conversation up to a successful login."""

    def __init__(self, channel: Channel, peer: preauth.Peer, stages: list[str]) -> None:
        self._channel = channel
        self._peer = peer
        self._stages = stages
        self._service = preauth.service("pop3")
        self._lines = command.Lines()
        self._user = b""
        self._violations = 0
        self._commands: dict[bytes, Callable[[bytes], None]] = {
            b"AUTH": self._auth,
            b"CAPA": self._capa,
            b"LANG": self._lang,
            b"PASS": self._pass,
            b"QUIT": self._quit,
            b"STLS": self._stls,
            b"USER": self._name,
            b"UTF8": self._utf8,
        }

    def converse(self) -> None:
        """Answer commands until one of them ends this stage; raises Bye, Disconnected or what preauth raises."""
        environ.put("UTF8", "0")
        self._channel.write(response.ok(b"Hello there."))
        while True:
            name, arguments = command.split(self._next_line())
            try:
                if name not in self._commands:
                    raise Refused(response.INVALID_COMMAND)
                self._commands[name](arguments)
                self._violations = 0
            except Refused as answer:
                self._count(answer.line)
                self._channel.write(answer.line)

    def _count(self, line: bytes) -> None:
        self._violations = self._violations + 1 if line is response.INVALID_COMMAND else 0
        if self._violations >= response.MAX_VIOLATIONS:
            log.err("TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS, " + self._peer.where)
            raise Bye(response.TOO_MANY_VIOLATIONS)

    def _next_line(self) -> bytes:
        while True:
            line = self._lines.next_line()
            if line is not None:
                return line
            octets = self._channel.read_line()
            if self._channel.received == len(octets) and starttls.looks_like_tls(octets):
                log.info(f"TLS on a port for clear text, {self._peer.where}")
                raise Bye(response.error(b"This port is for clear text; say STLS first."))
            self._lines.feed(octets)

    def _capa(self, arguments: bytes) -> None:
        names = capability.mechanisms(
            environ.octets("POP3AUTH"), environ.octets("POP3AUTH_TLS"), environ.enabled("POP3_TLS"), registry.names()
        )
        if certlogin.identity("POP3"):
            names.append(b"EXTERNAL")
        self._channel.write(capability.capabilities(names, starttls.available("POP3")))

    def _lang(self, arguments: bytes) -> None:
        self._channel.write(capability.language(arguments.strip(b" \t")))

    def _utf8(self, arguments: bytes) -> None:
        environ.put("UTF8", "1")
        self._channel.write(response.ok(b"UTF8 enabled"))

    def _quit(self, arguments: bytes) -> None:
        log.info(f"LOGOUT, {self._peer.where}")
        raise Bye(response.ok(b"Better luck next time."), DONE)

    def _stls(self, arguments: bytes) -> None:
        if not starttls.available("POP3"):
            raise Refused(response.error(b"TLS support not available."))
        self._lines.forget()
        try:
            starttls.begin(self._channel, response.ok(b"Begin SSL/TLS negotiation now."), "POP3")
        except starttls.Failed as reason:
            raise Refused(response.error(b"STARTTLS failed: %b" % log.printable(str(reason)).encode())) from None
        self._user = b""
        slotnote.note("login", protocol="POP3", tls=True)

    def _name(self, arguments: bytes) -> None:
        self._need_tls()
        user = arguments.strip(b" \t")
        if not user:
            raise Refused(response.INVALID_COMMAND)
        self._user = user
        self._channel.write(response.ok(b"Password required."))

    def _pass(self, arguments: bytes) -> None:
        if not self._user or not arguments:
            raise Refused(USER_OR_PASS_MISSING)
        self._need_tls()
        data = authdata.encode_login(self._user, arguments)
        who = f"user={log.printable(self._user)}"
        self._log_in(who, lambda: self._ask(b"login", data), b"Login failed.")

    def _auth(self, arguments: bytes) -> None:
        name, initial = self._mechanism(arguments)
        self._need_tls()
        who = f"method={log.printable(name)}"
        try:
            ask = self._exchange(name, initial)
        except Aborted:
            preauth.failed(self._peer, who)
            raise Refused(response.error(b"Authentication aborted.")) from None
        self._log_in(who, ask, b"Authentication failed.")

    def _mechanism(self, arguments: bytes) -> tuple[bytes, bytes | None]:
        """The mechanism's name, and the initial response as it was sent, if there is one (RFC 5034)."""
        words = arguments.split()
        if not words or len(words) > 2:
            raise Refused(response.INVALID_COMMAND)
        return words[0].upper(), words[1] if len(words) == 2 else None

    def _exchange(self, name: bytes, initial: bytes | None) -> Callable[[], Account]:
        """Have the client say who it is; returns the question to authdaemond.  Raises Aborted."""
        decoded = None if initial is None else b"" if initial == b"=" else _decoded(initial)
        if name == b"EXTERNAL" and certlogin.identity("POP3"):
            told = decoded or self._answer(b"")
            return lambda: certlogin.account(self._service, told, "POP3")
        mechanism = registry.find(name)
        if mechanism is None:
            return _reject
        try:
            credentials = self._credentials(mechanism, decoded)
        except Malformed:
            return _reject
        return lambda: self._ask(credentials.authtype, credentials.data)

    def _credentials(self, mechanism: Mechanism, initial: bytes | None) -> Credentials:
        exchange = mechanism.exchange(initial)
        try:
            challenge = next(exchange)
            while True:
                challenge = exchange.send(self._answer(challenge))
        except StopIteration as end:
            credentials: Credentials = end.value
            return credentials

    def _answer(self, challenge: bytes) -> bytes:
        """The client's response to a challenge; raises Aborted."""
        self._channel.write(b"+ %b\r\n" % binascii.b2a_base64(challenge, newline=False))
        line = self._next_line()
        if line == b"*":
            raise Aborted
        return _decoded(line)

    def _need_tls(self) -> None:
        if starttls.required("POP3"):
            raise Refused(response.error(b"TLS required to log in."))

    def _ask(self, authtype: bytes, data: bytes) -> Account:
        return client.authenticate(self._service, authtype, data, stage.audience)

    def _log_in(self, who: str, ask: Callable[[], Account], failed: bytes) -> None:
        self._channel.flush()
        try:
            account = preauth.decide(self._peer, who, ask)
            handon.log_in(self._peer, who, account, self._stages)
        except client.Rejected:
            raise Refused(response.error(failed, response.AUTH)) from None
        except client.TemporaryFailure:
            raise Bye(TEMPORARY_PROBLEM) from None


def _decoded(octets: bytes) -> bytes:
    try:
        return binascii.a2b_base64(octets, strict_mode=True)
    except binascii.Error:
        raise Aborted from None


def _reject() -> Account:
    raise client.Rejected


def next_stage(argv: list[str]) -> list[str] | None:
    """What this stage becomes when somebody has logged in."""
    return handon.next_stages(argv[1:])


def side_stage(argv: list[str]) -> list[str] | None:
    """The couriertls for STLS."""
    return starttls.side_stage("POP3")


def prepare(argv: list[str]) -> None:
    """Before the first fork."""
    from imaplogin import unprivileged

    unprivileged.prepare("pop3login")


def before_wait() -> None:
    """Give up root before there is a client, so that none waits for that."""
    from imaplogin import unprivileged

    unprivileged.arrive()


def rehearse() -> None:
    """Get ready to talk."""
    from imaplogin import rehearsal

    rehearsal.rehearse_pop3()


def arrive(handed: Arrival) -> None:
    """Give up root before the first octet from the network, or end."""
    from imaplogin import unprivileged

    unprivileged.arrive()
    unprivileged.receive(handed)


def main(argv: list[str]) -> int:
    """Serve one client on descriptors 0 and 1 until it has logged in."""
    channel = Channel()
    stages = handon.next_stages(argv[1:])
    peer = preauth.Peer(port="110")
    status = DONE
    try:
        _serve(channel, peer, stages)
    except Bye as end:
        status = end.status
        _last_words(channel, end.line)
        log.debug(f"Disconnected, {peer.where}")
    except (Disconnected, preauth.TimedOut):
        log.debug(f"Disconnected, {peer.where}")  # RFC 1939 section 3: without a word
    except preauth.Shutdown:
        _last_words(channel, response.error(b"Courier-IMAP server shut down by signal.", response.TEMPORARY))
        log.notice(f"Disconnected during shutdown by signal, {peer.where}, time={peer.seconds}")
    return status


def _serve(channel: Channel, peer: preauth.Peer, stages: list[str] | None) -> None:
    try:
        channel.signalled = preauth.limit_time()
        if stages is None:
            raise Bye(response.error(b"pop3login requires exactly two arguments."))
        log.debug(f"Connection, {peer.where}")
        slotnote.note("login", protocol="POP3", tls=environ.enabled("POP3_TLS"))
        Login(channel, peer, stages).converse()
    finally:
        preauth.end_soon()


def _last_words(channel: Channel, line: bytes) -> None:
    try:
        channel.write(line)
        channel.flush()
    except Disconnected:
        return
    stage.farewell(1)
