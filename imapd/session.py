"""The state of one connection after authentication.  No input or output."""

from __future__ import annotations

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
        "account", "body_octets", "copied", "fetch_items", "header_octets", "incoming", "logged_out", "receive_error",
        "status_items", "user", "view", "violations",
    )  # fmt: skip

    def __init__(
        self, account: Account, user: str, fetch_items: dict[bytes, FetchItem], status_items: dict[bytes, StatusItem]
    ) -> None:
        self.account = account
        self.user = user
        self.fetch_items = fetch_items
        self.status_items = status_items
        self.view: View | None = None
        self.incoming: list[Incoming] = []
        self.copied: set[bytes] = set()
        self.receive_error: OSError | None = None
        self.logged_out = False
        self.violations = 0
        self.header_octets = 0
        self.body_octets = 0

    def selected(self) -> View:
        """The selected mailbox; commands that need one are refused by dispatch before they come here."""
        assert self.view is not None  # noqa: S101
        return self.view

    def forget_incoming(self) -> None:
        """Remove what an APPEND received and did not store."""
        self.receive_error = None
        while self.incoming:
            self.incoming.pop().abort()
