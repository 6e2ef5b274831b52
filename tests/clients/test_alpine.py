"""Alpine on a terminal: reads, flags, saves and deletes mail, keeps folders, looks for words on the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from chain import Chain

from tests.clients.box import Box, letter, opened

screen = pytest.importorskip("tests.clients.screen", reason="pyte is not installed")

_CONFIGURATION = """\
personal-name=Ann
user-domain=example.com
inbox-path={server}INBOX
folder-collections=Mail {server}INBOX.[]
feature-list=quit-without-confirm,save-will-quote-leading-froms,expunge-without-confirm,disable-password-file-saving,enable-flag-cmd
disable-these-authenticators=PLAIN
sort-key=arrival
index-format=MSGNO STATUS SUBJECT
saved-msg-name-rule=last-folder-used
mail-check-interval=1
last-version-used=999.99
"""


@pytest.fixture
def box(chain: Chain) -> Iterator[Box]:
    with opened(chain, "alpine") as box:
        for number in range(1, 6):
            box.deliver(letter(f"mail {number}", f"Grüße {number}", "."), flags="S" if number > 3 else None)
        box.make("Archive")
        box.deliver(letter("old"), "Archive", flags="S")
        box.make("Entwürfe & Ideen")
        yield box


@pytest.fixture
def alpine(box: Box, program: Callable[[str], str]) -> Iterator[object]:
    """Alpine with the INBOX open."""
    path = program("alpine")
    server = f'{{127.0.0.1:{box.port(IMAP_IDLE_TIMEOUT="1")}/notls/novalidate-cert/user="{box.account.name}"}}'
    configuration = str(box.write("pinerc", _CONFIGURATION.format(server=server)))
    with screen.Screen([path, "-p", configuration, "-i"], box.identity()) as shown:
        shown.until("USER: alpine@example.com  ENTER PASSWORD")
        shown.type(f"{box.account.password}\r")
        shown.until("Message 1 of 5 NEW", *(f"mail {number}" for number in range(1, 6)))
        yield shown


def _quit(alpine) -> None:
    alpine.type("q")
    alpine.end()


def _jump(alpine, number: int) -> None:
    alpine.type("j")
    alpine.until("Message number to jump to")
    alpine.type(f"{number}\r")
    alpine.until(f"Message {number} of 5", gone="jump to")


def test_shows_and_reads(alpine, box: Box) -> None:
    _jump(alpine, 2)
    alpine.type("\r")
    alpine.until("MESSAGE TEXT", "Subject: mail 2", "Grüße 2")
    alpine.type("i")
    alpine.until("MESSAGE INDEX", "Message 2 of 5")
    _quit(alpine)
    assert box.flags() == {"mail 1": "", "mail 2": "S", "mail 3": "", "mail 4": "S", "mail 5": "S"}


def test_flags_saves_and_deletes(alpine, box: Box) -> None:
    saved = letter("mail 2", "Grüße 2", ".")
    alpine.type("*")
    alpine.until("Important ?")
    alpine.type("*")
    alpine.until("1 * N mail 1", gone="Important ?")
    _jump(alpine, 2)
    alpine.type("s")
    alpine.until("SAVE")
    alpine.type("Archive\r")
    alpine.until("2   D mail 2", gone="SAVE")
    _jump(alpine, 3)
    alpine.type("s")
    alpine.until("SAVE")
    alpine.type("\x0bneu\r")
    alpine.answer("y", "Create?")
    alpine.until("3   D mail 3", gone="SAVE")
    alpine.type("x")
    alpine.until("of 3", gone="mail 2")
    _quit(alpine)
    assert box.flags() == {"mail 1": "F", "mail 4": "S", "mail 5": "S"}
    assert box.contents("Archive") == sorted([saved, letter("old")])
    assert box.flags("neu") == {"mail 3": ""}


def test_lists_makes_renames_and_deletes_folders(alpine, box: Box) -> None:
    alpine.type("l")
    alpine.until("FOLDER LIST", "Archive[.]", "Entwürfe & Ideen")
    alpine.type("a")
    alpine.until("Folder name to add")
    alpine.type("neu\r")
    alpine.until("neu", gone="Folder name to add")
    alpine.type("r")
    alpine.until("Rename directory to")
    alpine.type(" 2\r")
    alpine.until('Folder "neu" renamed to "neu 2"')
    assert box.path("neu 2").is_dir()
    assert not box.path("neu").exists()
    alpine.type("d")
    alpine.answer("y", "DELETE")
    alpine.until('Folder "neu 2" deleted')
    assert not box.path("neu 2").exists()
    _quit(alpine)


def test_searches_on_the_server_and_hears_of_new_mail(alpine, box: Box) -> None:
    box.deliver(letter("fresh", "news"))
    alpine.type("\x0c")
    alpine.until("of 6", "fresh")
    alpine.type(";")
    alpine.until("SELECT criteria")
    alpine.type("t")
    alpine.until("All msg text ?")
    alpine.type("b")
    alpine.until("BODYTEXT to match")
    alpine.type("Grüße 3\r")
    alpine.until("ZOOMED MESSAGE INDEX", "3 X N mail 3", gone="mail 4")
    _quit(alpine)
