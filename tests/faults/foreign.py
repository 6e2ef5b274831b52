"""A client of the C Courier-IMAP, on the mailbox that our sessions change."""

from __future__ import annotations

from tests.answers import Response
from tests.clientview import ClientView
from tests.faults.letters import CROWDED, FLAGS, joined, message_of, numbers_of
from tests.faults.sessions import Session
from tests.faults.truth import DELETED


class Foreign(Session):
    """A client of another server, whose changes count, but whose answers are its own affair.

    It knows no sequence numbers, and addresses what others were told of.
    """

    _message = b""

    def _take(self, response: Response) -> None:
        if response.tag == b"+":
            self.client.connection.sendall(self._message + b"\r\n")
        elif response.is_tagged:
            self._completed(response)
            self.busy = False
            if not self.bazaar.over:
                self.next_command()

    def _nothing(self, tagged: Response) -> None:
        return

    def next_command(self) -> None:
        there = [uid for uid in self.truth.tokens if uid not in self.truth.gone]
        weights = (4, 4 if len(there) < CROWDED else 0, 6, 3, 1)
        actions = (self.noop, self.append, self.store, self.expunge, self.copy)
        self.chance.choices(actions, weights if there else (1, 1, 0, 0, 0))[0]()

    def some_uids(self) -> list[int]:
        """Of messages that are there, as far as anybody knows."""
        there = [uid for uid in self.truth.tokens if uid not in self.truth.gone]
        return sorted(self.chance.sample(there, min(self.chance.choice((1, 2, 5)), len(there))))

    def append(self) -> None:
        token = self.bazaar.new_token()
        flags = self.chance.sample(FLAGS, self.chance.choice((0, 1)))
        self._message = message_of(token, self.chance.randrange(2000))
        sent_at = self.truth.clock + 1

        def completed(tagged: Response) -> None:
            if tagged.code.startswith(b"APPENDUID"):
                given = {flag: flag in flags for flag in (DELETED,)}
                self.truth.stored(int(tagged.code.split()[2]), token, sent_at, given)

        text = b"APPEND INBOX (%s) {%d}" % (b" ".join(flags), len(self._message))
        self.send(text, what="peer's append", completed=completed)

    def store(self) -> None:
        uids = self.some_uids()
        flag = self.chance.choice(FLAGS)
        # It writes all flags anew, from what it believes they were.
        others = [other for other in FLAGS if other != DELETED or flag == DELETED]
        self.truth.change_begins(uids, others, None)

        def completed(tagged: Response) -> None:
            self.truth.change_ends(uids, others, None, sure=False)

        operation = self.chance.choice((b"+FLAGS", b"-FLAGS", b"+FLAGS.SILENT"))
        command = b"UID STORE %s %s (%s)" % (joined(uids), operation, flag)
        self.send(command, what="peer's store", completed=completed)

    def expunge(self) -> None:
        self.send(b"EXPUNGE", what="peer's expunge")

    def copy(self) -> None:
        uids = self.some_uids()

        def completed(tagged: Response) -> None:
            if tagged.code.startswith(b"COPYUID"):
                _, _, source, target = tagged.code.split()
                for uid, copy in zip(numbers_of(source), numbers_of(target), strict=True):
                    self.truth.stored(copy, self.truth.tokens[uid], self.sent_at, {})

        self.send(b"UID COPY %s INBOX" % joined(uids), what="peer's copy", completed=completed)

    def everything(self) -> dict[int, frozenset[bytes]]:
        self.view = ClientView()
        return super().everything()
