"""Login with a client certificate: whom it names, and AUTH=EXTERNAL (RFC 4422 appendix A)."""

from __future__ import annotations

from couriertcpd import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from authdaemond.account import Account

MECHANISM = b"EXTERNAL"


def identity(protocol: str = "IMAP") -> bytes:
    """The login id that the client's verified certificate gives: the field TLS_EXTERNAL names; empty for none."""
    field = environ.text("TLS_EXTERNAL")
    if not field or not environ.enabled(f"{protocol}_TLS"):
        return b""
    name = "TLS_SUBJECT_" + field.upper()
    return environ.octets(name) if name.isascii() else b""


def exchange(initial: bytes | None) -> Generator[bytes, bytes, bytes]:
    """The client's response: as whom it wants to log in, empty for whom the certificate says."""
    return initial or (yield b"")


def account(service: bytes, response: bytes, protocol: str = "IMAP") -> Account:
    """The account that the certificate names, if the client's response (the decoded one; empty: as it says) does too.

    The default domain is not added.  Raises authdaemond.client.Rejected, TemporaryFailure.
    """
    from authdaemond import client

    named = identity(protocol)
    if not named or response not in (b"", named):
        raise client.Rejected
    return client.lookup(service, named)
