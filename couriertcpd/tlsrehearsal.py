"""A handshake with ourselves, in the fork server: what is done once only is done before there are children.

OpenSSL looks up algorithms, prepares the key for its arithmetic and fills caches at the first handshake of a process.
Done before the fork, all children have it.  Its random numbers are new in each child: OpenSSL sees that the process is
another one.
"""

from __future__ import annotations

import socket

from OpenSSL import SSL

from couriertcpd import tlspeer
from couriertcpd.tlsrelay import Relay

_ROUNDS = 10  # of messages there and back; a handshake takes three


def rehearse(context: SSL.Context) -> None:
    """Shake hands, tell of the client, relay a line each way, end; nothing leaves the process.

    Where clients need a certificate it does not come to its end, which does no harm.
    """
    ours, theirs = socket.socketpair()
    clear, program = socket.socketpair()
    with ours, theirs, clear, program:
        for end in (ours, theirs, clear):
            end.setblocking(False)
        server = SSL.Connection(context, ours)
        server.set_accept_state()
        client = SSL.Connection(_client_context(), theirs)
        client.set_connect_state()
        try:
            if not _shaken_hands(server, client):
                return
            tlspeer.variables(server, False)
            tlspeer.dump(server, False)
            client.send(b"a NOOP\r\n")
            program.send(b"a OK\r\n")
            program.shutdown(socket.SHUT_WR)
            Relay(server, clear.fileno(), clear.fileno()).run()
            client.recv(100)
        except SSL.Error:
            return


def _client_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


def _shaken_hands(server: SSL.Connection, client: SSL.Connection) -> bool:
    missing = {server, client}
    for _ in range(_ROUNDS):
        for end in (client, server):
            if end not in missing:
                continue
            try:
                end.do_handshake()
                missing.remove(end)
            except SSL.WantReadError:
                continue
        if not missing:
            return True
    return False
