"""What this client believes about the selected mailbox.

A session's sequence numbers are positions in the view, and they move only in `changes()`: the one gate through which
EXPUNGE is told (RFC 3501 section 7.4.1).  Between two looks at the folder the view stands still, whatever others do to
the files; a message's file is found again by its base name when somebody has renamed it.
"""

from __future__ import annotations

from bisect import bisect_left

from couriertcpd import environ, log
from imapd.errors import Bad
from imapd.wire import response
from maildir import names, recent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator

    from imapd.filling import Filling
    from imapd.textfilling import TextFilling
    from imapd.wire.numset import SequenceSet
    from maildir.folder import Folder
    from maildir.index import Index
    from maildir.snapshot import Snapshot

# In the order in which the original prints them.
FLAG_WORDS = (
    (names.DRAFT, b"\\Draft"),
    (names.FLAGGED, b"\\Flagged"),
    (names.ANSWERED, b"\\Answered"),
    (names.SEEN, b"\\Seen"),
    (names.DELETED, b"\\Deleted"),
)
_SEEN = bytes(flags & names.SEEN for flags in range(256))
_STRIDE = 1024  # flags that are compared at once
ALL_FLAGS = sum(bit for bit, _ in FLAG_WORDS)


class View:
    """The selected mailbox as told to the client.

    uids (ascending) and flags (maildir.names bits) are parallel, indexed by sequence number - 1; name() gives the file
    in cur/.
    """

    __slots__ = (
        "_astray", "_filling", "_names", "_text_filling", "flags", "folder", "folder_name", "index", "keywords",
        "mailbox", "read_only", "recent", "uidnext", "uids", "uidvalidity", "vocabulary",
    )  # fmt: skip

    def __init__(self, mailbox: bytes, folder_name: bytes, folder: Folder, snapshot: Snapshot, read_only: bool) -> None:
        self.mailbox = mailbox
        self.folder_name = folder_name
        self.folder = folder
        self.index: Index = folder.index
        self.read_only = read_only
        self.recent: set[int] = set()
        self.uids: array[int] = snapshot.uids[:0]
        self._filling: Filling | None = None
        self._text_filling: TextFilling | None = None
        self._take(snapshot, self._read_keywords(snapshot))
        self.vocabulary = self.words_in_use()

    def __len__(self) -> int:
        return len(self.uids)

    def _take(self, snapshot: Snapshot, keywords: dict[int, frozenset[bytes]]) -> None:
        self.uidvalidity: int = snapshot.uidvalidity
        self.uidnext: int = snapshot.uidnext
        highest = self.uids[-1] if self.uids else 0
        self.uids = snapshot.uids
        # Copies, for STORE writes into them and the folder may hand out the same snapshot again.
        self.flags = bytearray(snapshot.flags)
        self._names = snapshot.file_names
        self._astray: dict[int, bytes] = {}  # names that do not follow from the scan's and the flags told, by uid
        self.recent |= snapshot.fresh
        if self.uids and self.uids[-1] > highest:
            self._add_noted_recent(snapshot)
        if len(self.recent) > len(self.uids) >> 4:
            self.recent.intersection_update(self.uids)
        else:
            self.recent = {uid for uid in self.recent if self.position(uid) is not None}
        self.keywords = keywords

    def position(self, uid: int) -> int | None:
        """The index of the message with this uid."""
        index = bisect_left(self.uids, uid)
        return index if index < len(self.uids) and self.uids[index] == uid else None

    def name(self, index: int) -> bytes:
        """The file in cur/ of one message, as far as it is known here: somebody may have renamed it."""
        astray = self._astray.get(self.uids[index]) if self._astray else None
        if astray is not None:
            return astray
        return self._names.name(index, self.flags[index])

    def base(self, index: int) -> bytes:
        """The part of its name that stays."""
        return names.base(self.name(index))

    def bases(self, start: int, end: int) -> list[bytes]:
        """The same of all messages from one index to another."""
        return self._names.bases(start, end)

    def renamed(self, index: int, name: bytes, flags: int | None = None) -> None:
        """The message has another name now, and, when that is told to the client, other flags."""
        if flags is not None:
            self.flags[index] = flags
        self._astray.pop(self.uids[index], None)
        if self.name(index) != name:
            self._astray[self.uids[index]] = name

    def idle(self) -> float | None:
        """What Session.idle() does for the selected mailbox."""
        if self._filling is None:
            self.index.flush()
        later = self.folder.idle()
        if later is None:
            self._names.settle(self.index.known)
        more = None
        if self.index.known and self.index.is_open:  # it is not opened for this alone
            if self._filling is None:
                from imapd.filling import Filling  # which many sessions never need

                self._filling = Filling(self)
            more = self._filling.go_on()
        return more or self._fill_texts() or later

    def _fill_texts(self) -> float | None:
        if not self.folder.full_text.wanted:
            return None
        if self._text_filling is None:
            from imapd.textfilling import TextFilling

            self._text_filling = TextFilling(self)
        return self._text_filling.go_on()

    def close(self) -> None:
        """Put away what is to be remembered, and close what is open."""
        self.index.close()
        self.folder.full_text.close()

    def _add_noted_recent(self, snapshot: Snapshot) -> None:
        r"""Messages that came by APPEND or COPY; what is \Recent to EXAMINE stays so to the next SELECT."""
        path = self.folder.path
        lowest = (recent.look if self.read_only else recent.take)(path, self.uidvalidity)
        if lowest is not None:
            self.recent.update(self.uids[bisect_left(self.uids, lowest) :])
        if self.read_only and snapshot.fresh:
            recent.leave(path, self.uidvalidity, min(snapshot.fresh))

    def _read_keywords(self, snapshot: Snapshot) -> dict[int, frozenset[bytes]]:
        """The keywords by uid; messages without any are left out."""
        if not keywords_enabled() or not self.folder.keywords.there():
            return {}
        uids = snapshot.bases()
        found = self.folder.keywords.read(uids)
        return {uids[base]: frozenset(map(keyword_on_wire, keywords)) for base, keywords in found.items()}

    def keywords_by_base(self, indexes: Iterable[int]) -> dict[bytes, frozenset[bytes]]:
        """The keywords that those of the messages have on disk now that have any."""
        if not keywords_enabled() or not self.folder.keywords.there():
            return {}
        return self.folder.keywords.read({names.base(self.name(index)) for index in indexes}, write=False)

    def set_keywords(self, uid: int, keywords: frozenset[bytes]) -> None:
        """Take over what a change has left on disk."""
        if keywords:
            self.keywords[uid] = frozenset(map(keyword_on_wire, keywords))
        else:
            self.keywords.pop(uid, None)

    def words_in_use(self) -> frozenset[bytes]:
        """Every keyword that a message has."""
        return frozenset().union(*self.keywords.values())

    def indexes_of(self, messages: SequenceSet) -> list[int]:
        """As positions_of(), in a list."""
        return list(self.positions_of(messages))

    def positions_of(self, messages: SequenceSet) -> list[int] | range:
        """Positions of the messages named by sequence number; a range, which takes no memory, if they are in a row.

        Raises Bad for numbers beyond the mailbox (RFC 3501 section 9, seq-number); `1:*` of an empty one names nothing.
        """
        numbers, outside = messages.sequence_numbers(len(self))
        if outside and len(self):
            raise Bad(f"Invalid message sequence number: {outside[0]}")
        if isinstance(numbers, range):
            return range(numbers.start - 1, numbers.stop - 1)
        return [number - 1 for number in numbers]

    def flag_list(self, index: int) -> bytes:
        """The flags of one message as a parenthesised list."""
        uid = self.uids[index]
        flags = flag_words(self.flags[index], uid in self.recent)
        keywords = self.keywords.get(uid)
        if keywords:
            flags = b" ".join([flags, *sorted(keywords)] if flags else sorted(keywords))
        return b"(%s)" % flags

    def first_unseen(self) -> int | None:
        """Sequence number of the first message without \\Seen."""  # noqa: D301
        return self.flags.translate(_SEEN).find(0) + 1 or None

    def changes(self) -> Iterator[bytes]:
        """Look at the folder again; yield what is new to the client as untagged responses, EXPUNGE first."""
        old_uids, old_flags, old_keywords = self.uids, self.flags, self.keywords
        # All that can fail is done before the first octet: what the client is told and this view must not part.
        snapshot = self.folder.scan()
        keywords = self._read_keywords(snapshot)
        if snapshot.uidvalidity == self.uidvalidity and snapshot.uids == old_uids:
            self._take(snapshot, keywords)
            yield from self._changed_flags(old_uids, old_flags, old_keywords)
            return
        self._filling = self._text_filling = None
        if snapshot.uidvalidity != self.uidvalidity:
            yield from self._start_over(snapshot, keywords)
            return
        gone = _missing(old_uids, snapshot.uids)
        for count, index in enumerate(gone):
            yield response.untagged(b"%d EXPUNGE" % (index + 1 - count))
        self._take(snapshot, keywords)
        kept = len(old_uids) - len(gone)
        yield from self.new_words(self.words_in_use())
        if gone or len(self.uids) != kept:
            yield from self.sizes()
        yield from self._changed_flags(old_uids, old_flags, old_keywords)

    def changes_if_readable(self) -> Iterator[bytes]:
        """As changes(), for a command that is done whatever comes of the look at the folder: NO would be a lie."""
        try:
            yield from self.changes()
        except OSError as error:
            log.err(f"{log.printable(self.folder.path)}: cannot be read: {error.strerror}")

    def _start_over(self, snapshot: Snapshot, keywords: dict[int, frozenset[bytes]]) -> Iterator[bytes]:
        """Tell that the uid list was lost: all messages went and others came, under a new UIDVALIDITY."""
        yield from (response.untagged(b"1 EXPUNGE") for _ in range(len(self.uids)))
        self.recent.clear()
        self._take(snapshot, keywords)
        yield response.untagged(b"OK [UIDVALIDITY %d] Ok" % self.uidvalidity)
        yield from self.sizes()

    def sizes(self) -> Iterator[bytes]:
        """EXISTS and RECENT, always together as in the original."""
        yield response.untagged(b"%d EXISTS" % len(self.uids))
        yield response.untagged(b"%d RECENT" % len(self.recent))

    def new_words(self, words: frozenset[bytes]) -> Iterator[bytes]:
        """Tell the flags of the mailbox again when keywords are in use that the client has not been told of."""
        if not words <= self.vocabulary:
            self.vocabulary |= words
            yield from self.flag_lines()

    def forgotten_words(self) -> Iterator[bytes]:
        """Tell them again when some are in use no more."""
        in_use = self.words_in_use()
        if in_use != self.vocabulary:
            self.vocabulary = in_use
            yield from self.flag_lines()

    def flag_lines(self) -> Iterator[bytes]:
        """FLAGS and PERMANENTFLAGS, keywords first as in the original."""
        words = b"".join(word + b" " for word in sorted(self.vocabulary))
        yield response.untagged(b"FLAGS (%s\\Draft \\Answered \\Flagged \\Deleted \\Seen \\Recent)" % words)
        if self.read_only:
            yield response.untagged(b"OK [PERMANENTFLAGS ()] No permanent flags permitted")
            return
        if keywords_enabled():
            words += b"\\* "
        yield response.untagged(
            b"OK [PERMANENTFLAGS (%s\\Draft \\Answered \\Flagged \\Deleted \\Seen)] Limited" % words
        )

    def _changed_flags(
        self, old_uids: array[int], old_flags: bytearray, old_keywords: dict[int, frozenset[bytes]]
    ) -> Iterator[bytes]:
        yield from self.new_words(self.words_in_use())
        if old_keywords == self.keywords:
            changed = _differing(old_uids, old_flags, self.uids, self.flags)
        else:
            before = dict(zip(old_uids, old_flags, strict=True))
            changed = [
                index
                for index, uid in enumerate(self.uids)
                if uid in before
                and (before[uid] != self.flags[index] or old_keywords.get(uid) != self.keywords.get(uid))
            ]
        for index in changed:
            yield self.flags_response(index)
        if changed or old_keywords != self.keywords:
            yield from self.forgotten_words()

    def flags_response(self, index: int, with_uid: bool = False) -> bytes:
        """The untagged FETCH that tells the flags of one message."""
        uid = b"UID %d " % self.uids[index] if with_uid else b""
        return response.untagged(b"%d FETCH (%sFLAGS %s)" % (index + 1, uid, self.flag_list(index)))


def _missing(old: array[int], new: array[int]) -> list[int]:
    """Positions in one ascending array of what the other does not have."""
    if old == new[: len(old)]:
        return []
    present = set(new)
    return [index for index, uid in enumerate(old) if uid not in present]


def _differing(old_uids: array[int], old_flags: bytearray, uids: array[int], flags: bytearray) -> list[int]:
    """Positions of messages that were there before with other flags."""
    if old_uids != uids[: len(old_uids)]:
        before = dict(zip(old_uids, old_flags, strict=True))
        return [index for index, uid in enumerate(uids) if before.get(uid, flags[index]) != flags[index]]
    found: list[int] = []
    for start in range(0, len(old_flags), _STRIDE):
        end = min(start + _STRIDE, len(old_flags))
        if old_flags[start:end] != flags[start:end]:
            found += [index for index in range(start, end) if old_flags[index] != flags[index]]
    return found


_RENDERED: dict[tuple[int, bool], bytes] = {}


def flag_words(flags: int, recent: bool) -> bytes:
    """System flags as a client is told them, without parentheses."""
    rendered = _RENDERED.get((flags, recent))
    if rendered is None:
        words = [word for bit, word in FLAG_WORDS if flags & bit]
        if recent:
            words.append(b"\\Recent")
        rendered = _RENDERED[flags, recent] = b" ".join(words)
    return rendered


# What cannot stand in a flag on the wire shows as `_`, as in the original; so does 8-bit.
_ON_WIRE = bytes(octet if 33 <= octet < 127 and octet not in b'(){%*"\\]' else ord("_") for octet in range(256))


def keyword_on_wire(keyword: bytes) -> bytes:
    """A keyword as a client is told it."""
    return keyword.translate(_ON_WIRE)


def keywords_enabled() -> bool:
    """IMAP_KEYWORDS; its values 1 and 2, which name algorithms of the original, mean the same here."""
    return environ.enabled("IMAP_KEYWORDS", True)


def flag_bits(words: list[bytes]) -> int:
    """The maildir.names bits of system flags; unknown words count nothing (the caller refuses them)."""
    lowered = [word.lower() for word in words]
    return sum(bit for bit, word in FLAG_WORDS if word.lower() in lowered)
