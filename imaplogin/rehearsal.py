"""What a login stage does for a client, done once for nobody, in a process that waits for one.

A process that was just forked shares its memory with the fork server, and copies each page when it first writes there;
Python writes wherever it looks.  Those copies take longer than all else in a login.  Made before there is a client,
nobody waits for them.
"""

from __future__ import annotations

import os
import socket

from authdaemond import authdata, client, protocol
from authdaemond.account import Account
from couriertcpd import environ, handover, slotnote
from imapd.wire import response
from imapd.wire.lexer import Arguments
from imaplogin import preauth
from imaplogin.channel import Channel
from pop3d.wire import command
from pop3d.wire import response as pop3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NOBODY = Account(b"user@example.com", b"/nonexistent", 1, 1)
_RECORD = protocol.encode_account(_NOBODY, with_secrets=False) + b".\n"


def rehearse(greeting: bytes) -> None:
    """Greet, read a LOGIN, ask and parse, encode a hand-over; nothing leaves the process."""
    _with_client(lambda far_end: _converse(far_end, greeting))


def rehearse_pop3() -> None:
    """The same with USER and PASS."""
    _with_client(_converse_pop3)


def _with_client(converse: Callable[[socket.socket], None]) -> None:
    """Put a socket where the client will be; converse gets its far end."""
    ours, theirs = socket.socketpair()
    kept = os.dup(0), os.dup(1)
    with ours, theirs:
        os.dup2(ours.fileno(), 0)
        os.dup2(ours.fileno(), 1)
        try:
            converse(theirs)
        finally:
            for wanted, descriptor in enumerate(kept):
                os.dup2(descriptor, wanted)
                os.close(descriptor)


def _converse(far_end: socket.socket, greeting: bytes) -> None:
    channel = Channel()
    channel.write(response.untagged(greeting))
    far_end.sendall(b"a LOGIN user password\r\n")
    arguments = Arguments(channel.read_line())
    arguments.tag()
    arguments.keyword_upper()
    userid, password = client.with_default_domain(arguments.astring()), arguments.astring()
    _decide(preauth.service("imap"), b"%s\n%s\n" % (userid, password), "IMAP", b"imapd")


def _converse_pop3(far_end: socket.socket) -> None:
    channel, lines = Channel(), command.Lines()
    channel.write(pop3.ok(b"Hello there."))
    far_end.sendall(b"USER user@example.com\r\nPASS password\r\n")
    words = []
    for _ in range(2):
        lines.feed(channel.read_line())
        words.append(command.split(lines.next_line() or b"")[1])
        channel.write(pop3.ok(b"Password required."))
    channel.flush()
    _decide(preauth.service("pop3"), authdata.encode_login(*words), "POP3", b"pop3d")


def _decide(service: bytes, data: bytes, name: str, program: bytes) -> None:
    protocol.Authenticate(service, b"login", data).encode()
    slotnote.line(pid=str(os.getpid()), user="", protocol=name, tls="0", state="login")
    if protocol.account_reply_complete(_RECORD):
        protocol.parse_account(_RECORD)
    handover.decode(handover.encode(handover.Frame([program], environ.everything(), _RECORD)))
