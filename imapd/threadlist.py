"""The threads of messages for THREAD (RFC 5256 section 3).

A whole answer is remembered in the folder's index, under a digest of the messages that it was made of.
"""

from __future__ import annotations

from imapd import headercolumns, sortorder
from maildir import threads as algorithms
from maildir.threads import Letter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from imapd.view import View


def threads(view: View, algorithm: bytes, indexes: list[int], with_uids: bool) -> bytes:
    """The thread-lists of the response, one behind the other; the numbers in them are uids or sequence numbers."""
    form = b" uid " if with_uids else b" "
    chosen = b"" if len(indexes) == len(view) else str(indexes).encode("ascii")
    key = b"thread " + algorithm + form + sortorder.digest(view, chosen)
    answer = view.index.answer(key)
    if answer is None:
        lost: set[int] = set()
        letters = _letters(view, indexes, lost)
        make = algorithms.by_references if algorithm == b"REFERENCES" else algorithms.ordered_subject
        numbers = [view.uids[index] for index in indexes] if with_uids else [index + 1 for index in indexes]
        answer = algorithms.render(make(letters), numbers)
        if not lost:
            view.index.remember_answer(key, answer)
    return answer


def _letters(view: View, indexes: Sequence[int], lost: set[int]) -> list[Letter]:
    kinds = (headercolumns.DATE, headercolumns.BASE_SUBJECT, headercolumns.THREAD)
    sent, subjects, ids = headercolumns.read(view, kinds, indexes, lost)
    dates = sortorder.sent_dates(view, indexes, sent, lost)
    letters = []
    for date, subject, known in zip(dates, subjects, ids, strict=True):
        own, *lineage = known.split(b" ")
        letters.append(Letter(date, subject[1:], subject[:1] == b"1", own, lineage))
    return letters
