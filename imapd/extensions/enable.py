"""ENABLE (RFC 5161): a client names the extensions that it understands, and is told which of them are on from now."""

from __future__ import annotations

from imapd.feature import Command, Feature
from imapd.wire import response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from imapd.session import Session
    from imapd.wire.lexer import Arguments


def parse(arguments: Arguments) -> tuple[list[bytes]]:
    """Read `1*(SP capability)`."""
    words = [arguments.keyword_upper()]
    while not arguments.at_end:
        words.append(arguments.keyword_upper())
    return (words,)


def enable(session: Session, words: list[bytes]) -> Generator[bytes, None, None]:
    """Pass over names that mean nothing here (RFC 5161 section 3.1), which as yet is all of them."""
    yield response.untagged(b"ENABLED")


FEATURE = Feature(
    rfc="RFC 5161",
    capabilities=("ENABLE",),
    commands=(Command(b"ENABLE", parse, enable, b"Options enabled"),),
)
