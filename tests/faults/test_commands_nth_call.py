"""Each IMAP command, through a whole imapd, with its N-th file-system call failing or being its last, for every N.

The client gets a clean OK or NO and can go on; what was said is so on the disk, and what was not touched is as before.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.test_maildir_nth_call import content, plant

from imapd import registry
from maildir import keywordlist, names
from maildir.account import Account
from maildir.folder import Folder
from maildir.keywords import Keywords
from tests.answers import Response
from tests.clientview import ClientView
from tests.faults.trap import AFTER, BEFORE, TEAR, Trap
from tests.forked import Client, Ended, Forked, check_log

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

Fault = tuple[int, int]  # what happens, and the errno

# What each call can fail with; the first goes first, and tells which call it is.  What sync and close do nobody sees
# who looks at the files: that they fail before or after it is the same, and so is a death there and at the next call.
FIRST: Fault = (BEFORE, errno.EIO)
BY_NAME = [(BEFORE, errno.ENOENT)]
FULL = [(BEFORE, errno.ENOSPC)]
DEATH = [(TEAR, 0)]
WRITING = [*FULL, (AFTER, errno.EIO), *DEATH]
FAULTS: dict[str, list[Fault]] = {
    "listdir": BY_NAME,
    "open_message": BY_NAME,
    "read": [],
    "create": BY_NAME + WRITING,
    "write": WRITING,
    "sync": FULL,
    "sync_octets": FULL,
    "sync_directory": BY_NAME + FULL + DEATH,
    "close": [],
    "fstat": [],
    "stat": BY_NAME,
    "lstat": BY_NAME,
    "link": BY_NAME + WRITING + [(BEFORE, errno.EXDEV)],
    "rename": BY_NAME + WRITING + [(BEFORE, errno.EXDEV)],
    "unlink": BY_NAME + WRITING,
    "mkdir": BY_NAME + WRITING,
    "rmdir": BY_NAME + WRITING,
    "chmod": BY_NAME + WRITING,
    "utime": BY_NAME + WRITING,
}
MESSAGE = b"Subject: appended\r\n\r\nyes\r\n"
ON_DISK = MESSAGE.replace(b"\r\n", b"\n")

Check = Callable[["State", bool | None], None]


class State:
    """What is on the disk after a command: texts, flags and keywords by uid, of the INBOX and of the folder .a."""

    def __init__(self, path: bytes, answer: list[Response]) -> None:
        self.answer = answer
        self.folders = sorted(Account(path).folders())
        self.subscriptions = Account(path).subscriptions()
        self.uidvalidity, self.uidnext, self.inbox = content(path)
        self.a = content(path + b"/.a")[2] if b".a" in self.folders else {}
        snapshot = Folder(path).scan()
        self.flags = dict(zip(snapshot.uids, snapshot.flags, strict=True))
        bases = {names.base(name): uid for name, uid in zip(snapshot.names, snapshot.uids, strict=True)}
        self.keywords = {bases[base]: words for base, words in Keywords(path).read(bases.keys()).items()}
        self.trash = content(path + b"/.Trash")[2] if b".Trash" in self.folders else {}

    def told(self, code: bytes) -> list[list[int]]:
        """The uid sets of an APPENDUID or COPYUID in the tagged answer."""
        word, *sets = self.answer[-1].code.split()
        assert word == code
        return [_numbers(uids) for uids in sets[1:]]


def _numbers(uids: bytes) -> list[int]:
    ranges = [part.partition(b":") for part in uids.split(b",")]
    return [uid for low, _, high in ranges for uid in range(int(low), int(high or low) + 1)]


class Case:
    """A command: what comes before it, what is checked after it, what may become of the messages 4 and 5 of INBOX.

    check gets True after an OK, False after a NO, None after a death.
    """

    def __init__(
        self,
        *command: bytes,
        before: tuple[bytes, ...] = (),
        check: Check = lambda state, done: None,
        between: Callable[[bytes], None] = lambda path: None,
        expunges: bool = False,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.command = command
        self.before = before
        self.check = check
        self.between = between
        self.expunges = expunges
        self.settings = settings or {}


SELECT = b"SELECT INBOX"
TOLD = b"FETCH 1:* (UID FLAGS)"
DELETED = b"STORE 2 +FLAGS (\\Deleted)"


def one_of(before: object, after: object, done: bool | None) -> tuple[object, ...]:
    """What may be found: after an OK the new, else both, as a NO says nothing of a command that can be halfway."""
    return (after,) if done else (before, after)


def appended(state: State, done: bool | None) -> None:
    found = [uid for uid, text in state.inbox.items() if text == ON_DISK]
    if done is not None:
        assert len(found) == done  # after a NO a client sends it again
    assert len(found) <= 1
    if done:
        assert state.told(b"APPENDUID") == [found]
        assert state.flags[found[0]] == names.SEEN


def appended_with_keyword(state: State, done: bool | None) -> None:
    appended(state, done)
    if done:
        assert state.keywords[state.told(b"APPENDUID")[0][0]] == {b"k3"}


def copied(folder: str) -> Check:
    def check(state: State, done: bool | None) -> None:
        there = {uid: text for uid, text in getattr(state, folder).items() if uid not in (4, 5) and text in TEXTS}
        if done:
            assert state.told(b"COPYUID") == [[4, 5], list(there)]
        if done is not None:
            assert list(there.values()) == (TEXTS if done else [])  # all or nothing

    return check


TEXTS = [b"1\n", b"2\n"]


def stored(flags: int) -> Check:
    def check(state: State, done: bool | None) -> None:
        for uid in (4, 5):
            assert state.flags[uid] in one_of(0, flags, done)

    return check


def stored_keyword(state: State, done: bool | None) -> None:
    assert state.keywords.get(4) in one_of({b"k1"}, {b"k1", b"k3"}, done)
    assert state.keywords.get(5) in one_of({b"k2"}, {b"k2", b"k3"}, done)


def replaced(state: State, done: bool | None) -> None:
    stored(names.SEEN)(state, done)
    assert state.keywords.get(4) in one_of({b"k1"}, None, done)


def expunged(state: State, done: bool | None) -> None:
    assert (5 in state.inbox) in one_of(True, False, done)


def trashed(state: State, done: bool | None) -> None:
    expunged(state, done)
    if 5 not in state.inbox and state.trash:  # no rename to the trash (EXDEV): removed, as the original does
        assert list(state.trash.values()) == [b"2\n"]


def folders(*after: bytes) -> Check:
    def check(state: State, done: bool | None) -> None:
        assert state.folders in one_of([b".", b".a", b".a.b"], [b".", *after], done)

    return check


def renamed(state: State, done: bool | None) -> None:
    found = [folder for folder in state.folders if folder != b"."]
    assert len(found) == 2
    if done is None:  # each folder is renamed on its own
        assert (b".a" in found) + (b".z" in found) == (b".a.b" in found) + (b".z.b" in found) == 1
    else:
        assert found in one_of([b".a", b".a.b"], [b".z", b".z.b"], done)


def subscribed(*after: bytes) -> Check:
    def check(state: State, done: bool | None) -> None:
        assert state.subscriptions in one_of([b"INBOX.a", b"INBOX.b"], list(after), done)

    return check


def deliver(path: bytes) -> None:
    with open(path + b"/new/10.new.h", "wb") as file:
        file.write(b"10\n")


def delivered(state: State, done: bool | None) -> None:
    assert list(state.inbox.values()).count(b"10\n") == 1


CASES = {
    "APPEND": Case(b"APPEND INBOX (\\Seen) ", MESSAGE, check=appended),
    "APPEND to the selected mailbox": Case(
        b"APPEND INBOX (\\Seen) ", MESSAGE, before=(SELECT, TOLD), between=deliver, check=appended
    ),
    "APPEND with a keyword": Case(b"APPEND INBOX (\\Seen k3) ", MESSAGE, check=appended_with_keyword),
    "COPY": Case(b"COPY 1:2 INBOX.a", before=(SELECT, TOLD), check=copied("a")),
    "COPY into the selected mailbox": Case(b"UID COPY 4,5 INBOX", before=(SELECT, TOLD), check=copied("inbox")),
    "STORE": Case(b"STORE 1:2 +FLAGS (\\Flagged)", before=(SELECT, TOLD), check=stored(names.FLAGGED)),
    "STORE of a keyword": Case(b"STORE 1:2 +FLAGS (k3)", before=(SELECT, TOLD), check=stored_keyword),
    "STORE of all flags": Case(b"UID STORE 4,5 FLAGS (\\Seen)", before=(SELECT, TOLD), check=replaced),
    "EXPUNGE": Case(b"EXPUNGE", before=(SELECT, TOLD, DELETED), between=deliver, check=expunged, expunges=True),
    "UID EXPUNGE": Case(b"UID EXPUNGE 4:9", before=(SELECT, TOLD, DELETED), check=expunged, expunges=True),
    "EXPUNGE into the trash": Case(
        b"EXPUNGE",
        before=(SELECT, TOLD, DELETED),
        check=trashed,
        expunges=True,
        settings={"IMAP_MOVE_EXPUNGE_TO_TRASH": "1", "IMAP_TRASHFOLDERNAME": "Trash"},
    ),
    "CLOSE": Case(b"CLOSE", before=(SELECT, TOLD, DELETED), check=expunged, expunges=True),
    "CREATE": Case(b"CREATE INBOX.c", check=folders(b".a", b".a.b", b".c")),
    "DELETE": Case(b"DELETE INBOX.a", check=folders(b".a.b")),
    "RENAME": Case(b"RENAME INBOX.a INBOX.z", check=renamed),
    "SUBSCRIBE": Case(b"SUBSCRIBE INBOX.c", check=subscribed(b"INBOX.a", b"INBOX.b", b"INBOX.c")),
    "UNSUBSCRIBE": Case(b"UNSUBSCRIBE INBOX.a", check=subscribed(b"INBOX.b")),
    "FETCH that sets \\Seen": Case(b"FETCH 1:2 BODY[]", before=(SELECT, TOLD), check=stored(names.SEEN)),
    "SELECT": Case(SELECT),
    "STATUS": Case(b"STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY)"),
    "NOOP": Case(b"NOOP", before=(SELECT, TOLD), between=deliver, check=delivered),
}
if b"RENAME" not in registry.COMMANDS:
    del CASES["RENAME"]


def ask(client: Client, view: ClientView, *command: bytes) -> list[Response]:
    """One command and its answer, which the view has heard."""
    answer = client.command(*command)
    for response in answer[:-1]:
        view.hear(response, command[0])
    return answer


def goes_on(client: Client, view: ClientView, selected: bool) -> None:
    """After the fault: the session is well, and the client's belief is the server's."""
    assert ask(client, view, b"NOOP")[-1].kind == b"OK"
    if not selected:
        view.messages.clear()
        assert ask(client, view, b"SELECT INBOX")[-1].kind == b"OK"
    before = [message.flags for message in view.messages]
    if not view.messages:
        return
    answer = ask(client, view, b"FETCH 1:* (UID FLAGS BODY.PEEK[])")
    assert answer[-1].kind == b"OK", answer
    assert [response.number for response in answer[:-1]] == list(range(1, len(view.messages) + 1))
    for known, message in zip(before, view.messages, strict=True):
        assert known in (None, message.flags), f"the flags of uid {message.uid} have changed, and nothing was said"


def run(case: Case, maildir: Path, log: Path, fault: Fault, call_number: int) -> str:
    """One fault; the name of the call that it met, "" when the command made fewer."""
    trap = Trap()
    what, code = fault
    view = ClientView()
    path = os.fsencode(maildir)
    answer: list[Response] = []
    done: bool | None = None
    with Forked(maildir, log, {"IMAP_KEYWORDS": "1", **case.settings}, [trap.install]) as imapd:
        for command in case.before:
            assert ask(imapd.client, view, command)[-1].kind == b"OK"
        case.between(path)
        trap.arm(what, call_number, code)
        try:
            answer = ask(imapd.client, view, *case.command)
        except Ended:
            assert what == TEAR
        reached = trap.disarm()
        if answer:
            assert answer[-1].kind in ((b"OK", b"NO") if reached else (b"OK",)), answer
            done = answer[-1].kind == b"OK"
            goes_on(imapd.client, view, selected=SELECT in case.before and not (done and case.command == (b"CLOSE",)))
        status = imapd.end()
    assert status in ((0,) if answer else (-9,))
    check(case, path, State(path, answer), done, view)
    return reached


def check(case: Case, path: bytes, state: State, done: bool | None, view: ClientView) -> None:
    """What must be on the disk."""
    assert (state.uidvalidity, state.inbox[4]) == (700_000_000, b"1\n")
    assert case.expunges or state.inbox[5] == b"2\n"
    assert list(state.inbox.values()).count(b"9\n") == 1
    assert state.uidnext >= 9
    if b".a" in state.folders:
        assert state.a[1] == b"in a\n"
    if b".z" in state.folders:
        assert content(path + b"/.z")[2][1] == b"in a\n"
    for message in view.messages:
        assert message.uid in state.inbox or done is None
    with open(path + b"/courierimapkeywords/:list", "rb") as file:
        assert keywordlist.parse_list(file.read())[1] == ""
    case.check(state, done)
    if done is not None:
        assert "courier.lock" not in os.listdir(path + b"/tmp")


@pytest.mark.parametrize("name", CASES)
def test_nth_call(name: str, scratch: Path) -> None:
    plant(scratch / "model")
    call_number = 1
    while call := meet(name, FIRST, call_number, scratch):
        for fault in FAULTS[call]:
            meet(name, fault, call_number, scratch)
        call_number += 1
    assert call_number > 2


def meet(name: str, fault: Fault, call_number: int, scratch: Path) -> str:
    """Run a case in a fresh copy of the model."""
    maildir, log = scratch / "copy", scratch / "log"
    shutil.copytree(scratch / "model", maildir)
    try:
        call = run(CASES[name], maildir, log, fault, call_number)
        check_log(log)
    except AssertionError as problem:
        said = f"{name}: {fault} at call {call_number}: {problem}"
        raise AssertionError(f"{said}\n\nlog:\n{log.read_text()}") from problem
    shutil.rmtree(maildir)
    log.unlink()
    return call
