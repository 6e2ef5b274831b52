"""Contexts before the first client: parameters that will not do, and the handshake with ourselves."""

from __future__ import annotations

import gc
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from couriertcpd import installed, tlspeer
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


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
@pytest.mark.parametrize("how", ["owner", "everybody", "group", "nobody"])
def test_a_key_that_login_processes_could_read_is_told_of(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    user = pwd.getpwnam(installed.MAILUSER)
    path = authority.server("mail.example").put(tmp_path / "server.pem")
    path.chmod({"everybody": 0o644, "group": 0o640}.get(how, 0o600))
    os.chown(path, user.pw_uid if how == "owner" else 0, user.pw_gid if how == "group" else 0)
    monkeypatch.setenv("TLS_CERTFILE", str(path))
    monkeypatch.setenv("TLS_VERIFYPEER", "NONE")
    monkeypatch.delenv("TLS_DHPARAMS", raising=False)
    warnings = ServerContexts(Settings()).warnings
    assert len(warnings) == (how != "nobody")
    assert all(f"chown root {path}; chmod 600 {path}" in warning for warning in warnings)


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
    gc.collect()  # of what other tests have left
    before = os.listdir("/proc/self/fd")
    contexts.rehearse()
    gc.collect()
    assert os.listdir("/proc/self/fd") == before
    assert bool(told) == whole
