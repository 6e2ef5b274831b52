r"""What is so in a mailbox that many change at once: the facts that one client's answers give all others.

Time is a count of what was sent and heard; a change happens somewhere between its command and its answer.  While two
opposite changes of one flag overlap nobody knows it; otherwise it is settled from the answer on.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.answers import Value
from tests.clientview import Violation

DELETED = b"\\Deleted"


class Flag:
    """One flag of one message: value is None while it cannot be known."""

    __slots__ = ("pending", "since", "value", "wanted")

    def __init__(self, value: bool | None, since: int) -> None:
        self.value = value
        self.since = since
        self.pending = 0  # changes that are under way
        self.wanted: set[bool | None] = set()  # by these, and those that they overlap


class Truth:
    r"""The mailbox; uids are those of one uidvalidity.

    With `peers` another server changes it too: then a message that is there may get a new uid, which is counted and not
    refused, and one that was \Deleted once may be removed by who still believes it.
    """

    def __init__(self, peers: bool = False) -> None:
        self.clock = 0
        self.tokens: dict[int, bytes] = {}  # by uid
        self.issued: set[bytes] = set()
        self.acknowledged: dict[int, int] = {}  # when a client was told of the uid, as what it stored
        self.gone: dict[int, int] = {}  # when a client was told that it is
        self.told: set[int] = set()  # every uid that was ever told
        self.peers = peers
        self.renumbered: set[int] = set()
        self.doomed: set[int] = set()
        self._flags: dict[tuple[int, bytes], Flag] = {}
        self._facts: dict[tuple[int, bytes], Value] = {}
        self._recent: dict[int, object] = {}
        self.recent_twice: set[int] = set()

    def tick(self) -> int:
        """The time of the next thing sent or heard."""
        self.clock += 1
        return self.clock

    # -- flags

    def change_begins(self, uids: Iterable[int], flags: Iterable[bytes], value: bool | None) -> None:
        """Somebody is asked to set (True) or clear (False) flags, or to do what nobody can tell (None)."""
        flags = list(flags)
        for uid in uids:
            if DELETED in flags and value is not False:
                self.doomed.add(uid)
            for name in flags:
                flag = self._flags.setdefault((uid, name), Flag(None, self.clock))
                if not flag.pending:
                    flag.wanted = set()
                flag.pending += 1
                flag.wanted.add(value)
                flag.value = None

    def change_ends(self, uids: Iterable[int], flags: Iterable[bytes], value: bool | None, sure: bool) -> None:
        """The answer to it: sure after an OK."""
        flags = list(flags)
        for uid in uids:
            for name in flags:
                flag = self._flags[uid, name]
                flag.pending -= 1
                if not sure:
                    flag.wanted.add(None)
                if not flag.pending:
                    flag.value = next(iter(flag.wanted)) if len(flag.wanted) == 1 else None
                    flag.since = self.clock

    def settled(self, uid: int, name: bytes, since: int) -> bool | None:
        """What the flag has been ever since that time; None when that cannot be said."""
        flag = self._flags.get((uid, name))
        return flag.value if flag is not None and not flag.pending and flag.since <= since else None

    def removable(self, uid: int) -> bool:
        r"""Whether somebody may have expunged it, or may yet.

        Not when \Deleted is settled to be off: it was there when that was answered, and nobody may remove it since.
        """
        if self.peers:
            return uid in self.doomed or (uid, DELETED) not in self._flags
        return self.settled(uid, DELETED, self.clock) is not False

    # -- messages

    def issue(self, token: bytes) -> None:
        """A message with this token is about to be stored."""
        self.issued.add(token)

    def is_message(self, uid: int, token: bytes) -> None:
        """An answer says what message has this uid."""
        if token not in self.issued:
            raise Violation(f"uid {uid} is {token!r}, which nobody stored")
        if self.tokens.setdefault(uid, token) != token:
            raise Violation(f"uid {uid} was {self.tokens[uid]!r}, now it is {token!r}")

    def stored(self, uid: int, token: bytes, sent: int, flags: dict[bytes, bool]) -> None:
        """A client was told that its message has this uid; flags are those that it gave, known if it was an APPEND."""
        self.is_message(uid, token)
        newest = max((known for known, when in self.acknowledged.items() if when <= sent), default=0)
        if uid <= newest:
            raise Violation(f"uid {uid} was given after {newest}")
        self.acknowledged[uid] = self.clock
        if flags.get(DELETED, True):
            self.doomed.add(uid)
        for name, value in flags.items():
            self._flags.setdefault((uid, name), Flag(value, self.clock))

    def fact(self, uid: int, name: bytes, value: Value) -> None:
        """An answer about what never changes."""
        known = self._facts.setdefault((uid, name), value)
        if known != value:
            raise Violation(f"{name!r} of uid {uid} was {known!r}, now it is {value!r}")

    def is_recent(self, uid: int, session: object) -> None:
        """A session that may write was told so; in doubt two may be (RFC 3501 section 2.3.2), so it is only counted."""
        if self._recent.setdefault(uid, session) is not session:
            self.recent_twice.add(uid)

    def went(self, uid: int) -> None:
        """A client was told that the message is expunged."""
        if not self.removable(uid):
            if not self.peers:
                raise Violation(f"uid {uid} is expunged, and it was not deleted")
            self.renumbered.add(uid)
        self.gone.setdefault(uid, self.clock)

    def check_view(self, uids: set[int], since: int) -> None:
        """What a client knows that has looked at the mailbox since that time."""
        risen = {uid for uid in uids if self.gone.get(uid, since + 1) <= since}
        if risen:
            raise Violation(f"expunged, and still told: {sorted(risen)}")
        missing = {uid for uid, when in self.acknowledged.items() if when <= since and uid not in uids}
        missing = {uid for uid in missing if not self.removable(uid)}
        if missing and self.peers:
            self.renumbered |= missing
        elif missing:
            raise Violation(f"stored, and not told: {sorted(missing)}")
