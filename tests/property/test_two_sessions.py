"""Two imapds take turns on one mailbox with others; every answer is what a model of the mailbox says it must be."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from maildir import names
from maildir.folder import Folder
from maildir.keywords import Keywords
from tests.answers import Response
from tests.clientview import ClientView, Known
from tests.faults.letters import FLAGS, SEARCHED, WORDS, joined, message_of, numbers_of, token_on_disk
from tests.forked import Forked, check_log

SETTINGS = {"IMAP_KEYWORDS": "1"}
DELETED, SEEN = b"\\Deleted", b"\\Seen"
KEYWORDS = frozenset(flag for flag in FLAGS if not flag.startswith(b"\\"))
BITS = {word: bit for bit, word in WORDS.items() if isinstance(bit, int)}

SESSION = st.integers(0, 1)
# Few of each, so that the sessions meet.
SOME_FLAGS = st.sets(st.sampled_from((DELETED, SEEN, b"k1", b"k2")), max_size=2)
PLACES = st.sets(st.integers(0, 2), min_size=1, max_size=2)
READ_ONLY = st.sampled_from((False, False, False, False, True))
BY_UID = st.booleans()
FIRST_SECOND = 1_700_000_000
OPERATIONS = st.sampled_from((b"+FLAGS", b"-FLAGS", b"FLAGS"))


@pytest.fixture(autouse=True)
def _no_index_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's locks do not survive a fork: no index is open in this process when one begins."""
    monkeypatch.setenv("IMAP_INDEX", "off")


class Message:
    """What the model knows of one message."""

    def __init__(self, token: bytes, flags: set[bytes]) -> None:
        self.token = token
        self.flags = flags


class Client:
    """One session and what its client knows; view is None while nothing is selected."""

    def __init__(self, imapd: Forked) -> None:
        self.imapd = imapd
        self.view: ClientView | None = None
        self.read_only = False

    def ask(self, *command: bytes) -> list[Response]:
        """A command and its answer; the view has heard it."""
        answer = self.imapd.client.command(*command)
        if self.view is not None:
            for response in answer[:-1]:
                self.view.hear(response, command[0])
        return answer


class TwoSessions(RuleBasedStateMachine):
    """The model: messages by uid, and tokens of delivered ones that nobody has looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.maildir = self.root / "Maildir"
        for part in ("cur", "new", "tmp"):
            (self.maildir / part).mkdir(parents=True)
        self.messages: dict[int, Message] = {}
        self.delivered: list[bytes] = []
        self.uidnext = 1
        self.count = 0
        self.clients = [self.connected(), self.connected()]

    def connected(self) -> Client:
        return Client(Forked(self.maildir, self.root / "log", SETTINGS))

    def teardown(self) -> None:
        try:
            for client in self.clients:
                assert client.imapd.end() == 0
            check_log(self.root / "log")
            self.number_delivered()
            self.check_disk()
        finally:
            for client in self.clients:
                if client.imapd.pid:
                    client.imapd.kill()
                    client.imapd.end()
            shutil.rmtree(self.root)

    def check_disk(self) -> None:
        folder = Folder(os.fsencode(self.maildir))
        snapshot = folder.scan()
        keywords = Keywords(folder.path).read({names.base(name) for name in snapshot.names})
        assert list(snapshot.uids) == sorted(self.messages)
        assert snapshot.uidnext == self.uidnext
        for uid, name in zip(snapshot.uids, snapshot.names, strict=True):
            words = {word for word, bit in BITS.items() if names.flags_of(name) & bit}
            assert words | keywords.get(names.base(name), frozenset()) == self.messages[uid].flags

    # -- the model

    def new_token(self) -> bytes:
        self.count += 1
        return b"x%dx" % self.count

    def put(self, token: bytes, flags: set[bytes]) -> int:
        uid = self.uidnext
        self.messages[uid] = Message(token, flags)
        self.uidnext += 1
        return uid

    def number_delivered(self) -> None:
        for token in self.delivered:
            self.put(token, set())
        self.delivered.clear()

    def looked(self, client: Client) -> None:
        """The client has been told all: what it knows, unasked, is the model."""
        self.number_delivered()
        view = client.view
        if view is None:
            return
        assert len(view.messages) == len(self.messages)
        unknown = [number for number, uid in enumerate(view.uids, 1) if uid is None]
        if unknown:
            assert client.ask(b"FETCH %d:* (UID FLAGS)" % unknown[0])[-1].kind == b"OK"
        assert view.uids == sorted(self.messages)
        for known in view.messages:
            if known.flags is not None:
                assert known.flags == self.messages[self.uid(known)].flags, known.uid

    @staticmethod
    def uid(known: Known) -> int:
        assert known.uid is not None
        return known.uid

    def chosen(self, session: int, places: set[int]) -> tuple[Client, list[Known]]:
        """Messages as the client sees them; none while it has none."""
        client = self.clients[session]
        messages = client.view.messages if client.view else []
        return client, [messages[place] for place in sorted({place % len(messages) for place in places if messages})]

    def addressed(self, client: Client, messages: list[Known], command: bytes, by_uid: bool) -> bytes:
        if by_uid:
            return b"UID %s %s" % (command, joined(known.uid for known in messages))
        assert client.view is not None
        return b"%s %s" % (command, joined(client.view.messages.index(known) + 1 for known in messages))

    def answered(self, answer: list[Response], messages: list[Known]) -> set[int]:
        """The uids of those that are there; the answer is NO when one is not."""
        there = {self.uid(known) for known in messages} & self.messages.keys()
        complete = len(there) == len(messages)
        assert answer[-1].kind == (b"OK" if complete else b"NO"), answer
        assert complete or answer[-1].code == b"EXPUNGEISSUED"
        return there

    # -- the clients

    @initialize()
    def begin(self) -> None:
        for flags in (set(), {DELETED}, {b"k1"}, {DELETED, b"k2"}):
            self.append(0, flags)
        for session in (0, 1):
            self.select(session, read_only=False)

    @rule(session=SESSION, read_only=READ_ONLY)
    def select(self, session: int, read_only: bool) -> None:
        client = self.clients[session]
        client.view, client.read_only = ClientView(), read_only
        answer = client.ask(b"EXAMINE INBOX" if read_only else b"SELECT INBOX")
        assert answer[-1].code == (b"READ-ONLY" if read_only else b"READ-WRITE")
        self.looked(client)
        assert b"UIDNEXT %d" % self.uidnext in [response.code for response in answer]

    @rule(session=SESSION, command=st.sampled_from((b"CLOSE", b"UNSELECT")), again=st.integers(0, 3))
    def close(self, session: int, command: bytes, again: int) -> None:
        client = self.clients[session]
        if client.view is None:
            return
        if command == b"CLOSE" and not client.read_only:
            self.remove_deleted(client.view.messages)
        assert [response.kind for response in client.ask(command)] == [b"OK"]
        client.view = None
        if again:
            self.select(session, read_only=False)

    def remove_deleted(self, messages: list[Known]) -> None:
        r"""What a client believes to be \Deleted, and is."""
        for known in messages:
            uid = self.uid(known)
            if DELETED in (known.flags or ()) and uid in self.messages and DELETED in self.messages[uid].flags:
                del self.messages[uid]

    @rule(session=SESSION, flags=SOME_FLAGS)
    def append(self, session: int, flags: set[bytes]) -> None:
        client, token = self.clients[session], self.new_token()
        answer = client.ask(b"APPEND INBOX (%s) " % b" ".join(sorted(flags)), message_of(token, 20))
        if client.view is not None and client.read_only:
            assert answer[-1].kind == b"NO"
            return
        uid = self.put(token, set(flags))
        assert answer[-1].code.endswith(b" %d" % uid), answer
        if client.view is not None:
            self.looked(client)

    @rule(session=SESSION, places=PLACES, by_uid=BY_UID)
    def copy(self, session: int, places: set[int], by_uid: bool) -> None:
        client, messages = self.chosen(session, places)
        if not messages:
            return
        answer = client.ask(self.addressed(client, messages, b"COPY", by_uid) + b" INBOX")
        self.answered(answer, messages)
        if answer[-1].kind == b"NO":
            return
        originals = [self.messages[self.uid(known)] for known in messages]
        copies = [self.put(one.token, set(one.flags)) for one in originals]
        _, _, source, target = answer[-1].code.split()
        assert numbers_of(source) == [self.uid(known) for known in messages]
        assert numbers_of(target) == copies
        self.looked(client)

    @rule(
        session=SESSION,
        places=PLACES,
        by_uid=BY_UID,
        operation=OPERATIONS,
        silent=st.booleans(),
        flags=SOME_FLAGS,
    )
    def store(
        self, session: int, places: set[int], by_uid: bool, operation: bytes, silent: bool, flags: set[bytes]
    ) -> None:
        client, messages = self.chosen(session, places)
        if not messages:
            return
        before = {known: known.flags or frozenset() for known in messages}
        command = self.addressed(client, messages, b"STORE", by_uid)
        command += b" %s%s (%s)" % (operation, b".SILENT" if silent else b"", b" ".join(sorted(flags)))
        answer = client.ask(command)
        if client.read_only:
            assert [response.kind for response in answer] == [b"NO"]
            return
        there = self.answered(answer, messages)
        told = {response.number for response in answer if response.kind == b"FETCH"}
        for known in messages:
            uid = self.uid(known)
            if uid not in there:
                continue
            now = self.messages[uid].flags
            now = {b"+FLAGS": now | flags, b"-FLAGS": now - flags, b"FLAGS": set(flags)}[operation]
            self.messages[uid].flags = now
            if client.view and client.view.messages.index(known) + 1 not in told:
                assert silent
                wanted = {b"+FLAGS": before[known] | flags, b"-FLAGS": before[known] - flags, b"FLAGS": flags}
                known.flags = frozenset(wanted[operation])
            # What others did to the keywords need only be told at the next look, if they were not asked about.
            assert (known.flags or frozenset()) - KEYWORDS == now - KEYWORDS
            assert (known.flags or frozenset()) & flags == now & flags

    @rule(
        session=SESSION,
        places=PLACES,
        others=OPERATIONS,
        their_flags=SOME_FLAGS,
        reads=st.booleans(),
        flags=st.none() | SOME_FLAGS,
        expunges=st.booleans(),
    )
    def meet(
        self,
        session: int,
        places: set[int],
        others: bytes,
        their_flags: set[bytes],
        reads: bool,
        flags: set[bytes] | None,
        expunges: bool,
    ) -> None:
        """One changes what the other has not looked at again when it goes on."""
        for each in (0, 1):
            if self.clients[each].view is None or self.clients[each].read_only:
                self.select(each, read_only=False)
        while len(self.messages) < 3:
            self.append(0, set())
        self.noop(1, b"NOOP")
        self.store(1 - session, places, False, others, False, their_flags)
        if reads:
            self.fetch_text(session, places, False, True)
        if flags is not None:
            self.store(session, places, False, b"+FLAGS", True, flags)
        if expunges:
            self.expunge(session, None)
        self.noop(session, b"NOOP")

    @rule(session=SESSION, places=PLACES, by_uid=BY_UID, peek=st.booleans())
    def fetch_text(self, session: int, places: set[int], by_uid: bool, peek: bool) -> None:
        client, messages = self.chosen(session, places)
        if not messages:
            return
        unseen = {self.uid(known) for known in messages if SEEN not in (known.flags or ())}
        item = b"BODY.PEEK[]" if peek else b"BODY[]"
        answer = client.ask(self.addressed(client, messages, b"FETCH", by_uid) + b" (UID %s)" % item)
        there = self.answered(answer, messages)
        texts = {response.uid: response.octets(b"BODY[]") for response in answer if b"BODY[]" in response.items}
        tokens = {uid: token_on_disk(text) for uid, text in texts.items()}
        assert tokens == {uid: self.messages[uid].token for uid in there}
        for uid in there & unseen:
            if not peek and not client.read_only:
                self.messages[uid].flags.add(SEEN)

    @rule(session=SESSION)
    def fetch_flags(self, session: int) -> None:
        client = self.clients[session]
        if client.view is None or not client.view.messages:
            return
        before = [known.flags for known in client.view.messages]
        answer = client.ask(b"FETCH 1:* (UID FLAGS)")
        assert answer[-1].kind == b"OK"
        assert len(answer) == len(before) + 1
        for known, flags in zip(client.view.messages, before, strict=True):
            assert flags in (None, known.flags)

    @rule(session=SESSION, key=st.sampled_from((b"ALL", *SEARCHED)), by_uid=BY_UID)
    def search(self, session: int, key: bytes, by_uid: bool) -> None:
        client = self.clients[session]
        if client.view is None:
            return
        line, tagged = client.ask((b"UID SEARCH " if by_uid else b"SEARCH ") + key)
        assert tagged.kind == b"OK"
        flag = SEARCHED.get(key)
        found = [
            self.uid(known) if by_uid else number
            for number, known in enumerate(client.view.messages, 1)
            if flag is None or flag in (known.flags or ())
        ]
        assert [int(bytes(value)) for value in line.values] == found  # type: ignore[arg-type]

    @rule(session=SESSION, places=st.none() | PLACES)
    def expunge(self, session: int, places: set[int] | None) -> None:
        client, messages = self.chosen(session, places or set())
        if client.view is None or (places and not messages):
            return
        doomed = messages if places else list(client.view.messages)
        command = b"UID EXPUNGE " + joined(known.uid for known in messages) if places else b"EXPUNGE"
        if not client.read_only:
            self.remove_deleted(doomed)
        answer = client.ask(command)
        assert answer[-1].kind == (b"NO" if client.read_only else b"OK")
        if not client.read_only:
            self.looked(client)

    @rule(session=SESSION, command=st.sampled_from((b"NOOP", b"CHECK")))
    def noop(self, session: int, command: bytes) -> None:
        client = self.clients[session]
        if client.view is not None:
            assert client.ask(command)[-1].kind == b"OK"
            self.looked(client)

    @rule(session=SESSION)
    def status(self, session: int) -> None:
        answer = self.clients[session].ask(b"STATUS INBOX (MESSAGES UIDNEXT UNSEEN)")
        unseen = sum(1 for message in self.messages.values() if SEEN not in message.flags)
        new = len(self.delivered)
        counts = [b"%d" % count for count in (len(self.messages) + new, self.uidnext + new, unseen + new)]
        told = answer[0].values[1]
        assert isinstance(told, list)
        assert dict(zip(told[::2], told[1::2], strict=True)) == dict(
            zip((b"MESSAGES", b"UIDNEXT", b"UNSEEN"), counts, strict=True)
        )

    @rule(session=SESSION)
    def start_anew(self, session: int) -> None:
        self.clients[session].imapd.kill()
        self.clients[session].imapd.end()
        self.clients[session] = self.connected()
        self.select(session, read_only=False)

    # -- others

    @rule()
    def deliver(self) -> None:
        token = self.new_token()
        # Uids are given by the second of arrival: this comes after all that came before.
        name = b"%d.M1P1.host" % (FIRST_SECOND + self.count)
        (self.maildir / "new" / os.fsdecode(name)).write_bytes(message_of(token, 20).replace(b"\r\n", b"\n"))
        self.delivered.append(token)

    @rule(place=st.integers(0, 2), flags=st.none() | SOME_FLAGS)
    def change_from_outside(self, place: int, flags: set[bytes] | None) -> None:
        """Another program sets all flags of a message, or (None) removes it."""
        uids = sorted(self.messages)
        if place >= len(uids):
            return
        message = self.messages[uids[place]]
        for name in os.listdir(os.fsencode(self.maildir / "cur")):
            path = os.path.join(os.fsencode(self.maildir / "cur"), name)
            with open(path, "rb") as file:
                if token_on_disk(file.read()) != message.token:
                    continue
            if self.uid_of(name) != uids[place]:
                continue  # a copy
            if flags is None:
                os.unlink(path)
                del self.messages[uids[place]]
            else:
                system = flags - KEYWORDS
                os.rename(path, names.with_flags(path, sum(BITS[flag] for flag in system)))
                message.flags = set(system | (message.flags & KEYWORDS))
            return
        raise AssertionError(f"uid {uids[place]} is not in cur")

    def uid_of(self, name: bytes) -> int:
        for line in (self.maildir / "courierimapuiddb").read_bytes().splitlines()[1:]:
            uid, _, base = line.partition(b" ")
            if base == names.base(name):
                return int(uid)
        return 0


TestTwoSessions = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")(TwoSessions.TestCase)
TestTwoSessions.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
