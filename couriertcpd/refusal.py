"""Telling a client that it has too many connections, where its protocol has words for that."""

import os
import socket
from collections.abc import Sequence

from couriertcpd import addresses, log
from couriertcpd.slots import Table

_TEXT = b"Too many connections from your address, please close some and try again."

# By the first program after the port: those that speak clear text at once.
# RFC 5530 has LIMIT, RFC 3206 has SYS/TEMP.
_GREETINGS = {
    "imaplogin": b"* BYE [LIMIT] " + _TEXT + b"\r\n",
    "pop3login": b"-ERR [SYS/TEMP] " + _TEXT + b"\r\n",
}


def greeting(program: Sequence[str]) -> bytes:
    """What a client of this program is told; nothing where it would wait for a TLS handshake or another protocol."""
    return _GREETINGS.get(os.path.basename(program[0]), b"")


def dismiss(connection: socket.socket, text: bytes) -> None:
    """Say text if the socket takes it at once, and close the connection."""
    try:
        if text:
            connection.send(text, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            connection.shutdown(socket.SHUT_WR)
            # What the client has sent already must not be left unread: the close would reset the connection, and
            # with it throw away our text.
            connection.recv(65536, socket.MSG_DONTWAIT)
    except OSError:
        pass  # it has gone, or does not listen
    finally:
        connection.close()


def over_limit(table: Table, address: bytes, maxcperip: int) -> bool:
    """True, and logged, when one more connection from this address is too many.

    maxcperip is the access file's MAXCPERIP for it, which takes the place of -maxperip in both directions; 0 if none.
    """
    peer = addresses.written(address)
    allowed = maxcperip or table.limits.maxperip
    if table.count(address) >= allowed:
        setting = f"MAXCPERIP={allowed} (access file)" if maxcperip else f"-maxperip={allowed} (MAXPERIP)"
        log.alert(f"Maximum connection limit reached for {peer}")
        log.alert(f"{setting}: connection from {peer} refused")
        return True
    if table.count_block(address) >= table.limits.maxperc:
        log.alert(f"-maxperc={table.limits.maxperc} (TCPDOPTS): connection from {peer} refused, its block has as many")
        return True
    return False
