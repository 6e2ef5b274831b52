"""pw2userdb and vchkpw2userdb: system and vpopmail accounts as userdb text."""

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from authdaemond.tools import makeuserdb, pw2userdb, vchkpw2userdb

SOURCE = Path(__file__).resolve().parents[3]
PASSWD = (
    "# comment\n\n"
    "root:x:0:0:root:/root:/bin/bash\n"
    "toor:x:0:0::/root:\n"
    "kim:ab1234567890.:1012:100:Kim | Co, 1:/home/kim:/bin/sh\n"
    "+@friends::::::\n"
    "lea:x:1013:100:::/bin/false"
)
SHADOW = "root:$y$j9T$a$b:19000:0:99999:7:::\nkim:*:1:::::\nlea:!:1\nnobodyelse:x:1\n"


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "passwd").write_text(PASSWD)
    (tmp_path / "shadow").write_text(SHADOW)
    return tmp_path


@pytest.fixture
def vpopmail(monkeypatch, tmp_path: Path) -> Path:
    """An account vpopmail with its folder."""
    owner = pwd.struct_passwd(("vpopmail", "x", 89, 88, "", str(tmp_path / "vpopmail"), "/bin/false"))
    monkeypatch.setattr(pwd, "getpwnam", lambda name: {"vpopmail": owner}[name])
    home = tmp_path / "vpopmail"
    for folder, text in (
        ("users", "kim:$1$a$b:1:0:Kim:/v/users/kim:NOQUOTA\n"),
        ("domains/example.net", "lea:$1$c$d:1:0:Lea|x:/v/domains/example.net/lea:NOQUOTA:clear\n"),
        ("domains/0/example.org", "mia:x:1:0::/v/m:\n"),
    ):
        (home / folder).mkdir(parents=True)
        (home / folder / "vpasswd").write_text(text)
    (home / "domains" / "example.net" / "lea").mkdir()
    (home / "domains" / "example.net" / "lea" / "vpasswd").write_text("not one\n")
    return home


def run(folder: Path, *words: str) -> int:
    return pw2userdb.main(["pw2userdb", f"--passwd={folder}/passwd", f"--shadow={folder}/shadow", *words])


def test_passwd_and_shadow(etc, capsys) -> None:
    assert run(etc) == 0
    assert capsys.readouterr().out.splitlines() == [
        "root\tuid=0|gid=0|home=/root|shell=/bin/bash|systempw=$y$j9T$a$b|gecos=root",
        "0=\troot",
        "toor\tuid=0|gid=0|home=/root",
        "kim\tuid=1012|gid=100|home=/home/kim|shell=/bin/sh|systempw=*|gecos=Kim . Co, 1",
        "1012=\tkim",
        "lea\tuid=1013|gid=100|home=|shell=/bin/false|systempw=!",
        "1013=\tlea",
    ]


def test_options(etc, capsys) -> None:
    assert run(etc, "--noshadow", "--nouid", "--domain=example.net") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "root@example.net\tuid=0|gid=0|home=/root|shell=/bin/bash|gecos=root"
    assert "systempw=ab1234567890." in lines[2]
    assert len(lines) == 4


def test_no_shadow_file(etc, capsys) -> None:
    (etc / "shadow").unlink()
    assert run(etc) == 0
    assert "systempw=ab1234567890." in capsys.readouterr().out


def test_the_output_builds(etc, capsysbinary) -> None:
    """Two accounts with one uid make no two reverse entries, which makeuserdb would refuse."""
    assert run(etc) == 0
    source = etc / "userdb"
    source.write_bytes(capsysbinary.readouterr().out)
    source.chmod(0o600)
    assert makeuserdb.main(["makeuserdb", "-f", str(source)]) == 0


def test_vpopmail_ids(etc, capsys, vpopmail) -> None:
    assert run(etc, "--vpopuid", "--nouid", "--noshadow") == 0
    assert capsys.readouterr().out.startswith("root\tuid=89|gid=88|home=/root|")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("kim:x:1:1", "not a passwd line"),
        ("k\tim:x:1:1::/h:", "not a passwd line"),
        ("kim:x:1:1::/h|x:", "a | which userdb cannot hold"),
        ("kim:" + "x" * 65536 + ":1:1::/h:", "longer than 65536 octets"),
    ],
)
def test_broken_lines(etc, line, complaint, capsys) -> None:
    (etc / "passwd").write_text(f"root:x:0:0:root:/root:/bin/bash\n{line}\n")
    assert run(etc) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"{etc}/passwd:2: {complaint}")


def test_complaints(etc, capsys) -> None:
    assert pw2userdb.main(["pw2userdb", "--frobnicate"]) == 1
    assert capsys.readouterr().err.endswith("Invalid options.\n")
    assert pw2userdb.main(["pw2userdb", f"--passwd={etc}/absent"]) == 1
    assert capsys.readouterr().err == f"{etc}/absent: No such file or directory\n"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_shadow_that_may_not_be_read(etc) -> None:
    (etc / "shadow").chmod(0o600)
    for folder in (etc, *etc.parents[:-2]):  # pytest's own, however many there are below /tmp
        folder.chmod(0o755)
    code = "import sys; from authdaemond.tools.pw2userdb import main; sys.exit(main(sys.argv))"
    argv = [sys.executable, "-c", code, f"--passwd={etc}/passwd", f"--shadow={etc}/shadow"]
    done = subprocess.run(argv, cwd=SOURCE, user=65534, group=65534, extra_groups=[], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{etc}/shadow: Permission denied\n")


def test_output_that_nobody_reads(tmp_path) -> None:
    """`pw2userdb | head -1` is no fault."""
    (tmp_path / "passwd").write_text("".join(f"u{number}:x:{number}:1::/h:\n" for number in range(20000)))
    code = "import sys; from authdaemond.tools.pw2userdb import main; sys.exit(main(sys.argv))"
    argv = [sys.executable, "-c", code, f"--passwd={tmp_path}/passwd", "--noshadow"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=SOURCE, stdout=pipe, stderr=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert child.returncode == 0


EXAMPLE_NET = (
    "lea@example.net\tuid=89|gid=88|home=/v/domains/example.net/lea|shell=NOQUOTA|systempw=$1$c$d|gecos=Lea.x\n"
)
EXAMPLE_ORG = "mia@example.org\tuid=89|gid=88|home=/v/m\n"
USERS = "kim\tuid=89|gid=88|home=/v/users/kim|shell=NOQUOTA|systempw=$1$a$b|gecos=Kim\n"


@pytest.mark.parametrize("named", [True, False])
def test_vpopmail_tree(vpopmail, capsys, named) -> None:
    assert vchkpw2userdb.main(["vchkpw2userdb", *([f"--vpopmailhome={vpopmail}"] if named else [])]) == 0
    assert capsys.readouterr().out == USERS + EXAMPLE_ORG + EXAMPLE_NET


def test_vpopmail_into_a_folder(vpopmail, tmp_path, capsys) -> None:
    before = os.umask(0)
    try:
        assert vchkpw2userdb.main(["vchkpw2userdb", f"--todir={tmp_path}/userdb"]) == 0
    finally:
        os.umask(before)
    target = tmp_path / "userdb"
    assert capsys.readouterr().out == ""
    assert (target / "users").read_text() == USERS
    assert (target / "domains" / "example.net").read_text() == EXAMPLE_NET
    assert (target / "domains" / "example.org").read_text() == EXAMPLE_ORG
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert stat.S_IMODE((target / "users").stat().st_mode) == 0o600
    assert makeuserdb.main(["makeuserdb", "-f", str(target)]) == 0


def test_vpopmail_complaints(vpopmail, tmp_path, monkeypatch, capsys) -> None:
    assert vchkpw2userdb.main(["vchkpw2userdb", "--frobnicate"]) == 1
    capsys.readouterr()
    assert vchkpw2userdb.main(["vchkpw2userdb", f"--vpopmailhome={tmp_path}"]) == 1
    assert "give --vpopmailhome=DIR" in capsys.readouterr().err
    monkeypatch.undo()
    if "vpopmail" in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("there is an account vpopmail here")
    assert vchkpw2userdb.main(["vchkpw2userdb"]) == 1
    assert "there is no account vpopmail here" in capsys.readouterr().err
