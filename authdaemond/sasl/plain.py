"""PLAIN (RFC 4616): authorization id NUL user id NUL password, in one response.

The authorization id is ignored, as in the original: an account is always itself.
"""

from __future__ import annotations

from authdaemond.sasl.mechanism import Credentials, Malformed, Mechanism, login_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from authdaemond.sasl.mechanism import Exchange


def _exchange(initial: bytes | None) -> Exchange:
    response = initial or (yield b"")
    return _credentials(response)


def _credentials(response: bytes) -> Credentials:
    parts = response.split(b"\0")
    if len(parts) != 3:
        raise Malformed("PLAIN takes three parts with NUL between them")
    return login_credentials(parts[1], parts[2])


MECHANISMS = (Mechanism(b"PLAIN", _exchange),)
