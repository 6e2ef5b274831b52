"""The argument lists that several commands share, as their rows' `parse`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from imapd.wire.lexer import Arguments


def nothing(arguments: Arguments) -> tuple[()]:
    """Take no arguments; dispatch refuses what is left of the line."""
    return ()


def mailbox(arguments: Arguments) -> tuple[bytes]:
    """Read `SP mailbox`."""
    return (arguments.mailbox(),)
