"""Removing messages marked as deleted: what EXPUNGE, UID EXPUNGE and CLOSE share.

With IMAP_MOVE_EXPUNGE_TO_TRASH they go to the trash folder instead, but for those that this session has copied
somewhere (that is how clients move) and those that are in the trash already.
"""

from __future__ import annotations

from couriertcpd import environ, log
from imapd import trash
from maildir import names
from maildir.trash import expunge_to_trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from imapd.session import Session
    from imapd.view import View


def remove_deleted(session: Session, indexes: Iterable[int]) -> None:
    r"""Remove from the folder those of the messages that this client saw marked \Deleted.

    The view is left as it is: what went is told, or not, by looking at the folder again.
    """
    view = session.selected()
    doomed = [_as_told(view, index) for index in indexes if view.flags[index] & names.DELETED]
    kept: list[bytes] = []
    if trash.takes_expunged() and view.folder_name != trash.folder():
        kept = [name for name in doomed if names.base(name) not in session.copied]
        doomed = [name for name in doomed if names.base(name) in session.copied]
    if kept:
        removed = expunge_to_trash(session.account, view.folder, trash.folder(), kept)
        _log(session, removed, into=trash.folder() + b"/cur/")
    if doomed:
        _log(session, view.folder.expunge(doomed), into=b"")


def _as_told(view: View, index: int) -> bytes:
    r"""The file name as this client knows it: where another session has taken \Deleted away, the file is not removed.

    The view may have a newer name, from reading the message.
    """
    name = view.name(index)
    return name if names.flags_of(name) & names.DELETED else names.with_flags(name, view.flags[index])


def _log(session: Session, removed: list[bytes], into: bytes) -> None:
    if not environ.text("IMAP_LOG_DELETIONS") or environ.text("IMAP_LOG_DELETIONS").startswith("0"):
        return
    folder = session.selected().folder.path
    where = f"ip=[{environ.text('TCPREMOTEIP')}], port=[{environ.text('TCPREMOTEPORT')}]"
    for name in removed:
        line = f"EXPUNGED, user={session.user}, {where}, old_name={log.printable(folder + b'/cur/' + name)}"
        if into:
            name_there = names.with_flags(name, names.flags_of(name) & ~(names.DELETED | names.DRAFT))
            line += f", new_name={log.printable(b'./' + into + name_there)}: only new_name will be left"
        log.info(line)
