"""The commands of the transaction state (RFC 1939 section 5, RFC 2449, RFC 6856), with the original's texts.

A command yields its answer in pieces, which go to the client as they come.  What it raises before the first one is the
answer: Refused, or an OSError, of which the client hears that there was one.
"""

from __future__ import annotations

from couriertcpd import environ, log
from maildir import fs, rfc822
from pop3d.wire import capability, response
from pop3d.wire.body import Body, first_lines
from pop3d.wire.command import number, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pop3d.session import Session

PIECE_OCTETS = 1 << 18

INVALID_NUMBER = response.error(b"Invalid message number.")
GONE = response.error(b"Can't open the message file - it's gone!")


class Refused(Exception):
    """The answer is no: the whole line."""

    def __init__(self, line: bytes) -> None:
        super().__init__(line)
        self.line = line


class TooManyViolations(Exception):
    """The connection ends."""


def execute(session: Session, line: bytes) -> Iterator[bytes]:
    """Run one command; yields all of its answer.  Raises TooManyViolations after too many lines that are none."""
    name, arguments = split(line)
    run = _COMMANDS.get(name)
    try:
        if run is None:
            raise Refused(response.INVALID_COMMAND)
        yield from run(session, arguments)
        session.violations = 0
    except Refused as answer:
        if answer.line is not response.INVALID_COMMAND:
            session.violations = 0
        elif _one_too_many(session):
            raise TooManyViolations from None
        yield answer.line


def _one_too_many(session: Session) -> bool:
    session.violations += 1
    if session.violations < response.MAX_VIOLATIONS:
        return False
    log.err(f"TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS, {session.peer}")
    return True


def _index(session: Session, word: bytes) -> int:
    """The position of the message that a client means; raises Refused."""
    found = number(word)
    if found is None or not 1 <= found <= len(session.drop.sizes) or found - 1 in session.deleted:
        raise Refused(INVALID_NUMBER)
    return found - 1


def _words(arguments: bytes) -> list[bytes]:
    return arguments.replace(b"\t", b" ").split()


def _stat(session: Session, arguments: bytes) -> Iterator[bytes]:
    sizes = session.drop.sizes
    octets = sum(sizes) - sum([sizes[index] for index in session.deleted])
    yield response.ok(b"%d %d" % (len(sizes) - len(session.deleted), octets))


def _list(session: Session, arguments: bytes) -> Iterator[bytes]:
    sizes = session.drop.sizes
    words = _words(arguments)
    if words:
        index = _index(session, words[0])
        yield response.ok(b"%d %d" % (index + 1, sizes[index]))
        return
    yield response.ok(b"POP3 clients that break here, they violate STD53.")
    yield b"".join([b"%d %d\r\n" % (index + 1, sizes[index]) for index in session.kept()])
    yield response.END


def _uidl(session: Session, arguments: bytes) -> Iterator[bytes]:
    words = _words(arguments)
    if words:
        index = _index(session, words[0])
        yield response.ok(b"%d %b" % (index + 1, session.drop.uidl(index)))
        return
    ids = session.drop.uidls()
    yield response.ok()
    yield b"".join([b"%d %b\r\n" % (index + 1, ids[index]) for index in session.kept()])
    yield response.END


def _retr(session: Session, arguments: bytes) -> Iterator[bytes]:
    words = _words(arguments)
    index = _index(session, words[0] if words else b"")
    descriptor = _open(session, index)
    try:
        pieces = _pieces(session, index, descriptor)
        size = session.drop.sizes[index]
        if _is_wrapped(session, index):
            assert session.wrapper is not None  # noqa: S101
            size += session.wrapper.wire_octets
        yield response.ok(b"%d octets follow." % size)
        body = Body()
        for piece in pieces:
            session.retr_octets += len(piece)
            yield body.feed(piece)
        yield body.end()
    finally:
        fs.close(descriptor)
    session.drop.mark_seen(index)


def _top(session: Session, arguments: bytes) -> Iterator[bytes]:
    words = _words(arguments)
    index = _index(session, words[0] if words else b"")
    lines = number(words[1]) if len(words) > 1 else None
    if lines is None:
        raise Refused(response.INVALID_COMMAND)
    descriptor = _open(session, index)
    try:
        pieces = _pieces(session, index, descriptor)
        yield response.ok(b"headers follow.")
        body = Body()
        for piece in first_lines(pieces, lines, lambda octets: rfc822.body_start(octets, 0, len(octets))):
            session.top_octets += len(piece)
            yield body.feed(piece)
        yield body.end()
    finally:
        fs.close(descriptor)


def _open(session: Session, index: int) -> int:
    try:
        return session.drop.open(index)
    except FileNotFoundError:
        raise Refused(GONE) from None
    except OSError as error:
        log.err(f"message {index + 1}: {error.strerror}, {session.peer}")
        raise Refused(GONE) from None


def _is_wrapped(session: Session, index: int) -> bool:
    return session.wrapper is not None and not session.utf8 and session.drop.has_raw_header(index)


def _pieces(session: Session, index: int, descriptor: int) -> Iterable[bytes]:
    """The message as on disk, in another one if it has to be; its beginning has been read when this returns."""
    try:
        first = fs.read(descriptor, PIECE_OCTETS)
    except OSError as error:
        log.err(f"message {index + 1}: {error.strerror}, {session.peer}")
        raise Refused(response.error(b"Can't read the message file.", response.TEMPORARY)) from None
    pieces = _from_the_second_on(first, descriptor)
    if _is_wrapped(session, index):
        assert session.wrapper is not None  # noqa: S101
        return session.wrapper.around(pieces)
    return pieces


def _from_the_second_on(piece: bytes, descriptor: int) -> Iterator[bytes]:
    while piece:
        yield piece
        piece = fs.read(descriptor, PIECE_OCTETS)


def _dele(session: Session, arguments: bytes) -> Iterator[bytes]:
    words = _words(arguments)
    session.deleted.add(_index(session, words[0] if words else b""))
    yield response.ok(b"Deleted.")


def _rset(session: Session, arguments: bytes) -> Iterator[bytes]:
    session.deleted.clear()
    yield response.ok(b"Resurrected.")


def _noop(session: Session, arguments: bytes) -> Iterator[bytes]:
    yield response.ok(b"Yup.")


def _capa(session: Session, arguments: bytes) -> Iterator[bytes]:
    from authdaemond.sasl import registry

    mechanisms = capability.mechanisms(
        environ.octets("POP3AUTH"), environ.octets("POP3AUTH_TLS"), environ.enabled("POP3_TLS"), registry.names()
    )
    yield capability.capabilities(mechanisms, starttls=False)


def _lang(session: Session, arguments: bytes) -> Iterator[bytes]:
    words = _words(arguments)
    yield capability.language(words[0] if words else b"")


def _utf8(session: Session, arguments: bytes) -> Iterator[bytes]:
    session.utf8 = True
    yield response.ok(b"UTF8 enabled")


def _quit(session: Session, arguments: bytes) -> Iterator[bytes]:
    """The update state: only now are messages removed."""
    doomed, session.deleted = sorted(session.deleted), set()
    try:
        removed, failed = session.drop.remove(doomed)
    except OSError as error:
        log.err(f"removing messages: {error.strerror}, {session.peer}")
        removed, failed = [], doomed
    _log_deletions(session, removed)
    session.over = True
    if failed:
        numbers = b" ".join([b"%d" % (index + 1) for index in failed])
        yield response.error(b"some deleted messages not removed: " + numbers, response.TEMPORARY)
    else:
        yield response.ok(b"Bye-bye.")


def _log_deletions(session: Session, removed: Iterable[bytes]) -> None:
    setting = environ.text("POP3_LOG_DELETIONS")
    if setting and not setting.startswith("0"):
        for name in removed:
            log.info(f"DELETED, {session.peer}, filename={log.printable(name)}")


_COMMANDS: dict[bytes, Callable[[Session, bytes], Iterator[bytes]]] = {
    b"CAPA": _capa,
    b"DELE": _dele,
    b"LANG": _lang,
    b"LIST": _list,
    b"NOOP": _noop,
    b"QUIT": _quit,
    b"RETR": _retr,
    b"RSET": _rset,
    b"STAT": _stat,
    b"TOP": _top,
    b"UIDL": _uidl,
    b"UTF8": _utf8,
}
