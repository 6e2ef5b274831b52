import dbm
from pathlib import Path

import pytest

from couriertcpd import access, addresses
from couriertcpd.access import AccessFile, Record

gdbm = pytest.importorskip("dbm.gnu")


def test_keys_of_an_ipv4_address() -> None:
    keys = list(access.remote_keys(addresses.packed("10.1.2.3")))
    assert keys == [b"10.1.2.3", b"10.1.2", b"10.1", b"10", b"*"]


def test_keys_of_an_ipv6_address() -> None:
    keys = list(access.remote_keys(addresses.packed("2001:db8::abcd")))
    assert keys[0] == b":2001:0db8:0000:0000:0000:0000:0000:abcd"
    assert keys[-3:] == [b":2001:0db8", b":2001", b"*"]
    assert len(keys) == 9


def test_keys_of_a_local_address() -> None:
    keys = list(access.local_keys(addresses.packed("10.1.2.3"), 143))
    assert keys == [b"10.1.2.3.143", b"10.1.2.3", b"10.1.2", b"10.1", b"10", b"*.143", b"*"]


@pytest.mark.parametrize(
    ("value", "record"),
    [
        (b"deny", Record(False)),
        (b"denyall,A=1", Record(False)),
        (b"allow", Record(True)),
        (b"allow,A=1,B", Record(True, ((b"A", b"1"), (b"B", b"")))),
        (b"allowA=1", Record(True, ((b"A", b"1"),))),
        (b"A=1", Record(True, ((b"A", b"1"),))),
        (b"1", Record(True, ((b"1", b""),))),
        (b"", Record(True)),
        (b"allow, A = 1 ,, B=2 ", Record(True, ((b"A ", b" 1"), (b"B", b"2")))),
        (b"allow,A='x,y',B=\"it's\"", Record(True, ((b"A", b"x,y"), (b"B", b"it's")))),
        (b"allow,A='never, closed ", Record(True, ((b"A", b"never, closed"),))),
        (b"allow,A=a' b '", Record(True, ((b"A", b"a b"),))),
        (b"allow,=x,\xc3\xa4=y,A=\0b", Record(True, ((b"A", b"b"),))),
    ],
)
def test_values(value: bytes, record: Record) -> None:
    assert access.parse(value) == record


def build(path: Path, records: dict[str, str]) -> None:
    with gdbm.open(str(path), "n") as database:
        for key, value in records.items():
            database[key] = value


def test_only_the_most_specific_record_counts(tmp_path: Path) -> None:
    build(tmp_path / "db", {"10": "deny", "10.1": "allow,A=1", "10.1.2.3": "allow,B=2"})
    database = AccessFile(str(tmp_path / "db"))

    def look(address: str) -> Record:
        return database.lookup(access.remote_keys(addresses.packed(address)))

    assert look("10.1.2.3") == Record(True, ((b"B", b"2"),))
    assert look("10.1.9.9") == Record(True, ((b"A", b"1"),))
    assert not look("10.9.9.9").allowed
    assert look("11.1.1.1") == access.UNLISTED


def test_the_port_of_any_address_comes_after_every_prefix(tmp_path: Path) -> None:
    build(tmp_path / "db", {"10": "allow,A=1", "*.143": "deny"})
    database = AccessFile(str(tmp_path / "db"))
    assert database.lookup(access.local_keys(addresses.packed("10.1.1.1"), 143)).allowed
    assert not database.lookup(access.local_keys(addresses.packed("11.1.1.1"), 143)).allowed


def test_opened_again_only_on_request(tmp_path: Path) -> None:
    build(tmp_path / "db", {"*": "deny"})
    database = AccessFile(str(tmp_path / "db"))
    key = [b"*"]
    assert not database.lookup(iter(key)).allowed
    build(tmp_path / "new", {"*": "allow"})
    (tmp_path / "new").rename(tmp_path / "db")
    assert not database.lookup(iter(key)).allowed
    database.expire()
    assert database.lookup(iter(key)).allowed


def test_a_file_that_cannot_be_opened_allows_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "db").write_text("10\tdeny\n")
    assert AccessFile(str(tmp_path / "db")).lookup(iter([b"10"])) == access.UNLISTED
    line = capfd.readouterr().err
    assert line.startswith(f"ERR: {tmp_path}/db: ")
    assert "makeimapaccess" in line
    assert line.count("\n") == 1


def test_a_broken_new_file_leaves_the_old_one_in_force(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build(tmp_path / "db", {"*": "deny"})
    database = AccessFile(str(tmp_path / "db"))
    database.open()
    (tmp_path / "db").unlink()
    database.expire()
    assert not database.lookup(iter([b"*"])).allowed
    assert "former contents stay in force" in capfd.readouterr().err


def test_the_error_of_gdbm_is_an_oserror() -> None:
    assert issubclass(gdbm.error, OSError)
    assert dbm.whichdb is not None
