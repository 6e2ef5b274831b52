"""Maildirs from before Courier-IMAP 5.0: their folders have the modified UTF-7 of the wire in their names, now UTF-8.

The server serves such a folder under the same name as before; this makes the names on the disk what they are called.
"""

from __future__ import annotations

import errno
import re

from maildir import fs, names, subscriptions
from maildir.account import PARTS, Account

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NAME = 255  # octets of one directory entry

_RUN = re.compile(rb"&([A-Za-z0-9+,]*)-")


# Not imapd.wire.mutf7: maildir/ knows no server, and imapd/wire/ nothing else of ours.  Nor is the same wanted here:
# servers before 5.0 took any name, so whatever can be read is, also what mutf7 calls improper ("&AGE-" for "a").  That
# both agree on all proper names is held by tests/property/test_oldnames.py.
def decode(part: bytes) -> str:
    """The text of a part of a folder's name that is in modified UTF-7; ValueError when it is not."""
    text = []
    start = 0
    for run in _RUN.finditer(part):
        text += [_ascii(part[start : run.start()]), _decode_run(run[1])]
        start = run.end()
    return "".join([*text, _ascii(part[start:])])


def _ascii(octets: bytes) -> str:
    if b"&" in octets:
        raise ValueError("not modified UTF-7")
    return octets.decode("ascii")


def _decode_run(run: bytes) -> str:
    # But for its first character and one of its digits a run is that of the UTF-7 of RFC 2152.
    return (b"+" + run.replace(b",", b"/") + b"-").decode("utf-7") if run else "&"


class NotConverted(Exception):
    """The maildir cannot be converted as it is; lines tell why, and nothing has been done."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def convert(root: bytes, tell: Callable[[str], None], change: bool) -> None:
    """Convert a maildir, or with change=False say what would be done; tell gets the original's lines.

    Folders are renamed all or none.  What is not ASCII is UTF-8 already and stays.  Raises NotConverted and OSError.
    """
    if not all(fs.is_directory(root + part) for part in PARTS):
        raise FileNotFoundError(errno.ENOENT, "not a maildir", root)
    account = Account(root)
    tell(f"Checking {_shown(root)}:")
    moves = _moves(account)
    subscribed = account.subscriptions()
    for name in subscribed:
        if _converted_subscription(name) != name:
            tell(f"Subscription to {_shown(name)} changed to {_shown(_converted_subscription(name))}")
    for old, new in moves:
        tell(f"Rename INBOX{_shown(old)} to INBOX{_shown(new)}")
    file = _shown(root + subscriptions.FILE)
    if not change:
        tell(f"Verified {file}")
        return
    account.rename_all(moves)
    tell(f"Updating {file}")
    subscriptions.rewrite(root, lambda found: list(dict.fromkeys(map(_converted_subscription, found))))


def _moves(account: Account) -> list[tuple[bytes, bytes]]:
    """The folders to be renamed, with their new names; raises NotConverted."""
    problems = []
    moves: dict[bytes, bytes] = {}  # the old name by the new one
    found = sorted(account.folders())
    for old in found:
        try:
            new = _converted(old)
        except ValueError:
            problems.append(f"INBOX{_shown(old)}: does not appear to be valid modified-UTF7")
            continue
        if new == old:
            continue
        if len(new) > MAX_NAME:
            problems.append(f"INBOX{_shown(old)}: the new name, INBOX{_shown(new)}, has more than {MAX_NAME} bytes")
        elif new in found or new in moves:
            taken = "exists" if new in found else f"is the new name of INBOX{_shown(moves[new])} too"
            problems.append(f"INBOX{_shown(old)}: cannot be renamed: INBOX{_shown(new)} {taken}")
        moves.setdefault(new, old)
    if problems:
        raise NotConverted(problems)
    # After a crash half-way this is run again, which cannot tell a converted "&" from one that is wrong: they go last.
    return sorted(((old, new) for new, old in moves.items()), key=lambda move: (b"&" in move[1], move))


def _converted(folder: bytes) -> bytes:
    """The new name of a folder's directory; ValueError when the old one says nothing."""
    if b"&" not in folder:
        return folder
    new = b"".join(b"." + _converted_part(part, not folder.isascii()) for part in folder[1:].split(b"."))
    if not names.is_folder(new):
        raise ValueError("decodes to what can be no folder")
    return new


def _converted_part(part: bytes, beside_utf8: bool) -> bytes:
    """A part of a name; in one that holds UTF-8 already, what cannot be decoded is taken for that."""
    if not part.isascii():
        return part
    try:
        text = decode(part)
        if "." in text:
            raise ValueError("decodes to several parts")
        return text.encode("utf-8")
    except ValueError:
        if beside_utf8:
            return part
        raise


def _converted_subscription(name: bytes) -> bytes:
    """The new spelling of a subscription; what cannot be read stays, for nothing depends on it."""
    first, dot, rest = name.partition(b".")
    try:
        return first + _converted(dot + rest) if rest else name
    except ValueError:
        return name


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
