"""Asking authdaemond, as the login stages and the tools do.  Everything has a deadline; nothing is remembered.

ENVIRONMENT
    AUTHDAEMONVAR   the directory of the daemon's socket; the installation's own when unset
    TIMEOUT_SOCK, TIMEOUT_WRITE, TIMEOUT_READ   seconds for connecting (10), sending (10) and the reply (30)
    TCPREMOTEIP     told to the daemon as metadata, for PAM_RHOST
    DEFDOMAIN, DOMAINSEP   see with_default_domain()

A daemon older than courier-authlib 0.71 takes the metadata line for an unknown request and closes the connection, which
is also what a temporary failure looks like.  So a request for an account that got nothing back is sent once more
without metadata.  With a newer daemon that only means a second try at what failed for the moment; nothing was decided
by the first.  PASSWD and ENUMERATE go without metadata: no back end uses it there, and PASSWD must not be sent twice.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time

from authdaemond import authdata, protocol
from couriertcpd import environ, installed, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from authdaemond.account import Account

_NOT_RUNNING = (errno.ECONNREFUSED, errno.ENOENT, errno.ETIMEDOUT, errno.EAGAIN)
_READ_OCTETS = 8192
_MAX_TIMEOUT_SECONDS = 3600


class Rejected(Exception):
    """There is no such account, or the credentials are wrong.  Which of the two, the daemon does not tell."""


class TemporaryFailure(Exception):
    """Whether the credentials are right cannot be said now.  The text says why, and has been logged."""


def authenticate(service: bytes, authtype: bytes, data: bytes, audience: bytes = b"") -> Account:
    """The account of credentials, as a mechanism's Credentials holds them; the default domain is added.

    With an audience the account has a ticket for it, if the daemon can sign.  Raises Rejected, TemporaryFailure.
    """
    request = protocol.Authenticate(service, authtype, _domain_added(authtype, data))
    return _account(request, _client_metadata(audience))


def lookup(service: bytes, userid: bytes, module: bytes = b".") -> Account:
    """The account of a user id, without any password, from one module or the first that has it.

    The default domain is not added.  Raises Rejected, TemporaryFailure.
    """
    if protocol.has_controls(userid):
        raise Rejected
    return _account(protocol.Lookup(module, service, userid), _client_metadata())


def change_password(service: bytes, userid: bytes, old: bytes, new: bytes) -> None:
    """Replace a password; the default domain is added.  Raises Rejected, TemporaryFailure."""
    request = protocol.ChangePassword(service, with_default_domain(userid), old, new)
    octets = _encoded(request)
    with _connect() as connection:
        _send(connection, octets)
        reply = _receive(connection, lambda reply: reply in (protocol.OK, protocol.FAIL))
    if reply == protocol.FAIL:
        raise Rejected
    if reply != protocol.OK:
        raise _failure("no answer to a password change")


def enumerate_accounts() -> Iterator[protocol.Enumerated]:
    """Every account that the daemon can list, root's left out; TemporaryFailure is raised where the list is cut off."""
    reader = protocol.EnumerationReader()
    with _connect() as connection:
        _send(connection, protocol.Enumerate().encode())
        while not reader.complete:
            octets = _read_some(connection, _seconds("TIMEOUT_READ", 30))
            if not octets:
                raise _failure("the list of accounts was cut off")
            try:
                yield from reader.feed(octets)
            except protocol.Malformed as error:
                raise _failure(str(error)) from None


def with_default_domain(userid: bytes) -> bytes:
    """The user id with DEFDOMAIN behind it, if it has no domain yet.

    It has one when it contains a character of DOMAINSEP, or, when that is unset, the first character of DEFDOMAIN.
    """
    domain = environ.octets("DEFDOMAIN")
    separators = environ.octets("DOMAINSEP") or domain[:1]
    if not domain or any(octet in separators for octet in userid):
        return userid
    return userid + domain


def _domain_added(authtype: bytes, data: bytes) -> bytes:
    credentials = authdata.parse(authtype, data)
    if credentials is None:
        return data
    userid = with_default_domain(credentials.userid)
    if userid == credentials.userid:
        return data
    credentials.userid = userid
    if isinstance(credentials, authdata.Login):
        return authdata.encode_login(userid, credentials.password)
    return credentials.encode()


def _client_metadata(audience: bytes = b"") -> bytes:
    address = environ.octets("TCPREMOTEIP")
    known = {b"TCPREMOTEIP": address, b"TICKET": audience}
    try:
        return protocol.metadata({name: value for name, value in known.items() if value})
    except protocol.Malformed as error:
        raise _failure(f"TCPREMOTEIP: {error}") from None


def _account(request: protocol.Lookup | protocol.Authenticate, metadata: bytes) -> Account:
    octets = _encoded(request)
    reply = _ask(metadata + octets)
    if not reply and metadata:
        reply = _ask(octets)
    if not reply:
        raise _failure("the connection was closed without an answer: a back end failed for the moment, see its log")
    try:
        account = protocol.parse_account(reply)
    except protocol.Malformed as error:
        raise _failure(f"an answer that is {error}") from None
    if account is None:
        raise Rejected
    return account


def _encoded(request: protocol.Request) -> bytes:
    try:
        return request.encode()
    except protocol.Malformed:
        raise Rejected from None  # what cannot even be asked is nobody's name or password


def _ask(octets: bytes) -> bytes:
    with _connect() as connection:
        _send(connection, octets)
        return _receive(connection, protocol.account_reply_complete)


def _seconds(name: str, default: int) -> int:
    value = environ.number(name, default)
    return value if 0 < value <= _MAX_TIMEOUT_SECONDS else default


def _connect() -> socket.socket:
    directory = environ.text("AUTHDAEMONVAR") or installed.AUTHDAEMONVAR
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # A blocking connect with a send timeout waits for room in the daemon's queue; a non-blocking one would not.
        limit = struct.pack("ll", _seconds("TIMEOUT_SOCK", 10), 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        connection.connect(os.path.join(directory, "socket"))
    except OSError as error:
        connection.close()
        reason = error.strerror or str(error)
        log.err(f"authdaemon: s_connect() failed: {reason}")
        if error.errno in _NOT_RUNNING:
            log.err("[Hint: perhaps authdaemond is not running?]")
        elif error.errno in (errno.EACCES, errno.EPERM):
            log.err(f"[Hint: this user may not enter {directory}; it belongs to the mail user and group]")
        raise TemporaryFailure(reason) from None
    return connection


def _send(connection: socket.socket, octets: bytes) -> None:
    try:
        connection.settimeout(_seconds("TIMEOUT_WRITE", 10))
        connection.sendall(octets)
    except (BrokenPipeError, ConnectionResetError):
        return  # a daemon that closes early may still have answered
    except OSError as error:
        raise _failure(f"write: {error.strerror or error}") from None


def _receive(connection: socket.socket, complete: Callable[[bytes], bool]) -> bytes:
    """A reply; b"" when the daemon closed the connection without one."""
    deadline = time.monotonic() + _seconds("TIMEOUT_READ", 30)
    reply = b""
    while not complete(reply):
        octets = _read_some(connection, deadline - time.monotonic())
        if not octets:
            if reply:
                raise _failure("the answer was cut off")
            break
        reply += octets
        if len(reply) > protocol.MAX_REPLY_OCTETS:
            raise _failure("the answer is too long")
    return reply


def _read_some(connection: socket.socket, seconds: float) -> bytes:
    if seconds <= 0:
        raise _failure("read: timed out")
    try:
        connection.settimeout(seconds)
        return connection.recv(_READ_OCTETS)
    except ConnectionResetError:
        return b""
    except OSError as error:
        raise _failure(f"read: {error.strerror or error}") from None


def _failure(reason: str) -> TemporaryFailure:
    log.err(f"authdaemon: {reason}")
    return TemporaryFailure(reason)
