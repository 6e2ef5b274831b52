"""The Maildirs of the transcripts, the same to the last octet each time, and what others do to them meanwhile.

Names carry no real host or process; times are those of November 2023 in UTC; the uid list is there, so uids and
UIDVALIDITY are known.  A builder is given the path of a Maildir that does not exist yet.
"""

import os
from pathlib import Path

FIRST_SECOND = 1700000001  # 14-Nov-2023 22:13:21 UTC
UIDVALIDITY = 700000000

PLAIN = b"""\
From: Ann Other <ann@example.com>
To: kim@example.net
Subject: Plain
Date: Tue, 14 Nov 2023 22:13:21 +0000
Message-ID: <plain@example.com>

Hello Kim,
this is plain text.
"""

TWO_PARTS = b"""\
From: "B. Bee" <bee@example.com>
To: Kim <kim@example.net>, lee@example.net
Cc: ann@example.com
Subject: Two parts
Date: Wed, 15 Nov 2023 09:00:00 +0100
Message-ID: <two@example.com>
In-Reply-To: <plain@example.com>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=b="

This is the preamble.
--=b=
Content-Type: text/plain; charset=us-ascii

The text.
--=b=
Content-Type: application/octet-stream; name="a.bin"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="a.bin"

AAECAwQF
--=b=--
"""

FORWARD = b"""\
From: cee@example.com
To: kim@example.net
Subject: =?utf-8?q?Forw=C3=A4rd?=
Date: Thu, 16 Nov 2023 12:00:00 -0500
MIME-Version: 1.0
Content-Type: message/rfc822

From: dee@example.org
Subject: Inner
Date: Wed, 15 Nov 2023 12:00:00 -0500

Inside.
"""

SHORT = b"""\
From: eve@example.com
Subject: Short

x
"""



def letter(sender: str, subject: str, *fields: str) -> bytes:
    """A message of a conversation."""
    return "\n".join([f"From: {sender}", f"Subject: {subject}", *fields, "", "x", ""]).encode()


CONVERSATIONS = {
    "zebra": letter(
        "zoe@b.example", "Zebra", "To: kim@example.net", "Date: Fri, 10 Nov 2023 23:30:00 -0500", "Message-ID: <z1@x>"
    ),
    "zebra-answer": letter(
        '"B, Ann" <ANN@a.example>', "Re: [list] zebra", "Date: Sun, 12 Nov 2023 10:00:00 +0000", "Message-ID: <z2@x>",
        'References: <"z1"@x>', "Cc: zoe@b.example",
    ),
    "apple": letter("ann@c.example", "apple", "Message-ID: <a1@x>"),
    "kiwi": letter(
        "bob@a.example", "Kiwi", "Date: Sat, 11 Nov 2023 04:00:00 +0000", "Message-ID: <k2@x>",
        "In-Reply-To: Your message <missing@x> of Friday",
    ),
    "kiwi-too": letter(
        "bob@a.example", "Pears", "Date: Sat, 11 Nov 2023 05:00:00 +0200", "Message-ID: <k3@x>",
        "References: <missing@x>",
    ),
    "zebra-again": letter(
        "cy@a.example", "=?utf-8?q?Fwd=3A_?= ZEBRA (fwd)", "Date: Mon, 13 Nov 2023 10:00:00 +0000",
    ),
    "zebra-answers": letter(
        "dee@a.example", "Re: Zebra", "Date: Mon, 13 Nov 2023 11:00:00 +0000", "References: <z1@x> <z2@x>",
    ),
}  # fmt: skip

DOTS = b"""\
From: eve@example.com
Subject: Dots

.
..two
a.b
.
"""

RAW = """\
From: Zoë <zoe@example.com>
Subject: Grüße

Hello.
""".encode()

UNENDED = b"Subject: no end\n\nx"

MESSAGES = {
    **CONVERSATIONS,
    "plain": PLAIN,
    "two-parts": TWO_PARTS,
    "forward": FORWARD,
    "short": SHORT,
    "dots": DOTS,
    "raw": RAW,
    "unended": UNENDED,
}


def make_folder(path: Path) -> None:
    """An empty folder; `maildirfolder` marks those that are no INBOX."""
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    if path.name.startswith("."):
        (path / "maildirfolder").touch()


def name_of(second: int, message: bytes) -> str:
    """The file name, without flags, of a message that arrived in that second."""
    return f"{second}.M1P1V1I1_0.host,S={len(message)}"


def store(path: Path, second: int, message: bytes) -> None:
    """Write a message to the file, as if it had arrived in that second."""
    path.write_bytes(message)
    os.utime(path, (second, second))


def fill(folder: Path, messages: list[tuple[int, str, str]], uidnext: int) -> None:
    """Messages (uid, name of the message, flags) in cur/, and the uid list that knows them."""
    lines = [f"1 {UIDVALIDITY} {uidnext}\n"]
    for uid, kind, flags in messages:
        second = FIRST_SECOND + uid * 60
        base = name_of(second, MESSAGES[kind])
        store(folder / "cur" / f"{base}:2,{flags}", second, MESSAGES[kind])
        lines.append(f"{uid} {base}\n")
    (folder / "courierimapuiddb").write_text("".join(lines))


def empty(maildir: Path) -> None:
    """An INBOX with nothing in it."""
    make_folder(maildir)
    fill(maildir, [], 1)


def small(maildir: Path) -> None:
    """Three messages with a gap between their uids, folders with and without parents, two subscriptions."""
    make_folder(maildir)
    fill(maildir, [(1, "plain", "S"), (2, "two-parts", "FS"), (4, "forward", "")], 5)
    make_folder(maildir / ".Sent")
    fill(maildir / ".Sent", [(7, "short", "RS")], 8)
    make_folder(maildir / ".Work")
    make_folder(maildir / ".Work.Done")
    make_folder(maildir / ".Old.2020")
    (maildir / "courierimapsubscribed").write_text("INBOX\nINBOX.Work.Done\n")


def new(maildir: Path) -> None:
    """One message seen before, two that wait in new/."""
    make_folder(maildir)
    fill(maildir, [(1, "plain", "S")], 2)
    deliver(maildir, ".", "short")
    deliver(maildir, ".", "two-parts")


def conversations(maildir: Path) -> None:
    """Mail to sort and to thread; one without a date, two answers to a message that is not there."""
    make_folder(maildir)
    uids = (1, 2, 3, 4, 6, 7, 8)
    fill(maildir, [(uid, kind, "S") for uid, kind in zip(uids, CONVERSATIONS, strict=True)], 9)


def post(maildir: Path) -> None:
    """What POP3 has to send with care; three of the four have been listed before, the last one by an older server."""
    make_folder(maildir)
    fill(maildir, [(1, "dots", ""), (2, "raw", "S"), (3, "unended", "F"), (4, "short", "")], 5)
    names = {path.name.partition(":")[0]: path.name for path in (maildir / "cur").iterdir()}
    first, second, _, fourth = [names[key] for key in sorted(names)]
    lines = [f"{first} 58 7:{UIDVALIDITY}:0\n", f"{second} 58 9:{UIDVALIDITY}:1\n", f"{fourth} 44 3:0:0\n"]
    (maildir / "courierpop3dsizelist").write_text(f"/3 11 {UIDVALIDITY}\n" + "".join(lines))


BUILDERS = {builder.__name__: builder for builder in (empty, small, new, conversations, post)}


def deliver(maildir: Path, folder: str, kind: str) -> None:
    """A delivery agent puts the message into new/ of a folder, named as on disk."""
    where = maildir / folder / "new"
    second = FIRST_SECOND + 3600 + len(list(where.iterdir()))
    while (name := name_of(second, MESSAGES[kind])) and any((maildir / folder / "cur").glob(f"{second}.*")):
        second += 1
    store(where / name, second, MESSAGES[kind])


def flags(maildir: Path, folder: str, uid: str, letters: str = "") -> None:
    """Another session changes the flags of a message."""
    path = _path_of(maildir / folder, uid)
    path.rename(path.with_name(path.name.rpartition(":")[0] + ":2," + letters))


def remove(maildir: Path, folder: str, uid: str) -> None:
    """Somebody removes the file of a message."""
    _path_of(maildir / folder, uid).unlink()


def _path_of(folder: Path, uid: str) -> Path:
    """The file of a message that the uid list names."""
    for line in (folder / "courierimapuiddb").read_text().splitlines()[1:]:
        number, _, base = line.partition(" ")
        if number == uid:
            (path,) = [path for path in (folder / "cur").iterdir() if path.name.startswith(base + ":")]
            return path
    raise LookupError(f"no uid {uid} in {folder}")


ACTIONS = {action.__name__: action for action in (deliver, flags, remove)}
