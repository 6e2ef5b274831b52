"""Mailbox names and folder names."""

import pytest

from imapd.errors import No
from imapd.mailbox import folder_of, from_subscription, locate, mailbox_of, subscription_of


@pytest.mark.parametrize(
    ("mailbox", "folder"),
    [
        (b"inbox", b"."),
        (b"INBOX", b"."),
        (b"InBox.a", b".a"),
        (b"INBOX.A.b c", b".A.b c"),
        (b"INBOX.&AOk-", ".é".encode()),
        (b"INBOX.a.&AOk-.b", ".a.é.b".encode()),
        (b"INBOX.R&-D", b".R&D"),
    ],
)
def test_names_both_ways(mailbox: bytes, folder: bytes) -> None:
    assert folder_of(mailbox) == folder
    assert mailbox_of(folder).lower() == mailbox.lower()


@pytest.mark.parametrize(
    "mailbox",
    [b"", b"a", b"INBOX.", b"INBOX..a", b"INBOX.a.", b"INBOX.a/b", b"INBOX.&", b"INBOX.&AOk", b"INBOXa", b"shared.x",
     b"#shared.x", b"INBOX." + b"a" * 300, b"INBOX.&AC8-", b"INBOX.&AC4-"],
)  # fmt: skip
def test_names_that_can_be_no_mailbox(mailbox: bytes) -> None:
    with pytest.raises(No, match="Invalid mailbox name"):
        folder_of(mailbox)


def test_a_directory_that_is_not_utf8_has_a_name() -> None:
    assert mailbox_of(b".\xe9") == b"INBOX.&AOk-"


class Folders:
    """An account with these folders."""

    def __init__(self, *folders: bytes) -> None:
        self.there = folders

    def exists(self, folder: bytes) -> bool:
        return folder in self.there


def test_folders_from_before_5_0_keep_their_names() -> None:
    assert mailbox_of(b".R&AOk-pertoire") == b"INBOX.R&AOk-pertoire"
    assert locate(Folders(b".R&AOk-pertoire"), b"INBOX.R&AOk-pertoire") == b".R&AOk-pertoire"  # type: ignore[arg-type]
    both = Folders(b".R&AOk-pertoire", ".Répertoire".encode())
    assert locate(both, b"INBOX.R&AOk-pertoire") == ".Répertoire".encode()  # type: ignore[arg-type]
    assert locate(Folders(), b"INBOX.R&AOk-pertoire") == ".Répertoire".encode()  # type: ignore[arg-type]
    # What only looks like it is a name in UTF-8.
    assert mailbox_of(b".Tom&Jerry-") == b"INBOX.Tom&-Jerry-"


def test_subscriptions_are_utf8_and_keep_the_spelling_of_inbox() -> None:
    assert subscription_of(b"inbox.&AOk-") == "inbox.é".encode()
    assert from_subscription("inbox.é".encode()) == b"inbox.&AOk-"
