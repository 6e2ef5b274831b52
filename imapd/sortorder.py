"""The order of messages for SORT (RFC 5256 section 3), and the dates that THREAD shares with it.

For each criterion every message of the mailbox gets a rank: equal where the criterion finds no difference.  The ranks
are remembered in the folder's index, with a digest of the messages that they were made for, so that the next SORT puts
numbers in order and asks nothing of any message; so is the whole answer when it has all messages.  Messages without a
difference stay in the order of their sequence numbers, also under REVERSE.
"""

from __future__ import annotations

from array import array

from couriertcpd import environ
from imapd import headercolumns
from imapd.errors import No
from imapd.wire import response

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


def told(view: View, criteria: Sequence[Criterion], indexes: list[int], with_uids: bool) -> bytes:
    """The numbers of the messages in order, as a client is told them."""
    form = b"order uid" if with_uids else b"order"
    key = b" ".join([form, *(b"-" * is_reversed + name for name, is_reversed in criteria)])
    is_whole = 0 < len(indexes) == len(view)
    answer = _remembered(view, key) if is_whole else None
    if answer is None:
        lost: set[int] = set()
        order = _ordered(view, criteria, indexes, lost)
        answer = response.joined([view.uids[index] for index in order] if with_uids else [index + 1 for index in order])
        if is_whole and not lost:
            view.index.remember_answer(key, digest(view) + answer)
    return answer


def _ordered(view: View, criteria: Sequence[Criterion], indexes: list[int], lost: set[int]) -> list[int]:
    for key, is_reversed in reversed(criteria):
        whole = 2 * len(indexes) > len(view)
        ranks = _remembered_ranks(view, key)
        if ranks is None and whole:
            ranks = _remember_ranks(view, key, lost)
        if ranks is not None:
            indexes = sorted(indexes, key=ranks.__getitem__, reverse=is_reversed)
        else:
            keys: Sequence[bytes | int] = _READERS[key](view, indexes, lost)
            key_of = dict(zip(indexes, keys, strict=True))
            indexes = sorted(indexes, key=key_of.__getitem__, reverse=is_reversed)
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


def _remembered(view: View, key: bytes) -> bytes | None:
    """An answer that was remembered for these messages."""
    found = view.index.answer(key)
    return found[_DIGEST_OCTETS:] if found is not None and found[:_DIGEST_OCTETS] == digest(view) else None


def _remembered_ranks(view: View, key: bytes) -> array[int] | None:
    found = _remembered(view, b"sort " + key)
    if found is None or len(found) != 4 * len(view):
        return None
    ranks = array("I")
    ranks.frombytes(found)
    return ranks


def _remember_ranks(view: View, key: bytes, lost: set[int]) -> array[int]:
    lost_now: set[int] = set()
    ranks = array("I", _ranks(_READERS[key](view, range(len(view)), lost_now)))
    lost |= lost_now
    if not lost_now:
        view.index.remember_answer(b"sort " + key, digest(view) + ranks.tobytes())
    return ranks


def _ranks(keys: Sequence[bytes | int]) -> Iterable[int]:
    rank_of = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return map(rank_of.__getitem__, keys)
