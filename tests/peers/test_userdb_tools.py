"""The original's userdb, makeuserdb, userdbpw, pw2userdb and makedat beside ours: the same records, the same texts.

The original's scripts have their paths built in, so copies of them are run with the paths of the test.
"""

import dbm.gnu
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from authdaemond import cramstate, passwords, userdb
from authdaemond.tools import makeuserdb, pw2userdb
from authdaemond.tools import userdb as userdb_tool
from couriertcpd import environ, installed, makedat
from tests.peers import packages

SOURCE = Path(__file__).resolve().parents[2]
TEXT = (
    b"# people\n\n"
    b"kim@example.net\tuid=1005|systempw=$1$a$b|gid=1006|home=/srv/kim|hmac-md5pw=00ff|mail=./M|gecos=Kim, 1\n"
    b"1005=\tkim@example.net\n"
    b"\xe9l\xe9a\tuid=7|gid=7|home=/l|options=disablepop3=1,x|quota=10S\n"
    b"two words\timappw=x\n"
)
ACCESS = (
    b"# who may\n10.0.0\tdeny\n*\tallow\n:2001:0db8\tallow,A=1,B='x, y'\nkey alone\n\ntab\tin\tvalue\n"
    b"192.0.2.7\tallow \n"
)

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(scope="module")
def original() -> Path:
    """The folder with the original's `usr`."""
    if shutil.which("perl") is None:
        pytest.skip("the original's userdb scripts need perl")
    try:
        return packages.unpacked("courier")
    except packages.Missing as missing:
        pytest.skip(f"no packages of the original: {missing}")


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Run:
    """Runs a program of the original, its own paths replaced by those of the test."""
    program_folder = tmp_path / "original"
    program_folder.mkdir()
    libraries = original / "usr" / "lib"
    environment = environ.everything()
    found = [path for path in (*libraries.glob("*-linux-gnu*"), libraries) if path.is_dir()]
    environment[b"LD_LIBRARY_PATH"] = ":".join(map(str, found)).encode()

    def runner(name: str, *words: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        source = original / "usr" / name
        program = source
        if source.read_bytes().startswith(b"#!"):
            program = program_folder / source.name
            text = source.read_bytes().replace(b"/etc/courier/userdb", bytes(tmp_path / "userdb"))
            program.write_bytes(text.replace(b"/usr/lib/courier", bytes(libraries / "courier")))
            program.chmod(0o755)
        return subprocess.run([program, *words], input=stdin, env=environment, capture_output=True, timeout=60)

    return runner


@pytest.fixture
def source(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(installed, "USERDB", str(tmp_path / "userdb"))
    return tmp_path / "userdb"


def records(path: Path) -> dict[bytes, bytes]:
    with dbm.gnu.open(str(path), "r") as database:
        return {key: database[key] for key in database.keys()}


def built(source: Path) -> list[tuple[dict[bytes, bytes], int]]:
    """The records and the mode of both databases, which are removed."""
    found = []
    for name in ("userdb.dat", "userdbshadow.dat"):
        path = source.with_name(name)
        found.append((records(path), path.stat().st_mode))
        path.unlink()
    return found


@pytest.mark.parametrize("folder", [False, True])
def test_makeuserdb_makes_the_same_databases(run, source, folder) -> None:
    if folder:
        (source / "sub" / "deep").mkdir(parents=True)
        (source / "people").write_bytes(TEXT)
        (source / "sub" / "people").write_bytes(b"lea@example.org\tuid=8|gid=8|home=/o|systempw=y\n")
        (source / "sub" / "deep" / "p").write_bytes(b"mia\tuid=9|gid=8|home=/o\n")
        (source / ".hidden").write_bytes(b"x\tuid=9\n")
        source.chmod(0o700)
    else:
        source.write_bytes(TEXT)
        source.chmod(0o600)
    done = run("sbin/makeuserdb")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    theirs = built(source)
    assert makeuserdb.main(["makeuserdb"]) == 0
    assert built(source) == theirs


def test_both_refuse_the_same_files(run, source, capsys) -> None:
    def ours() -> bytes:
        assert makeuserdb.main(["makeuserdb"]) == 1
        return capsys.readouterr().err.encode()

    assert ours() == run("sbin/makeuserdb").stderr
    source.write_bytes(TEXT)
    source.chmod(0o640)
    assert ours() == run("sbin/makeuserdb").stderr
    source.chmod(0o600)
    source.write_bytes(TEXT * 2)
    theirs = run("sbin/makeuserdb")
    assert theirs.returncode != 0
    assert ours().splitlines()[0] in theirs.stderr.splitlines()


def test_userdb_edits_what_the_other_wrote(run, source) -> None:
    steps = [
        ("kim", "set", "uid=5", "home=/h"),
        ("lea", "set", "uid=6", "gecos=L,x=y"),
        ("kim", "set", "gid=7", "uid=8"),
        ("lea", "unset", "uid"),
        ("mia", "set", "a=1"),
        ("mia", "del"),
    ]

    def content() -> dict[bytes, set[bytes]]:
        return {name: set(fields) for name, fields in map(userdb_split, source.read_bytes().splitlines())}

    def userdb_split(line: bytes) -> tuple[bytes, list[bytes]]:
        name, _, fields = line.partition(b"\t")
        return name, fields.split(b"|")

    def by_turns(first: bool) -> list[dict[bytes, set[bytes]]]:
        source.unlink(missing_ok=True)
        seen = []
        for step in steps:
            if first:
                done = run("sbin/userdb", *step)
                assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
            else:
                assert userdb_tool.main(["userdb", *step]) == 0
            first = not first
            assert source.stat().st_mode & 0o777 == 0o600
            seen.append(content())
        return seen

    assert by_turns(True) == by_turns(False)
    assert content() == {b"kim": {b"uid=8", b"home=/h", b"gid=7"}, b"lea": {b"gecos=L,x=y"}}


def test_userdb_answers_alike(run, source, capfdbinary) -> None:
    source.write_bytes(TEXT)
    for words in (
        ("-show",),
        ("-show", "kim@example.net"),
        ("-show", "nobody"),
        ("kim", "set", "a=x|y"),
        ("nobody", "del"),
        ("nobody", "unset", "a"),
    ):
        theirs = run("sbin/userdb", *words)
        status = userdb_tool.main(["userdb", *words])
        said = capfdbinary.readouterr()
        assert (said.out, said.err) == (theirs.stdout, theirs.stderr), words
        assert (status == 0) == (theirs.returncode == 0), words
    assert source.read_bytes() == TEXT


def test_usage_has_the_same_forms(run, source, capsys) -> None:
    theirs = run("sbin/userdb", "kim", "frobnicate").stdout.decode()
    assert userdb_tool.main(["userdb", "kim", "frobnicate"]) == 1
    ours = capsys.readouterr().out.replace("[--json] ", "")
    program = theirs.split()[1]
    assert ours.replace("userdb ", f"{program} ", 1).replace("  userdb ", f"  {program} ") == theirs


def test_values_from_standard_input(run, source) -> None:
    assert run("sbin/userdb", "kim", "set", "imappw", stdin=b"$1$x\n").returncode == 0
    theirs = source.read_bytes()
    source.unlink()
    code = (
        "import sys; from couriertcpd import installed; installed.USERDB = sys.argv.pop(); "
        "from authdaemond.tools.userdb import main; sys.exit(main(sys.argv))"
    )
    argv = [sys.executable, "-c", code, "kim", "set", "imappw", str(source)]
    subprocess.run(argv, input=b"$1$x\n", cwd=SOURCE, check=True, timeout=60)
    assert source.read_bytes() == theirs


@pytest.mark.parametrize("password", [b"secret", b"", b"p\xc3\xa4ss w\xff", b"k" * 64, b"k" * 65, b"k" * 200])
def test_userdbpw(run, password) -> None:
    for option, algorithm in (("-hmac-md5", "md5"), ("-hmac-sha1", "sha1"), ("-hmac-sha256", "sha256")):
        done = run("sbin/userdbpw", option, stdin=password + b"\n")
        assert done.stdout.strip() == cramstate.state(algorithm, password)
    made = run("sbin/userdbpw", "-md5", stdin=password + b"\n").stdout.strip()
    assert made.startswith(b"$1$")
    assert passwords.verify(password, made)
    made = run("sbin/userdbpw", stdin=password + b"\n").stdout.strip()
    assert passwords.verify(password[:8], made)


def test_pw2userdb(run, tmp_path, capsysbinary) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nkim:ab:5:6:K|im:/h:\nlea:x:7:7:,,:/l:/bin/false\n")
    (tmp_path / "shadow").write_text("root:$y$a:1:2:3\nlea:!:1\n")
    words = [f"--passwd={tmp_path}/passwd", f"--shadow={tmp_path}/shadow"]
    for more in ([], ["--nouid"], ["--noshadow"], ["--domain=example.net", "--nouid"]):
        assert pw2userdb.main(["pw2userdb", *words, *more]) == 0
        ours = capsysbinary.readouterr().out
        assert sorted(ours.splitlines()) == sorted(run("sbin/pw2userdb", *words, *more).stdout.splitlines())


@pytest.mark.parametrize("folder", [False, True])
def test_makedat(run, tmp_path, folder) -> None:
    access = tmp_path / "access"
    if folder:
        access.mkdir()
        (access / "one").write_bytes(ACCESS)
        (access / "two").write_bytes(b"11\tdeny\n")
        (access / "two~").write_bytes(b"12\tdeny\n")
    else:
        access.write_bytes(ACCESS)
    made = []
    for name in ("theirs", "ours"):
        words = [f"-src={access}", f"-file={tmp_path}/{name}.dat", f"-tmp={tmp_path}/{name}.tmp"]
        if name == "ours":
            assert makedat.main(["makedat", *words]) == 0
        else:
            assert run("lib/courier/makedat", *words).returncode == 0
        made.append((records(tmp_path / f"{name}.dat"), os.stat(tmp_path / f"{name}.dat").st_mode))
    assert made[0] == made[1]


def test_makedat_with_blocks(run, original, tmp_path) -> None:
    if subprocess.run(["perl", "-MNet::CIDR", "-e1"], capture_output=True).returncode:
        pytest.skip("the original expands blocks only with Perl's Net::CIDR, which is not here")
    (tmp_path / "access").write_bytes(
        b"10.0.0.0/30\tdeny\n10.1.0.0/22\tallow\n10.2.0.0-10.2.0.255\tA=1\n2001:db8::/48\tdeny\n2001:db9::/47\tdeny\n"
    )
    words = [f"-src={tmp_path}/access", f"-tmp={tmp_path}/tmp", "-cidr"]
    assert run("lib/courier/makedat", *words, f"-file={tmp_path}/theirs").returncode == 0
    assert makedat.main(["makedat", *words, f"-file={tmp_path}/ours"]) == 0
    assert records(tmp_path / "ours") == records(tmp_path / "theirs")


def test_our_reader_reads_their_database(run, source) -> None:
    source.write_bytes(TEXT)
    source.chmod(0o600)
    assert run("sbin/makeuserdb").returncode == 0
    database = userdb.Database(userdb.public_path(str(source)))
    account = userdb.account(b"kim@example.net", database.get(b"kim@example.net") or b"")
    database.close()
    assert account is not None
    assert (account.uid, account.gid, account.home, account.maildir) == (1005, 1006, b"/srv/kim", b"./M")
