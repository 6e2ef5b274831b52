"""The access file: which addresses may connect, and what the environment says about them.

makeimapaccess writes the database (GDBM, keys expanded and without a trailing NUL).  Only the most specific record of
an address counts; an address without a record is allowed, as in the original.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from couriertcpd import addresses, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Database(Protocol):
        """What is used of an open dbm.gnu database."""

        def get(self, key: bytes) -> bytes | None:
            """The record's value, or None."""

        def close(self) -> None:
            """Release the file."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the access file says about an address: let in or not, and variables for the program's environment."""

    allowed: bool
    variables: tuple[tuple[bytes, bytes], ...] = ()


UNLISTED = Record(True)


def remote_keys(address: bytes) -> Iterator[bytes]:
    """The keys under which an address is looked up, the most specific first."""
    yield from _prefixes(address)
    yield b"*"


def local_keys(address: bytes, port: int) -> Iterator[bytes]:
    """The keys of a local address and port (-accesslocal)."""
    suffix = b".%d" % port
    prefixes = list(_prefixes(address))
    yield prefixes[0] + suffix
    yield from prefixes
    yield b"*" + suffix
    yield b"*"


def _prefixes(address: bytes) -> Iterator[bytes]:
    """a.b.c.d, a.b.c, a.b, a for IPv4; `:` and eight groups of four hexadecimal digits, then fewer, for IPv6."""
    if addresses.is_ipv4(address):
        separator, lead, parts = b".", b"", [b"%d" % octet for octet in address[12:]]
    else:
        separator, lead = b":", b":"
        parts = [b"%02x%02x" % (address[at], address[at + 1]) for at in range(0, 16, 2)]
    for count in range(len(parts), 0, -1):
        yield lead + separator.join(parts[:count])


def parse(value: bytes) -> Record:
    """Read a record: `deny...`; or `allow`, a comma, and a list; or just the list."""
    if value.startswith(b"deny"):
        return Record(False)
    if value.startswith(b"allow"):
        value = value.removeprefix(b"allow").removeprefix(b",")
    named = (item.partition(b"=") for item in _items(value.replace(b"\0", b"")))  # no variable can hold a NUL
    return Record(True, tuple((name, text) for name, _, text in named if name and name.isascii()))


def _items(value: bytes) -> Iterator[bytes]:
    """The items between commas, without quotes, which protect commas, and without blanks around them."""
    item, quote = bytearray(), 0
    for octet in value:
        if quote and octet == quote:
            quote = 0
        elif not quote and octet in b"'\"":
            quote = octet
        elif not quote and octet == ord(","):
            yield bytes(item).strip()
            item.clear()
        else:
            item.append(octet)
    yield bytes(item).strip()


class AccessFile:
    """An access database that is opened again on request, when the next connection asks."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._database: Database | None = None
        self._stale = path is not None

    def expire(self) -> None:
        """Have the file opened again before the next lookup (SIGHUP)."""
        self._stale = self._path is not None

    def open(self) -> None:
        """Open the file now if it is to be opened; when that fails, the one that is open stays in force."""
        if not self._stale or self._path is None:
            return
        self._stale = False
        try:
            import dbm.gnu as gdbm

            database: Database = gdbm.open(self._path, "r")
        except (ImportError, OSError) as error:
            rest = "the former contents stay in force" if self._database else "every address is allowed"
            log.err(f"{self._path}: {error}; run makeimapaccess to build it; until then {rest}")
            return
        if self._database is not None:
            self._database.close()
        self._database = database

    def lookup(self, keys: Iterator[bytes]) -> Record:
        """The record of the first of these keys that the file has, or UNLISTED."""
        self.open()
        if self._database is None:
            return UNLISTED
        try:
            for key in keys:
                value = self._database.get(key)
                if value is not None:
                    return parse(value)
        except OSError as error:  # dbm.gnu.error is one
            log.err(f"{self._path}: {error}; run makeimapaccess to build it anew; until then every address is allowed")
        return UNLISTED
