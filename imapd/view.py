"""What this client believes about the selected mailbox.

A session's sequence numbers are positions in the view, and they move only in `changes()`: the one gate through which
EXPUNGE is told (RFC 3501 section 7.4.1).  Between two looks at the folder the view stands still, whatever others do to
the files; a message's file is found again by its base name when somebody has renamed it.
"""

from __future__ import annotations

from imapd.errors import Bad
from imapd.wire import response
from maildir import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator

    from imapd.wire.numset import SequenceSet
    from maildir.folder import Folder
    from maildir.snapshot import Snapshot

# In the order in which the original prints them.
FLAG_WORDS = (
    (names.DRAFT, b"\\Draft"),
    (names.FLAGGED, b"\\Flagged"),
    (names.ANSWERED, b"\\Answered"),
    (names.SEEN, b"\\Seen"),
    (names.DELETED, b"\\Deleted"),
)
ALL_FLAGS = sum(bit for bit, _ in FLAG_WORDS)


class View:
    """The selected mailbox as told to the client.

    uids (ascending), flags (maildir.names bits) and names (files in cur) are parallel, indexed by sequence number - 1.
    """

    __slots__ = (
        "flags", "folder", "folder_name", "mailbox", "names", "read_only", "recent", "uidnext", "uids", "uidvalidity",
    )  # fmt: skip

    def __init__(self, mailbox: bytes, folder_name: bytes, folder: Folder, snapshot: Snapshot, read_only: bool) -> None:
        self.mailbox = mailbox
        self.folder_name = folder_name
        self.folder = folder
        self.read_only = read_only
        self.recent: set[int] = set()
        self._take(snapshot)

    def __len__(self) -> int:
        return len(self.uids)

    def _take(self, snapshot: Snapshot) -> None:
        self.uidvalidity: int = snapshot.uidvalidity
        self.uidnext: int = snapshot.uidnext
        self.uids: array[int] = snapshot.uids
        # Copies, for STORE writes into them and the folder may hand out the same snapshot again.
        self.flags = bytearray(snapshot.flags)
        self.names = list(snapshot.names)
        self.recent |= snapshot.fresh

    def indexes_of(self, messages: SequenceSet) -> list[int]:
        """Positions of the messages named by sequence number.

        Raises Bad for numbers beyond the mailbox (RFC 3501 section 9, seq-number); `1:*` of an empty one names nothing.
        """
        numbers, outside = messages.sequence_numbers(len(self))
        if outside and len(self):
            raise Bad(f"Invalid message sequence number: {outside[0]}")
        return [number - 1 for number in numbers]

    def flag_list(self, index: int) -> bytes:
        """The flags of one message as a parenthesised list."""
        return _flag_list(self.flags[index], self.uids[index] in self.recent)

    def first_unseen(self) -> int | None:
        """Sequence number of the first message without \\Seen."""  # noqa: D301
        return next((index for index, flags in enumerate(self.flags, 1) if not flags & names.SEEN), None)

    def changes(self) -> Iterator[bytes]:
        """Look at the folder again; yield what is new to the client as untagged responses, EXPUNGE first."""
        old_uids, old_flags = self.uids, self.flags
        snapshot = self.folder.scan()
        if snapshot.uidvalidity != self.uidvalidity:
            yield from self._start_over(snapshot)
            return
        if snapshot.uids == old_uids:
            self._take(snapshot)
            yield from self._changed_flags(old_uids, old_flags)
            return
        present = set(snapshot.uids)
        gone = [index for index, uid in enumerate(old_uids) if uid not in present]
        for count, index in enumerate(gone):
            yield response.untagged(b"%d EXPUNGE" % (index + 1 - count))
        self.recent &= present
        self._take(snapshot)
        kept = len(old_uids) - len(gone)
        if gone or len(self.uids) != kept:
            yield from self.sizes()
        yield from self._changed_flags(old_uids, old_flags)

    def _start_over(self, snapshot: Snapshot) -> Iterator[bytes]:
        """Tell that the uid list was lost: all messages went and others came, under a new UIDVALIDITY."""
        yield from (response.untagged(b"1 EXPUNGE") for _ in range(len(self.uids)))
        self.recent.clear()
        self._take(snapshot)
        yield response.untagged(b"OK [UIDVALIDITY %d] Ok" % self.uidvalidity)
        yield from self.sizes()

    def sizes(self) -> Iterator[bytes]:
        """EXISTS and RECENT, always together as in the original."""
        yield response.untagged(b"%d EXISTS" % len(self.uids))
        yield response.untagged(b"%d RECENT" % len(self.recent))

    def _changed_flags(self, old_uids: array[int], old_flags: bytearray) -> Iterator[bytes]:
        if old_flags == self.flags[: len(old_flags)] and old_uids == self.uids[: len(old_uids)]:
            return
        before = dict(zip(old_uids, old_flags, strict=True))
        for index, uid in enumerate(self.uids):
            if before.get(uid, self.flags[index]) != self.flags[index]:
                yield self.flags_response(index)

    def flags_response(self, index: int, with_uid: bool = False) -> bytes:
        """The untagged FETCH that tells the flags of one message."""
        uid = b"UID %d " % self.uids[index] if with_uid else b""
        return response.untagged(b"%d FETCH (%sFLAGS %s)" % (index + 1, uid, self.flag_list(index)))


_RENDERED: dict[tuple[int, bool], bytes] = {}


def _flag_list(flags: int, recent: bool) -> bytes:
    rendered = _RENDERED.get((flags, recent))
    if rendered is None:
        words = [word for bit, word in FLAG_WORDS if flags & bit]
        if recent:
            words.append(b"\\Recent")
        rendered = _RENDERED[flags, recent] = b"(%s)" % b" ".join(words)
    return rendered


def flag_bits(words: list[bytes]) -> int:
    """The maildir.names bits of system flags; unknown words count nothing (the caller refuses them)."""
    lowered = [word.lower() for word in words]
    return sum(bit for bit, word in FLAG_WORDS if word.lower() in lowered)
