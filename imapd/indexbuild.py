"""Filling a folder's index: whatever clients of the folder ask for, and what any client does."""

from __future__ import annotations

from imapd.indexvalues import Maker, usual
from imapd.message import Message
from imapd.textfilling import TextFilling
from imapd.view import View
from maildir import columns, indexfile
from maildir.folder import Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Progress = Callable[[int, int], None]  # gets how many messages are done, and of how many

_CHUNK = 128  # messages between two writes
_PASSES = 5  # what somebody else's write kept from being written is made again


class Built:
    """What came of it."""

    def __init__(self, messages: int, made: int, texts: int, octets: int, error: str) -> None:
        self.messages = messages
        self.made = made  # messages that were looked at
        self.texts = texts  # those that were looked at for the full-text index
        self.octets = octets  # of the files
        self.error = error


def build(path: bytes, progress: Progress) -> Built:
    """Bring the index of a folder, and its full-text index where there is to be one, up to date with its messages."""
    folder = Folder(path)
    view = View(b"", b"", folder, folder.scan(), read_only=True)
    try:
        work = _Work(view)
        complete = any(not work.one_pass(progress) for _ in range(_PASSES))
        usable = folder.index.usable()
        is_wanted = folder.full_text.wanted
        texts = _build_texts(view, progress) if is_wanted else 0
        usable = usable and folder.full_text.wanted == is_wanted
    finally:
        view.close()
    octets = sum(indexfile.octets_of(indexfile.path_of(path, layout=layout)) for layout in indexfile.LAYOUTS)
    error = "" if complete and usable else "the index cannot be written; see above, or somebody else writes to it"
    return Built(len(view), len(work.made), texts, octets, error)


def _build_texts(view: View, progress: Progress) -> int:
    """How many messages were looked at; what somebody else's write kept from being written is made again."""
    most = 0
    for _ in range(_PASSES):
        filling = TextFilling(view, thorough=True)
        for left in filling.steps():
            progress(len(view) - left, len(view))
        most = max(most, filling.looked_at)
        if not filling.looked_at:
            break
    return most


class _Work:
    """The messages of one folder, and what its index lacks of them."""

    def __init__(self, view: View) -> None:
        self.made: set[int] = set()
        self._view = view
        self._kinds = list(dict.fromkeys([*usual(), *view.index.kinds()]))
        self._left: set[tuple[int, bytes]] = set()  # what no index takes: too long, or the message cannot be read

    def one_pass(self, progress: Progress) -> bool:
        """Make what is lacking; False when nothing is."""
        index, count = self._view.index, len(self._view)
        lacked = False
        for start in range(0, count, _CHUNK):
            progress(start, count)
            for position, kinds in self._lacking(start).items():
                lacked = True
                self._make(position, kinds)
            index.flush()
        progress(count, count)
        return lacked

    def _lacking(self, start: int) -> dict[int, list[bytes]]:
        uids = self._view.uids[start : start + _CHUNK]
        lacking: dict[int, list[bytes]] = {}
        for kind in self._kinds:
            for position, value in enumerate(self._view.index.values(kind, uids), start):
                if value is None and (position, kind) not in self._left:
                    lacking.setdefault(position, []).append(kind)
        return lacking

    def _make(self, position: int, kinds: list[bytes]) -> None:
        self.made.add(position)
        values: dict[bytes, bytes] = {}
        with Message(self._view, position) as message:
            try:
                values = Maker(kinds).values(message)
            except OSError:  # gone meanwhile, or no readable file
                self._left.update((position, kind) for kind in kinds)
        for kind in kinds:
            value = values.get(kind)
            if value is None or len(value) > columns.MAX_VALUE:
                self._left.add((position, kind))
            else:
                self._view.index.remember(kind, self._view.uids[position], value)
