"""curl: what an administrator types to see whether the server works."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from chain import Account, Chain

from tests.clients.conftest import on_disk

Curl = Callable[..., bytes]


@pytest.fixture
def curl(chain: Chain, mailbox: Account, program: Callable[[str], str]) -> Curl:
    """Runs curl on a path of the mailbox; gives what it prints."""
    path = program("curl")
    if b"imap" not in subprocess.run([path, "--version"], capture_output=True, check=True).stdout:
        pytest.skip("this curl has no imap")

    def run(url: str, *arguments: str) -> bytes:
        user = f"{mailbox.name}:{mailbox.password}"
        base = f"imap://127.0.0.1:{chain.listener().port}/"
        argv = [path, "-sS", "--max-time", "50", "-u", user, base + url, *arguments]
        done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_lists_folders(curl: Curl) -> None:
    listed = curl("")
    assert b'"INBOX.Sent"' in listed or b" INBOX.Sent" in listed
    assert b"INBOX.&TtVOiw-" in listed


def test_reads_messages(curl: Curl, mailbox: Account) -> None:
    first = curl("INBOX;MAILINDEX=1")
    wanted = on_disk(mailbox.maildir)
    assert first in wanted
    assert curl("INBOX;UID=1") == first
    # curl takes two commands and parses each answer on its own: a hundred messages in one connection.
    many = curl("INBOX;UID=[101-120]")
    assert len(many) > 20 * 200


def test_reads_a_folder_beyond_ascii(curl: Curl, mailbox: Account) -> None:
    assert curl("INBOX.&TtVOiw-;MAILINDEX=2") in on_disk(mailbox.maildir / ".仕事")


def test_searches(curl: Curl) -> None:
    assert curl("INBOX", "-X", "SEARCH SEEN").startswith(b"* SEARCH ")
    assert b"* STATUS " in curl("", "-X", "STATUS INBOX (MESSAGES)")


def test_appends(curl: Curl, mailbox: Account, tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_bytes(b"From: a@example.com\r\nSubject: by curl\r\n\r\nHello\r\n")
    curl("INBOX.Trash", "-T", str(letter))
    assert letter.read_bytes() in on_disk(mailbox.maildir / ".Trash")
