"""A certificate that comes when the server has been started: STARTTLS is offered only by who can have it spoken."""

from __future__ import annotations

from pathlib import Path

from chain import Chain

from tests.tls.authority import Authority
from tests.tls.servers import ANYBODY, Talk


def test_what_is_offered_works(chain: Chain, authority: Authority, tmp_path: Path) -> None:
    certificate = tmp_path / "late.pem"
    settings = {
        "IMAP_STARTTLS": "YES", "COURIERTLS": str(chain.prefix / "bin/couriertls"), "TLS_CERTFILE": str(certificate),
        "TLS_VERIFYPEER": "NONE",
    }  # fmt: skip
    listener = chain.listen((), settings)
    try:
        with Talk(listener) as talk:
            assert b"STARTTLS" not in talk.line()
            assert talk.ask(b"a STARTTLS")[-1].startswith((b"a BAD", b"a NO"))
        authority.server("mail.example").put(certificate)
        for _ in range(6):  # more than wait since before
            with Talk(listener) as talk:
                if b"STARTTLS" in talk.line():
                    assert talk.ask(b"a STARTTLS")[-1].startswith(b"a OK")
                    assert talk.secure(ANYBODY).ask(b"b NOOP")[-1] == b"b OK NOOP completed"
    finally:
        listener.process.terminate()
        listener.process.wait(30)
