"""NeoMutt on a terminal: what somebody reads, flags, files, deletes and looks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from chain import Chain

from tests.clients.box import Box, letter, opened

screen = pytest.importorskip("tests.clients.screen", reason="pyte is not installed")

_CONFIGURATION = """\
set imap_user = "{user}"
set imap_pass = "{password}"
set imap_authenticators = "login"
set imap_check_subscribed = no
set imap_delim_chars = "."
set ssl_starttls = no
set ssl_force_tls = no
set folder = "imap://127.0.0.1:{port}/"
set spoolfile = "imap://127.0.0.1:{port}/INBOX"
set header_cache = "{home}/cache"
set real_name = "Ann"
set from = "ann@example.com"
set use_from = yes
set copy = no
set move = no
set delete = yes
set confirm_append = no
set confirm_create = no
set sleep_time = 0
set wait_key = no
set pager_stop = yes
set sort = mailbox-order
set timeout = 1
set mail_check = 1
set index_format = "%2C <%Z> %s"
set status_format = "%f: %m messages, %n new, %F flagged, %d deleted"
set status_on_top = yes
"""
_OWN_FIELDS = re.compile(rb"^(Content-Length|Lines|(X-)?Status): .*\n", re.MULTILINE)
_FOLDER = "Entwürfe & Ideen"


@pytest.fixture
def box(chain: Chain) -> Iterator[Box]:
    with opened(chain, "neomutt") as box:
        for number in range(1, 6):
            box.deliver(letter(f"mail {number}", f"Grüße {number}", "."), flags="S" if number > 3 else None)
        box.make(_FOLDER)
        box.deliver(letter("idea"), _FOLDER, flags="FS")
        yield box


class Neomutt:
    """Starts NeoMutt, with its configuration, on a terminal."""

    def __init__(self, box: Box, path: str) -> None:
        self.box = box
        self.path = path

    def __call__(self, *arguments: str):
        """The terminal of a NeoMutt that was given these arguments."""
        account = self.box.account
        port = self.box.port(IMAP_IDLE_TIMEOUT="1")
        text = _CONFIGURATION.format(user=account.name, password=account.password, port=port, home=account.home)
        configuration = str(self.box.write("neomuttrc", text))
        return screen.Screen([self.path, "-n", "-F", configuration, *arguments], self.box.identity())


@pytest.fixture
def neomutt(box: Box, program: Callable[[str], str]) -> Neomutt:
    return Neomutt(box, program("neomutt"))


def _answer_with_folder(shown, folder: str) -> None:
    """Give the name of a folder at a prompt, in place of what stands there; a blank alone would complete the name."""
    shown.type(f"\x15=INBOX.{folder}\n".replace(" ", "\x16 "))


def _quit(shown) -> None:
    shown.type("q")
    shown.end()


def test_shows_and_reads(neomutt: Neomutt, box: Box) -> None:
    with neomutt() as shown:
        shown.until("INBOX: 5 messages, 3 new", *(f"mail {number}" for number in range(1, 6)))
        shown.type("2\n\n")
        shown.until("Subject: mail 2", "Grüße 2")
        shown.type("i")
        shown.until("INBOX: 5 messages, 2 new")
        _quit(shown)
    assert box.flags() == {"mail 1": "", "mail 2": "S", "mail 3": "", "mail 4": "S", "mail 5": "S"}


def test_flags_saves_and_deletes(neomutt: Neomutt, box: Box) -> None:
    saved = letter("mail 2", "Grüße 2", ".")
    with neomutt() as shown:
        shown.until("INBOX: 5 messages")
        shown.type("1\nF")
        shown.until("1 flagged")
        shown.type("2\ns")
        shown.until("Save to mailbox")
        _answer_with_folder(shown, _FOLDER)
        shown.until("1 deleted")
        shown.type("5\nd")
        shown.until("2 deleted")
        shown.type("$")
        shown.until("INBOX: 3 messages", "0 deleted")
        _quit(shown)
    assert {name: flags.replace("S", "") for name, flags in box.flags().items()} == {
        "mail 1": "F", "mail 3": "", "mail 4": "",
    }  # fmt: skip
    assert sorted(box.flags(_FOLDER)) == ["idea", "mail 2"]
    assert saved in box.contents(_FOLDER)
    with neomutt("-f", f"=INBOX.{_FOLDER}") as shown:  # once more, with what its cache knows
        shown.until(f"{_FOLDER}: 2 messages", "idea", "mail 2")
        _quit(shown)


def test_uploads(neomutt: Neomutt, box: Box) -> None:
    letters = [letter("up 1", "Grüße", "", "From the start", "x" * 2000), letter("up 2", ".", "..")]
    for number, content in enumerate(letters):
        for place in ("cur", "new", "tmp"):
            (box.account.home / "local" / place).mkdir(parents=True, exist_ok=True)
        (box.account.home / "local" / "cur" / f"{number}.host:2,{'FS' * number}").write_bytes(content)
    box.account.own()
    with neomutt("-f", str(box.account.home / "local")) as shown:
        shown.until("local: 2 messages")
        shown.type("T.\n;C")
        shown.until("Copy tagged to mailbox")
        _answer_with_folder(shown, _FOLDER)
        shown.until("local: 2 messages", gone="Copy")
        _quit(shown)
    assert {_OWN_FIELDS.sub(b"", content) for content in box.contents(_FOLDER)} == {*letters, letter("idea")}
    assert box.flags(_FOLDER) == {"idea": "FS", "up 1": "", "up 2": "FS"}
    assert {message.seconds for message in box.messages(_FOLDER)} >= {1709629872}, "the date that NeoMutt gave"


def test_searches_on_the_server_and_hears_of_new_mail(neomutt: Neomutt, box: Box) -> None:
    with neomutt() as shown:
        shown.until("INBOX: 5 messages, 3 new")
        box.deliver(letter("fresh", "news"))
        shown.until("INBOX: 6 messages, 4 new", "fresh")
        shown.type("l\x15=b Grüße =B 3\n")
        shown.until("mail 3", gone="mail 2")
        assert "mail 4" not in shown.text()
        _quit(shown)
