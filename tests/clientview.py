"""What a client may believe of its selected mailbox, and what a server may therefore not say (RFC 3501).

Sequence numbers move by EXPUNGE alone, which is not told during FETCH, STORE and SEARCH (section 7.4.1); EXISTS never
shrinks (7.3.1); uids ascend and stay (2.3.1.1).  Whatever breaks that raises Violation.
"""

from __future__ import annotations

from tests.answers import Response

# During these the sequence numbers of the client's next command must hold.
STEADY = (b"FETCH", b"STORE", b"SEARCH")
RECENT = b"\\Recent"


class Violation(AssertionError):
    """The server said what it may not say."""


class Known:
    """One message as the client knows it; None is what it has not been told."""

    __slots__ = ("flags", "recent", "uid")

    def __init__(self) -> None:
        self.uid: int | None = None
        self.flags: frozenset[bytes] | None = None  # without \\Recent
        self.recent = False


class ClientView:
    """The selected mailbox, from a SELECT on; the message with sequence number n is messages[n - 1]."""

    def __init__(self) -> None:
        self.messages: list[Known] = []
        self.uidvalidity = 0
        self.recent = 0
        self.gone: list[Known] = []  # what EXPUNGE told, in order

    @property
    def uids(self) -> list[int | None]:
        """By sequence number."""
        return [message.uid for message in self.messages]

    def hear(self, response: Response, command: bytes) -> Known | None:
        """Take in an untagged response to a command; returns the message of a FETCH."""
        number = response.number
        if response.kind == b"EXPUNGE":
            if command.upper().startswith(STEADY):
                raise Violation(f"EXPUNGE during {command!r}")
            self.gone.append(self.messages.pop(self._index(number)))
        elif response.kind == b"EXISTS":
            if number < len(self.messages):
                raise Violation(f"{number} EXISTS, and there were {len(self.messages)}")
            self.messages += [Known() for _ in range(number - len(self.messages))]
        elif response.kind == b"RECENT":
            self.recent = number
            if number > len(self.messages):
                raise Violation(f"{number} RECENT of {len(self.messages)}")
        elif response.code.startswith(b"UIDVALIDITY "):
            self.uidvalidity = int(response.code.split()[1])
        elif response.kind == b"FETCH":
            return self._fetched(response)
        return None

    def _index(self, number: int) -> int:
        if not 1 <= number <= len(self.messages):
            raise Violation(f"message {number} of {len(self.messages)}")
        return number - 1

    def _fetched(self, response: Response) -> Known:
        index = self._index(response.number)
        message = self.messages[index]
        if response.uid is not None:
            if message.uid is None:
                self._check_place(index, response.uid)
                message.uid = response.uid
            elif message.uid != response.uid:
                raise Violation(f"message {response.number} had uid {message.uid}: {response}")
        if response.flags is not None:
            message.flags = response.flags - {RECENT}
            message.recent = RECENT in response.flags
        return message

    def _check_place(self, index: int, uid: int) -> None:
        below = [known.uid for known in self.messages[:index] if known.uid is not None]
        above = [known.uid for known in self.messages[index + 1 :] if known.uid is not None]
        if (below and below[-1] >= uid) or (above and above[0] <= uid):
            raise Violation(f"message {index + 1} has uid {uid} between {below[-1:]} and {above[:1]}")
