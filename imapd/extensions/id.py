"""ID (RFC 2971): who the client is goes to the log, who we are as far as IMAP_ID_FIELDS allows."""

from __future__ import annotations

import os

from couriertcpd import environ, installed, log
from imapd.feature import Command, Feature
from imapd.wire import identification

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments


def parse(arguments: Arguments) -> tuple[identification.Fields]:
    """Read the client's fields, or NIL."""
    return (identification.parse(arguments),)


def exchange(session: Session, fields: identification.Fields) -> Generator[bytes, None, None]:
    """Log the client's fields and tell ours."""
    where = f"ip=[{environ.text('TCPREMOTEIP')}], port=[{environ.text('TCPREMOTEPORT')}]"
    log.info(f"ID, user={session.user}, {where}{identification.log_text(fields)}")
    system = os.uname()
    yield identification.render(
        environ.number("IMAP_ID_FIELDS"), installed.VERSION, system.sysname, system.release
    )


FEATURE = Feature(
    rfc="RFC 2971",
    capabilities=("ID",),
    commands=(Command(b"ID", parse, exchange, b"ID completed"),),
)
