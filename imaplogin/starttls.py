"""STARTTLS and STLS: the client's connection becomes that of a couriertls, and ours is its clear-text side.

Neither the key nor TLS is ever in the login stage.
"""

from __future__ import annotations

from couriertcpd import environ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imaplogin.channel import Channel


class Failed(Exception):
    """There is no TLS; the text is for the client, who goes on in clear text."""


def available(protocol: str = "IMAP") -> bool:
    """Whether the client may ask for TLS: protocol is IMAP or POP3, the prefix of the settings' names."""
    return False


def begin(channel: Channel, go_ahead: bytes, protocol: str = "IMAP") -> None:
    """Throw away what came before the answer, send the answer go_ahead, and go on when TLS has been agreed on.

    Afterwards the channel is in clear text on couriertls's side, the environment says {protocol}_TLS=1,
    {protocol}_STARTTLS=NO, {protocol}_TLS_REQUIRED=0, and TLS_SUBJECT_* what a verified certificate says.
    Raises Failed: the connection goes on as it was.  Raises channel.Disconnected.
    """
    raise Failed("TLS support not available.")


def required(protocol: str = "IMAP") -> bool:
    """Whether a password may not be sent yet: {protocol}_TLS_REQUIRED without {protocol}_TLS."""
    return environ.enabled(f"{protocol}_TLS_REQUIRED") and not environ.enabled(f"{protocol}_TLS")
