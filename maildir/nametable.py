"""The file names of a scan, small: as one string for every 128 messages, packed if they have to stay for long."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHIFT = 7
_SPAN = 1 << _SHIFT
_SEPARATOR = b"/"  # no file name has one


class NameTable:
    """File names in cur/ by position; treat it as read-only."""

    __slots__ = ("_blocks", "_count", "_last", "_packed", "_split")

    def __init__(self, found: Sequence[bytes]) -> None:
        self._count = len(found)
        self._blocks = [_SEPARATOR.join(found[start : start + _SPAN]) for start in range(0, len(found), _SPAN)]
        self._packed = False
        self._last = -1  # the block that was asked for last, and its names
        self._split: list[bytes] = []

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> bytes:
        return self._names(position >> _SHIFT)[position & _SPAN - 1]

    def __iter__(self) -> Iterator[bytes]:
        for block in range(len(self._blocks)):
            yield from self._names(block)

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
