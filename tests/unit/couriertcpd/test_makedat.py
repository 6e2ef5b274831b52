"""makedat and makedatprog: what becomes a record, what is refused, and that the old file survives every failure."""

import dbm.gnu
import io
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from couriertcpd import filelock, gdbmfile, makedat, makedatprog

SOURCE = Path(__file__).resolve().parents[3]


def records(path: Path) -> dict[bytes, bytes]:
    with dbm.gnu.open(str(path), "r") as database:
        return {key: database[key] for key in database.keys()}


def run(folder: Path, source: Path, *more: str) -> int:
    words = ["makedat", f"-src={source}", f"-file={folder / 'db.dat'}", f"-tmp={folder / 'db.tmp'}", *more]
    return makedat.main(words)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return tmp_path / "access"


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (b"10.0.0\tdeny", {b"10.0.0": b"deny"}),
        (b"key", {b"key": b"1"}),
        (b"key\t", {b"key": b"1"}),
        (b"two words\tand  more\ttabs", {b"two words": b"and  more\ttabs"}),
        (b" lead\t trail ", {b" lead": b" trail "}),
        (b"key\tvalue\r", {b"key": b"value\r"}),
        (b"# comment\tx", {}),
        (b"\tno key", {}),
        (b"", {}),
        (b"   ", {}),
        (b"10.0.0.0/30\tdeny", {b"10.0.0.0/30": b"deny"}),
    ],
)
def test_lines_become_records(tmp_path, text, line, record) -> None:
    text.write_bytes(line + b"\nlast\tx")
    assert run(tmp_path, text) == 0
    assert records(tmp_path / "db.dat") == record | {b"last": b"x"}


@pytest.mark.parametrize(
    ("line", "record"),
    [
        (b"10.0.0.0/30\tdeny", dict.fromkeys([b"10.0.0.0", b"10.0.0.1", b"10.0.0.2", b"10.0.0.3"], b"deny")),
        (b"10.0.0.0/24   allow,A=1", {b"10.0.0": b"allow,A=1"}),
        (b"10.0.0.0/24", {b"10.0.0": b"1"}),
        (b"2001:db8::/48\tdeny", {b":2001:0db8:0000": b"deny"}),
        (b"2001:DB8::5\tdeny", {b":2001:0db8:0000:0000:0000:0000:0000:0005": b"deny"}),
        (b"10.0.0.4-10.0.0.5\tdeny", {b"10.0.0.4": b"deny", b"10.0.0.5": b"deny"}),
        (b":2001:0db8\tdeny", {b":2001:0db8": b"deny"}),
        (b"127.0.0.1\tallow,DEFDOMAIN=@a-b/c", {b"127.0.0.1": b"allow,DEFDOMAIN=@a-b/c"}),
        (b"*.143\tallow", {b"*.143": b"allow"}),
        (b"#10.0.0.0/8\tdeny", {}),
    ],
)
def test_cidr(tmp_path, text, line, record) -> None:
    text.write_bytes(line + b"\n")
    assert run(tmp_path, text, "-cidr") == 0
    assert records(tmp_path / "db.dat") == record


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"10.0/16\tdeny", "write 192.0.2.0/24"),
        (b"10.0.0.9-10.0.0.1\tdeny", "no block of addresses"),
        (b"::1-10.0.0.1\tdeny", "no block of addresses"),
        (b"10.0.0.0-10.255.255.254\tdeny", None),
        (b"::1-ffff::\tdeny", "the limit is 65536"),
    ],
)
def test_blocks_that_cannot_be_expanded(tmp_path, text, line, said, capsys) -> None:
    text.write_bytes(b"# first\n" + line + b"\n")
    status = run(tmp_path, text, "-cidr")
    if said is None:
        assert status == 0
        return
    assert status == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"{text}:2: ")
    assert said in complaint
    assert not (tmp_path / "db.dat").exists()


def test_duplicate_key_keeps_the_old_file(tmp_path, text, capsys) -> None:
    text.write_bytes(b"a\t1\n")
    assert run(tmp_path, text) == 0
    text.write_bytes(b"a\t2\nb\t3\na\t4\n")
    assert run(tmp_path, text) == 1
    assert capsys.readouterr().err == (
        "Cannot store record for a - duplicate or out of disk space.\n"
        f"{text}:3: the same key as {text}:1; remove one of the two\n"
    )
    assert records(tmp_path / "db.dat") == {b"a": b"1"}
    assert not (tmp_path / "db.tmp").exists()


@pytest.mark.parametrize("line", [b"a\0b\tx", b"k\t" + b"x" * makedat.MAX_LINE, b"."])
def test_bad_lines(tmp_path, text, line, capsys) -> None:
    text.write_bytes(b"ok\t1\n" + line + b"\n")
    assert run(tmp_path, text) == 1
    assert capsys.readouterr().err.startswith(f"{text}:2: ")
    assert not (tmp_path / "db.dat").exists()


def test_longest_line(tmp_path, text) -> None:
    text.write_bytes(b"k\t" + b"x" * (makedat.MAX_LINE - 3) + b"\n")
    assert run(tmp_path, text) == 0


def test_directory(tmp_path) -> None:
    folder = tmp_path / "imapaccess"
    folder.mkdir()
    (folder / "one").write_bytes(b"10\tdeny")  # no LF: the next file begins a new line all the same
    (folder / "two").write_bytes(b"11\tdeny\n")
    (folder / "two~").write_bytes(b"11\tallow\n")
    (folder / "two.dist").write_bytes(b"11\tallow\n")
    (folder / "three.dist").write_bytes(b"12\tallow\n")
    (folder / "sub").mkdir()
    (folder / "sub" / "four").write_bytes(b"13\tallow\n")
    (tmp_path / "elsewhere").write_bytes(b"14\tallow\n")
    (folder / "five").symlink_to(tmp_path / "elsewhere")
    assert run(tmp_path, folder) == 0
    assert records(tmp_path / "db.dat") == {b"10": b"deny", b"11": b"deny", b"12": b"allow", b"14": b"allow"}


@pytest.mark.parametrize("suffix", [".dpkg-new", ".dpkg-dist", ".rpmsave", ".rpmnew"])
def test_leftovers_of_an_upgrade(tmp_path, suffix, capsys) -> None:
    folder = tmp_path / "imapaccess"
    folder.mkdir()
    (folder / "one").write_bytes(b"10\tdeny\n")
    (folder / f"one{suffix}").write_bytes(b"10\tallow\n")
    assert run(tmp_path, folder) == 1
    assert capsys.readouterr().err.startswith(f"{folder}/one{suffix}: left by a package upgrade; merge")


@pytest.mark.parametrize(
    "words", [[], ["-src=a", "-file=b"], ["-src=a", "-file=b", "-tmp=c", "x"], ["-cidr=1"], ["-src"], ["-bad=1"]]
)
def test_usage(words, capsys) -> None:
    assert makedat.main(["makedat", *words]) == 1
    usage = "Usage: makedat -src=src -file=file -tmp=tmpfile -hup=hupfile [-cidr]\n"
    assert capsys.readouterr().err == usage


def test_missing_source(tmp_path, capsys) -> None:
    assert run(tmp_path, tmp_path / "absent") == 1
    assert capsys.readouterr().err == f"{tmp_path}/absent: No such file or directory\n"


def test_mode_follows_the_umask(tmp_path, text) -> None:
    text.write_bytes(b"a\t1\n")
    before = os.umask(0o027)
    try:
        assert run(tmp_path, text) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "db.dat").stat().st_mode) == 0o640


def test_temporary_file_is_never_followed(tmp_path, text) -> None:
    text.write_bytes(b"a\t1\n")
    precious = tmp_path / "precious"
    precious.write_bytes(b"keep me")
    (tmp_path / "db.tmp").symlink_to(precious)
    assert run(tmp_path, text) == 0
    assert precious.read_bytes() == b"keep me"
    assert not (tmp_path / "db.dat").is_symlink()


def test_temporary_file_of_a_killed_run_is_replaced(tmp_path, text) -> None:
    text.write_bytes(b"a\t1\n")
    (tmp_path / "db.tmp").write_bytes(b"half a database")
    assert run(tmp_path, text) == 0
    assert records(tmp_path / "db.dat") == {b"a": b"1"}


def test_killed_while_building(tmp_path) -> None:
    """SIGKILL in the middle leaves the old database in place, and the next run works."""
    old = tmp_path / "db.dat"
    (tmp_path / "access").write_bytes(b"a\told\n")
    assert run(tmp_path, tmp_path / "access") == 0
    code = "import sys; from couriertcpd.makedatprog import main; sys.exit(main(sys.argv))"
    argv = [sys.executable, "-c", code, "-", str(tmp_path / "db.tmp"), str(old)]
    with subprocess.Popen(argv, cwd=SOURCE, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(b"a\tnew\n" + b"".join(b"%d\tx\n" % number for number in range(20000)))
        child.stdin.flush()  # more than a pipe holds: it has begun to build
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdin.close()
    assert records(old) == {b"a": b"old"}
    assert run(tmp_path, tmp_path / "access") == 0


def test_readers_see_old_or_new(tmp_path, text) -> None:
    """A reader that has the old file open keeps it; the name leads to the new one as soon as the run has ended."""
    text.write_bytes(b"a\told\n")
    assert run(tmp_path, text) == 0
    with dbm.gnu.open(str(tmp_path / "db.dat"), "r") as reader:
        text.write_bytes(b"a\tnew\n")
        assert run(tmp_path, text) == 0
        assert reader[b"a"] == b"old"
    assert records(tmp_path / "db.dat") == {b"a": b"new"}


def test_two_runs_exclude_each_other(tmp_path, text) -> None:
    text.write_bytes(b"a\t1\n")
    lock = tmp_path / ".lock.db.dat"
    with filelock.exclusive(str(lock)):
        with pytest.raises(filelock.Busy, match="still locked"):
            with filelock.exclusive(str(lock), seconds=0):
                pass
    assert run(tmp_path, text) == 0


def test_out_of_disk_space(tmp_path, monkeypatch) -> None:
    class Full(dict):
        def __setitem__(self, key, value) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr(gdbmfile, "_create", lambda temporary, mode: Full())
    with gdbmfile.building(str(tmp_path / "db.tmp"), 0o600) as new:
        with pytest.raises(gdbmfile.CannotBuild, match=r"duplicate or out of disk space\. \(No space left"):
            new.add(b"a", b"1")


def test_hup(tmp_path, text) -> None:
    text.write_bytes(b"a\t1\n")
    got = []
    before = signal.signal(signal.SIGHUP, lambda number, frame: got.append(number))
    try:
        assert run(tmp_path, text, f"-hup={tmp_path / 'absent'}") == 0
        assert got == []
        (tmp_path / "pid").write_text(f"{os.getpid()}\n")
        assert run(tmp_path, text, f"-hup={tmp_path / 'pid'}") == 0
        assert got == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("pid", ["", "0", "-1", "1x", "99999999999"])
def test_hup_with_a_broken_pid_file(tmp_path, text, pid, capsys, monkeypatch) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("signalled"))
    text.write_bytes(b"a\t1\n")
    (tmp_path / "pid").write_text(pid)
    assert run(tmp_path, text, f"-hup={tmp_path / 'pid'}") == 1
    assert "holds no process id" in capsys.readouterr().err


def prog(folder: Path, stdin: bytes, monkeypatch) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    return makedatprog.main(["makedatprog", "-", str(folder / "db.tmp"), str(folder / "db.dat")])


def test_makedatprog(tmp_path, monkeypatch) -> None:
    assert prog(tmp_path, b"a\t1\n.\nafter\t2\n", monkeypatch) == 0
    assert records(tmp_path / "db.dat") == {b"a": b"1"}


def test_makedatprog_needs_the_dot(tmp_path, monkeypatch, capsys) -> None:
    assert prog(tmp_path, b"a\t1\n", monkeypatch) == 1
    assert "without a line that is a dot alone" in capsys.readouterr().err
    assert not list(tmp_path.glob("db.*"))


def test_makedatprog_reads_a_file(tmp_path, text) -> None:
    text.write_bytes(b"a\t1\n.\n")
    assert makedatprog.main(["makedatprog", str(text), str(tmp_path / "t"), str(tmp_path / "db.dat")]) == 0
    assert records(tmp_path / "db.dat") == {b"a": b"1"}


def test_makedatprog_complaints(tmp_path, capsys, monkeypatch) -> None:
    assert makedatprog.main(["makedatprog"]) == 1
    assert makedatprog.main(["makedatprog", f"{tmp_path}/absent", f"{tmp_path}/t", f"{tmp_path}/d"]) == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b".\n")))
    assert makedatprog.main(["makedatprog", "-", f"{tmp_path}/no/t", f"{tmp_path}/d"]) == 1
    assert capsys.readouterr().err == (
        "Usage: makedatprog textfile tmpfile gdbmfile\n"
        f"{tmp_path}/absent: No such file or directory\n"
        f"Cannot create {tmp_path}/no/t: No such file or directory\n"
    )
