"""Diffie-Hellman parameters that will not do are told of, and keep nobody out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from couriertcpd.tlscontext import ServerContexts
from couriertcpd.tlssettings import Settings
from tests.tls.authority import Authority


@pytest.mark.parametrize(("content", "said"), [("weak", "dh key too small"), ("none", "no DH PARAMETERS in it")])
def test_bad_parameters_are_told_of(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    path = tmp_path / "dhparams.pem"
    path.write_text("nothing\n")
    if content == "weak":
        subprocess.run(["openssl", "dhparam", "-out", path, "512"], check=True, capture_output=True, timeout=60)
    monkeypatch.setenv("TLS_CERTFILE", str(authority.server("mail.example").put(tmp_path / "server.pem")))
    monkeypatch.setenv("TLS_VERIFYPEER", "NONE")
    monkeypatch.setenv("TLS_DHPARAMS", str(path))
    contexts = ServerContexts(Settings())
    contexts.make_all()
    (warning,) = contexts.warnings
    assert said in warning
    assert "run mkdhparams" in warning
    assert "\n" not in warning
