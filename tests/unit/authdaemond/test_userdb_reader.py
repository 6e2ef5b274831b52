"""Reading userdb.dat and userdbshadow.dat: fields, replaced, locked and damaged files."""

import dbm.gnu
import os
from pathlib import Path

import pytest

from authdaemond import userdb
from tests import unprivileged


def build(path: Path, records: dict[bytes, bytes]) -> None:
    """Make a database as makeuserdb does: under another name, then renamed."""
    temporary = str(path) + ".tmp"
    with dbm.gnu.open(temporary, "nf", 0o644) as database:
        for key, value in records.items():
            database[key] = value
    os.rename(temporary, path)


def test_fields() -> None:
    assert userdb.fields(b"uid=1|home=/a=b|flag|uid=2|_=") == {
        b"uid": b"1", b"home": b"/a=b", b"flag": b"", b"_": b""
    }  # fmt: skip
    assert userdb.fields(b"") == {b"": b""}


def test_account() -> None:
    found = userdb.account(
        b"kim", b"uid=5|gid=6|home=/h|mail=M|quota=1S|gecos=Kim X,room|options=a=1,b|shell=/x|_=sub/"
    )
    assert found is not None
    assert (found.address, found.uid, found.gid, found.home, found.username) == (b"kim", 5, 6, b"/h", None)
    assert (found.maildir, found.quota, found.fullname, found.options) == (b"M", b"1S", b"Kim X", b"a=1,b")


@pytest.mark.parametrize(
    "record",
    [b"", b"kim|_=", b"uid=5|gid=6", b"uid=5|home=/h", b"gid=5|home=/h", b"uid=5|gid=6|home=", b"uid=x|gid=6|home=/h",
     b"uid=-1|gid=6|home=/h", b"uid=12345678901|gid=6|home=/h", b"xuid=5|gid=6|home=/h"],
)  # fmt: skip
def test_incomplete_records_are_no_accounts(record: bytes) -> None:
    assert userdb.account(b"kim", record) is None


def test_replaced_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "userdb.dat"
    database = userdb.Database(str(path))
    with pytest.raises(FileNotFoundError):
        database.get(b"kim")
    build(path, {b"kim": b"1"})
    assert database.get(b"kim") == b"1"
    assert database.get(b"lee") is None
    build(path, {b"kim": b"2", b"lee": b"3"})
    assert database.get(b"kim") == b"2"
    assert sorted(database.items()) == [(b"kim", b"2"), (b"lee", b"3")]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        database.get(b"kim")
    database.close()


def test_unchanged_file_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "userdb.dat"
    build(path, {b"kim": b"1"})
    database = userdb.Database(str(path))
    assert database.get(b"kim") == b"1"
    monkeypatch.setattr(dbm.gnu, "open", None)
    assert database.get(b"kim") == b"1"
    database.close()


def test_locked_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(userdb, "_LOCK_SECONDS", 0.1)
    path = tmp_path / "userdb.dat"
    build(path, {b"kim": b"1"})
    with dbm.gnu.open(str(path), "w"), pytest.raises(userdb.Unavailable, match=r"locked.*makeuserdb") as caught:
        userdb.Database(str(path)).get(b"kim")
    assert str(path) in str(caught.value)
    assert userdb.Database(str(path)).get(b"kim") == b"1"


def test_file_locked_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "userdb.dat"
    build(path, {b"kim": b"1"})
    writer = dbm.gnu.open(str(path), "w")
    monkeypatch.setattr(userdb.time, "sleep", lambda _seconds: writer.close())
    assert userdb.Database(str(path)).get(b"kim") == b"1"


@pytest.mark.parametrize("content", [b"", b"x", b"kim\tuid=5|gid=5|home=/h\n" * 100, bytes(20000)])
def test_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "userdb.dat"
    path.write_bytes(content)
    with pytest.raises(userdb.Unavailable, match="makeuserdb") as caught:
        userdb.Database(str(path)).get(b"kim")
    assert str(path) in str(caught.value)


def test_unreadable_file() -> None:
    with unprivileged.open_folder() as folder:
        path = folder / "userdb.dat"
        build(path, {b"kim": b"1"})
        path.chmod(0)

        def read() -> None:
            with pytest.raises(userdb.Unavailable, match="may read it"):
                userdb.Database(str(path)).get(b"kim")

        unprivileged.do(read)
