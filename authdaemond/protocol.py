"""The protocol on authdaemond's socket, both ends, as bytes in and bytes out: no sockets, no clocks.

A client connects, sends one request, reads one reply, and closes.  Lines end in LF.  Before the request may stand
metadata lines `NAME=VALUE`, which daemons before courier-authlib 0.71 do not understand; a name that a daemon does not
know, as TICKET is to the original's, means nothing to it.

    PRE <module or .> <service> <userid>        an account, without a password
    AUTH <length>                               then that many octets: service LF authtype LF authdata
    PASSWD <service> TAB <userid> TAB <old> TAB <new>
    ENUMERATE

An account comes back as `KEY=VALUE` lines and a line `.`; a rejection is `FAIL`; a temporary failure is a connection
closed with nothing sent.  Who asked for a TICKET with AUTH gets one more line, if the daemon can sign.
"""

from __future__ import annotations

import binascii

from authdaemond.account import Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_LINE_OCTETS = 8192  # of a request line, LF included
MAX_METADATA_LINES = 16
MAX_AUTH_OCTETS = 8191  # what stands behind AUTH; the original closes at 8192
MAX_REPLY_OCTETS = 65536  # of an account record
MAX_ENUMERATED_LINE_OCTETS = 16384
MAX_ID_OCTETS = 10  # digits of a uid or gid
MAX_REMOTE_IP_OCTETS = 39
MAX_AUDIENCE_OCTETS = 64

FAIL = b"FAIL\n"
OK = b"OK\n"
END = b".\n"


class Malformed(Exception):
    """The other end does not speak this protocol.

    `reply` is what a daemon answers before it closes the connection, mostly nothing.
    """

    def __init__(self, reason: str, reply: bytes = b"") -> None:
        super().__init__(reason)
        self.reply = reply


class Lookup:
    """PRE: the account of a user id, from one module or (`.`) the first that has it."""

    __slots__ = ("module", "remote_ip", "service", "userid")

    def __init__(self, module: bytes, service: bytes, userid: bytes) -> None:
        self.module, self.service, self.userid, self.remote_ip = module, service, userid, b""

    def encode(self) -> bytes:
        """The request line.  Raises Malformed when a value cannot be said in it."""
        if b" " in self.module + self.service + self.userid[:1] or not (self.module and self.service and self.userid):
            raise Malformed("a blank or nothing where a word is needed")
        return _line(b"PRE %s %s %s" % (self.module, self.service, self.userid))


class Authenticate:
    """AUTH: the account of credentials.  `data` is as authdaemond.authdata reads it, depending on authtype.

    `audience` is whom a ticket shall be for, nobody by default.  A lookup has none: whoever asks it has proved nothing.
    """

    __slots__ = ("audience", "authtype", "data", "remote_ip", "service")

    def __init__(self, service: bytes, authtype: bytes, data: bytes) -> None:
        self.service, self.authtype, self.data = service, authtype, data
        self.remote_ip = self.audience = b""

    def encode(self) -> bytes:
        """The request.  Raises Malformed when it is too long or a value cannot be said in it."""
        if not (self.service and self.authtype) or b"\n" in self.service + self.authtype:
            raise Malformed("a line feed or nothing where a word is needed")
        body = b"%s\n%s\n%s" % (self.service, self.authtype, self.data)
        if len(body) > MAX_AUTH_OCTETS:
            raise Malformed("credentials too long")
        return b"AUTH %d\n%s" % (len(body), body)


class ChangePassword:
    """PASSWD: replace a password, knowing the old one."""

    __slots__ = ("new", "old", "remote_ip", "service", "userid")

    def __init__(self, service: bytes, userid: bytes, old: bytes, new: bytes) -> None:
        self.service, self.userid, self.old, self.new, self.remote_ip = service, userid, old, new, b""

    def encode(self) -> bytes:
        """The request line.  Raises Malformed when a value cannot be said in it."""
        parts = (self.service, self.userid, self.old, self.new)
        if any(has_controls(part) for part in parts):
            raise Malformed("a control character in a name or password")
        return _line(b"PASSWD " + b"\t".join(parts))


class Enumerate:
    """ENUMERATE: every account of every module that can list them."""

    __slots__ = ("remote_ip",)

    def __init__(self) -> None:
        self.remote_ip = b""

    def encode(self) -> bytes:
        """The request line."""
        return b"ENUMERATE\n"


Request = Lookup | Authenticate | ChangePassword | Enumerate


def _line(text: bytes) -> bytes:
    if b"\n" in text or len(text) >= MAX_LINE_OCTETS:
        raise Malformed("a line feed in a name, or a name too long")
    return text + b"\n"


def has_controls(text: bytes) -> bool:
    """True when there is a control character in it (the ASCII ones: user ids may be UTF-8)."""
    return any(octet < 32 or octet == 127 for octet in text)


def metadata(values: Mapping[bytes, bytes]) -> bytes:
    """The lines that go before a request.  Raises Malformed for control characters, as the original fails (EINVAL)."""
    for name, value in values.items():
        if not name or b"=" in name or b" " in name or has_controls(name + value):
            raise Malformed("a control character in what is known about the client")
    return b"".join(b"%s=%s\n" % pair for pair in values.items())


class RequestReader:
    """Takes the octets of one request as they come."""

    __slots__ = ("_audience", "_awaited", "_buffer", "_lines", "_remote_ip")

    def __init__(self) -> None:
        self._buffer = b""
        self._lines = 0
        self._remote_ip = self._audience = b""
        self._awaited: int | None = None  # octets still to come behind AUTH

    def feed(self, octets: bytes) -> Request | None:
        """The request, once it is complete; what comes behind it is ignored.  Raises Malformed."""
        self._buffer += octets
        while self._awaited is None:
            end = self._buffer.find(b"\n", 0, MAX_LINE_OCTETS)
            if end < 0:
                if len(self._buffer) >= MAX_LINE_OCTETS:
                    raise Malformed("request line too long")
                return None
            line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
            if b"=" in line.split(b" ", 1)[0]:
                self._take_metadata(line)
            elif line.startswith(b"AUTH "):
                self._awaited = _auth_length(line[5:])
            else:
                return self._finish(_parse_line(line))
        if len(self._buffer) < self._awaited:
            return None
        return self._finish(_parse_auth(self._buffer[: self._awaited]))

    def _take_metadata(self, line: bytes) -> None:
        self._lines += 1
        if self._lines > MAX_METADATA_LINES:
            raise Malformed("too many metadata lines")
        name, _, value = line.partition(b"=")
        if name == b"TCPREMOTEIP" and len(value) <= MAX_REMOTE_IP_OCTETS and not has_controls(value):
            self._remote_ip = value
        if name == b"TICKET" and 0 < len(value) <= MAX_AUDIENCE_OCTETS and value.isalnum():
            self._audience = value

    def _finish(self, request: Request) -> Request:
        request.remote_ip = self._remote_ip
        if isinstance(request, Authenticate):
            request.audience = self._audience
        return request


def _auth_length(text: bytes) -> int:
    digits = text.strip()
    if not digits.isdigit() or len(digits) > len(b"8191") or int(digits) > MAX_AUTH_OCTETS:
        raise Malformed("AUTH with an impossible length")
    return int(digits)


def _parse_auth(body: bytes) -> Authenticate:
    parts = body.split(b"\n", 2)
    if len(parts) < 3 or not parts[0] or not parts[1]:
        raise Malformed("AUTH without service, type and data")
    return Authenticate(*parts)


def _parse_line(line: bytes) -> Request:
    command, _, rest = line.partition(b" ")
    if command == b"PRE":
        module, _, rest = rest.lstrip(b" ").partition(b" ")
        service, _, rest = rest.lstrip(b" ").partition(b" ")
        userid = rest.lstrip(b" ")
        if not (module and service and userid):
            raise Malformed("PRE without module, service and user id")
        return Lookup(module, service, userid)
    if command == b"PASSWD":
        return _parse_passwd(rest)
    if line == b"ENUMERATE":
        return Enumerate()
    raise Malformed("unknown request")


def _parse_passwd(rest: bytes) -> ChangePassword:
    if has_controls(rest.replace(b"\t", b"")):
        raise Malformed("a control character in a name or password", FAIL)
    parts = rest.split(b"\t")
    if len(parts) < 4:
        raise Malformed("PASSWD without service, user id, old and new password")
    return ChangePassword(*parts[:4])


def encode_account(account: Account, with_secrets: bool = True) -> bytes:
    """The reply that accepts; without secrets it has neither passwords nor ticket.

    Raises Malformed when a value would break the record's lines.
    """
    secret = (account.passwd, account.passwd2, account.ticket) if with_secrets else (b"", b"", b"")
    record: list[tuple[bytes, bytes]] = []
    if account.username is not None:
        record.append((b"USERNAME", account.username.encode("utf-8", "surrogateescape")))
    if account.uid is not None:
        record.append((b"UID", b"%d" % account.uid))
    record += [(b"GID", b"%d" % account.gid), (b"HOME", account.home)]
    optional = (
        (b"ADDRESS", account.address),
        (b"NAME", account.fullname),
        (b"MAILDIR", account.maildir),
        (b"QUOTA", account.quota),
        (b"PASSWD", secret[0]),
        (b"PASSWD2", secret[1]),
        (b"OPTIONS", account.options),
        (b"TICKET", binascii.b2a_base64(secret[2], newline=False)),
    )
    record += [pair for pair in optional if pair[1]]
    for name, value in record:
        if b"\n" in value or b"\0" in value:
            raise Malformed(f"a line feed or NUL in the account's {name.decode('ascii')}")
    return b"".join(b"%s=%s\n" % pair for pair in record) + END


def account_reply_complete(octets: bytes) -> bool:
    """True when a reply to PRE or AUTH is there as a whole."""
    return octets in (FAIL, END) or octets.endswith(b"\n" + END)


def parse_account(reply: bytes) -> Account | None:
    """The account of a complete reply; None when it says FAIL.

    What the daemon left out is empty (None for uid and username): whether an account without it is any use, the caller
    must say.  Raises Malformed.
    """
    if reply == FAIL:
        return None
    if not reply.endswith(b"\n" + END):
        raise Malformed("neither an account nor FAIL")
    values = {}
    for line in reply[: -len(END)].split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals:
            values[name] = value
    gid = _number(values, b"GID")
    if gid is None:
        raise Malformed("an account without GID")
    account = Account(values.get(b"ADDRESS", b""), values.get(b"HOME", b""), gid, _number(values, b"UID"))
    if values.get(b"USERNAME"):
        account.username = values[b"USERNAME"].decode("utf-8", "surrogateescape")
    account.fullname = values.get(b"NAME", b"")
    account.maildir = values.get(b"MAILDIR", b"")
    account.quota = values.get(b"QUOTA", b"")
    account.passwd = values.get(b"PASSWD", b"")
    account.passwd2 = values.get(b"PASSWD2", b"")
    account.options = values.get(b"OPTIONS", b"")
    try:
        account.ticket = binascii.a2b_base64(values.get(b"TICKET", b""), strict_mode=True)
    except binascii.Error:
        raise Malformed("TICKET is not base64") from None
    return account


def _number(values: Mapping[bytes, bytes], name: bytes) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    if not text.isdigit() or len(text) > MAX_ID_OCTETS:
        raise Malformed(f"{name.decode('ascii')} is not a number")
    return int(text)


class Enumerated:
    """One account of an enumeration."""

    __slots__ = ("gid", "home", "maildir", "options", "uid", "userid")

    def __init__(self, userid: bytes, uid: int, gid: int, home: bytes, maildir: bytes, options: bytes) -> None:
        self.userid, self.uid, self.gid = userid, uid, gid
        self.home, self.maildir, self.options = home, maildir, options

    def encode(self) -> bytes:
        """The reply's line.  Raises Malformed when a value cannot be said in it."""
        parts = (self.userid, b"%d" % self.uid, b"%d" % self.gid, self.home, self.maildir, self.options)
        if any(b"\t" in part or b"\n" in part for part in parts):
            raise Malformed("a tab or line feed in an account")
        return b"\t".join(parts) + b"\n"


def encode_enumeration_heading(module: str) -> bytes:
    """What goes before a module's accounts."""
    return b"# %s\n\n" % module.encode("utf-8")


class EnumerationReader:
    """Takes the octets of an enumeration as they come; `complete` is set by the final `.`."""

    __slots__ = ("_buffer", "complete")

    def __init__(self) -> None:
        self._buffer = b""
        self.complete = False

    def feed(self, octets: bytes) -> Iterator[Enumerated]:
        """The accounts that have come in whole, without root's.  Raises Malformed for a line without end."""
        *lines, self._buffer = (self._buffer + octets).split(b"\n")
        if len(self._buffer) > MAX_ENUMERATED_LINE_OCTETS:
            raise Malformed("a line too long in an enumeration")
        for line in lines:
            if self.complete:
                return
            if line == b".":
                self.complete = True
                continue
            found = _parse_enumerated(line.partition(b"#")[0])
            if found is not None:
                yield found


def _parse_enumerated(line: bytes) -> Enumerated | None:
    parts = line.split(b"\t")
    if len(parts) < 4 or not parts[0]:
        return None
    userid, uid, gid, home, maildir, options = (*parts, b"", b"")[:6]
    if not (uid.isdigit() and gid.isdigit()) or max(len(uid), len(gid)) > MAX_ID_OCTETS:
        return None
    if int(uid) == 0 or int(gid) == 0:
        return None
    return Enumerated(userid, int(uid), int(gid), home, maildir, options)
