"""STARTTLS and STLS: the client's connection becomes that of a couriertls, and ours is its clear-text side.

Neither the key nor TLS is ever in the login stage.  In the prefork form processes of couriertls wait beside it; the
client's descriptor is handed to one of them (`couriertls -passed`).  In the exec form, and where COURIERTLS is not
ours, the program is started, with the original's command line.
"""

from __future__ import annotations

import os
import signal
import socket

from couriertcpd import environ, installed, log, privileges, stage
from imaplogin import preauth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imaplogin.channel import Channel

MAX_STATUS_OCTETS = 4096
MAX_DUMP_OCTETS = 262144
_DEFAULT = "couriertls"
_SUBJECT = "TLS_SUBJECT_"
_RECORD = b"\x16\x03"  # how a TLS handshake begins


class Failed(Exception):
    """There is no TLS; the text is for the client, who goes on in clear text."""


def available(protocol: str = "IMAP") -> bool:
    """Whether the client may ask for TLS: protocol is IMAP or POP3, the prefix of the settings' names."""
    if environ.enabled(f"{protocol}_TLS") or not environ.yes(f"{protocol}_STARTTLS"):
        return False
    return stage.side_socket is not None or (_executable() and _has_certificate())


def required(protocol: str = "IMAP") -> bool:
    """Whether a password may not be sent yet: {protocol}_TLS_REQUIRED without {protocol}_TLS."""
    return environ.enabled(f"{protocol}_TLS_REQUIRED") and not environ.enabled(f"{protocol}_TLS")


def looks_like_tls(octets: bytes) -> bool:
    """Whether a client that sends this at first has taken the port for an encrypted one."""
    return octets.startswith(_RECORD)


def side_stage(protocol: str = "IMAP") -> list[str] | None:
    """For couriertcpd.forkserver: the couriertls whose processes are to wait beside those of the login stage."""
    if environ.enabled(f"{protocol}_TLS") or not environ.yes(f"{protocol}_STARTTLS"):
        return None
    if not _executable() or not _has_certificate():
        return None
    return [environ.text("COURIERTLS"), "-server", "-tcpd", "-passed"]


def _executable() -> bool:
    program = environ.text("COURIERTLS")
    return bool(program) and os.access(program, os.X_OK)


def _has_certificate() -> bool:
    """Whether there is a certificate that a couriertls could read which we start: whether it is good, that says."""
    paths = environ.octets("TLS_CERTFILE"), environ.octets("TLS_PRIVATE_KEYFILE")
    return bool(paths[0]) and all(os.access(path, os.R_OK) for path in paths if path)


def begin(channel: Channel, go_ahead: bytes, protocol: str = "IMAP") -> None:
    """Throw away what came before the answer, send the answer go_ahead, and go on when TLS has been agreed on.

    Afterwards the channel is in clear text on couriertls's side, the environment says {protocol}_TLS=1,
    {protocol}_STARTTLS=NO, {protocol}_TLS_REQUIRED=0, and TLS_SUBJECT_* what a verified certificate says.
    Raises Failed: the connection goes on as it was.  Raises channel.Disconnected.
    """
    channel.discard()
    # Behind the answer the client reads TLS, and may have agreed on that when we have yet to hear so.  A signal waits,
    # for last words to go out behind TLS; the end of the login phase is told by the end of the connection alone.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, preauth.ENDING)
    try:
        channel.write(go_ahead)
        channel.flush()
        channel.silent = True
        failure = _put_between(channel)
        channel.silent = False
        if not failure:
            environ.put(f"{protocol}_STARTTLS", "NO")
            environ.put(f"{protocol}_TLS_REQUIRED", "0")
            environ.put(f"{protocol}_TLS", "1")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    if failure:
        raise Failed(failure)


def _put_between(channel: Channel) -> str:
    """Have couriertls where the client was; returns why that cannot be, empty when it is done."""
    ours, theirs = socket.socketpair()
    with ours:
        text, dump = _negotiate(ours, theirs)
        if text:
            _log(text)
            return text.removeprefix("DEBUG: ")
        _tell(dump)
        for number in (0, 1):
            os.dup2(ours.fileno(), number)
    channel.reopen()
    return ""


def _negotiate(ours: socket.socket, theirs: socket.socket) -> tuple[str, bytes]:
    """Have a couriertls take the client; what went wrong, empty for nothing, and what it tells of the client.

    The clock of the login phase bounds the wait.
    """
    status_end, status = os.pipe()
    dump_end, dump = os.pipe()
    try:
        with theirs:
            if not _handed(ours, theirs, status, dump):
                _start(theirs, status, dump)
        os.close(status)
        os.close(dump)
        told = _read(dump_end, MAX_DUMP_OCTETS)  # which ends before the status does
        text = _read(status_end, MAX_STATUS_OCTETS).decode("utf-8", "replace")
        if not text and not told:
            text = "couriertls has ended"
        return log.printable(text.strip()), told
    finally:
        os.close(status_end)
        os.close(dump_end)


def _read(descriptor: int, most: int) -> bytes:
    octets = b""
    while len(octets) < most:
        more = os.read(descriptor, most - len(octets))
        if not more:
            break
        octets += more
    return octets


def _handed(ours: socket.socket, theirs: socket.socket, status: int, dump: int) -> bool:
    """Hand the client to a couriertls that waits; false where none does."""
    if stage.side_socket is None:
        return False
    try:
        stage.hand_over(stage.side_socket, [_DEFAULT], environ.everything(), descriptors=(0, theirs.fileno(), 2, 3))
    except OSError as error:
        log.warn(f"hand-over to couriertls: {error.strerror or error}; the program is started")
        return False
    socket.send_fds(ours, [b"T"], [status, dump])
    return True


def _start(theirs: socket.socket, status: int, dump: int) -> None:
    """Start couriertls as nobody's child: this process becomes the server later, which expects none."""
    program = environ.text("COURIERTLS") or _DEFAULT
    argv = [program, f"-statusfd={status}", f"-printx509={dump}", f"-localfd={theirs.fileno()}", "-tcpd", "-server"]
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        if os.fork():
            os._exit(0)
        for descriptor in (theirs.fileno(), status, dump):
            os.set_inheritable(descriptor, True)
        os.dup2(0, 1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if stage.module_of(program) is None:
            _be_the_mail_user()  # ours gives up root itself, when it has read the key
        stage.execute(argv)
    except BaseException as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        os.write(status, f"500 Unable to start couriertls: {reason}".encode())
    finally:
        os._exit(1)


def _be_the_mail_user() -> None:
    if os.geteuid() == 0:
        import pwd

        user = pwd.getpwnam(installed.MAILUSER)
        privileges.become(user.pw_uid, user.pw_gid, installed.MAILUSER)


def _log(text: str) -> None:
    if text.startswith("DEBUG: "):
        log.debug(text.removeprefix("DEBUG: "))
    else:
        log.info(text)


def forget_certificate() -> None:
    """Drop what an environment says of a client's certificate."""
    for name in environ.everything():
        if name.startswith(_SUBJECT.encode()):
            environ.drop(os.fsdecode(name))


def _tell(dump: bytes) -> None:
    """Put into the environment what couriertls tells of the connection: the first certificate, protocol and cipher."""
    forget_certificate()
    facts: dict[str, str] = {}
    subject: list[tuple[str, str]] | None = None
    for line in dump.decode("utf-8", "replace").splitlines():
        if line == "Subject:":
            subject = [] if subject is None else subject
        elif line.startswith("   ") and subject is not None and "Not-Before" not in facts:
            name, _, value = line.strip().partition("=")
            subject.append((name, value))
        else:
            name, _, value = line.partition(": ")
            facts.setdefault(name, value)
    for name, value in subject or ():
        if name.isascii() and name.isalnum() and value:
            environ.put(_SUBJECT + name.upper(), value)
    if "Version" in facts:
        protocol = f"{facts['Version']},{facts.get('Bits', '')}bits,{facts.get('Cipher', '')}"
        environ.put("TLS_CONNECTED_PROTOCOL", protocol)
    environ.drop("TLS_EXPORTER")
    if "Exporter" in facts:
        environ.put("TLS_EXPORTER", facts["Exporter"])
