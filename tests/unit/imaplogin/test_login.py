"""The login stage over TCP, in the chain: what is answered, logged, limited, and handed on."""

import base64
import hashlib
import hmac
import os
import re
import stat
from pathlib import Path

import pytest
from chain import Account, Chain, Listener


class Talk:
    """A client that speaks in lines."""

    def __init__(self, listener: Listener, banner: bool = True) -> None:
        self.socket = listener.connect()
        self.file = self.socket.makefile("rb")
        if banner:
            assert self.line().startswith(b"* OK [CAPABILITY IMAP4rev1 ")

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def line(self) -> bytes:
        return self.file.readline()

    def ask(self, command: bytes) -> list[bytes]:
        """Send one line and read up to its tagged answer, or the end."""
        self.send(command + b"\r\n")
        return self.answer(command.split(b" ")[0])

    def answer(self, tag: bytes) -> list[bytes]:
        lines = []
        while True:
            line = self.line()
            if line:
                lines.append(line.rstrip(b"\r\n"))
            if not line or line.startswith((tag + b" ", b"+ ")):
                return lines

    def rest(self) -> bytes:
        return self.file.read()

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *details: object) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def account(chain: Chain) -> Account:
    kim = chain.account("kim@example.net")
    if not kim.maildir.exists():
        for name in ("cur", "new", "tmp"):
            (kim.maildir / name).mkdir(parents=True)
        kim.own()
    return kim


def login(account: Account, tag: bytes = b"a") -> bytes:
    return b"%s LOGIN %s %s" % (tag, account.name.encode(), account.password.encode())


def test_commands_before_login(chain: Chain) -> None:
    with Talk(chain.listener()) as talk:
        assert talk.ask(b"a CAPABILITY")[0].startswith(b"* CAPABILITY IMAP4rev1 ")
        assert talk.ask(b"b NOOP") == [b"b OK NOOP completed"]
        assert talk.ask(b'c ID ("name" "tests")') == [b'* ID ("name" "Courier-IMAP")', b"c OK ID completed"]
        assert talk.ask(b"d LOGOUT") == [b"* BYE Courier-IMAP server shutting down", b"d OK LOGOUT completed"]
        assert talk.rest() == b""
    line = r"^INFO: LOGOUT, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\], rcvd=\d+, sent=\d+$"
    assert re.search(line, chain.log_text(), re.M)


def test_login_becomes_imapd_with_what_was_pipelined(chain: Chain, account: Account) -> None:
    with Talk(chain.listener()) as talk:
        talk.send(login(account) + b"\r\nb SELECT INBOX\r\nc LOGOUT\r\n")
        assert talk.line() == b"a OK LOGIN Ok.\r\n"
        assert talk.answer(b"b")[-1] == b"b OK [READ-WRITE] Ok"
        assert talk.answer(b"c")[-1] == b"c OK LOGOUT completed"
        assert talk.rest() == b""
    where = r"user=kim@example\.net, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]"
    assert re.search(rf"^INFO: LOGIN, {where}, protocol=IMAP$", chain.log_text(), re.M)
    counters = r"headers=0, body=0, rcvd=\d+, sent=\d+, time=\d+"
    assert re.search(rf"^INFO: LOGOUT, {where}, {counters}$", chain.log_text(), re.M)


def test_user_and_password_as_literals_and_quoted(chain: Chain, account: Account) -> None:
    with Talk(chain.listener()) as talk:
        assert talk.ask(b"a LOGIN {%d}" % len(account.name)) == [b"+ OK"]
        talk.send(account.name.encode() + b" {%d}\r\n" % len(account.password))
        assert talk.line() == b"+ OK\r\n"
        talk.send(account.password.encode() + b"\r\n")
        assert talk.line() == b"a OK LOGIN Ok.\r\n"
    with Talk(chain.listener()) as talk:
        user, password = account.name.encode(), account.password.encode()
        talk.send(b'a LOGIN {%d+}\r\n%s "%s"\r\n' % (len(user), user, password))
        assert talk.line() == b"a OK LOGIN Ok.\r\n"


@pytest.mark.parametrize("initial", [True, False])
def test_authenticate_plain(chain: Chain, account: Account, initial: bool) -> None:
    response = base64.b64encode(b"\0%s\0%s" % (account.name.encode(), account.password.encode()))
    with Talk(chain.listener()) as talk:
        if initial:
            assert talk.ask(b"a AUTHENTICATE PLAIN " + response) == [b"a OK LOGIN Ok."]
        else:
            assert talk.ask(b"a AUTHENTICATE PLAIN") == [b"+ "]
            talk.send(response + b"\r\nb LOGOUT\r\n")
            assert talk.line() == b"a OK LOGIN Ok.\r\n"
            assert talk.answer(b"b")[-1] == b"b OK LOGOUT completed"


def test_authenticate_login(chain: Chain, account: Account) -> None:
    with Talk(chain.listener()) as talk:
        assert talk.ask(b"a AUTHENTICATE LOGIN") == [b"+ " + base64.b64encode(b"Username:")]
        talk.send(base64.b64encode(account.name.encode()) + b"\r\n")
        assert talk.line() == b"+ " + base64.b64encode(b"Password:") + b"\r\n"
        talk.send(base64.b64encode(account.password.encode()) + b"\r\n")
        assert talk.line() == b"a OK LOGIN Ok.\r\n"


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha256"])
def test_authenticate_cram(chain: Chain, digest: str) -> None:
    cram = chain.account(f"cram-{digest}@example.net")
    for name in ("cur", "new", "tmp"):
        (cram.maildir / name).mkdir(parents=True, exist_ok=True)
    cram.own()
    stored = chain.run("sbin/userdbpw", f"-hmac-{digest}", given=cram.password.encode() + b"\n")
    chain.run("sbin/userdb", cram.name, "set", f"hmac-{digest}pw", given=stored)
    chain.run("sbin/makeuserdb")
    with Talk(chain.listener()) as talk:
        (challenge,) = talk.ask(f"a AUTHENTICATE CRAM-{digest}".encode())
        asked = base64.b64decode(challenge[2:])
        proof = hmac.new(cram.password.encode(), asked, getattr(hashlib, digest)).hexdigest()
        talk.send(base64.b64encode(f"{cram.name} {proof}".encode()) + b"\r\n")
        assert talk.line() == b"a OK LOGIN Ok.\r\n"


def test_a_wrong_password_is_logged_at_once_and_the_session_goes_on(chain: Chain, account: Account) -> None:
    with Talk(chain.listener()) as talk:
        assert talk.ask(b'a LOGIN kim@example.net "not it"') == [b"a NO Login failed."]
        line = r"^INFO: LOGIN FAILED, user=kim@example\.net, ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]$"
        assert re.search(line, chain.log_text(), re.M)
        assert talk.ask(login(account, b"b")) == [b"b OK LOGIN Ok."]
    assert "not it" not in chain.log_text()


def test_an_exchange_that_is_given_up_or_broken_is_bad(chain: Chain) -> None:
    with Talk(chain.listener()) as talk:
        talk.ask(b"a AUTHENTICATE PLAIN")
        talk.send(b"*\r\n")
        assert talk.line().startswith(b"a BAD ")
        talk.ask(b"b AUTHENTICATE PLAIN")
        talk.send(b"!!!\r\n")
        assert talk.line().startswith(b"b BAD ")
        assert talk.ask(b"c AUTHENTICATE NONE") == [b"c NO Unsupported authentication mechanism."]


def test_tls_required(chain: Chain, account: Account) -> None:
    with Talk(chain.listener(IMAP_TLS_REQUIRED="1")) as talk:
        assert b" LOGINDISABLED" in talk.ask(b"a CAPABILITY")[0]
        assert talk.ask(login(account, b"b")) == [b"b NO STARTTLS required"]
        assert talk.ask(b"c AUTHENTICATE PLAIN") == [b"c NO STARTTLS required"]


def test_ten_violations_in_a_row_end_the_connection(chain: Chain) -> None:
    with Talk(chain.listener()) as talk:
        for _ in range(9):
            assert talk.ask(b"a FROB")[0].startswith(b"a BAD ")
        assert talk.ask(b"b NOOP") == [b"b OK NOOP completed"]
        for _ in range(9):
            assert talk.ask(b"a SELECT INBOX")[0].startswith(b"a BAD ")
        talk.send(b"a FROB\r\n")
        assert talk.rest() == b"* BYE [ALERT] Fatal error: TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS: \r\n"


def test_what_is_too_large_is_refused_and_the_session_goes_on(chain: Chain, account: Account) -> None:
    with Talk(chain.listener()) as talk:
        talk.send(b"a LOGIN " + b"x" * 20000 + b" y\r\n")
        assert talk.line() == b"* NO [ALERT] IMAP command too long.\r\n"
        assert talk.line().startswith(b"* BAD ")
        assert talk.ask(b"b LOGIN {8193}")[0] == b"* NO [ALERT] IMAP command too long."
        assert talk.ask(b"c LOGIN {100000+}\r\n" + b"x" * 100000 + b" y")[-1].startswith(b"c BAD ")
        assert talk.ask(login(account, b"d")) == [b"d OK LOGIN Ok."]


def test_no_authdaemond_is_a_temporary_problem(chain: Chain, account: Account, tmp_path: Path) -> None:
    with Talk(chain.listener(AUTHDAEMONVAR=str(tmp_path))) as talk:
        assert talk.ask(login(account)) == [b"* BYE Temporary problem, please try again later"]
    assert re.search(r"^ERR: authentication error: ", chain.log_text(), re.M)


def test_a_missing_home_is_a_temporary_problem(chain: Chain) -> None:
    ghost = chain.account("ghost@example.net")
    ghost.home.rmdir()
    with Talk(chain.listener()) as talk:
        assert talk.ask(login(ghost)) == [b"* BYE Temporary problem, please try again later"]
    assert f"WARN: ghost@example.net: chdir({ghost.home}) failed!!" in chain.log_text()
    assert re.search(r"^INFO: LOGIN FAILED, user=ghost@example\.net, ", chain.log_text(), re.M)


@pytest.mark.parametrize("option", ["disableimap", "disableimap=1", "disableimap=yes", "disableinsecureimap=1"])
def test_accounts_that_may_not_use_imap(chain: Chain, option: str) -> None:
    name = f"{re.sub('[^a-z0-9]', '', option)}@example.net"
    refused = chain.account(name, options=option)
    for part in ("cur", "new", "tmp"):
        (refused.maildir / part).mkdir(parents=True, exist_ok=True)
    refused.own()
    with Talk(chain.listener()) as talk:
        talk.send(login(refused) + b"\r\n")
        how = b"via insecure connection" if "insecure" in option else b"for this account"
        assert talk.rest() == b"a OK LOGIN Ok.\r\n* BYE IMAP access disabled %s.\r\n" % how
    assert f"INFO: LOGIN, user={name}" not in chain.log_text()


def test_a_locked_account(chain: Chain) -> None:
    locked = chain.account("locked@example.net")
    for part in ("cur", "new", "tmp"):
        (locked.maildir / part).mkdir(parents=True, exist_ok=True)
    locked.own()
    locked.home.chmod(locked.home.stat().st_mode | stat.S_ISVTX)
    with Talk(chain.listener()) as talk:
        talk.send(login(locked) + b"\r\n")
        assert talk.rest() == b"* BYE Your account is temporarily unavailable (+t bit set on home directory).\r\n"
    assert re.search(r"^INFO: LOCKED, user=locked@example\.net, ip=\[", chain.log_text(), re.M)


def test_loginexec_runs_once(chain: Chain) -> None:
    hooked = chain.account("hooked@example.net")
    for part in ("cur", "new", "tmp"):
        (hooked.maildir / part).mkdir(parents=True, exist_ok=True)
    hook = hooked.maildir / "loginexec"
    hook.write_text('#!/bin/sh\necho "$AUTHENTICATED" > witness\n')
    hook.chmod(0o700)
    hooked.own()
    with Talk(chain.listener()) as talk:
        assert talk.ask(login(hooked)) == [b"a OK LOGIN Ok."]
    assert (hooked.maildir / "witness").read_text() == "hooked@example.net\n"
    assert not hook.exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_mail_is_served_as_the_account(chain: Chain, account: Account) -> None:
    with Talk(chain.listener()) as talk:
        talk.ask(login(account))
        talk.ask(b"b CREATE INBOX.mine")
    made = (account.maildir / ".mine" / "cur").stat()
    assert (made.st_uid, made.st_gid) == (account.uid, account.gid)
    assert account.uid != 0
