"""Removing messages marked as deleted: what EXPUNGE, UID EXPUNGE and CLOSE share."""

from __future__ import annotations

from maildir import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from imapd.view import View


def remove_deleted(view: View, indexes: Iterable[int]) -> None:
    r"""Remove from the folder those of the messages that this client saw marked \Deleted.

    The view is left as it is: what went is told, or not, by looking at the folder again.
    """
    doomed = [view.names[index] for index in indexes if view.flags[index] & names.DELETED]
    if doomed:
        view.folder.expunge(doomed)
