"""Fill a Maildir with seeded, varied mail: `python -m tests.corpus.generate --count N --seed S [--folders] DIR`.

DIR becomes a Maildir++ (it is made when it is missing): the newest twentieth of the messages in new/, the others in
cur/ with flags, file names as delivery agents make them, each message in a second of its own. With --folders also some
folders, one of them with a name beyond ASCII, and a subscription list. The same seed gives the same files, octet for
octet. Lines end in LF, as on a mail host.

Sizes are log-normal: median about 7 kB, one in a hundred above 150 kB, now and then megabytes (--max-size).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random

from tests.corpus.letters import EPOCH, SECONDS_BETWEEN, messages

__all__ = ["FOLDERS", "fill", "fill_folder", "main", "messages"]

FOLDERS = (".Sent", ".Drafts", ".Trash", ".Archive", ".Archive.2023", ".Lists.maildir", ".Entwürfe & Ideen", ".仕事")
_FLAGS = ("", "S", "S", "S", "S", "RS", "RS", "FS", "FRS", "F", "ST", "T", "DS", "DFRST", "R")


def _name(rng: Random, number: int, octets: int) -> str:
    """A unique name, mostly as maildrop makes them, some as Postfix or an older program does."""
    seconds = EPOCH + number * SECONDS_BETWEEN
    micro, pid, inode = rng.randrange(1_000_000), rng.randrange(300, 99_999), rng.getrandbits(32)
    roll = rng.random()
    if roll < 0.6:
        return f"{seconds}.M{micro}P{pid}V000000000000FE01I{inode:016X}_0.mail.example.com,S={octets}"
    if roll < 0.9:
        return f"{seconds}.Vfe01I{inode:x}M{micro}.mail.example.com"
    return f"{seconds}.{pid}_{number}.mail"


def make_maildir(directory: Path) -> None:
    """Make cur/, new/ and tmp/, and `maildirfolder` where the name is a folder's."""
    for name in ("", "cur", "new", "tmp"):
        (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.name.startswith("."):
        (directory / "maildirfolder").touch(0o600)


def fill_folder(directory: Path, contents: Iterable[bytes], seed: int, count: int) -> int:
    """Write the messages as files of the Maildir; gives their octets on disk in all. `count` says which are newest."""
    make_maildir(directory)
    total = 0
    for number, content in enumerate(contents):
        rng = Random(f"name {seed}:{number}")
        name = _name(rng, number, len(content))
        fresh = number >= count - max(1, count // 20)
        path = directory / "new" / name if fresh else directory / "cur" / f"{name}:2,{rng.choice(_FLAGS)}"
        path.write_bytes(content)
        seconds = EPOCH + number * SECONDS_BETWEEN
        os.utime(path, (seconds, seconds))
        total += len(content)
    return total


def fill(directory: Path, count: int, seed: int, folders: bool = False, max_octets: int = 8_000_000) -> int:
    """Fill the INBOX with `count` messages and, if wanted, each of FOLDERS with a twentieth of it; gives all octets."""
    total = fill_folder(directory, messages(seed, count, max_octets), seed, count)
    if not folders:
        return total
    for place, folder in enumerate(FOLDERS, 1):
        few = max(3, count // 20)
        contents = messages(seed * 1000 + place, few, max_octets)
        total += fill_folder(directory / folder, contents, seed * 1000 + place, few)
    subscribed = ["INBOX", *("INBOX" + folder for folder in FOLDERS if folder != ".Archive")]
    (directory / "courierimapsubscribed").write_text("".join(name + "\n" for name in subscribed), "utf-8")
    return total


def main(argv: list[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.generate", description="Fill a Maildir with mail.")
    parser.add_argument("--count", type=int, default=1000, help="messages in the INBOX (1000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same mail (1)")
    parser.add_argument("--folders", action="store_true", help="also make folders and a subscription list")
    parser.add_argument(
        "--max-size", type=int, default=8_000_000, help="no message is much larger, in octets (8000000)"
    )
    parser.add_argument("directory", type=Path, help="the Maildir, made when it is missing")
    options = parser.parse_args(argv[1:])
    if (options.directory / "cur").is_dir() and any((options.directory / "cur").iterdir()):
        parser.error(f"{options.directory} already holds mail: name a new directory")
    total = fill(options.directory, options.count, options.seed, options.folders, options.max_size)
    print(f"{options.directory}: {options.count} messages in the INBOX, {total} octets in all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
