"""Tickets: what is believed of them, and what is not."""

import hmac
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from authdaemond import ticket, ticketkey
from authdaemond.account import Account
from authdaemond.ticket import BadTicket, UsedTickets
from couriertcpd import installed

KEY = bytes(range(32))
AUDIENCE = b"00112233445566778899aabbccddeeff"


@pytest.fixture
def used(tmp_path: Path) -> Iterator[UsedTickets]:
    (tmp_path / "lock").touch(0o600)
    table = UsedTickets(str(tmp_path / "lock"), 0.0)
    yield table
    table.close()


def kim() -> Account:
    account = Account(b"kim@example.net", b"/srv/mail/kim", 1006, 1005)
    account.fullname, account.maildir, account.quota = b"Kim Q", b"Mail dir", b"1000S"
    account.options = b"disableimap=0,group=a"
    account.passwd, account.passwd2, account.ticket = b"{SHA}hash", b"clear", b"another"
    return account


def refusal(signed: bytes, used: UsedTickets, key: bytes = KEY, audience: bytes = AUDIENCE, now: float = 1000.0) -> str:
    with pytest.raises(BadTicket) as refused:
        ticket.verify(key, signed, audience, now, used)
    return str(refused.value)


def test_a_ticket_carries_the_account_without_secrets(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    assert b"hash" not in signed
    assert b"clear" not in signed
    account = ticket.verify(KEY, signed, AUDIENCE, 1000.5, used)
    for name in ("address", "home", "uid", "gid", "username", "fullname", "maildir", "quota", "options"):
        assert getattr(account, name) == getattr(kim(), name)
    assert (account.passwd, account.passwd2, account.ticket) == (b"", b"", b"")


def test_an_account_of_the_system(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, Account(b"lee", b"/home/lee", 100, username="lee"), AUDIENCE, 1000.0)
    account = ticket.verify(KEY, signed, AUDIENCE, 1000.0, used)
    assert (account.uid, account.username, account.gid, account.maildir) == (None, "lee", 100, b"")


def test_every_octet_counts(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    for position in range(len(signed)):
        forged = bytearray(signed)
        forged[position] ^= 1
        assert refusal(bytes(forged), used) == "not signed with this host's key"
    ticket.verify(KEY, signed, AUDIENCE, 1000.0, used)


def test_truncated_and_lengthened(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    assert refusal(b"", used) == "no ticket"
    for length in range(1, len(signed)):
        assert refusal(signed[:length], used) == "not signed with this host's key"
    assert refusal(signed + b"\n", used) == "not signed with this host's key"
    assert refusal(signed + b"x" * ticket.MAX_TICKET_OCTETS, used) == "ticket too long"


def test_another_key(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    assert refusal(signed, used, key=KEY[::-1]) == "not signed with this host's key"
    assert refusal(signed, used, key=b"") == "no key to check it with"


def test_another_audience(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    assert refusal(signed, used, audience=AUDIENCE[::-1]) == "ticket for somebody else"
    assert refusal(signed, used, audience=b"") == "ticket for somebody else"


def test_time(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    assert refusal(signed, used, now=1000.0 + ticket.LIFE_SECONDS + 0.001) == "ticket expired"
    assert refusal(signed, used, now=1000.0 - ticket.FUTURE_SECONDS - 0.001) == "ticket from the future"
    used.since = 1000.001
    assert refusal(signed, used) == "ticket from before the start"
    used.since = 1000.0
    ticket.verify(KEY, signed, AUDIENCE, 1000.0 + ticket.LIFE_SECONDS, used)


def test_a_ticket_is_good_once(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    ticket.verify(KEY, signed, AUDIENCE, 1000.0, used)
    assert refusal(signed, used) == "ticket used before"
    assert refusal(signed, used, now=1000.0 + ticket.LIFE_SECONDS) == "ticket used before"
    ticket.verify(KEY, ticket.sign(KEY, kim(), AUDIENCE, 1000.0), AUDIENCE, 1000.0, used)


def test_a_ticket_that_is_refused_is_not_used_up(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    assert refusal(signed, used, audience=b"ff") == "ticket for somebody else"
    ticket.verify(KEY, signed, AUDIENCE, 1000.0, used)


def test_what_is_signed_but_is_no_ticket(used: UsedTickets) -> None:
    signed = ticket.sign(KEY, kim(), AUDIENCE, 1000.0)
    payload = signed[32:]
    for other in (
        payload.replace(b"ticket 1", b"ticket 2"),
        payload.replace(b"GID=1006\n", b""),
        b"courier-imap ticket 1\n",
        b"courier-imap ticket 1\nnan?\n00\n%s\nGID=5\n.\n" % AUDIENCE,
        payload.rpartition(b"\nUID")[0],
    ):
        assert refusal(hmac.digest(KEY, other, "sha256") + other, used) == "a form of ticket that is not known here"


def test_not_a_number_is_no_time(used: UsedTickets) -> None:
    payload = b"courier-imap ticket 1\n%s\n" + b"00" * 16 + b"\n" + AUDIENCE + b"\nUID=5\nGID=5\nHOME=/h\n.\n"
    for when in (b"nan", b"inf", b"-inf"):
        other = payload % when
        assert refusal(hmac.digest(KEY, other, "sha256") + other, used)


def test_a_record_that_is_too_long_is_not_signed() -> None:
    account = kim()
    account.options = b"x" * ticket.MAX_TICKET_OCTETS
    with pytest.raises(ValueError, match="too long"):
        ticket.sign(KEY, account, AUDIENCE, 1000.0)


def test_of_many_processes_one_gets_the_account(used: UsedTickets) -> None:
    """Eight processes, each with the same fifty tickets in an order of its own."""
    tickets = [ticket.sign(KEY, kim(), AUDIENCE, 1000.0) for _ in range(50)]
    start_read, start_write = os.pipe()
    won_read, won_write = os.pipe()
    children = []
    for number in range(8):
        children.append(os.fork())
        if children[-1] == 0:
            status = 1
            try:
                os.close(start_write)
                os.read(start_read, 1)  # all begin when the last writer has gone
                for index in [*range(number * 6, 50), *range(number * 6)]:
                    try:
                        ticket.verify(KEY, tickets[index], AUDIENCE, 1000.0, used)
                        os.write(won_write, bytes([index]))
                    except BadTicket as refused:
                        assert str(refused) == "ticket used before"  # noqa: PT017
                status = 0
            finally:
                os._exit(status)
    for descriptor in (start_read, start_write, won_write):
        os.close(descriptor)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    with open(won_read, "rb") as won:
        assert sorted(won.read()) == list(range(50))


def test_a_lock_that_is_never_let_go_is_no_way_in(
    used: UsedTickets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UsedTickets, "LOCK_SECONDS", 0.01)
    ready_read, ready_write = os.pipe()
    end_read, end_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(end_write)
            used._lock()
            os.write(ready_write, b"!")
            os.read(end_read, 1)
        finally:
            os._exit(0)
    os.read(ready_read, 1)
    assert refusal(ticket.sign(KEY, kim(), AUDIENCE, 1000.0), used) == "the list of used tickets stays locked"
    for descriptor in (end_read, end_write, ready_read, ready_write):
        os.close(descriptor)
    os.waitpid(child, 0)
    (tmp_path / "lock").unlink()
    assert refusal(ticket.sign(KEY, kim(), AUDIENCE, 1000.0), used) == "the list of used tickets cannot be locked"
    (tmp_path / "lock").touch()
    ticket.verify(KEY, ticket.sign(KEY, kim(), AUDIENCE, 1000.0), AUDIENCE, 1000.0, used)


def test_the_table_refuses_what_it_cannot_note(used: UsedTickets) -> None:
    for number in range(UsedTickets.PROBES):
        used.take(bytes(4) + number.to_bytes(12, "big"), 1000.0)
    with pytest.raises(BadTicket, match="more tickets"):
        used.take(bytes(4) + b"x" * 12, 1000.0)
    used.take(b"\0\0\0\1" + b"x" * 12, 1000.0)  # the place beside is not taken
    with pytest.raises(BadTicket, match="used before"):
        used.take(bytes(4) + bytes(12), 1000.0)
    used.take(bytes(4) + b"x" * 12, 1000.0 + ticket.LIFE_SECONDS + ticket.FUTURE_SECONDS)


def test_the_last_place_of_the_table(used: UsedTickets) -> None:
    last = (UsedTickets.PLACES - 1).to_bytes(4, "big")
    for number in range(UsedTickets.PROBES):
        used.take(last + number.to_bytes(12, "big"), 1000.0)
    with pytest.raises(BadTicket, match="used before"):
        used.take(last + (UsedTickets.PROBES - 1).to_bytes(12, "big"), 1000.0)


def test_the_key_file(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    assert not ticketkey.trusted(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        ticketkey.read(str(tmp_path))
    ticketkey.make(str(tmp_path))
    key = ticketkey.read(str(tmp_path))
    assert len(key) == 32
    assert ticketkey.trusted(str(tmp_path))
    ticketkey.make(str(tmp_path))
    assert ticketkey.read(str(tmp_path)) == key
    assert os.listdir(tmp_path) == ["ticket.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_know_is_not_believed(tmp_path: Path, mode: int) -> None:
    ticketkey.make(str(tmp_path))
    (tmp_path / "ticket.key").chmod(mode)
    assert not ticketkey.trusted(str(tmp_path))
    with pytest.raises(ticketkey.Untrusted, match="others than its owner"):
        ticketkey.read(str(tmp_path))


def test_a_key_of_another_length_or_kind_is_not_believed(tmp_path: Path) -> None:
    key = tmp_path / "ticket.key"
    key.write_bytes(b"k" * 31)
    key.chmod(0o600)
    assert not ticketkey.trusted(str(tmp_path))
    key.unlink()
    (tmp_path / "elsewhere").write_bytes(b"k" * 32)
    key.symlink_to(tmp_path / "elsewhere")
    assert not ticketkey.trusted(str(tmp_path))
    with pytest.raises(OSError):
        ticketkey.read(str(tmp_path))
    key.unlink()
    os.mkfifo(key, 0o600)
    with pytest.raises(ticketkey.Untrusted):
        ticketkey.read(str(tmp_path))


def test_a_directory_that_others_write_to_holds_no_key(tmp_path: Path) -> None:
    ticketkey.make(str(tmp_path))
    tmp_path.chmod(0o770)
    assert not ticketkey.trusted(str(tmp_path))
    with pytest.raises(ticketkey.Untrusted, match="chmod go-w"):
        ticketkey.read(str(tmp_path))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("part", ["", "ticket.key"])
def test_root_does_not_believe_what_login_stages_could_have_written(tmp_path: Path, part: str) -> None:
    ticketkey.make(str(tmp_path))
    os.chown(tmp_path / part, pwd.getpwnam(installed.MAILUSER).pw_uid, -1)
    assert not ticketkey.trusted(str(tmp_path))
    with pytest.raises(ticketkey.Untrusted, match="belongs to"):
        ticketkey.read(str(tmp_path))
