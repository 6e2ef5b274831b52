"""What SEARCH, SORT and THREAD ask of messages, as columns: remembered in the folder's index, else read from the files.

    fill(message, kinds=COMMON) -> {kind: value}     from one look at the header of a message
    read(view, kinds, indexes, lost) -> columns      for many messages: known values, and others filled and remembered

Kinds and their values (bytes):

    ~subject ~from ~to ~cc ~bcc    for SEARCH: the texts of all such fields, decoded, without case, runs of blanks as
    ~header NAME                   one, in UTF-8, each with a line end behind it; b"" where there is no such field
    ~date                          the Date field: see packed_date
    ~base-subject                  "1" for an answer, else "0"; then the collation key of the base subject
    ~thread                        the message's id and those of the messages above it, with blanks between
    ~sort-from ~sort-to ~sort-cc   the collation key of the first address's mailbox part
    RFC822.SIZE                    as FETCH remembers it
    INTERNALDATE                   in seconds since 1970, as a decimal number: FETCH tells and remembers it too

Whoever looks at a header anyway (the idle hook) can call fill() and remember what it gives; COMMON is what SEARCH, SORT
and THREAD ask for most.
"""

from __future__ import annotations

import errno
from struct import Struct

from couriertcpd import log
from imapd.message import Message
from maildir import addresses, basesubject, dates, encodedword, messageids
from maildir.bodytext import folded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from imapd.view import View

    Column = list[bytes]
    Maker = tuple[tuple[bytes, ...], Callable[["_Header"], bytes]]

SUBJECT, FROM, TO, CC, BCC = b"~subject", b"~from", b"~to", b"~cc", b"~bcc"
DATE, BASE_SUBJECT, THREAD = b"~date", b"~base-subject", b"~thread"
SORT_FROM, SORT_TO, SORT_CC = b"~sort-from", b"~sort-to", b"~sort-cc"
HEADER = b"~header "
SIZE, INTERNALDATE = b"RFC822.SIZE", b"INTERNALDATE"

# What one look at a header pays for: asked for one of them, all of its group are worked out.
_GROUPS = ((SUBJECT, DATE, BASE_SUBJECT, THREAD), (FROM, TO, CC, BCC))
COMMON = (*_GROUPS[0], *_GROUPS[1])

# It is gone, or is so and stays so: permission, a directory or a pipe in its place, a link.  Other errors fail the
# command.
_NO_MESSAGE = frozenset(
    (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENXIO)
)

_PACKED = Struct("<qI")
NO_DATE = _PACKED.pack(-(1 << 63), 0)


def packed_date(value: bytes | None) -> bytes:
    """Seconds since 1970 UTC (int64), then the day as written, year * 512 + month * 32 + day (uint32).

    NO_DATE for a field that is missing or names no day.
    """
    parsed = dates.parse(value) if value is not None else None
    if parsed is None:
        return NO_DATE
    return _PACKED.pack(parsed.timestamp(), packed_day(*parsed.day_written))


def packed_day(year: int, month: int, day: int) -> int:
    """A day as packed_date has it."""
    return year << 9 | month << 5 | day


def unpacked_date(value: bytes) -> tuple[int, int]:
    """Seconds and day of packed_date."""
    return _PACKED.unpack(value)


class _Header:
    """The fields that were asked for, each decoded once."""

    __slots__ = ("_texts", "_values")

    def __init__(self, values: dict[bytes, list[bytes]]) -> None:
        self._values = values  # unfolded, by lower-case name
        self._texts: dict[bytes, list[str]] = {}

    def first(self, name: bytes) -> bytes | None:
        """The first field of this name."""
        values = self._values.get(name)
        return values[0] if values else None

    def texts(self, name: bytes) -> list[str]:
        """All fields of this name, decoded."""
        texts = self._texts.get(name)
        if texts is None:
            values = self._values.get(name)
            texts = self._texts[name] = list(map(_text, values)) if values else []
        return texts


def _text(value: bytes) -> str:
    return value.decode("ascii") if value.isascii() and b"=?" not in value else encodedword.decode(value)


def _searched(name: bytes) -> Maker:
    def make(header: _Header) -> bytes:
        texts = header.texts(name)
        return "".join([folded(text) + "\n" for text in texts]).encode("utf-8", "surrogatepass") if texts else b""

    return (name,), make


def _base_subject(header: _Header) -> bytes:
    texts = header.texts(b"subject")
    base, is_answer = basesubject.base_subject(texts[0]) if texts else ("", False)
    return (b"1" if is_answer else b"0") + basesubject.collation_key(base)


def _thread(header: _Header) -> bytes:
    own = messageids.own(header.first(b"message-id"))
    return b" ".join([own, *messageids.lineage(header.first(b"references"), header.first(b"in-reply-to"))])


def _first_mailbox(name: bytes) -> Maker:
    def make(header: _Header) -> bytes:
        parsed = addresses.parse(header.first(name) or b"")
        return basesubject.collation_key((parsed[0][2] or b"").decode("utf-8", "replace")) if parsed else b""

    return (name,), make


# The fields that a kind is made of, and how.
_MAKERS: dict[bytes, Maker] = {
    **{b"~" + name: _searched(name) for name in (b"subject", b"from", b"to", b"cc", b"bcc")},
    **{b"~sort-" + name: _first_mailbox(name) for name in (b"from", b"to", b"cc")},
    DATE: ((b"date",), lambda header: packed_date(header.first(b"date"))),
    BASE_SUBJECT: ((b"subject",), _base_subject),
    THREAD: ((b"message-id", b"references", b"in-reply-to"), _thread),
}


_NOT_IN_HEADER: dict[bytes, Callable[[Message], bytes]] = {
    SIZE: lambda message: b"RFC822.SIZE %d" % message.content.wire_octets,
    INTERNALDATE: lambda message: b"%d" % int(message.mtime),
}


_plans: dict[Sequence[bytes], tuple[frozenset[bytes], list[tuple[bytes, Callable[[_Header], bytes]]]]] = {}
_MAX_PLANS = 50


def _plan(kinds: tuple[bytes, ...]) -> tuple[frozenset[bytes], list[tuple[bytes, Callable[[_Header], bytes]]]]:
    """The fields that these kinds are made of, and how each of them is made."""
    plan = _plans.get(kinds)
    if plan is None:
        rows = [(kind, _MAKERS.get(kind) or _searched(kind.removeprefix(HEADER))) for kind in kinds]
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        plan = _plans[kinds] = frozenset(name for _, (names, _) in rows for name in names), [
            (kind, make) for kind, (_, make) in rows
        ]
    return plan


def fill(message: Message, kinds: Iterable[bytes] = COMMON) -> dict[bytes, bytes]:
    """The values of these kinds; raises OSError where the message cannot be read."""
    values = {kind: _NOT_IN_HEADER[kind](message) for kind in kinds if kind in _NOT_IN_HEADER}
    names, makers = _plan(tuple([kind for kind in kinds if kind not in _NOT_IN_HEADER]))
    if makers:
        header = _Header(message.head.header.collect(names))
        for kind, make in makers:
            values[kind] = make(header)
    return values


class Losing:
    """Within it a message that is gone, or is no readable file, raises nothing: its index is added to a set."""

    __slots__ = ("_lost", "_message")

    def __init__(self, message: Message, lost: set[int]) -> None:
        self._message = message
        self._lost = lost

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, OSError) or error.errno not in _NO_MESSAGE:
            return False
        if error.errno != errno.ENOENT:
            log.err(f"{log.printable(error.filename or b'-')}: {error.strerror}; no search finds it")
        self._lost.add(self._message.index)
        return True


def read(view: View, kinds: Sequence[bytes], indexes: Sequence[int], lost: set[int]) -> list[Column]:
    """The columns of these kinds, each as long as `indexes`.

    For messages that are gone, or are no readable files, they have b"", and the message's index is added to `lost`.
    """
    uids = view.uids if len(indexes) == len(view) else [view.uids[index] for index in indexes]
    columns = [view.index.values(kind, uids) for kind in kinds]
    missing = {place for column in columns if None in column for place, value in enumerate(column) if value is None}
    wanted = with_groups(kinds) if missing and view.index.usable() else kinds
    for place in sorted(missing):
        values = filled(view, indexes[place], wanted, lost)
        for kind, column in zip(kinds, columns, strict=True):
            column[place] = values.get(kind, b"")
    return columns  # type: ignore[return-value]


def with_groups(kinds: Sequence[bytes]) -> Sequence[bytes]:
    """The kinds, and those that cost little more when a header is looked at for them."""
    groups = [group for group in _GROUPS if any(kind in group for kind in kinds)]
    return tuple(dict.fromkeys([*kinds, *(kind for group in groups for kind in group)]))


def filled(view: View, index: int, kinds: Sequence[bytes], lost: set[int]) -> dict[bytes, bytes]:
    """Read one message and remember the values of these kinds."""
    values: dict[bytes, bytes] = {}
    with Message(view, index) as message, Losing(message, lost):
        values = fill(message, kinds)
    for kind, value in values.items():
        view.index.remember(kind, view.uids[index], value)
    return values
