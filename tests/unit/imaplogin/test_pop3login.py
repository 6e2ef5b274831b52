"""POP3's login stage and the start of pop3d over TCP, in the chain: what is answered, logged, and handed on."""

import base64
import hashlib
import hmac
import os
import re
import stat
from pathlib import Path

import pytest
from chain import Account, Chain

WHERE = r"ip=\[::ffff:127\.0\.0\.1\], port=\[\d+\]"


class Talk:
    """A client that speaks in lines; the greeting has been read."""

    def __init__(self, chain: Chain, **settings: str) -> None:
        self.socket = chain.listener(protocol="pop3", **settings).connect()
        self.file = self.socket.makefile("rb")
        assert self.file.readline() == b"+OK Hello there.\r\n"

    def ask(self, command: bytes) -> bytes:
        self.socket.sendall(command + b"\r\n")
        return self.file.readline().rstrip(b"\r\n")

    def log_in(self, account: Account) -> bytes:
        assert self.ask(b"USER " + account.name.encode()) == b"+OK Password required."
        return self.ask(b"PASS " + account.password.encode())

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *details: object) -> None:
        self.file.close()
        self.socket.close()


def made(chain: Chain, name: str, options: str = "", password: str = "open-sesame.1") -> Account:
    account = chain.account(name, password, options=options)
    for part in ("cur", "new", "tmp"):
        (account.maildir / part).mkdir(parents=True, exist_ok=True)
    account.own()
    return account


def test_the_log_lines_of_a_session(chain: Chain) -> None:
    kim = made(chain, "pop3-kim@example.net")
    with Talk(chain, POP3_LOG_DELETIONS="1") as talk:
        (kim.maildir / "new/1.a").write_bytes(b"a: b\n\nx\n")
        kim.own()
        assert talk.log_in(kim) == b"+OK logged in."
        assert talk.ask(b"DELE 1") == b"+OK Deleted."
        assert talk.ask(b"QUIT") == b"+OK Bye-bye."
        assert talk.file.read() == b""
    who = rf"user=pop3-kim@example\.net, {WHERE}"
    for line in (
        rf"^DEBUG: Connection, {WHERE}$",
        rf"^INFO: LOGIN, {who}$",
        rf"^INFO: DELETED, {who}, filename=cur/1\.a:2,$",
        rf"^INFO: LOGOUT, {who}, top=0, retr=0, rcvd=\d+, sent=\d+, time=\d+$",
    ):
        assert re.search(line, chain.log_text(), re.M), line
    assert list((kim.maildir / "cur").iterdir()) == []


def test_a_connection_that_is_lost_removes_nothing(chain: Chain) -> None:
    kim = made(chain, "pop3-lost@example.net")
    (kim.maildir / "new/1.a").write_bytes(b"a: b\n\nx\n")
    kim.own()
    with Talk(chain) as talk:
        talk.log_in(kim)
        assert talk.ask(b"DELE 1") == b"+OK Deleted."
    with Talk(chain) as talk:
        talk.log_in(kim)
        assert talk.ask(b"STAT") == b"+OK 1 11"


def test_a_wrong_password_is_logged_at_once_and_another_may_follow(chain: Chain) -> None:
    kim = made(chain, "pop3-blank@example.net", password=" a  b ")
    with Talk(chain) as talk:
        assert talk.ask(b"USER pop3-blank@example.net") == b"+OK Password required."
        assert talk.ask(b"PASS not it") == b"-ERR [AUTH] Login failed."
        assert re.search(rf"^INFO: LOGIN FAILED, user=pop3-blank@example\.net, {WHERE}$", chain.log_text(), re.M)
        assert talk.ask(b"PASS  a  b ") == b"+OK logged in."
    assert "not it" not in chain.log_text()
    assert kim.password not in chain.log_text()


def test_authenticate(chain: Chain) -> None:
    kim = made(chain, "pop3-cram@example.net")
    stored = chain.run("sbin/userdbpw", "-hmac-md5", given=kim.password.encode() + b"\n")
    chain.run("sbin/userdb", kim.name, "set", "hmac-md5pw", given=stored)
    chain.run("sbin/makeuserdb")
    with Talk(chain) as talk:
        asked = base64.b64decode(talk.ask(b"AUTH cram-md5")[2:])
        proof = hmac.new(kim.password.encode(), asked, hashlib.md5).hexdigest()
        assert talk.ask(base64.b64encode(f"{kim.name} {proof}".encode())) == b"+OK logged in."
    with Talk(chain) as talk:
        assert talk.ask(b"AUTH LOGIN") == b"+ " + base64.b64encode(b"Username:")
        assert talk.ask(base64.b64encode(kim.name.encode())) == b"+ " + base64.b64encode(b"Password:")
        assert talk.ask(base64.b64encode(kim.password.encode())) == b"+OK logged in."


def test_an_unknown_mechanism_fails_as_a_wrong_password_does(chain: Chain) -> None:
    with Talk(chain) as talk:
        assert talk.ask(b"AUTH NONE") == b"-ERR [AUTH] Authentication failed."
    assert re.search(rf"^INFO: LOGIN FAILED, method=NONE, {WHERE}$", chain.log_text(), re.M)


def test_no_authdaemond_is_a_temporary_problem(chain: Chain, tmp_path: Path) -> None:
    with Talk(chain, AUTHDAEMONVAR=str(tmp_path)) as talk:
        talk.ask(b"USER kim")
        assert talk.ask(b"PASS x") == b"-ERR [SYS/TEMP] Temporary problem, please try again later"
        assert talk.file.read() == b""


@pytest.mark.parametrize("option", ["disablepop3", "disablepop3=1", "disableinsecurepop3=1"])
def test_accounts_that_may_not_use_pop3(chain: Chain, option: str) -> None:
    name = f"{re.sub('[^a-z0-9]', '', option)}@example.net"
    refused = made(chain, name, option)
    how = b"via insecure connection" if "insecure" in option else b"for this account"
    with Talk(chain) as talk:
        assert talk.log_in(refused) == b"-ERR [SYS/PERM] POP3 access disabled %b." % how
        assert talk.file.read() == b""
    assert f"INFO: LOGIN, user={name}" not in chain.log_text()


def test_a_locked_account(chain: Chain) -> None:
    locked = made(chain, "pop3-locked@example.net")
    locked.home.chmod(locked.home.stat().st_mode | stat.S_ISVTX)
    text = b"Your account is temporarily unavailable (+t bit set on home directory)."
    with Talk(chain) as talk:
        assert talk.log_in(locked) == b"-ERR [SYS/TEMP] " + text
    assert re.search(rf"^INFO: LOCKED, user=pop3-locked@example\.net, {WHERE}$", chain.log_text(), re.M)


def test_what_is_no_maildir(chain: Chain) -> None:
    kim = made(chain, "pop3-no-cur@example.net")
    (kim.maildir / "cur").rmdir()
    with Talk(chain) as talk:
        assert talk.log_in(kim) == b"-ERR [SYS/PERM] Maildir invalid (no 'cur' directory)"
    for part in ("new", "tmp", "."):
        (kim.maildir / part).rmdir() if part != "." else kim.maildir.rmdir()
    with Talk(chain) as talk:
        assert talk.log_in(kim) == b"-ERR [SYS/PERM] chdir Maildir failed"


def test_loginexec_and_a_wrapper(chain: Chain) -> None:
    hooked = made(chain, "pop3-hooked@example.net")
    hook = hooked.maildir / "loginexec"
    hook.write_text('#!/bin/sh\necho "$AUTHENTICATED $UTF8" > witness\n')
    hook.chmod(0o700)
    hooked.own()
    wrapper = chain.place / "pop3-wrapper"
    wrapper.write_text('#!/bin/sh\nexec "$@"\n')
    wrapper.chmod(0o755)
    stages = (chain.prefix / "sbin/pop3login", wrapper, chain.prefix / "bin/pop3d", "Maildir")
    listener = chain.listen(stages=stages, protocol="pop3")
    with listener.connect() as client, client.makefile("rb") as lines:
        client.sendall(f"UTF8\r\nUSER {hooked.name}\r\nPASS {hooked.password}\r\nQUIT\r\n".encode())
        assert lines.read().splitlines()[3:] == [b"+OK logged in.", b"+OK Bye-bye."]
    assert (hooked.maildir / "witness").read_text() == "pop3-hooked@example.net 1\n"
    assert not hook.exists()


def test_messages_are_those_of_the_inbox(chain: Chain) -> None:
    """New ones too; not those of folders, and what has no name of a message is none."""
    kim = made(chain, "pop3-inbox@example.net")
    for place in ("cur/2.b:2,S", "new/1.a", ".Sub/cur/3.c:2,", ".Trash/new/4.d", "tmp/5.e", "cur/.hidden"):
        (kim.maildir / place).parent.mkdir(parents=True, exist_ok=True)
        (kim.maildir / place).write_bytes(b"a: b\n\nx\n")
    kim.own()
    with Talk(chain) as talk:
        assert talk.log_in(kim) == b"+OK logged in."
        assert talk.ask(b"STAT") == b"+OK 2 22"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_mail_is_served_as_the_account(chain: Chain) -> None:
    kim = made(chain, "pop3-owner@example.net")
    (kim.maildir / "new/1.a").write_bytes(b"x\n")
    kim.own()
    with Talk(chain) as talk:
        talk.log_in(kim)
    found = (kim.maildir / "courierpop3dsizelist").stat()
    assert (found.st_uid, found.st_gid) == (kim.uid, kim.gid)
