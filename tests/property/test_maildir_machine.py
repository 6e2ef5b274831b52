"""Two sessions, a delivery agent and the original's server on one folder, held against a model."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from maildir import names, uidlist
from maildir.folder import Folder

SESSION = st.integers(0, 1)
FLAGS = st.integers(0, 31)


class TwoSessions(RuleBasedStateMachine):
    """The model: text by base name, flags by base name, and the uid that was first told for a base name."""

    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        for part in ("cur", "new", "tmp"):
            (self.root / part).mkdir()
        path = os.fsencode(self.root)
        self.sessions = [Folder(path), Folder(path)]
        self.flags = {}  # of every message that is there
        self.uids = {}  # of every message ever, as it was told first
        self.listed = [{}, {}]  # base -> file name as each session saw it last
        self.count = 0
        self.uidvalidity = None

    def teardown(self):
        shutil.rmtree(self.root)

    def current(self, base):
        """The file of a message, wherever it is."""
        for part in ("cur", "new"):
            for name in os.listdir(os.fsencode(self.root / part)):
                if names.base(name) == base:
                    return os.path.join(os.fsencode(self.root / part), name)
        return None

    def known_name(self, session, base):
        """The name by which a session knows a message, which may be an old one; b"" when it has not seen it."""
        return self.listed[session].get(base, b"")

    def told(self, base, uid):
        assert uid not in [known for other, known in self.uids.items() if other != base]
        assert self.uids.setdefault(base, uid) == uid

    @rule(target=messages)
    def deliver(self):
        self.count += 1
        base = b"%d.M1P1.host" % (self.count * 7 % 13)
        base += b"_%d" % self.count
        (self.root / "new" / os.fsdecode(base)).write_bytes(base)
        self.flags[base] = 0
        return base

    @rule(target=messages, session=SESSION, flags=FLAGS)
    def store(self, session, flags):
        message = self.sessions[session].new_message()
        message.write(b"stored")
        message.commit(flags)
        uidvalidity, (uid,) = self.sessions[session].store([message])
        assert uid > max(self.uids.values(), default=0)
        assert self.uidvalidity in (None, uidvalidity)
        self.flags[message.name] = flags
        self.told(message.name, uid)
        return message.name

    @rule(target=messages, session=SESSION, base=messages)
    def copy(self, session, base):
        name = self.known_name(session, base)
        before = set(self.flags)
        if not name or base not in self.flags:
            return base
        _, (uid,) = self.sessions[session].copy_from(self.sessions[1 - session], [name])
        (copied,) = {names.base(n) for n in os.listdir(os.fsencode(self.root / "cur"))} - before - set(self.uids)
        self.flags[copied] = self.flags[base]
        self.told(copied, uid)
        return copied

    @rule(session=SESSION, base=messages, add=FLAGS, remove=FLAGS)
    def change_flags(self, session, base, add, remove):
        name = self.known_name(session, base)
        if not name:
            return
        try:
            _, flags = self.sessions[session].change_flags(name, add, remove)
        except FileNotFoundError:
            assert base not in self.flags
            return
        self.flags[base] = (self.flags[base] | add) & ~remove
        assert flags == self.flags[base]

    @rule(base=messages, flags=FLAGS)
    def rename_from_outside(self, base, flags):
        file = self.current(base)
        if file and b"/cur/" in file:
            os.rename(file, names.with_flags(file, flags))
            self.flags[base] = flags

    @rule(session=SESSION, base=messages)
    def open_message(self, session, base):
        name = self.known_name(session, base)
        if not name:
            return
        try:
            fd, _ = self.sessions[session].open_message(name)
        except FileNotFoundError:
            assert base not in self.flags
            return
        os.close(fd)
        assert base in self.flags

    @rule(session=SESSION, base=consumes(messages))
    def expunge(self, session, base):
        name = self.known_name(session, base)
        if not name:
            return
        self.sessions[session].expunge([name])
        if names.flags_of(name) & names.DELETED and not self.flags.get(base, 0) & names.DELETED:
            assert base not in self.flags or self.current(base)
        else:
            self.flags.pop(base, None)
            assert not self.current(base)

    @rule(base=consumes(messages))
    def remove_from_outside(self, base):
        file = self.current(base)
        if file:
            os.unlink(file)
            del self.flags[base]

    @rule(session=SESSION)
    def session_starts_anew(self, session):
        self.sessions[session] = Folder(os.fsencode(self.root))
        self.listed[session] = {}

    @rule(session=SESSION, write=st.booleans())
    def scan(self, session, write):
        snapshot = self.sessions[session].scan(write)
        found = {names.base(name): name for name in snapshot.names}
        assert {base: names.flags_of(name) for base, name in found.items()} == self.flags
        assert list(snapshot.uids) == sorted(set(snapshot.uids))
        self.listed[session] = found
        if write:
            assert self.uidvalidity in (None, snapshot.uidvalidity)
            self.uidvalidity = snapshot.uidvalidity
            for uid, name in zip(snapshot.uids, snapshot.names, strict=True):
                if uid in snapshot.fresh:
                    assert names.base(name) not in self.uids
                self.told(names.base(name), uid)
            assert snapshot.uidnext > max(self.uids.values(), default=0)

    @rule(session=SESSION)
    def status(self, session):
        status = self.sessions[session].status()
        assert status.messages == len(self.flags)
        assert status.unseen == sum(1 for flags in self.flags.values() if not flags & names.SEEN)

    @invariant()
    def the_list_is_sound(self):
        file = self.root / "courierimapuiddb"
        if file.exists():
            listed = uidlist.parse(file.read_bytes())
            assert listed.fault == ""
            assert listed.uidnext > max(self.uids.values(), default=0)

    @invariant()
    def nothing_is_left_in_tmp(self):
        assert os.listdir(self.root / "tmp") == []


TestTwoSessions = TwoSessions.TestCase
TestTwoSessions.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
