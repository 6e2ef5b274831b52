"""Contexts before the first client: parameters that will not do, and the handshake with ourselves."""

from __future__ import annotations

import gc
import os
import subprocess
from pathlib import Path

import pytest

from couriertcpd import tlspeer
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


@pytest.mark.parametrize(("verify", "whole"), [("NONE", True), ("REQUIREPEER", False)])
def test_the_rehearsal_leaves_nothing_behind(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: str, whole: bool
) -> None:
    monkeypatch.setenv("TLS_CERTFILE", str(authority.server("mail.example").put(tmp_path / "server.pem")))
    monkeypatch.setenv("TLS_VERIFYPEER", verify)
    monkeypatch.setenv("TLS_ALPN", "imap")
    monkeypatch.delenv("TLS_DHPARAMS", raising=False)
    told: list[object] = []
    monkeypatch.setattr(tlspeer, "dump", lambda *arguments: told.append(arguments))
    contexts = ServerContexts(Settings())
    before = os.listdir("/proc/self/fd")
    contexts.rehearse()
    gc.collect()
    assert os.listdir("/proc/self/fd") == before
    assert bool(told) == whole
