"""mkimapdcert, mkpop3dcert and mkdhparams, with the real openssl in a directory of the test's."""

import os
import ssl
import stat
import subprocess
import time
from pathlib import Path

import pytest

from couriertcpd import certificates, installed, mkcert, mkdhparams, opensslprogram

SOURCE = Path(__file__).resolve().parents[3]

# As administrators of the original have it.
OLD_TEMPLATE = """\
RANDFILE = {place}/imapd.rand

[ req ]
default_bits = 2048
encrypt_key = yes
distinguished_name = req_dn
x509_extensions = cert_type
prompt = no
default_md = sha1

[ req_dn ]
C=NL
O=Example
CN=mail.example.nl

[ cert_type ]
nsCertType = server
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A datadir and sysconfdir with the templates as they are installed, but for shorter keys."""
    for name in ("imapd", "pop3d"):
        text = (SOURCE / "sysconfig" / f"{name}.cnf").read_text()
        (tmp_path / f"{name}.cnf").write_text(text.replace("= 3072", "= 2048"))
    monkeypatch.setattr(installed, "DATADIR", str(tmp_path))
    monkeypatch.setattr(installed, "SYSCONFDIR", str(tmp_path))
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


@pytest.mark.parametrize(
    ("program", "server", "unit"), [("mkimapdcert", "imapd", "IMAP"), ("mkpop3dcert", "pop3d", "POP3")]
)
def test_a_certificate_is_made_that_the_server_takes(place, capsys, program, server, unit):
    assert mkcert.main([f"/sbin/{program}"]) == 0
    path = place / f"{server}.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.geteuid()
    certificate = certificates.Files(str(path), str(path)).pair().chain[0]
    assert f"OU=Automatically-generated {unit} SSL key" in certificate.subject.rfc4514_string()
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(path)
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("subject=", "notAfter=", "Fingerprint="))
    assert {name.name for name in place.iterdir()} == {"imapd.cnf", "pop3d.cnf", path.name}


def test_what_is_there_is_not_overwritten(place, capsys):
    (place / "imapd.pem").write_text("paid for")
    assert mkcert.main(["mkimapdcert"]) == 1
    said = capsys.readouterr()
    assert said.out == f"{place}/imapd.pem already exists.\n"
    assert f"mv {place}/imapd.pem" in said.err
    assert (place / "imapd.pem").read_text() == "paid for"


def test_what_appears_meanwhile_is_not_overwritten(place, monkeypatch):
    run = opensslprogram.run

    def slow(*arguments: str) -> str:
        (place / "imapd.pem").write_text("quicker")
        return run(*arguments)

    monkeypatch.setattr(opensslprogram, "run", slow)
    assert mkcert.main(["mkimapdcert"]) == 1
    assert (place / "imapd.pem").read_text() == "quicker"


def test_an_old_template_works_as_it_is(place):
    (place / "imapd.cnf").write_text(OLD_TEMPLATE.format(place=place))
    assert mkcert.main(["mkimapdcert"]) == 0
    path = str(place / "imapd.pem")
    certificate = certificates.Files(path, path).pair().chain[0]
    assert certificate.subject.rfc4514_string() == "CN=mail.example.nl,O=Example,C=NL"
    assert not (place / "imapd.rand").exists()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("organization = x\ncn = localhost\n", "certtool"),
        ("[ req ]\nprompt = no\n", "openssl req failed"),
        (None, "No such file"),
    ],
)
def test_what_fails_leaves_nothing_behind(place, capsys, template, said):
    (place / "imapd.cnf").unlink()
    if template is not None:
        (place / "imapd.cnf").write_text(template)
    before = sorted(place.iterdir())
    assert mkcert.main(["mkimapdcert"]) == 1
    assert said in capsys.readouterr().err
    assert sorted(place.iterdir()) == before


def test_without_openssl_it_says_so(place, capsys, monkeypatch):
    monkeypatch.setattr(opensslprogram, "PROGRAM", "openssl-that-is-not-there")
    assert mkcert.main(["mkimapdcert"]) == 1
    assert "install it" in capsys.readouterr().err


def test_parameters_are_made_once_a_month(place, monkeypatch):
    monkeypatch.setenv("DH_BITS", "512")
    path = place / "dhparams.pem"
    assert mkdhparams.main(["mkdhparams"]) == 0
    first = path.read_bytes()
    assert first.startswith(b"-----BEGIN DH PARAMETERS-----")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    for days, same in ((24, True), (26, False)):
        then = time.time() - days * 86400
        os.utime(path, (then, then))
        assert mkdhparams.main(["mkdhparams"]) == 0
        assert (path.read_bytes() == first) == same
    command = ["openssl", "dhparam", "-in", path, "-noout", "-text"]
    assert b"512 bit" in subprocess.run(command, capture_output=True, timeout=120, check=True).stdout
    assert [one.name for one in place.iterdir() if one.name.startswith(".")] == []


def test_the_environment_says_where(place, monkeypatch):
    monkeypatch.setenv("DH_BITS", "512")
    monkeypatch.setenv("TLS_DHPARAMS", str(place / "elsewhere.pem"))
    assert mkdhparams.main(["mkdhparams"]) == 0
    assert (place / "elsewhere.pem").exists()
    assert not (place / "dhparams.pem").exists()


@pytest.mark.parametrize("bits", ["high", "12", "99999999999", "-1"])
def test_a_length_that_is_none_is_told(place, capsys, monkeypatch, bits):
    monkeypatch.setenv("DH_BITS", bits)
    assert mkdhparams.main(["mkdhparams"]) == 1
    assert f"DH_BITS={bits}: give a number" in capsys.readouterr().err


def test_a_failure_keeps_the_old_parameters(place, capsys, monkeypatch):
    path = place / "dhparams.pem"
    path.write_text("old")
    os.utime(path, (0, 0))
    monkeypatch.setattr(opensslprogram, "PROGRAM", "openssl-that-is-not-there")
    assert mkdhparams.main(["mkdhparams"]) == 1
    assert "stays as it was" in capsys.readouterr().err
    assert path.read_text() == "old"
    assert [one.name for one in place.iterdir() if one.name.startswith(".")] == []
