"""CRAM-MD5 (RFC 2195) and its younger siblings: the HMAC of a challenge, with the password as the key."""

from __future__ import annotations

import binascii
import os
import socket
from functools import partial

from authdaemond import authdata, protocol
from authdaemond.sasl.mechanism import Credentials, Malformed, Mechanism

TYPE_CHECKING = False
if TYPE_CHECKING:
    from authdaemond.sasl.mechanism import Exchange

_RANDOM_OCTETS = 24


def _challenge() -> bytes:
    noise = binascii.hexlify(os.urandom(_RANDOM_OCTETS)).upper()
    return b"<%s@%s>" % (noise, socket.gethostname().encode("utf-8", "surrogateescape"))


def _exchange(algorithm: str, initial: bytes | None) -> Exchange:
    if initial:
        raise Malformed("CRAM takes no initial response")
    challenge = _challenge()
    response = yield challenge
    userid, blank, digest = response.rpartition(b" ")
    if not (blank and userid and digest) or protocol.has_controls(response):
        raise Malformed("CRAM takes a user id, a blank and a digest")
    authtype = authdata.CRAM_PREFIX + algorithm.encode("ascii")
    return Credentials(authtype, authdata.encode_cram(challenge, response), userid)


MECHANISMS = tuple(
    Mechanism(b"CRAM-" + algorithm.upper().encode("ascii"), partial(_exchange, algorithm))
    for algorithm in authdata.CRAM_ALGORITHMS
)
