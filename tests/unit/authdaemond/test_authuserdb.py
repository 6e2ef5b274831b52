"""authuserdb: which password counts, what a record has, how a password is changed, what fails how."""

import dbm.gnu
import hmac
from pathlib import Path

import pytest

from authdaemond import authdata, cramstate, passwords, protocol, userdb
from authdaemond.backend import Reject, TemporaryFailure
from authdaemond.modules import authuserdb
from couriertcpd import installed

SHA_SECRET = b"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="


def write(path: str, records: dict[bytes, bytes]) -> None:
    with dbm.gnu.open(path, "nf", 0o600) as database:
        for key, value in records.items():
            database[key] = value


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A userdb with an account that has everything, and some that lack something."""
    source = str(tmp_path / "userdb")
    write(
        source + ".dat",
        {
            b"kim": b"uid=5|gid=6|home=/h/kim|mail=M|quota=9S|gecos=Kim,x|options=a=1|_=",
            b"lee": b"uid=7|gid=8|home=/h/lee|_=",
            b"sub": b"uid=9|gid=9|home=/h/sub|_=hosts/",
            b"bare": b"uid=9|gid=9|home=/h|_=",
            b"homeless": b"uid=9|gid=9|_=",
            b"5=": b"kim|_=",
            b"root": b"uid=0|gid=0|home=/root|_=",
        },
    )
    write(
        source + "shadow.dat",
        {
            b"kim": b"systempw=" + passwords.encrypt(b"general", b"$1$") + b"|imappw=" + SHA_SECRET,
            b"lee": b"systempw=" + SHA_SECRET + b"|hmac-md5pw=" + cramstate.state("md5", b"secret")
            + b"|hmac-sha256pw=" + cramstate.state("sha256", b"other")
            + b"|imap-hmac-sha1pw=" + cramstate.state("sha1", b"secret"),
            b"sub": b"pop3pw=" + passwords.encrypt(b"secret", b"$6$"),
            b"homeless": b"systempw=" + SHA_SECRET,
            b"root": b"systempw=" + SHA_SECRET,
        },
    )  # fmt: skip
    return source


def login(userid: bytes, password: bytes, service: bytes = b"imap") -> protocol.Authenticate:
    return protocol.Authenticate(service, b"login", authdata.encode_login(userid, password))


def cram(algorithm: str, userid: bytes, password: bytes, service: bytes = b"imap") -> protocol.Authenticate:
    digest = hmac.new(password, b"<1@x>", algorithm).hexdigest().encode()
    data = authdata.encode_cram(b"<1@x>", userid + b" " + digest)
    return protocol.Authenticate(service, b"cram-" + algorithm.encode(), data)


def test_login(source: str) -> None:
    account = authuserdb.Userdb(source).authenticate(login(b"kim", b"secret"))
    assert protocol.encode_account(account) == (
        b"UID=5\nGID=6\nHOME=/h/kim\nADDRESS=kim\nNAME=Kim\nMAILDIR=M\nQUOTA=9S\nPASSWD=" + SHA_SECRET
        + b"\nPASSWD2=secret\nOPTIONS=a=1\n.\n"
    )  # fmt: skip


def test_a_password_for_the_service_hides_the_general_one(source: str) -> None:
    backend = authuserdb.Userdb(source)
    with pytest.raises(Reject):
        backend.authenticate(login(b"kim", b"general"))
    assert backend.authenticate(login(b"kim", b"general", b"pop3")).uid == 5
    with pytest.raises(Reject):
        backend.authenticate(login(b"kim", b"secret", b"pop3"))


@pytest.mark.parametrize(
    ("userid", "password"),
    [
        (b"lee", b"wrong"),
        (b"nobody", b"secret"),
        (b"bare", b"x"),
        (b"homeless", b"secret"),
        (b"5=", b"x"),
        (b"KIM", b"x"),
    ],
)
def test_rejected(source: str, userid: bytes, password: bytes) -> None:
    with pytest.raises(Reject):
        authuserdb.Userdb(source).authenticate(login(userid, password))


def test_unknown_user_costs_a_check(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr(passwords, "verify", lambda _password, stored: bool(checked.append(stored)))
    for userid in (b"lee", b"nobody", b"bare"):
        with pytest.raises(Reject):
            authuserdb.Userdb(source).authenticate(login(userid, b"x"))
    assert len(checked) == 3


def test_unknown_user_costs_a_cram_check(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(cramstate, "check", lambda algorithm, *_: bool(checked.append(algorithm)))
    for userid in (b"lee", b"nobody", b"bare"):
        with pytest.raises(Reject):
            authuserdb.Userdb(source).authenticate(cram("md5", userid, b""))
    assert checked == ["md5"] * 3


def test_root_is_not_refused_here(source: str) -> None:
    assert authuserdb.Userdb(source).authenticate(login(b"root", b"secret")).uid == 0


def test_cram(source: str) -> None:
    backend = authuserdb.Userdb(source)
    account = backend.authenticate(cram("md5", b"lee", b"secret"))
    assert protocol.encode_account(account) == b"UID=7\nGID=8\nHOME=/h/lee\nADDRESS=lee\n.\n"
    assert backend.authenticate(cram("sha1", b"lee", b"secret")).uid == 7
    assert backend.authenticate(cram("sha256", b"lee", b"other")).uid == 7
    for request in (
        cram("md5", b"lee", b"wrong"),
        cram("sha1", b"lee", b"secret", b"pop3"),
        cram("md5", b"kim", b"secret"),
        cram("md5", b"nobody", b""),
        cram("md5", b"bare", b""),
    ):
        with pytest.raises(Reject):
            backend.authenticate(request)


def test_lookup(source: str) -> None:
    backend = authuserdb.Userdb(source)
    account = backend.lookup(protocol.Lookup(b".", b"imap", b"kim"))
    assert (account.passwd, account.passwd2) == (SHA_SECRET, b"")
    assert backend.lookup(protocol.Lookup(b".", b"imap", b"bare")).passwd == b""
    with pytest.raises(Reject):
        backend.lookup(protocol.Lookup(b".", b"imap", b"nobody"))


def test_enumerate(source: str) -> None:
    found = {account.userid: account for account in authuserdb.Userdb(source).enumerate()}
    assert set(found) == {b"kim", b"lee", b"sub", b"bare", b"root"}
    assert found[b"kim"].encode() == b"kim\t5\t6\t/h/kim\tM\ta=1\n"


def test_no_userdb_is_no_account(tmp_path: Path) -> None:
    backend = authuserdb.Userdb(str(tmp_path / "none"))
    with pytest.raises(Reject):
        backend.authenticate(login(b"kim", b"secret"))
    assert list(backend.enumerate()) == []


@pytest.mark.parametrize("suffix", [".dat", "shadow.dat"])
def test_damaged_database_is_a_temporary_failure(source: str, suffix: str) -> None:
    Path(source + suffix).write_bytes(b"nonsense")
    backend = authuserdb.Userdb(source)
    for request in (login(b"lee", b"secret"), cram("md5", b"lee", b"secret")):
        with pytest.raises(TemporaryFailure, match="makeuserdb"):
            backend.authenticate(request)


def test_locked_shadow_is_a_temporary_failure(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(userdb, "_LOCK_SECONDS", 0.1)
    with dbm.gnu.open(source + "shadow.dat", "w"), pytest.raises(TemporaryFailure, match="locked"):
        authuserdb.Userdb(source).authenticate(login(b"lee", b"secret"))


def test_idle_lets_go_and_comes_back(source: str) -> None:
    backend = authuserdb.Userdb(source)
    assert backend.authenticate(login(b"lee", b"secret"))
    backend.idle()
    assert backend.authenticate(login(b"lee", b"secret"))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for userdb and makeuserdb that write down what they were given."""
    monkeypatch.setattr(installed, "SBINDIR", str(tmp_path / "sbin"))
    (tmp_path / "sbin").mkdir()
    for name in ("userdb", "makeuserdb"):
        program = tmp_path / "sbin" / name
        program.write_text(f'#!/bin/sh\n{{ echo "{name} $*"; cat; }} >>"{tmp_path}/ran"\n')
        program.chmod(0o755)
    return tmp_path / "ran"


def change(source: str, userid: bytes, old: bytes, new: bytes, service: bytes = b"imap") -> None:
    authuserdb.Userdb(source).change_password(protocol.ChangePassword(service, userid, old, new))


def test_change_of_the_general_password(source: str, programs: Path) -> None:
    change(source, b"lee", b"secret", b"fresh one")
    ran = programs.read_bytes().split(b"\n")
    # hmac-sha256pw is of another password, so it is not this one's to change.
    assert ran[0] == b"userdb lee set systempw hmac-md5pw imap-hmac-sha1pw"
    assert ran[1].startswith(b"$1$")
    assert passwords.verify(b"fresh one", ran[1])
    assert len(ran[1].split(b"$")[2]) == 8
    assert ran[2:] == [
        cramstate.state("md5", b"fresh one"),
        cramstate.state("sha1", b"fresh one"),
        b"makeuserdb ",
        b"",
    ]


def test_change_of_the_password_of_a_service(source: str, programs: Path) -> None:
    change(source, b"sub", b"secret", b"fresh", b"pop3")
    ran = programs.read_bytes().split(b"\n")
    assert ran[0] == b"userdb hosts/sub set pop3pw"
    assert ran[1].startswith(b"$6$")  # never weaker than it was
    assert passwords.verify(b"fresh", ran[1])


@pytest.mark.parametrize(
    ("userid", "old"),
    [(b"lee", b"wrong"), (b"nobody", b"x"), (b"bare", b"x"), (b"homeless", b"secret"), (b"a/b", b"x"), (b"a|b", b"x"),
     (b"a=b", b"x"), (b"a'b", b"x"), (b'a"b', b"x"), (b"-show", b"x")],
)  # fmt: skip
def test_change_refused(source: str, programs: Path, userid: bytes, old: bytes) -> None:
    with pytest.raises(Reject):
        change(source, userid, old, b"fresh")
    assert not programs.exists()


def test_change_that_fails(source: str, programs: Path) -> None:
    (programs.parent / "sbin" / "userdb").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(TemporaryFailure, match="userdb failed with status 3"):
        change(source, b"lee", b"secret", b"fresh")
    assert not programs.exists()
    (programs.parent / "sbin" / "userdb").unlink()
    with pytest.raises(TemporaryFailure, match="No such file"):
        change(source, b"lee", b"secret", b"fresh")


def test_change_that_hangs(source: str, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authuserdb, "_PROGRAM_SECONDS", 0.2)
    (programs.parent / "sbin" / "userdb").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(TemporaryFailure, match="longer than") as caught:
        change(source, b"lee", b"secret", b"fresh")
    assert "fresh" not in str(caught.value)
