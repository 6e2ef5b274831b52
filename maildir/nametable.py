"""The file names of a scan, small: as one string for every 128 messages, packed if they have to stay for long."""

from __future__ import annotations

from maildir import names
from maildir.indexrows import BASE, NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from maildir.index import Index

_SHIFT = 7
_SPAN = 1 << _SHIFT
_SEPARATOR = b"/"  # no file name has one


class NameTable:
    """What a scan found as names in cur/, by position; treat it as read-only.

    plain says that base and flags give the whole name, so that only the bases are held.
    """

    __slots__ = ("_blocks", "_count", "_last", "_packed", "_split", "plain")

    def __init__(self, found: Sequence[bytes], plain: bool = False) -> None:
        self.plain = plain
        self._count = len(found)
        self._blocks = [_SEPARATOR.join(found[start : start + _SPAN]) for start in range(0, len(found), _SPAN)]
        self._packed = False
        self._last = -1  # the block that was asked for last, and its names
        self._split: list[bytes] = []

    def __len__(self) -> int:
        return self._count

    def name(self, position: int, flags: int) -> bytes:
        """The file name with these flags."""
        found = self._names(position >> _SHIFT)[position & _SPAN - 1]
        if self.plain:
            return found + names.SUFFIXES[flags]
        return found if names.flags_of(found) == flags else names.with_flags(found, flags)

    def bases(self, start: int, end: int) -> list[bytes]:
        """The bases from one position to another."""
        found: list[bytes] = []
        while start < end:
            stop = min(end, (start | _SPAN - 1) + 1)
            found += self._names(start >> _SHIFT)[start & _SPAN - 1 : (stop - 1 & _SPAN - 1) + 1]
            start = stop
        return found if self.plain else list(map(names.base, found))

    def odd(self) -> Iterator[tuple[int, bytes]]:
        """The names that do not follow from base and flags, with their positions."""
        if not self.plain:
            for position in range(self._count):
                name = self._names(position >> _SHIFT)[position & _SPAN - 1]
                if name != names.base(name) + names.SUFFIXES[names.flags_of(name)]:
                    yield position, name

    def _names(self, block: int) -> list[bytes]:
        if block != self._last:
            octets = self._blocks[block]
            if self._packed:
                import zlib

                octets = zlib.decompress(octets)
            self._split = octets.split(_SEPARATOR)
            self._last = block
        return self._split

    def pack(self) -> None:
        """Take a third of the memory from now on."""
        if not self._packed:
            import zlib

            self._blocks = [zlib.compress(block, 1) for block in self._blocks]
            self._packed = True
            self._last, self._split = -1, []


class FileNames:
    """The file names of a snapshot's messages: from its scan, or from the index once that has them.

    recover reads the folder again when the index has lost what it was given.
    """

    __slots__ = ("_index", "_recover", "_uids", "table")

    def __init__(
        self,
        table: NameTable | None,
        index: Index | None = None,
        uids: Sequence[int] = (),
        recover: Callable[[Sequence[int]], NameTable] | None = None,
    ) -> None:
        self.table = table
        self._index = index
        self._uids = uids
        self._recover = recover

    def name(self, position: int, flags: int) -> bytes:
        """The file name with these flags."""
        if self.table is None:
            uid = self._uids[position]
            base, odd = self._remembered(BASE, uid), self._remembered(NAME, uid)
            if base is not None:
                if odd is None:
                    return base + names.SUFFIXES[flags]
                return odd if names.flags_of(odd) == flags else names.with_flags(odd, flags)
        return self._certain().name(position, flags)

    def bases(self, start: int, end: int) -> list[bytes]:
        """The bases from one position to another."""
        if self.table is None and self._index is not None:
            found = self._index.values(BASE, self._uids[start:end])
            if None not in found:
                return found  # type: ignore[return-value]
        return self._certain().bases(start, end)

    def _remembered(self, kind: bytes, uid: int) -> bytes | None:
        return None if self._index is None else self._index.value(kind, uid)

    def _certain(self) -> NameTable:
        if self.table is None:
            assert self._recover is not None  # noqa: S101
            self.table = self._recover(self._uids)
        return self.table

    def settle(self, remembered: bool) -> None:
        """Hold less from now on: nothing when the index has the names."""
        if self._index is not None and remembered:
            self.table = None
        elif self.table is not None:
            self.table.pack()
