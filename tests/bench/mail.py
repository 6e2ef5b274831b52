"""The mail that is measured, as a client should see it: worked out from the files by other means than ours."""

from __future__ import annotations

import email
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from email.message import Message
from functools import cached_property
from pathlib import Path

_FIRST = 1_600_000_000  # second in which the first message of a very large mailbox came
_FIELD_ENDS = re.compile(rb"\r\n(?![ \t])")


class Corpus:
    """The messages of a Maildir in the order of their numbers: each was delivered in a second of its own."""

    def __init__(self, maildir: Path) -> None:
        files = [path for name in ("cur", "new") for path in (maildir / name).iterdir()]
        self.paths = sorted(files, key=lambda path: int(path.name.split(".", 1)[0]))
        self.count = len(self.paths)
        self.sums: list[tuple[int, int]] = []  # size and adler32 of each message on the wire
        self.headers: list[bytes] = []  # on the wire
        self.dates: list[int] = []
        for path in self.paths:
            wire = path.read_bytes().replace(b"\n", b"\r\n")
            self.sums.append((len(wire), zlib.adler32(wire)))
            self.headers.append(b"" if wire.startswith(b"\r\n") else wire.partition(b"\r\n\r\n")[0])
            self.dates.append(int(path.stat().st_mtime))
        self.contents = Counter(self.sums)
        self.sizes = Counter(size for size, _ in self.sums)
        self.octets = sum(size for size, _ in self.sums)

    def flags(self, number: int) -> set[bytes]:
        r"""The system flags of a message by its number, without \Recent."""
        return {word for letter, word in _FLAGS.items() if letter in self.paths[number - 1].name.partition(":2,")[2]}

    def letters(self) -> Iterator[Message]:
        """The messages as the standard library reads them."""
        return (email.message_from_bytes(path.read_bytes()) for path in self.paths)

    @cached_property
    def picked(self) -> list[list[bytes]]:
        """What each message's answer to PICKED holds (see `fields`)."""
        wanted = set(PICKED.lower().split())
        return [[field for field in fields(header) if _name(field) in wanted] for header in self.headers]

    def link_many(self, folder: Path, count: int) -> None:
        """Make `folder` a Maildir of so many messages, which are those of the corpus over and over."""
        self.link(folder, 0)
        paths = [os.fspath(path) for path in self.paths]
        cur = os.fspath(folder / "cur")
        for number in range(count):
            os.link(paths[number % self.count], f"{cur}/{_FIRST + number}.M{number}P7.mail.example.com:2,S")

    def link(self, folder: Path, count: int, flags: str | None = None) -> None:
        """Make `folder` a Maildir of the first messages, by hard links: a message never changes, its pages serve all.

        With `flags` (letters) they all have these, else those that they have here.
        """
        for name in ("", "cur", "new", "tmp"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        if folder.name.startswith("."):
            (folder / "maildirfolder").touch(0o600)
        for path in self.paths[:count]:
            name = path.name if flags is None else f"{path.name.partition(':')[0]}:2,{flags}"
            os.link(path, folder / ("cur" if ":" in name else "new") / name)


_FLAGS = {"D": b"\\Draft", "F": b"\\Flagged", "R": b"\\Answered", "S": b"\\Seen", "T": b"\\Deleted"}

# The header fields that Thunderbird asks for when it lists a folder.
PICKED = (
    b"From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type "
    b"Reply-To"
)


def fields(header: bytes) -> list[bytes]:
    """The fields of a header on the wire, in an order that does not depend on theirs."""
    return sorted(field for field in _FIELD_ENDS.split(header) if field)


def _name(field: bytes) -> bytes:
    return field.partition(b":")[0].strip().lower()
