"""Finding out what is in a folder: by the index while nothing has changed, else by reading cur/ and the uid list.

Both give the same.  What the index has may be believed while cur/, new/ and the uid list have the very marks under
which it was stored, and it is stored under marks only when no change could hide behind them.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left

from couriertcpd import log
from maildir import fs, heap, listing, lock, names, recent, snapshot, uidlist
from maildir.anew import rename_anew
from maildir.before import Before
from maildir.columns import MASK, SHIFT, SPAN
from maildir.marks import Marks
from maildir.nametable import FileNames, NameTable
from maildir.snapshot import Match, Snapshot, Status
from maildir.storedview import Reading
from maildir.uidlist import UidList

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from maildir.columns import Values
    from maildir.index import Index
    from maildir.snapshot import Parts
    from maildir.uidcolumns import UidColumns
    from maildir.uidlistfile import UidListFile

_LOCKED_SECONDS = 0.2  # until a database that somebody else writes to is tried again
_KEPT = 25000  # names at most that are kept for the next scan
_MANY = 5000  # messages whose names take memory that is worth while to give back
_SEEN = bytes(bool(flags & names.SEEN) for flags in range(256))


class Scanner:
    """Scans one folder again and again; expunged has the bases of messages that are certainly gone."""

    def __init__(self, folder: bytes, uid_list: UidListFile, index: Index, expunged: set[bytes]) -> None:
        self._folder = folder
        self._cur = folder + b"/cur/"
        self._new = folder + b"/new/"
        self._uid_list = uid_list
        self._index = index
        self._expunged = expunged
        self._unwritten: UidList | None = None  # numbers given in memory by scans that may not write
        self._last: Snapshot | None = None
        self._before: Before | None = None
        self._last_marks = b""  # b"" when a change may have hidden from the last scan
        self._due = False  # whether it is worth another look while nobody waits
        self._warned = False

    def marks(self) -> Marks:
        """What the folder has now."""
        return Marks(self._folder, self._uid_list.mark())

    def scan(self, write: bool) -> Snapshot:
        """What there is: see Folder.scan()."""
        marks = self.marks()
        if self._last is not None and marks.octets == self._last_marks:
            # Another session may have found that the index was wrong: then all are to look again.
            if not self._index.lost or self._index.stored(marks.octets) is not None:
                return self._last
        if write:
            remembered = self._remembered(marks)
            if remembered is not None:
                return remembered
        if marks.large:
            heap.expect_much()
        moved = self._move_new()
        if write and moved:
            return self._number()
        listed = self._uid_list.columns()
        seen = listing.read(self._cur)
        found = None if listed is None else self._matched(listed, seen, marks)
        if found is not None:
            return found
        uid_list = self._uid_list.read()
        if not write:  # what was put there after that reading must not be missed
            seen = listing.read(self._cur)
        if uid_list is None or uid_list.fault or seen.twins:
            return self._number() if write else self._number_in_memory(uid_list, seen)
        match = Match(uid_list.uids, seen.by_base)
        if not match.exact:
            return self._number() if write else self._number_in_memory(uid_list, seen)
        return self._took(self._of(uid_list, match), marks)

    def _remembered(self, marks: Marks) -> Snapshot | None:
        """The folder as the index has it, if that is how it is."""
        stored = self._index.stored(marks.octets)
        if stored is None:
            return None
        file_names = FileNames(None, self._index, stored.uids, self._read_names)
        self._last = Snapshot(stored.uidvalidity, stored.uidnext, stored.uids, stored.flags, file_names)
        self._last_marks, self._due = marks.octets, False
        return self._last

    def _matched(self, listed: UidColumns, seen: listing.Listing, marks: Marks) -> Snapshot | None:
        """The folder by list and directory; None when the list has to be brought up to date, or is odd."""
        before, self._before = self._before, None
        if before is not None and before.listed is listed and before.snapshot is self._last:
            again = before.renamed(self._cur, seen.names)
            if again is not None:
                found = self._took(self._snapshot(listed, again.flags, before.table(), 0), marks, again.whole)
                return self._keep(found, listed, again.names)
        return self._fitting(listed, seen, marks)

    def _keep(self, found: Snapshot, listed: UidColumns, found_names: Collection[bytes]) -> Snapshot:
        """Keep what the next scan can be held against, until the client is silent."""
        table = found.file_names.table
        if len(found_names) <= _KEPT and table is not None and table.plain:
            self._before = Before(found, listed, found_names)
        return found

    def _fitting(self, listed: UidColumns, seen: listing.Listing, marks: Marks) -> Snapshot | None:
        """The folder by list and directory as they are; None when they do not fit."""
        parts = snapshot.take_apart(seen.names) if listed.uidvalidity else None
        if parts is None:
            return None
        found = self._joined(listed, parts)
        if found is None:
            return self._completed(listed, seen, parts, marks)
        return self._keep(self._took(found, marks), listed, seen.names)

    def _completed(self, listed: UidColumns, seen: listing.Listing, found: Parts, marks: Marks) -> Snapshot | None:
        """The folder by a reading during which some messages were renamed, which it shows twice or not at all.

        With many clients most readings are such; whoever took the lock to look again would keep all others waiting.
        """
        parts: Parts | None = found
        if found.twice():
            parts = None if seen.twins else snapshot.take_apart(list(seen.by_base.values()))
        missing = None if parts is None else parts.lacking(listed.keys)
        if parts is None or missing is None or len(missing) > listing.GUESSED:
            return None
        more = snapshot.take_apart(list(listing.guess(self._cur, missing).values()))
        whole = None if more is None else parts.with_more(more)
        joined = None if whole is None else self._joined(listed, whole)
        if whole is None or joined is None:
            return None
        return self._keep(self._took(joined, marks, not missing), listed, whole.found)

    def _joined(self, listed: UidColumns, parts: Parts, fresh: int = 0) -> Snapshot | None:
        joined = parts.in_order(listed.keys)
        return None if joined is None else self._snapshot(listed, *joined, fresh)

    def _snapshot(self, listed: UidColumns, flags: bytes, table: NameTable, fresh: int) -> Snapshot:
        """The folder by columns; the uids of so many messages at the end have just been given."""
        uids = listed.uids
        given = frozenset(uids[len(uids) - fresh :])
        file_names = FileNames(table, self._index, uids, self._read_names)
        return Snapshot(listed.uidvalidity, listed.uidnext, uids, flags, file_names, given)

    def _of(self, uid_list: UidList, match: Match, fresh: frozenset[int] = frozenset()) -> Snapshot:
        flags = bytes(names.flags_of_all(match.names))
        file_names = FileNames(NameTable(match.names), self._index, match.uids, self._read_names)
        return Snapshot(uid_list.uidvalidity, uid_list.uidnext, match.uids, flags, file_names, fresh)

    def _took(self, found: Snapshot, marks: Marks | None, whole: bool = True) -> Snapshot:
        """Note the newest scan.

        marks are what the folder had when it began, None when the uid list has changed since; whole says that the
        reading has shown every message.
        """
        sure = marks is not None and marks.settled and whole and not self._warned
        self._last, self._last_marks = found, marks.octets if marks is not None and sure else b""
        self._due = not sure
        table = found.file_names.table
        if found.uids and table is not None:
            self._index.offer(_reading(found, self._last_marks, marks.origin if marks is not None else b"", table))
        return found

    def _read_names(self, uids: Sequence[int]) -> NameTable:
        """The names that messages have now; of those that are gone one that does not exist."""
        uid_list = self._uid_list.read()
        self._uid_list.forget()
        by_base = listing.read(self._cur).by_base
        keys = {} if uid_list is None else {uid: key for key, uid in uid_list.uids.items()}
        return NameTable([by_base.get(keys.get(uid, b""), b"%d.gone" % uid) for uid in uids])

    # -- while nobody waits

    def settle(self) -> float | None:
        """Put away what the index is to have; returns after how many seconds there may be more, None for never.

        When the folder had changed just before it was scanned, it is looked at again once it has come to rest.
        """
        before = self._last
        if before is None:
            return None
        later = self._put_away(before)
        if not self._due:
            return later
        marks = self.marks()
        if not marks.settled:
            return max(marks.settles, 0.05)
        self._due = False
        if self._arrived():  # the next scan takes it over; a view without it must not be stored under these marks
            return later
        listed = self._uid_list.columns()
        if listed is None or listed.uidvalidity != before.uidvalidity:
            return later
        found = self._fitting(listed, listing.read(self._cur), marks)
        return later if found is None else self._put_away(found)

    def _put_away(self, found: Snapshot) -> float | None:
        held = found.file_names.table is not None
        stored = self._index.store()
        if stored or self._index.off:
            self._uid_list.forget()
            self._before = None
            found.file_names.settle(stored)
            if held and len(found.uids) > _MANY:
                heap.give_back()
            return None
        return _LOCKED_SECONDS if self._index.pending else None

    # -- moving and numbering

    def _arrived(self) -> list[bytes]:
        """The new messages."""
        return [name for name in fs.listdir(self._new) if name[:1] != b"."]

    def _move_new(self) -> bool:
        """Move new messages into cur/; True when there were any.  Who may not, leaves them where they are."""
        arrived = self._arrived()
        for name in arrived:
            try:
                fs.rename(self._new + name, self._cur + (name if b":" in name else name + b":2,"))
            except FileNotFoundError:
                continue  # another session was faster
            except OSError as error:
                if error.errno not in fs.UNWRITABLE:
                    raise
                self._warn(error)
                return False
        return bool(arrived)

    def _number(self) -> Snapshot:
        """Bring the uid list up to date under the lock."""
        try:
            with lock.held(self._folder):
                return self._number_locked()
        except OSError as error:
            if error.errno not in fs.UNWRITABLE:
                raise
            self._warn(error)
        uid_list = self._uid_list.read()
        seen = listing.read(self._cur)
        if uid_list is None:  # nothing can contradict numbers of a uidvalidity that nobody has been told
            return self._number_in_memory(None, seen)
        return self._of(uid_list, Match(uid_list.uids, self._with_missed(uid_list.uids, seen)))

    def _number_locked(self) -> Snapshot:
        quick = self._number_quickly()
        if quick is not None:
            return self._took(quick, None)
        uid_list = self._uid_list.read_locked()
        seen = listing.read(self._cur)
        broken = [name for base, name in seen.by_base.items() if b"\n" in base]  # two lines of the uid list
        if broken or seen.twins:
            for name in broken:
                rename_anew(self._cur, name, b"broken", "a line break in the name; it gets another")
            for _, name in seen.twins:
                rename_anew(self._cur, name, b"twin", "a second file of that name; it counts as another message")
            seen = listing.read(self._cur)
        known = {} if uid_list is None else uid_list.uids
        by_base = self._with_missed(known, seen)
        match = Match(known, by_base)
        if uid_list is not None and match.exact and not uid_list.fault:
            return self._took(self._of(uid_list, match), None)
        arrived = sorted(match.unlisted, key=names.sort_key)
        written, fresh = self._uid_list.rewrite(match.vanished, arrived)
        self._expunged.clear()
        return self._took(self._of(written, Match(written.uids, by_base), frozenset(fresh)), None)

    def _number_quickly(self) -> Snapshot | None:
        """As the rest of _number_locked, by columns; None for what is odd in any way."""
        listed = self._uid_list.columns_locked()
        seen = listing.read(self._cur)
        if listed is None or any([b"\n" in name for name in seen.names]):
            return None
        if not listed.keys:
            return self._number_all(listed, seen)
        parts = snapshot.take_apart(seen.names)
        if parts is None:
            return None
        there = set(parts.bases)
        arrived = there.difference(listed.keys)
        if len(there) < len(parts.bases):
            return None
        if len(there) - len(arrived) < len(listed.keys):
            vanished = set(listed.keys) - there
            if not (seen.settled or vanished <= self._expunged):
                return None
            listed = listed.without(vanished)
        elif not arrived:
            return self._joined(listed, parts)
        written = self._write(listed, names.in_order(list(arrived)))
        return None if written is None else self._joined(written, parts, len(arrived))

    def _number_all(self, listed: UidColumns, seen: listing.Listing) -> Snapshot | None:
        """Numbers for a folder in which nothing has one."""
        parts = snapshot.take_apart(sorted(seen.names))
        if parts is None or not names.ascend(parts.bases):
            return None
        written = self._write(listed, parts.bases) if parts.bases or not listed.uidvalidity else listed
        if written is None:
            return None
        return self._snapshot(written, parts.flags, parts.table(), len(parts.bases))

    def _write(self, listed: UidColumns, arrived: list[bytes]) -> UidColumns | None:
        try:
            written = self._uid_list.write(listed.with_more(arrived))
        except uidlist.Exhausted:
            return None
        self._expunged.clear()
        return written

    def _with_missed(self, known: dict[bytes, int], seen: listing.Listing) -> dict[bytes, bytes]:
        """The reading, with the listed messages that it missed because they were being renamed."""
        if not seen.settled:
            missing = known.keys() - seen.by_base.keys() - self._expunged
            if missing:
                seen.by_base.update(listing.find(self._cur, missing))
        return seen.by_base

    def _number_in_memory(self, uid_list: UidList | None, seen: listing.Listing) -> Snapshot:
        """Numbers for a caller that may not write: as a writer would give them, kept for this object's next scan."""
        own = self._unwritten
        if own is None or (uid_list is not None and uid_list.uidvalidity != own.uidvalidity):
            own = uid_list.copy() if uid_list else UidList(uidlist.first_uidvalidity(int(time.time())))
        known = {} if uid_list is None else uid_list.uids
        by_base = self._with_missed(known, seen)
        taken = set(known.values())
        ahead = {key: uid for key, uid in own.uids.items() if key not in known and uid not in taken}
        view = UidList(own.uidvalidity, own.uidnext, known | ahead)
        if uid_list is not None:
            view.uidnext = max(view.uidnext, uid_list.uidnext)
        view.number(sorted(by_base.keys() - view.uids.keys(), key=names.sort_key))
        view.uids = dict(sorted(view.uids.items(), key=lambda entry: entry[1]))
        self._unwritten = view
        fresh = frozenset(view.uids[key] for key in by_base if key not in known)
        return self._of(view, Match(view.uids, by_base), fresh)

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            where = log.printable(self._folder)
            log.warn(f"{where}: cannot be written, so new messages are not shown: {error.strerror}")

    # -- counting

    def status(self) -> Status:
        """How much there is; moves and writes nothing."""
        marks = self.marks()
        counts = self._index.counts(marks.octets)
        if counts is not None:
            noted = recent.look(self._folder, counts.uidvalidity)
            stored = None if noted is None else self._index.stored(marks.octets)
            if noted is None or stored is not None:
                fresh = 0 if noted is None or stored is None else _from(stored.uids, noted)
                return Status(counts.messages, fresh, counts.uidnext, counts.uidvalidity, counts.unseen)
        return self._status_quickly() or self._status_slowly()

    def _status_quickly(self) -> Status | None:
        """By columns, when nothing is new."""
        listed = self._uid_list.columns()
        if listed is None or not listed.uidvalidity or self._arrived():
            return None
        parts = snapshot.take_apart(listing.read(self._cur).names)
        joined = None if parts is None else parts.in_order(listed.keys)
        if joined is None:
            return None
        noted = recent.look(self._folder, listed.uidvalidity)
        fresh = 0 if noted is None else _from(listed.uids, noted)
        unseen = joined[0].translate(_SEEN).count(0)
        return Status(len(listed.keys), fresh, listed.uidnext, listed.uidvalidity, unseen)

    def _status_slowly(self) -> Status:
        arrived = set(map(names.base, self._arrived()))
        uid_list = self._uid_list.read() or UidList(uidlist.first_uidvalidity(int(time.time())))
        by_base = self._with_missed(uid_list.uids, listing.read(self._cur))
        arrived -= by_base.keys()  # moved while this was counting
        unlisted = len(by_base.keys() - uid_list.uids.keys()) + len(arrived - uid_list.uids.keys())
        seen = sum(1 for bits in names.flags_of_all(by_base.values()) if bits & names.SEEN)
        messages = len(by_base) + len(arrived)
        noted = recent.look(self._folder, uid_list.uidvalidity)
        listed = 0 if noted is None else sum(uid >= noted and base in by_base for base, uid in uid_list.uids.items())
        return Status(messages, unlisted + listed, uid_list.uidnext + unlisted, uid_list.uidvalidity, messages - seen)


def _from(uids: array[int], lowest: int) -> int:
    """How many uids are not below another."""
    return len(uids) - bisect_left(uids, lowest)


def _reading(found: Snapshot, marks: bytes, origin: bytes, table: NameTable) -> Reading:
    """A scan as the index takes it."""
    unseen = found.flags.translate(_SEEN).count(0)
    return Reading(
        found.uidvalidity,
        found.uidnext,
        found.uids,
        found.flags,
        unseen,
        marks,
        origin,
        lambda: _by_block(found.uids, table),
        lambda: {found.uids[position]: name for position, name in table.odd()},
    )


def _by_block(uids: array[int], table: NameTable) -> Iterator[tuple[int, Values]]:
    """The bases of a scan by blocks of uids."""
    start = 0
    while start < len(uids):
        block = uids[start] >> SHIFT
        end = bisect_left(uids, block + 1 << SHIFT, start)
        bases: Values = [*table.bases(start, end)]
        if end - start < SPAN:
            values: Values = [None] * SPAN
            for uid, base in zip(uids[start:end], bases, strict=True):
                values[uid & MASK] = base
            bases = values
        yield block, bases
        start = end
