"""The order of messages for SORT (RFC 5256 section 3), and the dates that THREAD shares with it.

For each criterion every message of the mailbox gets a rank: equal where the criterion finds no difference.  The ranks
are remembered in the folder's index, with a digest of the messages that they were made for, so that the next SORT puts
numbers in order and asks nothing of any message.  Messages without a difference stay in the order of their sequence
numbers, also under REVERSE.
"""

from __future__ import annotations

from array import array

from couriertcpd import environ
from imapd import headercolumns
from imapd.errors import No

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from imapd.view import View
    from imapd.wire.sortkey import Criterion

_DIGEST_OCTETS = 16
_SIZE_NAME = len(b"RFC822.SIZE ")
_EARLIEST = headercolumns.unpacked_date(headercolumns.NO_DATE)[0]


def check_enabled() -> None:
    """Raise No where the administrator has switched SORT and THREAD off."""
    if environ.number("IMAP_DISABLETHREADSORT") > 0:
        raise No("This command is disabled by the system administrator.")


def ordered(view: View, criteria: Sequence[Criterion], indexes: list[int]) -> list[int]:
    """The messages in order."""
    for key, is_reversed in reversed(criteria):
        whole = 2 * len(indexes) > len(view)
        ranks = _remembered_ranks(view, key)
        if ranks is None and whole:
            ranks = _remember_ranks(view, key)
        if ranks is not None:
            indexes = sorted(indexes, key=ranks.__getitem__, reverse=is_reversed)
        else:
            keys = dict(zip(indexes, _keys(view, key, indexes), strict=True))
            indexes = sorted(indexes, key=keys.__getitem__, reverse=is_reversed)
    return indexes


def digest(view: View, octets: bytes = b"") -> bytes:
    """What an answer that was made for this view, and something beside it, must carry to be good for another."""
    from hashlib import blake2b

    made = blake2b(view.uids.tobytes(), digest_size=_DIGEST_OCTETS)
    made.update(b"%d " % view.uidvalidity + octets)
    return made.digest()


def sent_dates(view: View, indexes: Sequence[int], values: Sequence[bytes], lost: set[int]) -> list[int]:
    """When the messages were sent, in seconds since 1970 UTC, from their column ~date.

    Those that do not tell count as sent when they arrived (RFC 5256 section 2.2).
    """
    unpack = headercolumns.unpacked_date
    found = [unpack(value)[0] if value else _EARLIEST for value in values]
    unknown = [place for place, seconds in enumerate(found) if seconds == _EARLIEST]
    if unknown:
        arrived = _arrival(view, [indexes[place] for place in unknown], lost)
        for place, seconds in zip(unknown, arrived, strict=True):
            found[place] = seconds
    return found


def _dates(view: View, indexes: Sequence[int], lost: set[int]) -> list[int]:
    (values,) = headercolumns.read(view, (headercolumns.DATE,), indexes, lost)
    return sent_dates(view, indexes, values, lost)


def _arrival(view: View, indexes: Sequence[int], lost: set[int]) -> list[int]:
    (values,) = headercolumns.read(view, (headercolumns.INTERNALDATE,), indexes, lost)
    return [int(value or 0) for value in values]


def _sizes(view: View, indexes: Sequence[int], lost: set[int]) -> list[int]:
    (values,) = headercolumns.read(view, (headercolumns.SIZE,), indexes, lost)
    return [int(value[_SIZE_NAME:] or 0) for value in values]


def _subjects(view: View, indexes: Sequence[int], lost: set[int]) -> list[bytes]:
    (values,) = headercolumns.read(view, (headercolumns.BASE_SUBJECT,), indexes, lost)
    return [value[1:] for value in values]


def _column(kind: bytes) -> Callable[[View, Sequence[int], set[int]], list[bytes]]:
    return lambda view, indexes, lost: headercolumns.read(view, (kind,), indexes, lost)[0]


_READERS: dict[bytes, Callable[[View, Sequence[int], set[int]], list[bytes] | list[int]]] = {
    b"ARRIVAL": _arrival,
    b"CC": _column(headercolumns.SORT_CC),
    b"DATE": _dates,
    b"FROM": _column(headercolumns.SORT_FROM),
    b"SIZE": _sizes,
    b"SUBJECT": _subjects,
    b"TO": _column(headercolumns.SORT_TO),
}


def _keys(view: View, key: bytes, indexes: Sequence[int], lost: set[int] | None = None) -> Sequence[bytes | int]:
    return _READERS[key](view, indexes, set() if lost is None else lost)


def _remembered_ranks(view: View, key: bytes) -> array[int] | None:
    found = view.index.answer(b"sort " + key)
    if found is None or found[:_DIGEST_OCTETS] != digest(view) or len(found) != _DIGEST_OCTETS + 4 * len(view):
        return None
    ranks = array("I")
    ranks.frombytes(found[_DIGEST_OCTETS:])
    return ranks


def _remember_ranks(view: View, key: bytes) -> array[int]:
    lost: set[int] = set()
    keys = _keys(view, key, range(len(view)), lost)
    ranks = array("I", _ranks(keys))
    if not lost:
        view.index.remember_answer(b"sort " + key, digest(view) + ranks.tobytes())
    return ranks


def _ranks(keys: Sequence[bytes | int]) -> Iterable[int]:
    rank_of = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return map(rank_of.__getitem__, keys)
