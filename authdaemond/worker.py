"""A worker of authdaemond: takes connections from the shared socket, one request each, until it is told to stop."""

import select
import signal
import socket
import time
import traceback
from collections.abc import Iterator

from authdaemond import protocol
from authdaemond.chain import Chain
from couriertcpd import log

IDLE_SECONDS = 300
READ_SECONDS = 10  # for each read
REQUEST_SECONDS = 30  # for the whole request, however it trickles in
WRITE_SECONDS = 30
_READ_OCTETS = 8192


class Worker:
    """The loop of one process.

    The listening socket must be non-blocking, for all workers wait on it.  `lifeline` becomes readable when the parent
    has gone, however it went: then the worker goes too.
    """

    def __init__(self, chain: Chain, listener: socket.socket, lifeline: int) -> None:
        self._chain = chain
        self._listener = listener
        self._lifeline = lifeline
        self._wake, self._waker = socket.socketpair()

    def run(self) -> None:
        """Serve until SIGTERM; a request that is being answered is finished first."""
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)  # the octet in the wake-up pipe is what counts
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        poll = select.epoll()
        poll.register(self._listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)  # wakes one worker, not all
        for source in (self._lifeline, self._wake.fileno()):
            poll.register(source, select.EPOLLIN)
        while True:
            ready = [source for source, _ in poll.poll(IDLE_SECONDS)]
            if not ready:
                self._chain.idle()
            elif self._lifeline in ready or self._wake.fileno() in ready:
                break
            else:
                self._accept()
        signal.set_wakeup_fd(-1)  # another signal may come when the socket is closed
        self._chain.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            log.err(f"accept: {error.strerror}")
            time.sleep(1)  # out of descriptors: not a reason to spin
            return
        with connection:
            try:
                serve(self._chain, connection)
            except OSError:
                return  # the client has gone, or does not read
            except Exception as error:  # a fault in a back end costs this request, not the worker
                # Not the text of the error: it may hold what the client sent.
                place = traceback.extract_tb(error.__traceback__)[-1]
                log.err(f"authdaemond: {type(error).__name__} at {place.filename}:{place.lineno}; please report this")


def serve(chain: Chain, connection: socket.socket) -> None:
    """Answer the one request of a connection.  Raises OSError when the client is gone or slow."""
    request = _receive(connection)
    if request is not None:
        _send(connection, chain.answer(request))


def _receive(connection: socket.socket) -> protocol.Request | None:
    """The request; None when there is none to answer."""
    reader = protocol.RequestReader()
    deadline = time.monotonic() + REQUEST_SECONDS
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request trickles in too slowly")
        connection.settimeout(min(READ_SECONDS, left))
        octets = connection.recv(_READ_OCTETS)
        if not octets:
            return None
        try:
            request = reader.feed(octets)
        except protocol.Malformed as error:
            _send(connection, iter([error.reply]))
            return None
        if request is not None:
            return request


def _send(connection: socket.socket, pieces: Iterator[bytes]) -> None:
    connection.settimeout(WRITE_SECONDS)
    for piece in pieces:
        connection.sendall(piece)
