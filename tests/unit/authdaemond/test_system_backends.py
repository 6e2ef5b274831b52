"""authpwd, authshadow and authcustom: the system's accounts, their hashes and expiry dates."""

import os
import pwd
from pathlib import Path

import pytest

from authdaemond import authdata, backend, passwords, protocol
from authdaemond.backend import NotSupported, Reject, TemporaryFailure
from authdaemond.modules import authcustom, authpwd, authshadow

DAY = 86400
HASH = passwords.encrypt(b"secret", b"$y$")


@pytest.fixture(autouse=True)
def accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passwd file of the test's own."""
    known = {
        "kim": pwd.struct_passwd(("kim", HASH.decode(), 1005, 1006, "Kim,Room 5", "/home/kim", "/bin/sh")),
        "lee": pwd.struct_passwd(("lee", "x", 1007, 1008, "", "/home/lee", "/bin/sh")),
        "news": pwd.struct_passwd(("news", "*", 9, 9, "", "/var/spool/news", "/bin/false")),
    }
    monkeypatch.setattr(backend.pwd, "getpwnam", known.__getitem__)
    monkeypatch.setattr(backend.pwd, "getpwall", lambda: list(known.values()))


def login(userid: bytes, password: bytes) -> protocol.Authenticate:
    return protocol.Authenticate(b"imap", b"login", authdata.encode_login(userid, password))


CRAM = protocol.Authenticate(b"imap", b"cram-md5", authdata.encode_cram(b"<1@x>", b"kim 00"))


def test_pwd_login() -> None:
    account = authpwd.Pwd().authenticate(login(b"kim", b"secret"))
    assert protocol.encode_account(account) == (
        b"USERNAME=kim\nGID=1006\nHOME=/home/kim\nADDRESS=kim\nNAME=Kim\nPASSWD=" + HASH + b"\nPASSWD2=secret\n.\n"
    )


@pytest.mark.parametrize("userid", [b"lee", b"news", b"nobody", b"kim@example.net", b"k\xffm", b"ki\x01m"])
def test_pwd_rejects(userid: bytes) -> None:
    with pytest.raises(Reject):
        authpwd.Pwd().authenticate(login(userid, b"secret"))


def test_pwd_knows_no_cram() -> None:
    for module in (authpwd.Pwd(), authshadow.Shadow("/nonexistent")):
        with pytest.raises(Reject):
            module.authenticate(CRAM)


def test_pwd_lookup_and_enumerate() -> None:
    account = authpwd.Pwd().lookup(protocol.Lookup(b".", b"imap", b"lee"))
    assert (account.username, account.uid, account.gid) == ("lee", None, 1008)
    with pytest.raises(Reject):
        authpwd.Pwd().lookup(protocol.Lookup(b".", b"imap", b"nobody"))
    lines = [account.encode() for account in authpwd.Pwd().enumerate()]
    assert lines == [b"kim\t1005\t1006\t/home/kim\t\t\n", b"lee\t1007\t1008\t/home/lee\t\t\n"]


def test_pwd_changes_no_passwords() -> None:
    with pytest.raises(NotSupported):
        authpwd.Pwd().change_password(protocol.ChangePassword(b"imap", b"kim", b"secret", b"fresh"))


def test_account_database_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> pwd.struct_passwd:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(backend.pwd, "getpwnam", fail)
    with pytest.raises(TemporaryFailure, match="Input/output error"):
        authpwd.Pwd().authenticate(login(b"kim", b"secret"))


@pytest.fixture
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shadow file of the test's own, in which it is day 20000."""
    monkeypatch.setattr(authshadow.time, "time", lambda: 20000 * DAY + 5)
    path = tmp_path / "shadow"
    path.write_bytes(b"root:*:19000:0:99999:7:::\nleeway:x:::\nlee:" + HASH + b":19000:0:99999:7:::\n")
    return path


def test_shadow_login_with_yescrypt(shadow: Path) -> None:
    account = authshadow.Shadow(str(shadow)).authenticate(login(b"lee", b"secret"))
    assert (account.username, account.passwd, account.passwd2) == ("lee", HASH, b"secret")
    assert HASH.startswith(b"$y$")
    for userid, password in ((b"lee", b"wrong"), (b"kim", b"secret"), (b"nobody", b"secret"), (b"root", b"x")):
        with pytest.raises(Reject):
            authshadow.Shadow(str(shadow)).authenticate(login(userid, password))


@pytest.mark.parametrize(
    ("fields", "over"),
    [
        (b":::::", False),
        (b"19000:0:99999:7::", False),
        (b"19000:0:1000:7::", False),  # today is the last day
        (b"19000:0:999:7::", True),
        (b"19000:0::7::", False),
        (b":0:1:7::", False),
        (b"0:0:99999:7::", False),
        (b"19000:0:99999:7::20000", False),
        (b"19000:0:99999:7::19999", True),
        (b"19000:0:99999:7::x", False),
        (b"19000", False),
        (b"", False),
    ],
)
def test_shadow_expiry(shadow: Path, fields: bytes, over: bool) -> None:
    shadow.write_bytes(b"lee:" + HASH + b":" + fields + b":\n")
    module = authshadow.Shadow(str(shadow))
    if over:
        with pytest.raises(Reject):
            module.authenticate(login(b"lee", b"secret"))
        with pytest.raises(Reject):
            module.lookup(protocol.Lookup(b".", b"imap", b"lee"))
    else:
        assert module.authenticate(login(b"lee", b"secret")).username == "lee"
        assert module.lookup(protocol.Lookup(b".", b"imap", b"lee")).passwd == HASH


def test_shadow_missing_or_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Reject):
        authshadow.Shadow(str(tmp_path / "none")).authenticate(login(b"lee", b"secret"))
    with pytest.raises(TemporaryFailure, match="to run as root"):
        authshadow.Shadow(str(tmp_path)).authenticate(login(b"lee", b"secret"))


def test_the_real_shadow_file_needs_root() -> None:
    if os.geteuid() == 0:
        assert authshadow.find(b"root", authshadow.SHADOW) is not None
    else:
        with pytest.raises(TemporaryFailure):
            authshadow.find(b"root", authshadow.SHADOW)


def test_unknown_user_costs_a_check(shadow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr(passwords, "verify", lambda _password, stored: bool(checked.append(stored)))
    for module in (authpwd.Pwd(), authshadow.Shadow(str(shadow))):
        for userid in (b"kim", b"lee", b"nobody"):
            with pytest.raises(Reject):
                module.authenticate(login(userid, b"x"))
    assert len(checked) == 6


def test_custom_has_nobody() -> None:
    module = authcustom.BACKEND()
    with pytest.raises(Reject):
        module.authenticate(login(b"kim", b"secret"))
    with pytest.raises(Reject):
        module.lookup(protocol.Lookup(b".", b"imap", b"kim"))
    with pytest.raises(NotSupported):
        module.change_password(protocol.ChangePassword(b"imap", b"kim", b"a", b"b"))
    with pytest.raises(NotSupported):
        module.enumerate()
