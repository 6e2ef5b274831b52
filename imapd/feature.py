"""The records that a feature declares itself with.

Each module in commands/ and extensions/ ends in one `FEATURE`.  It states facts (in which states a command is legal,
whether it writes, whether EXPUNGE may be told after it) and the engine draws the conclusions; so a new RFC is a new
file and no edit to an old one.
"""

from __future__ import annotations


class Wait:
    """What a command yields to hear the client: the driver sends what it has, and sets line to what comes in time.

    line is None when nothing has come.
    """

    __slots__ = ("line", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.line: bytes | None = None


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from typing import Any

    from imapd.message import Message
    from imapd.session import Session
    from imapd.view import View
    from imapd.wire.fetchatt import Item
    from imapd.wire.lexer import Arguments
    from maildir.incoming import Incoming
    from maildir.snapshot import Status

    # What a running command yields are encoded octets; what it returns replaces the text of its tagged OK.
    Run = Callable[..., Generator[bytes, None, bytes | None] | Generator[bytes | Wait, None, bytes | None]]
    Receive = Callable[[Session, Arguments, int], Incoming | None]

# States in which a command is legal (RFC 3501 section 3); what happens before authentication is the login stage's.
AUTHENTICATED = 1
SELECTED = 2
ANY = AUTHENTICATED | SELECTED

# What a FETCH item needs of a message beside the session's view.
NOTHING, FILE, HEADER, CONTENT = range(4)


# A client may be silent that long; in IDLE too (RFC 3501 section 5.4, RFC 2177).
INACTIVITY_SECONDS = 30 * 60


class Command:
    """One command.

    name       upper case; `UID x` for the UID form
    parse      pure: the arguments as the tuple that run gets after the session; raises Malformed or Bad
    run        a generator of encoded octets
    done       text of the tagged OK
    states     where it is legal
    writes     refused when the mailbox was opened by EXAMINE
    refreshes  afterwards the folder is looked at again and changes are told, EXPUNGE included (so never set for a
               command whose sequence numbers must hold: FETCH, STORE, SEARCH, RFC 3501 section 7.4.1)
    receive    where the octets of the literal just announced go: an Incoming, or None to keep them with the command
    """

    __slots__ = ("done", "name", "parse", "receive", "refreshes", "run", "states", "writes")

    def __init__(
        self, name: bytes, parse: Callable[[Arguments], tuple[Any, ...]], run: Run, done: bytes, states: int = ANY,
        writes: bool = False, refreshes: bool = False, receive: Receive | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.parse = parse
        self.run = run
        self.done = done
        self.states = states
        self.writes = writes
        self.refreshes = refreshes
        self.receive = receive


class Basis:
    """What an item is told from, where that is shorter, holds longer and serves others too.

    kind     what it is remembered as in the folder's index
    read     takes it from a message
    tell     makes the octets of `NAME value` from it
    """

    __slots__ = ("kind", "read", "tell")

    def __init__(self, kind: bytes, read: Callable[[Message], bytes], tell: Callable[[bytes], bytes]) -> None:
        self.kind = kind
        self.read = read
        self.tell = tell


class FetchItem:
    r"""One FETCH data item.

    reads        NOTHING, the FILE (a message that is gone cannot answer it), its HEADER or all its CONTENT; a function
                 of the item where that depends on what is asked
    render       octets of `NAME value` for one message; an iterable where the value may be large
    column       instead, where it reads NOTHING: for many messages of a view at once, by their indexes, what goes into
                 the template
    literal      where the value is told as a literal: its octets for one message, and these alone are remembered
    kind         what its octets are remembered as in the folder's index, b"" where they are not but are few, None where
                 they may be many; only of what is the same for every session, and for as long as the message is there
    basis        what is remembered beside it, and tells it when only that is known
    sets_seen    tells whether fetching it as asked sets \Seen
    """

    __slots__ = ("basis", "column", "kind", "literal", "name", "reads", "render", "sets_seen", "template")

    def __init__(
        self, name: bytes, reads: int | Callable[[Item], int],
        render: Callable[[Session, Message, Item], bytes | Iterable[bytes]] | None = None,
        column: Callable[[View, Sequence[int]], Sequence[bytes | int]] | None = None,
        sets_seen: Callable[[Item], bool] | None = None, kind: Callable[[Item], bytes | None] | None = None,
        template: bytes = b"%b", basis: Basis | None = None, literal: Callable[[Message, Item], bytes] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.reads: Callable[[Item], int] = (lambda item: reads) if isinstance(reads, int) else reads
        self.column = column
        self.render = render or _one_of(column, template)
        self.sets_seen = sets_seen
        self.kind: Callable[[Item], bytes | None] = kind or (lambda item: None)
        self.template = template
        self.basis = basis
        self.literal = literal

    def value(self, session: Session, message: Message, item: Item) -> bytes:
        """What is remembered: the octets of the literal, or of `NAME value`."""
        if self.literal is not None:
            return self.literal(message, item)
        told = self.render(session, message, item)
        return told if isinstance(told, bytes) else b"".join(told)


def _one_of(
    column: Callable[[View, Sequence[int]], Sequence[bytes | int]] | None, template: bytes
) -> Callable[[Session, Message, Item], bytes | Iterable[bytes]]:
    assert column is not None  # noqa: S101
    return lambda session, message, item: template % column(message.view, (message.index,))[0]


class StatusItem:
    """One STATUS data item: its number, from what a look at the folder told."""

    __slots__ = ("name", "value")

    def __init__(self, name: bytes, value: Callable[[Status], int]) -> None:
        self.name = name
        self.value = value


class Feature:
    """What one module adds to the server."""

    __slots__ = ("capabilities", "commands", "fetch_items", "rfc", "status_items")

    def __init__(
        self, rfc: str, capabilities: tuple[str, ...] = (), commands: tuple[Command, ...] = (),
        fetch_items: tuple[FetchItem, ...] = (), status_items: tuple[StatusItem, ...] = (),
    ) -> None:  # fmt: skip
        self.rfc = rfc
        self.capabilities = capabilities
        self.commands: tuple[Command, ...] = commands
        self.fetch_items: tuple[FetchItem, ...] = fetch_items
        self.status_items: tuple[StatusItem, ...] = status_items
