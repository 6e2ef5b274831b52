"""What a login stage does for a client, done once for nobody, in a process that waits for one.

A process that was just forked shares its memory with the fork server, and copies each page when it first writes there;
Python writes wherever it looks.  Those copies take longer than all else in a login.  Made before there is a client,
nobody waits for them.
"""

from __future__ import annotations

import os
import socket

from authdaemond import client, protocol
from authdaemond.account import Account
from couriertcpd import environ, handover, slotnote
from imapd.wire import response
from imapd.wire.lexer import Arguments
from imaplogin import preauth
from imaplogin.channel import Channel

_NOBODY = Account(b"user@example.com", b"/nonexistent", 1, 1)
_RECORD = protocol.encode_account(_NOBODY, with_secrets=False) + b".\n"


def rehearse(greeting: bytes) -> None:
    """Greet, read a LOGIN, ask and parse, encode a hand-over; nothing leaves the process."""
    ours, theirs = socket.socketpair()
    kept = os.dup(0), os.dup(1)
    with ours, theirs:
        os.dup2(ours.fileno(), 0)
        os.dup2(ours.fileno(), 1)
        try:
            _converse(theirs, greeting)
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
    protocol.Authenticate(preauth.service("imap"), b"login", b"%s\n%s\n" % (userid, password)).encode()
    slotnote.line(pid=str(os.getpid()), user="", protocol="IMAP", tls="0", state="login")
    if protocol.account_reply_complete(_RECORD):
        protocol.parse_account(_RECORD)
    handover.decode(handover.encode(handover.Frame([b"imapd"], environ.everything(), _RECORD)))
