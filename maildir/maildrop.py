"""INBOX as one POP3 session sees it: messages that were there at its beginning, by position.

Others rename and remove files meanwhile: what was renamed is found again, what is gone is gone.
"""

from __future__ import annotations

from couriertcpd import log
from maildir import droplist, fs, listing, names, quota
from maildir.folder import ATTEMPTS, Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Maildrop:
    """The messages; `unsaved` is why their list could not be written, if so."""

    __slots__ = ("_cur", "_folder", "_names", "_raw", "_root", "_uidls", "sizes", "unsaved")

    def __init__(self, root: bytes = b".") -> None:
        """See what is there; raises OSError."""
        found = droplist.scan(root)
        self._root = root
        self._cur = root + b"/cur/"
        self._folder = Folder(root)
        self._names = found.names
        self._uidls = found.uidls
        self._raw = found.raw
        self.sizes = found.sizes  # octets on the wire
        self.unsaved = found.unsaved

    def uidls(self) -> list[bytes]:
        """The unique ids of all messages."""
        return self._uidls

    def uidl(self, index: int) -> bytes:
        """The unique id of a message."""
        return self._uidls[index]

    def has_raw_header(self, index: int) -> bool:
        """Whether the message has octets beyond ASCII in a header, which is not for every client (RFC 6856)."""
        return index in self._raw

    def open(self, index: int) -> int:
        """A descriptor of the message; FileNotFoundError when it is gone."""
        descriptor, self._names[index] = self._folder.open_message(self._names[index])
        return descriptor

    def mark_seen(self, index: int) -> None:
        r"""Mark a message \Seen, if that can be done.  Nothing is promised, so nothing waits for the disk."""
        name = self._names[index]
        _, colon, info = name.rpartition(b":")
        if (colon and not info.startswith(b"2,")) or names.flags_of(name) & names.SEEN:
            return
        target = names.with_flags(name, names.flags_of(name) | names.SEEN)
        try:
            fs.rename(self._cur + name, self._cur + target)
        except OSError:
            return
        self._names[index] = target

    def remove(self, doomed: Iterable[int]) -> tuple[list[bytes], list[int]]:
        """Remove messages for good; those that are gone already are no error.

        Returns the file names that were removed, below the maildir, and the messages that could not be.
        """
        removed: list[bytes] = []
        failed: list[int] = []
        octets = counted = 0
        pending = {index: self._names[index] for index in doomed}
        for _ in range(ATTEMPTS):
            renamed = {}
            for index, name in pending.items():
                try:
                    size = quota.message_octets(self._cur + name)
                    fs.unlink(self._cur + name)
                except FileNotFoundError:
                    renamed[names.base(name)] = index
                except OSError as error:
                    log.err(f"{log.printable(self._cur + name)}: not removed: {error.strerror}")
                    failed.append(index)
                else:
                    removed.append(b"cur/" + name)
                    octets += size * quota.counts(name)
                    counted += quota.counts(name)
            if not renamed:
                break
            found = listing.find(self._root + b"/cur", set(renamed))
            pending = {renamed[base]: name for base, name in found.items()}
        else:
            failed += pending
        self._settle(octets, counted, removed)
        return removed, sorted(failed)

    def _settle(self, octets: int, counted: int, removed: list[bytes]) -> None:
        if removed:
            fs.sync_directory(self._root + b"/cur")
        if counted:
            quota.took_away(self._root, octets, counted)
