"""Notes of the stages on the slot's pipe: written whole or not at all, and read as what anybody may have written."""

import fcntl
import os
from collections.abc import Iterator

import pytest

from couriertcpd import environ, slotnote
from couriertcpd.slots import Slot


@pytest.fixture
def slot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slot]:
    """A slot, whose write end is known to this process as a stage knows it."""
    made = Slot()
    monkeypatch.setenv(slotnote.VARIABLE, slotnote.place(made.write_end, made.write_end).decode())
    yield made
    made.close()


def looked_at(slot: Slot) -> slotnote.Told:
    slot.told.look(slot.read_end)
    return slot.told


def test_a_note_arrives(slot: Slot) -> None:
    slotnote.note("authenticated", "kim@example.com", "IMAP", tls=True)
    expected = {"user": "kim@example.com", "protocol": "IMAP", "tls": "1", "state": "authenticated"}
    assert looked_at(slot).fields == {"pid": str(os.getpid()), **expected}


def test_the_newest_counts_and_stays(slot: Slot) -> None:
    for state in ("login", "authenticated"):
        slotnote.note(state)
    assert looked_at(slot).fields["state"] == "authenticated"
    assert looked_at(slot).fields["state"] == "authenticated"
    slotnote.note("selected")
    assert looked_at(slot).fields["state"] == "selected"
    assert slot.told.bad == 0


def test_a_full_pipe_loses_notes_and_nothing_else(slot: Slot) -> None:
    for _ in range(100_000 // 30):
        slotnote.note("login")
    slotnote.note("selected", "kim")
    assert looked_at(slot).fields["state"] == "login"
    slotnote.note("selected", "kim")
    assert looked_at(slot).fields["state"] == "selected"


def test_the_listener_that_has_gone_disturbs_nobody(slot: Slot) -> None:
    os.close(slot.read_end)
    slot.read_end = -1
    slotnote.note("login")


def test_what_is_no_slot_is_not_written_to(slot: Slot, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    other_read, other_write = os.pipe()
    os.set_blocking(other_read, False)
    inode = os.fstat(slot.write_end).st_ino
    with (tmp_path / "file").open("wb") as file:
        for value in (
            f"{other_write}:{inode}", f"{file.fileno()}:{os.fstat(file.fileno()).st_ino}", "", ":", "3", "x:y",
            f"99999:{inode}", "9" * 5000 + f":{inode}", "-1:-1", "٣:٣", f"{2**32 + 1}:1",
        ):  # fmt: skip
            monkeypatch.setenv(slotnote.VARIABLE, value)
            slotnote.note("login")
    with pytest.raises(BlockingIOError):
        os.read(other_read, 1)
    assert (tmp_path / "file").read_bytes() == b""
    monkeypatch.delenv(slotnote.VARIABLE)
    slotnote.note("login")
    assert not environ.is_set(slotnote.VARIABLE)
    assert looked_at(slot).fields == {}
    os.close(other_read)
    os.close(other_write)


def test_a_line_is_bounded_and_one_line(slot: Slot) -> None:
    slotnote.note("login\tuser=root\nuser=root", "ü" * 1000, "I\0M\x1b[2JAP", tls=False)
    written = os.read(slot.read_end, 65536)
    assert len(written) <= slotnote.MAX_LINE
    assert written.count(b"\n") == 1
    os.write(slot.write_end, written)
    fields = looked_at(slot).fields
    assert fields["state"] == "login.user=root.user=root"
    assert fields["user"] == "ü" * (slotnote.MAX_VALUE // 2)
    assert fields["protocol"] == "I.M.[2JAP"


GOOD = slotnote.line(pid="17", user="kim", protocol="IMAP", tls="0", state="login")


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"\n", b"\t", b"pid=1", b"pid=1\ttls=0", b"pid=1\ttls=2\tstate=login", b"pid=x\ttls=0\tstate=login",
        b"pid=-1\ttls=0\tstate=login", b"pid=" + b"9" * 5000 + b"\ttls=0\tstate=login", b"pid=1\ttls=0\tstate=",
        b"pid=1\tpid=2\ttls=0\tstate=login", b"pid=1\ttls=0\tstate=login\tbeast=666", b"\xff\xfe\0" * 40,
        b"pid=1\ttls=0\tstate=login\tuser=\x1b[2J", b"pid=1\ttls=0\tstate=login\tuser=\xc2\x85", GOOD[:-1] + b"x" * 600,
    ],
)  # fmt: skip
def test_what_is_malformed_is_counted_and_changes_nothing(slot: Slot, octets: bytes) -> None:
    os.write(slot.write_end, GOOD)
    kept = dict(looked_at(slot).fields)
    assert kept["user"] == "kim"
    os.write(slot.write_end, octets + b"\n")
    assert looked_at(slot).fields == kept
    assert slot.told.bad >= 1


def test_only_the_end_of_a_flood_is_looked_at(slot: Slot) -> None:
    size = fcntl.fcntl(slot.write_end, 1032)  # F_GETPIPE_SZ
    os.write(slot.write_end, b"x\n" * (size // 2))
    told = looked_at(slot)
    assert told.bad <= slotnote.TAIL_OCTETS
    os.write(slot.write_end, GOOD)
    assert looked_at(slot).fields["user"] == "kim"


def test_half_a_line_hides_one_note_and_no_more(slot: Slot) -> None:
    os.write(slot.write_end, b"half a line")
    looked_at(slot)
    slotnote.note("login", "kim")
    assert looked_at(slot).fields["user"] == "kim"
