"""What no mail program leaves in a maildir, served by the real imapd: each command is answered, the session goes on."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imapd.commands import list as list_command
from maildir import names
from tests import unprivileged
from tests.forked import SETTINGS, Client, Ended, Forked, check_log

PLAIN = b"Subject: plain\n\nHello.\n"

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Box:
    """A maildir, and sessions with it as somebody whom permissions stop."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.log = place / "log"
        self.cur = place / "Maildir/cur"
        for part in ("cur", "new", "tmp", ".Copies/cur", ".Copies/new", ".Copies/tmp"):
            (place / "Maildir" / part).mkdir(parents=True)

    def put(self, name: bytes, octets: bytes = PLAIN) -> bytes:
        path = os.path.join(os.fsencode(self.cur), name)
        with open(path, "wb") as file:
            file.write(octets)
        return path

    def serve(self, *prepare) -> Forked:
        if os.geteuid() != 0:
            return Forked(self.place / "Maildir", self.log, prepare=prepare)
        for folder, folders, files in os.walk(os.fsencode(self.place)):
            for name in (b".", *folders, *files):
                path = os.path.join(folder, name)
                os.chown(path, unprivileged.NOBODY.pw_uid, unprivileged.NOBODY.pw_gid, follow_symlinks=False)
        return Forked(self.place / "Maildir", self.log, prepare=prepare, identity=unprivileged.NOBODY.pw_uid)


@pytest.fixture
def box():
    with unprivileged.open_folder() as place:
        box = Box(place)
        yield box
        check_log(box.log)


def exists(client) -> int:
    """Select INBOX; how many messages are there."""
    answer = client.command(b"SELECT INBOX")
    assert answer[-1].kind == b"OK", answer
    return next(response.number for response in answer if response.kind == b"EXISTS")


def fetched(client, items: bytes, messages: bytes = b"1:*") -> dict[int, dict[bytes, object]]:
    """What FETCH tells by sequence number, whatever it says at the end."""
    answer = client.command(b"FETCH %s %s" % (messages, items))
    assert answer[-1].kind in (b"OK", b"NO"), answer
    return {response.number: response.items for response in answer if response.kind == b"FETCH"}


def said(client, *command: bytes) -> bytes:
    """How the server answers: OK or NO, never anything else, and nothing but an answer."""
    kind = client.command(*command)[-1].kind
    assert kind in (b"OK", b"NO"), (command, kind)
    return kind


COMMANDS = (
    b"FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)",
    b"FETCH 1:* (BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (SUBJECT)])",
    b"FETCH 1:* BODY[]",
    b"FETCH 1:* (BODY[TEXT]<0.10> RFC822.HEADER BODY.PEEK[1.MIME])",
    b"UID FETCH 1:* BODY.PEEK[1]",
    b"SEARCH SUBJECT plain",
    b"SEARCH TEXT hello",
    b"SEARCH NOT BODY hello",
    b"SEARCH OR LARGER 10 SENTSINCE 1-Jan-2001",
    b"SEARCH SINCE 1-Jan-2001",
    b"STORE 1:* +FLAGS (\\Flagged word)",
    b"UID STORE 1:* -FLAGS.SILENT (\\Seen)",
    b"STORE 1:* FLAGS (\\Answered)",
    b"COPY 1:* INBOX.Copies",
    b"STATUS INBOX (MESSAGES UNSEEN UIDNEXT)",
    b"CHECK",
)


def everything(client) -> dict[bytes, bytes]:
    """Every command that looks at messages, and how it is answered."""
    kinds = {command: said(client, command) for command in COMMANDS}
    assert said(client, b"NOOP") == b"OK"
    return kinds


def unreadable(box):
    os.chmod(box.put(b"2.odd:2,"), 0)


def directory(box):
    (box.cur / "2.odd:2,").mkdir()


def full_directory(box):
    (box.cur / "2.odd:2,/x").mkdir(parents=True)


def pipe(box):
    os.mkfifo(box.cur / "2.odd:2,")


def symbolic_link(box):
    (box.cur / "2.odd:2,").symlink_to("1.first:2,")


def dangling_link(box):
    (box.cur / "2.odd:2,").symlink_to("nowhere")


@pytest.mark.parametrize("odd", [unreadable, directory, full_directory, pipe, symbolic_link, dangling_link])
def test_what_cannot_be_read(box, odd):
    """It is a message without content; all others are served, and it stops no search."""
    box.put(b"1.first:2,")
    box.put(b"3.last:2,")
    odd(box)
    with box.serve() as server:
        client = server.client
        assert exists(client) == 3
        bodies = fetched(client, b"BODY.PEEK[]")
        assert set(bodies) == {1, 3}
        assert said(client, b"FETCH 2 BODY.PEEK[]") == b"NO"
        assert set(fetched(client, b"FLAGS")) == {1, 2, 3}
        assert client.command(b"SEARCH SUBJECT plain")[0].raw == b"* SEARCH 1 3\r\n"
        assert client.command(b"SEARCH UNDELETED")[0].raw == b"* SEARCH 1 2 3\r\n"
        assert said(client, b"STORE 2 +FLAGS (\\Flagged)") == b"OK"
        assert said(client, b"COPY 1:3 INBOX.Copies") == b"NO"
        assert said(client, b"COPY 1,3 INBOX.Copies") == b"OK"
        kinds = everything(client)
        assert {kind for command, kind in kinds.items() if b"SEARCH" in command or b"STORE" in command} == {b"OK"}
        assert "2.odd" in box.log.read_text()


@pytest.mark.parametrize("odd", [unreadable, directory, full_directory, pipe, symbolic_link, dangling_link])
def test_what_cannot_be_read_can_be_left_behind(box, odd):
    """Whatever becomes of it in an EXPUNGE, the messages around it go."""
    box.put(b"1.first:2,T")
    box.put(b"3.last:2,T")
    odd(box)
    with box.serve() as server:
        client = server.client
        exists(client)
        said(client, b"STORE 2 +FLAGS.SILENT (\\Deleted)")
        said(client, b"EXPUNGE")
        assert said(client, b"NOOP") == b"OK"
        left = exists(client)
        assert left == len(os.listdir(box.cur))
        assert left == (1 if odd in (directory, full_directory) else 0)


def test_files_that_vanish(box):
    for number in range(1, 5):
        box.put(b"%d.m:2," % number)
    with box.serve() as server:
        client = server.client
        assert exists(client) == 4
        (box.cur / "2.m:2,").unlink()
        os.rename(box.cur / "3.m:2,", box.cur / "3.m:2,S")
        assert set(fetched(client, b"BODY.PEEK[]")) == {1, 3, 4}
        assert set(fetched(client, b"(UID FLAGS)")) == {1, 2, 3, 4}  # told from the view, which may not move yet
        answer = client.command(b"FETCH 2 BODY[]")
        assert (answer[-1].kind, answer[-1].code) == (b"NO", b"EXPUNGEISSUED")
        assert client.command(b"SEARCH BODY hello")[0].raw == b"* SEARCH 1 3 4\r\n"
        assert said(client, b"STORE 1:4 +FLAGS (\\Flagged)") == b"NO"
        assert said(client, b"COPY 2:3 INBOX.Copies") == b"NO"
        assert client.command(b"NOOP")[0].raw == b"* 2 EXPUNGE\r\n"
        assert set(everything(client).values()) == {b"OK"}


CONTENTS = {
    "empty": b"",
    "one LF": b"\n",
    "NUL": b"\0" * 5000,
    "NULs in a header": b"Subj\0ect: a\0b\nFrom: \0\n\n\0\0",
    "no final newline": b"Subject: plain\n\nno newline",
    "header only": b"Subject: plain",
    "CRLF": b"Subject: plain\r\nFrom: a@b.c\r\n\r\nhello\r\n",
    "both": b"Subject: plain\r\nFrom: a@b.c\n\r\nhello\n\r\n\r",
    "CR": b"Subject: plain\r\rhello\r",
    "8-bit": bytes(range(128, 256)) * 3 + b"\n\n" + bytes(range(256)),
    "one line of 10 MB": b"Subject: plain\n\n" + b"x" * (10 << 20),
    "a header line of 10 MB": b"Subject: " + b"x" * (10 << 20) + b"\n\nhello\n",
    "10 MB of NUL": b"\0" * (10 << 20),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_odd_contents(box, kind):
    octets = CONTENTS[kind]
    box.put(b"1.odd:2,", octets)
    wire = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    with box.serve() as server:
        client = server.client
        assert exists(client) == 1
        told = fetched(client, b"(RFC822.SIZE BODY.PEEK[] BODY.PEEK[]<3.20>)")[1]
        assert told[b"BODY[]"] == wire
        assert told[b"RFC822.SIZE"] == b"%d" % len(wire)
        assert told[b"BODY[]<3>"] == wire[3:23]
        parts = fetched(client, b"(BODY.PEEK[HEADER] BODY.PEEK[TEXT])")[1]
        assert parts[b"BODY[HEADER]"] + parts[b"BODY[TEXT]"] == wire
        assert set(everything(client).values()) == {b"OK"}
        copies = box.place / "Maildir/.Copies/cur"
        assert [(copies / name).read_bytes() for name in os.listdir(copies)] == [octets]


ODD_NAMES = (
    b"no-flags", b"1.unknown:2,SXya", b"2.twice:2,SS", b"3.backwards:2,TSF", b"4.one:1,S", b"5.nothing:",
    b"6.two:colons:2,S", b":2,S", b"7.\xff\xfe\x80:2,", b"8.\xc3\xa9:2,S", b"9. blank and\ttab:2,", b" 10.leading:2,S",
    b"x" * 250 + b":2,S", b"-rf:2,", b"*:2,", b"0:2,", b"99999999999999999999999.big:2,", b"~:2,S",
)  # fmt: skip


def test_odd_names(box):
    for number, name in enumerate(ODD_NAMES):
        box.put(name, b"Subject: plain\n\nhello %d\n" % number)
    count = len(ODD_NAMES)
    with box.serve() as server:
        client = server.client
        assert exists(client) == count
        before = {items[b"UID"]: items[b"BODY[]"] for items in fetched(client, b"(UID BODY.PEEK[])").values()}
        assert len(before) == len(set(before.values())) == count
        assert all(kind == b"OK" for command, kind in everything(client).items() if b"STORE" not in command)
        assert exists(client) == count
        assert {items[b"UID"]: items[b"BODY[]"] for items in fetched(client, b"(UID BODY.PEEK[])").values()} == before
    with box.serve() as server:
        assert exists(server.client) == count
        told = fetched(server.client, b"(UID BODY.PEEK[])").values()
        assert {items[b"UID"]: items[b"BODY[]"] for items in told} == before
        assert said(server.client, b"STORE 1:* +FLAGS.SILENT (\\Deleted)") in (b"OK", b"NO")
        assert said(server.client, b"EXPUNGE") == b"OK"


def test_letters_of_other_programs_stay(box):
    box.put(b"1.unknown:2,SXya")
    with box.serve() as server:
        exists(server.client)
        assert said(server.client, b"STORE 1 +FLAGS (\\Flagged)") == b"OK"
    assert os.listdir(box.cur) == ["1.unknown:2,FSXay"]
    assert names.flags_of(b"1.unknown:2,FSXay") == names.FLAGGED | names.SEEN


def test_a_line_break_in_a_name(box):
    """It would be two lines of the uid list, so the message gets another name."""
    box.put(b"1.first:2,")
    box.put(b"2.line\nbreak:2,S", b"Subject: plain\n\nbroken\n")
    box.put(b"3.last:2,")
    with box.serve() as server:
        client = server.client
        assert exists(client) == 3
        before = {items[b"UID"]: items[b"BODY[]"] for items in fetched(client, b"(UID BODY.PEEK[])").values()}
        assert len(before) == 3
        assert set(everything(client).values()) == {b"OK"}
    with box.serve() as server:
        assert exists(server.client) == 3
        told = fetched(server.client, b"(UID BODY.PEEK[])").values()
        assert {items[b"UID"]: items[b"BODY[]"] for items in told} == before
    assert len((box.place / "Maildir/courierimapuiddb").read_bytes().splitlines()) == 4


def test_no_maildir_at_all(box):
    for part in ("cur", "new", "tmp"):
        (box.place / "Maildir" / part).rmdir()
    with pytest.raises(AssertionError, match=r"BYE.*No such file"):
        box.serve()


def test_a_maildir_that_cannot_be_written(box):
    """As on a full disk: what is there can be read."""
    box.put(b"1.first:2,")
    with box.serve() as server:
        assert exists(server.client) == 1
    for part in ("cur", "new", "tmp"):
        (box.place / "Maildir" / part).chmod(0o500)
    with box.serve() as server:
        assert exists(server.client) == 1
        assert set(fetched(server.client, b"BODY.PEEK[]")) == {1}
        assert said(server.client, b"STORE 1 +FLAGS (\\Seen)") == b"NO"
        assert said(server.client, b"NOOP") == b"OK"


@pytest.mark.parametrize("missing", [("new",), ("tmp",), ("new", "tmp")])
def test_a_maildir_without_a_part(box, missing):
    """Some backup programs drop empty directories."""
    box.put(b"1.first:2,")
    for part in missing:
        (box.place / "Maildir" / part).rmdir()
        (box.place / "Maildir/.Copies" / part).rmdir()
    with box.serve() as server:
        assert exists(server.client) == 1
        assert set(everything(server.client).values()) == {b"OK"}
        assert said(server.client, b"SELECT INBOX.Copies") == b"OK"


# -- large messages

LARGE = 100 << 20
PEAK_KIB = 60 << 10
SOURCE = Path(__file__).resolve().parents[3]
PROGRAM = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from imapd.main import main; sys.exit(main(sys.argv))"


@pytest.fixture
def program(box):
    """imapd as a program of its own, for what it uses is measured; a function that starts it gives client and pid."""
    with contextlib.ExitStack() as ends:

        def start():
            ours, theirs = socket.socketpair()
            ends.enter_context(ours)
            with theirs, box.log.open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-IS", "-c", PROGRAM, "Maildir"],
                    stdin=theirs, stdout=theirs, stderr=log, cwd=box.place, env=SETTINGS,
                )  # fmt: skip
            ends.callback(process.wait, 20)
            ends.callback(process.kill)
            client = Client(ours)
            assert client.next_response().kind == b"PREAUTH"
            return client, process

        yield start


def test_a_message_of_100_mb(box, program):
    """The process stays small, whatever is asked about it."""
    path = box.put(b"1.large:2,", b"Subject: plain\nFrom: a@b.c\n\nhello\n")
    with open(path, "ab") as file:
        file.write((b"0123456789abcdef" * 4 + b"\n") * 1000)
        file.truncate(LARGE)  # the rest is a hole: NULs that take no room
    client, process = program()
    assert exists(client) == 1
    size = int(client.command(b"FETCH 1 RFC822.SIZE")[0].octets(b"RFC822.SIZE"))
    assert size == LARGE + 1004
    assert octets_of_body(client) == size
    partial = client.command(b"FETCH 1 BODY.PEEK[]<99000000.100>")[0]
    assert partial.octets(b"BODY[]<99000000>") == b"\0" * 100
    assert client.command(b"FETCH 1 (ENVELOPE BODYSTRUCTURE)")[-1].kind == b"OK"
    for key in (b"SUBJECT plain", b"TEXT fedcba", b"BODY cdef", b"NOT BODY fedcba", b"LARGER 100000000"):
        found = client.command(b"SEARCH " + key)[0].raw
        assert found == (b"* SEARCH\r\n" if key.startswith(b"TEXT") else b"* SEARCH 1\r\n"), key
    assert said(client, b"STORE 1 +FLAGS (\\Flagged)") == b"OK"
    assert said(client, b"COPY 1 INBOX.Copies") == b"OK"
    assert peak_kib(process.pid) < PEAK_KIB


def peak_kib(pid: int) -> int:
    """The most memory that a program has had since it was started; what wait4() tells counts from before exec()."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        pytest.skip("no /proc here")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def octets_of_body(client) -> int:
    """The octets of BODY[], which are counted and not kept."""
    tag = client.send(b"FETCH 1 BODY[]")
    connection = client.connection
    head = b""
    while b"}\r\n" not in head:
        head += connection.recv(1 << 16)
    announced = int(head[head.index(b"{") + 1 : head.index(b"}")])
    left = announced - (len(head) - head.index(b"}\r\n") - 3)
    while left > 0:
        left -= len(connection.recv(min(left, 1 << 16)))
    tail = b""
    while tag + b" OK" not in tail:
        tail += connection.recv(1 << 16)
    return announced


# -- limits


def test_more_folders_than_can_be_listed(box):
    for number in range(4):
        (box.place / f"Maildir/.f{number}/cur").mkdir(parents=True)

    def lower() -> None:
        list_command.MAX_FOLDERS = 5

    with box.serve(lower) as server:
        assert said(server.client, b'LIST "" "*"') == b"NO"
        assert server.client.command(b'LIST "" "*"')[-1].code == b"LIMIT"
        assert said(server.client, b"SELECT INBOX.f1") == b"OK"
    (box.place / "Maildir/.f3/cur").rmdir()
    (box.place / "Maildir/.f3").rmdir()
    with box.serve(lower) as server:
        answer = server.client.command(b'LIST "" "*"')
        assert len(answer) == 6
        assert answer[-1].kind == b"OK"


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (b'ID ("a" "%s")' % (b"x" * 1024), b"OK"),
        (b'ID ("a" "%s")' % (b"x" * 1025), b"BAD"),
        (b'ID ("%s" "x")' % (b"a" * 31), b"BAD"),
        (b"ID (%s)" % b" ".join(b'"%d" "x"' % number for number in range(30)), b"OK"),
        (b"ID (%s)" % b" ".join(b'"%d" "x"' % number for number in range(31)), b"BAD"),
        (b'LIST "" "%s"' % (b"*a" * 10), b"OK"),
        (b'LIST "" "%s"' % (b"*a" * 11), b"NO"),
        (b"STORE 1 +FLAGS (%s)" % (b"k" * 255), b"OK"),
        (b"STORE 1 +FLAGS (%s)" % (b"k" * 256), b"BAD"),
        (b"FETCH 1 (%s)" % b" ".join([b"FLAGS"] * 257), b"BAD"),
        (b"FETCH 1%s FLAGS" % (b",1" * 10_000), b"BAD"),
        (b"SUBSCRIBE INBOX.%s" % (b"x" * 255), b"NO"),
        (b"CREATE INBOX.%s" % (b"x" * 255), b"NO"),
        (b"CREATE INBOX.%s" % b".".join([b"x"] * 128), b"NO"),
    ],
)
def test_limits_of_a_command(box, command, kind):
    box.put(b"1.first:2,")
    with box.serve() as server:
        exists(server.client)
        assert server.client.command(command)[-1].kind == kind
        assert said(server.client, b"NOOP") == b"OK"


def test_ten_wrong_commands_are_the_end(box):
    with box.serve() as server:
        for _ in range(9):
            assert server.client.command(b"NONSENSE")[-1].kind == b"BAD"
        server.client.send(b"NONSENSE")
        assert server.client.next_response().kind == b"BYE"
        with pytest.raises(Ended):
            server.client.next_response()


def test_keywords_of_a_folder_are_limited(box):
    """What somebody has written into the files by hand."""
    from maildir import keywordlist

    box.put(b"1.first:2,")
    folder = box.place / "Maildir/courierimapkeywords"
    folder.mkdir(mode=0o700)
    (folder / ":list").write_bytes(b"".join(b"k%d\n" % number for number in range(20)) + b"\n1.first:1 15\n")

    def lower() -> None:
        keywordlist.MAX_KEYWORDS = 10

    with box.serve(lower) as server:
        exists(server.client)
        assert fetched(server.client, b"FLAGS")[1][b"FLAGS"] == [b"\\Recent", b"k1"]
        assert said(server.client, b"STORE 1 +FLAGS (other)") == b"OK"
        assert fetched(server.client, b"FLAGS")[1][b"FLAGS"] == [b"\\Recent", b"k1", b"other"]
