"""What CAPA and LANG say, before login and after it (RFC 2449, RFC 6856)."""

from __future__ import annotations

from pop3d.wire import response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_LANGUAGES = {b"en": b"English", b"i-default": b"Default language"}


def capabilities(mechanisms: Collection[bytes], starttls: bool) -> bytes:
    """The answer to CAPA.

    The original's words in its order (LOGIN-DELAY is announced, and kept by nobody), and then ours.
    """
    words = [
        *([b"SASL " + b" ".join(mechanisms)] if mechanisms else []),
        *([b"STLS"] if starttls else []),
        b"TOP",
        b"USER",
        b"LOGIN-DELAY 10",
        b"PIPELINING",
        b"UIDL",
        b"UTF8 USER",
        b"LANG",
        b"RESP-CODES",
        b"AUTH-RESP-CODE",
        b"IMPLEMENTATION Courier Mail Server",
    ]
    return response.ok(b"Here's what I can do:") + b"".join([word + b"\r\n" for word in words]) + response.END


def mechanisms(pop3auth: bytes, pop3auth_tls: bytes, tls: bool, known: Collection[bytes]) -> list[bytes]:
    """The SASL mechanisms to announce: those of POP3AUTH, or over TLS POP3AUTH_TLS if set, that are known."""
    words = ((pop3auth_tls if tls else b"") or pop3auth).upper().split()
    return [word for word in words if word in known]


def language(wanted: bytes) -> bytes:
    """The answer to LANG with its argument, if it has one (RFC 6856 section 3): we speak English only."""
    if not wanted:
        lines = [b"%b %b\r\n" % item for item in _LANGUAGES.items()]
        return response.ok(b"Language listing follows:") + b"".join(lines) + response.END
    if wanted == b"*" or wanted.lower() in _LANGUAGES:
        return response.ok(b"en King's English")
    return response.error(b"Language not available.")
