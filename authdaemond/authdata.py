"""What stands behind an authtype in AUTH: credentials, as the clients write and the back ends read them.

    login                               userid LF password LF
    cram-md5, cram-sha1, cram-sha256    base64(challenge) LF base64(userid SP hexdigest) LF

Back ends split at line feeds and collapse empty lines, so an empty password can never be said.
"""

import binascii

CRAM_PREFIX = b"cram-"
CRAM_ALGORITHMS = ("md5", "sha1", "sha256")


class Login:
    """A user id and the password in clear text."""

    __slots__ = ("password", "userid")

    def __init__(self, userid: bytes, password: bytes) -> None:
        self.userid, self.password = userid, password


class Cram:
    """A user id and the HMAC, in hex, that the client made of the challenge."""

    __slots__ = ("algorithm", "challenge", "digest", "userid")

    def __init__(self, algorithm: str, userid: bytes, challenge: bytes, digest: bytes) -> None:
        self.algorithm, self.userid, self.challenge, self.digest = algorithm, userid, challenge, digest

    def encode(self) -> bytes:
        """The authdata."""
        return encode_cram(self.challenge, b"%s %s" % (self.userid, self.digest))


def encode_login(userid: bytes, password: bytes) -> bytes:
    """The authdata of authtype login.  Raises ValueError when a line feed would make it say something else."""
    if b"\n" in userid + password:
        raise ValueError("a line feed in a user id or password")
    return b"%s\n%s\n" % (userid, password)


def encode_cram(challenge: bytes, response: bytes) -> bytes:
    """The authdata of the authtypes cram-*."""
    return binascii.b2a_base64(challenge) + binascii.b2a_base64(response)


def parse(authtype: bytes, data: bytes) -> Login | Cram | None:
    """The credentials; None when the authtype is unknown or its data are incomplete."""
    tokens = [token for token in data.split(b"\n") if token]
    if len(tokens) < 2:
        return None
    if authtype == b"login":
        return Login(tokens[0], tokens[1])
    algorithm = authtype[len(CRAM_PREFIX) :].decode("ascii", "replace")
    if not authtype.startswith(CRAM_PREFIX) or algorithm not in CRAM_ALGORITHMS:
        return None
    try:
        challenge, response = binascii.a2b_base64(tokens[0]), binascii.a2b_base64(tokens[1])
    except ValueError:
        return None
    userid, blank, digest = response.rpartition(b" ")
    return Cram(algorithm, userid, challenge, digest) if blank and userid else None
