"""userdb and makeuserdb: edits of the text, and the databases made of it."""

import dbm.gnu
import io
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from authdaemond import userdbsource
from authdaemond.tools import makeuserdb, userdb
from couriertcpd import filelock, gdbmfile, installed

SOURCE = Path(__file__).resolve().parents[3]
KIM = b"kim\tuid=1005|gid=1005|home=/srv/kim\n"
OTHERS = b"# people\n\n1005=\tkim\nlea\tuid=7"  # no LF at the end


@pytest.fixture
def source(tmp_path: Path, monkeypatch) -> Path:
    path = tmp_path / "userdb"
    monkeypatch.setattr(installed, "USERDB", str(path))
    return path


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)


def run(*words: str) -> int:
    return userdb.main(["userdb", *words])


def records(path: Path) -> dict[bytes, bytes]:
    with dbm.gnu.open(str(path), "r") as database:
        return {key: database[key] for key in database.keys()}


def answer(monkeypatch, octets: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_set_makes_the_file(source) -> None:
    before = os.umask(0o022)
    try:
        assert run("kim", "set", "uid=1005", "gid=1005", "home=/srv/kim") == 0
    finally:
        os.umask(before)
    assert source.read_bytes() == KIM
    assert stat.S_IMODE(source.stat().st_mode) == 0o600
    assert sorted(os.listdir(source.parent)) == [".lock.userdb", "userdb"]
    assert stat.S_IMODE((source.parent / ".lock.userdb").stat().st_mode) == 0o600


def test_set_replaces_and_adds_fields(source) -> None:
    write(source, KIM + OTHERS)
    source.chmod(0o640)
    assert run("kim", "set", "gid=8", "mail=./M", "home=/new=1") == 0
    assert source.read_bytes() == b"kim\tuid=1005|gid=8|home=/new=1|mail=./M\n" + OTHERS + b"\n"
    assert stat.S_IMODE(source.stat().st_mode) == 0o640


def test_set_appends(source) -> None:
    write(source, OTHERS)
    assert run("kim", "set", "uid=1005", "gid=1005", "home=/srv/kim") == 0
    assert source.read_bytes() == OTHERS + b"\n" + KIM


def test_set_reads_values(source, monkeypatch) -> None:
    answer(monkeypatch, b"$1$a$b\nsecond=x\n")
    assert run("kim", "set", "imappw", "uid=1", "quota") == 0
    assert source.read_bytes() == b"kim\timappw=$1$a$b|uid=1|quota=second=x\n"


@pytest.mark.parametrize(("given", "complaint"), [(b"", ""), (b"a|b\n", "Invalid value.\n")])
def test_set_with_an_unusable_answer(source, monkeypatch, given, complaint, capsys) -> None:
    write(source, KIM)
    answer(monkeypatch, given)
    assert run("kim", "set", "imappw") == 1
    assert capsys.readouterr().err == complaint
    assert source.read_bytes() == KIM


def test_answers_are_capped(source, monkeypatch, capsys) -> None:
    answer(monkeypatch, b"x" * 8193 + b"\n")
    assert run("kim", "set", "imappw") == 1
    assert capsys.readouterr().err == "The answer is longer than 8192 octets.\n"
    answer(monkeypatch, b"x" * 8192 + b"\n")
    assert run("kim", "set", "imappw") == 0


@pytest.mark.parametrize("words", [("kim", "set", "home=a|b"), ("kim", "set", "home=a\nb"), ("k\tm", "set", "uid=1")])
def test_what_would_break_a_record(source, words, capsys) -> None:
    assert run(*words) == 1
    assert capsys.readouterr().err == "Invalid field or value.\n"
    assert not source.exists()


def test_unset(source) -> None:
    write(source, KIM + OTHERS)
    assert run("kim", "unset", "gid", "none") == 0
    assert source.read_bytes() == b"kim\tuid=1005|home=/srv/kim\n" + OTHERS + b"\n"
    assert run("kim", "unset", "uid", "home") == 0
    assert source.read_bytes() == b"kim\n" + OTHERS + b"\n"
    assert run("nobody", "unset", "uid") == 0


def test_del(source) -> None:
    write(source, OTHERS + b"\n" + KIM)
    assert run("kim", "del") == 0
    assert source.read_bytes() == OTHERS + b"\n"
    assert run("kim", "del") == 0


def test_without_a_match_the_file_stays(source) -> None:
    write(source, KIM)
    before = source.stat().st_ino
    assert run("lea", "del") == 0
    assert run("lea", "unset", "uid") == 0
    assert source.stat().st_ino == before
    assert not list(source.parent.glob(".tmp*"))


def test_a_comment_is_no_record(source) -> None:
    write(source, b"#kim\tuid=1\n")
    assert run("kim", "set", "uid=2") == 0
    assert source.read_bytes() == b"#kim\tuid=1\nkim\tuid=2\n"
    assert run("#kim", "del") == 1


def test_folder_and_other_file(source, tmp_path) -> None:
    source.mkdir(0o700)
    (source / "example.net").mkdir()
    assert run("example.net/people/kim@example.net", "set", "uid=1") == 0
    assert (source / "example.net" / "people").read_bytes() == b"kim@example.net\tuid=1\n"
    assert run("-f", str(tmp_path / "other"), "a/b", "set", "uid=1") == 0
    assert (tmp_path / "other").read_bytes() == b"a/b\tuid=1\n"


def test_symbolic_link_is_followed(source, tmp_path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real" / "people", KIM)
    (tmp_path / "link").symlink_to("real/people")
    assert run("-f", str(tmp_path / "link"), "kim", "set", "uid=2") == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "people").read_bytes().startswith(b"kim\tuid=2|")


def test_default_may_not_be_a_link(source, tmp_path, capsys) -> None:
    write(tmp_path / "real", KIM)
    source.symlink_to(tmp_path / "real")
    assert run("kim", "del") == 1
    assert capsys.readouterr().err == f"ERROR: Wrong userdb command.\n       ({source} is a symbolic link)\n"


def test_not_a_file(source, capsys) -> None:
    source.mkdir()
    os.mkfifo(source / "pipe")
    assert run("kim", "set", "uid=1") == 1
    assert run("-show") == 1
    assert run("pipe/kim", "set", "uid=1") == 1
    assert capsys.readouterr().err == f"{source}: not a file.\n" * 2 + f"{source}/pipe: not a file.\n"


def test_missing_folder(source, capsys) -> None:
    assert run("a/b/kim", "set", "uid=1") == 1
    assert capsys.readouterr().err == f"{source}/a/.lock.b: No such file or directory\n"


def test_show(source, capsysbinary) -> None:
    write(source, KIM + OTHERS)
    assert run("-show") == 0
    assert run("-show", "kim") == 0
    assert run("-show", "nobody") == 0
    assert run("-show", "-f", str(source), "lea") == 0
    assert capsysbinary.readouterr().out == b"kim\n1005=\nlea\nuid=1005\ngid=1005\nhome=/srv/kim\nuid=7\n"


def test_show_of_a_folder(source, capsysbinary) -> None:
    source.mkdir()
    write(source / "people", KIM)
    for words in (("people/",), ("people/kim",), ("people/", "kim")):
        assert run("-show", *words) == 0
    fields = b"uid=1005\ngid=1005\nhome=/srv/kim\n"
    assert capsysbinary.readouterr().out == b"kim\n" + fields * 2


def test_show_nothing(source, capsysbinary) -> None:
    assert run("-show") == 0
    assert capsysbinary.readouterr().out == b""


def test_show_as_json(source, capsys) -> None:
    write(source, KIM + b"\xff\tnote\n")
    assert run("-show", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ["kim", "\udcff"]
    assert run("-show", "--json", "kim") == 0
    expected = {"name": "kim", "fields": {"uid": "1005", "gid": "1005", "home": "/srv/kim"}}
    assert json.loads(capsys.readouterr().out) == expected
    assert run("--json", "-show", "nobody") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "nobody", "fields": None}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("kim",),
        ("kim", "frobnicate"),
        ("kim", "set"),
        ("kim", "del", "uid"),
        ("-f",),
        ("-f", "x"),
        ("--json", "kim"),
    ],
)
def test_usage(source, words, capsys) -> None:
    assert run(*words) == 1
    usage = capsys.readouterr().out.splitlines()
    assert len(usage) == 4
    assert usage[0].startswith("Usage: userdb [path/.../ | -f file ]name set field=value")


def test_edits_exclude_each_other(source, monkeypatch, capsys) -> None:
    write(source, KIM)
    monkeypatch.setattr(filelock, "WAIT_SECONDS", 0.0)
    with filelock.exclusive(str(source.parent / ".lock.userdb")):
        assert run("kim", "set", "uid=1") == 1
    assert "still locked by another run" in capsys.readouterr().err
    assert source.read_bytes() == KIM


def test_failed_replacement_leaves_the_old_text(source, monkeypatch, capsys) -> None:
    write(source, KIM)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert run("kim", "set", "uid=1") == 1
    assert source.read_bytes() == KIM
    assert not list(source.parent.glob(".tmp*"))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(source) -> None:
    write(source, KIM)
    os.chown(source, 4711, 4712)
    assert run("kim", "set", "uid=1") == 0
    assert (source.stat().st_uid, source.stat().st_gid) == (4711, 4712)


def test_a_person_is_prompted(source) -> None:
    """On a terminal the prompt shows, and the value of a password field does not."""
    code = (
        "import sys; from couriertcpd import installed; installed.USERDB = sys.argv.pop(); "
        "from authdaemond.tools.userdb import main; sys.exit(main(sys.argv))"
    )
    argv = [sys.executable, "-c", code, "kim", "set", "quota", "imappw", str(source)]
    master, slave = pty.openpty()
    with subprocess.Popen(argv, cwd=SOURCE, stdin=slave, stdout=slave, stderr=slave, close_fds=True) as child:
        os.close(slave)
        seen = b""
        for prompt, value in ((b"kim.quota: ", b"10S\n"), (b"kim.imappw: ", b"hidden\n")):
            while not seen.endswith(prompt):
                seen += os.read(master, 1000)
            os.write(master, value)
        assert child.wait(timeout=120) == 0
    os.close(master)
    assert b"10S" in seen
    assert b"hidden" not in seen
    assert source.read_bytes() == b"kim\tquota=10S|imappw=hidden\n"


def build(source: Path) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    assert makeuserdb.main(["makeuserdb"]) == 0
    return records(source.with_name("userdb.dat")), records(source.with_name("userdbshadow.dat"))


def test_build(source, capfd) -> None:
    write(
        source,
        b"# people\n\n"
        b"kim@x\tuid=5|systempw=$1$a|gid=6|home=/h|hmac-md5pw=00|gecos=Kim, 1\n"
        b"5=\tkim@x\n"
        b"lea\tuid=7|gid=7|home=/l",
    )
    public, shadow = build(source)
    assert public == {
        b"kim@x": b"uid=5|gid=6|home=/h|gecos=Kim, 1|_=",
        b"5=": b"kim@x|_=",
        b"lea": b"uid=7|gid=7|home=/l|_=",
    }
    assert shadow == {b"kim@x": b"systempw=$1$a|hmac-md5pw=00"}
    assert capfd.readouterr() == ("", "")
    assert sorted(os.listdir(source.parent)) == ["userdb", "userdb.dat", "userdb.lock", "userdbshadow.dat"]


@pytest.mark.parametrize("umask", [0, 0o077])
def test_modes_whatever_the_umask(source, umask) -> None:
    write(source, KIM)
    before = os.umask(umask)
    try:
        build(source)
    finally:
        os.umask(before)
    assert stat.S_IMODE(source.with_name("userdb.dat").stat().st_mode) == 0o644
    assert stat.S_IMODE(source.with_name("userdbshadow.dat").stat().st_mode) == 0o600


def test_build_of_a_folder(source) -> None:
    (source / "sub" / "deep").mkdir(parents=True)
    source.chmod(0o700)
    for name, content in (
        ("people", b"a\tuid=1|systempw=x\n"),
        ("sub/people", b"b\tuid=1\n"),
        ("sub/deep/people", b"c\tuid=1\n"),
        (".hidden", b"d\tuid=1\n"),
        ("sub/.lock.people", b""),
    ):
        (source / name).write_bytes(content)
    public, shadow = build(source)
    assert public == {
        b"a": b"uid=1|_=people/",
        b"b": b"uid=1|_=sub/people/",
        b"c": b"uid=1|_=sub/deep/people/",
    }
    assert shadow == {b"a": b"systempw=x"}


def test_location_leads_userdb_back(source) -> None:
    """What makeuserdb writes after _= is what userdb takes before the name."""
    (source / "sub").mkdir(parents=True)
    source.chmod(0o700)
    (source / "sub" / "people").write_bytes(b"b\tuid=1\n")
    location = build(source)[0][b"b"].rpartition(b"_=")[2].decode()
    assert run(f"{location}b", "set", "uid=2") == 0
    assert build(source)[0][b"b"] == b"uid=2|_=sub/people/"


def test_other_file(source, tmp_path) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "other" / "f").write_bytes(KIM)
    assert makeuserdb.main(["makeuserdb", "-f", f"{tmp_path}/other/"]) == 0
    assert records(tmp_path / "other.dat") == {b"kim": b"uid=1005|gid=1005|home=/srv/kim|_=f/"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o700 | 0o001])
def test_permissions(source, mode, capsys) -> None:
    write(source, KIM)
    source.chmod(mode)
    assert makeuserdb.main(["makeuserdb"]) == 1
    assert capsys.readouterr().err == f"{source}: MAY NOT HAVE GROUP OR WORLD PERMISSIONS!!\n"
    assert not source.with_name("userdb.dat").exists()


def test_missing(source, capsys) -> None:
    assert makeuserdb.main(["makeuserdb"]) == 1
    assert capsys.readouterr().err == f"{source}: not found.\n"


@pytest.mark.parametrize("name", ["userdb", "userdb.dat", "userdbshadow.dat"])
def test_links_are_refused(source, name, tmp_path, capsys) -> None:
    write(tmp_path / "real", KIM)
    write(source, KIM)
    link = source.with_name(name)
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "real")
    assert makeuserdb.main(["makeuserdb"]) == 1
    assert capsys.readouterr().err == f"ERROR: Wrong makeuserdb command.\n       ({link} is a symbolic link)\n"


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        (b"kim uid=1|gid=1", "no TAB after the name; write NAME<TAB>field=value|field=value"),
        (b"1005= kim", "no TAB after the name; write NAME<TAB>field=value|field=value"),
        (b"\tuid=1", "no name before the TAB; write NAME<TAB>field=value|field=value"),
        (b"kim\t\tuid=1", "more than one TAB; leave only the one after the name"),
        (b"kim\tuid=1\r", "ends with a carriage return; convert the file to LF line ends"),
        (b"kim\tuid=\x001", "holds a NUL octet, so this is no text; remove the file or repair it"),
        (b"kim\tuid=" + b"1" * 65536, "longer than 65536 octets; shorten it"),
    ],
)
def test_broken_lines(source, line, remedy, capsys) -> None:
    write(source, KIM)
    build(source)
    write(source, b"lea\tuid=1\n" + line + b"\n")
    assert makeuserdb.main(["makeuserdb"]) == 1
    assert capsys.readouterr().err == f"{source}:2: {remedy}\n"
    assert records(source.with_name("userdb.dat")).keys() == {b"kim"}
    assert not list(source.parent.glob("*.tmp"))


def test_duplicates(source, capsys) -> None:
    source.mkdir(mode=0o700)
    (source / "a").write_bytes(KIM)
    (source / "b").write_bytes(b"\n" + KIM)
    assert makeuserdb.main(["makeuserdb"]) == 1
    assert capsys.readouterr().err == (
        "Cannot store record for kim - duplicate or out of disk space.\n"
        f"{source}/b:2: the same name as {source}/a:1; remove one of the two\n"
    )
    assert not source.with_name("userdb.dat").exists()


def test_folders_without_end(source, capsys) -> None:
    source.mkdir(mode=0o700)
    (source / "loop").symlink_to(source)
    assert makeuserdb.main(["makeuserdb"]) == 1
    assert "remove the symbolic link that leads back" in capsys.readouterr().err


def test_a_pipe_is_no_source(source, capsys) -> None:
    source.mkdir(mode=0o700)
    os.mkfifo(source / "pipe")
    assert makeuserdb.main(["makeuserdb"]) == 1
    assert capsys.readouterr().err == f"{source}/pipe: not a file.\n"


@pytest.mark.parametrize("failing", [1, 2])
def test_no_database_is_replaced_unless_both_are_complete(source, failing, monkeypatch, capsys) -> None:
    write(source, KIM)
    old = build(source)
    write(source, b"lea\tuid=1|systempw=x\n")
    finish, calls = gdbmfile.NewFile.finish, []

    def fail(self) -> None:
        calls.append(self)
        if len(calls) == failing:
            raise gdbmfile.CannotBuild("the disk is full")
        finish(self)

    monkeypatch.setattr(gdbmfile.NewFile, "finish", fail)
    assert makeuserdb.main(["makeuserdb"]) == 1
    monkeypatch.undo()
    assert records(source.with_name("userdb.dat")) == old[0]
    assert not list(source.parent.glob("*.tmp"))


@pytest.mark.parametrize("words", [["-x"], ["-f"], ["a", "b", "c"]])
def test_makeuserdb_usage(words, capsys) -> None:
    assert makeuserdb.main(["makeuserdb", *words]) == 1
    assert capsys.readouterr().err == "Usage: makeuserdb [-f FILE]\n"


def test_bare_name(source) -> None:
    """What userdb leaves when the last field is unset."""
    write(source, b"kim\n")
    assert build(source) == ({b"kim": b"_="}, {})


def test_the_daemon_side_reads_it(source) -> None:
    """authuserdb's reader understands what was built."""
    from authdaemond import userdb as reader

    write(source, b"kim\tuid=5|gid=6|home=/h|systempw=x\n")
    build(source)
    public = reader.Database(reader.public_path(str(source)))
    record = public.get(b"kim")
    account = reader.account(b"kim", record)
    public.close()
    assert account is not None
    assert (account.uid, account.gid, account.home) == (5, 6, b"/h")
    assert reader.fields(record)[b"_"] == b""


def test_split() -> None:
    assert userdbsource.split(b"a\tb=1|c\n") == (b"a", [b"b=1", b"c"])
    assert userdbsource.split(b"# a\tb\n")[0] == b""
