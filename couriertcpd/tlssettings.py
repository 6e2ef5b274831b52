"""What the TLS_* settings say, read once, with the original's meaning.

Settings that the original has removed, or that were only ever for GnuTLS, mean nothing here and do no harm.
"""

from __future__ import annotations

from couriertcpd import environ

NONE, PEER, REQUIRE = range(3)  # of a client certificate: not asked for, checked if there is one, demanded

TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = 0x0301, 0x0302, 0x0303, 0x0304  # as on the wire

# The original's words, and TLSv1.3.  Behind TLSv1.1 and TLSv1.2 it takes + and ++, for what is always so here: no
# renegotiation, and the server's order of ciphers.
_MINIMUM = {
    "TLS1": TLS_1_0,
    "TLSv1": TLS_1_0,
    "TLSv1.0": TLS_1_0,
    "TLSv1.1": TLS_1_1,
    "TLSv1.2": TLS_1_2,
    "TLSv1.3": TLS_1_3,
}

# Forward secrecy only; the CBC suites are for clients of ten years ago, and come last.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:!aNULL:!eNULL:!MD5:!DSS:!PSK:!SRP"

_DEFAULT_LIFE_SECONDS = 3600
_LONGEST_LIFE_SECONDS = 7 * 86400  # RFC 8446 section 4.6.1


class Settings:
    """The settings of a TLS end; paths are empty where none is set."""

    __slots__ = (
        "alpn", "certificate", "ciphers", "client_authority", "dh_parameters", "key", "minimum", "session_seconds",
        "verify",
    )  # fmt: skip

    def __init__(self) -> None:
        self.certificate = environ.text("TLS_CERTFILE")
        self.key = environ.text("TLS_PRIVATE_KEYFILE")
        self.dh_parameters = environ.text("TLS_DHPARAMS")
        self.client_authority = environ.text("TLS_TRUSTCERTS")
        self.verify = _verify(environ.text("TLS_VERIFYPEER"))
        self.minimum = minimum_version(environ.text("TLS_PROTOCOL"))
        self.ciphers = _ciphers(environ.text("TLS_CIPHER_LIST"), self.minimum)
        self.alpn = alpn(environ.text("TLS_ALPN"))
        seconds = environ.number("TLS_TIMEOUT")
        self.session_seconds = min(seconds, _LONGEST_LIFE_SECONDS) if seconds > 0 else _DEFAULT_LIFE_SECONDS


def minimum_version(name: str) -> int:
    """The lowest version that TLS_PROTOCOL allows; what it does not know, SSL3 for example, means the default."""
    return _MINIMUM.get(name.strip().rstrip("+"), TLS_1_2)


def alpn(text: str) -> tuple[bytes, ...]:
    """The protocols of TLS_ALPN, in its order; tokens that begin with @ are options of GnuTLS."""
    words = text.replace(",", " ").split()
    return tuple(word.encode("utf-8", "surrogateescape")[:255] for word in words if not word.startswith("@"))


def _verify(text: str) -> int:
    """The first letter decides, and what is neither NONE nor REQUIREPEER is PEER, as in the original."""
    return {"N": NONE, "R": REQUIRE}.get(text[:1].upper(), PEER)


def _ciphers(text: str, minimum: int) -> str:
    """Versions before 1.2 sign with SHA-1, which OpenSSL allows on its lowest security level only."""
    ciphers = text or CIPHERS
    return ciphers + ":@SECLEVEL=0" if minimum < TLS_1_2 and "@SECLEVEL" not in ciphers else ciphers
