"""Responses to FETCH put together from columns of values, for many messages at once."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from imapd.feature import FetchItem
    from imapd.wire.fetchatt import Item

    Column = list[bytes | int | None]

_END = b")\r\n"


class Lines:
    """How the responses to one command look."""

    __slots__ = ("_pieces",)

    def __init__(self, rows: Sequence[tuple[FetchItem, Item]]) -> None:
        self._pieces: list[_Between | int] = []  # values, by the place of their column, and what is between them
        between = _Between(_END + b"* %d FETCH (")
        between.places.append((None, False))
        for place, (row, item) in enumerate(rows):
            if place:
                between.text += b" "
            if row.literal is not None:
                between.text += item.response_name.replace(b"%", b"%%") + b" {%d}\r\n"
                between.places.append((place, True))
            elif row.template != b"%b":
                between.text += row.template
                between.places.append((place, False))
                continue
            self._pieces += [between, place]
            between = _Between(b"")
        if between.text:
            self._pieces.append(between)

    def joined(self, numbers: Sequence[int], columns: Sequence[Column]) -> bytes:
        """The responses for the messages with these numbers, which have these values."""
        if not numbers:
            return b""
        # All is joined in one go, which copies each value once; a template for each response would copy it thrice.
        width = len(self._pieces)
        pieces: list[bytes] = [b""] * (width * len(numbers))
        for at, piece in enumerate(self._pieces):
            found = columns[piece] if isinstance(piece, int) else piece.told(numbers, columns)
            pieces[at::width] = found  # type: ignore[assignment]
        pieces[0] = pieces[0].removeprefix(_END)
        pieces.append(_END)
        return b"".join(pieces)


class _Between:
    """What stands before a value, behind the one before it: a text with numbers in it."""

    __slots__ = ("places", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.places: list[tuple[int | None, bool]] = []

    def told(self, numbers: Sequence[int], columns: Sequence[Column]) -> list[bytes]:
        """It for each message; the numbers are those of the messages, values, and lengths of values."""
        if not self.places:
            return [self.text] * len(numbers)
        found: list[Iterable[object]] = []
        for place, is_length in self.places:
            column: Sequence[object] = numbers if place is None else columns[place]
            found.append(map(len, column) if is_length else column)  # type: ignore[arg-type]
        return [self.text % row for row in zip(*found, strict=True)]
