"""imapfilter: rules in Lua that look for mail, mark it, file it and delete it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from chain import Chain

from tests.clients.box import Box, letter, opened, subject

_RULES = """\
options.timeout = 20
options.charset = "UTF-8"
options.create = true
options.subscribe = true
options.expunge = true
account = IMAP {{ server = "127.0.0.1", port = {port}, username = "{user}", password = "{password}" }}
inbox = account.INBOX
{rules}
"""


class Rules:
    """Runs imapfilter with rules; `print` in a rule is what it says."""

    def __init__(self, box: Box, path: str) -> None:
        self.box = box
        self.path = path

    def __call__(self, rules: str) -> list[str]:
        account = self.box.account
        text = _RULES.format(port=self.box.port(), user=account.name, password=account.password, rules=rules)
        return self.box.run(self.path, "-c", str(self.box.write("rules.lua", text))).splitlines()


@pytest.fixture
def box(chain: Chain) -> Iterator[Box]:
    with opened(chain, "imapfilter") as box:
        for number in range(1, 7):
            content = letter(f"mail {number}", f"Grüße {number}", "x" * 70 * number * number)
            box.deliver(content, flags="S" if number > 4 else None)
        box.make("Lists")
        yield box


@pytest.fixture
def rules(box: Box, program: Callable[[str], str]) -> Rules:
    return Rules(box, program("imapfilter"))


def _subjects(expression: str) -> str:
    """Lua that prints the subjects of what an expression finds, one a line, in the order of their uids."""
    return (
        f'for _, message in ipairs({expression}) do m, u = table.unpack(message) print(m[u]:fetch_field("Subject")) end'
    )


def _found(lines: list[str]) -> list[str]:
    return [line.removeprefix("Subject: ").strip() for line in lines if line.startswith("Subject: ")]


@pytest.mark.parametrize(
    ("expression", "numbers"),
    [
        ("inbox:select_all()", [1, 2, 3, 4, 5, 6]),
        ("inbox:is_unseen()", [1, 2, 3, 4]),
        ("inbox:contain_body('Grüße 3')", [3]),
        ("inbox:contain_subject('mail 2') + inbox:is_larger(2500)", [2, 6]),
        ("inbox:is_smaller(1500) * inbox:is_seen()", []),
        ("inbox:select_all() - inbox:sent_on('05-Mar-2024')", []),
        ("inbox:match_subject('mail [25]')", [2, 5]),
        ("inbox:contain_field('Message-ID', 'mail.4@')", [4]),
    ],
)
def test_finds(rules: Rules, expression: str, numbers: list[int]) -> None:
    assert _found(rules(_subjects(expression))) == [f"mail {number}" for number in numbers]


def test_flags_copies_moves_and_deletes(rules: Rules, box: Box) -> None:
    contents = {subject(message.content): message.content for message in box.messages()}
    said = rules(
        """
        options.info = false
        inbox:contain_subject("mail 1"):mark_flagged()
        inbox:contain_subject("mail 1"):mark_seen()
        inbox:contain_subject("mail 6"):unmark_seen()
        inbox:contain_subject("mail 2"):copy_messages(account["Lists"])
        inbox:is_larger(2000):move_messages(account["neu & schön"])
        inbox:contain_subject("mail 4"):delete_messages()
        inbox:contain_subject("mail 3"):add_flags({ "Later" })
        print("flagged", #inbox:is_flagged(), "later", #inbox:has_keyword("Later"))
        print("there", account["neu & schön"]:check_status())
        mailboxes, folders = account:list_all()
        table.sort(mailboxes)
        print(table.concat(mailboxes, ", "))
        """
    )
    assert said[:2] == ["flagged\t1\tlater\t1", "there\t2\t2\t1\t3"]
    assert said[2] == "Lists, neu & schön"
    assert box.flags() == {"mail 1": "FS", "mail 2": "", "mail 3": ""}
    assert box.contents("Lists") == [contents["mail 2"]]
    assert box.contents("neu & schön") == [contents["mail 5"], contents["mail 6"]]
    assert "INBOX.neu & schön" in (box.maildir / "courierimapsubscribed").read_text().splitlines()
    assert [path.read_text() for path in (box.maildir / "courierimapkeywords").glob("[0-9]*")] == ["Later\n"]


def test_makes_renames_and_deletes_folders(rules: Rules, box: Box) -> None:
    said = rules(
        """
        options.info = false
        account:create_mailbox("仕事/a")
        account:subscribe_mailbox("仕事/a")
        message = "Subject: up\\r\\n\\r\\nGrüße\\r\\n"
        account["仕事/a"]:append_message(message, { "\\\\Seen" }, "05-Mar-2024 10:11:12 +0100")
        account:rename_mailbox("仕事", "neu")
        account:delete_mailbox("Lists")
        """
    )
    assert said == []
    assert not box.path("Lists").exists()
    assert not box.path("仕事.a").exists()
    assert box.contents("neu.a") == ["Subject: up\n\nGrüße\n".encode()]
    assert [(message.flags, message.seconds) for message in box.messages("neu.a")] == [("S", 1709629872)]
