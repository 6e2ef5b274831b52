"""Tickets: what authdaemond says about an account, in a form that can be carried by somebody who is not trusted.

A login stage without privileges proves a password to authdaemond and gets a ticket: the account record, for whom it is
(the audience, a random name of one start of the next stage), when it was made, and a nonce, under an HMAC with a key
that the login stage cannot read.  Whoever takes the ticket (still root) becomes that account and no other, once.

    octets 0-31   HMAC-SHA256 of all that follows
    then          version LF, time (hexadecimal float) LF, nonce LF, audience LF, the record as authdaemond.protocol
                  writes it, without passwords

Times are of clock(), which nobody sets; a ticket of an earlier run of the host has an audience that is gone.
"""

from __future__ import annotations

import binascii
import fcntl
import mmap
import os
import struct
import time

from authdaemond import protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from authdaemond.account import Account

LIFE_SECONDS = 30.0
FUTURE_SECONDS = 5.0
MAX_TICKET_OCTETS = 16384
KEY_OCTETS = 32

_VERSION = b"courier-imap ticket 1"
_MAC_OCTETS = 32
_NONCE_OCTETS = 16
_AUDIENCE_OCTETS = 16


class BadTicket(Exception):
    """The ticket gives nobody a right to anything; the text says why and holds nothing of it."""


def clock() -> float:
    """Seconds since the host has started: the same in every process, and no administrator sets it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def new_audience() -> bytes:
    """A name, in hexadecimal, for one start of whoever takes tickets."""
    return binascii.hexlify(os.urandom(_AUDIENCE_OCTETS))


def sign(key: bytes | bytearray, account: Account, audience: bytes, now: float) -> bytes:
    """A ticket for the account.  Raises ValueError when it would be too long to be taken."""
    nonce = binascii.hexlify(os.urandom(_NONCE_OCTETS))
    heading = b"\n".join((_VERSION, now.hex().encode("ascii"), nonce, audience))
    payload = heading + b"\n" + protocol.encode_account(account, with_secrets=False)
    if _MAC_OCTETS + len(payload) > MAX_TICKET_OCTETS:
        raise ValueError(f"the account's record is too long for a ticket of {MAX_TICKET_OCTETS} octets")
    return _mac(key, payload) + payload


def verify(key: bytes | bytearray, ticket: bytes, audience: bytes, now: float, used: UsedTickets) -> Account:
    """The account of a ticket that nobody has used yet; from now on it is used.  Raises BadTicket."""
    nonce, account = _good(key, ticket, audience, now, used.since)
    used.take(nonce, now)
    return account


def rehearse() -> None:
    """Sign and verify a ticket for nobody with a key of its own: what a process does that has yet to take one."""
    from authdaemond.account import Account

    key, audience = os.urandom(KEY_OCTETS), new_audience()
    nobody = Account(b"nobody", b"/nonexistent", 1, 1)
    _good(key, sign(key, nobody, audience, clock()), audience, clock(), 0.0)


def _good(key: bytes | bytearray, ticket: bytes, audience: bytes, now: float, since: float) -> tuple[bytes, Account]:
    """Nonce and account of a ticket that may be taken if nobody has.  Raises BadTicket."""
    if not ticket:
        raise BadTicket("no ticket")
    if len(ticket) > MAX_TICKET_OCTETS:
        raise BadTicket("ticket too long")
    payload = ticket[_MAC_OCTETS:]
    import hmac

    if not hmac.compare_digest(ticket[:_MAC_OCTETS], _mac(key, payload)):
        raise BadTicket("not signed with this host's key")
    issued, nonce, intended, account = _parse(payload)
    if not hmac.compare_digest(intended, audience):
        raise BadTicket("ticket for somebody else")
    if issued < since:
        raise BadTicket("ticket from before the start")
    if issued < now - LIFE_SECONDS:
        raise BadTicket("ticket expired")
    if issued > now + FUTURE_SECONDS:
        raise BadTicket("ticket from the future")
    return nonce, account


def _mac(key: bytes | bytearray, payload: bytes) -> bytes:
    import hmac

    if len(key) != KEY_OCTETS:
        raise BadTicket("no key to check it with")
    return hmac.digest(key, payload, "sha256")


def _parse(payload: bytes) -> tuple[float, bytes, bytes, Account]:
    """Time, nonce, audience and account of what the daemon has signed."""
    try:
        version, issued, nonce, audience, record = payload.split(b"\n", 4)
        when = float.fromhex(issued.decode("ascii"))
        token = binascii.unhexlify(nonce)
        account = protocol.parse_account(record)
    except (ValueError, protocol.Malformed):
        raise BadTicket("a form of ticket that is not known here") from None
    if version != _VERSION or len(token) != _NONCE_OCTETS or account is None or not 0 <= when < float("inf"):
        raise BadTicket("a form of ticket that is not known here")
    return when, token, audience, account


_ENTRY = struct.Struct("=16sd")  # nonce, time from which it means nothing


class UsedTickets:
    """The nonces of tickets that were taken, shared by all processes that were forked after this was made.

    The file lock_path must be one that only they can open: whoever takes a ticket locks it.  Tickets from before
    `since`, by clock(), are refused: somebody else may have taken them.

    A nonce stands in one of PROBES places from the one it points at, until its ticket has expired anyhow.  Where all of
    them are taken the ticket is refused: the table holds several thousand logins a second for as long as tickets live.
    Nonces are random and signed, so nobody can choose the places.
    """

    PLACES = 1 << 17
    PROBES = 32
    LOCK_SECONDS = 5.0

    def __init__(self, lock_path: str, since: float) -> None:
        self.since = since
        self._lock_path = lock_path
        self._table = mmap.mmap(-1, (self.PLACES + self.PROBES) * _ENTRY.size)

    def take(self, nonce: bytes, now: float) -> None:
        """Note a nonce as used.  Raises BadTicket when it was used before, or cannot be noted."""
        start = int.from_bytes(nonce[:4], "big") % self.PLACES * _ENTRY.size
        lock = self._lock()
        try:
            free = -1
            for offset in range(start, start + self.PROBES * _ENTRY.size, _ENTRY.size):
                noted, until = _ENTRY.unpack_from(self._table, offset)
                if until <= now:
                    free = offset if free < 0 else free
                elif noted == nonce:
                    raise BadTicket("ticket used before")
            if free < 0:
                raise BadTicket("more tickets at a time than can be remembered")
            _ENTRY.pack_into(self._table, free, nonce, now + LIFE_SECONDS + FUTURE_SECONDS)
        finally:
            os.close(lock)

    def close(self) -> None:
        """Let go of the table, in a process that takes no more tickets."""
        self._table.close()

    def _lock(self) -> int:
        """The lock, as a descriptor to be closed; it dies with its holder, which has it for microseconds."""
        deadline = clock() + self.LOCK_SECONDS
        try:
            descriptor = os.open(self._lock_path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise BadTicket("the list of used tickets cannot be locked") from None
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if clock() > deadline:
                    os.close(descriptor)
                    raise BadTicket("the list of used tickets stays locked") from None
                time.sleep(0.0002)
