"""What a mailbox is known by stays when it is copied to another host, in IMAP and in POP3."""

from __future__ import annotations

import imaplib
import poplib
import shutil

import pytest
from chain import CLIENT_SECONDS, Account, Chain

from tests.clients.box import Box, letter

OLD = 700_000_000  # a UIDVALIDITY from before
MESSAGES = 4


@pytest.fixture
def box(chain: Chain) -> Box:
    box = Box(chain, "moving@example.com")
    for number in range(MESSAGES):
        box.deliver(letter(f"Letter {number}", "text"))
    (box.maildir / "courierimapuiddb").write_bytes(b"1 %d 41\n" % OLD)
    box.account.own()
    return box


def by_imap(chain: Chain, account: Account) -> tuple[int, list[bytes]]:
    """UIDVALIDITY, and the uid and subject of each message."""
    imap = imaplib.IMAP4("127.0.0.1", chain.listener().port, timeout=CLIENT_SECONDS)
    imap.login(account.name, account.password)
    imap.select(readonly=True)
    _, (validity,) = imap.response("UIDVALIDITY")
    _, data = imap.fetch("1:*", "(UID BODY.PEEK[HEADER.FIELDS (Subject)])")
    imap.logout()
    return int(validity), [one[0].split(b"(", 1)[1] + one[1] for one in data if isinstance(one, tuple)]


def by_pop3(chain: Chain, account: Account) -> list[bytes]:
    """The UIDLs."""
    pop3 = poplib.POP3("127.0.0.1", chain.listener(protocol="pop3").port, timeout=CLIENT_SECONDS)
    pop3.user(account.name)
    pop3.pass_(account.password)
    _, ids, _ = pop3.uidl()
    pop3.quit()
    return ids


def test_a_copy_is_the_same_mailbox(chain: Chain, box: Box) -> None:
    before = by_imap(chain, box.account), by_pop3(chain, box.account)
    assert before[0][0] == OLD
    assert len(before[0][1]) == len(set(before[1])) == MESSAGES
    other = chain.account("moved@example.com")
    other.empty()
    shutil.copytree(box.maildir, other.maildir, symlinks=True)
    other.own()
    assert (by_imap(chain, other), by_pop3(chain, other)) == before
    assert (by_imap(chain, box.account), by_pop3(chain, box.account)) == before


def test_a_list_of_uids_that_is_lost_is_made_anew(chain: Chain, box: Box) -> None:
    assert by_imap(chain, box.account)[0] == OLD
    (box.maildir / "courierimapuiddb").unlink()
    validity, messages = by_imap(chain, box.account)
    assert OLD < validity < 1 << 31
    assert len(messages) == MESSAGES
    assert by_imap(chain, box.account) == (validity, messages)
