"""The view's diff, applied by a client to what it knew, is what the folder holds now."""

import re
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imapd.errors import Bad
from imapd.view import FLAG_WORDS, View
from imapd.wire import numset
from maildir import names
from maildir.nametable import FileNames, NameTable


class Scan:
    """What a Folder's scan returns."""

    def __init__(self, flags_by_uid: dict[int, int], uidvalidity: int, fresh: set[int]) -> None:
        self.uids = array("I", sorted(flags_by_uid))
        self.flags = bytearray(flags_by_uid[uid] for uid in self.uids)
        self.file_names = FileNames(NameTable([b"%d.host" % uid for uid in self.uids], plain=True))
        self.uidvalidity = uidvalidity
        self.uidnext = max(flags_by_uid, default=0) + 1
        self.fresh = fresh


class Scans:
    """A folder that shows one scan after the other."""

    def __init__(self, scans: list[Scan]) -> None:
        self.scans = scans

    def scan(self) -> Scan:
        return self.scans.pop(0)

    path = b"/nonexistent"
    index = None

    class keywords:  # noqa: N801
        """A folder in which nobody uses keywords."""

        @staticmethod
        def there() -> bool:
            return False


class Client:
    """A client that believes every word: a list of flag sets by sequence number."""

    def __init__(self, view: View) -> None:
        self.messages = [set(view.flag_list(index)[1:-1].split()) for index in range(len(view))]
        self.exists = len(view)
        self.recent = len(view.recent)

    def hear(self, line: bytes) -> None:
        if match := re.fullmatch(rb"\* (\d+) EXPUNGE\r\n", line):
            del self.messages[int(match[1]) - 1]
        elif match := re.fullmatch(rb"\* (\d+) EXISTS\r\n", line):
            self.exists = int(match[1])
            assert self.exists >= len(self.messages), "messages can only go by EXPUNGE"
            self.messages += [set() for _ in range(self.exists - len(self.messages))]
        elif match := re.fullmatch(rb"\* (\d+) RECENT\r\n", line):
            self.recent = int(match[1])
        elif match := re.fullmatch(rb"\* (\d+) FETCH \(FLAGS \((.*)\)\)\r\n", line):
            self.messages[int(match[1]) - 1] = set(match[2].split())
        else:
            assert line.startswith(b"* OK [UIDVALIDITY "), line


FLAGS = st.sampled_from([0, names.SEEN, names.SEEN | names.DELETED, names.FLAGGED, names.DRAFT | names.ANSWERED])
# One step of others' doing: which messages go (by their place), new flags for those that stay, how many arrive, whether
# the uid list is lost.
STEPS = st.tuples(st.sets(st.integers(0, 20)), st.lists(FLAGS, max_size=25), st.lists(FLAGS, max_size=4), st.booleans())


def after(state: dict[int, int], step: tuple[set[int], list[int], list[int], bool], next_uid: int) -> dict[int, int]:
    gone, flags, arrived, _ = step
    kept = [uid for place, uid in enumerate(sorted(state)) if place not in gone]
    changed = dict(zip(kept, flags, strict=False))
    return {uid: changed.get(uid, state[uid]) for uid in kept} | dict(enumerate(arrived, next_uid))


@given(st.lists(FLAGS, max_size=12), st.lists(STEPS, min_size=1, max_size=5))
def test_applying_the_diff_gives_the_folder(
    first: list[int], steps: list[tuple[set[int], list[int], list[int], bool]]
) -> None:
    state, uidvalidity = dict(enumerate(first, 1)), 1
    next_uid = len(first) + 1
    folder = Scans([])
    view = View(b"INBOX", b".", folder, Scan(state, uidvalidity, set(state)), read_only=False)  # type: ignore[arg-type]
    client = Client(view)
    for step in steps:
        before, state = state, after(state, step, next_uid)
        uidvalidity += step[3]
        folder.scans.append(Scan(state, uidvalidity, set(range(next_uid, next_uid + len(step[2])))))
        next_uid += len(step[2])
        for line in view.changes():
            client.hear(line)
        assert client.exists == len(client.messages) == len(state)
        assert client.recent == len(view.recent & set(state))
        for index, uid in enumerate(sorted(state)):
            # A new message's flags are for the client to fetch; those of known ones must be right.
            if uid in before and not step[3]:
                wanted = {word for bit, word in FLAG_WORDS if state[uid] & bit}
                assert client.messages[index] - {b"\\Recent"} == wanted
        client.messages = Client(view).messages


def test_sequence_numbers_beyond_the_mailbox_are_refused() -> None:
    view = View(b"INBOX", b".", Scans([]), Scan({1: 0, 5: 0}, 1, set()), read_only=False)  # type: ignore[arg-type]
    assert view.indexes_of(numset.parse(b"2:1,*")) == [0, 1]
    with pytest.raises(Bad):
        view.indexes_of(numset.parse(b"1:3"))
    empty = View(b"INBOX", b".", Scans([]), Scan({}, 1, set()), read_only=False)  # type: ignore[arg-type]
    assert empty.indexes_of(numset.parse(b"1:*")) == []
