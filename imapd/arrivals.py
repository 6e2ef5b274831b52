"""What APPEND and COPY let the index of a folder know that is not the selected one.

It is done while the client is silent, only where that folder has an index, and without a look at what else is there:
messages that were appended are read once more, copies get what is known of the originals.  In the selected folder new
messages are seen anyway, and filled as all others.
"""

from __future__ import annotations

from array import array

from imapd.view import View
from maildir import names
from maildir.nametable import FileNames, NameTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from imapd.filling import Filling
    from maildir.folder import Folder
    from maildir.index import Index

MAX_APPENDED = 1000  # that wait to be read; of others is found out when somebody asks


class Arrivals:
    """What was put into the folder that was last the target."""

    __slots__ = ("_appended", "_copied", "_filling", "_folder")

    def __init__(self) -> None:
        self._folder: Folder | None = None
        self._appended: list[tuple[int, bytes]] = []  # uids, and names in cur/
        self._copied: tuple[Sequence[int], Index, Sequence[int]] | None = None
        self._filling: Filling | None = None

    def appended(self, folder: Folder, uid: int, name: bytes) -> None:
        """A message was appended."""
        if self._begin(folder) and len(self._appended) < MAX_APPENDED:
            self._appended.append((uid, name))

    def copied(self, folder: Folder, uids: Sequence[int], index: Index, originals: Sequence[int]) -> None:
        """Messages were copied; index is that of the originals."""
        if self._begin(folder):
            self._copied = uids, index, originals

    def _begin(self, folder: Folder) -> bool:
        if folder is not self._folder:
            self.leave()
            self._folder = folder if folder.index.there() else None
        return self._folder is not None

    def go_on(self) -> float | None:
        """Work for a moment; returns after how many seconds there is more, None when nothing is left."""
        if self._folder is None:
            return None
        self._hand_over(self._folder)
        if self._filling is None and self._appended:
            from imapd.filling import Filling  # which many sessions never need

            self._filling = Filling(_Appended(self._folder, self._appended))
            self._appended = []
        later = self._filling.go_on() if self._filling is not None else None
        if later is None:
            self._filling = None
            if self._appended:
                return 0
            self.leave()
        return later

    def _hand_over(self, folder: Folder) -> None:
        """Remember of copies what is known of the originals and asked for among the copies."""
        if self._copied is None:
            return
        uids, index, originals = self._copied
        self._copied = None
        for kind in folder.index.kinds():
            for uid, value in zip(uids, index.values(kind, originals), strict=True):
                if value is not None:
                    folder.index.remember(kind, uid, value)

    def leave(self) -> None:
        """Keep what has been found out, and begin nothing more."""
        if self._folder is not None:
            self._folder.index.close()
        self._folder = self._filling = self._copied = None
        self._appended = []


class _Appended(View):
    """Messages of which uid and file are known, and no more is asked."""

    __slots__ = ()

    def __init__(self, folder: Folder, found: list[tuple[int, bytes]]) -> None:
        self.folder = folder
        self.index = folder.index
        self.uids = array("I", [uid for uid, _ in found])
        self.flags = bytearray(names.flags_of(name) for _, name in found)
        self._names = FileNames(NameTable([name for _, name in found]))
        self._astray = {}
