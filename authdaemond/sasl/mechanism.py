"""What a SASL mechanism is to those who run it (RFC 4422).

An exchange is a generator that knows no base64 and no protocol: it gets the initial response or None, yields
challenges, is sent responses, and returns credentials for authdaemond, whose answer decides.
"""

from __future__ import annotations

from authdaemond import authdata

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Exchange = Generator[bytes, bytes, "Credentials"]


class Malformed(Exception):
    """The client's response is not of this mechanism; the text says what is wrong and holds nothing of the response."""


class Credentials:
    """What a client presented, in the form of AUTH: an authtype and its data."""

    __slots__ = ("authtype", "data", "userid")

    def __init__(self, authtype: bytes, data: bytes, userid: bytes) -> None:
        self.authtype, self.data = authtype, data
        self.userid = userid  # for log lines; data has it too

    def __repr__(self) -> str:
        return f"Credentials(authtype={self.authtype!r}, userid={self.userid!r})"


class Mechanism:
    """A mechanism's name, in capitals, and its exchange."""

    __slots__ = ("exchange", "name")

    def __init__(self, name: bytes, exchange: Callable[[bytes | None], Exchange]) -> None:
        self.name, self.exchange = name, exchange


def login_credentials(userid: bytes, password: bytes) -> Credentials:
    """Credentials of a mechanism that carries the password itself.  Raises Malformed."""
    if not userid:
        raise Malformed("no user id")
    try:
        return Credentials(b"login", authdata.encode_login(userid, password), userid)
    except ValueError as error:
        raise Malformed(str(error)) from None
