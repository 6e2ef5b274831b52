"""makeimapaccess: settings from the two configuration files, the database, and the running servers told."""

import dbm.gnu
import os
import stat
from pathlib import Path

import pytest

from couriertcpd import installed, makeimapaccess


@pytest.fixture
def tree(tmp_path: Path, monkeypatch) -> Path:
    """An etc and a libexec whose couriertcpd writes down how it was called."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "libexec").mkdir()
    program = tmp_path / "libexec" / "couriertcpd"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\nexit ${{STATUS:-0}}\n')
    program.chmod(0o755)
    monkeypatch.setattr(installed, "SYSCONFDIR", str(tmp_path / "etc"))
    monkeypatch.setattr(installed, "LIBEXECDIR", str(tmp_path / "libexec"))
    before = os.umask(0o077)
    yield tmp_path
    os.umask(before)


def configure(tree: Path, imapd: str, ssl: str | None = None) -> None:
    (tree / "etc" / "imapd").write_text(imapd)
    if ssl is not None:
        (tree / "etc" / "imapd-ssl").write_text(ssl)


def test_builds_and_signals(tree) -> None:
    configure(
        tree,
        f'##NAME: X:0\nBASE={tree}\nPIDFILE=${{BASE}}/imapd.pid\nIMAPACCESSFILE="${{BASE}}/imapaccess"\n',
        "SSLPIDFILE=${BASE}/imapd-ssl.pid\n",
    )
    (tree / "imapaccess").write_bytes(b"10.0.0.0/31\tdeny\n")
    assert makeimapaccess.main(["makeimapaccess"]) == 0
    with dbm.gnu.open(str(tree / "imapaccess.dat"), "r") as database:
        assert sorted(database.keys()) == [b"10.0.0.0", b"10.0.0.1"]
    assert stat.S_IMODE((tree / "imapaccess.dat").stat().st_mode) == 0o644
    assert (tree / "calls").read_text() == f"-pid={tree}/imapd.pid -restart\n-pid={tree}/imapd-ssl.pid -restart\n"


def test_directory_and_no_ssl(tree) -> None:
    configure(tree, f"IMAPACCESSFILE={tree}/imapaccess\nPIDFILE={tree}/pid\n")
    (tree / "imapaccess").mkdir()
    (tree / "imapaccess" / "a").write_bytes(b"10\tdeny\n")
    assert makeimapaccess.main(["makeimapaccess"]) == 0
    assert (tree / "imapaccess.dat").exists()
    assert (tree / "calls").read_text() == f"-pid={tree}/pid -restart\n"


def test_a_line_that_is_not_understood_is_passed_over(tree, capfd) -> None:
    configure(tree, f"X=`date`\nIMAPACCESSFILE={tree}/imapaccess\n")
    (tree / "imapaccess").write_bytes(b"10\tdeny\n")
    assert makeimapaccess.main(["makeimapaccess"]) == 0
    assert f"{tree}/etc/imapd:1: " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("imapd", "complaint"),
    [
        ("PIDFILE=/x\n", "ERROR: No IMAPACCESSFILE specified in {etc}/imapd\n"),
        (None, "{etc}/imapd: No such file or directory\n"),
        ("IMAPACCESSFILE={etc}/none\n", "{etc}/none: No such file or directory\n"),
    ],
)
def test_complaints(tree, imapd, complaint, capfd) -> None:
    if imapd is not None:
        configure(tree, imapd.format(etc=tree / "etc"))
    assert makeimapaccess.main(["makeimapaccess"]) == 1
    assert capfd.readouterr().err == complaint.format(etc=tree / "etc")
    assert not (tree / "calls").exists()


def test_a_failed_build_signals_nobody(tree, capfd) -> None:
    configure(tree, f"IMAPACCESSFILE={tree}/a\nPIDFILE={tree}/pid\n")
    (tree / "a").write_bytes(b"10\tdeny\n10\tallow\n")
    assert makeimapaccess.main(["makeimapaccess"]) == 1
    assert "Cannot store record for 10 - duplicate" in capfd.readouterr().err
    assert not (tree / "calls").exists()


def test_the_status_of_couriertcpd(tree, monkeypatch) -> None:
    configure(tree, f"IMAPACCESSFILE={tree}/a\nPIDFILE={tree}/pid\n")
    (tree / "a").write_bytes(b"10\tdeny\n")
    monkeypatch.setenv("STATUS", "1")
    assert makeimapaccess.main(["makeimapaccess"]) == 1


def test_without_couriertcpd(tree, capfd) -> None:
    configure(tree, f"IMAPACCESSFILE={tree}/a\nPIDFILE={tree}/pid\n")
    (tree / "a").write_bytes(b"10\tdeny\n")
    (tree / "libexec" / "couriertcpd").unlink()
    assert makeimapaccess.main(["makeimapaccess"]) == 1
    assert capfd.readouterr().err.startswith("The database is built, but ")


def test_usage(capfd) -> None:
    assert makeimapaccess.main(["makeimapaccess", "x"]) == 1
    assert capfd.readouterr().err.startswith("Usage: makeimapaccess ")
