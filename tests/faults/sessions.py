"""One client among many: what it does at random, and what it may be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tests.answers import Response
from tests.clientview import RECENT, ClientView, Known, Violation
from tests.faults.letters import (
    CHANGING,
    CROWDED,
    FLAGS,
    FROM_VIEW,
    ITEMS,
    SEARCHED,
    SETTING_SEEN,
    joined,
    message_of,
    numbers_of,
    token_on_disk,
)
from tests.faults.truth import DELETED
from tests.forked import Client, Ended, Forked

if TYPE_CHECKING:
    from tests.faults.concurrent import Bazaar


class Session:
    """A client with a mailbox selected, or on the way there."""

    def __init__(self, bazaar: Bazaar, name: str, client: Client, imapd: Forked | None = None) -> None:
        self.bazaar = bazaar
        self.truth = bazaar.truth
        self.chance = bazaar.chance
        self.name = name
        self.client = client
        self.imapd = imapd
        self.view = ClientView()
        self.busy = False
        self.sent = b""
        self.sent_at = 0
        self.idle_until = 0
        self.looked = 0  # the view shows at least what was so then
        self.looked_unchecked = False
        self.read_only = False
        self._answer: list[Response] = []
        self._told: dict[Known, list[Response]] = {}  # what FETCH responses told of each message
        self._refreshes = False
        self._completed: Callable[[Response], None] = self._nothing

    # -- the conversation

    def begin(self) -> None:
        """Select the mailbox."""
        self.read_only = self.chance.random() < 0.1
        command = b"EXAMINE INBOX" if self.read_only else b"SELECT INBOX"
        self.view = ClientView()
        self.send(command, what="select", completed=self._selected, refreshes=True)

    def send(
        self, *parts: bytes, what: str, completed: Callable[[Response], None] | None = None, refreshes: bool = False
    ) -> None:
        """Send a command; completed gets the tagged line; refreshes: the answer shows the mailbox as it is now."""
        self.sent = parts[0]
        self.bazaar.note(self.name, b"> " + parts[0])
        self.sent_at = self.truth.clock
        self._answer.clear()
        self._told.clear()
        self._completed = completed or self._nothing
        self._refreshes = refreshes
        self.busy = True
        self.bazaar.done[what] += 1
        self.client.send(*parts)

    def receive(self) -> None:
        """Take what has come."""
        try:
            responses = self.client.receive()
        except Ended:
            raise Violation(f"{self.name} was left by its server after {self.sent!r}") from None
        for response in responses:
            self.bazaar.note(self.name, b"< " + response.raw)
            try:
                self._take(response)
            except Violation as violation:
                raise Violation(f"{self.name}, {self.sent!r}: {violation}") from None

    def _take(self, response: Response) -> None:
        if response.tag == b"+":
            self.idle_until = self.truth.clock + self.chance.randrange(1, 400)
        elif response.is_tagged:
            self._tagged(response)
        else:
            self._answer.append(response)
            known = self.view.hear(response, self.sent)
            if known is not None:
                self._fetched(known, response)
            for gone in self.view.gone:
                if gone.uid is not None:
                    self.truth.went(gone.uid)
            self.view.gone.clear()

    def _tagged(self, tagged: Response) -> None:
        if tagged.kind != b"OK" and tagged.code != b"EXPUNGEISSUED":
            raise Violation(f"answered {tagged}")
        if self._refreshes and tagged.kind == b"OK":
            self.looked, self.looked_unchecked = self.sent_at, True
        self._completed(tagged)
        self.busy = False
        unknown = [number for number, uid in enumerate(self.view.uids, 1) if uid is None]
        if unknown:
            self.fetch(self.view.messages[unknown[0] - 1 :], FROM_VIEW)
            return
        if self.looked_unchecked:
            self.looked_unchecked = False
            self.truth.check_view({uid for uid in self.view.uids if uid is not None}, self.looked)
            for known in self.view.messages:  # also those of which nothing was said just now
                if known.uid is not None and known.flags is not None:
                    self._check_flags(known.uid, known.flags)
        if not self.bazaar.over:
            self.next_command()

    def _nothing(self, tagged: Response) -> None:
        if tagged.kind != b"OK":
            raise Violation(f"answered {tagged}")

    # -- what is told of messages

    def _fetched(self, known: Known, response: Response) -> None:
        self._told.setdefault(known, []).append(response)
        uid = known.uid
        if uid is None:
            return
        self.truth.told.add(uid)
        if response.flags is not None:
            self._check_flags(uid, response.flags)
        for name, value in response.items.items():
            if name not in CHANGING:
                self.truth.fact(uid, name, value)
        token = self._token_in(response)
        if token:
            self.truth.is_message(uid, token)

    def _token_in(self, response: Response) -> bytes:
        for name, value in response.items.items():
            if name == b"BODY[]":
                return token_on_disk(response.octets(name))
            if name == b"ENVELOPE":
                assert isinstance(value, list)
                return value[1] if isinstance(value[1], bytes) else b"no subject"
            if name.startswith(b"BODY[HEADER"):
                return response.octets(name).removeprefix(b"Subject: ").strip()
        return b""

    def _check_flags(self, uid: int, told: frozenset[bytes]) -> None:
        for flag in FLAGS:
            settled = self.truth.settled(uid, flag, self.looked)
            if settled is not None and (flag in told) != settled:
                raise Violation(f"uid {uid} was told with {sorted(told)}, and {flag!r} is {settled} since long")
        if RECENT in told and not self.read_only:
            self.truth.is_recent(uid, self.view)

    def _check_missing(self, missing: Iterable[Known], tagged: Response) -> None:
        """Messages that were not answered for: then the answer is NO, and they may really be gone."""
        missing = list(missing)
        if bool(missing) != (tagged.kind == b"NO"):
            raise Violation(f"no answer for uids {[known.uid for known in missing]}, and {tagged}")
        for known in missing:
            if known.uid is not None and not self.truth.removable(known.uid):
                raise Violation(f"uid {known.uid} is there, and was not answered for: {tagged}")

    # -- what is done

    def next_command(self) -> None:
        """Something by chance."""
        if not self.view.uidvalidity:
            self.begin()
            return
        actions: list[tuple[int, Callable[[], None]]] = [(4, self.noop), (1, self.idle), (1, self.close)]
        if not self.read_only:
            actions += [(6 if len(self.view.messages) < CROWDED else 1, self.append), (4, self.expunge)]
        if self.view.messages:
            actions += [(8, self.fetch), (4, self.search)]
        if self.view.messages and not self.read_only:
            actions += [(10, self.store), (1 if len(self.view.messages) < CROWDED else 0, self.copy)]
        weights, choices = zip(*actions, strict=True)
        self.chance.choices(choices, weights)[0]()

    def chosen(self) -> list[Known]:
        """Some messages: one, a few, many."""
        messages = self.view.messages
        count = min(self.chance.choice((1, 1, 2, 4, 8, len(messages))), len(messages))
        places = sorted(self.chance.sample(range(len(messages)), count))
        return [messages[place] for place in places]

    def addressed(self, messages: list[Known], command: bytes) -> bytes:
        """The command on these messages, by sequence number or by uid."""
        if all(known.uid is not None for known in messages) and self.chance.random() < 0.5:
            return b"UID %s %s" % (command, joined(known.uid for known in messages))
        place = {known: number for number, known in enumerate(self.view.messages, 1)}
        return b"%s %s" % (command, joined(place[known] for known in messages))

    def noop(self) -> None:
        self.send(self.chance.choice((b"NOOP", b"NOOP", b"CHECK")), what="noop", refreshes=True)

    def idle(self) -> None:
        self.send(b"IDLE", what="idle", refreshes=True)

    def end_idle(self) -> None:
        """Say DONE; the answer shows what is so from now on."""
        self.idle_until = 0
        self.bazaar.note(self.name, b"> DONE")
        self.sent_at = self.truth.clock
        self.client.connection.sendall(b"DONE\r\n")

    def close(self) -> None:
        self.send(self.chance.choice((b"CLOSE", b"UNSELECT")), what="close", completed=self._closed)

    def _closed(self, tagged: Response) -> None:
        self._nothing(tagged)
        self.view = ClientView()

    def _selected(self, tagged: Response) -> None:
        self._nothing(tagged)
        for response in self._answer:
            if response.code.startswith(b"UIDNEXT "):
                self._check_uidnext(int(response.code.split()[1]))

    def _check_uidnext(self, uidnext: int) -> None:
        highest = max((uid for uid, when in self.truth.acknowledged.items() if when <= self.sent_at), default=0)
        if uidnext <= highest:
            raise Violation(f"UIDNEXT {uidnext}, and there is {highest}")

    def append(self) -> None:
        token = self.bazaar.new_token()
        flags = self.chance.sample(FLAGS, self.chance.choice((0, 0, 1, 2)))
        sent_at = self.truth.clock + 1

        def completed(tagged: Response) -> None:
            self._nothing(tagged)
            uid = int(tagged.code.split()[2])
            self.truth.stored(uid, token, sent_at, {flag: flag in flags for flag in FLAGS})

        text = b"APPEND INBOX (%s) " % b" ".join(flags)
        message = message_of(token, self.chance.randrange(3000))
        self.send(text, message, what="append", completed=completed, refreshes=True)

    def copy(self) -> None:
        messages = [known for known in self.chosen()[:5] if known.uid is not None]
        if not messages:
            self.noop()
            return

        def completed(tagged: Response) -> None:
            if tagged.kind == b"NO":
                if not any(self.truth.removable(known.uid or 0) for known in messages):
                    raise Violation(f"all are there, and {tagged}")
                return
            _, _, source, target = tagged.code.split()
            if numbers_of(source) != [known.uid for known in messages]:
                raise Violation(f"answered {tagged}")
            for uid, copy in zip(numbers_of(source), numbers_of(target), strict=True):
                if uid in self.truth.tokens:
                    self.truth.stored(copy, self.truth.tokens[uid], self.sent_at, {})

        command = self.addressed(messages, b"COPY") + b" INBOX"
        self.send(command, what="copy", completed=completed, refreshes=True)

    def fetch(self, messages: list[Known] | None = None, items: bytes = b"") -> None:
        messages = messages or self.chosen()
        items = items or self.chance.choice(ITEMS)
        uids = [known.uid for known in messages if known.uid is not None]
        if items == SETTING_SEEN and not self.read_only:
            self.truth.change_begins(uids, [b"\\Seen"], None)

        def completed(tagged: Response) -> None:
            if items == SETTING_SEEN and uids and not read_only:
                self.truth.change_ends(uids, [b"\\Seen"], None, sure=False)
            if items == FROM_VIEW and tagged.kind == b"NO":
                raise Violation(f"answered {tagged}")
            self._check_missing((known for known in messages if not self._has_told(known, items)), tagged)

        read_only = self.read_only
        self.send(self.addressed(messages, b"FETCH") + b" " + items, what="fetch", completed=completed)

    def _has_told(self, known: Known, items: bytes) -> bool:
        """Whether all items were told of the message, in one response."""
        wanted = len(items.replace(b" (SUBJECT)", b"").strip(b"()").split()) if items != b"FULL" else 5
        return any(len(response.items.keys() - {b"UID"} | ({b"UID"} if b"UID" in items else set())) >= wanted
                   for response in self._told.get(known, ()))  # fmt: skip

    def store(self) -> None:
        messages = self.chosen()
        uids = [known.uid for known in messages if known.uid is not None]
        flags = self.chance.sample(FLAGS, self.chance.choice((1, 1, 2)))
        if len(messages) > 8 and DELETED in flags:
            flags = [b"\\Flagged"]
        operation = self.chance.choice((b"+FLAGS", b"+FLAGS", b"-FLAGS", b"FLAGS"))
        silent = self.chance.random() < 0.3
        wanted = dict.fromkeys(flags, operation != b"-FLAGS")
        if operation == b"FLAGS":
            wanted = {flag: flag in flags for flag in FLAGS}
        for flag, value in wanted.items():
            self.truth.change_begins(uids, [flag], value)

        def completed(tagged: Response) -> None:
            for flag, value in wanted.items():
                self.truth.change_ends(uids, [flag], value, sure=tagged.kind == b"OK")
            if not silent:
                self._check_missing((known for known in messages if known not in self._told), tagged)
            if silent and tagged.kind == b"OK":
                for known in messages:
                    if known.flags is not None and known not in self._told:
                        known.flags = known.flags - wanted.keys() | {flag for flag, value in wanted.items() if value}
            for known, responses in self._told.items():
                for flag, value in wanted.items():
                    if known in messages and (flag in (responses[-1].flags or ())) != value:
                        raise Violation(f"after {flag!r} became {value} uid {known.uid} has {responses[-1]}")

        command = self.addressed(messages, b"STORE")
        command += b" %s%s (%s)" % (operation, b".SILENT" if silent else b"", b" ".join(flags))
        self.send(command, what="store", completed=completed)

    def expunge(self) -> None:
        doomed = [known for known in self.view.messages if DELETED in (known.flags or ())]
        command = b"EXPUNGE"
        if doomed and self.chance.random() < 0.5 and all(known.uid is not None for known in doomed):
            doomed = doomed[: self.chance.randrange(1, len(doomed) + 1)]
            command = b"UID EXPUNGE " + joined(known.uid for known in doomed)
        since = self.truth.clock

        def completed(tagged: Response) -> None:
            self._nothing(tagged)
            for known in doomed:
                left = known in self.view.messages and known.uid is not None
                if left and self.truth.settled(known.uid or 0, DELETED, since):
                    raise Violation(f"uid {known.uid} was not expunged")

        self.send(command, what="expunge", completed=completed, refreshes=True)

    def search(self) -> None:
        by_uid = self.chance.random() < 0.5 and None not in self.view.uids
        target = self.chance.choice(self.view.messages)
        token = self.truth.tokens.get(target.uid or 0)
        keys = [b"ALL", *SEARCHED]
        if token:
            keys += [b"SUBJECT " + token, b"BODY " + token, b"TEXT " + token]
        key = self.chance.choice(keys)

        def completed(tagged: Response) -> None:
            (line,) = [response for response in self._answer if response.kind == b"SEARCH"]
            if by_uid:
                uids = {known.uid: known for known in self.view.messages}
                found = [uids[int(bytes(value))] for value in line.values]  # type: ignore[arg-type]
            else:
                found = [self.view.messages[int(bytes(value)) - 1] for value in line.values]  # type: ignore[arg-type]
            self._check_found(key, found, target, tagged)

        self.send((b"UID SEARCH " if by_uid else b"SEARCH ") + key, what="search", completed=completed)

    def _check_found(self, key: bytes, found: list[Known], target: Known, tagged: Response) -> None:
        if key == b"ALL" or key in SEARCHED:
            self._nothing(tagged)
            flag = SEARCHED.get(key)
            for known in self.view.messages:
                if flag is None or known.flags is not None:
                    wanted = flag is None or flag in (known.flags or ())
                    if (known in found) != wanted:
                        raise Violation(f"uid {known.uid} is {'' if wanted else 'not '}to be found")
            return
        token = key.split()[1]
        for known in found:
            if known.uid is not None and self.truth.tokens.get(known.uid, token) != token:
                raise Violation(f"uid {known.uid} was found, and is another message")
        if target not in found and target.uid is not None and not self.truth.removable(target.uid):
            raise Violation(f"uid {target.uid} was not found")

    # -- the end

    def at_rest(self, command: bytes) -> list[Response]:
        """A command and its whole answer, with nobody else at work."""
        if not self.view.messages and not self.view.uidvalidity:
            self.sent, command = b"SELECT INBOX", b"SELECT INBOX"
        self.bazaar.note(self.name, b"> " + command)
        answer = self.client.command(command)
        for response in answer:
            self.bazaar.note(self.name, b"< " + response.raw)
            if not response.is_tagged:
                self.view.hear(response, command)
        if answer[-1].kind != b"OK":
            raise Violation(f"{self.name}, {command!r}: {answer[-1]}")
        return answer

    def everything(self) -> dict[int, frozenset[bytes]]:
        """Flags by uid, as this session tells them."""
        self.at_rest(b"NOOP")
        before = [(known, known.flags) for known in self.view.messages if known.flags is not None]
        if self.view.messages:
            self.at_rest(b"FETCH 1:* (UID FLAGS)")
        for known, flags in before:
            if flags != known.flags:
                raise Violation(f"{self.name} was not told that uid {known.uid} has {known.flags}, after {flags}")
        return {known.uid: known.flags or frozenset() for known in self.view.messages if known.uid is not None}

    def end(self) -> None:
        """Close the connection; imapd must end well."""
        if self.imapd is not None and self.imapd.end() != 0:
            raise Violation(f"the imapd of {self.name} ended badly")

    def kill(self) -> None:
        """End whatever is left."""
        if self.imapd is not None and self.imapd.pid:
            self.imapd.kill()
            self.imapd.end()
        self.client.connection.close()
