"""offlineimap keeps a local Maildir and an account the same, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chain import Chain

from tests.clients.box import Box, letter, opened, subject

_CONFIGURATION = """\
[general]
accounts = mail
metadata = {home}/metadata
ui = basic

[Account mail]
localrepository = here
remoterepository = there
utf8foldernames = yes

[Repository here]
type = Maildir
localfolders = {home}/mirror
sep = .
customflag_a = $Later

[Repository there]
type = IMAP
remotehost = 127.0.0.1
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = no
starttls = no
auth_mechanisms = LOGIN
"""
_FOLDER = "Entwürfe & Ideen"


class Mirror:
    """What offlineimap keeps in the home of the account."""

    def __init__(self, box: Box, offlineimap: str) -> None:
        self.box = box
        self.here = box.account.home / "mirror"
        self.here.mkdir()
        self.program = offlineimap
        user, password = box.account.name, box.account.password
        text = _CONFIGURATION.format(home=box.account.home, port=box.port(), user=user, password=password)
        self.configuration = box.write("offlineimaprc", text)

    def sync(self) -> str:
        """One run."""
        return self.box.run(self.program, "-c", str(self.configuration), "-o")

    def folder(self, name: str) -> Path:
        """The local Maildir of a folder."""
        return self.here / (f"INBOX.{name}" if name else "INBOX")

    def messages(self, folder: str) -> dict[str, tuple[bytes, str]]:
        """Contents and flags of the local messages, by their subjects."""
        maildir = self.folder(folder)
        paths = [path for place in ("cur", "new") for path in (maildir / place).iterdir()]
        read = [(path.read_bytes(), path.name.partition(":2,")[2]) for path in paths]
        return {subject(content): (content, flags) for content, flags in read}

    def path(self, folder: str, wanted: str) -> Path:
        """The file of the local message with this subject."""
        maildir = self.folder(folder)
        paths = [path for place in ("cur", "new") for path in (maildir / place).iterdir()]
        return next(path for path in paths if subject(path.read_bytes()) == wanted)

    def assert_same(self, folder: str, *subjects: str) -> None:
        """Both sides have these messages, octet for octet, with the same flags."""
        there = {subject(message.content): (message.content, message.flags) for message in self.box.messages(folder)}
        assert set(there) == set(subjects)
        assert self.messages(folder) == there


@pytest.fixture
def mirror(chain: Chain, program: Callable[[str], str]) -> Iterator[Mirror]:
    """Some mail in INBOX and in a folder beyond ASCII, fetched once."""
    offlineimap = program("offlineimap")
    with opened(chain, "offlineimap") as box:
        for number in range(1, 6):
            box.deliver(letter(f"mail {number}", "Grüße", ".", "..", "x" * 900), flags="S" if number % 2 else None)
        box.make(_FOLDER)
        box.deliver(letter("idea", "1"), _FOLDER, flags="FRS")
        box.deliver(letter("draft", "2"), _FOLDER, flags="DS")
        mirror = Mirror(box, offlineimap)
        mirror.sync()
        yield mirror


def test_fetches_everything(mirror: Mirror) -> None:
    mirror.assert_same("", "mail 1", "mail 2", "mail 3", "mail 4", "mail 5")
    mirror.assert_same(_FOLDER, "idea", "draft")
    assert mirror.box.flags(_FOLDER) == {"idea": "FRS", "draft": "DS"}


def test_both_ways(mirror: Mirror) -> None:
    """New mail, changed flags and deleted mail on both sides; then a run with nothing to do, that changes nothing."""
    box = mirror.box
    (mirror.folder("") / "new" / "1800000000.1.here").write_bytes(letter("new here", "from here"))
    (mirror.folder(_FOLDER) / "cur" / "1800000000.2.here:2,FS").write_bytes(letter("idea here", "ü"))
    path = mirror.path("", "mail 2")
    path.rename(mirror.folder("") / "cur" / (path.name.partition(":2,")[0] + ":2,FRS"))
    mirror.path("", "mail 3").unlink()
    box.deliver(letter("new there", "from there"))
    for message in box.messages():
        if subject(message.content) == "mail 4":
            message.path.rename(box.maildir / "cur" / (message.path.name.partition(":2,")[0] + ":2,S"))
        if subject(message.content) == "mail 5":
            message.path.unlink()
    mirror.sync()
    mirror.assert_same("", "mail 1", "mail 2", "mail 4", "new here", "new there")
    mirror.assert_same(_FOLDER, "idea", "draft", "idea here")
    assert box.flags() == {"mail 1": "S", "mail 2": "FRS", "mail 4": "S", "new here": "", "new there": ""}
    assert box.flags(_FOLDER)["idea here"] == "FS"
    before = {message.path: message.path.stat().st_mtime_ns for message in box.messages()}
    mirror.sync()
    assert {message.path: message.path.stat().st_mtime_ns for message in box.messages()} == before


def test_makes_folders_on_both_sides(mirror: Mirror) -> None:
    box = mirror.box
    box.make("仕事.a")
    box.deliver(letter("work", "for you"), "仕事.a", flags="")
    for place in ("cur", "new", "tmp"):
        (mirror.here / "INBOX.neu & schön" / place).mkdir(parents=True)
    (mirror.here / "INBOX.neu & schön" / "cur" / "1800000000.3.here:2,S").write_bytes(letter("made here", "0"))
    mirror.sync()
    mirror.assert_same("仕事.a", "work")
    mirror.assert_same("neu & schön", "made here")
    assert box.path("neu & schön").joinpath("courierimapuiddb").exists()


def test_fetches_keywords(mirror: Mirror) -> None:
    """offlineimap shows a keyword as a small letter in the local name, and takes none from there."""
    box = mirror.box
    keywords = box.maildir / "courierimapkeywords"
    keywords.mkdir()
    names = {subject(message.content): message.path.name.partition(":2,")[0] for message in box.messages()}
    for wanted in ("mail 1", "mail 2"):
        (keywords / names[wanted]).write_text("$Later\n")
    mirror.sync()
    assert [mirror.messages("")[name][1] for name in ("mail 1", "mail 2", "mail 3")] == ["Sa", "a", "S"]
    (keywords / names["mail 1"]).write_text("")
    box.account.own()
    mirror.sync()
    assert [mirror.messages("")[name][1] for name in ("mail 1", "mail 2", "mail 3")] == ["S", "a", "S"]
