"""The state of one connection after authentication.  No input or output."""

from __future__ import annotations

from imapd.arrivals import Arrivals
from maildir import fs, heap
from maildir.folder import Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imapd.feature import FetchItem, StatusItem
    from imapd.view import View
    from maildir.account import Account
    from maildir.incoming import Incoming

# Ten in a row end the connection, as in the original.
MAX_VIOLATIONS = 10


class Session:
    """Account, selected mailbox, counters for the log line at the end; what the features declared as items.

    incoming holds the messages that the current APPEND has received, receive_error why one of them could not be taken;
    whatever is left at the command's end is thrown away.  copied has the base names of messages that were copied away,
    which keeps their originals out of the trash.
    """

    __slots__ = (
        "_target", "_target_directory", "account", "arrivals", "body_octets", "copied", "fetch_items", "header_octets",
        "incoming", "logged_out", "receive_error", "status_items", "user", "view", "violations",
    )  # fmt: skip

    def __init__(
        self, account: Account, user: str, fetch_items: dict[bytes, FetchItem], status_items: dict[bytes, StatusItem]
    ) -> None:
        self.account = account
        self.user = user
        self.fetch_items = fetch_items
        self.status_items = status_items
        self.view: View | None = None
        self.arrivals = Arrivals()
        self.incoming: list[Incoming] = []
        self.copied: set[bytes] = set()
        self.receive_error: OSError | None = None
        self.logged_out = False
        self.violations = 0
        self.header_octets = 0
        self.body_octets = 0
        self._target: Folder | None = None
        self._target_directory = (0, 0)

    def selected(self) -> View:
        """The selected mailbox; commands that need one are refused by dispatch before they come here."""
        assert self.view is not None  # noqa: S101
        return self.view

    def target(self, folder_name: bytes) -> Folder:
        """The folder that messages are put into: the selected one, or the same object as last time if it is there yet.

        Its uid list need not be read again then.
        """
        if self.view is not None and self.view.folder_name == folder_name:
            return self.view.folder
        path = self.account.path(folder_name)
        found = fs.stat(path)
        directory = found.st_dev, found.st_ino
        if self._target is None or self._target.path != path or self._target_directory != directory:
            self._target, self._target_directory = Folder(path), directory
        return self._target

    def idle(self) -> float | None:
        """Put away what is to be remembered, and find out more; returns after how many seconds there may be more to do.

        For when nothing waits.  None when nothing is left to be done until the next command.
        """
        later = self.arrivals.go_on()
        if later is None and self.view is not None:
            later = self.view.idle()
        if later is None:
            heap.rest()
        return later

    def forget_incoming(self) -> None:
        """Remove what an APPEND received and did not store."""
        self.receive_error = None
        while self.incoming:
            self.incoming.pop().abort()
