"""The layer below the grammar: bytes into whole commands, with every size bounded.

A command is a line, or several lines with literals between them.  Whoever owns the connection feeds what arrived, takes
events until there are none, and answers each Literal event; nothing here reads, writes or waits.

    command = tag SP command-text CRLF                      RFC 3501 §9
    literal = "{" number "}" CRLF *CHAR8                    RFC 3501 §4.3; the client waits for "+ "
            / "{" number "+" "}" CRLF *CHAR8                RFC 7888; it does not wait
    literal8 = "~{" number ["+"] "}" CRLF *OCTET            RFC 3516 §4.4

A literal is announced at the end of a line and nowhere else: a quoted string cannot hold a line end, so what looks like
an announcement inside an unfinished quoted string is bad syntax either way and the grammar above says so.

What is too long is reported once and then skipped without being kept, further lines and non-synchronising literals of
the same command included, so the next event belongs to the next command.

Taken until there are no more events, the fragmenter holds at most command_octets and a line end.
"""

import re

LINE_OCTETS = 65536
COMMAND_OCTETS = 1 << 20
LITERALS = 1000  # in one command; each one shows the caller all that went before, so many of them would be quadratic
PREFIX_OCTETS = 1024  # what a TooLong shows: enough for tag and command name
LARGEST = 1 << 63  # what any larger announcement counts as: no client lives to send it

_ANNOUNCEMENT = re.compile(rb"(~?)\{([0-9]+)(\+?)\}\Z")
_TAIL_OCTETS = 64  # the end of a skipped line, in which an announcement is looked for

_LINE, _UNANSWERED, _COLLECT, _STREAM, _SKIP_LINE, _SKIP_OCTETS = range(6)


class Command:
    """One whole command.

    `octets` is what was sent, without the final line end, with the literals in it as announced (`{n}` CR LF and n
    octets).  `streamed` holds offsets into it, ascending: after the line end of each announcement whose octets were
    handed out as Chunks and are therefore not in it.
    """

    __slots__ = ("octets", "streamed")

    def __init__(self, octets: bytes, streamed: tuple[int, ...]) -> None:
        self.octets = octets
        self.streamed = streamed


class Chunk:
    """A piece of a streamed literal, in order; the one with `last` set (which may be empty) ends it."""

    __slots__ = ("data", "last")

    def __init__(self, data: bytes, last: bool) -> None:
        self.data = data
        self.last = last


class TooLong:
    """A line or command over its limit; `prefix` is how it began, at most PREFIX_OCTETS."""

    __slots__ = ("prefix",)

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix


class Literal:
    """The line just read announces a literal of `size` octets, and the caller must say what is to become of it.

    `prefix` is the command so far, the announcement included; `synchronising` says that the client waits for a
    continuation request, which is the caller's to write; `fits` that the literal can be accepted.
    Until one of accept, stream and refuse is called, the same event is returned again.
    """

    __slots__ = ("_fragmenter", "fits", "literal8", "prefix", "size", "synchronising")

    def __init__(
        self, fragmenter: "Fragmenter", size: int, synchronising: bool, prefix: bytes, literal8: bool, fits: bool
    ) -> None:
        self._fragmenter = fragmenter
        self.size = size
        self.synchronising = synchronising
        self.prefix = prefix
        self.literal8 = literal8
        self.fits = fits

    def accept(self) -> None:
        """Collect the octets into the command.  What does not fit is read all the same, skipped and told by TooLong."""
        self._fragmenter._answer(_COLLECT)

    def stream(self) -> None:
        """Hand the octets out as Chunk events, at once and as they come; then the command goes on."""
        self._fragmenter._answer(_STREAM)

    def refuse(self) -> None:
        """Forget the command.

        A client that waits sends nothing more of it.  One that does not wait sends it all, and that is skipped.
        """
        self._fragmenter._answer(_SKIP_OCTETS)


class Fragmenter:
    """Finds commands and literals in what a client sends; see the module's text for the contract."""

    def __init__(self, line_octets: int = LINE_OCTETS, command_octets: int = COMMAND_OCTETS) -> None:
        self._line_octets = line_octets
        self._command_octets = command_octets
        self._input = bytearray()
        self._report: TooLong | None = None  # to be told by the next event
        self._begin_command()

    def _begin_command(self) -> bool:
        self._state = _LINE
        self._command = bytearray()
        self._line_start = 0  # where in the command the line being read began
        self._streamed: list[int] = []
        self._literals = 0
        self._announced: Literal | None = None
        self._left = 0  # octets of a literal still to come
        self._tail = b""  # the end of what was skipped of a line
        return True

    def feed(self, data: bytes) -> None:
        """Add what arrived; take the events before feeding more, or it piles up."""
        self._input += data

    @property
    def octets_wanted(self) -> int:
        """How many octets of a literal are wanted next; 0 means octets of a line.

        For who peeks at a socket: a whole line, or so many octets, can be consumed without taking anything that
        belongs to a later command.
        """
        return self._left if self._state in (_COLLECT, _STREAM, _SKIP_OCTETS) else 0

    @property
    def octets_held(self) -> int:
        """How much is kept in memory now."""
        return len(self._input) + len(self._command) + len(self._tail)

    def next_event(self) -> Command | Literal | Chunk | TooLong | None:
        """The next event, or None when more input is needed for one."""
        while True:
            if self._report is not None:
                report, self._report = self._report, None
                return report
            if self._state == _UNANSWERED:
                return self._announced
            event = self._step()
            if event is False:
                return None
            if event is not True:
                return event

    def _step(self) -> Command | Literal | Chunk | bool:
        """Go on by one state: an event, or True when there may be more to do, or False when input is missing."""
        if self._state == _LINE:
            return self._read_line()
        if self._state == _COLLECT:
            return self._collect()
        if self._state == _STREAM:
            return self._next_chunk()
        if self._state == _SKIP_LINE:
            return self._skip_line()
        return self._skip_octets()

    def _read_line(self) -> Command | Literal | bool:
        end = self._input.find(b"\n")
        length = end if end >= 0 else len(self._input)
        limit = min(self._line_start + self._line_octets, self._command_octets)
        room = max(0, limit + 1 - len(self._command))  # one more than the limit: it may be the CR
        taken = min(length, room)
        self._command += self._input[:taken]
        if taken < length:
            del self._input[:taken]
            return self._give_up(limit)
        del self._input[: length + 1]
        if end < 0:
            return False
        if len(self._command) > self._line_start and self._command[-1] == 13:
            del self._command[-1]
        if len(self._command) > limit:
            self._give_up(limit)
            return self._end_skipped_line()
        return self._end_line()

    def _end_line(self) -> Command | Literal | bool:
        announcement = _announcement(self._line_tail())
        if announcement is None:
            command = Command(bytes(self._command), tuple(self._streamed))
            self._begin_command()
            return command
        size, synchronising, literal8 = announcement
        self._literals += 1
        if self._literals > LITERALS:
            self._give_up(self._command_octets)
            return self._end_skipped_line()
        self._command += b"\r\n"
        fits = len(self._command) + size <= self._command_octets
        self._left = size
        self._state = _UNANSWERED
        self._announced = Literal(self, size, synchronising, bytes(self._command[:-2]), literal8, fits)
        return self._announced

    def _answer(self, state: int) -> None:
        literal = self._announced
        if literal is None or self._state != _UNANSWERED:
            raise ValueError("this literal has been answered")
        self._announced = None
        if state == _SKIP_OCTETS and literal.synchronising:
            self._begin_command()
            return
        self._state = state
        if state == _STREAM:
            self._streamed.append(len(self._command))
        elif state == _COLLECT and not literal.fits:
            self._give_up(self._command_octets)
            self._state = _SKIP_OCTETS
        elif state == _SKIP_OCTETS:
            self._command.clear()

    def _give_up(self, limit: int) -> bool:
        """Report the command as too long, and skip from here."""
        self._report = TooLong(bytes(self._command[: min(PREFIX_OCTETS, limit)]))
        self._tail = self._line_tail()
        self._command.clear()
        self._state = _SKIP_LINE
        return True

    def _line_tail(self) -> bytes:
        return bytes(self._command[max(self._line_start, len(self._command) - _TAIL_OCTETS) :])

    def _collect(self) -> bool:
        self._command += self._take()
        return self._literal_ended(_LINE)

    def _next_chunk(self) -> Chunk | bool:
        if self._left and not self._input:
            return False
        data = bytes(self._take())
        return Chunk(data, self._literal_ended(_LINE))

    def _skip_octets(self) -> bool:
        self._take()
        return self._literal_ended(_SKIP_LINE)

    def _take(self) -> bytearray:
        """Octets of the literal, as many as are there."""
        taken = self._input[: self._left]
        del self._input[: len(taken)]
        self._left -= len(taken)
        return taken

    def _literal_ended(self, next_state: int) -> bool:
        if self._left:
            return False
        self._state = next_state
        self._line_start = len(self._command)
        self._tail = b""
        return True

    def _skip_line(self) -> bool:
        end = self._input.find(b"\n")
        length = end if end >= 0 else len(self._input)
        self._tail = (self._tail + self._input[max(0, length - _TAIL_OCTETS) : length])[-_TAIL_OCTETS:]
        del self._input[: length + 1]
        return end >= 0 and self._end_skipped_line()

    def _end_skipped_line(self) -> bool:
        """What does not wait for us after an announcement goes on sending the command that is being skipped."""
        announcement = _announcement(self._tail.removesuffix(b"\r"))
        if announcement is None or announcement[1]:
            return self._begin_command()
        self._left = announcement[0]
        self._state = _SKIP_OCTETS
        return True


def _announcement(line_end: bytes) -> tuple[int, bool, bool] | None:
    """Size, whether it is synchronising, whether it is a literal8; None when the line ends in none."""
    match = _ANNOUNCEMENT.search(line_end) if line_end[-1:] == b"}" else None
    if match is None:
        return None
    return min(int(match[2]), LARGEST), not match[3], bool(match[1])
