"""What couriertcpd tells about itself: a JSON document for each connection to a Unix socket that its owner can open.

courierstat(8) is the reader.  Nothing is read from it, so nobody can make the listener wait or ask for more; what a
reader does not take at once is kept for MAX_READERS of them, of which the oldest gives way.
"""

import json
import os
import select
import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from couriertcpd import addresses, log
from couriertcpd.options import Limits, Options
from couriertcpd.slots import Slot, Table

MAX_READERS = 4
NEAR = 3, 4  # a block with at least this share of its limit is told of


class Status:
    """The socket, from the start of the listener to its end."""

    def __init__(self, path: str) -> None:
        """Listen at path; raises OSError, FileExistsError when another process answers there."""
        self.since = time.time()
        self._path = os.path.abspath(path)
        _remove_left_over(self._path)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.setblocking(False)
        umask = os.umask(0o177)
        try:
            self._socket.bind(self._path)
        finally:
            os.umask(umask)
        self._identity = _identity(self._path)
        self._socket.listen(MAX_READERS)
        self._readers: dict[int, tuple[socket.socket, memoryview]] = {}
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}

    @property
    def descriptor(self) -> int:
        """Readable when somebody asks; -1 after close()."""
        return self._socket.fileno()

    def attach(self, poll: select.poll, handlers: dict[int, Callable[[], None]]) -> None:
        """Let readers that take their time be waited for there."""
        self._poll, self._handlers = poll, handlers
        poll.register(self._socket, select.POLLIN)

    def answer(self, document: bytes) -> None:
        """Send the document to one of those who ask."""
        try:
            reader, _ = self._socket.accept()
        except OSError:
            return  # gone, or no descriptor is left; asking again is easy
        reader.setblocking(False)
        while len(self._readers) >= MAX_READERS:
            self._drop(next(iter(self._readers)))
        self._readers[reader.fileno()] = reader, memoryview(document)
        self._poll.register(reader, select.POLLOUT)
        self._handlers[reader.fileno()] = partial(self._send, reader.fileno())
        self._send(reader.fileno())

    def close(self) -> None:
        """Stop answering; the path goes, unless it is another's by now, or may not be removed."""
        for number in list(self._readers):
            self._drop(number)
        with suppress(KeyError):
            self._poll.unregister(self._socket)
        self._socket.close()
        try:
            if _identity(self._path) == self._identity:
                os.unlink(self._path)
        except OSError:
            return

    def _send(self, number: int) -> None:
        reader, rest = self._readers[number]
        try:
            rest = rest[reader.send(rest) :]
        except BlockingIOError:
            return
        except OSError:
            rest = rest[:0]  # the reader has gone
        self._readers[number] = reader, rest
        if not rest:
            self._drop(number)

    def _drop(self, number: int) -> None:
        reader, _ = self._readers.pop(number)
        self._poll.unregister(number)
        del self._handlers[number]
        reader.close()


def opened(options: Options) -> Status | None:
    """The status socket that the options ask for: -status=PATH, or FILE.status with -pid=FILE.

    A server without it serves mail all the same, so what is in the way is logged only.
    """
    path = options.status or (options.pid + ".status" if options.pid else "")
    if not path:
        return None
    try:
        return Status(path)
    except OSError as error:
        log.warn(f"-status={path}: {error.strerror or error}; courierstat will not find this server")
        return None


def document(options: Options, table: Table, since: float) -> bytes:
    """What is told: limits, connections, counts.  Times are seconds since 1970."""
    limits = table.limits
    allowed: dict[bytes, int] = {}
    for slot in table.taken:
        if slot.address is not None:
            allowed[slot.address] = max(slot.limit, allowed.get(slot.address, 0))
    told = {
        "pid": os.getpid(),
        "since": since,
        "ports": [f"{end.address or '*'}.{end.port}" for end in options.endpoints],
        "program": list(options.program),
        "limits": {"maxprocs": limits.maxprocs, "maxperc": limits.maxperc, "maxperip": limits.maxperip},
        "connections": len(table.taken),
        "addresses": [
            {"ip": addresses.written(address), "connections": count, "limit": allowed.get(address, limits.maxperip)}
            for address, count in table.counts()
        ],
        "blocks": _blocks(table, limits),
        "slots": [_connection(slot) for slot in sorted(table.taken, key=_age)],
    }
    return json.dumps(told).encode() + b"\n"


def _blocks(table: Table, limits: Limits) -> list[dict[str, object]]:
    """The blocks that have come near -maxperc, by their first address; none while it does not limit more."""
    if limits.maxperc >= limits.maxprocs:
        return []
    share, whole = NEAR
    return [
        {"block": addresses.written(block + b"\0"), "connections": count, "limit": limits.maxperc}
        for block, count in table.block_counts()
        if count * whole >= limits.maxperc * share
    ]


def _age(slot: Slot) -> tuple[float, int]:
    return slot.since, slot.read_end


def _connection(slot: Slot) -> dict[str, object]:
    """One slot: what we know, and under `told` what its stages say."""
    slot.told.look(slot.read_end)
    fields = slot.told.fields
    return {
        "slot": os.fstat(slot.read_end).st_ino,
        "ip": None if slot.address is None else addresses.written(slot.address),
        "since": slot.since,
        "first": slot.pid or None,
        "bad_notes": slot.told.bad,
        "told": {**fields, "pid": int(fields["pid"]), "tls": fields["tls"] == "1"} if fields else None,
    }


def _identity(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def _remove_left_over(path: str) -> None:
    """Remove a socket at which nobody answers; raises FileExistsError when somebody does, or it is no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, "is there and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # its backlog is full: somebody lives there
    raise FileExistsError(0, "another process answers there")
